//! Which method reaches a loss with the fewest gradients: on an ill-conditioned
//! quadratic, and on MNIST.
//!
//! ```sh
//! cargo run --release -p kutta-cli -- race --out docs/results
//! cargo run --release -p kutta-cli -- race --quick
//! ```

mod course;
mod network;
mod picture;
mod quadratic;

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use clap::Parser;
use kutta::{Findings, Gpu, Ingredients, Method, StepSize};

use self::course::{Best, Contender, Course, Outcome, Setting, best};
use crate::numbers::{grouped, short};
use crate::plot::canvas;
use kutta_cli::names::{Named, cell};
use kutta_cli::notice::Notice;
use kutta_cli::output::{Folder, Output, Outputs};
use kutta_cli::{names, output};

/// Counts the gradients that each method needs to reach a loss.
#[derive(Debug, Parser)]
pub struct Args {
    /// Folder with the four IDX files
    #[arg(long, default_value = "data/mnist")]
    data: PathBuf,
    /// Small problems and few settings, to see that it runs
    #[arg(long)]
    quick: bool,
    /// Of the quadratic, 2 or more
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(2..))]
    parameters: u32,
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
    own: Option<&Named>,
) -> Results {
    let contenders: Vec<Contender> =
        course.contenders().into_iter().chain(own.map(longest)).collect();
    let width = contenders.iter().map(|c| c.name.chars().count()).fold(22, usize::max);
    say!("{title}");
    say!("{:<width$} {:>9} {:>9} {:>8}  of its settings, the best", "", "gradients", "loss", "s");
    let mut rows = Vec::new();
    let mut notice = Some(Notice::new("compiling kernels and running the first of them"));
    for contender in contenders {
        let start = Instant::now();
        let row = best(course, contender);
        notice = None;
        let Outcome { reached, loss, .. } = row.winner();
        say!(
            "{:<width$} {:>9} {:>9} {:>8.1}  {}",
            row.name,
            reached.map_or("–".into(), |count| grouped(count as f64)),
            short(*loss),
            start.elapsed().as_secs_f64(),
            row.winner().said(),
        );
        rows.push(row);
    }
    drop(notice);
    Results { name, title, target: course.target(), rows }
}

/// A method with its largest stable steps.
fn longest(Named { method, name }: &Named) -> Contender {
    let setting = |fraction: f64| Setting {
        name: format!("stable:fraction={fraction}"),
        method: method.clone(),
        ingredients: Ingredients::default(),
        step_size: Some(StepSize::stable(fraction, 1e6)),
    };
    Contender { name: name.clone(), settings: vec![setting(0.98), setting(0.8)] }
}

/// The files of one course.
struct Files {
    csv: Output,
    curves: Output,
    svg: Output,
    png: Output,
}

impl Files {
    fn new(folder: &Folder, name: &str) -> Result<Self, Box<dyn Error>> {
        let file = |ending: &str| folder.file(format!("race-{name}{ending}"));
        Ok(Self {
            csv: file(".csv")?,
            curves: file("-curves.csv")?,
            svg: file(".svg")?,
            png: file(".png")?,
        })
    }

    fn write(&self, results: &Results) {
        self.csv.put(outcomes(results));
        self.curves.put(curves(results));
        if results.rows.iter().any(|row| !row.winner().curve.is_empty()) {
            let figure = picture::Figure::new(results);
            self.svg.put_made(canvas::to_svg(&figure));
            self.png.put_made(canvas::to_png(&figure));
        }
    }
}

pub fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let own = args.method.as_deref().map(names::load).transpose()?;
    let wanted = |name: &str| args.only.as_deref().is_none_or(|only| only == name);
    let mut outputs = Outputs::default();
    let folder = outputs.folder("--out", &args.out)?;
    let files = |name: &str| wanted(name).then(|| Files::new(&folder, name)).transpose();
    let (of_quadratic, of_network) = (files("quadratic")?, files("mnist")?);
    // What is wrong with the second course is said before the first is run.
    let data = of_network.is_some().then(|| network::data(&args.data)).transpose()?;
    if let (Some(own), Some(asked)) = (&own, &args.method) {
        let findings = Findings::of(&own.method).map_err(output::usage)?;
        if Method::is_path(asked) {
            say!("{findings}");
        }
    }
    let notice = Notice::of_kernels();
    let gpu = Gpu::new()?;
    drop(notice);
    say!("on {}", gpu.info().name);
    if let Some(files) = &of_quadratic {
        let mut course = quadratic::Quadratic::new(&gpu, args.parameters as usize, args.quick)?;
        let title = course.title();
        files.write(&results(&mut course, "quadratic", title, own.as_ref()));
    }
    if let (Some(files), Some(data)) = (&of_network, data) {
        let mut course = network::Network::new(&gpu, data, args.quick)?;
        let title = course.title();
        files.write(&results(&mut course, "mnist", title, own.as_ref()));
    }
    outputs.list();
    Ok(())
}

/// One line for every setting.
fn outcomes(results: &Results) -> String {
    let mut text = String::from("method,setting,end,gradients,loss\n");
    for row in &results.rows {
        for outcome in &row.outcomes {
            let Outcome { setting, end, spent, loss, reached, .. } = outcome;
            let (count, end) = (reached.unwrap_or(*spent), end.name());
            let (name, setting) = (cell(&row.name), cell(setting));
            text += &format!("{name},{setting},{end},{count},{loss}\n");
        }
    }
    text
}

/// The best setting of every method: some points of its way.
fn curves(results: &Results) -> String {
    let mut text = String::from("method,setting,gradients,loss\n");
    for row in &results.rows {
        let Outcome { setting, curve, .. } = row.winner();
        let (name, setting) = (cell(&row.name), cell(setting));
        for (count, loss) in course::thinned(curve, 100) {
            text += &format!("{name},{setting},{count},{loss}\n");
        }
    }
    text
}
