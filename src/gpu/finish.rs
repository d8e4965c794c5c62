//! Host side of `shaders/finish.wgsl`.

use super::TRAVERSAL_WGSL;
use super::control::{CONTROL_WGSL, Control};
use super::kernel::{Access, Constants, Formats, Kernel, stored, wgsl_struct};
use super::moments::{Kinds, MOMENTS_WGSL, Moments};
use super::traversal::{Chunk, Traversal};
use crate::plan::{self, Diagonal};

wgsl_struct! {
    /// One dispatch's weights and chunk.
    pub(crate) struct Finish {
        pub(crate) weights: [[f32; 4]; 2],
        pub(crate) chunk: Chunk,
    }
}

pub(crate) const KERNEL: Kernel = Kernel {
    name: "finish",
    text: &[CONTROL_WGSL, TRAVERSAL_WGSL, MOMENTS_WGSL, include_str!("../../shaders/finish.wgsl")],
    bindings: &[
        ("control", Access::Uniform),
        ("finish", Access::Uniform),
        ("moments", Access::Uniform),
        ("dst", Access::Write),
        ("mean", Access::Write),
        ("second", Access::Write),
        ("k0", Access::Read),
        ("k1", Access::Read),
        ("k2", Access::Read),
        ("k3", Access::Read),
        ("k4", Access::Read),
    ],
    vectors: &["mean", "second", "k0", "k1", "k2", "k3", "k4"],
    structs: &[Control::LAYOUT, Finish::LAYOUT, Moments::LAYOUT, Chunk::LAYOUT],
};

/// How its vectors are stored.
pub(crate) fn formats(finish: &plan::Finish, kinds: Kinds) -> Formats {
    let names = &["k0", "k1", "k2", "k3", "k4"];
    let mut formats = stored(names, finish.gradients.iter().map(|&(_, k)| k));
    formats.extend(kinds.formats());
    formats.extend(kinds.mean_formats());
    formats
}

pub(crate) fn constants(finish: &plan::Finish, kinds: Kinds, walk: &Traversal) -> Constants {
    let mut constants = walk.constants();
    constants.extend(kinds.constants());
    constants.extend([
        ("TERMS", finish.gradients.len() as f64),
        ("UPDATE", f64::from(u8::from(finish.diagonal == Diagonal::Update))),
        ("MOMENTUM", kinds.momentum()),
        ("MEAN_HALVES", kinds.mean_halves()),
        ("JUDGED", f64::from(u8::from(finish.target.name != plan::Name::Theta))),
    ]);
    constants
}

pub(crate) fn uniform(finish: &plan::Finish, chunk: Chunk) -> Finish {
    let mut weights = [[0.0; 4]; 2];
    for (j, (weight, _)) in finish.gradients.iter().enumerate() {
        weights[j / 4][j % 4] = *weight as f32;
    }
    Finish { weights, chunk }
}
