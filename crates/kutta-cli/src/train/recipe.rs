//! How to train, whatever is trained: a step and what goes into it.

use std::fmt::{Debug, Display};

use kutta::optimizer::Builder;
use kutta::{
    Adaptive, Ingredients, Method, Momentum, Optimizer, Preconditioner, SpectralRadius, StepSize,
    Stored,
};
use serde::{Serialize, Serializer};

// A doc comment would take the place of what the command says of itself.
#[derive(Clone, Debug, clap::Args, Serialize)]
pub struct Recipe {
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

    /// Gives every stage of a step a batch of its own, or --accumulate micro-batches
    #[arg(long)]
    pub batch_per_stage: bool,
}

pub fn positive(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(0) => Err("0 is too small; at least 1".into()),
        Ok(number) => Ok(number),
        Err(_) => Err(format!("`{text}` is no whole number")),
    }
}

fn adaptive(text: &str) -> Result<Adaptive, String> {
    text.parse().map_err(|e| format!("{e}"))
}

pub fn as_debug<S: Serializer>(value: &impl Debug, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{value:?}"))
}

pub fn as_text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

impl Recipe {
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

    /// How to build an optimizer of one of the methods.
    ///
    /// # Errors
    /// A step size that is none, or options that do not go together with this method.
    pub fn builder(&self, method: &Method) -> Result<Builder, kutta::Error> {
        let builder = Optimizer::builder(method.clone())
            .step_size(self.step_size()?)
            .ingredients(self.ingredients());
        builder.check()?;
        Ok(builder)
    }
}
