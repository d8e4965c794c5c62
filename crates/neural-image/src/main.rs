//! Fits a network to an image, coordinates in and colour out, live.
//!
//! ```text
//! cargo run --release -p neural-image
//! cargo run --release -p neural-image -- photo.jpg --headless --steps 600 --out target/photo
//! ```

#[macro_use]
extern crate kutta_cli;

mod cli;
mod headless;
mod picture;
mod recipe;
mod table;
mod window;

use std::error::Error;
use std::process::ExitCode;

use kutta::Findings;

use kutta_cli::names::{self, Named};
use kutta_cli::output::{self, Outputs};

use self::cli::Args;
use self::picture::Picture;

fn main() -> ExitCode {
    output::main(|args: Args| run(&args))
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let Named { method, name } = names::load(&args.method)?;
    if kutta::Method::is_path(&args.method) {
        output::print(Findings::of(&method).map_err(output::usage)?);
    }
    if !args.headless && !args.compare {
        return window::run(args);
    }
    let recipe = recipe::Recipe::of(args, name, method);
    if args.compare {
        table::check(args).map_err(output::usage)?;
    } else {
        recipe.builder().check().map_err(output::usage)?;
    }
    let picture = match &args.image {
        Some(path) => Picture::open(path, args.most)?,
        None => Picture::included(args.most)?,
    };
    if let Some(note) = &picture.note {
        say!("{}: {note}", picture.name);
    }
    let mut outputs = Outputs::default();
    let folder = outputs.folder("--out", &args.out)?;
    match args.headless {
        true => headless::run(args, &recipe, &picture, &folder),
        false => table::run(args, &picture, &folder),
    }
}
