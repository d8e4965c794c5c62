//! Buffers that models make: each within one binding, and uniforms that never change.

use crate::device::{Gpu, GpuError};
use crate::error::Error;
use crate::models::ModelError;

/// A uniform that never changes.
pub fn uniform<T: bytemuck::Pod>(gpu: &Gpu, value: &T) -> wgpu::Buffer {
    let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: Some(std::any::type_name::<T>()),
        size: size_of::<T>() as u64,
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    // A lost device shows wherever somebody waits.
    let _ = gpu.upload(&buffer, bytemuck::bytes_of(value));
    buffer
}

/// A buffer that one binding can hold.
pub fn storage(gpu: &Gpu, what: &'static str, bytes: u64) -> Result<wgpu::Buffer, Error> {
    use wgpu::BufferUsages as Usage;
    check_binding(gpu, what, bytes)?;
    let usage = Usage::STORAGE | Usage::COPY_DST | Usage::COPY_SRC;
    // Every binding of vec4 holds at least one.
    let buffer: Result<_, GpuError> = gpu.buffer(what, bytes.max(16), usage);
    Ok(buffer?)
}

pub fn check_binding(gpu: &Gpu, what: &'static str, bytes: u64) -> Result<(), Error> {
    let limit = gpu.limits().max_storage_buffer_binding_size;
    if bytes > limit {
        return Err(ModelError::TooLarge { what, bytes, limit }.into());
    }
    Ok(gpu.check_buffer(what, bytes)?)
}
