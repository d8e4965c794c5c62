//! Faults of data sets and of their files.

use std::path::PathBuf;

use thiserror::Error;

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
    #[error("an extent of {extent:?} texels; each side needs one, and all at most {most}")]
    Extent { extent: Vec<usize>, most: usize },
    #[error("texels of {channels} channels; there can be 1 to 4")]
    Channels { channels: usize },
    #[error(
        "{found} values for {extent:?} texels of {channels} channels; they should be {expected}"
    )]
    TexelCount { extent: Vec<usize>, channels: usize, expected: usize, found: usize },
    #[error("a batch of {batch} from {samples} samples; choose one of 1 to {samples}")]
    Batch { batch: usize, samples: usize },
}
