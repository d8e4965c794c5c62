//! Host side of `shaders/field.wgsl`.

use super::control::{CONTROL_WGSL, Control};
use super::moments::{Kinds, MOMENTS_WGSL, Moments};
use super::{FINITE_WGSL, PARTIALS_WGSL, PUT_ROOTS_WGSL, SCALED_SUM_WGSL, TRAVERSAL_WGSL, stored};
use crate::device::kernel::{Access, Constants, Formats, Kernel, wgsl_struct};
use crate::device::traversal::{Chunk, Traversal};
use crate::ingredients::Adaptive;
use crate::plan::{self, Diagonal, FieldSums};

wgsl_struct! {
    /// One dispatch's tolerances and chunk.
    pub(crate) struct Field {
        pub(crate) rtol: f32,
        pub(crate) atol: f32,
        pub(crate) bank: u32,
        pub(crate) unused: u32,
        pub(crate) chunk: Chunk,
    }
}

pub(crate) const KERNEL: Kernel = Kernel {
    name: "field",
    text: &[
        CONTROL_WGSL,
        TRAVERSAL_WGSL,
        FINITE_WGSL,
        PARTIALS_WGSL,
        SCALED_SUM_WGSL,
        MOMENTS_WGSL,
        include_str!("../../shaders/field.wgsl"),
        PUT_ROOTS_WGSL,
    ],
    bindings: &[
        ("control", Access::Uniform),
        ("field", Access::Uniform),
        ("moments", Access::Uniform),
        ("partials", Access::Write),
        ("second", Access::Write),
        ("theta", Access::Read),
        ("a", Access::Read),
        ("b", Access::Read),
    ],
    vectors: &["second", "a", "b"],
    structs: &[Control::LAYOUT, Field::LAYOUT, Moments::LAYOUT, Chunk::LAYOUT],
};

/// Gives the formats of its vectors.
pub(crate) fn formats(field: &plan::Field, kinds: Kinds) -> Formats {
    let mut formats = stored(&["a", "b"], std::iter::once(field.a).chain(field.b));
    formats.extend(kinds.formats());
    formats
}

pub(crate) fn constants(field: &plan::Field, kinds: Kinds, walk: &Traversal) -> Constants {
    let mut constants = walk.sum_constants();
    constants.extend(kinds.constants());
    let flag = |b: bool| f64::from(u8::from(b));
    constants.extend([
        ("DIFFERENCE", flag(field.b.is_some())),
        (
            "OTHER",
            match field.sums {
                FieldSums::RawProduct => 0.0,
                FieldSums::Product => 1.0,
                FieldSums::Second => 2.0,
                FieldSums::Scaled => 3.0,
            },
        ),
        ("UPDATE", flag(field.diagonal == Diagonal::Update)),
    ]);
    constants
}

/// `bank` is the number of partial sums of one kind.
pub(crate) fn uniform(adaptive: Option<&Adaptive>, bank: usize, chunk: Chunk) -> Field {
    let bank = bank as u32;
    Field {
        rtol: adaptive.map_or(0.0, |a| a.rtol as f32),
        atol: adaptive.map_or(0.0, |a| a.atol as f32),
        bank,
        unused: 0,
        chunk: Chunk { first_partial: chunk.first_partial + bank, ..chunk },
    }
}
