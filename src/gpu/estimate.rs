//! Host side of `shaders/estimate.wgsl`.

use super::control::{CONTROL_WGSL, Control};
use super::kernel::{Access, Constants, Formats, Kernel, stored, wgsl_struct};
use super::moments::{Kinds, MOMENTS_WGSL, Moments};
use super::traversal::{Chunk, Traversal};
use super::{FINITE_WGSL, PARTIALS_WGSL, PUT_PARTIAL_WGSL, TRAVERSAL_WGSL, WORKGROUP_SUM_WGSL};
use crate::ingredients::Adaptive;
use crate::plan::{self, Diagonal};

wgsl_struct! {
    /// One dispatch's weights, tolerances and chunk.
    pub(crate) struct Estimate {
        pub(crate) errors: [f32; 4],
        pub(crate) steps: [f32; 4],
        pub(crate) stage: u32,
        pub(crate) rtol: f32,
        pub(crate) atol: f32,
        pub(crate) drift: f32,
        pub(crate) bank: u32,
        pub(crate) unused_0: u32,
        pub(crate) unused_1: u32,
        pub(crate) unused_2: u32,
        pub(crate) chunk: Chunk,
    }
}

pub(crate) const KERNEL: Kernel = Kernel {
    name: "estimate",
    text: &[
        CONTROL_WGSL,
        TRAVERSAL_WGSL,
        FINITE_WGSL,
        PARTIALS_WGSL,
        WORKGROUP_SUM_WGSL,
        MOMENTS_WGSL,
        include_str!("../../shaders/estimate.wgsl"),
        PUT_PARTIAL_WGSL,
    ],
    bindings: &[
        ("control", Access::Uniform),
        ("estimate", Access::Uniform),
        ("moments", Access::Uniform),
        ("candidate", Access::Write),
        ("partials", Access::Write),
        ("second", Access::Write),
        ("theta", Access::Read),
        ("k0", Access::Read),
        ("k1", Access::Read),
        ("k2", Access::Read),
        ("k3", Access::Read),
    ],
    vectors: &["second", "k0", "k1", "k2", "k3"],
    structs: &[Control::LAYOUT, Estimate::LAYOUT, Moments::LAYOUT, Chunk::LAYOUT],
};

/// How its vectors are stored.
pub(crate) fn formats(estimate: &plan::Estimate, kinds: Kinds) -> Formats {
    let mut formats = stored(&["k0", "k1", "k2", "k3"], estimate.terms.iter().map(|&(_, k)| k));
    if estimate.diagonal != Diagonal::None {
        formats.extend(kinds.formats());
    }
    formats
}

pub(crate) fn constants(estimate: &plan::Estimate, kinds: Kinds, walk: &Traversal) -> Constants {
    let mut constants = walk.sum_constants();
    constants.extend(kinds.constants());
    constants.extend([
        ("TERMS", estimate.terms.len() as f64),
        ("MAKES", f64::from(u8::from(estimate.makes))),
        ("TWO", f64::from(u8::from(estimate.two))),
    ]);
    constants
}

/// `stages` is the number of stages; `bank` the partial sums that come before
/// those of errors.
pub(crate) fn uniform(
    estimate: &plan::Estimate,
    adaptive: &Adaptive,
    stages: u32,
    bank: usize,
    chunk: Chunk,
) -> Estimate {
    let mut uniform = Estimate {
        stage: stages,
        drift: estimate.drift as f32,
        bank: bank as u32,
        rtol: adaptive.rtol as f32,
        atol: adaptive.atol as f32,
        chunk: Chunk { first_partial: chunk.first_partial + bank as u32, ..chunk },
        ..Estimate::default()
    };
    for (j, ([d, b], _)) in estimate.terms.iter().enumerate() {
        (uniform.errors[j], uniform.steps[j]) = (*d as f32, *b as f32);
    }
    uniform
}
