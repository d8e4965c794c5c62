//! Eleven optimizers on MNIST from one start, at a small and at a large batch:
//! the table and the pictures that everybody asks for.
//!
//! ```sh
//! cargo run --release -p kutta-cli -- compare
//! ```

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use clap::Parser;
use kutta::data::Idx;
use kutta::models::{Mlp, Resident};
use kutta::{
    Adaptive, Findings, Gpu, Ingredients, Method, Momentum, Optimizer, Preconditioner,
    SpectralRadius, StepSize, Verdict,
};

use crate::curve::{Run, Step, Test};
use crate::numbers::{grouped, per_cent, short};
use crate::plot::canvas;
use crate::plot::curves::{Against, Figure};
use kutta_cli::names::{Named, cell};
use kutta_cli::notice::Notice;
use kutta_cli::output::{Output, Outputs};
use kutta_cli::{names, output, standstill};

/// Compares optimizers on MNIST from one start.
#[derive(Debug, Parser)]
pub struct Args {
    /// Folder with the four IDX files
    #[arg(long, default_value = "data/mnist")]
    data: PathBuf,
    /// Batch sizes
    #[arg(long, value_delimiter = ',', default_value = "16,1024")]
    batch: Vec<usize>,
    /// Gradient evaluations of each optimizer [default: 4 epochs of Euler at
    /// batches below 256, else 20]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    evaluations: Option<u64>,
    /// Only the recipe of this name, or those whose names contain it
    #[arg(long)]
    only: Option<String>,
    /// A further row: plain steps of this method, a name such as rkc2:stages=8 or a
    /// file of your own that ends in .json
    #[arg(long, value_name = "NAME|FILE")]
    method: Option<String>,
    /// h of --method, or a rule such as stable:fraction=0.9,h-max=1 [default: that
    /// of RK4]
    #[arg(long, value_name = "H", requires = "method", allow_hyphen_values = true)]
    step_size: Option<StepSize>,
    /// Where stability bounds steps, what bounds the curvature: a number, or
    /// estimated
    #[arg(long, value_name = "RHO", default_value_t = SpectralRadius::Estimated, allow_negative_numbers = true)]
    spectral_radius: SpectralRadius,
    /// Multiplies every step size (not the adaptive one's tolerances, nor the
    /// rule or the schedule of --step-size)
    #[arg(long, default_value_t = 1.0, allow_hyphen_values = true)]
    scale: f64,
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Folder for compare-BATCH.{svg,png,csv}
    #[arg(long, default_value = "target/compare")]
    out: PathBuf,
}

/// An optimizer by its ingredients.
struct Recipe {
    name: String,
    method: Method,
    ingredients: Ingredients,
    /// h at the small and at the large batch.
    h: [f64; 2],
    step_size: Box<dyn Fn(f64) -> StepSize>,
}

fn constant(h: f64) -> StepSize {
    StepSize::constant(h as f32)
}

/// r ≈ 1 to 100 on this network: c is far above what the plain method bears.
fn rescaled_dal(c: f64) -> StepSize {
    StepSize::rescaled_dal(c, 1.0)
}

fn recipes() -> Vec<Recipe> {
    let plain = Ingredients::default();
    let ball = Ingredients { momentum: Momentum::heavy_ball(0.9), ..plain };
    let adam = Ingredients {
        preconditioner: Preconditioner::adam(0.999, 1e-8),
        momentum: Momentum::ema(0.9),
        ..plain
    };
    let adagrad = Ingredients { preconditioner: Preconditioner::adagrad_rescaled(), ..plain };
    let all = Ingredients { momentum: Momentum::heavy_ball(0.9), ..adagrad };
    let adaptive =
        Ingredients { adaptive: Some(Adaptive::new(1e-3, 1e-5).bounds(1e-6, 0.5)), ..plain };
    let recipe = |name: &str, method, ingredients, h, step_size: fn(f64) -> StepSize| Recipe {
        name: name.into(),
        method,
        ingredients,
        h,
        step_size: Box::new(step_size),
    };
    let dp5 = kutta::Tableau::dp5().into();
    vec![
        recipe("SGD", Method::euler(), plain, [0.1, 0.5], constant),
        recipe("momentum", Method::euler(), ball, [0.01, 0.1], constant),
        recipe("Adam", Method::euler(), adam, [0.001, 0.003], constant),
        recipe(
            "AdamW",
            Method::euler(),
            Ingredients { weight_decay: 0.01, ..adam },
            [0.001, 0.003],
            constant,
        ),
        recipe("RK2", Method::heun(), plain, [0.2, 1.0], constant),
        recipe("RK4", Method::rk4(), plain, [0.3, 1.0], constant),
        recipe("RK4 + adagrad", Method::rk4(), adagrad, [0.3, 1.0], constant),
        recipe("RK4 + DAL", Method::rk4(), plain, [1.0, 3.0], rescaled_dal),
        recipe("RK4 + momentum", Method::rk4(), ball, [0.03, 0.1], constant),
        recipe("RK4 + all three", Method::rk4(), all, [0.1, 0.3], rescaled_dal),
        recipe("adaptive DP5", dp5, adaptive, [0.1, 0.1], constant),
    ]
}

