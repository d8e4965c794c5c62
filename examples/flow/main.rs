//! Integrates an analytic problem and writes what happened, attempt by attempt.
//!
//! ```sh
//! cargo run --release --example flow -- --problem rosenbrock --theta0 -1.2,1.0 \
//!     --method rk4 --step-size 0.001 --steps 1000 --csv flow.csv
//! ```

use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgGroup, Parser};
use kutta::ingredients::History;
use kutta::models::Analytic;
use kutta::reference::{Problem, textbook};
use kutta::tableau::Stages;
use kutta::{
    Adaptive, Findings, Gpu, Ingredients, Method, Momentum, Optimizer, Plan, Preconditioner,
    SpectralRadius, StepSize, Stored, Verdict,
};

/// Integrate θ̇ = −∇L(θ) for a problem with a formula, and write a CSV.
#[derive(Parser)]
#[command(group(ArgGroup::new("length").required(true).args(["steps", "t_end"])))]
struct Options {
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
    #[arg(long, required_unless_present = "adaptive")]
    step_size: Option<StepSize>,
    /// NAME[:key=value,…], such as adagrad_rescaled or adam:beta2=0.999,eps=1e-8
    #[arg(long, default_value_t = Preconditioner::none())]
    preconditioner: Preconditioner,
    /// heavy-ball:β, nesterov:β or ema:β
    #[arg(long, default_value_t = Momentum::none())]
    momentum: Momentum,
    /// λ of decoupled weight decay
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    weight_decay: f64,
    /// Largest ‖∇L‖ at the start of a step
    #[arg(long, allow_negative_numbers = true)]
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
    #[arg(long)]
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
    fn ingredients(&self) -> Ingredients {
        let Self { preconditioner, momentum, weight_decay, adaptive, clip, .. } = *self;
        let (radius, stored) = (self.spectral_radius, self.storage);
        let rule = self.step_size.as_ref().and_then(StepSize::rule);
        Ingredients {
            preconditioner,
            momentum,
            weight_decay,
            adaptive,
            clip,
            rule,
            radius,
            stored,
            ..Ingredients::default()
        }
    }
}

/// One line: the attempt that led to θ, and L and ‖∇L‖ there.
struct Row {
    h: f64,
    accepted: bool,
    loss: f64,
    grad_norm: f64,
    error: f64,
    theta: Vec<f64>,
}

fn main() -> ExitCode {
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let method = Method::load(&options.method)?;
    if Method::is_path(&options.method) {
        // Standard output may be the CSV.
        eprint!("{}", Findings::of(&method)?);
    }
    let problem = match (&options.problem, &options.eigenvalues) {
        (Problem::Quadratic { .. }, Some(eigenvalues)) => Problem::quadratic(eigenvalues)?,
        (_, Some(_)) => return Err("--eigenvalues goes with --problem quadratic".into()),
        (problem, None) => problem.clone(),
    };
    let start = match &options.theta0 {
        Some(theta) => theta.clone(),
        None => {
            let start = problem.default_start(problem.default_dimension())?;
            start.into_iter().map(|x| x as f32).collect()
        }
    };
    problem.check_dimension(start.len())?;
    let rows = if options.reference {
        reference(&options, &method, &problem, &start)?
    } else {
        device(&options, &method, &problem, &start)?
    };
    match &options.csv {
        Some(path) => {
            let file = File::create(path).map_err(|e| format!("{}: {e}", path.display()))?;
            write(BufWriter::new(file), &rows, !options.reference)?;
            let last = &rows[rows.len() - 1];
            println!(
                "{} attempts, loss {:e}, ‖∇L‖ {:e}; written to {}",
                rows.len() - 1,
                last.loss as f32,
                last.grad_norm as f32,
                path.display()
            );
        }
        None => write(io::stdout().lock(), &rows, !options.reference)?,
    }
    Ok(())
}

/// The attempts on the device, θ read back after each.
fn device(
    options: &Options,
    method: &Method,
    problem: &Problem,
    start: &[f32],
) -> Result<Vec<Row>, Box<dyn Error>> {
    let gpu = Gpu::new()?;
    let mut source = Analytic::new(&gpu, problem, start.len())?;
    let mut builder = Optimizer::builder(method.clone())
        .ingredients(options.ingredients())
        .theta_free(options.theta_free)
        .writes_narrow(true);
    if let Some(step_size) = &options.step_size {
        builder = builder.step_size(step_size.clone());
    }
    let mut optimizer = builder.build(&gpu, source.layout(), start)?;
    if let Some(t_end) = options.t_end {
        optimizer.set_end(Some(t_end))?;
    }
    let (mut h, mut accepted, mut error) = (0.0, true, 0.0);
    let mut rows = Vec::new();
    for attempt in 0u64.. {
        // Stage 1 of the next attempt sees the θ this one left: a measurement
        // there gives L and ‖∇L‖ of the same line as θ.
        let here = optimizer.measure(&mut source)?;
        let theta = optimizer.params().read()?;
        rows.push(Row {
            h,
            accepted,
            loss: here.loss.map_or(f64::NAN, f64::from),
            grad_norm: here.grad_norm.map_or(f64::NAN, f64::from),
            error,
            theta: theta.into_iter().map(f64::from).collect(),
        });
        if options.steps == Some(attempt) {
            break;
        }
        optimizer.step(&mut source)?;
        optimizer.wait()?;
        // At the end of time an attempt is a no-op and reports nothing.
        let Some(report) = optimizer.reports().pop() else { break };
        (h, accepted) = (f64::from(report.h), report.verdict == Verdict::Accepted);
        error = report.error.map_or(0.0, f64::from);
        check_progress(&rows, accepted)?;
    }
    Ok(rows)
}

