//! Gradient sources that come with kutta.

mod analytic;
mod bind_cache;
#[cfg(test)]
mod check_tests;
mod dense;
pub(crate) mod error;
mod field;
#[cfg(test)]
mod harness;
mod mlp;
mod prediction;
#[cfg(test)]
mod prediction_tests;

pub use error::ModelError;

use crate::device::kernel::{Format, Formats};
use crate::device::vector::Vector;
pub use analytic::Analytic;
pub(crate) use bind_cache::{BindCache, MOST_CONTROLS, Recent};
pub use dense::{Activation, Evaluated, Loss, Products};
pub use field::{Encoding, FieldBuilder, HashGrid, Inference, NeuralField, Points, Target};
pub use mlp::{Mlp, MlpBuilder, Resident};
pub use prediction::{PredictedDispatch, Prediction};

/// Gives the formats in which a kernel writes its `gradient`.
pub(crate) fn written(gradient: &Vector) -> Formats {
    vec![("gradient", Format { storage: gradient.storage(), ..Format::default() })]
}

/// Kernels of all models with the override sets they are used with.
#[cfg(test)]
pub(crate) fn kernels()
-> Vec<(crate::device::kernel::Kernel, Vec<crate::device::kernel::Constants>)> {
    let mut all = analytic::kernels();
    all.extend(dense::all_kernels());
    all.extend(field::all_kernels());
    all.extend(mlp::kernels());
    all
}
