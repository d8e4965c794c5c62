//! A flat vector on the device, in one buffer of its own.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use super::waiting::Waiting;
use super::{Gpu, GpuError};
use crate::format::Storage;
use crate::layout::ALIGNMENT;

/// A flat vector on the device: one buffer, padded with zeros to whole blocks of 64
/// elements, `f32` or stored as [`Storage`] says.
///
/// Each vector is its own buffer because wgpu tracks usage by whole buffers:
/// vectors that shared one could never be read and written in one dispatch.
#[derive(Debug)]
pub struct Vector {
    buffer: wgpu::Buffer,
    len: usize,
    storage: Storage,
    /// Evaluations under way whose source must not read this vector on the host.
    kept: AtomicU32,
}

/// Keeps a vector from being read on the host, until it is dropped.
pub(crate) struct Unread<'a>(&'a Vector);

impl Drop for Unread<'_> {
    fn drop(&mut self) {
        self.0.kept.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Vector {
    /// Bytes of the buffer behind `len` elements of f32.
    pub fn bytes(len: usize) -> u64 {
        Self::size(len, Storage::F32)
    }

    pub(crate) fn size(len: usize, storage: Storage) -> u64 {
        (len as u64).next_multiple_of(ALIGNMENT as u64) * storage.bytes() as u64
    }

    /// A vector of zeros.
    ///
    /// # Errors
    /// More bytes than the device's `max_buffer_size`, or no memory.
    pub fn zeros(gpu: &Gpu, label: &str, len: usize) -> Result<Self, GpuError> {
        Self::stored(gpu, label, len, Storage::F32)
    }

    /// A vector of zeros in some storage.
    ///
    /// # Errors
    /// As [`Vector::zeros`].
    pub fn stored(gpu: &Gpu, label: &str, len: usize, storage: Storage) -> Result<Self, GpuError> {
        let usage = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST;
        let buffer = gpu.buffer(label, Self::size(len, storage), usage)?;
        Ok(Self { buffer, len, storage, kept: AtomicU32::new(0) })
    }

    /// A vector with the given values.
    ///
    /// # Errors
    /// As [`Vector::zeros`].
    pub fn from_slice(gpu: &Gpu, label: &str, values: &[f32]) -> Result<Self, GpuError> {
        let vector = Self::zeros(gpu, label, values.len())?;
        gpu.upload(&vector.buffer, bytemuck::cast_slice(values))?;
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

    /// The storage of its elements: four of them in a `vec4<f32>`, or in a `vec2<u32>`
    /// whose words hold two each, the first one in the low half.
    pub fn storage(&self) -> Storage {
        self.storage
    }

    /// Binds elements `range`; its start must be a multiple of 64, or of 128 where
    /// elements have two bytes: 256 bytes.
    pub fn binding(&self, range: Range<usize>) -> wgpu::BindingResource<'_> {
        let offset = range.start * self.storage.bytes();
        debug_assert_eq!(offset % (4 * ALIGNMENT), 0);
        wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: &self.buffer,
            offset: offset as u64,
            size: wgpu::BufferSize::new(Self::size(range.len(), self.storage)),
        })
    }

    /// Binds as [`Vector::binding`] does, for a range of whole blocks of 64 elements: from the last
    /// element before it where a binding may begin, and how many vec4s come before it.
    pub(crate) fn binding_around(&self, range: Range<usize>) -> (wgpu::BindingResource<'_>, usize) {
        let step = 4 * ALIGNMENT / self.storage.bytes();
        let start = range.start / step * step;
        (self.binding(start..range.end), (range.start - start) / 4)
    }

    /// What writes this vector has been recorded and not submitted: what is in it is old.
    pub(crate) fn keep_from_reads(&self) -> Unread<'_> {
        self.kept.fetch_add(1, Ordering::Relaxed);
        Unread(self)
    }

    /// Refuses to be read, or evaluated in a submit of its own, where that would show old
    /// values.
    pub(crate) fn check_submitted(&self) -> Result<(), GpuError> {
        match self.kept.load(Ordering::Relaxed) {
            0 => Ok(()),
            _ => Err(GpuError::NotSubmitted),
        }
    }

    /// Reads the values back, as f32 whatever they are stored as. Waits for everything
    /// submitted before.
    ///
    /// # Errors
    /// If the device is lost; [`GpuError::NotSubmitted`] inside
    /// [`GradientSource::evaluate`](crate::GradientSource::evaluate).
    pub fn read(&self, gpu: &Gpu) -> Result<Vec<f32>, GpuError> {
        pollster::block_on(self.read_elements(gpu, 0..self.len, Waiting::Blocks))
    }

    /// Reads as [`Vector::read`] does, without blocking.
    ///
    /// # Errors
    /// If the device is lost; [`GpuError::NotSubmitted`] inside
    /// [`GradientSource::evaluate`](crate::GradientSource::evaluate).
    pub async fn read_async(&self, gpu: &Gpu) -> Result<Vec<f32>, GpuError> {
        self.read_elements(gpu, 0..self.len, Waiting::Yields).await
    }

    pub(crate) async fn read_with(
        &self,
        gpu: &Gpu,
        waiting: Waiting,
    ) -> Result<Vec<f32>, GpuError> {
        self.read_elements(gpu, 0..self.len, waiting).await
    }

    /// Reads some elements back; those beyond the end are left out. Waits.
    ///
    /// # Errors
    /// If the device is lost; [`GpuError::NotSubmitted`] inside
    /// [`GradientSource::evaluate`](crate::GradientSource::evaluate).
    pub fn read_range(&self, gpu: &Gpu, range: Range<usize>) -> Result<Vec<f32>, GpuError> {
        pollster::block_on(self.read_elements(gpu, range, Waiting::Blocks))
    }

    /// Reads as [`Vector::read_range`] does, without blocking.
    ///
    /// # Errors
    /// If the device is lost; [`GpuError::NotSubmitted`] inside
    /// [`GradientSource::evaluate`](crate::GradientSource::evaluate).
    pub async fn read_range_async(
        &self,
        gpu: &Gpu,
        range: Range<usize>,
    ) -> Result<Vec<f32>, GpuError> {
        self.read_elements(gpu, range, Waiting::Yields).await
    }

    async fn read_elements(
        &self,
        gpu: &Gpu,
        range: Range<usize>,
        waiting: Waiting,
    ) -> Result<Vec<f32>, GpuError> {
        self.check_submitted()?;
        let range = range.start.min(self.len)..range.end.min(self.len);
        if range.is_empty() {
            return Ok(Vec::new());
        }
        // What is copied begins and ends at whole words.
        let first = range.start & !1;
        let end = range.end.next_multiple_of(2);
        let size = self.storage.bytes();
        let bytes = (first * size) as u64..(end * size) as u64;
        let bytes = gpu.fetch_buffer(&self.buffer, bytes, waiting).await?;
        let skipped = (range.start - first) * size;
        Ok(self.storage.widen(&bytes[skipped..][..range.len() * size]))
    }
}