/// The rows that are asked for.
fn asked_for(args: &Args) -> Result<Vec<Recipe>, Box<dyn Error>> {
    let mut recipes = recipes();
    if let Some(only) = &args.only {
        let all: Vec<String> = recipes.iter().map(|recipe| recipe.name.clone()).collect();
        let exact = all.contains(only);
        recipes.retain(|Recipe { name, .. }| name == only || !exact && name.contains(only));
        if recipes.is_empty() {
            let all = all.join(", ");
            return Err(output::usage(format!(
                "--only `{only}` is no optimizer's; there are {all}"
            )));
        }
    }
    if let Some(asked) = &args.method {
        let Named { method, name } = names::load(asked)?;
        if Method::is_path(asked) {
            output::print(Findings::of(&method)?);
        }
        let given = args.step_size.clone();
        recipes.push(Recipe {
            name,
            method,
            ingredients: Ingredients { radius: args.spectral_radius, ..Ingredients::default() },
            h: given.as_ref().map_or([0.3, 1.0], |given| [given.at(0); 2]),
            step_size: match given {
                Some(given) if !given.is_constant() => Box::new(move |_| given.clone()),
                _ => Box::new(constant),
            },
        });
    }
    Ok(recipes)
}

/// What stands in the column of h: two of the batches decide.
fn is_large(batch: usize) -> bool {
    batch >= 256
}

impl Recipe {
    /// h, by the batch and by `--scale`.
    fn h(&self, args: &Args, batch: usize) -> f64 {
        self.h[usize::from(is_large(batch))] * args.scale
    }

    fn builder(&self, h: f64) -> kutta::optimizer::Builder {
        Optimizer::builder(self.method.clone())
            .ingredients(self.ingredients)
            .step_size((self.step_size)(h))
    }
}

/// The files of one batch size.
struct Files {
    svg: Output,
    png: Output,
    csv: Output,
}

pub fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    if !(args.scale > 0.0 && args.scale.is_finite()) {
        let words = format!("--scale {} cannot multiply step sizes; give one above 0", args.scale);
        return Err(output::usage(words));
    }
    let recipes = asked_for(args)?;
    let data = Idx::open(&args.data)?;
    for &batch in &args.batch {
        data.train(batch).map_err(output::usage)?;
        for recipe in &recipes {
            let checked = recipe.builder(recipe.h(args, batch)).check();
            checked.map_err(|e| output::usage(format!("{}: {e}", recipe.name)))?;
        }
    }
    let mut outputs = Outputs::default();
    let folder = outputs.folder("--out", &args.out)?;
    let files = |&batch: &usize| -> Result<Files, Box<dyn Error>> {
        let file = |ending: &str| folder.file(format!("compare-{batch}.{ending}"));
        Ok(Files { svg: file("svg")?, png: file("png")?, csv: file("csv")? })
    };
    let files: Vec<Files> = args.batch.iter().map(files).collect::<Result<_, _>>()?;
    let mut notice = Some(Notice::of_kernels());
    let gpu = Gpu::new()?;
    for (&batch, files) in args.batch.iter().zip(&files) {
        let batches = data.train(batch)?.seed(args.seed);
        let (inputs, per_epoch) = (batches.samples().width(), u64::from(batches.per_epoch()));
        let mut mlp = Mlp::classifier(&gpu, &[inputs, 128, data.classes()], batches)?;
        let test = mlp.upload(&data.test())?;
        let epochs = if is_large(batch) { 20 } else { 4 };
        let budget = args.evaluations.unwrap_or(epochs * per_epoch);
        say!("batch {batch}, {} gradients each, on {}", grouped(budget as f64), gpu.info().name);
        let width = recipes.iter().map(|recipe| recipe.name.chars().count()).fold(16, usize::max);
        say!(
            "{:<width$} {:>9} {:>9} {:>9} {:>9} {:>8} {:>9}",
            "",
            "h",
            "steps",
            "refused",
            "seconds",
            "loss",
            "accuracy"
        );
        let mut runs = Vec::new();
        for recipe in &recipes {
            let h = recipe.h(args, batch);
            let warmed = warm(&gpu, &mut mlp, recipe, h, args.seed);
            notice = None;
            let trained =
                warmed.and_then(|()| train(&gpu, &mut mlp, &test, recipe, h, budget, args.seed));
            let run = match trained {
                Ok(run) => run,
                // The others are as good as they were.
                Err(error) => {
                    output::fault(format_args!("{}: {error}", recipe.name));
                    continue;
                }
            };
            let last = run.last_test().ok_or("no test was made")?;
            say!(
                "{:<width$} {:>9} {:>9} {:>9} {:>9.1} {:>8} {:>9}",
                recipe.name,
                short(h),
                grouped(run.steps.len() as f64),
                run.not_accepted(),
                run.seconds,
                short(last.loss),
                last.accuracy.map_or("-".into(), per_cent),
            );
            runs.push(run);
        }
        if runs.is_empty() {
            continue;
        }
        let figure = Figure {
            title: format!("mnist: {inputs}-128-10, batch {batch}"),
            steps_per_epoch: Some(per_epoch),
            runs: &runs,
            against: &[Against::Evaluations, Against::Seconds],
        };
        files.csv.put(csv(&runs));
        files.svg.put_made(canvas::to_svg(&figure));
        files.png.put_made(canvas::to_png(&figure));
    }
    drop(notice);
    outputs.list();
    Ok(())
}

