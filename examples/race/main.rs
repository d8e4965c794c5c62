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
use kutta::Gpu;

use course::{Best, Course, Outcome, best};
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
) -> Result<Results, Box<dyn Error>> {
    println!("{title}");
    println!("{:<22} {:>9} {:>9} {:>8}  of its settings, the best", "", "gradients", "loss", "s");
    let mut rows = Vec::new();
    for contender in course.contenders() {
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

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(&args.out).map_err(|e| format!("{}: {e}", args.out.display()))?;
    let gpu = Gpu::new()?;
    let wanted = |name: &str| args.only.as_deref().is_none_or(|only| only == name);
    println!("on {}", gpu.info().name);
    if wanted("quadratic") {
        let mut course = quadratic::Quadratic::new(&gpu, args.parameters, args.quick)?;
        let title = course.title();
        write(&args.out, &results(&mut course, "quadratic", title)?)?;
    }
    if wanted("mnist") {
        let mut course = network::Network::new(&gpu, &args.data, args.quick)?;
        let title = course.title();
        write(&args.out, &results(&mut course, "mnist", title)?)?;
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
            text += &format!("{},\"{setting}\",{end},{count},{loss}\n", quoted(row.name));
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
            text += &format!("{},\"{setting}\",{count},{loss}\n", quoted(row.name));
        }
    }
    text
}

/// Some names have a comma.
fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}
