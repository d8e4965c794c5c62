//! Train neural networks by solving the gradient flow θ̇ = −∇L(θ) with
//! Runge–Kutta methods, in hand-written WGSL, on any GPU that wgpu reaches.
//!
//! Gradient descent is Euler's method on that flow. kutta takes any explicit
//! tableau, plans which kernels run on which buffers ([`plan`]), records them,
//! and lets the device judge every attempt, so that nothing waits for the host.

pub mod error;
pub mod gpu;
pub mod ingredients;
pub mod layout;
pub mod method;
pub mod plan;
pub mod reference;
pub mod source;
pub mod tableau;

pub use error::Error;
pub use gpu::Gpu;
pub use ingredients::{Momentum, Preconditioner, StepSize};
pub use layout::{Init, ParamLayout};
pub use method::Method;
pub use plan::{Fusion, Guard, Plan, Purpose};
pub use source::{Batches, Evaluation, GradientSource, SourceError};
pub use tableau::Tableau;
pub use wgpu;
