//! What a field is trained with: a method and its ingredients.

use kutta::models::NeuralField;
use kutta::optimizer::Builder;
use kutta::{Adaptive, Error, Gpu, Method, Momentum, Optimizer, Preconditioner, StepSize};

use crate::cli::Args;

/// Steps over which h grows to what was asked for, unless the command line says how it
/// goes: until D has met the entries of a grid, a later stage's gradient may be far
/// larger than what the first stage told it.
pub const WARM_UP: u32 = 60;

/// A method with its ingredients.
#[derive(Clone, Debug)]
pub struct Recipe {
    pub name: String,
    pub method: Method,
    pub preconditioner: Preconditioner,
    pub momentum: Momentum,
    pub step_size: Option<StepSize>,
    pub adaptive: Option<Adaptive>,
}

impl Recipe {
    /// What the command line says.
    pub fn of(args: &Args, name: String, method: Method) -> Self {
        Self {
            name,
            method,
            preconditioner: args.preconditioner,
            momentum: args.momentum,
            step_size: match (&args.step_size, args.adaptive) {
                (None, None) => {
                    // Falling steps average the batches' noise out. A training of a few steps
                    // ends in the warm-up, for D has met nothing yet.
                    let steps = args.steps as u32;
                    let warm_up = (steps / 4).clamp(WARM_UP / 2, WARM_UP);
                    Some(StepSize::cosine(0.04, 0.001, steps).warm_up(warm_up))
                }
                (given, _) => given.clone(),
            },
            adaptive: args.adaptive,
        }
    }

    /// What makes optimizers of it.
    pub fn builder(&self) -> Builder {
        let mut builder = Optimizer::builder(self.method.clone())
            .preconditioner(self.preconditioner)
            .momentum(self.momentum);
        if let Some(step_size) = &self.step_size {
            builder = builder.step_size(step_size.clone());
        }
        if let Some(adaptive) = self.adaptive {
            builder = builder.adaptive(adaptive);
        }
        builder
    }

    /// An optimizer of a field's parameters, from `theta` on.
    pub fn build(&self, gpu: &Gpu, field: &NeuralField, theta: &[f32]) -> Result<Optimizer, Error> {
        self.builder().build(gpu, field.layout(), theta)
    }
}
