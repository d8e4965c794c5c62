//! Buffers for one batch size: activations, their gradients, copies of the
//! weights, and the shapes that kernels read.

use std::ops::Range;

use super::kernels::{BatchSchedule, BiasGradient, LossShape, Weights};
use super::product::{Kind, Method, Shape, quads};
use crate::error::{Error, GpuError, ModelError};
use crate::gpu::Gpu;

/// Values of one layer for a batch, twice: rows of samples for each feature,
/// and rows of features for each sample.
#[derive(Debug)]
pub struct Both {
    pub by_feature: wgpu::Buffer,
    pub by_sample: wgpu::Buffer,
}

impl Both {
    fn new(gpu: &Gpu, what: &'static str, features: usize, samples: usize) -> Result<Self, Error> {
        let bytes = both_bytes(features, samples);
        let by_feature = storage(gpu, what, bytes)?;
        Ok(Self { by_feature, by_sample: storage(gpu, what, bytes)? })
    }

    /// Where something must be bound that no kernel touches.
    fn unused(gpu: &Gpu) -> Result<Self, Error> {
        let by_feature = storage(gpu, "unused", 16)?;
        Ok(Self { by_feature, by_sample: storage(gpu, "unused", 16)? })
    }
}

/// A product with its uniform and its grid.
#[derive(Debug)]
pub struct Tiled {
    pub kind: Kind,
    pub uniform: wgpu::Buffer,
    pub groups: [u32; 3],
}

impl Tiled {
    fn new(gpu: &Gpu, method: Method, kind: Kind, shape: Shape) -> Self {
        let (product, groups) = shape.tiled(method);
        Self { kind, uniform: uniform(gpu, &product), groups }
    }
}

/// One dense layer from `inputs` to `outputs` features.
#[derive(Debug)]
pub struct Layer {
    pub inputs: usize,
    pub outputs: usize,
    /// What the layer puts out. The last one's samples are unused.
    pub values: Both,
    /// Slope of the activation, by feature; unused in the last layer.
    pub slope: wgpu::Buffer,
    /// W in rows of whole vec4, where it does not come so.
    pub packed: Option<wgpu::Buffer>,
    pub weights: wgpu::Buffer,
    pub forward: Tiled,
    /// Gradient of the loss by what the activation gets; unused where no
    /// backward pass is wanted, except in the last layer.
    pub dz: Both,
    pub weight_gradient: Tiled,
    pub bias_gradient: wgpu::Buffer,
    /// Wᵀ and the product with it, where what is below has parameters.
    pub input_gradient: Option<(wgpu::Buffer, Tiled)>,
}

/// Everything that depends on the batch size.
#[derive(Debug)]
pub struct Workspace {
    pub samples: usize,
    /// `BatchRows` of `shaders/shared/batch.wgsl`.
    pub rows: wgpu::Buffer,
    pub inputs: Both,
    /// Gradient of the loss by the inputs, where somebody wants it.
    pub inputs_gradient: Option<Both>,
    pub layers: Vec<Layer>,
    pub loss: wgpu::Buffer,
    pub row_loss: wgpu::Buffer,
}

/// What a workspace is made for.
#[derive(Clone, Copy)]
pub struct Need<'a> {
    pub widths: &'a [usize],
    pub activation: super::Activation,
    pub method: Method,
    pub backward: bool,
    pub trained_inputs: bool,
}

impl Need<'_> {
    /// The storage buffers of a workspace that grow with anything, and their bytes, before
    /// there are any.
    pub fn buffers(&self, samples: usize) -> Vec<(&'static str, u64)> {
        let Need { widths, backward, trained_inputs, .. } = *self;
        let mut buffers =
            vec![(ROWS, rows_bytes(samples)), (INPUTS, both_bytes(widths[0], samples))];
        if trained_inputs {
            buffers.push((INPUTS_GRADIENT, both_bytes(widths[0], samples)));
        }
        for (index, pair) in widths.windows(2).enumerate() {
            let (inputs, outputs) = (pair[0], pair[1]);
            buffers.push((VALUES, both_bytes(outputs, samples)));
            if !outputs.is_multiple_of(4) {
                buffers.push((PACKED, packed_bytes(inputs, outputs)));
            }
            if backward && (index > 0 || trained_inputs) {
                buffers.push((TRANSPOSED, transposed_bytes(inputs, outputs)));
            }
        }
        buffers.push((ROW_LOSSES, row_loss_bytes(samples)));
        buffers
    }
}

const ROWS: &str = "batch rows";
const INPUTS: &str = "inputs of a batch";
const INPUTS_GRADIENT: &str = "gradients of inputs";
const VALUES: &str = "values of a layer";
const PACKED: &str = "packed weights";
const TRANSPOSED: &str = "transposed weights";
const ROW_LOSSES: &str = "losses of a batch";

fn rows_bytes(samples: usize) -> u64 {
    4 + 4 * samples as u64
}

/// Both counts are padded to whole vec4, so blocks of 4×4 always fit.
fn both_bytes(features: usize, samples: usize) -> u64 {
    256 * quads(features) as u64 * quads(samples) as u64
}

fn packed_bytes(inputs: usize, outputs: usize) -> u64 {
    16 * inputs as u64 * quads(outputs) as u64
}

fn transposed_bytes(inputs: usize, outputs: usize) -> u64 {
    64 * quads(outputs) as u64 * quads(inputs) as u64
}

fn row_loss_bytes(samples: usize) -> u64 {
    32 * quads(samples) as u64
}

