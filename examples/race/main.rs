//! Which method reaches a loss with the fewest gradients: on an ill-conditioned
//! quadratic, and on MNIST.
//!
//! ```sh
//! cargo run --release --example race -- --out docs/results
//! cargo run --release --example race -- --quick
//! ```

#[path = "../methods/axis.rs"]
#[allow(dead_code)] // Of the methods example, like the panels: a part.
mod axis;
#[path = "../train/plot/canvas.rs"]
mod canvas;
mod course;
mod network;
#[path = "../train/numbers.rs"]
#[allow(dead_code)] // The training example's, of which this takes a part.
mod numbers;
#[path = "../methods/panel.rs"]
#[allow(dead_code)]
mod panel;
mod picture;
mod quadratic;
#[path = "../train/plot/style.rs"]
mod style;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use kutta::{Findings, Gpu, Ingredients, Method, StepSize};

use course::{Best, Contender, Course, Outcome, Setting, best};
use numbers::{grouped, short};

/// Counts the gradients that each method needs to reach a loss.
#[derive(Debug, Parser)]
struct Args {
    /// Folder with the four IDX files
    #[arg(long, default_value = "data/mnist")]
    data: PathBuf,
    /// Small problems and few settings, to see that it runs
    #[arg(long)]
    quick: bool,
    /// Of the quadratic
    #[arg(long, default_value_t = 1_000_000)]
    parameters: usize,
    /// Only one of the two: quadratic or mnist
    #[arg(long, value_parser = ["quadratic", "mnist"])]
    only: Option<String>,
    /// One more contender: a method by name, or your own from a .json file, with
    /// the largest steps that are stable
    #[arg(long, value_name = "NAME|FILE")]
    method: Option<String>,
    /// Folder for race-{quadratic,mnist}.{svg,png,csv} and -curves.csv
    #[arg(long, default_value = "target/race")]
    out: PathBuf,
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

/// What a course led to.
struct Results {
    name: &'static str,
    title: String,
    target: f64,
    rows: Vec<Best>,
}

fn results(
    course: &mut impl Course,
    name: &'static str,
    title: String,
    own: Option<&Method>,
) -> Result<Results, Box<dyn Error>> {
    println!("{title}");
    println!("{:<22} {:>9} {:>9} {:>8}  of its settings, the best", "", "gradients", "loss", "s");
    let mut rows = Vec::new();
    for contender in course.contenders().into_iter().chain(own.map(longest)) {
        let start = Instant::now();
        let row = best(course, contender)?;
        let Outcome { reached, loss, .. } = row.winner();
        println!(
            "{:<22} {:>9} {:>9} {:>8.1}  {}",
            row.name,
            reached.map_or("–".into(), |count| grouped(count as f64)),
            short(*loss),
            start.elapsed().as_secs_f64(),
            row.winner().said(),
        );
        rows.push(row);
    }
    Ok(Results { name, title, target: course.target(), rows })
}

/// A method with its largest stable steps.
fn longest(method: &Method) -> Contender {
    let setting = |fraction: f64| Setting {
        name: format!("stable:fraction={fraction}"),
        method: method.clone(),
        ingredients: Ingredients::default(),
        step_size: Some(StepSize::stable(fraction, 1e6)),
    };
    Contender { name: method.to_string(), settings: vec![setting(0.98), setting(0.8)] }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(&args.out).map_err(|e| format!("{}: {e}", args.out.display()))?;
    let gpu = Gpu::new()?;
    let wanted = |name: &str| args.only.as_deref().is_none_or(|only| only == name);
    let own = args.method.as_deref().map(Method::load).transpose()?;
    if let (Some(method), Some(true)) = (&own, args.method.as_deref().map(Method::is_path)) {
        println!("{}", Findings::of(method)?);
    }
    println!("on {}", gpu.info().name);
    if wanted("quadratic") {
        let mut course = quadratic::Quadratic::new(&gpu, args.parameters, args.quick)?;
        let title = course.title();
        write(&args.out, &results(&mut course, "quadratic", title, own.as_ref())?)?;
    }
    if wanted("mnist") {
        let mut course = network::Network::new(&gpu, &args.data, args.quick)?;
        let title = course.title();
        write(&args.out, &results(&mut course, "mnist", title, own.as_ref())?)?;
    }
    Ok(())
}

fn write(folder: &Path, results: &Results) -> Result<(), Box<dyn Error>> {
    let path = |ending: &str| folder.join(format!("race-{}{ending}", results.name));
    for (ending, text) in [(".csv", outcomes(results)), ("-curves.csv", curves(results))] {
        fs::write(path(ending), text).map_err(|e| format!("{}: {e}", path(ending).display()))?;
    }
    let figure = picture::Figure::new(results);
    canvas::svg(&figure, &path(".svg"))?;
    canvas::png(&figure, &path(".png"))?;
    println!("wrote {}, .png, .csv and -curves.csv", path(".svg").display());
    Ok(())
}

/// One line for every setting.
fn outcomes(results: &Results) -> String {
    let mut text = String::from("method,setting,end,gradients,loss\n");
    for row in &results.rows {
        for outcome in &row.outcomes {
            let Outcome { setting, end, spent, loss, reached, .. } = outcome;
            let (count, end) = (reached.unwrap_or(*spent), end.name());
            text += &format!("{},\"{setting}\",{end},{count},{loss}\n", quoted(&row.name));
        }
    }
    text
}

/// The best setting of every method: some points of its way.
fn curves(results: &Results) -> String {
    let mut text = String::from("method,setting,gradients,loss\n");
    for row in &results.rows {
        let Outcome { setting, curve, .. } = row.winner();
        for (count, loss) in course::thinned(curve, 100) {
            text += &format!("{},\"{setting}\",{count},{loss}\n", quoted(&row.name));
        }
    }
    text
}

/// Some names have a comma.
fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}
