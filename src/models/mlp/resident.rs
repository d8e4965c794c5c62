//! A data set on the device.

use crate::data::{Inputs, Samples, Targets};
use crate::error::Error;
use crate::gpu::Gpu;
use crate::models::dense::{quads, storage};

/// Samples that lie on the device: bytes stay bytes, four to a word. Made by
/// [`Mlp::upload`](super::Mlp::upload); cheap to clone.
#[derive(Clone, Debug)]
pub struct Resident {
    pub(super) inputs: wgpu::Buffer,
    pub(super) bytes: bool,
    pub(super) targets: wgpu::Buffer,
    pub(super) dense: bool,
    samples: usize,
    width: usize,
    outputs: usize,
}

impl Resident {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.samples
    }

    /// Never true: there are no empty [`Samples`].
    pub fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// Inputs of one sample.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Classes, or the width of dense targets.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    pub(super) fn upload(gpu: &Gpu, samples: &Samples) -> Result<Self, Error> {
        let width = samples.width();
        // Rows of whole words or vec4, zero beyond the width.
        let row = quads(width) * 4;
        let inputs = match samples.inputs() {
            Inputs::Bytes(values) => {
                let bytes = (samples.len() * row) as u64;
                let buffer = storage(gpu, "inputs as bytes", bytes)?;
                gpu.upload(&buffer, &padded_rows(values, width, row))?;
                buffer
            }
            Inputs::F32(values) => {
                let bytes = (samples.len() * row * 4) as u64;
                let buffer = storage(gpu, "inputs in f32", bytes)?;
                gpu.upload(&buffer, bytemuck::cast_slice(&padded_rows(values, width, row)))?;
                buffer
            }
        };
        let (targets, outputs, dense) = match samples.targets() {
            Targets::Labels { labels, classes } => {
                let words = padded_rows(labels, labels.len(), labels.len().next_multiple_of(4));
                let buffer = storage(gpu, "labels", words.len() as u64)?;
                gpu.upload(&buffer, &words)?;
                (buffer, *classes, false)
            }
            Targets::Dense { values, width } => {
                let buffer = storage(gpu, "targets", 4 * values.len() as u64)?;
                gpu.upload(&buffer, bytemuck::cast_slice(values))?;
                (buffer, *width, true)
            }
        };
        let bytes = matches!(samples.inputs(), Inputs::Bytes(_));
        Ok(Self { inputs, bytes, targets, dense, samples: samples.len(), width, outputs })
    }
}

fn padded_rows<T: Copy + Default>(
    values: &[T],
    width: usize,
    row: usize,
) -> std::borrow::Cow<'_, [T]> {
    if width == row {
        return values.into();
    }
    let mut padded = Vec::with_capacity(values.len() / width * row);
    for sample in values.chunks_exact(width) {
        padded.extend_from_slice(sample);
        padded.resize(padded.len() + row - width, T::default());
    }
    padded.into()
}
