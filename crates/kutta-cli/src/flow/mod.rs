//! Integrates an analytic problem and writes what happened, attempt by attempt.
//!
//! ```sh
//! cargo run --release -p kutta-cli -- flow --problem rosenbrock --theta0 -1.2,1.0 \
//!     --method rk4 --step-size 0.001 --steps 1000 --csv flow.csv
//! ```

mod device;
mod progress;
mod reference;
mod rows;

use std::error::Error;
use std::path::PathBuf;

use clap::{ArgGroup, Parser};
use kutta::error::{OptimizerError, ReferenceError};
use kutta::optimizer::Builder;
use kutta::reference::Problem;
use kutta::{
    Adaptive, Findings, Ingredients, Method, Momentum, Optimizer, Preconditioner, SpectralRadius,
    StepSize, Stored,
};

use self::progress::Progress;
use self::rows::Table;
use kutta_cli::output::{Outputs, Rows};
use kutta_cli::{names, output};

/// Integrate θ̇ = −∇L(θ) for a problem with a formula, and write a CSV.
#[derive(Debug, Parser)]
#[command(group(ArgGroup::new("length").required(true).args(["steps", "t_end"])))]
pub struct Options {
    /// quadratic, rosenbrock, quartic, himmelblau or beale
    #[arg(long)]
    problem: Problem,
    /// Eigenvalues of the quadratic [default: 1,10,100]
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true)]
    eigenvalues: Option<Vec<f64>>,
    /// The start; its length is the dimension [default: the problem's own]
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true)]
    theta0: Option<Vec<f32>>,
    /// The method: its name, such as rk4, rdpk3sp35 or rkc2:stages=8, or a file of
    /// your own that ends in .json
    #[arg(long, value_name = "NAME|FILE", default_value = "rk4")]
    method: String,
    /// h; or a schedule, or a rule such as rescaled-dal:c=0.1,p=1,from=probe,
    /// dal:p=1,from=stages, polyak, sgd-g2:h=0.01,beta=0.9 or
    /// stable:fraction=1,h-max=10. With --adaptive the first h [default: estimated]
    #[arg(long, required_unless_present = "adaptive", allow_hyphen_values = true)]
    step_size: Option<StepSize>,
    /// NAME[:key=value,…], such as adagrad_rescaled or adam:beta2=0.999,eps=1e-8
    #[arg(long, default_value_t = Preconditioner::none())]
    preconditioner: Preconditioner,
    /// heavy-ball:β, nesterov:β or ema:β
    #[arg(long, default_value_t = Momentum::none())]
    momentum: Momentum,
    /// λ of decoupled weight decay
    #[arg(long, default_value_t = 0.0, allow_hyphen_values = true)]
    weight_decay: f64,
    /// Largest ‖∇L‖ at the start of a step
    #[arg(long, allow_hyphen_values = true)]
    clip: Option<f64>,
    /// Step sizes by the error estimate of the method's pair:
    /// rtol=…,atol=…,controller=i|pi|pid
    #[arg(long)]
    adaptive: Option<Adaptive>,
    /// Where stability bounds steps, what bounds the curvature: a number, or
    /// estimated
    #[arg(long, value_name = "RHO", default_value_t = SpectralRadius::Estimated, allow_negative_numbers = true)]
    spectral_radius: SpectralRadius,
    /// f32, f16 or bf16 for gradients, momentum and second moment, or for some:
    /// f32:gradients=f16,second=bf16,rounding=stochastic
    #[arg(long, value_name = "FORMAT", default_value_t = Stored::default(), conflicts_with = "reference")]
    storage: Stored,
    /// Keep θ out of partial sums, and its rounding out of the error
    #[arg(long, conflicts_with = "reference")]
    theta_free: bool,
    /// Attempts to make
    #[arg(long)]
    steps: Option<u64>,
    /// Time to reach instead; the last step is clamped to it
    #[arg(long, allow_hyphen_values = true)]
    t_end: Option<f64>,
    /// File to write [default: standard output]
    #[arg(long)]
    csv: Option<PathBuf>,
    /// Run the f64 reference on the CPU instead of the device. It takes every h as
    /// it is given, and wants stabilised methods with their stages, rkc2:stages=8
    #[arg(long)]
    reference: bool,
}

