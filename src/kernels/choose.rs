//! Host side of `shaders/choose.wgsl`.

use super::control::Control;
use super::launch::{Launch, Resource, Work};
use super::settings::{Piece, Settings};
use super::verdict::{DECIDING, Kind};
use crate::codes::wgsl;
use crate::device::kernel::{Access, Constants, Kernel, flag};
use crate::device::library::shader;
use crate::plan::Choice;

pub(crate) const KERNEL: Kernel = Kernel {
    name: "choose",
    text: shader!("choose", numbers: CHOICES),
    bindings: &[
        ("control", Access::Write),
        ("settings", Access::Uniform),
        ("partials", Access::Write),
        ("loss", Access::Write),
        ("checks", Access::Write),
    ],
    vectors: &[],
    structs: &[Control::LAYOUT, Settings::LAYOUT, Piece::LAYOUT],
};

const CHOICES: &str = wgsl!(
    NORM = Choice::Norm as u32,
    DIRECTION = Choice::Direction as u32,
    PROBED = Choice::Probed as u32,
    NEXT = Choice::Next as u32,
    FIRST_PROBE = Choice::FirstProbe as u32,
    FIRST_STEP = Choice::FirstStep as u32,
    FIRST_CURVATURE = Choice::FirstCurvature as u32,
    MULTIPLIED = Choice::Multiplied as u32,
    RADIUS_START = Choice::RadiusStart as u32,
    RADIUS = Choice::Radius as u32,
    OPENED = Choice::Opened as u32,
);

fn constants(choice: Choice, kind: Kind) -> Constants {
    let ridden = choice == Choice::Norm && kind.summed;
    vec![("CHOICE", f64::from(choice as u32)), ("RIDDEN", flag(ridden))]
}

pub(crate) fn launch<'a>(choice: Choice, kind: Kind) -> Launch<'a> {
    Launch {
        kernel: &KERNEL,
        formats: vec![],
        constants: constants(choice, kind),
        bindings: [&DECIDING[..], &[("checks", Resource::Checks)]].concat(),
        work: Work::Once(vec![]),
    }
}
