//! Gradient sources that come with kutta.

mod analytic;
mod bind_cache;
mod dense;
mod field;
#[cfg(test)]
mod harness;
mod mlp;

pub use analytic::Analytic;
pub(crate) use bind_cache::BindCache;
pub use dense::{Activation, Evaluated, Loss, Products};
pub use field::{Encoding, FieldBuilder, HashGrid, Inference, NeuralField, Points, Target};
pub use mlp::{Mlp, MlpBuilder, Resident};

/// Kernels of all models with the override sets they are used with.
#[cfg(test)]
pub(crate) fn kernels() -> Vec<(crate::gpu::kernel::Kernel, Vec<crate::gpu::kernel::Constants>)> {
    let mut all = analytic::kernels();
    all.extend(dense::all_kernels());
    all.extend(field::all_kernels());
    all.extend(mlp::kernels());
    all
}