impl Options {
    fn ingredients(&self, method: &Method) -> Ingredients {
        let Self { preconditioner, momentum, weight_decay, adaptive, clip, .. } = *self;
        let (radius, stored) = (self.spectral_radius, self.storage);
        let rule = self.step_size.as_ref().and_then(StepSize::rule);
        Ingredients {
            preconditioner,
            momentum,
            weight_decay,
            adaptive: adaptive.map(|adaptive| adaptive.for_method(method)),
            clip,
            rule,
            radius,
            stored,
            ..Ingredients::default()
        }
    }

    /// What must hold for the device and for the reference alike.
    fn check(&self, flow: &Flow) -> Result<(), kutta::Error> {
        if let Some(index) = flow.start.iter().position(|x| !x.is_finite()) {
            let (value, tensor) = (flow.start[index], "theta0".into());
            return Err(OptimizerError::Initial { index, value, tensor }.into());
        }
        flow.builder(self).check()?;
        if let Some(t_end) = self.t_end {
            if !(t_end > 0.0 && t_end < f64::from(f32::MAX)) {
                return Err(OptimizerError::End { t_end, now: 0.0 }.into());
            }
            if let Some(step_size) = self.step_size.as_ref().filter(|h| h.is_constant())
                && self.adaptive.is_none()
            {
                let h = step_size.at(0);
                let steps = t_end / h;
                if steps > MOST_STEPS {
                    return Err(ReferenceError::TooManySteps { t_end, h, steps }.into());
                }
            }
        }
        Ok(())
    }
}

/// Beyond, a step is lost beside the time that it is added to.
const MOST_STEPS: f64 = (1u64 << 53) as f64;

/// What is integrated, and how.
struct Flow {
    method: Method,
    problem: Problem,
    start: Vec<f32>,
    ingredients: Ingredients,
}

impl Flow {
    /// # Errors
    /// What the options ask for and cannot be.
    fn new(options: &Options) -> Result<Self, Box<dyn Error>> {
        let method = names::load(&options.method)?.method;
        let problem = match (&options.problem, &options.eigenvalues) {
            (Problem::Quadratic { .. }, Some(eigenvalues)) => {
                Problem::quadratic(eigenvalues).map_err(output::usage)?
            }
            (_, Some(_)) => {
                return Err(output::usage("--eigenvalues goes with --problem quadratic"));
            }
            (problem, None) => problem.clone(),
        };
        let start = match &options.theta0 {
            Some(theta) => theta.clone(),
            None => {
                let start = problem.default_start(problem.default_dimension())?;
                start.into_iter().map(|x| x as f32).collect()
            }
        };
        problem.check_dimension(start.len()).map_err(output::usage)?;
        let ingredients = options.ingredients(&method);
        let flow = Self { method, problem, start, ingredients };
        options.check(&flow).map_err(output::usage)?;
        if options.reference {
            reference::check(&flow.method).map_err(output::usage)?;
        }
        Ok(flow)
    }

    /// What no device could do, the reference refuses too.
    fn builder(&self, options: &Options) -> Builder {
        let builder = Optimizer::builder(self.method.clone())
            .ingredients(self.ingredients)
            .theta_free(options.theta_free);
        match &options.step_size {
            Some(step_size) => builder.step_size(step_size.clone()),
            None => builder,
        }
    }
}

pub fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let flow = Flow::new(options)?;
    let mut outputs = Outputs::default();
    let csv = options.csv.as_deref().map(|path| outputs.file("--csv", path)).transpose()?;
    if Method::is_path(&options.method) {
        // Standard output may be the CSV.
        output::note(Findings::of(&flow.method)?.to_string().trim_end());
    }
    let rows = csv.as_ref().map_or_else(Rows::stdout, |csv| csv.rows());
    let mut table = Table::new(rows, !options.reference);
    let progress = Progress::new(options, &flow);
    let done = if options.reference {
        reference::run(options, &flow, progress, &mut table)
    } else {
        device::run(options, &flow, progress, &mut table)
    };
    // Whatever ended it, the rows so far are there.
    let last = table.finish();
    done?;
    if let (Some(csv), Some(last)) = (csv, last) {
        say!(
            "{} attempts, loss {:e}, ‖∇L‖ {:e}; written to {}",
            last.attempts,
            last.loss as f32,
            last.grad_norm as f32,
            csv.path().display()
        );
    }
    Ok(())
}
