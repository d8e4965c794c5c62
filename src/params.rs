//! The parameters on the device, as users see them.

use crate::error::Error;
use crate::gpu::Gpu;
use crate::gpu::vector::Vector;
use crate::layout::ParamLayout;

/// θ on the device. Between any two commands of the queue its buffer holds an
/// accepted θ, so a host may bind it for drawing at any time.
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

    /// Its buffer: f32 in the layout's order, STORAGE | COPY_SRC | COPY_DST.
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

    /// As [`Params::read`], for a browser. Natively it blocks.
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
}

impl<'a> From<Params<'a>> for &'a Vector {
    fn from(params: Params<'a>) -> Self {
        params.vector
    }
}
