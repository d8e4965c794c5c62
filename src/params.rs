//! The parameters on the device, as users see them.

use crate::device::Gpu;
use crate::device::vector::Vector;
use crate::error::Error;
use crate::layout::ParamLayout;

/// θ on the device. Its buffer holds an accepted θ before, between and after recorded
/// attempts, so a host's passes may bind it for drawing anywhere in the queue.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a> {
    gpu: &'a Gpu,
    vector: &'a Vector,
    layout: &'a ParamLayout,
}

impl<'a> Params<'a> {
    pub(crate) fn new(gpu: &'a Gpu, vector: &'a Vector, layout: &'a ParamLayout) -> Self {
        Self { gpu, vector, layout }
    }

    /// The flat vector.
    pub fn vector(&self) -> &'a Vector {
        self.vector
    }

    /// Its buffer, STORAGE | COPY_SRC | COPY_DST, for a binding
    /// `var<storage, read> theta: array<f32>` in any stage (WebGPU promises fragment and
    /// compute shaders; vertex shaders want `DownlevelFlags::VERTEX_STORAGE`).
    ///
    /// Element i of tensor `name` is `theta[layout.range(name)?.start + i]`, row by row.
    /// Tensors begin at multiples of 64 elements, 256 bytes, so that each can be bound by
    /// itself; in between are zeros.
    pub fn buffer(&self) -> &'a wgpu::Buffer {
        self.vector.buffer()
    }

    pub fn layout(&self) -> &'a ParamLayout {
        self.layout
    }

    /// The flat vector's values. Waits for everything submitted before.
    ///
    /// # Errors
    /// A lost device.
    pub fn read(&self) -> Result<Vec<f32>, Error> {
        Ok(self.vector.read(self.gpu)?)
    }

    /// Reads as [`Params::read`] does, without blocking.
    ///
    /// # Errors
    /// As [`Params::read`].
    pub async fn read_async(&self) -> Result<Vec<f32>, Error> {
        Ok(self.vector.read_async(self.gpu).await?)
    }

    /// The values of one tensor. Waits.
    ///
    /// # Errors
    /// An unknown name, or a lost device.
    pub fn tensor(&self, name: &str) -> Result<Vec<f32>, Error> {
        let range = self.layout.range(name)?;
        Ok(self.vector.read_range(self.gpu, range)?)
    }

    /// Reads as [`Params::tensor`] does, without blocking.
    ///
    /// # Errors
    /// As [`Params::tensor`].
    pub async fn tensor_async(&self, name: &str) -> Result<Vec<f32>, Error> {
        let range = self.layout.range(name)?;
        Ok(self.vector.read_range_async(self.gpu, range).await?)
    }
}

impl<'a> From<Params<'a>> for &'a Vector {
    fn from(params: Params<'a>) -> Self {
        params.vector
    }
}
