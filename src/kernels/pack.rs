//! Host side of `shaders/pack.wgsl`.

use super::stored;
use crate::device::kernel::{Access, Formats, Kernel};
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

pub(crate) fn formats(to: Operand) -> Formats {
    stored(&["dst"], [to])
}
