//! Random numbers by index, and vectors filled with them.

use std::ops::Range;

use crate::device::vector::Vector;
use crate::device::{Gpu, GpuError};

pub(super) const THETA: u32 = 0x9e37_79b9;
pub(super) const POOL: u32 = 0x85eb_ca6b;

/// A number of size 0.5 to 1.5 by stream and index (Wellons' `lowbias32`).
pub(super) fn value(stream: u32, i: usize) -> f32 {
    let mut x = (i as u32).wrapping_add(stream);
    x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^= x >> 16;
    let size = 0.5 + (x >> 9) as f32 / (1u32 << 23) as f32;
    if x & 1 == 1 { size } else { -size }
}

/// Makes every number of a vector a NaN, in whatever storage.
pub(super) fn poison(gpu: &Gpu, vector: &Vector) -> Result<(), GpuError> {
    fill(gpu, vector, vector.buffer().size() as usize, &|bytes| vec![0xff; bytes.len()])
}

/// Fills a vector in pieces, so that the host never holds all of it.
pub(super) fn upload(
    gpu: &Gpu,
    vector: &Vector,
    value: &dyn Fn(usize) -> f32,
) -> Result<(), GpuError> {
    fill(gpu, vector, 4 * vector.len(), &|bytes| {
        let values: Vec<f32> = (bytes.start / 4..bytes.end / 4).map(value).collect();
        bytemuck::cast_slice(&values).to_vec()
    })
}

fn fill(
    gpu: &Gpu,
    vector: &Vector,
    bytes: usize,
    value: &dyn Fn(Range<usize>) -> Vec<u8>,
) -> Result<(), GpuError> {
    const PIECE: usize = 16 << 20;
    for start in (0..bytes).step_by(PIECE) {
        let piece = value(start..bytes.min(start + PIECE));
        gpu.queue().write_buffer(vector.buffer(), start as u64, &piece);
        // Staging memory is kept until the queue is past it.
        gpu.queue().submit([]);
        let lost = |_| GpuError::DeviceLost { during: "filling a vector" };
        gpu.device().poll(wgpu::PollType::wait_indefinitely()).map_err(lost)?;
    }
    Ok(())
}
