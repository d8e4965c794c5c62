//! The options.

use std::path::PathBuf;

use clap::Parser;
use kutta::{Adaptive, Momentum, Preconditioner, StepSize};

use crate::picture::LEAST_SIDE;
use kutta_cli::network::{ActivationName, EncodingName};

/// Fits a small network to an image, coordinates in and colour out, with Runge-Kutta
/// methods: live in a window, or headless into files.
#[derive(Debug, Parser)]
#[command(name = "neural-image")]
pub struct Args {
    /// A PNG or JPEG; without one the photograph that comes with the program. The window
    /// also takes files that are dropped on it
    #[arg(value_name = "IMAGE")]
    pub image: Option<PathBuf>,

    /// No window: frames, an animated PNG and a CSV go to --out
    #[arg(long)]
    pub headless: bool,

    /// Trains with each optimizer of the table, all with as many gradients, and writes
    /// the table to --out; without a window
    #[arg(long, conflicts_with_all = ["headless", "method", "step_size", "adaptive", "preconditioner", "momentum"])]
    pub compare: bool,

    /// Steps of --headless
    #[arg(long, value_name = "N", default_value_t = 900, requires = "headless", value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub steps: u64,

    /// Gradients of each optimizer of --compare
    #[arg(long, value_name = "N", default_value_t = 1800, requires = "compare", value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub evaluations: u64,

    /// Where files go
    #[arg(long, value_name = "DIR", default_value = "target/neural_image")]
    pub out: PathBuf,

    /// Frames of --headless, after one of the start
    #[arg(long, value_name = "N", default_value_t = 24, requires = "headless", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub frames: u64,

    /// Longest side in texels; a larger image is scaled down to it
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(i64::from(LEAST_SIDE)..=1 << 16))]
    pub most: u32,

    /// Coordinates into features: hash-grid, gaussian, octaves or coordinates, with
    /// values as in hash-grid:levels=8,features=2,log2-table=11,coarsest=8,growth=1.5,
    /// gaussian:waves=64,sigma=10 and octaves:octaves=8
    #[arg(long, value_name = "NAME[:KEY=VALUE,...]", default_value_t)]
    pub encoding: EncodingName,

    /// Widths of the hidden layers
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "32")]
    pub hidden: Vec<usize>,

    /// relu, tanh, gelu or sine:OMEGA
    #[arg(long, value_name = "NAME", default_value_t)]
    pub activation: ActivationName,

    /// Texels in a batch
    #[arg(long, value_name = "N", default_value_t = 8192)]
    pub batch: usize,

    /// Runge-Kutta method, by name, such as heun, rk4 or rkc2:stages=8, or a file of your
    /// own that ends in .json
    #[arg(long, value_name = "NAME|FILE", default_value = "heun")]
    pub method: String,

    /// Step size: a number, or a schedule such as
    /// cosine:from=0.04,to=0.001,steps=900,warm-up=60, which is the default; in the
    /// window its first value
    #[arg(long, value_name = "H", allow_hyphen_values = true)]
    pub step_size: Option<StepSize>,

    /// Step sizes by the method's error estimate: rtol=1e-3,atol=1e-5
    #[arg(long, value_name = "KEY=VALUE,...", requires = "headless")]
    pub adaptive: Option<Adaptive>,

    /// NAME[:key=value,...], such as adam:beta2=0.99 or none
    #[arg(long, default_value_t = Preconditioner::adam(0.99, 1e-6))]
    pub preconditioner: Preconditioner,

    /// heavy-ball:0.9, nesterov:0.9, ema:0.9 (Adam's) or none
    #[arg(long, default_value_t = Momentum::ema(0.9))]
    pub momentum: Momentum,

    /// Seed of the initial values and of the batches
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Closes the window after this many frames
    #[arg(long, value_name = "N", conflicts_with_all = ["headless", "compare"], value_parser = clap::value_parser!(u64).range(1..))]
    pub close_after: Option<u64>,

    /// Where the window's last frame goes, as a PNG, when it closes
    #[arg(long, value_name = "FILE", requires = "close_after")]
    pub screenshot: Option<PathBuf>,
}
