//! Every error is a value with the numbers in it and a way out.

use std::path::PathBuf;

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
    #[error(transparent)]
    Data(#[from] DataError),
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

/// Faults of a data set or of the files it comes in.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum DataError {
    #[error("`{folder}` is not a folder that can be read ({reason}); it should hold {wanted}")]
    Folder { folder: PathBuf, reason: String, wanted: String },
    #[error("folder `{folder}` has neither `{name}.gz` nor `{name}`; it should hold {wanted}")]
    MissingFile { folder: PathBuf, name: &'static str, wanted: String },
    #[error("`{file}` cannot be read after its first {after} bytes of content: {reason}")]
    Read { file: PathBuf, after: u64, reason: String },
    #[error(
        "`{file}` is damaged: its gzip stream breaks after {after} bytes of content: {reason}. \
         Fetch the file again"
    )]
    Gzip { file: PathBuf, after: u64, reason: String },
    #[error(
        "`{file}` starts with the magic number {found:#010x}; {expected:#010x} was expected \
         (unsigned bytes, {dimensions} dimensions)"
    )]
    Magic { file: PathBuf, expected: u32, found: u32, dimensions: u8 },
    #[error(
        "`{file}` holds elements of type {found:#04x} (magic number {magic:#010x}); \
         only unsigned bytes, 0x08, are supported"
    )]
    ElementType { file: PathBuf, found: u8, magic: u32 },
    #[error(
        "`{file}` is truncated: {found} bytes of content, where {expected} are needed ({what})"
    )]
    Truncated { file: PathBuf, expected: u64, found: u64, what: String },
    #[error("`{file}` goes on after the {expected} bytes that it should have ({what})")]
    Trailing { file: PathBuf, expected: u64, what: String },
    #[error("the dimensions of `{file}`, {dimensions:?}, overflow the address space")]
    Dimensions { file: PathBuf, dimensions: Vec<u32> },
    #[error(
        "`{images_file}` has {images} images and `{labels_file}` has {labels} labels; \
         they should be as many"
    )]
    ImagesAndLabels { images_file: PathBuf, images: usize, labels_file: PathBuf, labels: usize },
    #[error(
        "training images are {train_height} x {train_width} and test images are \
         {test_height} x {test_width}; they should be alike"
    )]
    Shape { train_height: usize, train_width: usize, test_height: usize, test_width: usize },
    #[error("there are no samples in {what}")]
    NoSamples { what: String },
    #[error("{samples} samples; at most {most} can be counted")]
    TooManySamples { samples: usize, most: usize },
    #[error("{values} input values do not make whole samples of width {width}")]
    InputWidth { values: usize, width: usize },
    #[error("{values} target values do not make whole targets of width {width}")]
    TargetWidth { values: usize, width: usize },
    #[error("{samples} samples with {targets} targets; they should be as many")]
    TargetCount { samples: usize, targets: usize },
    #[error("{what} {index} is {label}, beyond the {classes} classes counted from 0")]
    Label { what: String, index: usize, label: u8, classes: usize },
    #[error("the {what} of sample {sample} is {value} at element {element}; it should be finite")]
    NotFinite { what: &'static str, sample: usize, element: usize, value: f32 },
    #[error("a batch of {batch} from {samples} samples; choose one of 1 to {samples}")]
    Batch { batch: usize, samples: usize },
}
