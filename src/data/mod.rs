//! Data sets: samples in memory, their batches and order, and IDX files.

mod batches;
pub(crate) mod error;
#[cfg(feature = "idx")]
pub mod idx;
mod samples;
pub mod shuffle;

pub use error::DataError;

pub use batches::Batches;
#[cfg(feature = "idx")]
pub use idx::Idx;
pub use samples::{Inputs, Samples, Targets};
