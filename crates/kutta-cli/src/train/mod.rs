//! Trains a multilayer perceptron on a folder of IDX files with any method,
//! and draws what happened.
//!
//! ```text
//! cargo run --release -p kutta-cli -- train
//! cargo run --release -p kutta-cli -- train --compare euler,heun,rk4 --budget evaluations
//! cargo run --release -p kutta-cli -- train --checkpoint run --every 30s --resume
//! ```

mod cli;
mod files;
mod progress;
mod recipe;
mod saving;
mod summary;
mod training;
mod wrapped;

use std::error::Error;

use kutta::data::Idx;
use kutta::device::{GpuOptions, MATRIX_FEATURES};
use kutta::models::{Loss, Mlp};
use kutta::{Findings, Gpu};

pub use self::cli::Args;
use self::cli::ProductsName;
pub use self::progress::bar;
pub use self::recipe::{Recipe, as_text, positive};
pub use self::saving::{Saving, identity};
pub use self::training::{Epoch, Trainer};
pub use self::wrapped::Wrapped;
use crate::curve::Run;
use crate::numbers::grouped;
use crate::plot::curves;
use kutta_cli::output::{self, usage};

/// A device, with its matrix units where they are wanted and there; where not, the network says
/// what is missing.
fn open(args: &Args) -> Result<Gpu, kutta::Error> {
    let wanted = GpuOptions { features: MATRIX_FEATURES, ..GpuOptions::default() };
    match args.products.wants_units().then(|| Gpu::with_options(&wanted)) {
        Some(Ok(gpu)) => Ok(gpu),
        _ => Ok(Gpu::new()?),
    }
}

pub fn run(args: Args) -> Result<(), Box<dyn Error>> {
    // First everything that can be wrong, then everything that takes time.
    let (args, mut saving) = Saving::resumed(args)?;
    let methods = args.methods().map_err(usage)?;
    let labels = args.labels().map_err(usage)?;
    args.step_size().map_err(usage)?;
    for method in &methods {
        args.builder(method).map_err(usage)?;
    }
    let findings = args.own(&methods).map(Findings::of).collect::<Result<Vec<_>, _>>()?;
    let files = files::Files::prepare(&args)?;
    for findings in findings {
        output::print(findings);
    }

    note!("reading {}", args.data.display());
    let data = Idx::open(&args.data)?;
    let batches = data.train(args.batch)?.seed(args.seed);
    saving.begin(&args, batches.samples())?;
    let gpu = open(&args)?;
    let epoch = training::Epoch {
        batches: u64::from(batches.per_epoch()),
        samples: batches.samples().len() as u64,
    };
    note!(
        "{} samples in {} batches; compiling shaders for {}",
        grouped(epoch.samples as f64),
        grouped(epoch.batches as f64),
        gpu.info().name
    );
    let layers = args.layers(batches.samples().width(), data.classes());
    let mut mlp = Mlp::builder(&layers)
        .activation(args.activation.into())
        .loss(Loss::CrossEntropy)
        .products(args.products.into())
        .build(&gpu, batches)?;
    if args.products != ProductsName::Auto {
        note!("{}", mlp.products().trim_end());
    }
    for method in &methods {
        args.builder(method)?.requirements(&gpu, mlp.layout())?;
    }
    let test = mlp.upload(&data.test())?;

    let mut trainer =
        Trainer { gpu: &gpu, mlp: &mut mlp, test: &test, args: &args, epoch, quiet: false };
    let mut runs = Vec::new();
    for (method, label) in methods.iter().zip(labels) {
        let mut run = Run::new(label.clone());
        // What it has come to is shown all the same, and so is what others come to.
        if let Err(error) = trainer.train(method, &mut saving, &mut run) {
            output::fault(format_args!("{label}: {error}"));
        }
        runs.extend(Some(run).filter(|run| !run.tests.is_empty()));
    }
    if runs.is_empty() {
        return Ok(());
    }

    let summary = summary::Summary {
        options: &args,
        layers: &layers,
        adapter: &gpu.info().name,
        epoch,
        runs: &runs,
    };
    let drawn = curves::Figure {
        title: summary.title(),
        steps_per_epoch: trainer.steps_per_epoch(&methods),
        runs: &runs,
        against: if runs.len() > 1 { curves::TOGETHER } else { curves::ALONE },
    };
    output::print(&summary);
    files.write(&drawn, &summary);
    Ok(())
}
