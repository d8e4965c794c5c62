//! Train neural networks by solving the gradient flow θ̇ = −∇L(θ) with
//! Runge–Kutta methods, in hand-written WGSL, on any GPU that wgpu reaches.
//!
//! Gradient descent is Euler's method on that flow. kutta takes any explicit
//! tableau, plans which kernels run on which buffers ([`plan`]), records them,
//! and lets the device judge every attempt, so that nothing waits for the host.
//!
//! ```no_run
//! use kutta::{Gpu, Method, Optimizer, StepSize, data::Idx, models::Mlp};
//!
//! let gpu = Gpu::new()?;
//! let data = Idx::open("data/mnist")?;
//! let mut mlp = Mlp::classifier(&gpu, &[784, 128, 10], data.train(64)?)?;
//! let test = mlp.upload(&data.test())?;
//! let mut optimizer = Optimizer::builder(Method::rk4())
//!     .step_size(StepSize::constant(0.5))
//!     .build(&gpu, mlp.layout(), &mlp.initial(7))?;
//! optimizer.run(&mut mlp, 938)?;
//! println!("{:?}", mlp.evaluate(optimizer.params(), &test)?);
//! for report in optimizer.reports() {
//!     println!("{} {:?}", report.attempt, report.loss);
//! }
//! # Ok::<(), kutta::Error>(())
//! ```

pub mod batching;
pub mod bench;
#[cfg(feature = "checkpoint")]
pub mod checkpoint;
mod codes;
pub mod data;
pub mod device;
pub mod error;
pub mod findings;
pub mod format;
mod frame_budget;
pub mod ingredients;
mod kernels;
pub mod layout;
pub mod method;
pub mod models;
pub mod optimizer;
pub mod params;
pub mod plan;
pub mod profile;
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
#[cfg(test)]
mod touch_tests;

pub use device::Gpu;
pub use error::Error;
pub use findings::Findings;
pub use format::{Rounding, Storage};
pub use ingredients::{
    Adaptive, Controller, Group, Ingredients, Momentum, Preconditioner, Rejection, SpectralRadius,
    StepSize, Stored,
};
pub use layout::{Init, ParamLayout};
pub use method::Method;
pub use optimizer::{Optimizer, Pace};
pub use params::Params;
pub use plan::{Fusion, Guard, Plan, Purpose};
pub use profile::Profile;
pub use recorder::Ending;
pub use reports::{Fallback, NotFinite, Report, Verdict};
pub use source::{BatchTicket, BatchesFrom, Draws, Evaluation, GradientSource, SourceError};
pub use tableau::Tableau;
pub use wgpu;

/// The README's Rust is compiled as doctests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

/// So is that of what profiles are.
#[cfg(doctest)]
#[doc = include_str!("../docs/profile.md")]
pub struct Profiles;
