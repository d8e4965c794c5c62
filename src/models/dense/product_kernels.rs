//! The kernels of the products in all their forms.

use crate::device::kernel::{Access, Kernel, wgsl_struct};
use crate::device::library::shader;
use crate::device::matrix::Unit;

wgsl_struct! {
    /// Shape of one product; `shaders/shared/product.wgsl` has its twin.
    pub struct Product {
        pub steps: u32,
        pub rows: u32,
        pub columns: u32,
        pub left_stride: u32,
        pub right_stride: u32,
        pub tiles_across: u32,
        pub tiles: u32,
        pub row_stride: u32,
        pub column_stride: u32,
        pub chunks: u32,
        pub chunk_steps: u32,
        pub output_first: u32,
        pub chunk_stride: u32,
        pub left_slot: u32,
        pub right_slot: u32,
    }
}

pub const fn kernel(
    name: &'static str,
    text: &'static [&'static str],
    bindings: &'static [(&'static str, Access)],
) -> Kernel {
    Kernel { name, text, bindings, vectors: &[], structs: &[Product::LAYOUT] }
}

/// A kernel that writes gradients in any storage.
const fn any_storage(kernel: Kernel) -> Kernel {
    Kernel { vectors: &["gradient"], ..kernel }
}

pub const FORWARD_BINDINGS: &[(&str, Access)] = &[
    ("product", Access::Uniform),
    ("left", Access::Read),
    ("right", Access::Read),
    ("bias", Access::Read),
    ("by_feature", Access::Write),
    ("by_sample", Access::Write),
    ("slope", Access::Write),
];
pub const INPUT_BINDINGS: &[(&str, Access)] = &[
    ("product", Access::Uniform),
    ("left", Access::Read),
    ("right", Access::Read),
    ("slope", Access::Read),
    ("by_feature", Access::Write),
    ("by_sample", Access::Write),
];
const WEIGHT_BINDINGS: &[(&str, Access)] = &[
    ("product", Access::Uniform),
    ("left", Access::Read),
    ("right", Access::Read),
    ("gradient", Access::Write),
];

pub const PARTIALS_BINDINGS: &[(&str, Access)] = &[
    ("product", Access::Uniform),
    ("left", Access::Read),
    ("right", Access::Read),
    ("partials", Access::Write),
];

/// A forward product; flags are those of `shaders/shared/product.wgsl` and the files beside it.
macro_rules! forward {
    ($name:literal, $form:literal) => {
        kernel($name, shader!("dense_forward", $form), FORWARD_BINDINGS)
    };
}
/// An input gradient.
macro_rules! input {
    ($name:literal, $form:literal) => {
        kernel($name, shader!("dense_input_gradient", $form), INPUT_BINDINGS)
    };
}
/// Partial weight gradients.
macro_rules! partials {
    ($name:literal, $form:literal) => {
        kernel($name, shader!("dense_weight_partials", $form), PARTIALS_BINDINGS)
    };
}

/// Forward product in registers.
pub const FORWARD_REGISTER: Kernel = forward!("dense_forward.register", "register");
/// Input gradient in registers.
pub const INPUT_REGISTER: Kernel = input!("dense_input_gradient.register", "register");
/// Weight gradient in registers.
pub const WEIGHT_REGISTER: Kernel = any_storage(kernel(
    "dense_weight_gradient.register",
    shader!("dense_weight_gradient", "register"),
    WEIGHT_BINDINGS,
));
/// Weight gradient of any width, in registers.
pub const RAGGED_REGISTER: Kernel = kernel(
    "dense_weight_gradient_ragged.register",
    shader!("dense_weight_gradient_ragged", "register"),
    WEIGHT_BINDINGS,
);

pub const FORWARD_SLICED: Kernel = forward!("dense_forward.sliced", "parts sliced quads");
pub const FORWARD_SLICED_ELEMENTS: Kernel =
    forward!("dense_forward.sliced_elements", "parts sliced elements");
pub const FORWARD_WORKGROUP: Kernel = forward!("dense_forward.workgroup", "parts workgroup quads");
pub const FORWARD_WORKGROUP_ELEMENTS: Kernel =
    forward!("dense_forward.workgroup_elements", "parts workgroup elements");
pub const INPUT_SLICED: Kernel = input!("dense_input_gradient.sliced", "parts sliced quads");
pub const INPUT_SLICED_ELEMENTS: Kernel =
    input!("dense_input_gradient.sliced_elements", "parts sliced elements");
pub const INPUT_WORKGROUP: Kernel =
    input!("dense_input_gradient.workgroup", "parts workgroup quads");
pub const INPUT_WORKGROUP_ELEMENTS: Kernel =
    input!("dense_input_gradient.workgroup_elements", "parts workgroup elements");
pub const PARTIALS_SLICED: Kernel = partials!("dense_weight_partials.sliced", "sliced quads");
pub const PARTIALS_WORKGROUP: Kernel =
    partials!("dense_weight_partials.workgroup", "workgroup quads");

const FORWARD_LARGEST: [(&str, Access); 8] = with_largest(FORWARD_BINDINGS);
const INPUT_LARGEST: [(&str, Access); 7] = with_largest(INPUT_BINDINGS);
const PARTIALS_LARGEST: [(&str, Access); 5] = with_largest(PARTIALS_BINDINGS);

/// Bindings of a product, and after them the largest elements.
const fn with_largest<const N: usize>(
    bindings: &[(&'static str, Access)],
) -> [(&'static str, Access); N] {
    let mut all = [("largest", Access::Read); N];
    let mut i = 0;
    while i < bindings.len() {
        all[i] = bindings[i];
        i += 1;
    }
    all
}

/// The kernel of one unit; flags are those of `shaders/shared/product.wgsl` and the files
/// beside it.
macro_rules! by_unit {
    ($unit:expr, $file:literal, $bindings:ident, $before:literal, $left:literal) => {
        match $unit {
            Unit::Half => kernel(
                concat!($file, ".half_", $left),
                shader!($file, $before, "matrix half", $left),
                &$bindings,
            ),
            Unit::Full => kernel(
                concat!($file, ".full_", $left),
                shader!($file, $before, "matrix full", $left),
                &$bindings,
            ),
            Unit::Emulated => kernel(
                concat!($file, ".emulated_", $left),
                shader!($file, $before, "matrix emulated", $left),
                &$bindings,
            ),
        }
    };
}

/// `whole`: W's rows are whole vec4.
pub fn forward_by_unit(unit: Unit, whole: bool) -> Kernel {
    match whole {
        true => by_unit!(unit, "dense_forward", FORWARD_LARGEST, "parts", "quads"),
        false => by_unit!(unit, "dense_forward", FORWARD_LARGEST, "parts", "elements"),
    }
}

pub fn input_by_unit(unit: Unit, whole: bool) -> Kernel {
    match whole {
        true => by_unit!(unit, "dense_input_gradient", INPUT_LARGEST, "parts", "quads"),
        false => by_unit!(unit, "dense_input_gradient", INPUT_LARGEST, "parts", "elements"),
    }
}

pub fn partials_by_unit(unit: Unit) -> Kernel {
    by_unit!(unit, "dense_weight_partials", PARTIALS_LARGEST, "", "quads")
}
