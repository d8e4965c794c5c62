//! A data set on the device.

use crate::data::{Inputs, Samples, Targets};
use crate::device::Gpu;
use crate::error::Error;
use crate::models::dense::{check_binding, quads, storage};

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

    /// Gives the bytes that samples take, before anything is allocated: inputs, and targets.
    pub(super) fn sizes(samples: &Samples) -> [(&'static str, u64); 2] {
        // Rows of whole words or vec4, zero beyond the width.
        let values = samples.len() as u64 * 4 * quads(samples.width()) as u64;
        let inputs = match samples.inputs() {
            Inputs::Bytes(_) => ("inputs as bytes", values),
            Inputs::F32(_) => ("inputs in f32", 4 * values),
        };
        let targets = match samples.targets() {
            Targets::Labels { labels, .. } => ("labels", 4 * quads(labels.len()) as u64),
            Targets::Dense { values, .. } => ("targets", 4 * values.len() as u64),
        };
        [inputs, targets]
    }

    pub(super) fn upload(gpu: &Gpu, samples: &Samples) -> Result<Self, Error> {
        let sizes = Self::sizes(samples);
        for (what, bytes) in sizes {
            check_binding(gpu, what, bytes)?;
        }
        let [inputs, targets] = sizes.map(|(what, bytes)| storage(gpu, what, bytes));
        let (inputs, targets) = (inputs?, targets?);
        let width = samples.width();
        let row = quads(width) * 4;
        match samples.inputs() {
            Inputs::Bytes(values) => gpu.upload(&inputs, &padded_rows(values, width, row))?,
            Inputs::F32(values) => {
                gpu.upload(&inputs, bytemuck::cast_slice(&padded_rows(values, width, row)))?;
            }
        }
        let (outputs, dense) = match samples.targets() {
            Targets::Labels { labels, classes } => {
                let words = padded_rows(labels, labels.len(), labels.len().next_multiple_of(4));
                gpu.upload(&targets, &words)?;
                (*classes, false)
            }
            Targets::Dense { values, width } => {
                gpu.upload(&targets, bytemuck::cast_slice(values))?;
                (*width, true)
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
