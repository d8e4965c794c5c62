//! Gradient sources that come with kutta.

mod analytic;
mod bind_cache;
mod mlp;

pub use analytic::Analytic;
pub(crate) use bind_cache::BindCache;
pub use mlp::{Activation, Evaluated, Loss, Mlp, MlpBuilder, Products, Resident};

/// Kernels of all models with the override sets they are used with.
#[cfg(test)]
pub(crate) fn kernels() -> Vec<(crate::gpu::kernel::Kernel, Vec<crate::gpu::kernel::Constants>)> {
    let mut all = analytic::kernels();
    all.extend(mlp::kernels());
    all
}
