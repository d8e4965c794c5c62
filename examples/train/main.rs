//! Trains a multilayer perceptron on a folder of IDX files with any method,
//! and draws what happened.
//!
//! ```text
//! cargo run --release --example train
//! cargo run --release --example train -- --compare euler,heun,rk4 --budget evaluations
//! cargo run --release --example train -- --checkpoint run --every 30s --resume
//! ```

mod cli;
mod curve;
mod files;
mod numbers;
mod plot;
mod progress;
mod saving;
mod summary;
mod training;

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use kutta::data::Idx;
use kutta::models::{Loss, Mlp};
use kutta::{Findings, Gpu, Method};

use cli::Args;
use training::Trainer;

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

/// Batches that a step takes from the epoch.
fn batches_per_step(args: &Args, methods: &[Method]) -> u64 {
    match (args.batch_per_stage, methods) {
        (true, [method]) => method.stages() as u64,
        _ => u64::from(args.accumulate),
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let methods = args.methods()?;
    args.step_size()?;
    for (_, method) in args.names().zip(&methods).filter(|(name, _)| Method::is_path(name)) {
        write!(std::io::stdout(), "{}", Findings::of(method)?)?;
    }
    // Nobody wants to hear after the training that it cannot be saved.
    let files = files::Outputs::prepare(&args.out, args.json.as_deref())?;
    let data = Idx::open(&args.data)?;
    let gpu = Gpu::new()?;

    let batches = data.train(args.batch)?.seed(args.seed);
    let epoch = training::Epoch {
        batches: u64::from(batches.per_epoch()).div_ceil(batches_per_step(args, &methods)),
        samples: batches.samples().len() as u64,
    };
    let layers = args.layers(batches.samples().width(), data.classes());
    let mut mlp = Mlp::builder(&layers)
        .activation(args.activation.into())
        .loss(Loss::CrossEntropy)
        .build(&gpu, batches)?;
    let test = mlp.upload(&data.test())?;

    let mut trainer = Trainer { gpu: &gpu, mlp: &mut mlp, test: &test, args, epoch };
    let mut runs = Vec::new();
    for method in &methods {
        runs.push(trainer.train(method)?);
    }

    let summary = summary::Summary {
        options: args,
        layers: &layers,
        adapter: &gpu.info().name,
        epoch,
        runs: &runs,
    };
    let drawn = plot::Figure {
        title: summary.title(),
        steps_per_epoch: epoch.batches,
        runs: &runs,
        against: if runs.len() > 1 { plot::TOGETHER } else { plot::ALONE },
    };
    files.write(&drawn, &summary)?;
    // A closed pipe is no reason to fail now.
    let _ = write!(std::io::stdout(), "{summary}{files}");
    Ok(())
}
