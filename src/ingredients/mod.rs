//! What turns a Runge–Kutta method into an optimizer: step size,
//! preconditioner, momentum.

mod momentum;
mod preconditioner;
mod step_size;

pub use momentum::Momentum;
pub use preconditioner::Preconditioner;
pub use step_size::StepSize;