impl Workspace {
    pub fn new(gpu: &Gpu, need: Need<'_>, samples: usize) -> Result<Self, Error> {
        let (first, last) = (need.widths[0], need.widths[need.widths.len() - 1]);
        let layers = (1..need.widths.len())
            .map(|i| Layer::new(gpu, need, i, samples))
            .collect::<Result<_, _>>()?;
        let loss = LossShape {
            outputs: last as u32,
            feature_stride: 4 * quads(samples) as u32,
            sample_stride: 4 * quads(last) as u32,
        };
        Ok(Self {
            samples,
            rows: storage(gpu, ROWS, rows_bytes(samples))?,
            inputs: Both::new(gpu, INPUTS, first, samples)?,
            inputs_gradient: match need.trained_inputs {
                true => Some(Both::new(gpu, INPUTS_GRADIENT, first, samples)?),
                false => None,
            },
            layers,
            loss: uniform(gpu, &loss),
            row_loss: storage(gpu, ROW_LOSSES, row_loss_bytes(samples))?,
        })
    }

    /// What the network puts out.
    pub fn outputs(&self) -> &Layer {
        // `Mlp` has at least one layer.
        &self.layers[self.layers.len() - 1]
    }
}

impl Layer {
    fn new(gpu: &Gpu, need: Need<'_>, index: usize, samples: usize) -> Result<Self, Error> {
        let Need { widths, method, backward, .. } = need;
        let (inputs, outputs) = (widths[index - 1], widths[index]);
        let last = index + 1 == widths.len();
        let whole = outputs.is_multiple_of(4);

        let unused = Both::unused(gpu)?;
        let values = Both::new(gpu, VALUES, outputs, samples)?;
        let (values, slope) = if last {
            let by_feature = values.by_feature;
            (Both { by_feature, by_sample: unused.by_sample }, unused.by_feature)
        } else {
            let bytes = values.by_feature.size();
            (values, storage(gpu, "slopes of a layer", bytes)?)
        };
        let dz = if backward || last {
            Both::new(gpu, "gradients of a layer", outputs, samples)?
        } else {
            Both::unused(gpu)?
        };
        let packed = match whole {
            true => None,
            false => Some(storage(gpu, PACKED, packed_bytes(inputs, outputs))?),
        };
        let input_gradient = if backward && (index > 1 || need.trained_inputs) {
            let shape = Shape::input_gradient(inputs, outputs, samples);
            let transposed = storage(gpu, TRANSPOSED, transposed_bytes(inputs, outputs))?;
            let kind = Kind::InputGradient { sloped: index > 1 };
            Some((transposed, Tiled::new(gpu, method, kind, shape)))
        } else {
            None
        };
        let forward = Kind::Forward((!last).then_some(need.activation));
        let weight = if whole { Kind::WeightGradient } else { Kind::WeightGradientRagged };
        let weights = Weights {
            rows: inputs as u32,
            columns: outputs as u32,
            stride: quads(outputs) as u32,
            transposed_stride: quads(inputs) as u32,
        };
        let bias = BiasGradient {
            steps: samples as u32,
            columns: outputs as u32,
            stride: quads(outputs) as u32,
        };
        Ok(Self {
            inputs,
            outputs,
            values,
            slope,
            packed,
            weights: uniform(gpu, &weights),
            forward: Tiled::new(gpu, method, forward, Shape::forward(inputs, outputs, samples)),
            dz,
            weight_gradient: Tiled::new(
                gpu,
                method,
                weight,
                Shape::weight_gradient(inputs, outputs, samples),
            ),
            bias_gradient: uniform(gpu, &bias),
            input_gradient,
        })
    }
}

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

impl BatchSchedule {
    /// The samples in their own order, `size` at a time.
    pub fn in_order(count: usize, size: usize) -> Self {
        Self {
            count: count as u32,
            size: size as u32,
            per_epoch: count.div_ceil(size) as u32,
            ..Self::default()
        }
    }

    /// Samples of these batches together.
    pub fn samples_in(&self, batches: Range<u64>) -> u64 {
        let (count, per_epoch) = (u64::from(self.count), u64::from(self.per_epoch));
        let before = |batch: u64| {
            let rest = (batch % per_epoch * u64::from(self.size)).min(count);
            (batch / per_epoch).saturating_mul(count).saturating_add(rest)
        };
        before(batches.end).saturating_sub(before(batches.start))
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::dense::Activation;
    use crate::models::harness::gpu;

    /// Whatever is allocated was counted, and nothing larger.
    #[test]
    fn the_buffers_are_known_before_there_are_any() {
        for widths in [vec![3, 5], vec![8, 7, 12], vec![1, 64, 64, 3]] {
            for (backward, trained_inputs) in [(false, false), (true, false), (true, true)] {
                let activation = Activation::Relu;
                let method = Method::Register;
                let need = Need { widths: &widths, activation, method, backward, trained_inputs };
                let made = Workspace::new(gpu(), need, 37).unwrap();
                let mut found = vec![made.rows.size(), made.row_loss.size()];
                let both = |both: &Both| [both.by_feature.size(), both.by_sample.size()];
                found.extend(both(&made.inputs));
                found.extend(made.inputs_gradient.iter().flat_map(both));
                for layer in &made.layers {
                    found.extend(both(&layer.values).into_iter().chain(both(&layer.dz)));
                    found.push(layer.slope.size());
                    found.extend(layer.packed.iter().map(wgpu::Buffer::size));
                    found.extend(layer.input_gradient.iter().map(|(buffer, _)| buffer.size()));
                }
                // Stubs are 16 bytes.
                let sorted = |mut sizes: Vec<u64>| {
                    sizes.retain(|&size| size > 16);
                    sizes.sort_unstable();
                    sizes.dedup();
                    sizes
                };
                let counted = need.buffers(37).into_iter().map(|(_, bytes)| bytes).collect();
                assert_eq!(sorted(found), sorted(counted), "{widths:?} {backward}");
            }
        }
    }
}
