//! Host side of `shaders/registers.wgsl`.

use super::control::Control;
use super::launch::{Launch, Resource, Setting, Work};
use super::moments::{Kinds, Moments};
use super::stored;
use crate::device::kernel::{Access, Constants, Formats, Kernel, flag, wgsl_struct};
use crate::device::library::shader;
use crate::device::traversal::{Chunk, Traversal};
use crate::plan::{self, Diagonal, Name, Operand, Slot};

wgsl_struct! {
    /// One dispatch's weights and chunk.
    pub(crate) struct Registers {
        pub(crate) kept: [f32; 4],
        pub(crate) sum: [f32; 4],
        pub(crate) slope: [f32; 4],
        pub(crate) point: [f32; 2],
        pub(crate) extra: f32,
        pub(crate) stage: u32,
        pub(crate) chunk: Chunk,
    }
}

pub(crate) const KERNEL: Kernel = Kernel {
    name: "registers",
    text: shader!("registers", "state"),
    bindings: &[
        ("control", Access::Uniform),
        ("registers", Access::Uniform),
        ("moments", Access::Uniform),
        ("dst", Access::Write),
        ("kept", Access::Write),
        ("sum", Access::Write),
        ("partials", Access::Write),
        ("second", Access::Write),
        ("other", Access::Read),
        ("gradient", Access::Read),
        ("extra", Access::Read),
    ],
    vectors: &["kept", "sum", "second", "gradient", "extra"],
    structs: &[Control::LAYOUT, Registers::LAYOUT, Moments::LAYOUT, Chunk::LAYOUT],
};

/// Gives the formats of its vectors. A gradient may be in the place of a register that is
/// only read.
fn formats(op: &plan::Registers, kinds: Kinds) -> Formats {
    let named =
        [("kept", op.register), ("sum", op.sum), ("gradient", op.gradient), ("extra", op.extra)];
    let named = named.into_iter().filter_map(|(name, operand)| Some((name, operand?)));
    let (names, operands): (Vec<_>, Vec<_>) = named.unzip();
    let mut formats = stored(&names, operands);
    if op.diagonal != Diagonal::None {
        formats.extend(kinds.formats());
    }
    formats
}

fn constants(op: &plan::Registers, kinds: Kinds, walk: &Traversal) -> Constants {
    let mut constants = walk.sum_constants();
    if op.diagonal != Diagonal::None {
        constants.extend(kinds.constants());
    }
    let plan::Coefficients { register: r, sum: q, point: y, slope } = op.weights;
    let own = if r.extra != 0.0 { 1.0 } else { r.gradient };
    let weights = [
        [if op.reads_register { r.old } else { 0.0 }, r.point, r.sum, own],
        [if op.reads_sum { q.sum } else { 0.0 }, q.old, q.register, q.gradient],
        [slope.old, slope.gradient, slope.register, slope.sum],
        [y.point, y.register, 0.0, 0.0],
    ];
    let bits = (0u32..).zip(weights.as_flattened()).filter(|(_, w)| **w != 0.0);
    let bits: u32 = bits.map(|(i, _)| 1 << i).sum();
    constants.extend([
        ("WEIGHTS", f64::from(bits)),
        ("BASED", flag(op.based)),
        ("READS_POINT", flag(op.point.is_some())),
        ("READS_REGISTER", flag(op.reads_register)),
        ("WRITES_REGISTER", flag(op.writes_register)),
        ("READS_SUM", flag(op.reads_sum)),
        ("WRITES_SUM", flag(op.writes_sum)),
        ("READS_GRADIENT", flag(op.gradient.is_some())),
        ("READS_EXTRA", flag(op.extra.is_some())),
        ("WRITES_POINT", flag(op.target.is_some())),
        ("TO_THETA", flag(to_theta(op))),
        ("AFTER", flag(op.after)),
        ("ADDED", flag(op.added)),
        ("SLOPED", flag(op.sloped)),
        ("CHECK", flag(op.checks != 0)),
        ("NORM", flag(op.norm)),
        ("UPDATE", flag(op.diagonal == Diagonal::Update)),
    ]);
    constants
}

/// θ itself is written.
fn to_theta(op: &plan::Registers) -> bool {
    op.target.is_some_and(|target| target.name == Name::Theta)
}

fn uniform(op: &plan::Registers, chunk: Chunk) -> Registers {
    let plan::Coefficients { register, sum, point, slope } = op.weights;
    let single = |weights: [f64; 4]| weights.map(|w| w as f32);
    Registers {
        kept: single([register.old, register.point, register.sum, register.gradient]),
        sum: single([sum.sum, sum.old, sum.register, sum.gradient]),
        slope: single([slope.old, slope.gradient, slope.register, slope.sum]),
        point: [point.point as f32, point.register as f32],
        extra: register.extra as f32,
        // D from k₁ squares it, which is k₁'s own fault.
        stage: if op.diagonal == Diagonal::Update { 1 } else { op.checks },
        chunk,
    }
}

pub(crate) fn launch<'a>(op: &'a plan::Registers, setting: Setting<'a>) -> Launch<'a> {
    let Setting { kinds, walk, .. } = setting;
    let to_theta = to_theta(op);
    // What is not read is θ once more, or y where θ is written.
    let other = if to_theta { op.point.map_or(0, |point| point.slot) } else { 0 };
    let gradient = op.gradient.map_or(other, |o| o.slot);
    let written = |operand: Option<Operand>, i: usize| {
        operand.map_or(Resource::Written(i), |operand| Resource::Vector(operand.slot))
    };
    // θ as the working point is bound for writing alone.
    let read = |slot: Slot| match slot {
        0 if to_theta => Resource::Read,
        slot => Resource::Vector(slot),
    };
    Launch {
        kernel: &KERNEL,
        formats: formats(op, kinds),
        constants: constants(op, kinds, &walk),
        bindings: vec![
            ("control", Resource::Control),
            ("registers", Resource::Uniform),
            ("moments", Resource::Moments),
            ("dst", written(op.target, 0)),
            ("kept", written(op.register, 1)),
            ("sum", written(op.sum, 2)),
            ("partials", Resource::Partials),
            ("second", Resource::Second),
            ("other", read(other)),
            ("gradient", read(gradient)),
            ("extra", read(op.extra.map_or(gradient, |o| o.slot))),
        ],
        work: Work::chunks(|_, chunk| uniform(op, chunk)),
    }
}
