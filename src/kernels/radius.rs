//! Host side of `shaders/radius.wgsl`.

use super::control::Control;
use super::launch::{Launch, Resource, Setting, Work};
use super::moments::{Kinds, Moments};
use super::stored;
use crate::device::kernel::{Access, Constants, Formats, Kernel, flag, wgsl_struct};
use crate::device::library::shader;
use crate::device::traversal::{Chunk, Traversal};
use crate::plan::{self, Diagonal};

wgsl_struct! {
    /// One dispatch's place.
    pub(crate) struct Radius {
        pub(crate) bank: u32,
        pub(crate) offset: u32,
        pub(crate) unused_0: u32,
        pub(crate) unused_1: u32,
        pub(crate) chunk: Chunk,
    }
}

pub(crate) const KERNEL: Kernel = Kernel {
    name: "radius",
    text: shader!("radius", "state"),
    bindings: &[
        ("control", Access::Uniform),
        ("radius", Access::Uniform),
        ("moments", Access::Uniform),
        ("vector", Access::Write),
        ("partials", Access::Write),
        ("second", Access::Write),
        ("theta", Access::Read),
        ("first", Access::Read),
        ("beside", Access::Read),
    ],
    vectors: &["second", "first"],
    structs: &[Control::LAYOUT, Radius::LAYOUT, Moments::LAYOUT, Chunk::LAYOUT],
};

/// Gives the formats of its vectors.
fn formats(op: &plan::Radius, kinds: Kinds) -> Formats {
    let mut formats = stored(&["first"], op.others.into_iter().flatten());
    if op.diagonal != Diagonal::None {
        formats.extend(kinds.formats());
    }
    formats
}

fn constants(op: &plan::Radius, kinds: Kinds, walk: &Traversal) -> Constants {
    let mut constants = walk.sum_constants();
    if op.diagonal != Diagonal::None {
        constants.extend(kinds.constants());
    }
    constants.extend([
        ("START", flag(op.others.is_none())),
        ("UPDATE", flag(op.diagonal == Diagonal::Update)),
    ]);
    constants
}

pub(crate) fn launch<'a>(op: &plan::Radius, setting: Setting<'a>) -> Launch<'a> {
    let Setting { kinds, walk, .. } = setting;
    let [first, beside] = op.others.map_or([0, 0], |others| others.map(|o| o.slot));
    let bank = walk.partials() as u32;
    Launch {
        kernel: &KERNEL,
        formats: formats(op, kinds),
        constants: constants(op, kinds, &walk),
        bindings: vec![
            ("control", Resource::Control),
            ("radius", Resource::Uniform),
            ("moments", Resource::Moments),
            ("vector", Resource::Vector(op.vector.slot)),
            ("partials", Resource::Partials),
            ("second", Resource::Second),
            ("theta", Resource::Vector(0)),
            ("first", Resource::Vector(first)),
            ("beside", Resource::Vector(beside)),
        ],
        work: Work::chunks(move |range, chunk| {
            let offset = range.start as u32;
            Radius { bank, offset, chunk, ..Radius::default() }
        }),
    }
}
