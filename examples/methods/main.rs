//! All named methods: what they are, what they cost, what they can.
//!
//! ```sh
//! cargo run --release --example methods                         # the table
//! cargo run --release --example methods -- --out docs/results   # and pictures
//! cargo run --release --example methods -- --method mine.json   # one more row
//! cargo run --release --example methods -- --readme             # README's table
//! ```

mod axis;
#[path = "../train/plot/canvas.rs"]
mod canvas;
mod group;
#[path = "../train/numbers.rs"]
#[allow(dead_code)] // The training example's, of which this takes a part.
mod numbers;
mod panel;
mod precision;
mod readme;
mod stability;
#[path = "../train/plot/style.rs"]
mod style;
mod table;

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use kutta::Method;

use group::Entry;

/// Prints every named method, and draws their stability and their precision.
#[derive(Debug, Parser)]
struct Args {
    /// Folder for methods-{stability,precision}.{svg,png}
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// A further method: a file of your own that ends in .json
    #[arg(long, value_name = "FILE", conflicts_with = "readme")]
    method: Vec<String>,
    /// Writes the rows of README.md, found in the present folder
    #[arg(long)]
    readme: bool,
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

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    if args.readme {
        let path = "README.md";
        let text = fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
        let updated = readme::updated(&text)?;
        if updated != text {
            fs::write(path, &updated).map_err(|e| format!("{path}: {e}"))?;
        }
        println!("{path} {}", if updated == text { "was up to date" } else { "is rewritten" });
    }
    let mut methods = Method::all();
    for name in &args.method {
        methods.push(Method::load(name)?);
    }
    let entries: Vec<Entry> = methods.into_iter().map(Entry::new).collect::<Result<_, _>>()?;
    let table = table::table(entries.iter().map(|entry| &entry.findings));
    // A closed pipe is no reason to fail.
    let _ = write!(std::io::stdout(), "{table}");
    if let Some(out) = &args.out {
        fs::create_dir_all(out).map_err(|e| format!("{}: {e}", out.display()))?;
        let path = |name: &str| out.join(format!("methods-{name}"));
        let regions = stability::Figure::new(&entries)?;
        canvas::svg(&regions, &path("stability.svg"))?;
        canvas::png(&regions, &path("stability.png"))?;
        let precision = precision::Figure::new(&entries)?;
        canvas::svg(&precision, &path("precision.svg"))?;
        canvas::png(&precision, &path("precision.png"))?;
        println!(
            "wrote {}, .png, {} and .png",
            path("stability.svg").display(),
            path("precision.svg").display()
        );
    }
    Ok(())
}
