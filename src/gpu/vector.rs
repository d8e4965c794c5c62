//! A flat vector of f32 on the device, in one buffer of its own.

use std::ops::Range;

use super::Gpu;
use crate::error::GpuError;
use crate::layout::ALIGNMENT;

/// A flat `f32` vector on the device: one buffer, padded with zeros to whole
/// blocks of 64 elements.
///
/// Each vector is its own buffer because wgpu tracks usage by whole buffers:
/// vectors that shared one could never be read and written in one dispatch.
#[derive(Debug)]
pub struct Vector {
    buffer: wgpu::Buffer,
    len: usize,
}

impl Vector {
    /// Bytes of the buffer behind `len` elements.
    pub fn bytes(len: usize) -> u64 {
        (len.next_multiple_of(ALIGNMENT) * 4) as u64
    }

    /// A vector of zeros.
    ///
    /// # Errors
    /// More bytes than the device's `max_buffer_size`, or no memory.
    pub fn zeros(gpu: &Gpu, label: &str, len: usize) -> Result<Self, GpuError> {
        let usage = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST;
        let buffer = gpu.buffer(label, Self::bytes(len), usage)?;
        Ok(Self { buffer, len })
    }

    /// A vector with the given values.
    ///
    /// # Errors
    /// As [`Vector::zeros`].
    pub fn from_slice(gpu: &Gpu, label: &str, values: &[f32]) -> Result<Self, GpuError> {
        let vector = Self::zeros(gpu, label, values.len())?;
        gpu.upload(&vector.buffer, bytemuck::cast_slice(values));
        Ok(vector)
    }

    /// The buffer: STORAGE | COPY_SRC | COPY_DST.
    pub fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }

    /// Elements, without the padding at the end.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Binds elements `range`; its start must be a multiple of 64.
    pub fn binding(&self, range: Range<usize>) -> wgpu::BindingResource<'_> {
        debug_assert_eq!(range.start % ALIGNMENT, 0);
        wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: &self.buffer,
            offset: (range.start * 4) as u64,
            size: wgpu::BufferSize::new(Self::bytes(range.len())),
        })
    }

    /// Reads the values back. Waits for everything submitted before.
    ///
    /// # Errors
    /// If the device is lost.
    pub fn read(&self, gpu: &Gpu) -> Result<Vec<f32>, GpuError> {
        pollster::block_on(self.read_async(gpu))
    }

    /// As [`Vector::read`], for a browser. Natively it blocks.
    ///
    /// # Errors
    /// If the device is lost.
    pub async fn read_async(&self, gpu: &Gpu) -> Result<Vec<f32>, GpuError> {
        let bytes = gpu.read_buffer(&self.buffer, 0..(self.len * 4) as u64).await?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }

    /// Reads some elements back. Waits.
    ///
    /// # Errors
    /// If the device is lost.
    pub fn read_range(&self, gpu: &Gpu, range: Range<usize>) -> Result<Vec<f32>, GpuError> {
        let bytes = (range.start * 4) as u64..(range.end.min(self.len) * 4) as u64;
        let bytes = pollster::block_on(gpu.read_buffer(&self.buffer, bytes))?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }
}
