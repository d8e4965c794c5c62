//! Host side of `shaders/combine.wgsl` and `shaders/combine_preconditioned.wgsl`.

use super::control::{CONTROL_WGSL, Control};
use super::kernel::{Access, Constants, Formats, Kernel, stored, wgsl_struct};
use super::moments::{Kinds, MOMENTS_WGSL, Moments};
use super::traversal::{Chunk, Traversal};
use super::{FINITE_WGSL, PARTIALS_WGSL, PUT_PARTIAL_WGSL, TRAVERSAL_WGSL, WORKGROUP_SUM_WGSL};
use crate::plan::{Diagonal, Linear, MAX_INPUTS, Name, Operand, Scale};

const LINEAR_WGSL: &str = include_str!("../../shaders/shared/linear.wgsl");

wgsl_struct! {
    /// One dispatch's weights and chunk.
    pub(crate) struct Combine {
        pub(crate) weights: [[f32; 4]; 2],
        pub(crate) stage: u32,
        pub(crate) unused_0: u32,
        pub(crate) unused_1: u32,
        pub(crate) unused_2: u32,
        pub(crate) chunk: Chunk,
    }
}

pub(crate) const KERNEL: Kernel = Kernel {
    name: "combine",
    text: &[
        CONTROL_WGSL,
        TRAVERSAL_WGSL,
        FINITE_WGSL,
        PARTIALS_WGSL,
        WORKGROUP_SUM_WGSL,
        LINEAR_WGSL,
        include_str!("../../shaders/combine.wgsl"),
        PUT_PARTIAL_WGSL,
    ],
    bindings: &[
        ("control", Access::Uniform),
        ("combine", Access::Uniform),
        ("dst", Access::Write),
        ("partials", Access::Write),
        ("x0", Access::Read),
        ("x1", Access::Read),
        ("x2", Access::Read),
        ("x3", Access::Read),
        ("x4", Access::Read),
        ("x5", Access::Read),
    ],
    vectors: &["x0", "x1", "x2", "x3", "x4", "x5"],
    structs: &[Control::LAYOUT, Combine::LAYOUT, Chunk::LAYOUT],
};

pub(crate) const PRECONDITIONED: Kernel = Kernel {
    name: "combine_preconditioned",
    text: &[
        CONTROL_WGSL,
        TRAVERSAL_WGSL,
        FINITE_WGSL,
        PARTIALS_WGSL,
        WORKGROUP_SUM_WGSL,
        LINEAR_WGSL,
        MOMENTS_WGSL,
        include_str!("../../shaders/combine_preconditioned.wgsl"),
        PUT_PARTIAL_WGSL,
    ],
    bindings: &[
        ("control", Access::Uniform),
        ("combine", Access::Uniform),
        ("moments", Access::Uniform),
        ("dst", Access::Write),
        ("partials", Access::Write),
        ("second", Access::Write),
        ("x0", Access::Read),
        ("x1", Access::Read),
        ("x2", Access::Read),
        ("x3", Access::Read),
        ("x4", Access::Read),
    ],
    vectors: &["second", "x0", "x1", "x2", "x3", "x4"],
    structs: &[Control::LAYOUT, Combine::LAYOUT, Moments::LAYOUT, Chunk::LAYOUT],
};

/// The kernel for an operation.
pub(crate) fn kernel(linear: &Linear) -> &'static Kernel {
    if linear.diagonal == Diagonal::None { &KERNEL } else { &PRECONDITIONED }
}

/// How its vectors are stored.
pub(crate) fn formats(linear: &Linear, kinds: Kinds) -> Formats {
    let names = &["x0", "x1", "x2", "x3", "x4", "x5"];
    let mut formats = stored(names, linear.inputs().skip(usize::from(linear.in_place())));
    if linear.diagonal != Diagonal::None {
        formats.extend(kinds.formats());
    }
    formats
}

/// Specialises the kernel for one operation.
pub(crate) fn constants(
    linear: &Linear,
    advance: bool,
    kinds: Kinds,
    walk: &Traversal,
) -> Constants {
    let skipped = usize::from(linear.in_place());
    let checked = |i: usize| {
        let operand = linear.inputs().nth(i + skipped);
        operand.and_then(|o| match o.name {
            Name::Gradient(stage) if linear.checks.contains(&stage) => Some(stage),
            _ => None,
        })
    };
    let stages: Vec<(usize, u32)> =
        (0..MAX_INPUTS).filter_map(|i| Some((i, checked(i)?))).collect();
    let check: u32 = stages.iter().map(|(i, _)| 1 << i).sum();
    let first = stages.iter().find(|&&(_, stage)| stage == 1).filter(|_| linear.norm);
    let flag = |b: bool| f64::from(u8::from(b));
    let mut constants = walk.sum_constants();
    constants.extend([
        ("IN_PLACE", flag(linear.in_place())),
        ("POINTS", linear.points.len() as f64),
        ("TERMS", linear.gradients.len() as f64),
        ("TIMES_H", flag(linear.scale != Scale::One)),
        ("PROBE", flag(matches!(linear.scale, Scale::Probe | Scale::Direction))),
        ("ADVANCE", flag(advance)),
        ("CHECK", f64::from(check)),
        ("NORM", first.map_or(0.0, |(i, _)| (i + 1) as f64)),
    ]);
    if linear.diagonal != Diagonal::None {
        constants.extend(kinds.constants());
        let update = linear.diagonal == Diagonal::Update;
        let is_first = |o: Operand| o.name == Name::Gradient(1);
        let first = linear.inputs().skip(skipped).position(is_first).filter(|_| update);
        constants.push(("UPDATE", flag(update)));
        constants.push(("FIRST", first.map_or(0.0, |i| (i + 1) as f64)));
    }
    constants
}

/// The weights of the kernel's inputs, in the order of [`Linear::inputs`]
/// without a base that is worked on in place.
pub(crate) fn uniform(linear: &Linear, chunk: Chunk) -> Combine {
    let base = (!linear.in_place()).then_some(1.0);
    let terms = linear.points.iter().chain(&linear.gradients).map(|&(w, _)| w as f32);
    let mut weights = [[0.0; 4]; 2];
    for (i, weight) in base.into_iter().chain(terms).enumerate() {
        weights[i / 4][i % 4] = weight;
    }
    Combine { weights, stage: linear.first_checked(), chunk, ..Combine::default() }
}
