//! Errors that keep a checkpoint from being written, read or resumed from.

use std::path::PathBuf;

use thiserror::Error;

/// Faults of a checkpoint. Whatever is refused, nothing of it was taken over.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum CheckpointError {
    #[error("`{path}` cannot be {what}: {reason}")]
    Io { path: PathBuf, what: &'static str, reason: String },
    #[error("{what} is no whole checkpoint: {fault}. Take an older one")]
    Damaged { what: String, fault: String },
    #[error(
        "{what} is a checkpoint of format {found}, and this kutta {version} reads up to {known}; \
         take a newer kutta"
    )]
    Version { what: String, found: u32, known: u32, version: &'static str },
    #[error("{what} is a whole file, but not a checkpoint that can be resumed from: {fault}")]
    Content { what: String, fault: String },
    #[error(
        "tensor `{name}` cannot be saved: names that begin with `kutta.`, and `__metadata__`, are \
         the checkpoint's own; give it another name"
    )]
    Name { name: String },
    #[error(
        "the optimizer to be resumed keeps {wanted}, and the checkpoint has {found}; resume with \
         the preconditioner, momentum, average and storage that it was saved with"
    )]
    Mismatch { wanted: String, found: String },
    #[error("checkpoints in `{folder}`: {fault}")]
    Folder { folder: PathBuf, fault: String },
    #[error("the thread that writes checkpoints ended without a word")]
    Writer,
}
