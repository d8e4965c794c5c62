//! All named methods: what they are, what they cost, what they can.
//!
//! ```sh
//! cargo run --release -p kutta-cli -- methods                         # the table
//! cargo run --release -p kutta-cli -- methods --out docs/results   # and pictures
//! cargo run --release -p kutta-cli -- methods --method mine.json   # one more row
//! cargo run --release -p kutta-cli -- methods --readme             # the tables of README.md and docs/methods.md
//! ```

mod group;
mod precision;
mod readme;
mod stability;
mod table;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use kutta::Method;

use self::group::Entry;
use crate::plot::canvas;
use kutta_cli::names::Named;
use kutta_cli::output::Outputs;
use kutta_cli::{names, output};

/// Prints every named method, and draws their stability and their precision.
#[derive(Debug, Parser)]
pub struct Args {
    /// Folder for methods-{stability,precision}.{svg,png}
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// A further method: a file of your own that ends in .json
    #[arg(long, value_name = "FILE", conflicts_with = "readme")]
    method: Vec<String>,
    /// Writes the rows of README.md and docs/methods.md, found in the present folder
    #[arg(long)]
    readme: bool,
}

/// All built-in methods and those of files, each with a name of its own.
fn entries(files: &[String]) -> Result<Vec<Entry>, Box<dyn Error>> {
    let built_in = Method::all().into_iter().map(Entry::new);
    let mut entries: Vec<Entry> = built_in.collect::<Result<_, _>>()?;
    for file in files {
        let Named { method, name } = names::load(file)?;
        let mut entry = Entry::new(method).map_err(output::usage)?;
        let taken = entries.iter().any(|other| other.findings.name == name);
        entry.findings.name =
            if taken { format!("{name} ({})", names::printable(file)) } else { name };
        entries.push(entry);
    }
    Ok(entries)
}

pub fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let mut outputs = Outputs::default();
    if args.readme {
        for page in &readme::PAGES {
            let path = Path::new(page.path);
            let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
            let updated = page.updated(&text)?;
            if updated == text {
                say!("{} was up to date", path.display());
            } else if outputs.file("--readme", path)?.put(&updated) {
                say!("{} is rewritten", path.display());
            }
        }
    }
    let entries = entries(&args.method)?;
    let files = match &args.out {
        None => None,
        Some(out) => {
            let folder = outputs.folder("--out", out)?;
            let file = |name: &str| folder.file(format!("methods-{name}"));
            let [stability, precision] = ["stability", "precision"].map(|name| {
                let [svg, png] = ["svg", "png"].map(|ending| file(&format!("{name}.{ending}")));
                Ok::<_, Box<dyn Error>>((svg?, png?))
            });
            Some((stability?, precision?))
        }
    };
    output::print(table::table(entries.iter().map(|entry| &entry.findings)));
    if let Some(((svg, png), (precise_svg, precise_png))) = files {
        let regions = stability::Figure::new(&entries)?;
        svg.put_made(canvas::to_svg(&regions));
        png.put_made(canvas::to_png(&regions));
        let precision = precision::Figure::new(&entries)?;
        precise_svg.put_made(canvas::to_svg(&precision));
        precise_png.put_made(canvas::to_png(&precision));
        outputs.list();
    }
    Ok(())
}
