//! Host side of `shaders/fit.wgsl`.

use super::control::Control;
use super::settings::{Piece, Settings};
use crate::device::kernel::{Access, Kernel, wgsl_struct};
use crate::device::library::shader;

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
    text: shader!("fit"),
    bindings: &[
        ("control", Access::Write),
        ("settings", Access::Uniform),
        ("fit", Access::Uniform),
        ("partials", Access::Write),
    ],
    vectors: &[],
    structs: &[Control::LAYOUT, Settings::LAYOUT, Piece::LAYOUT, Fit::LAYOUT],
};
