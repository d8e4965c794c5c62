//! Host side of `shaders/fit.wgsl`.

use super::control::Control;
use super::launch::{Launch, Resource, Work};
use super::settings::{Piece, Settings};
use crate::device::kernel::{Access, Kernel, wgsl_struct};
use crate::device::library::shader;
use crate::ingredients::{ENLARGED, SpectralRadius};
use crate::plan::Plan;

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

pub(crate) fn launch(interval: f64, stages: u32, plan: &Plan) -> Launch<'_> {
    let (given, enlarged) = match plan.ingredients().radius {
        SpectralRadius::Given(rho) => (rho as f32, 1.0),
        SpectralRadius::Estimated => (0.0, ENLARGED),
    };
    let (interval, evaluations) = ((interval / enlarged) as f32, plan.evaluations());
    Launch {
        kernel: &KERNEL,
        formats: vec![],
        constants: vec![],
        bindings: vec![
            ("control", Resource::Control),
            ("settings", Resource::Settings),
            ("fit", Resource::Uniform),
            ("partials", Resource::Partials),
        ],
        work: Work::once(&Fit { interval, given, stages, evaluations }),
    }
}
