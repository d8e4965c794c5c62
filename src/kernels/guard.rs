//! Host side of `shaders/guard.wgsl`.

use super::stored;
use crate::device::kernel::{Access, Constants, Formats, Kernel, wgsl_struct};
use crate::device::library::shader;
use crate::device::traversal::{Chunk, Traversal};
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

/// Gives the format of k.
pub(crate) fn formats(k: Operand) -> Formats {
    stored(&["k"], [k])
}

pub(crate) fn constants(norm: bool, squares: bool, walk: &Traversal) -> Constants {
    let mut constants = walk.sum_constants();
    let flag = |b: bool| f64::from(u8::from(b));
    constants.extend([("NORM", flag(norm)), ("SQUARES", flag(squares))]);
    constants
}
