//! Eleven optimizers on MNIST from one start, at a small and at a large batch:
//! the table and the pictures that everybody asks for.
//!
//! ```sh
//! cargo run --release --example compare
//! ```

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use kutta::data::Idx;
use kutta::models::{Mlp, Resident};
use kutta::{
    Adaptive, Findings, Gpu, Ingredients, Method, Momentum, Optimizer, Preconditioner,
    SpectralRadius, StepSize, Verdict,
};

#[path = "train/curve.rs"]
#[allow(dead_code)] // The training example's, of which this draws a part.
mod curve;
#[path = "train/numbers.rs"]
mod numbers;
#[path = "train/plot/mod.rs"]
#[allow(dead_code)]
mod plot;

use curve::{Run, Step, Test};
use numbers::{grouped, per_cent, short};
use plot::{Against, Figure, canvas};

/// Compares optimizers on MNIST from one start.
#[derive(Debug, Parser)]
struct Args {
    /// Folder with the four IDX files
    #[arg(long, default_value = "data/mnist")]
    data: PathBuf,
    /// Batch sizes
    #[arg(long, value_delimiter = ',', default_value = "16,1024")]
    batch: Vec<usize>,
    /// Gradient evaluations of each optimizer [default: 4 epochs of Euler at
    /// batches below 256, else 20]
    #[arg(long)]
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
    #[arg(long, value_name = "H", requires = "method", allow_negative_numbers = true)]
    step_size: Option<StepSize>,
    /// Where stability bounds steps, what bounds the curvature: a number, or
    /// estimated
    #[arg(long, value_name = "RHO", default_value_t = SpectralRadius::Estimated, allow_negative_numbers = true)]
    spectral_radius: SpectralRadius,
    /// Multiplies every step size (not the adaptive one's tolerances, nor the
    /// rule or the schedule of --step-size)
    #[arg(long, default_value_t = 1.0)]
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
        momentum: Momentum::average(0.9),
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

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The rows that are asked for.
fn asked_for(args: &Args) -> Result<Vec<Recipe>, Box<dyn Error>> {
    let mut recipes = recipes();
    if let Some(only) = &args.only {
        let exact = recipes.iter().any(|recipe| recipe.name == *only);
        recipes.retain(|Recipe { name, .. }| name == only || !exact && name.contains(only));
    }
    if let Some(name) = &args.method {
        let method = Method::load(name)?;
        if Method::is_path(name) {
            print!("{}", Findings::of(&method)?);
        }
        let given = args.step_size.clone();
        recipes.push(Recipe {
            name: method.to_string(),
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

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let recipes = asked_for(args)?;
    fs::create_dir_all(&args.out).map_err(|e| format!("{}: {e}", args.out.display()))?;
    let data = Idx::open(&args.data)?;
    let gpu = Gpu::new()?;
    for &batch in &args.batch {
        let batches = data.train(batch)?.seed(args.seed);
        let (inputs, per_epoch) = (batches.samples().width(), u64::from(batches.per_epoch()));
        let mut mlp = Mlp::classifier(&gpu, &[inputs, 128, data.classes()], batches)?;
        let test = mlp.upload(&data.test())?;
        let large = batch >= 256;
        let epochs = if large { 20 } else { 4 };
        let budget = args.evaluations.unwrap_or(epochs * per_epoch);
        println!(
            "batch {batch}, {} gradients each, on {}",
            grouped(budget as f64),
            gpu.info().name
        );
        println!(
            "{:<16} {:>9} {:>9} {:>9} {:>9} {:>8} {:>9}",
            "", "h", "steps", "refused", "seconds", "loss", "accuracy"
        );
        let mut runs = Vec::new();
        for recipe in &recipes {
            let h = recipe.h[usize::from(large)] * args.scale;
            let run = train(&gpu, &mut mlp, &test, recipe, h, budget, args.seed)?;
            let last = run.last_test().ok_or("no test was made")?;
            println!(
                "{:<16} {:>9} {:>9} {:>9} {:>9.1} {:>8} {:>9}",
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
        let figure = Figure {
            title: format!("mnist: {inputs}-128-10, batch {batch}"),
            steps_per_epoch: Some(per_epoch),
            runs: &runs,
            against: &[Against::Evaluations, Against::Seconds],
        };
        let path = |ending: &str| args.out.join(format!("compare-{batch}.{ending}"));
        canvas::svg(&figure, &path("svg"))?;
        canvas::png(&figure, &path("png"))?;
        write_csv(&path("csv"), &runs)?;
        println!("wrote {}, .png and .csv", path("svg").display());
    }
    Ok(())
}

/// One optimizer until its gradients are spent; seconds are those of training
/// alone, with every kernel compiled before.
fn train(
    gpu: &Gpu,
    mlp: &mut Mlp,
    test: &Resident,
    recipe: &Recipe,
    h: f64,
    budget: u64,
    seed: u64,
) -> Result<Run, Box<dyn Error>> {
    let build = |mlp: &Mlp| {
        Optimizer::builder(recipe.method.clone())
            .ingredients(recipe.ingredients)
            .step_size((recipe.step_size)(h))
            .build(gpu, mlp.layout(), &mlp.initial(seed))
    };
    let mut warm = build(mlp)?;
    warm.run(mlp, 2)?;
    warm.wait()?;
    let mut optimizer = build(mlp)?;
    let mut run = Run::new(recipe.name.clone());
    const TESTS: u64 = 20;
    for part in 0..=TESTS {
        let goal = budget * part / TESTS;
        let start = Instant::now();
        // Stabilised methods take as many as they need.
        let cost = u64::from(optimizer.plan().evaluations());
        optimizer.run(mlp, goal.saturating_sub(run.evaluations).div_ceil(cost))?;
        optimizer.wait()?;
        run.seconds += start.elapsed().as_secs_f64();
        for report in optimizer.reports() {
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
fn write_csv(path: &Path, runs: &[Run]) -> Result<(), Box<dyn Error>> {
    let mut text = String::from("optimizer,steps,evaluations,seconds,loss,accuracy\n");
    for run in runs {
        for test in &run.tests {
            let accuracy = test.accuracy.map_or(String::new(), |a| a.to_string());
            text += &format!(
                "{},{},{},{:.3},{},{accuracy}\n",
                run.method, test.step, test.evaluations, test.seconds, test.loss
            );
        }
    }
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()).into())
}
