//! Host side of `shaders/guard.wgsl`.

use super::launch::{Launch, Resource, Setting, Work};
use super::stored;
use crate::device::kernel::{Access, Kernel, flag, wgsl_struct};
use crate::device::library::shader;
use crate::device::traversal::Chunk;
use crate::plan::Operand;

wgsl_struct! {
    /// The guarded gradient's stage and one dispatch's chunk.
    pub(crate) struct Guard {
        pub(crate) stage: u32,
        pub(crate) unused_0: u32,
        pub(crate) unused_1: u32,
        pub(crate) unused_2: u32,
        pub(crate) chunk: Chunk,
    }
}

pub(crate) const KERNEL: Kernel = Kernel {
    name: "guard",
    text: shader!("guard"),
    bindings: &[("guard", Access::Uniform), ("partials", Access::Write), ("k", Access::Read)],
    vectors: &["k"],
    structs: &[Guard::LAYOUT, Chunk::LAYOUT],
};

/// `norm`: the norm is left; `squares`: they must be finite too.
pub(crate) fn launch<'a>(
    gradient: Operand,
    stage: u32,
    [norm, squares]: [bool; 2],
    setting: Setting<'a>,
) -> Launch<'a> {
    let mut constants = setting.walk.sum_constants();
    constants.extend([("TAKES_NORM", flag(norm)), ("SQUARES", flag(squares))]);
    Launch {
        kernel: &KERNEL,
        formats: stored(&["k"], [gradient]),
        constants,
        bindings: vec![
            ("guard", Resource::Uniform),
            ("partials", Resource::Partials),
            ("k", Resource::Vector(gradient.slot)),
        ],
        work: Work::chunks(move |_, chunk| Guard { stage, chunk, ..Guard::default() }),
    }
}
