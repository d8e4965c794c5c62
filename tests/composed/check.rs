//! One case: driven on the device, and computed again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use kutta::{Gpu, Report, Verdict};

use crate::drive::{self, FAILS, Trace};
use crate::oracle::{Choice, Fed, Oracle, Seen, Shaking, Told};
use crate::recipe::{Case, Factor as F};
use crate::setup::Source;

#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub attempts: usize,
    pub refused: usize,
    /// How far θ was off, relative to max(1, ‖θ‖), and in units of what was allowed.
    pub error: f64,
    pub off: f64,
    /// What the condition allows, relative too.
    pub allowed: f64,
}

/// Oracles whose numbers are rounded as a device's are.
const SHAKEN: usize = 4;
/// How many times as far off as those a device may be: its roundings are others.
const SPREAD: f64 = 4.0;

/// What narrow storages may be off by at most, relative to max(1, ‖θ‖).
fn base(case: &Case) -> f64 {
    match case.get(F::Stored) {
        "f32" => 1e-5,
        // Eight times as fine as bf16.
        "f32:gradients=f16" | "f16" => 1.25e-4,
        _ => 1e-3,
    }
}

/// What of a number the device may lack, from what shaken oracles make of it.
struct Band {
    value: f64,
    spread: f64,
}

impl Band {
    fn of(seen: &[Seen], what: impl Fn(&Seen) -> f64) -> Self {
        let value = what(&seen[0]);
        let off = seen[1..].iter().map(|s| (what(s) - value).abs());
        Self { value, spread: off.fold(0.0, f64::max) }
    }

    fn check(&self, name: &str, found: f64, relative: f64) -> Result<(), String> {
        self.check_beyond(name, found, relative, 0.0)
    }

    fn check_beyond(
        &self,
        name: &str,
        found: f64,
        relative: f64,
        absolute: f64,
    ) -> Result<(), String> {
        let allowed = SPREAD * self.spread + relative * self.value.abs() + absolute;
        // NaN is near nothing.
        if (found - self.value).abs() <= allowed {
            return Ok(());
        }
        let Self { value, .. } = self;
        Err(format!("{name} is {found:e}, and {value:e} by the formulas (± {allowed:.1e})"))
    }
}

/// A device for so many cases: it keeps every pipeline that it was asked for.
const CASES_PER_DEVICE: u32 = 100;

fn device() -> Gpu {
    static DEVICE: Mutex<Option<(Gpu, u32)>> = Mutex::new(None);
    let mut device = DEVICE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (gpu, cases) = match device.take() {
        Some((gpu, cases)) if cases < CASES_PER_DEVICE => (gpu, cases + 1),
        _ => (Gpu::new().expect("the tests need an adapter"), 1),
    };
    *device = Some((gpu.clone(), cases));
    gpu
}

/// Runs a case; what is wrong with it, if something is.
pub fn check(case: &Case) -> Result<Outcome, String> {
    match catch_unwind(AssertUnwindSafe(|| compare(case))) {
        Ok(outcome) => outcome,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            Err(text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("panicked").to_owned())
        }
    }
}

fn compare(case: &Case) -> Result<Outcome, String> {
    let (gpu, layout) = (device(), case.layout());
    let mut sources = [0, 1].map(|which| case.source(&gpu, &layout, which));
    let mut outcome = Outcome::default();
    for trace in drive::drive(case, &gpu, &layout, &mut sources) {
        follow(case, &layout, &sources, &trace, &mut outcome)?;
    }
    Ok(outcome)
}

fn follow(
    case: &Case,
    layout: &kutta::ParamLayout,
    sources: &[Source],
    trace: &Trace,
    outcome: &mut Outcome,
) -> Result<(), String> {
    let spec = case.spec(layout);
    let start: Vec<f64> = trace.start.iter().map(|&x| f64::from(x)).collect();
    // The last takes rectifiers at their edge for beyond it.
    let shaken = |i: usize| Shaking::new(i as u64, if i == SHAKEN { 3e-6 } else { 0.0 });
    let mut oracles = vec![Oracle::new(&spec, &start, None)];
    oracles.extend((1..=SHAKEN).map(|i| Oracle::new(&spec, &start, Some(shaken(i)))));
    for segment in &trace.segments {
        if segment.chosen {
            oracles.iter_mut().for_each(|oracle| oracle.choose(case.choice(true).1));
        }
        let fed = Fed { model: &*sources[segment.source].model, wrap: segment.wrap };
        for report in &segment.reports {
            let lost = lost(case, report)?;
            let told = Told {
                h: f64::from(report.h),
                accepted: report.verdict == Verdict::Accepted,
                stages: report.stages,
                radius: report.spectral_radius.map(f64::from),
                error: report.error.map(f64::from),
                end: segment.end,
                lost,
            };
            let seen: Vec<_> = oracles.iter_mut().map(|o| o.attempt(&fed, told)).collect();
            let judged = match lost {
                Some(_) => placed(report, &seen),
                None => judge(case, report, &seen),
            };
            judged.map_err(|e| format!("attempt {}: {e}", report.attempt))?;
            outcome.attempts += 1;
            outcome.refused += usize::from(report.verdict == Verdict::Refused);
        }
    }
    // What was in encoders that were dropped was never made.
    if !case.is(F::Drive, &["dropped"]) && trace.asked != trace.reported {
        let Trace { asked, reported, .. } = trace;
        return Err(format!("{reported} gradients reported, {asked} asked of the source"));
    }
    let of = |what: fn(&Oracle) -> &Vec<f64>| oracles.iter().map(|o| what(o).clone()).collect();
    near(case, "theta", &trace.theta, of(|o| &o.theta), outcome)?;
    if let Some(average) = &trace.average {
        near(case, "the average", average, of(|o| &o.average), outcome)?;
    }
    Ok(())
}

