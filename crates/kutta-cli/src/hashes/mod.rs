//! SHA-256 of θ after fixed trainings: what "the same bits" means, in figures to quote.
//!
//! ```sh
//! cargo run --release -p kutta-cli -- hashes --against docs/results/hashes.txt
//! cargo run --release -p kutta-cli -- hashes --add docs/results/hashes.txt
//! ```

mod book;
mod recipes;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use kutta::Gpu;

use self::book::Book;
use self::recipes::{ATTEMPTS, RECIPES};
use kutta_cli::output::{self, Outputs};

/// Prints the SHA-256 of θ after fixed trainings, and compares it with what was kept
///
/// The same adapter, driver and version of kutta give the same bits at every run. Another
/// adapter gives others: it multiplies and adds in another order, or has another tanh.
///
/// Ends with 1 where θ is not what the file says of this adapter and driver.
#[derive(Debug, Parser)]
pub struct Args {
    /// A file of hashes to compare with
    #[arg(long, value_name = "FILE", conflicts_with = "add")]
    against: Option<PathBuf>,
    /// Writes the hashes of this adapter and driver into a file, beside those of others
    #[arg(long, value_name = "FILE")]
    add: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let mut outputs = Outputs::default();
    let book = |path: &Path| -> Result<Book, Box<dyn Error>> {
        let text = fs::read_to_string(path)
            .map_err(|e| output::usage(format!("{}: {e}", path.display())))?;
        text.parse().map_err(|e| output::usage(format!("{}: {e}", path.display())))
    };
    let kept = args.against.as_deref().map(book).transpose()?;
    let added = match &args.add {
        None => None,
        Some(path) => {
            let book = if path.exists() { book(path)? } else { Book::default() };
            Some((book, outputs.file("--add", path)?))
        }
    };

    let gpu = Gpu::new()?;
    let adapter = book::adapter(gpu.info());
    say!("adapter: {adapter}");
    say!("SHA-256 of θ after {ATTEMPTS} attempts, little-endian f32 as the layout has them:");
    let width = RECIPES.iter().map(|recipe| recipe.name.len()).max().unwrap_or(0);
    let mut found = Vec::new();
    for recipe in RECIPES {
        let hash = recipe.hash(&gpu)?;
        say!("{:width$}  {hash}", recipe.name);
        found.push((recipe.name.to_owned(), hash));
    }

    if let Some((mut book, file)) = added {
        book.insert(&adapter, &found);
        file.put(book.to_string());
        outputs.list();
    }
    match kept.as_ref().map(|book| book.differences(&adapter, &found)) {
        None => Ok(()),
        Some(None) => {
            say!("the file has no hashes of this adapter and driver; --add would put them there");
            Ok(())
        }
        Some(Some(lines)) if lines.is_empty() => {
            say!("these are the bits of the file");
            Ok(())
        }
        Some(Some(lines)) => Err(lines.join("\n").into()),
    }
}
