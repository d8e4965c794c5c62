//! Every error is a value with the numbers in it and a way out.

use thiserror::Error;

use crate::layout::Init;
use crate::source::SourceError;

/// Anything that kutta can refuse to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(transparent)]
    Gpu(#[from] GpuError),
    #[error("the gradient source recorded nothing: {0}")]
    Source(#[from] SourceError),
}

/// Faults of a [`ParamLayout`](crate::ParamLayout).
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum LayoutError {
    #[error("a parameter layout needs a parameter; this one has no tensors")]
    Empty,
    #[error("tensor `{name}` of shape {shape:?} has no elements")]
    EmptyTensor { name: String, shape: Vec<usize> },
    #[error("tensor `{name}` is there twice; give each its own name")]
    DuplicateTensor { name: String },
    #[error("the elements of tensor `{name}` overflow the address space")]
    TooLarge { name: String },
    #[error("tensor `{name}` has initial values that are not finite: {init:?}")]
    Init { name: String, init: Init },
    #[error("no tensor `{name}`; there are: {known}")]
    UnknownTensor { name: String, known: String },
    #[error("{found} values for a layout of {expected} (padding between tensors included)")]
    Length { expected: usize, found: usize },
}

/// What the device or its driver cannot do.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum GpuError {
    #[error("no GPU adapter{wanted}: {found}. {remedy}")]
    NoAdapter { wanted: String, found: String, remedy: &'static str },
    #[error("adapter `{adapter}` gave no device: {reason}")]
    NoDevice { adapter: String, reason: String },
    #[error(
        "{what} needs {needed} bytes in one buffer; this device's max_buffer_size is {limit}. \
         Use fewer parameters, or a device with larger buffers"
    )]
    BufferTooLarge { what: String, needed: u64, limit: u64 },
    #[error("{what} needs {limit} of at least {needed}; this device has {found}")]
    LimitTooSmall { what: String, limit: &'static str, needed: u64, found: u64 },
    #[error("the device has no memory for {what} ({bytes} bytes)")]
    OutOfMemory { what: String, bytes: u64 },
    #[error(
        "the device was lost while {during}; build a new Gpu and start again from saved parameters"
    )]
    DeviceLost { during: &'static str },
}