/// The stage that failed in this attempt, with the verdict that belongs to that.
fn lost(case: &Case, report: &Report) -> Result<Option<u32>, String> {
    let Report { attempt, verdict, .. } = *report;
    let Some(stage) = case.fails().filter(|_| attempt == u64::from(FAILS)) else {
        return match verdict {
            Verdict::Skipped { .. } => {
                Err(format!("attempt {attempt} was skipped, with nothing that is not finite"))
            }
            _ => Ok(None),
        };
    };
    match verdict {
        Verdict::Skipped { stage: found } if found == stage => Ok(Some(stage)),
        Verdict::Refused if case.is_adaptive() && stage > 1 => Ok(Some(stage)),
        // The last gradient of the attempt before stood for the first; there was no second.
        Verdict::Accepted | Verdict::Refused if stage == 1 && case.has_one_batch() => Ok(None),
        Verdict::Accepted if report.stages < stage => Ok(None),
        _ => Err(format!("{verdict:?} with a stage {stage} that is not finite")),
    }
}

/// What was reported of an attempt against what should have been, whatever its gradients.
fn placed(report: &Report, seen: &[Seen]) -> Result<(), String> {
    let exact = &seen[0];
    if report.batch != exact.batch {
        return Err(format!("its batch is {}, not {}", report.batch, exact.batch));
    }
    Band::of(seen, |s| s.time).check("the time", report.time, 2e-6)
}

/// What was reported of an attempt against what should have been.
fn judge(case: &Case, report: &Report, seen: &[Seen]) -> Result<(), String> {
    placed(report, seen)?;
    let exact = &seen[0];
    let base = base(case);
    Band::of(seen, |s| s.h).check("h", f64::from(report.h), 1e-5)?;
    // Across the edges of rectifiers differences of gradients are not curvature.
    let smooth = case.is_analytic() || case.is_own() || !case.is(F::Activation, &["relu"]);
    let radius = report.spectral_radius.filter(|_| smooth).map(f64::from);
    if let (Some(found), Some(rho)) = (radius, exact.radius) {
        // Twelve iterations come from below, and may not be there yet.
        if !(found > 0.5 * rho && found < 1.05 * rho) {
            return Err(format!("the spectral radius is {found}, and {rho} by the formulas"));
        }
    }
    if let Some(loss) = report.loss {
        // Where θ may be off by `base`, L may by ‖∇L‖₁ times that.
        let absolute = base * (0.1 + exact.norm * (exact.parameters as f64).sqrt());
        Band::of(seen, |s| s.loss).check_beyond("the loss", f64::from(loss), base, absolute)?;
    }
    if let Some(norm) = report.grad_norm.filter(|_| case.is(F::Decay, &["none", "weight"])) {
        // Of what was stored, at a θ that may be off by `base`.
        let (relative, absolute) = match base == 1e-5 {
            true => (base, 1e-6),
            false => (10.0 * base, base * (exact.parameters as f64).sqrt()),
        };
        let band = Band::of(seen, |s| s.norm);
        band.check_beyond("the norm", f64::from(norm), relative, absolute)?;
    }
    if let Some(curvature) = report.curvature {
        Band::of(seen, |s| s.curvature).check("the curvature", f64::from(curvature), 1e-4)?;
    }
    if let Some(error) = report.error {
        // A quarter of an ulp of θ's, in units of the tolerance.
        let Choice::Adaptive(by) = case.choice(false).1 else { return Err("an error".into()) };
        let ulp = 0.25 / f64::from(1 << 24) / by.atol;
        let band = Band::of(seen, |s| s.error);
        // Differences of narrow gradients are mostly rounding.
        let relative = if base == 1e-5 { 1e-4 } else { 50.0 * base };
        band.check_beyond("the error", f64::from(error), relative, ulp)?;
        let accepted = report.verdict == Verdict::Accepted;
        if accepted != (error <= 1.0) {
            return Err(format!("{:?} with an error of {error}", report.verdict));
        }
    }
    Ok(())
}

fn near(
    case: &Case,
    name: &str,
    found: &[f32],
    oracles: Vec<Vec<f64>>,
    outcome: &mut Outcome,
) -> Result<(), String> {
    let exact = &oracles[0];
    let size = exact.iter().fold(1.0, |m: f64, x| m.max(x.abs()));
    let apart = |x: &dyn Fn(usize) -> f64| {
        (0..exact.len()).map(|i| (x(i) - exact[i]).abs()).fold(0.0, f64::max) / size
    };
    let spread = oracles[1..].iter().map(|o| apart(&|i| o[i])).fold(0.0, f64::max);
    let allowed = f64::max(base(case), SPREAD * spread);
    // NaN is near nothing.
    let wrong = found.iter().any(|x| !x.is_finite());
    let error = if wrong { f64::INFINITY } else { apart(&|i| f64::from(found[i])) };
    outcome.error = outcome.error.max(error);
    outcome.allowed = outcome.allowed.max(allowed);
    outcome.off = outcome.off.max(error / allowed);
    match error <= allowed {
        true => Ok(()),
        false => Err(format!("{name} is off by {error:.2e}, and may be by {allowed:.1e}")),
    }
}
