//! The options.

use std::fmt::{Debug, Display};
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use kutta::checkpoint::Every;
use kutta::models::Activation;
use kutta::{
    Adaptive, Ingredients, Method, Momentum, Preconditioner, SpectralRadius, StepSize, Stored,
};
use serde::{Serialize, Serializer};

/// Trains a multilayer perceptron on a folder of IDX files with a Runge-Kutta
/// method, and draws its loss and test accuracy.
#[derive(Debug, Parser, Serialize)]
#[command(name = "train")]
pub struct Args {
    /// Folder with {train,t10k}-{images-idx3,labels-idx1}-ubyte, plain or .gz
    #[arg(long, value_name = "DIR", default_value = "data/mnist")]
    pub data: PathBuf,

    /// Runge-Kutta method, by name, such as rk4, rdpk3sp35 or rkc2:stages=8, or a
    /// file of your own that ends in .json; an unknown name lists them all
    #[arg(long, value_name = "NAME|FILE", default_value = "rk4", conflicts_with = "compare")]
    pub method: String,

    /// Trains with several methods from the same start and draws them together
    #[arg(long, value_name = "NAME|FILE,...", value_delimiter = ',')]
    pub compare: Vec<String>,

    /// Step size h of the gradient flow, the learning rate: a number; a schedule
    /// such as cosine:from=0.5,to=0.01,steps=4000,warm-up=200; or a rule such as
    /// rescaled-dal:c=1,p=1, dal:p=1,from=stages, polyak, sgd-g2:h=0.1,
    /// stable:fraction=0.9,h-max=1. With --adaptive the first h
    #[arg(long, value_name = "H", default_value = "0.5", allow_hyphen_values = true)]
    pub step_size: String,

    /// Step sizes by the error estimate of the method's pair (heun-euler, bs3,
    /// dp5, rdpk3sp35, rkc2): rtol=1e-3,atol=1e-5,controller=i|pi|pid,h-max=0.5
    #[arg(long, value_name = "KEY=VALUE,...", value_parser = adaptive)]
    #[serde(serialize_with = "as_debug")]
    pub adaptive: Option<Adaptive>,

    /// Where stability bounds steps, what bounds the curvature: a number, or
    /// estimated
    #[arg(long, value_name = "RHO", default_value_t = SpectralRadius::Estimated, allow_negative_numbers = true)]
    #[serde(serialize_with = "as_text")]
    pub spectral_radius: SpectralRadius,

    /// Largest norm of a step's first gradient; all its gradients are clipped
    /// alike
    #[arg(long, value_name = "NORM", allow_negative_numbers = true)]
    pub clip: Option<f64>,

    /// NAME[:key=value,...], such as adagrad_rescaled or adam:beta2=0.999
    #[arg(long, default_value_t = Preconditioner::none())]
    #[serde(serialize_with = "as_text")]
    pub preconditioner: Preconditioner,

    /// heavy-ball:0.9, nesterov:0.9 or ema:0.9 (Adam's)
    #[arg(long, default_value_t = Momentum::none())]
    #[serde(serialize_with = "as_text")]
    pub momentum: Momentum,

    /// f32, f16 or bf16 for gradients, momentum and second moment, or for some:
    /// f32:gradients=f16,second=bf16,rounding=stochastic
    #[arg(long, value_name = "FORMAT", default_value_t = Stored::default())]
    #[serde(serialize_with = "as_text")]
    pub storage: Stored,

    /// Decoupled weight decay, as in AdamW
    #[arg(long, value_name = "LAMBDA", default_value_t = 0.0, allow_negative_numbers = true)]
    pub weight_decay: f64,

    /// L2 decay: LAMBDA times the parameters is added to every gradient
    #[arg(long, value_name = "LAMBDA", default_value_t = 0.0, allow_negative_numbers = true)]
    pub l2: f64,

    /// Also tests the moving average of the parameters, which takes in 1 - BETA
    /// of them at each step
    #[arg(long, value_name = "BETA", allow_negative_numbers = true)]
    pub average: Option<f64>,

    /// Micro-batches to a gradient
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub accumulate: u32,

    /// Gives every stage of a step a batch of its own
    #[arg(long, conflicts_with_all = ["accumulate", "compare"])]
    pub batch_per_stage: bool,

    /// Samples in a batch, or in a micro-batch
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub batch: usize,

    /// How often to go through the training set
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub epochs: u64,

    /// What the epochs count for every method: epochs themselves, or as many
    /// gradient evaluations as those epochs have batches, so that a method of
    /// s stages takes 1/s of the steps
    #[arg(long, value_enum, default_value_t = Budget::Epochs)]
    pub budget: Budget,

