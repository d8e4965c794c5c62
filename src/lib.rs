//! Train neural networks by solving the gradient flow θ̇ = −∇L(θ) with
//! Runge–Kutta methods, in hand-written WGSL, on any GPU that wgpu reaches.
//!
//! Gradient descent is Euler's method on that flow. kutta takes any explicit
//! tableau, plans which kernels run on which buffers ([`plan`]), records them,
//! and lets the device judge every attempt, so that nothing waits for the host.
//!
//! ```no_run
//! use kutta::{Gpu, Method, Optimizer, StepSize, models::Analytic, reference::Problem};
//!
//! let gpu = Gpu::new()?;
//! let mut problem = Analytic::new(&gpu, &Problem::Rosenbrock, 2)?;
//! let mut optimizer = Optimizer::builder(Method::rk4())
//!     .step_size(StepSize::constant(1e-3))
//!     .build(&gpu, problem.layout(), &[-1.2, 1.0])?;
//! optimizer.run(&mut problem, 1000)?;
//! optimizer.wait()?;
//! for report in optimizer.reports() {
//!     println!("{} {:?}", report.attempt, report.loss);
//! }
//! # Ok::<(), kutta::Error>(())
//! ```

pub mod data;
pub mod error;
pub mod gpu;
pub mod ingredients;
pub mod layout;
pub mod method;
pub mod models;
pub mod optimizer;
pub mod params;
pub mod plan;
mod recorder;
pub mod reference;
pub mod reports;
pub mod source;
mod state;
pub mod tableau;

#[cfg(test)]
mod shader_tests;
#[cfg(test)]
mod throughput_tests;

pub use error::Error;
pub use gpu::Gpu;
pub use ingredients::{Momentum, Preconditioner, StepSize};
pub use layout::{Init, ParamLayout};
pub use method::Method;
pub use optimizer::Optimizer;
pub use params::Params;
pub use plan::{Fusion, Guard, Plan, Purpose};
pub use reports::{Report, Verdict};
pub use source::{Batches, Evaluation, GradientSource, SourceError};
pub use tableau::Tableau;
pub use wgpu;
