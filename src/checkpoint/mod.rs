//! Saved state: an optimizer as a safetensors file, and back.
//!
//! A file holds θ by the names and shapes of its layout, so that any reader of
//! safetensors opens it as a model; beside it everything that a step depends on: the
//! state of momentum and preconditioner, the average, the control block with the batch
//! cursor, the method by its coefficients and every option of the builder. Its last
//! tensor is a SHA-256 over every byte before it. `docs/checkpoint.md` describes the
//! format.
//!
//! ```no_run
//! use kutta::{Gpu, Method, Optimizer, StepSize, models::Analytic};
//! let gpu = Gpu::new()?;
//! let mut problem = Analytic::rosenbrock(&gpu, 2)?;
//! let mut optimizer = Optimizer::builder(Method::rk4())
//!     .step_size(StepSize::constant(1e-3))
//!     .build(&gpu, problem.layout(), &[-1.2, 1.0])?;
//! optimizer.run(&mut problem, 1000)?;
//! optimizer.save("rosenbrock.safetensors")?;
//!
//! let mut again = Optimizer::resume(&gpu, "rosenbrock.safetensors")?;
//! again.run(&mut problem, 1000)?; // the same bits as without the two lines before
//! # Ok::<(), kutta::Error>(())
//! ```
//!
//! [`Checkpoints`] saves every so many steps or seconds while training goes on, keeps the
//! newest few and finds the newest whole one.

pub(crate) mod error;
#[cfg(not(target_arch = "wasm32"))]
mod folder;
mod format;
mod header;
mod read;
// Not of the public face: for the programs that come with kutta.
#[doc(hidden)]
pub mod whole;
mod write;

use std::path::Path;

pub use error::CheckpointError;
#[cfg(not(target_arch = "wasm32"))]
pub use folder::{Checkpoints, Every, Found};
pub use read::Checkpoint;
pub use write::Snapshot;

use crate::device::Gpu;
use crate::device::waiting::Waiting;
use crate::error::Error;
use crate::optimizer::Optimizer;

impl Optimizer {
    /// The state as it is after everything submitted so far, on its way to the host:
    /// training can go on at once, and costs no more than the copy on the device, which
    /// takes as much memory again as θ and the state of the ingredients. Where the number
    /// of stages varies it waits for the submit before the last, as `run` would.
    ///
    /// # Errors
    /// A tensor whose name the format keeps for itself; no memory for the copy; a lost
    /// device.
    pub fn snapshot(&mut self) -> Result<Snapshot, Error> {
        Snapshot::new(pollster::block_on(self.capture(Waiting::Blocks))?)
    }

    /// Takes a snapshot as [`Optimizer::snapshot`] does, for a browser.
    ///
    /// # Errors
    /// As [`Optimizer::snapshot`].
    pub async fn snapshot_async(&mut self) -> Result<Snapshot, Error> {
        Snapshot::new(self.capture(Waiting::Yields).await?)
    }

    /// Saves everything to a file, which is there whole or not at all. Waits for the
    /// device and for the disk; [`Optimizer::snapshot`] does not.
    ///
    /// # Errors
    /// As [`Optimizer::snapshot`] and [`Snapshot::write`]. No state changes.
    pub fn save(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.snapshot()?.write(path)
    }

    /// An optimizer that goes on from a file: [`Checkpoint::open`] and
    /// [`Checkpoint::resume`].
    ///
    /// # Errors
    /// As those two.
    pub fn resume(gpu: &Gpu, path: impl AsRef<Path>) -> Result<Self, Error> {
        Checkpoint::open(path)?.resume(gpu)
    }
}
