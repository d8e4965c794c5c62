//! Host side of `shaders/pack.wgsl`.

use super::launch::{Launch, Resource, Setting, Work};
use super::stored;
use crate::device::kernel::{Access, Kernel};
use crate::device::library::shader;
use crate::device::traversal::Chunk;
use crate::plan::Operand;

pub(crate) const KERNEL: Kernel = Kernel {
    name: "pack",
    text: shader!("pack"),
    bindings: &[("chunk", Access::Uniform), ("src", Access::Read), ("dst", Access::Write)],
    vectors: &["dst"],
    structs: &[Chunk::LAYOUT],
};

pub(crate) fn launch<'a>(from: Operand, to: Operand, setting: Setting<'a>) -> Launch<'a> {
    Launch {
        kernel: &KERNEL,
        formats: stored(&["dst"], [to]),
        constants: setting.walk.constants(),
        bindings: vec![
            ("chunk", Resource::Uniform),
            ("src", Resource::Vector(from.slot)),
            ("dst", Resource::Vector(to.slot)),
        ],
        work: Work::chunks(|_, chunk| chunk),
    }
}
