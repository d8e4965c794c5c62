//! Host side of `shaders/choose.wgsl`.

use super::control::{CONTROL_WGSL, Control};
use super::settings::{Piece, Settings};
use super::{
    FINITE_WGSL, PARTIALS_WGSL, PREPARE_WGSL, RECORD_WGSL, RULES_WGSL, SCALED_SUM_WGSL,
    SETTINGS_WGSL, TAKE_ROOTS_WGSL, TRAVERSAL_WGSL,
};
use crate::device::kernel::{Access, Constants, Kernel};
use crate::plan::Choice;

pub(crate) const KERNEL: Kernel = Kernel {
    name: "choose",
    text: &[
        CONTROL_WGSL,
        SETTINGS_WGSL,
        TRAVERSAL_WGSL,
        FINITE_WGSL,
        PARTIALS_WGSL,
        SCALED_SUM_WGSL,
        TAKE_ROOTS_WGSL,
        RECORD_WGSL,
        RULES_WGSL,
        include_str!("../../shaders/choose.wgsl"),
        PREPARE_WGSL,
    ],
    bindings: &[
        ("control", Access::Write),
        ("settings", Access::Uniform),
        ("partials", Access::Write),
        ("loss", Access::Write),
    ],
    vectors: &[],
    structs: &[Control::LAYOUT, Settings::LAYOUT, Piece::LAYOUT],
};

pub(crate) fn constants(choice: Choice) -> Constants {
    let number = match choice {
        Choice::Norm => 0.0,
        Choice::Direction => 1.0,
        Choice::Probed => 2.0,
        Choice::Next => 3.0,
        Choice::FirstProbe => 4.0,
        Choice::FirstStep => 5.0,
        Choice::FirstCurvature => 6.0,
        Choice::Multiplied => 7.0,
        Choice::RadiusStart => 8.0,
        Choice::Radius => 9.0,
        Choice::Opened => 10.0,
    };
    vec![("CHOICE", number)]
}
