//! Room on a device: what a bench refuses before anything is allocated.

use super::BenchError;
use crate::device::traversal::Traversal;
use crate::device::vector::Vector;
use crate::device::{Gpu, GpuError};
use crate::error::Error;
use crate::plan::Plan;
use crate::recorder::most_storage_buffers;
use crate::state::Sizes;

/// Refuses vectors of no elements, and of more than an index can count.
pub(super) fn check_length(n: usize) -> Result<(), BenchError> {
    let most = u32::MAX as usize;
    match n == 0 || n > most {
        true => Err(BenchError::Length { found: n, most }),
        false => Ok(()),
    }
}

/// Refuses what the device's limits do not allow, before anything is allocated.
pub(super) fn check_limits(
    gpu: &Gpu,
    plan: &Plan,
    walk: &Traversal,
    n: usize,
    pool: usize,
) -> Result<(), Error> {
    let sizes = Sizes::of(plan, walk, n);
    gpu.check_limits("the bench", sizes.least)?;
    let (needed, found) = (most_storage_buffers(plan, walk).into(), gpu.storage_bindings().into());
    if needed > found {
        let (what, limit) = ("the plan".into(), "max_storage_buffers_per_shader_stage");
        return Err(GpuError::LimitTooSmall { what, limit, needed, found }.into());
    }
    let pool = [("random gradients", Vector::bytes(pool))];
    for (what, bytes) in sizes.buffers().into_iter().chain(pool) {
        gpu.check_buffer(what, bytes)?;
    }
    Ok(())
}

/// Tells whether there is room for so many sets, where that is known.
pub(super) fn check_memory(gpu: &Gpu, n: usize, sets: usize, needed: u64) -> Result<(), Error> {
    match gpu.available_memory() {
        Some(available) if needed > available => {
            Err(BenchError::Memory { n, sets, needed, available }.into())
        }
        _ => Ok(()),
    }
}
