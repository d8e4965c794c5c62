//! Host side of `shaders/fit.wgsl`.

use super::control::{CONTROL_WGSL, Control};
use super::settings::{Piece, Settings};
use super::{FINITE_WGSL, PARTIALS_WGSL, PREPARE_WGSL, RECORD_WGSL, RULES_WGSL, SETTINGS_WGSL};
use crate::device::kernel::{Access, Kernel, wgsl_struct};

wgsl_struct! {
    /// The bound of h.
    pub(crate) struct Fit {
        pub(crate) interval: f32,
        pub(crate) given: f32,
        pub(crate) stages: u32,
        pub(crate) evaluations: u32,
    }
}

pub(crate) const KERNEL: Kernel = Kernel {
    name: "fit",
    text: &[
        CONTROL_WGSL,
        SETTINGS_WGSL,
        FINITE_WGSL,
        PARTIALS_WGSL,
        RECORD_WGSL,
        RULES_WGSL,
        include_str!("../../shaders/fit.wgsl"),
        PREPARE_WGSL,
    ],
    bindings: &[
        ("control", Access::Write),
        ("settings", Access::Uniform),
        ("fit", Access::Uniform),
        ("partials", Access::Write),
    ],
    vectors: &[],
    structs: &[Control::LAYOUT, Settings::LAYOUT, Piece::LAYOUT, Fit::LAYOUT],
};
