//! Host side of `shaders/commit.wgsl`.

use super::control::Control;
use super::launch::{Launch, Resource, Setting, Work};
use super::stored;
use crate::device::kernel::{Access, Kernel, wgsl_struct};
use crate::device::library::shader;
use crate::device::traversal::Chunk;
use crate::plan::Operand;

wgsl_struct! {
    /// One dispatch's chunk.
    pub(crate) struct Commit {
        pub(crate) chunk: Chunk,
    }
}

pub(crate) const KERNEL: Kernel = Kernel {
    name: "commit",
    text: shader!("commit"),
    bindings: &[
        ("control", Access::Uniform),
        ("commit", Access::Uniform),
        ("dst", Access::Write),
        ("src", Access::Read),
    ],
    vectors: &["dst", "src"],
    structs: &[Control::LAYOUT, Commit::LAYOUT, Chunk::LAYOUT],
};

pub(crate) fn launch<'a>(from: Operand, to: Operand, setting: Setting<'a>) -> Launch<'a> {
    Launch {
        kernel: &KERNEL,
        formats: stored(&["dst", "src"], [to, from]),
        constants: setting.walk.constants(),
        bindings: vec![
            ("control", Resource::Control),
            ("commit", Resource::Uniform),
            ("dst", Resource::Vector(to.slot)),
            ("src", Resource::Vector(from.slot)),
        ],
        work: Work::chunks(|_, chunk| Commit { chunk }),
    }
}
