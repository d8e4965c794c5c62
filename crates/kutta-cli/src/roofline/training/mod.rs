//! `kutta roofline --training`: whole training steps and gradients alone.

mod cases;
mod measure;
mod picture;
mod table;

use std::error::Error;

use kutta::models::Prediction;
use kutta::plan::Options;
use kutta::{Gpu, Method, Plan};

use self::cases::Case;
use self::measure::Config;
pub use self::picture::Figure;
use self::table::Own;
pub use self::table::all;
use super::clock::Clock;
use super::schema::{Run, Skipped};
use kutta_cli::notice::Notice;
use kutta_cli::output;

/// What a run is to measure.
pub struct Wanted {
    cases: Vec<&'static Case>,
    /// Cases were named: large ones too.
    named: bool,
    config: Config,
}

impl Wanted {
    /// # Errors
    /// Names of no case, or of one twice.
    pub fn new(
        names: &[String],
        (samples, limit, quick): (u32, f64, bool),
    ) -> Result<Self, Box<dyn Error>> {
        super::once("--cases", names)?;
        let mut cases = Case::chosen(names)?;
        let named = !names.is_empty();
        if quick && !named {
            cases.truncate(2);
        }
        let config = Config {
            samples: samples as usize,
            least: if quick { 2e-3 } else { 1e-2 },
            limit: if quick { limit.min(5.0) } else { limit },
        };
        Ok(Self { cases, named, config })
    }

    /// Measures case after case; `done` is told after each.
    pub fn measure(&self, gpu: &Gpu, run: &mut Run, mut done: impl FnMut(&Run)) {
        let mut clock = Clock::new(gpu);
        for case in &self.cases {
            if case.is_large && gpu.is_software() && !self.named {
                run.skipped.push(Skipped {
                    what: case.name.into(),
                    reason: "minutes on a software adapter; name it by --cases".into(),
                });
                continue;
            }
            let notice = Notice::new(format!("measuring {}, kernels compiled first", case.what));
            let measured = measure::measure(gpu, &mut clock, case, self.config);
            drop(notice);
            run.protocol.discarded_timestamps = clock.discarded;
            match measured {
                Ok(figures) => {
                    run.training.extend(figures);
                    output::print(table::case(&[run], case.name));
                }
                // What was measured before is as good as it was.
                Err(error) => {
                    output::fault(format_args!("{}: {error}", case.name));
                    let reason = error.to_string();
                    run.skipped.push(Skipped { what: case.name.into(), reason });
                }
            }
            done(run);
        }
    }
}

/// Prints what steps are predicted to take, without a device.
///
/// # Errors
/// Names of no case.
pub fn predict(names: &[String]) -> Result<(), Box<dyn Error>> {
    super::once("--cases", names)?;
    let predicted = |case: &'static Case| Ok((case, case.predicted()?));
    let cases: Vec<(&Case, Prediction)> =
        Case::chosen(names)?.into_iter().map(predicted).collect::<Result<_, Box<dyn Error>>>()?;
    let checked = Options { checks: 1, ..Options::default() };
    let (adam, rk4) = (measure::plan()?, Plan::new(&Method::rk4(), checked)?);
    let own = |what, plan: &Plan, parameters, measured, target| Own {
        what,
        plan: plan.clone(),
        parameters,
        measured,
        target,
    };
    let own = [
        own("Euler with Adam, 10,000 parameters", &adam, 10_000, 16.3, 9.0),
        own("Euler with Adam, 2^24 parameters", &adam, 1 << 24, 211.8, 185.0),
        own("RK4, 10,000 parameters", &rk4, 10_000, 24.6, 18.0),
    ];
    output::print(table::predictions(&cases, &adam, &own));
    Ok(())
}
