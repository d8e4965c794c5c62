//! Host side of `shaders/decay.wgsl`.

use super::stored;
use crate::device::kernel::{Access, Formats, Kernel, wgsl_struct};
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

/// Gives the format of k.
pub(crate) fn formats(k: Operand) -> Formats {
    stored(&["k"], [k])
}
