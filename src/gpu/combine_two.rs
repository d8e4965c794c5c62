//! Host side of `shaders/combine_two.wgsl`.

use super::control::{CONTROL_WGSL, Control};
use super::kernel::{Access, Constants, Formats, Kernel, stored, wgsl_struct};
use super::traversal::{Chunk, Traversal};
use super::{FINITE_WGSL, PARTIALS_WGSL, PUT_PARTIAL_WGSL, TRAVERSAL_WGSL, WORKGROUP_SUM_WGSL};
use crate::plan::{Also, Linear, Name};

wgsl_struct! {
    /// One dispatch's weights and chunk.
    pub(crate) struct CombineTwo {
        pub(crate) weights: [[f32; 4]; 2],
        pub(crate) also: [[f32; 4]; 2],
        pub(crate) stage: u32,
        pub(crate) unused_0: u32,
        pub(crate) unused_1: u32,
        pub(crate) unused_2: u32,
        pub(crate) chunk: Chunk,
    }
}

/// Gradients that the build with checks reads.
pub(crate) const CHECKED_TERMS: usize = 4;
/// And the one without.
pub(crate) const UNCHECKED_TERMS: usize = 5;

const STRUCTS: &[super::kernel::StructLayout] =
    &[Control::LAYOUT, CombineTwo::LAYOUT, Chunk::LAYOUT];

pub(crate) const CHECKED: Kernel = Kernel {
    name: "combine_two.checked",
    text: &[
        CONTROL_WGSL,
        TRAVERSAL_WGSL,
        FINITE_WGSL,
        PARTIALS_WGSL,
        WORKGROUP_SUM_WGSL,
        include_str!("../../shaders/combine_two.wgsl"),
        include_str!("../../shaders/shared/two_checked.wgsl"),
        PUT_PARTIAL_WGSL,
    ],
    bindings: &[
        ("control", Access::Uniform),
        ("combine", Access::Uniform),
        ("dst", Access::Write),
        ("also", Access::Write),
        ("x0", Access::Read),
        ("k0", Access::Read),
        ("k1", Access::Read),
        ("k2", Access::Read),
        ("k3", Access::Read),
        ("partials", Access::Write),
    ],
    vectors: &["k0", "k1", "k2", "k3"],
    structs: STRUCTS,
};

pub(crate) const UNCHECKED: Kernel = Kernel {
    name: "combine_two.unchecked",
    text: &[
        CONTROL_WGSL,
        TRAVERSAL_WGSL,
        FINITE_WGSL,
        include_str!("../../shaders/combine_two.wgsl"),
        include_str!("../../shaders/shared/two_unchecked.wgsl"),
    ],
    bindings: &[
        ("control", Access::Uniform),
        ("combine", Access::Uniform),
        ("dst", Access::Write),
        ("also", Access::Write),
        ("x0", Access::Read),
        ("k0", Access::Read),
        ("k1", Access::Read),
        ("k2", Access::Read),
        ("k3", Access::Read),
        ("k4", Access::Read),
    ],
    vectors: &["k0", "k1", "k2", "k3", "k4"],
    structs: STRUCTS,
};

/// Whether the build with checks is wanted.
pub(crate) fn checks(linear: &Linear) -> bool {
    !linear.checks.is_empty()
}

pub(crate) fn kernel(linear: &Linear) -> &'static Kernel {
    if checks(linear) { &CHECKED } else { &UNCHECKED }
}

/// How its vectors are stored.
pub(crate) fn formats(linear: &Linear) -> Formats {
    stored(&["k0", "k1", "k2", "k3", "k4"], linear.gradients.iter().map(|&(_, k)| k))
}

/// Specialises the kernel for one operation.
pub(crate) fn constants(linear: &Linear, also: &Also, walk: &Traversal) -> Constants {
    let stage = |j: usize| match linear.gradients.get(j)?.1.name {
        Name::Gradient(stage) if linear.checks.contains(&stage) => Some(stage),
        _ => None,
    };
    let checked: Vec<(usize, u32)> =
        (0..linear.gradients.len()).filter_map(|j| Some((j, stage(j)?))).collect();
    let check: u32 = checked.iter().map(|(j, _)| 1 << j).sum();
    let first = checked.iter().find(|&&(_, stage)| stage == 1).filter(|_| linear.norm);
    let mut constants = if checks(linear) { walk.sum_constants() } else { walk.constants() };
    constants.extend([
        ("TERMS", linear.gradients.len() as f64),
        ("ALSO_BASED", f64::from(u8::from(also.based))),
        ("CHECK", f64::from(check)),
        ("NORM", first.map_or(0.0, |(j, _)| (j + 1) as f64)),
    ]);
    constants
}

pub(crate) fn uniform(linear: &Linear, also: &Also, chunk: Chunk) -> CombineTwo {
    let mut uniform = CombineTwo { stage: linear.first_checked(), chunk, ..Default::default() };
    for (j, ((weight, _), other)) in linear.gradients.iter().zip(&also.weights).enumerate() {
        uniform.weights[j / 4][j % 4] = *weight as f32;
        uniform.also[j / 4][j % 4] = *other as f32;
    }
    uniform
}
