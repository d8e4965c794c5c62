//! Host side of `shaders/dots.wgsl`.

use super::control::Control;
use super::launch::{Launch, Resource, Setting, Work};
use super::moments::{Kinds, Moments};
use super::stored;
use crate::codes::wgsl;
use crate::device::kernel::{Access, Constants, Formats, Kernel, flag, wgsl_struct};
use crate::device::library::shader;
use crate::device::traversal::{Chunk, Traversal};
use crate::ingredients::Adaptive;
use crate::plan::{self, Diagonal, DotsOf};

wgsl_struct! {
    /// One dispatch's tolerances and chunk.
    pub(crate) struct Dots {
        pub(crate) rtol: f32,
        pub(crate) atol: f32,
        pub(crate) bank: u32,
        pub(crate) unused: u32,
        pub(crate) chunk: Chunk,
    }
}

const SUMS: &str = wgsl!(
    RAW_PRODUCT = DotsOf::RawProduct as u32,
    PRODUCT = DotsOf::Product as u32,
    SECOND = DotsOf::Second as u32,
    SCALED = DotsOf::Scaled as u32,
);

pub(crate) const KERNEL: Kernel = Kernel {
    name: "dots",
    text: shader!("dots", "state", numbers: SUMS),
    bindings: &[
        ("control", Access::Uniform),
        ("dots", Access::Uniform),
        ("moments", Access::Uniform),
        ("partials", Access::Write),
        ("second", Access::Write),
        ("theta", Access::Read),
        ("a", Access::Read),
        ("b", Access::Read),
    ],
    vectors: &["second", "a", "b"],
    structs: &[Control::LAYOUT, Dots::LAYOUT, Moments::LAYOUT, Chunk::LAYOUT],
};

/// Gives the formats of its vectors.
fn formats(dots: &plan::Dots, kinds: Kinds) -> Formats {
    let mut formats = stored(&["a", "b"], std::iter::once(dots.a).chain(dots.b));
    formats.extend(kinds.formats());
    formats
}

fn constants(dots: &plan::Dots, kinds: Kinds, walk: &Traversal) -> Constants {
    let mut constants = walk.sum_constants();
    constants.extend(kinds.constants());
    constants.extend([
        ("DIFFERENCE", flag(dots.b.is_some())),
        ("OTHER", f64::from(dots.sums as u32)),
        ("UPDATE", flag(dots.diagonal == Diagonal::Update)),
    ]);
    constants
}

/// `bank` is the number of partial sums of one kind.
fn uniform(adaptive: Option<&Adaptive>, bank: usize, chunk: Chunk) -> Dots {
    let bank = bank as u32;
    Dots {
        rtol: adaptive.map_or(0.0, |a| a.rtol as f32),
        atol: adaptive.map_or(0.0, |a| a.atol as f32),
        bank,
        unused: 0,
        chunk: Chunk { first_partial: chunk.first_partial + bank, ..chunk },
    }
}

pub(crate) fn launch<'a>(dots: &plan::Dots, setting: Setting<'a>) -> Launch<'a> {
    let Setting { plan, kinds, walk } = setting;
    let (adaptive, bank) = (plan.ingredients().adaptive, walk.partials());
    Launch {
        kernel: &KERNEL,
        formats: formats(dots, kinds),
        constants: constants(dots, kinds, &walk),
        bindings: vec![
            ("control", Resource::Control),
            ("dots", Resource::Uniform),
            ("moments", Resource::Moments),
            ("partials", Resource::Partials),
            ("second", Resource::Second),
            ("theta", Resource::Vector(0)),
            ("a", Resource::Vector(dots.a.slot)),
            ("b", Resource::Vector(dots.b.unwrap_or(dots.a).slot)),
        ],
        work: Work::chunks(move |_, chunk| uniform(adaptive.as_ref(), bank, chunk)),
    }
}