/// Compiles every kernel of an optimizer.
fn warm(
    gpu: &Gpu,
    mlp: &mut Mlp,
    recipe: &Recipe,
    h: f64,
    seed: u64,
) -> Result<(), Box<dyn Error>> {
    let mut optimizer = recipe.builder(h).build(gpu, mlp.layout(), &mlp.initial(seed))?;
    optimizer.run(mlp, 2)?;
    Ok(optimizer.wait()?)
}

/// One optimizer until its gradients are spent; seconds are those of training alone.
fn train(
    gpu: &Gpu,
    mlp: &mut Mlp,
    test: &Resident,
    recipe: &Recipe,
    h: f64,
    budget: u64,
    seed: u64,
) -> Result<Run, Box<dyn Error>> {
    let mut optimizer = recipe.builder(h).build(gpu, mlp.layout(), &mlp.initial(seed))?;
    let mut run = Run::new(recipe.name.clone());
    // A test takes as long as some hundred gradients of a small batch.
    let tests = (budget / 100).clamp(2, 20);
    for part in 0..=tests {
        let goal = budget * part / tests;
        let start = Instant::now();
        // Stabilised methods take as many as they need.
        let cost = u64::from(optimizer.plan().evaluations());
        optimizer.run(mlp, goal.saturating_sub(run.evaluations).div_ceil(cost))?;
        optimizer.wait()?;
        run.seconds += start.elapsed().as_secs_f64();
        let reports = optimizer.reports();
        standstill::check(&reports)?;
        for report in reports {
            run.steps.push(Step {
                step: report.attempt,
                evaluations: run.evaluations,
                h: report.h,
                loss: report.loss.filter(|loss| loss.is_finite()),
                grad_norm: report.grad_norm,
                accepted: report.verdict == Verdict::Accepted,
            });
            run.evaluations = report.evaluations;
        }
        let evaluated = mlp.evaluate(optimizer.params(), test)?;
        run.tests.push(Test {
            step: run.steps.len() as u64,
            evaluations: run.evaluations,
            seconds: run.seconds,
            loss: evaluated.loss,
            accuracy: evaluated.accuracy,
        });
    }
    Ok(run)
}

/// The tests: one line for each optimizer and time.
fn csv(runs: &[Run]) -> String {
    let mut text = String::from("optimizer,steps,evaluations,seconds,loss,accuracy\n");
    for run in runs {
        let name = cell(&run.method);
        for test in &run.tests {
            let accuracy = test.accuracy.map_or(String::new(), |a| a.to_string());
            let Test { step, evaluations, seconds, loss, .. } = test;
            text += &format!("{name},{step},{evaluations},{seconds:.3},{loss},{accuracy}\n");
        }
    }
    text
}
