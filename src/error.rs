//! Every error is a value with the numbers in it and a way out.

use thiserror::Error;

pub use crate::bench::error::BenchError;
#[cfg(feature = "checkpoint")]
pub use crate::checkpoint::error::CheckpointError;
pub use crate::data::error::DataError;
pub use crate::device::error::GpuError;
pub use crate::ingredients::error::IngredientError;
pub use crate::layout::LayoutError;
pub use crate::models::error::ModelError;
pub use crate::optimizer::error::OptimizerError;
pub use crate::plan::error::PlanError;
pub use crate::reference::error::ReferenceError;
pub use crate::source::SourceError;
pub use crate::tableau::error::TableauError;

/// Anything that kutta can refuse to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(transparent)]
    Gpu(#[from] GpuError),
    #[error(transparent)]
    Tableau(#[from] TableauError),
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Ingredient(#[from] IngredientError),
    #[error(transparent)]
    Optimizer(#[from] OptimizerError),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Bench(#[from] BenchError),
    #[cfg(feature = "checkpoint")]
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("the gradient source recorded nothing: {0}")]
    Source(#[from] SourceError),
}