    /// Widths of the hidden layers
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "128")]
    pub hidden: Vec<usize>,

    /// What a hidden layer does with its sums
    #[arg(long, value_enum, default_value_t = ActivationName::Relu)]
    pub activation: ActivationName,

    /// Seed of the initial parameters and of the order of the samples
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub seed: u64,

    /// Folder for train.svg and train.png
    #[arg(long, value_name = "DIR", default_value = "target/train")]
    pub out: PathBuf,

    /// Saves the training in this folder as it goes on, and at its end
    #[arg(long, value_name = "DIR", conflicts_with = "compare")]
    pub checkpoint: Option<PathBuf>,

    /// How often: after so many steps, 500, or seconds, 30s
    #[arg(long, value_name = "N|Ns", default_value = "60s", requires = "checkpoint")]
    #[serde(serialize_with = "as_debug")]
    pub every: Every,

    /// Checkpoints to keep: the newest ones
    #[arg(long, value_name = "N", default_value_t = 3, requires = "checkpoint", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: u32,

    /// Goes on from the newest whole checkpoint in the folder, if there is one
    #[arg(long, requires = "checkpoint")]
    pub resume: bool,

    /// Also writes the options and the whole curve to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

fn adaptive(text: &str) -> Result<Adaptive, String> {
    text.parse().map_err(|e| format!("{e}"))
}

fn as_debug<S: Serializer>(value: &impl Debug, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{value:?}"))
}

fn as_text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// What is the same for all methods of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Budget {
    Epochs,
    Evaluations,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActivationName {
    Relu,
    Tanh,
    Gelu,
}

impl From<ActivationName> for Activation {
    fn from(name: ActivationName) -> Self {
        match name {
            ActivationName::Relu => Activation::Relu,
            ActivationName::Tanh => Activation::Tanh,
            ActivationName::Gelu => Activation::Gelu,
        }
    }
}

impl Args {
    /// What the methods to train with are asked for by.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = match self.compare.as_slice() {
            [] => std::slice::from_ref(&self.method),
            names => names,
        };
        names.iter().map(|name| name.trim())
    }

    /// The methods, in the order asked for.
    ///
    /// # Errors
    /// A name that is unknown or there twice, or a file that holds no method.
    pub fn methods(&self) -> Result<Vec<Method>, String> {
        let mut methods: Vec<Method> = Vec::new();
        for name in self.names() {
            let method = Method::load(name).map_err(|e| format!("{e}"))?;
            // Aliases of one method are one method.
            if methods.iter().any(|m| m.to_string() == method.to_string()) {
                return Err(format!("--compare has `{method}` twice; name each method once"));
            }
            methods.push(method);
        }
        Ok(methods)
    }

    /// # Errors
    /// A step size that is neither a number nor a schedule.
    pub fn step_size(&self) -> Result<StepSize, kutta::Error> {
        Ok(self.step_size.parse::<StepSize>()?)
    }

    /// All but the method and the step size.
    pub fn ingredients(&self) -> Ingredients {
        Ingredients {
            preconditioner: self.preconditioner,
            momentum: self.momentum,
            weight_decay: self.weight_decay,
            l2: self.l2,
            average: self.average,
            adaptive: self.adaptive,
            clip: self.clip,
            radius: self.spectral_radius,
            stored: self.storage,
            ..Ingredients::default()
        }
    }

    /// Widths of all layers, from inputs to classes.
    pub fn layers(&self, inputs: usize, classes: usize) -> Vec<usize> {
        let mut layers = vec![inputs];
        layers.extend(&self.hidden);
        layers.push(classes);
        layers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(std::iter::once("train").chain(line.split_whitespace()))
    }

    #[test]
    fn lists_are_split_at_commas() {
        let args = parse("--hidden 128,64 --compare euler,heun,rk4").unwrap();
        assert_eq!(args.layers(784, 10), [784, 128, 64, 10]);
        let names: Vec<_> = args.methods().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), 3);
        assert_eq!(names[2], "rk4");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in ["--epochs 0", "--hidden 12,x", "--method rk4 --compare euler", "--budget time"]
            .into_iter()
            .chain([
                "--resume",
                "--every 10",
                "--checkpoint x --every 0",
                "--checkpoint x --keep 0",
            ])
            .chain(["--checkpoint x --compare euler,rk4", "--checkpoint x --every 2h"])
        {
            assert!(parse(line).is_err(), "{line}");
        }
        let message = parse("--compare rk4,euler,rk4").unwrap().methods().unwrap_err();
        assert!(message.contains("rk4") && message.contains("twice"), "{message}");
        let message = parse("--method rk5").unwrap().methods().unwrap_err();
        assert!(message.contains("rk5") && message.contains("rk4"), "{message}");
    }
}
