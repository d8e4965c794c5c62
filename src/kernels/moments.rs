//! The constants of preconditioner, momentum and weight decay that kernels have. WGSL twin:
//! `shaders/shared/moments.wgsl`.

use crate::codes::{momentum, preconditioner};
use crate::device::kernel::{Constants, Format, Formats, flag, wgsl_struct};
use crate::format::Storage;
use crate::ingredients::{Ingredients, Momentum, Preconditioner};
use crate::plan::Plan;

wgsl_struct! {
    /// Parameters of the ingredients; constant over an optimizer's life.
    pub(crate) struct Moments {
        pub(crate) decay: f32,
        pub(crate) rest: f32,
        pub(crate) epsilon: f32,
        pub(crate) beta: f32,
        pub(crate) beta_rest: f32,
        pub(crate) weight_decay: f32,
        pub(crate) unused_0: u32,
        pub(crate) unused_1: u32,
    }
}

impl Moments {
    pub(crate) fn of(ingredients: &Ingredients) -> Self {
        let decay = ingredients.preconditioner.decay().unwrap_or(0.0);
        let beta = ingredients.momentum.beta();
        Self {
            decay: decay as f32,
            rest: (1.0 - decay) as f32,
            epsilon: ingredients.preconditioner.epsilon() as f32,
            beta: beta as f32,
            beta_rest: (1.0 - beta) as f32,
            weight_decay: ingredients.weight_decay as f32,
            ..Self::default()
        }
    }
}

/// The state that the kernels of a plan keep, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kinds {
    preconditioner: u32,
    momentum: u32,
    halves: usize,
    mean_halves: usize,
    grouped: bool,
    second: Format,
    mean: Format,
}

impl Kinds {
    pub(crate) fn of(plan: &Plan) -> Self {
        let ingredients = plan.ingredients();
        let stored = ingredients.stored;
        let rounding = stored.rounding;
        Self {
            preconditioner: match ingredients.preconditioner {
                Preconditioner::None => preconditioner::NO_PRECONDITIONER,
                Preconditioner::AdagradRescaled => preconditioner::ADAGRAD_RESCALED,
                Preconditioner::Adagrad { .. } => preconditioner::ADAGRAD,
                Preconditioner::RmsProp { .. } => preconditioner::RMSPROP,
                Preconditioner::Adam { .. } => preconditioner::ADAM,
                Preconditioner::AmsGrad { .. } => preconditioner::AMSGRAD,
            },
            momentum: match ingredients.momentum {
                Momentum::None => momentum::NO_MOMENTUM,
                Momentum::HeavyBall { .. } => momentum::HEAVY_BALL,
                Momentum::Nesterov { .. } => momentum::NESTEROV,
                Momentum::Ema { .. } => momentum::EMA,
            },
            halves: plan.state_halves(),
            mean_halves: plan.mean_halves(),
            grouped: plan.ingredients().grouped,
            second: Format { storage: plan.ingredients().second_storage(), rounding },
            mean: Format { storage: stored.momentum, rounding },
        }
    }

    /// Overrides of `shaders/shared/moments.wgsl`.
    pub(crate) fn constants(self) -> Constants {
        vec![
            ("PRECONDITIONER", f64::from(self.preconditioner)),
            ("HALVES", self.halves as f64),
            ("GROUPED", flag(self.grouped)),
            ("ROOT", flag(self.second.storage == Storage::F16)),
        ]
    }

    /// Format of the preconditioner's state, the binding `second`.
    pub(crate) fn formats(self) -> Formats {
        narrow("second", self.second)
    }

    /// Format of the momentum, the binding `mean`.
    pub(crate) fn mean_formats(self) -> Formats {
        narrow("mean", self.mean)
    }

    pub(crate) fn mean_halves(self) -> f64 {
        self.mean_halves.max(1) as f64
    }

    pub(crate) fn has_mean(self) -> bool {
        self.momentum != momentum::NO_MOMENTUM
    }

    pub(crate) fn momentum(self) -> f64 {
        f64::from(self.momentum)
    }
}

fn narrow(name: &'static str, format: Format) -> Formats {
    if format.storage.is_narrow() { vec![(name, format)] } else { vec![] }
}
