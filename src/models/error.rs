//! Faults of a model.

use thiserror::Error;

/// Errors of a model.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum ModelError {
    #[error(
        "this problem's gradient is not zero at zero, so padding between tensors would move; take \
         tensors of whole multiples of 64 elements, but for the last"
    )]
    Padded,
    #[error("a network needs at least an input and an output width; these are {widths:?}")]
    TooFewWidths { widths: Vec<usize> },
    #[error("width {index} (counted from 0) of {widths:?} is zero")]
    ZeroWidth { widths: Vec<usize>, index: usize },
    #[error("ω of a sine must be finite and above 0; this one is {omega:?}. SIREN's is 30")]
    Omega { omega: f32 },
    #[error("{what}: {found}; there can be {least} to {most}")]
    Encoding { what: &'static str, found: f64, least: f64, most: f64 },
    #[error("a batch of {rows} rows; choose one of 1 to {most}")]
    Rows { rows: usize, most: usize },
    #[error("an extent of {found} dimensions for a field of {wanted}")]
    Dimensions { found: usize, wanted: usize },
    #[error("samples of {found} inputs for a network whose first width is {width}")]
    InputWidth { width: usize, found: usize },
    #[error("targets of {found} classes or values for a network whose last width is {width}")]
    OutputWidth { width: usize, found: usize },
    #[error(
        "`Products::Fused` does up to {layers} layers of widths up to {width}, from at most \
         {inputs} inputs, or 1024 where there is one layer of up to 16 outputs; these widths are \
         {widths:?}. `Products::Auto` fuses what it can"
    )]
    NotFused { widths: Vec<usize>, layers: usize, width: usize, inputs: usize },
    #[error(
        "products in registers are for software adapters, and no time on a GPU is predicted for \
         them; use `Products::Auto` or a form for GPUs"
    )]
    NotPredicted,
    #[error(
        "`Products::Matrix` cannot be had: {reason}. `Products::MatrixOrAuto` does without where \
         it must, and says so"
    )]
    NoMatrix { reason: String },
    #[error("cross-entropy wants labels, and these targets are dense; use `Loss::MeanSquare`")]
    DenseTargets,
    #[error(
        "{what} needs {bytes} bytes in one binding; this device binds at most {limit}. Use a \
         smaller batch or narrower layers; keep images as bytes, or fewer of them"
    )]
    TooLarge { what: &'static str, bytes: u64, limit: u64 },
}
