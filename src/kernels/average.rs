//! Host side of `shaders/average.wgsl`.

use super::control::Control;
use super::launch::{Launch, Resource, Setting, Work};
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

pub(crate) fn launch(setting: Setting<'_>) -> Launch<'_> {
    let beta = setting.plan.ingredients().average.unwrap_or(0.0);
    let (beta, rest) = (beta as f32, (1.0 - beta) as f32);
    Launch {
        kernel: &KERNEL,
        formats: vec![],
        constants: setting.walk.constants(),
        bindings: vec![
            ("control", Resource::Control),
            ("average", Resource::Uniform),
            ("mean", Resource::Average),
            ("theta", Resource::Vector(0)),
        ],
        work: Work::chunks(move |_, chunk| Average { beta, rest, chunk, ..Average::default() }),
    }
}
