//! Host side of `shaders/decay.wgsl`.

use super::launch::{Launch, Resource, Setting, Work};
use super::stored;
use crate::device::kernel::{Access, Kernel, wgsl_struct};
use crate::device::library::shader;
use crate::device::traversal::Chunk;
use crate::plan::Operand;

wgsl_struct! {
    /// λ and one dispatch's chunk.
    pub(crate) struct Decay {
        pub(crate) lambda: f32,
        pub(crate) unused_0: u32,
        pub(crate) unused_1: u32,
        pub(crate) unused_2: u32,
        pub(crate) chunk: Chunk,
    }
}

pub(crate) const KERNEL: Kernel = Kernel {
    name: "decay",
    text: shader!("decay"),
    bindings: &[("decay", Access::Uniform), ("k", Access::Write), ("y", Access::Read)],
    vectors: &["k"],
    structs: &[Decay::LAYOUT, Chunk::LAYOUT],
};

pub(crate) fn launch<'a>(gradient: Operand, point: Operand, setting: Setting<'a>) -> Launch<'a> {
    let lambda = setting.plan.ingredients().l2 as f32;
    Launch {
        kernel: &KERNEL,
        formats: stored(&["k"], [gradient]),
        constants: setting.walk.constants(),
        bindings: vec![
            ("decay", Resource::Uniform),
            ("k", Resource::Vector(gradient.slot)),
            ("y", Resource::Vector(point.slot)),
        ],
        work: Work::chunks(move |_, chunk| Decay { lambda, chunk, ..Decay::default() }),
    }
}
