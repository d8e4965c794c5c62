//! Host side of `shaders/field.wgsl`.

use super::control::Control;
use super::launch::{Launch, Resource, Setting, Work};
use super::moments::{Kinds, Moments};
use super::stored;
use crate::codes::wgsl;
use crate::device::kernel::{Access, Constants, Formats, Kernel, flag, wgsl_struct};
use crate::device::library::shader;
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

const SUMS: &str = wgsl!(
    RAW_PRODUCT = FieldSums::RawProduct as u32,
    PRODUCT = FieldSums::Product as u32,
    SECOND = FieldSums::Second as u32,
    SCALED = FieldSums::Scaled as u32,
);

pub(crate) const KERNEL: Kernel = Kernel {
    name: "field",
    text: shader!("field", "state", numbers: SUMS),
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
fn formats(field: &plan::Field, kinds: Kinds) -> Formats {
    let mut formats = stored(&["a", "b"], std::iter::once(field.a).chain(field.b));
    formats.extend(kinds.formats());
    formats
}

fn constants(field: &plan::Field, kinds: Kinds, walk: &Traversal) -> Constants {
    let mut constants = walk.sum_constants();
    constants.extend(kinds.constants());
    constants.extend([
        ("DIFFERENCE", flag(field.b.is_some())),
        ("OTHER", f64::from(field.sums as u32)),
        ("UPDATE", flag(field.diagonal == Diagonal::Update)),
    ]);
    constants
}

/// `bank` is the number of partial sums of one kind.
fn uniform(adaptive: Option<&Adaptive>, bank: usize, chunk: Chunk) -> Field {
    let bank = bank as u32;
    Field {
        rtol: adaptive.map_or(0.0, |a| a.rtol as f32),
        atol: adaptive.map_or(0.0, |a| a.atol as f32),
        bank,
        unused: 0,
        chunk: Chunk { first_partial: chunk.first_partial + bank, ..chunk },
    }
}

pub(crate) fn launch<'a>(field: &plan::Field, setting: Setting<'a>) -> Launch<'a> {
    let Setting { plan, kinds, walk } = setting;
    let (adaptive, bank) = (plan.ingredients().adaptive, walk.partials());
    Launch {
        kernel: &KERNEL,
        formats: formats(field, kinds),
        constants: constants(field, kinds, &walk),
        bindings: vec![
            ("control", Resource::Control),
            ("field", Resource::Uniform),
            ("moments", Resource::Moments),
            ("partials", Resource::Partials),
            ("second", Resource::Second),
            ("theta", Resource::Vector(0)),
            ("a", Resource::Vector(field.a.slot)),
            ("b", Resource::Vector(field.b.unwrap_or(field.a).slot)),
        ],
        work: Work::chunks(move |_, chunk| uniform(adaptive.as_ref(), bank, chunk)),
    }
}
