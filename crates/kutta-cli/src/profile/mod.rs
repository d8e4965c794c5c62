//! Where the time of a training step goes.
//!
//! ```text
//! cargo run --release -p kutta-cli -- profile
//! cargo run --release -p kutta-cli -- profile --hidden 1024,1024 --batch 1024 --method euler
//! cargo run --release -p kutta-cli -- profile --field --trace trace.json
//! ```

mod model;

use std::error::Error;
use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use clap::{Parser, ValueEnum};
use kutta::device::{GpuError, GpuOptions};
use kutta::profile::Profile;
use kutta::wgpu::Features;
use kutta::{Gpu, Optimizer};
use serde::Serialize;

use self::model::Model;
use crate::train::{Recipe, Wrapped, positive};
use kutta_cli::names::{self, Named};
use kutta_cli::network::{ActivationName, EncodingName};
use kutta_cli::output::{self, Outputs, usage};

/// Says where the time of a training step goes: what each of its dispatches takes on the
/// device
///
/// The model is a network as `train` has it, on made-up samples or on those of --data; or with
/// --field a neural image or volume. After a few steps to warm up, as many are timed by the
/// clock on the wall as are then profiled.
#[derive(Debug, Parser, Serialize)]
pub struct Args {
    /// Runge-Kutta method, by name, such as rk4, rdpk3sp35 or rkc2:stages=8, or a
    /// file of your own that ends in .json
    #[arg(long, value_name = "NAME|FILE", default_value = "rk4")]
    method: String,

    #[command(flatten)]
    #[serde(flatten)]
    recipe: Recipe,

    /// Samples or texels in a batch, or in a micro-batch; 64, and 8192 of a field
    #[arg(long, value_name = "N", value_parser = positive)]
    batch: Option<usize>,

    /// Widths of the hidden layers; 128, and 32 of a field
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = positive)]
    hidden: Option<Vec<usize>>,

    /// What a hidden layer does with its sums: relu, tanh, gelu or sine:OMEGA
    #[arg(long, value_name = "NAME", default_value_t)]
    #[serde(serialize_with = "crate::train::as_text")]
    activation: ActivationName,

    /// A folder with samples, as `train` has it
    #[arg(long, value_name = "DIR", conflicts_with = "field")]
    data: Option<PathBuf>,

    /// Inputs of a made-up sample
    #[arg(long, value_name = "N", default_value_t = 784, value_parser = positive, conflicts_with_all = ["field", "data"])]
    inputs: usize,

    /// Classes of the made-up samples
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(2..=256), conflicts_with_all = ["field", "data"])]
    classes: u16,

    /// A network from coordinates to a picture's colours
    #[arg(long)]
    field: bool,

    /// Coordinates into features: hash-grid, gaussian, octaves or coordinates, with
    /// values as in hash-grid:levels=8,features=2,log2-table=11,coarsest=8,growth=1.5
    #[arg(long, value_name = "NAME[:KEY=VALUE,...]", default_value_t, requires = "field")]
    #[serde(serialize_with = "crate::train::as_text")]
    encoding: EncodingName,

    /// Texels of the made-up picture: width and height, and depth of a volume
    #[arg(long, value_name = "N,N[,N]", value_delimiter = ',', default_value = "512,512", value_parser = positive, requires = "field")]
    extent: Vec<usize>,

    /// Numbers of a texel
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=4), requires = "field")]
    channels: u8,

    /// The points of a batch: texels, points anywhere between them, or all texels
    #[arg(long, value_enum, default_value_t = PointsName::Texels, requires = "field")]
    points: PointsName,

    /// Steps to profile, refused ones among them
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1024))]
    attempts: u64,

    /// Seed of the initial parameters and of the batches
    #[arg(long, value_name = "N", default_value_t = 7)]
    seed: u64,

    /// Writes every single dispatch to this file, for ui.perfetto.dev
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,

    /// Also writes the options and the table to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PointsName {
    Texels,
    Anywhere,
    All,
}

/// Steps before anything is timed: kernels are compiled, and devices wake up.
const WARM_UP: u64 = 4;

