//! Fits a network to an image, coordinates in and colour out, live.
//!
//! ```text
//! cargo run --release --example neural_image
//! cargo run --release --example neural_image -- photo.jpg --headless --steps 600 --out target/photo
//! ```

mod cli;
mod headless;
mod network;
mod picture;
mod recipe;
mod table;
mod window;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use kutta::Gpu;

use cli::Args;
use picture::Picture;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    if !args.headless && !args.compare {
        return window::run(args);
    }
    let picture = match &args.image {
        Some(path) => Picture::open(path, args.most)?,
        None => Picture::included()?,
    };
    if let Some(note) = &picture.note {
        println!("{}: {note}", picture.name);
    }
    let gpu = Gpu::new()?;
    match args.headless {
        true => headless::run(&gpu, args, &picture),
        false => table::run(&gpu, args, &picture),
    }
}
