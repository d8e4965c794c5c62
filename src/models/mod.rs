//! Gradient sources that come with kutta.

mod analytic;
mod bind_cache;

pub use analytic::Analytic;
pub(crate) use bind_cache::BindCache;

/// Kernels of all models with the override sets they are used with.
#[cfg(test)]
pub(crate) fn kernels() -> Vec<(crate::gpu::kernel::Kernel, Vec<crate::gpu::kernel::Constants>)> {
    analytic::kernels()
}
