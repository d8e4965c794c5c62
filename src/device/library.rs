//! Every text that shaders use by name.

use crate::codes::{self, wgsl};
use crate::ingredients::MAX_PIECES;

/// Shared texts by name.
pub(crate) type Library = &'static [(&'static str, &'static str)];

/// Texts of `shaders/shared/` by their files' names.
macro_rules! shared {
    ($($name:ident)*) => { &[
        $((
            stringify!($name),
            include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"), "/shaders/shared/", stringify!($name), ".wgsl"
            )),
        ),)*
    ] };
}

pub(crate) const LIBRARY: Library = shared! {
    account activation batch bf16 check_gradient checks clip combine_group commit_group control
    controller f16 finish_group finite gather grid grid_shape guard_group half judge left_elements
    left_quads loss matrix_emulated matrix_full matrix_half moments momentum narrow_layer noise
    partials prepare product product_matrix product_parts product_register product_sliced
    product_workgroup put_roots record row_loss row_sum rules scaled_sum settings shuffle sine
    take_roots traversal wave weights workgroup_sum
};

/// Numbers that Rust and shaders share, as texts.
pub(crate) const NUMBERS: Library = &[
    ("activations", codes::activation::WGSL),
    ("controllers", codes::controller::WGSL),
    ("curves", codes::curve::WGSL),
    ("failures", codes::failure::WGSL),
    ("fallbacks", codes::fallback::WGSL),
    ("lanes", codes::lane::WGSL),
    ("limits", codes::limit::WGSL),
    ("momenta", codes::momentum::WGSL),
    ("pieces", wgsl!(PIECES = MAX_PIECES as u32)),
    ("preconditioners", codes::preconditioner::WGSL),
    ("problems", codes::problem::WGSL),
    ("rule_kinds", codes::rule::WGSL),
    ("verdicts", codes::verdict::WGSL),
];

/// The text of the file of `shaders/` with this name, with flags set where it has parts that
/// not every kernel wants, and with numbers that no other kernel has.
macro_rules! shader {
    ($name:literal) => {
        &[include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $name, ".wgsl"))]
    };
    ($name:literal, numbers: $numbers:expr) => {
        &[$numbers, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $name, ".wgsl"))]
    };
    ($name:literal, $flags:literal, numbers: $numbers:expr) => {
        &[
            $numbers,
            concat!("//: set ", $flags, "\n"),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $name, ".wgsl")),
        ]
    };
    ($name:literal, $($flags:literal),+) => {
        &[
            concat!("//: set" $(, " ", $flags)+, "\n"),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $name, ".wgsl")),
        ]
    };
}
pub(crate) use shader;