pub fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    // First everything that can be wrong, then everything that takes time.
    let Named { method, name } = names::load(&args.method)?;
    let builder = args.recipe.builder(&method).map_err(usage)?;
    let model = Model::check(args)?;
    let mut outputs = Outputs::default();
    let mut file = |option, path: &Option<PathBuf>| {
        path.as_ref().map(|path| outputs.file(option, path)).transpose()
    };
    let (trace, json) = (file("--trace", &args.trace)?, file("--json", &args.json)?);
    let gpu = open()?;

    let model = model.build(&gpu, args)?;
    let (layout, start) = (model.layout().clone(), model.initial(args.seed));
    builder.requirements(&gpu, &layout)?;
    let what = format!("{}, {name}", model.describe());
    note!("compiling shaders for {}", gpu.info().name);
    let mut source = Wrapped::new(&gpu, model, &args.recipe, &layout)?;
    let mut optimizer = builder.source(&source).build(&gpu, &layout, &start)?;
    optimizer.run(&mut source, WARM_UP)?;
    optimizer.wait()?;
    let clock = Instant::now();
    optimizer.run(&mut source, args.attempts)?;
    optimizer.wait()?;
    let wall = clock.elapsed().as_secs_f64() * 1e6 / args.attempts as f64;
    let profile = optimizer.profile(&mut source, args.attempts)?;

    say!("{what}: {wall:.1} µs an attempt by the clock on the wall, without the profile");
    output::print(&profile);
    if let Some(trace) = &trace {
        trace.put(profile.trace());
    }
    if let Some(json) = &json {
        let found = Found::new(&gpu, args, &what, &optimizer, (&profile, wall));
        json.write(|out| {
            serde_json::to_writer_pretty(&mut *out, &found)?;
            writeln!(out)
        });
    }
    outputs.list();
    Ok(())
}

/// A device with timestamps, inside passes where there are such.
fn open() -> Result<Gpu, Box<dyn Error>> {
    let with = |features| Gpu::with_options(&GpuOptions { features, ..GpuOptions::default() });
    let some = Features::TIMESTAMP_QUERY;
    let opened = match with(some | Features::TIMESTAMP_QUERY_INSIDE_PASSES) {
        Err(GpuError::NoDevice { .. }) => with(some),
        opened => opened,
    };
    Ok(opened.map_err(|error| match error {
        GpuError::NoDevice { adapter, reason } => format!(
            "adapter `{adapter}` gave no device with TIMESTAMP_QUERY, which a profile is taken by: \
             {reason}. Name another one by KUTTA_ADAPTER (`kutta adapters` lists them), or time \
             whole kernels by `kutta roofline`"
        ),
        other => other.to_string(),
    })?)
}

/// What `--json` writes.
#[derive(Serialize)]
struct Found<'a> {
    date: String,
    adapter: &'a str,
    driver: String,
    options: &'a Args,
    what: &'a str,
    parameters: usize,
    /// Microseconds an attempt, by the clock on the wall and without the profile.
    wall: f64,
    attempts: u64,
    timestamps: String,
    /// Microseconds that timestamps add to a dispatch; subtracted from all that follow.
    cost: f64,
    /// Microseconds an attempt.
    sum: f64,
    rows: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    kernel: &'a str,
    workgroups: Option<[u32; 3]>,
    per_attempt: f64,
    /// Microseconds.
    median: f64,
    p10: f64,
    p90: f64,
    share: f64,
}

impl<'a> Found<'a> {
    fn new(
        gpu: &'a Gpu,
        options: &'a Args,
        what: &'a str,
        optimizer: &Optimizer,
        (profile, wall): (&'a Profile, f64),
    ) -> Self {
        let line = |row: &'a kutta::profile::Row| Line {
            kernel: &row.label,
            workgroups: row.workgroups,
            per_attempt: row.per_attempt,
            median: row.median,
            p10: row.p10,
            p90: row.p90,
            share: row.share,
        };
        Self {
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            adapter: profile.adapter(),
            driver: names::driver(gpu.info()),
            options,
            what,
            parameters: optimizer.layout().parameters(),
            wall,
            attempts: profile.attempts(),
            timestamps: profile.stamps().to_string(),
            cost: profile.cost(),
            sum: profile.total(),
            rows: profile.rows().iter().map(line).collect(),
        }
    }
}