/// A time may never be reached.
fn check_progress(rows: &[Row], accepted: bool) -> Result<(), String> {
    const MOST: usize = 100;
    let last = &rows[rows.len().saturating_sub(MOST)..];
    let stands = |row: &Row| !row.accepted || row.h == 0.0;
    if !accepted && last.len() == MOST && last.iter().all(stands) {
        return Err(format!(
            "{MOST} attempts in a row got nowhere, from L = {:e} on; take a smaller step size, or \
             bound it: polyak:h-max=…",
            last[0].loss
        ));
    }
    Ok(())
}

/// The same in f64 on the CPU, by the textbook's formulas.
fn reference(
    options: &Options,
    method: &Method,
    problem: &Problem,
    start: &[f32],
) -> Result<Vec<Row>, Box<dyn Error>> {
    if let Method::Stabilised(stabilised) = method
        && !matches!(stabilised.stages(), Stages::Fixed(_))
    {
        return Err(format!("--reference chooses no stages: {method}:stages=8").into());
    }
    let tableau = method.tableau();
    let ingredients = options.ingredients();
    ingredients.check()?;
    // What no device could plan, the reference refuses too.
    let plan = Plan::with_ingredients(method, &ingredients, Default::default())?;
    let theta: Vec<f64> = start.iter().map(|&x| f64::from(x)).collect();
    let mut trainer = textbook::Trainer::new(tableau, ingredients, &theta);
    let mut gradient = |_: usize, x: &[f64]| problem.gradient(x);
    let row = |h, error: f64, theta: &[f64]| Row {
        h,
        accepted: error <= 1.0,
        loss: problem.loss(theta),
        grad_norm: problem.gradient(theta).iter().map(|g| g * g).sum::<f64>().sqrt(),
        error,
        theta: theta.to_vec(),
    };
    let mut rows = vec![row(0.0, 0.0, &theta)];
    // The device's constant h is an f32, so the oracle takes that very number.
    let at = |n: u64| options.step_size.as_ref().map(|step_size| step_size.at(n));
    let mut h = at(0).unwrap_or_else(|| trainer.first_step(&mut gradient));
    let (mut time, mut accepted, mut history) = (0.0, 0, History::default());
    let end = options.t_end.unwrap_or(f64::INFINITY);
    // Less than this is left of rounding alone.
    while end - time > 1e-9 * h && options.steps.is_none_or(|most| (rows.len() as u64) <= most) {
        if ingredients.rule.is_some() {
            h = trainer.choose(problem.loss(trainer.theta()), &mut gradient).0;
        } else if ingredients.adaptive.is_none() {
            h = at(accepted).unwrap_or(h);
        }
        let now = h.min(end - time);
        let error = trainer.attempt(now, &mut gradient)?;
        rows.push(row(now, error, trainer.theta()));
        check_progress(&rows, error <= 1.0)?;
        if error <= 1.0 {
            time += now;
            accepted += 1;
        }
        if let Some(adaptive) = &ingredients.adaptive {
            h = now * adaptive.factor(plan.error_order(), error, &mut history);
        }
    }
    Ok(rows)
}

/// Shortest digits that read back to the same number: f32 from the device,
/// f64 from the reference.
fn write(mut out: impl Write, rows: &[Row], single: bool) -> io::Result<()> {
    let number = |x: f64| if single { format!("{:?}", x as f32) } else { format!("{x:?}") };
    write!(out, "step,h,accepted,loss,grad_norm,error")?;
    for i in 0..rows[0].theta.len() {
        write!(out, ",theta_{i}")?;
    }
    writeln!(out)?;
    for (step, row) in rows.iter().enumerate() {
        write!(out, "{step},{},{}", number(row.h), u8::from(row.accepted))?;
        for x in [row.loss, row.grad_norm, row.error].iter().chain(&row.theta) {
            write!(out, ",{}", number(*x))?;
        }
        writeln!(out)?;
    }
    out.flush()
}
