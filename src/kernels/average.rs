//! Host side of `shaders/average.wgsl`.

use super::control::Control;
use crate::device::kernel::{Access, Kernel, wgsl_struct};
use crate::device::library::shader;
use crate::device::traversal::Chunk;

wgsl_struct! {
    /// β and one dispatch's chunk.
    pub(crate) struct Average {
        pub(crate) beta: f32,
        pub(crate) rest: f32,
        pub(crate) unused_0: u32,
        pub(crate) unused_1: u32,
        pub(crate) chunk: Chunk,
    }
}

pub(crate) const KERNEL: Kernel = Kernel {
    name: "average",
    text: shader!("average"),
    bindings: &[
        ("control", Access::Uniform),
        ("average", Access::Uniform),
        ("mean", Access::Write),
        ("theta", Access::Read),
    ],
    vectors: &[],
    structs: &[Control::LAYOUT, Average::LAYOUT, Chunk::LAYOUT],
};
