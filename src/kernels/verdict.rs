//! Host side of `shaders/begin.wgsl` and `shaders/verdict.wgsl`, the kernels
//! that decide, and of the record they write.

use super::control::Control;
use super::launch::{Bindings, Launch, Resource, Work};
use super::settings::{Piece, Settings};
use crate::device::kernel::{Access, Constants, Kernel, StructLayout, flag, wgsl_struct};
use crate::device::library::shader;
use crate::plan::Plan;

wgsl_struct! {
    /// One attempt as the device records it: `shaders/shared/record.wgsl`.
    pub(crate) struct Record {
        pub(crate) attempt: u32,
        pub(crate) verdict: u32,
        pub(crate) stage: u32,
        pub(crate) batch: u32,
        pub(crate) h: f32,
        pub(crate) time_high: f32,
        pub(crate) time_low: f32,
        pub(crate) loss: u32,
        pub(crate) grad_norm: f32,
        pub(crate) error: f32,
        pub(crate) accepted: u32,
        pub(crate) skipped: u32,
        pub(crate) refused: u32,
        pub(crate) evaluations: u32,
        pub(crate) curvature: f32,
        pub(crate) non_finite: u32,
        pub(crate) stages: u32,
        pub(crate) radius: f32,
        pub(crate) radius_state: u32,
        pub(crate) cursor: u32,
        pub(crate) draws: u32,
        pub(crate) stood: u32,
        pub(crate) place: u32,
    }
}

wgsl_struct! {
    /// The numbers that the host recorded for an attempt.
    pub(crate) struct Recorded {
        pub(crate) draws: u32,
        pub(crate) ridden: u32,
    }
}

pub(crate) use crate::codes::verdict::{ACCEPTED, IDLE, MEASURED, NO_LOSS, REFUSED, SKIPPED};

pub(crate) const BEGIN: Kernel = Kernel {
    name: "begin",
    text: shader!("begin"),
    bindings: &[
        ("control", Access::Write),
        ("settings", Access::Uniform),
        ("partials", Access::Write),
        ("loss", Access::Write),
    ],
    vectors: &[],
    structs: &[Control::LAYOUT, Settings::LAYOUT, Piece::LAYOUT],
};

/// What a verdict binds before anything else: the bindings of `shaders/shared/judge.wgsl`.
pub(super) const BINDINGS: [(&str, Access); 8] = [
    ("block", Access::Write),
    ("settings", Access::Uniform),
    ("partials", Access::Write),
    ("loss", Access::Write),
    ("ring", Access::Write),
    ("last_loss", Access::Write),
    ("checks", Access::Write),
    ("recorded", Access::Uniform),
];

/// What those hold; `recorded` is a uniform of the launch.
pub(super) fn held(recorded: Resource) -> Bindings {
    let resources = [
        Resource::Control,
        Resource::Settings,
        Resource::Partials,
        Resource::Loss,
        Resource::Ring,
        Resource::LastLoss,
        Resource::Checks,
        recorded,
    ];
    BINDINGS.iter().map(|(name, _)| *name).zip(resources).collect()
}

pub(super) const STRUCTS: [StructLayout; 5] =
    [Control::LAYOUT, Settings::LAYOUT, Piece::LAYOUT, Record::LAYOUT, Recorded::LAYOUT];

pub(crate) const VERDICT: Kernel = Kernel {
    name: "verdict",
    text: shader!("verdict"),
    bindings: &BINDINGS,
    vectors: &[],
    structs: &STRUCTS,
};

/// The kind of a verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Looks at loss and gradient, and counts for nothing.
    pub(crate) measure: bool,
    /// There is an error estimate.
    pub(crate) judged: bool,
    /// The error is made of two sums.
    pub(crate) two: bool,
    /// k_s and its loss serve the next attempt.
    pub(crate) reuse: bool,
    /// k₁ came from the attempt before.
    pub(crate) reused: bool,
    /// The source left ‖k₁‖ as it wrote k₁.
    pub(crate) summed: bool,
    /// ‖k₁‖ clips, and nothing between it and the verdict wants to know.
    pub(crate) clips: bool,
    /// The stage whose gradient the source checked, if nobody asked what it found; else 0.
    pub(crate) ridden: u32,
}

fn constants(kind: Kind) -> Constants {
    vec![
        ("MEASURE", flag(kind.measure)),
        ("JUDGED", flag(kind.judged)),
        ("TWO", flag(kind.two)),
        ("REUSE", flag(kind.reuse)),
        ("REUSED", flag(kind.reused)),
        ("RIDDEN", flag(kind.summed)),
        ("CLIPS", flag(kind.clips)),
    ]
}

/// Held by the bindings of every kernel that decides.
pub(super) const DECIDING: [(&str, Resource); 4] = [
    ("control", Resource::Control),
    ("settings", Resource::Settings),
    ("partials", Resource::Partials),
    ("loss", Resource::Loss),
];

/// Readies the control block.
pub(crate) fn begin<'a>() -> Launch<'a> {
    Launch {
        kernel: &BEGIN,
        formats: vec![],
        constants: vec![],
        bindings: DECIDING.to_vec(),
        work: Work::Once(vec![]),
    }
}

pub(crate) fn launch(plan: &Plan, kind: Kind) -> Launch<'_> {
    let draws = if kind.measure { 1 } else { plan.stage_gradients() };
    Launch {
        kernel: &VERDICT,
        formats: vec![],
        constants: constants(kind),
        bindings: held(Resource::Uniform),
        work: Work::once(&Recorded { draws, ridden: kind.ridden }),
    }
}
