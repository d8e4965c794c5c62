//! Train neural networks by solving the gradient flow θ̇ = −∇L(θ) with
//! Runge–Kutta methods, in hand-written WGSL, on any GPU that wgpu reaches.

pub mod data;
pub mod error;
pub mod gpu;
pub mod layout;
pub mod source;

pub use error::Error;
pub use gpu::Gpu;
pub use layout::{Init, ParamLayout};
pub use source::{Batches, Evaluation, GradientSource, Purpose, SourceError};
pub use wgpu;
