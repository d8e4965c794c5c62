//! The kernels of an optimizer, one file an operation: from what a plan wants to a shader,
//! its bindings, its constants and its uniform.

pub(crate) mod average;
pub(crate) mod choose;
pub(crate) mod combine;
pub(crate) mod commit;
pub(crate) mod control;
pub(crate) mod decay;
pub(crate) mod dots;
pub(crate) mod ending;
pub(crate) mod estimate;
pub(crate) mod finish;
pub(crate) mod fit;
pub(crate) mod guard;
pub(crate) mod interleaved;
pub(crate) mod launch;
pub(crate) mod moments;
pub(crate) mod operations;
pub(crate) mod pack;
pub(crate) mod padding;
pub(crate) mod radius;
pub(crate) mod registers;
pub(crate) mod settings;
pub(crate) mod shape;
#[cfg(test)]
mod storage_tests;
pub(crate) mod verdict;

use crate::device::kernel::{Format, Formats};
use crate::format::Rounding;
use crate::plan::Operand;

/// Formats of the vectors that these bindings hold, in order.
pub(crate) fn stored(
    names: &[&'static str],
    operands: impl IntoIterator<Item = Operand>,
) -> Formats {
    let rounding = Rounding::Nearest;
    let pairs = names.iter().zip(operands).filter(|(_, operand)| operand.storage.is_narrow());
    pairs.map(|(name, Operand { storage, .. })| (*name, Format { storage, rounding })).collect()
}
