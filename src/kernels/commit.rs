//! Host side of `shaders/commit.wgsl`.

use super::control::Control;
use super::stored;
use crate::device::kernel::{Access, Constants, Formats, Kernel, wgsl_struct};
use crate::device::library::shader;
use crate::device::traversal::{Chunk, Traversal};
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

/// Gives the formats of both vectors.
pub(crate) fn formats(from: Operand, to: Operand) -> Formats {
    stored(&["dst", "src"], [to, from])
}

pub(crate) fn constants(walk: &Traversal) -> Constants {
    walk.constants()
}
