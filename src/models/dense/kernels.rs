//! The kernels of dense layers beside their matrix products.

use crate::device::kernel::{Access, Constants, Kernel, wgsl_struct};
use crate::device::library::shader;
use crate::kernels::control::Control;

wgsl_struct! {
    /// The schedule by which samples make a batch.
    pub struct BatchSchedule {
        pub count: u32,
        pub size: u32,
        pub per_epoch: u32,
        pub shuffled: u32,
        pub seed_low: u32,
        pub seed_high: u32,
    }
}

wgsl_struct! {
    /// Extents of a batch of outputs.
    pub struct LossShape {
        pub outputs: u32,
        pub feature_stride: u32,
        pub sample_stride: u32,
    }
}

wgsl_struct! {
    /// Extents of a weight matrix and its copies.
    pub struct WeightShape {
        pub rows: u32,
        pub columns: u32,
        pub stride: u32,
        pub transposed_stride: u32,
    }
}

wgsl_struct! {
    /// Extents of dz by sample.
    pub struct BiasGradient {
        pub steps: u32,
        pub columns: u32,
        pub stride: u32,
    }
}

wgsl_struct! {
    /// The totals that an evaluation adds up.
    pub struct Totals {
        pub loss: f32,
        pub right: u32,
        pub samples: u32,
    }
}

/// Writes which samples the batch holds.
pub const BATCH_ROWS: Kernel = Kernel {
    name: "batch_rows",
    text: shader!("batch_rows"),
    bindings: &[
        ("schedule", Access::Uniform),
        ("control", Access::Uniform),
        ("rows", Access::Write),
    ],
    vectors: &[],
    structs: &[BatchSchedule::LAYOUT, Control::LAYOUT],
};

const LOSS_BINDINGS: &[(&str, Access)] = &[
    ("shape", Access::Uniform),
    ("rows", Access::Read),
    ("targets", Access::Read),
    ("outputs", Access::Read),
    ("dz_by_feature", Access::Write),
    ("dz_by_sample", Access::Write),
    ("row_loss", Access::Write),
];

/// Softmax cross-entropy and its gradient.
pub const CROSS_ENTROPY: Kernel = Kernel {
    name: "cross_entropy",
    text: shader!("cross_entropy"),
    bindings: LOSS_BINDINGS,
    vectors: &[],
    structs: &[LossShape::LAYOUT],
};

/// Mean square and its gradient.
pub const MEAN_SQUARE: Kernel = Kernel {
    name: "mean_square",
    text: shader!("mean_square"),
    bindings: LOSS_BINDINGS,
    vectors: &[],
    structs: &[LossShape::LAYOUT],
};

/// Mean loss of a batch.
pub const MEAN_LOSS: Kernel = Kernel {
    name: "mean_loss",
    text: shader!("mean_loss"),
    bindings: &[
        ("rows", Access::Read),
        ("row_loss", Access::Read),
        ("loss", Access::Write),
        ("samples", Access::Write),
    ],
    vectors: &[],
    structs: &[],
};

/// Loss and right answers of an evaluation so far.
pub const SCORE: Kernel = Kernel {
    name: "score",
    text: shader!("score"),
    bindings: &[("rows", Access::Read), ("row_loss", Access::Read), ("totals", Access::Write)],
    vectors: &[],
    structs: &[Totals::LAYOUT],
};

/// Weights in rows of whole vec4.
pub const PACK_WEIGHTS: Kernel = Kernel {
    name: "pack_weights",
    text: shader!("pack_weights"),
    bindings: &[("shape", Access::Uniform), ("weights", Access::Read), ("packed", Access::Write)],
    vectors: &[],
    structs: &[WeightShape::LAYOUT],
};

/// Weights with the output feature outermost.
pub const TRANSPOSE_WEIGHTS: Kernel = Kernel {
    name: "transpose_weights",
    text: shader!("transpose_weights"),
    bindings: &[
        ("shape", Access::Uniform),
        ("weights", Access::Read),
        ("transposed", Access::Write),
    ],
    vectors: &[],
    structs: &[WeightShape::LAYOUT],
};

/// Column sums of dz.
pub const BIAS_GRADIENT: Kernel = Kernel {
    name: "bias_gradient",
    text: shader!("bias_gradient"),
    bindings: &[("shape", Access::Uniform), ("dz", Access::Read), ("gradient", Access::Write)],
    vectors: &["gradient"],
    structs: &[BiasGradient::LAYOUT],
};

/// A weight gradient of any width, made narrow.
pub const NARROW_GRADIENT: Kernel = Kernel {
    name: "narrow_gradient",
    text: shader!("narrow_gradient"),
    bindings: &[("shape", Access::Uniform), ("values", Access::Read), ("gradient", Access::Write)],
    vectors: &["gradient"],
    structs: &[WeightShape::LAYOUT],
};

/// Gives the constants of a gradient whose binding begins with so many vec4s of other tensors.
pub fn behind(first: usize) -> Constants {
    vec![("FIRST", first as f64)]
}

/// Kernels of this folder with the override sets they are used with.
#[cfg(test)]
pub fn kernels() -> Vec<(Kernel, Vec<Constants>)> {
    let plain = [BATCH_ROWS, CROSS_ENTROPY, MEAN_LOSS, SCORE, PACK_WEIGHTS, TRANSPOSE_WEIGHTS];
    let mut all = super::product::kernels();
    let clears = [true, false].map(super::matrix::clears);
    all.push((super::matrix::LARGEST, clears.to_vec()));
    all.extend(super::tail::kernels());
    all.extend(plain.map(|kernel| (kernel, vec![vec![]])));
    let behind = [0, 16].map(behind);
    all.extend([BIAS_GRADIENT, NARROW_GRADIENT].map(|kernel| (kernel, behind.to_vec())));
    all.push((MEAN_SQUARE, vec![vec![("DENSE", 0.0)], vec![("DENSE", 1.0)]]));
    all
}
