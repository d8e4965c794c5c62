//! The kernels of a field beside its layers.

use crate::device::kernel::{Access, Constants, Kernel, flag, wgsl_struct};
use crate::device::library::shader;
use crate::kernels::control::Control;
use crate::source::{Check, check_constants};

/// Most levels of a hash grid: as many as its uniform holds.
pub(super) const MOST_LEVELS: usize = 32;

wgsl_struct! {
    /// Extents of the target, and how points are drawn in it.
    pub struct PointShape {
        pub width: u32,
        pub height: u32,
        pub depth: u32,
        pub channels: u32,
        pub size: u32,
        pub seed_low: u32,
        pub seed_high: u32,
        pub unused: u32,
    }
}

wgsl_struct! {
    /// Extents of a batch of waves.
    pub struct WaveShape {
        pub size: u32,
        pub waves: u32,
        pub feature_stride: u32,
        pub sample_stride: u32,
    }
}

wgsl_struct! {
    /// One level of a hash grid; `shaders/shared/grid.wgsl` says what is what.
    pub struct GridLevel {
        pub resolution: u32,
        pub first: u32,
        pub entries: u32,
        pub dense: u32,
    }
}

wgsl_struct! {
    /// The levels of a hash grid, and extents of a batch of its features.
    pub struct GridShape {
        pub size: u32,
        pub count: u32,
        pub feature_stride: u32,
        pub sample_stride: u32,
        pub levels: [GridLevel; MOST_LEVELS],
    }
}

wgsl_struct! {
    /// Extents of a batch of outputs.
    pub struct OutputShape {
        pub channels: u32,
        pub feature_stride: u32,
        pub size: u32,
        pub unused: u32,
    }
}

/// Draws the points of a batch, and what is wanted there.
pub const POINTS: Kernel = Kernel {
    name: "field_points",
    text: shader!("field_points"),
    bindings: &[
        ("shape", Access::Uniform),
        ("control", Access::Uniform),
        ("rows", Access::Read),
        ("texels", Access::Read),
        ("points", Access::Write),
        ("targets", Access::Write),
    ],
    vectors: &[],
    structs: &[PointShape::LAYOUT, Control::LAYOUT],
};

/// Waves at the points, or the points themselves.
pub const WAVES: Kernel = Kernel {
    name: "encode_waves",
    text: shader!("encode_waves"),
    bindings: &[
        ("shape", Access::Uniform),
        ("points", Access::Read),
        ("frequencies", Access::Read),
        ("by_feature", Access::Write),
        ("by_sample", Access::Write),
    ],
    vectors: &[],
    structs: &[WaveShape::LAYOUT],
};

/// Features of a hash grid at the points.
pub const GRID: Kernel = Kernel {
    name: "encode_grid",
    text: shader!("encode_grid"),
    bindings: &[
        ("shape", Access::Uniform),
        ("theta", Access::Read),
        ("points", Access::Read),
        ("by_feature", Access::Write),
        ("by_sample", Access::Write),
    ],
    vectors: &[],
    structs: &[GridShape::LAYOUT, GridLevel::LAYOUT],
};

/// The scale of each level's integers.
pub const MAXIMUM: Kernel = Kernel {
    name: "grid_maximum",
    text: shader!("grid_maximum"),
    bindings: &[("shape", Access::Uniform), ("dx", Access::Read), ("scales", Access::Write)],
    vectors: &[],
    structs: &[GridShape::LAYOUT, GridLevel::LAYOUT],
};

/// Gradients by features, added to the entries they come from.
pub const SCATTER: Kernel = Kernel {
    name: "grid_scatter",
    text: shader!("grid_scatter"),
    bindings: &[
        ("shape", Access::Uniform),
        ("points", Access::Read),
        ("dx", Access::Read),
        ("scales", Access::Read),
        ("sums", Access::Write),
    ],
    vectors: &[],
    structs: &[GridShape::LAYOUT, GridLevel::LAYOUT],
};

/// The sums as gradients.
pub const GRADIENT: Kernel = Kernel {
    name: "grid_gradient",
    text: shader!("grid_gradient"),
    bindings: &[
        ("shape", Access::Uniform),
        ("scales", Access::Read),
        ("sums", Access::Write),
        ("gradient", Access::Write),
        ("checks", Access::Write),
    ],
    vectors: &["gradient"],
    structs: &[GridShape::LAYOUT, GridLevel::LAYOUT],
};

/// Writes what the layers put out, texel by texel.
pub const OUTPUTS: Kernel = Kernel {
    name: "field_outputs",
    text: shader!("field_outputs"),
    bindings: &[
        ("shape", Access::Uniform),
        ("rows", Access::Read),
        ("outputs", Access::Read),
        ("values", Access::Write),
    ],
    vectors: &[],
    structs: &[OutputShape::LAYOUT],
};

pub fn point_constants(dimensions: usize, anywhere: bool) -> Constants {
    vec![("DIMENSIONS", dimensions as f64), ("ANYWHERE", flag(anywhere))]
}

pub fn grid_constants(dimensions: usize, features: u32) -> Constants {
    vec![("DIMENSIONS", dimensions as f64), ("FEATURES", f64::from(features))]
}

pub fn gradient_constants(dimensions: usize, features: u32, check: Option<Check>) -> Constants {
    let mut constants = grid_constants(dimensions, features);
    constants.extend(check_constants(check));
    constants
}

pub fn wave_constants(coordinates: bool) -> Constants {
    vec![("COORDINATES", flag(coordinates))]
}

/// Kernels of this folder with the override sets they are used with.
#[cfg(test)]
pub fn all() -> Vec<(Kernel, Vec<Constants>)> {
    let two = |set: &dyn Fn(usize, bool) -> Constants| {
        [2, 3].into_iter().flat_map(|d| [false, true].map(|flag| set(d, flag))).collect()
    };
    let grids: Vec<Constants> = [2, 3]
        .into_iter()
        .flat_map(|d| (1..=8).map(move |features| grid_constants(d, features)))
        .collect();
    let mut all = vec![
        (POINTS, two(&point_constants)),
        (WAVES, [false, true].map(wave_constants).to_vec()),
        (OUTPUTS, vec![vec![]]),
    ];
    all.extend([GRID, MAXIMUM, SCATTER].map(|kernel| (kernel, grids.clone())));
    let checks = [None, Some(Check { norm: true, squares: false })];
    let sets = (1..=8).flat_map(|f| checks.map(|check| gradient_constants(3, f, check)));
    all.push((GRADIENT, sets.collect()));
    all
}
