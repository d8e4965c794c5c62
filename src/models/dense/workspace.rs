//! Buffers for one batch size: activations, their gradients, copies of the
//! weights, and the shapes that kernels read.

use std::fmt;
use std::ops::Range;

use super::buffers::{storage, uniform};
use super::choose::{Method, predicted};
use super::form::{Choice, Form};
use super::kernels::{BatchSchedule, BiasGradient, LossShape, WeightShape};
use super::matrix::{LARGEST_ELEMENTS, Scales, Slot};
use super::product::{Kind, LayerSums, MOST_LAYERS, Shape, quads};
use super::tail::{Tail, TailLayer, TailShape};
use super::tail_form::{self, TailForm};
use crate::device::Gpu;
use crate::device::matrix::Unit;
use crate::device::traversal::fold;
use crate::error::Error;

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

    /// Makes a buffer for where something must be bound that no kernel touches.
    fn unused(gpu: &Gpu) -> Result<Self, Error> {
        let by_feature = storage(gpu, "unused", 16)?;
        Ok(Self { by_feature, by_sample: storage(gpu, "unused", 16)? })
    }
}

/// A product with its uniform and its grid.
#[derive(Debug)]
pub struct Tiled {
    pub kind: Kind,
    pub choice: Choice,
    /// Of the left operand and of the right one.
    pub slots: [Slot; 2],
    shape: Shape,
    pub uniform: wgpu::Buffer,
    pub groups: [u32; 3],
}

impl Tiled {
    /// `first`: vec4 of a partial sum's beginning.
    fn new(
        gpu: &Gpu,
        choice: Choice,
        (layer, kind): (usize, Kind),
        shape: Shape,
        first: usize,
    ) -> Self {
        let slots = match kind {
            Kind::Forward(_) => [Slot::Weights(layer), Slot::Values(layer)],
            Kind::InputGradient { .. } => [Slot::Weights(layer), Slot::Dz(layer)],
            _ => [Slot::Values(layer), Slot::Dz(layer)],
        };
        let (mut product, groups) = shape.tiled(choice);
        product.output_first = first as u32;
        [product.left_slot, product.right_slot] = slots.map(|slot| slot.number() as u32);
        Self { kind, choice, slots, shape, uniform: uniform(gpu, &product), groups }
    }
}

/// A product, its shape, and the form it has.
pub fn named(kind: Kind, choice: Choice, shape: &Shape) -> String {
    let name = match kind {
        Kind::Forward(_) => "forward",
        Kind::InputGradient { .. } => "input gradient",
        _ => "weight gradient",
    };
    let Shape { steps, rows, columns, .. } = *shape;
    let (tile_rows, tile_columns, _) = choice.form.tile();
    let form = match choice.form {
        Form::Register => {
            return format!(
                "{name} {steps} x {rows} x {columns}: {tile_rows}x{tile_columns} in registers"
            );
        }
        Form::Sliced(_) => "sliced",
        Form::Workgroup(_) => "workgroup",
        Form::Matrix(Unit::Half, _) => "matrix units of 16x16 in f16,",
        Form::Matrix(Unit::Full, _) => "matrix units of 8x8 in f32,",
        Form::Matrix(Unit::Emulated, _) => "emulated matrix units,",
    };
    let chunks = choice.chunks;
    format!(
        "{name} {steps} x {rows} x {columns}: {form} {tile_rows}x{tile_columns}, {chunks} chunks"
    )
}

impl fmt::Display for Tiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&named(self.kind, self.choice, &self.shape))?;
        if self.choice.form == Form::Register {
            return Ok(());
        }
        write!(f, ", {:.1} us on a large GPU", predicted(self.choice, &self.shape))
    }
}

impl fmt::Display for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = self.tail.as_ref().map_or(self.layers.len(), |tail| tail.start);
        for (index, layer) in self.layers[..start].iter().enumerate() {
            let products = [Some(&layer.forward), layer.input_gradient.as_ref()];
            for product in products.into_iter().flatten().chain([&layer.weight_gradient]) {
                writeln!(f, "layer{index} {product}")?;
            }
        }
        if self.checks() == 0 {
            writeln!(f, "weight gradients straight from registers: a guard checks them")?;
        }
        if let Some(tail) = &self.tail {
            let last = self.layers.len() - 1;
            let samples = 4 * tail.shape.group_quads;
            let bytes = tail_form::LEAST_BYTES as usize + 16 * tail.form.kept;
            let (memory, at) = (bytes >> 10, "of workgroup memory");
            writeln!(
                f,
                "layer{start} to layer{last} in one dispatch, {samples} samples a workgroup, \
                 {memory} KiB {at}"
            )?;
        }
        Ok(())
    }
}

/// Partial sums of neighbouring layers, in one buffer, and how they become gradients.
#[derive(Debug)]
pub struct Sums {
    pub partials: wgpu::Buffer,
    pub layers: Range<usize>,
    /// As `dense_gradient` wants them, but for where the gradient's binding begins.
    pub shapes: Vec<LayerSums>,
    pub groups: usize,
}

/// The place of the partial sums of one layer.
pub struct Partial {
    sums: usize,
    first: usize,
    pub choice: Choice,
}

/// The way that the gradients of all layers take, before there are buffers; none where they
/// are written straight.
#[derive(Default)]
pub struct Plan {
    pub rooms: Vec<Room>,
    /// The partial sums of each layer.
    pub partials: Vec<Partial>,
    pub tail: Option<Tail>,
}

/// A buffer of partial sums that is being laid out.
pub struct Room {
    vec4s: usize,
    /// The number of elements of the gradients that they become.
    elements: usize,
    layers: Range<usize>,
    pub shapes: Vec<LayerSums>,
    groups: usize,
}

impl Room {
    /// One that begins with this layer.
    fn new(layer: usize) -> Self {
        Self { vec4s: 0, elements: 0, layers: layer..layer, shapes: Vec::new(), groups: 1 }
    }

    /// Adds what a tail keeps between its layers behind the partial sums, each layer's from
    /// `firsts` on.
    fn tail(
        &mut self,
        need: Need<'_>,
        start: usize,
        (samples, form): (usize, TailForm),
        firsts: impl Iterator<Item = usize>,
    ) -> Tail {
        let Need { widths, activation, .. } = need;
        let layers = widths.len() - 1;
        let TailForm { group_quads, kept } = form;
        let groups = form.groups(samples);
        // In workgroup memory.
        let mut inside = 0;
        let mut shape = TailShape {
            layers: (layers - start) as u32,
            outputs: widths[layers] as u32,
            sample_quads: quads(samples) as u32,
            group_quads: group_quads as u32,
            ..TailShape::default()
        };
        for ((layer, to), first) in (start..layers).zip(&mut shape.layer).zip(firsts) {
            let stays = kept > 0 && layer + 1 < layers;
            let rows = 4 * if stays { group_quads } else { quads(samples) };
            let values = rows * quads(widths[layer + 1]);
            let place = if stays { &mut inside } else { &mut self.vec4s };
            let from = *place;
            *place += 2 * values;
            *to = TailLayer {
                inputs: widths[layer] as u32,
                outputs: widths[layer + 1] as u32,
                values: from as u32,
                dz: (from + values) as u32,
                first: first as u32,
                chunk_stride: partial_stride(widths, layer) as u32,
                ..TailLayer::default()
            };
        }
        debug_assert!(inside <= kept);
        // Where a binding may begin.
        let losses = self.vec4s.next_multiple_of(16);
        shape.losses = 2 * losses as u32;
        self.vec4s = losses + groups.div_ceil(2);
        Tail { start, sums: 0, groups, form, shape, activation }
    }

    fn bytes(&self) -> u64 {
        16 * self.vec4s as u64
    }
}

/// vec4s of a partial sum of a layer's weights and bias.
fn partial_stride(widths: &[usize], layer: usize) -> usize {
    (widths[layer] + 1) * quads(widths[layer + 1])
}

impl Plan {
    /// Lays the partial sums of all layers out: as many layers to a buffer as one binding
    /// holds, `most` vec4s. Those of a tail share one, which also holds what is between them.
    pub fn new(most: usize, need: Need<'_>, samples: usize) -> Self {
        let Need { widths, method, .. } = need;
        if method.is_register() {
            return Self::default();
        }
        if !need.backward {
            return Self::forward(most, need, samples);
        }
        let stride = |layer| partial_stride(widths, layer);
        let layers = widths.len() - 1;
        let needs = |start: usize, form: TailForm| {
            let partials = (start..layers).map(stride).sum::<usize>() * form.groups(samples);
            partials + Tail::room(widths, start, samples)
        };
        let start = method.tail(widths);
        let apart = TailForm::apart(samples);
        let form = start.map_or(apart, |start| need.tail_form(start, samples));
        // One that keeps more in workgroup memory may have more partial sums.
        let form = if start.is_some_and(|start| needs(start, form) > most) { apart } else { form };
        let tail_groups = form.groups(samples);
        let tail_needs = |start| needs(start, form);
        let start = start.filter(|&start| tail_needs(start) <= most || method.wants_tail());

        let mut rooms: Vec<Room> = Vec::new();
        let mut partials = Vec::new();
        for layer in 0..layers {
            let (inputs, outputs) = (widths[layer], widths[layer + 1]);
            let chunk_stride = stride(layer);
            let in_tail = start.is_some_and(|start| layer >= start);
            let mut choice = if in_tail {
                Choice { chunks: tail_groups, ..Choice::whole(Form::Sliced(4), samples) }
            } else {
                let shape = Shape::weight_partials(inputs, outputs, samples);
                method.product(Kind::WeightPartials, &shape)
            };
            if !in_tail && chunk_stride * choice.chunks > most {
                choice = Choice::whole(choice.form, samples);
            }
            let own = chunk_stride * choice.chunks;
            let needed = if Some(layer) == start { tail_needs(layer) } else { own };
            // Tensors begin at multiples of 64.
            let elements = 4 * chunk_stride + 128;
            let fits = |room: &Room| {
                room.vec4s + needed <= most
                    && (room.elements + elements).div_ceil(4) <= most
                    && room.shapes.len() + if in_tail { layers - layer } else { 1 } <= MOST_LAYERS
            };
            let follows = in_tail && Some(layer) != start;
            if !follows && !rooms.last().is_some_and(fits) {
                rooms.push(Room::new(layer));
            }
            let sums = rooms.len() - 1;
            let room = &mut rooms[sums];
            let parts = choice.chunks.div_ceil(4).next_power_of_two().min(64);
            room.shapes.push(LayerSums {
                rows: inputs as u32,
                columns: outputs as u32,
                first: room.vec4s as u32,
                chunk_stride: chunk_stride as u32,
                chunks: choice.chunks as u32,
                parts: parts as u32,
                group: room.groups as u32,
                ..LayerSums::default()
            });
            partials.push(Partial { sums, first: room.vec4s, choice });
            room.groups += (quads(inputs * outputs) + quads(outputs)).div_ceil(256 / parts);
            room.vec4s += own;
            room.elements += elements;
            room.layers.end = layer + 1;
        }
        let tail = start.map(|start| {
            let sums = partials[start].sums;
            let firsts = partials[start..].iter().map(|partial| partial.first);
            Tail { sums, ..rooms[sums].tail(need, start, (samples, form), firsts) }
        });
        Self { rooms, partials, tail }
    }

    /// A tail that puts out values alone, where layers are narrow; its room holds what is
    /// between them.
    fn forward(most: usize, need: Need<'_>, samples: usize) -> Self {
        let mut plan = Self::default();
        if let Some(start) = need.method.tail(need.widths)
            && Tail::room(need.widths, start, samples) <= most
        {
            let mut room = Room::new(0);
            let form = TailForm::apart(samples);
            plan.tail = Some(room.tail(need, start, (samples, form), std::iter::repeat(0)));
            plan.rooms.push(room);
        }
        plan
    }
}

/// vec4s that one binding holds.
fn binding(gpu: &Gpu) -> usize {
    (gpu.limits().max_storage_buffer_binding_size / 16) as usize
}

impl Sums {
    /// Partial sums that a check of the gradient leaves: one of each workgroup but the first.
    pub fn checks(&self) -> u32 {
        fold(self.groups).iter().product::<u32>() - 1
    }

    fn new(gpu: &Gpu, room: Room) -> Result<Self, Error> {
        let partials = storage(gpu, PARTIALS, room.bytes())?;
        let Room { layers, shapes, groups, .. } = room;
        Ok(Self { partials, layers, shapes, groups })
    }
}

/// One dense layer from `inputs` to `outputs` features.
#[derive(Debug)]
pub struct Layer {
    pub inputs: usize,
    pub outputs: usize,
    /// The layer's outputs. The last one's samples are unused.
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
    /// The one of the workspace's sums that its weight gradient is a part of, where it is in parts.
    pub sums: usize,
    pub bias_gradient: wgpu::Buffer,
    /// The product with Wᵀ, where what is below has parameters.
    pub input_gradient: Option<Tiled>,
    /// Wᵀ, where it must be written out.
    pub transposed: Option<wgpu::Buffer>,
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
    /// None where weight gradients are written straight.
    pub sums: Vec<Sums>,
    pub tail: Option<Tail>,
    /// None where no product is by matrix units.
    pub scales: Option<Scales>,
    /// A place for outputs that nobody wants.
    pub unused: Both,
    pub loss: wgpu::Buffer,
    pub row_loss: wgpu::Buffer,
}

/// The purpose of a workspace.
#[derive(Clone, Copy)]
pub struct Need<'a> {
    pub widths: &'a [usize],
    pub activation: super::Activation,
    pub method: Method,
    pub backward: bool,
    pub trained_inputs: bool,
    /// Workgroup memory that there is.
    pub workgroup_bytes: u32,
}

impl Need<'_> {
    /// The form of a tail that begins with this layer.
    fn tail_form(&self, start: usize, samples: usize) -> TailForm {
        let (widths, below) = (&self.widths[start..], start > 0 || self.trained_inputs);
        TailForm::choose(tail_form::Layers { widths, samples, below }, self.workgroup_bytes)
    }

    /// The storage buffers of a workspace that grow with anything, and their bytes, before
    /// there are any.
    pub fn buffers(&self, gpu: &Gpu, samples: usize) -> Vec<(&'static str, u64)> {
        let Need { widths, method, backward, trained_inputs, .. } = *self;
        let copies = method.is_register();
        let mut buffers =
            vec![(ROWS, rows_bytes(samples)), (INPUTS, both_bytes(widths[0], samples))];
        if trained_inputs {
            buffers.push((INPUTS_GRADIENT, both_bytes(widths[0], samples)));
        }
        for (index, pair) in widths.windows(2).enumerate() {
            let (inputs, outputs) = (pair[0], pair[1]);
            buffers.push((VALUES, both_bytes(outputs, samples)));
            if copies && !outputs.is_multiple_of(4) {
                buffers.push((PACKED, packed_bytes(inputs, outputs)));
            }
            if copies && backward && (index > 0 || trained_inputs) {
                buffers.push((TRANSPOSED, transposed_bytes(inputs, outputs)));
            }
        }
        buffers.push((ROW_LOSSES, row_loss_bytes(samples)));
        if method.has_unit() {
            buffers.push((LARGEST_ELEMENTS, Scales::bytes(widths.len() - 1)));
        }
        let rooms = Plan::new(binding(gpu), *self, samples).rooms;
        buffers.extend(rooms.iter().map(|room| (PARTIALS, room.bytes())));
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
const PARTIALS: &str = "partial sums of a gradient";

fn rows_bytes(samples: usize) -> u64 {
    4 + 4 * samples as u64
}

/// Both counts are padded to whole vec4, so blocks of 4×4 values always fit.
fn both_bytes(features: usize, samples: usize) -> u64 {
    64 * quads(features) as u64 * quads(samples) as u64
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
        let Plan { rooms, partials, tail } = Plan::new(binding(gpu), need, samples);
        let sums = rooms.into_iter().map(|room| Sums::new(gpu, room)).collect::<Result<_, _>>()?;
        let layers: Vec<Layer> = (1..need.widths.len())
            .map(|i| Layer::new(gpu, need, i, samples, partials.get(i - 1)))
            .collect::<Result<_, _>>()?;
        let start = tail.as_ref().map_or(layers.len(), |tail| tail.start);
        let operands = layers[..start].iter().flat_map(|layer| layer.operands(samples));
        let scales = Scales::new(gpu, layers.len(), operands)?;
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
            sums,
            tail,
            scales,
            unused: Both::unused(gpu)?,
            loss: uniform(gpu, &loss),
            row_loss: storage(gpu, ROW_LOSSES, row_loss_bytes(samples))?,
        })
    }

    /// Partial sums that a check of the gradient leaves; 0 where gradients are written straight
    /// by products in registers, which have no room for a check.
    pub fn checks(&self) -> u32 {
        self.sums.iter().map(Sums::checks).sum()
    }

    /// The network's outputs.
    pub fn outputs(&self) -> &Layer {
        // `Mlp` has at least one layer.
        &self.layers[self.layers.len() - 1]
    }
}

impl Layer {
    /// The operands that matrix units read: rows of each, and elements of a row.
    fn operands(&self, samples: usize) -> impl Iterator<Item = (Slot, (usize, usize))> {
        let products = [Some(&self.forward), self.input_gradient.as_ref()];
        let products = products.into_iter().flatten().chain([&self.weight_gradient]);
        let by_unit = products.filter(|product| matches!(product.choice.form, Form::Matrix(..)));
        by_unit.flat_map(|product| product.slots).map(move |slot| {
            let extents = match slot {
                Slot::Weights(_) => (1, self.inputs * self.outputs),
                Slot::Values(_) => (samples, self.inputs),
                Slot::Dz(_) => (samples, self.outputs),
            };
            (slot, extents)
        })
    }

    fn new(
        gpu: &Gpu,
        need: Need<'_>,
        index: usize,
        samples: usize,
        partial: Option<&Partial>,
    ) -> Result<Self, Error> {
        let Need { widths, method, backward, .. } = need;
        let (inputs, outputs) = (widths[index - 1], widths[index]);
        let last = index + 1 == widths.len();
        let whole = outputs.is_multiple_of(4);
        let copies = method.is_register();
        let tiled = |kind, shape: Shape| {
            let shape = if copies { shape } else { shape.of_weights(outputs) };
            Tiled::new(gpu, method.product(kind, &shape), (index - 1, kind), shape, 0)
        };

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
        let packed = match whole || !copies {
            true => None,
            false => Some(storage(gpu, PACKED, packed_bytes(inputs, outputs))?),
        };
        let wanted = backward && (index > 1 || need.trained_inputs);
        let input_gradient = wanted.then(|| {
            let kind = Kind::InputGradient { sloped: index > 1 };
            tiled(kind, Shape::input_gradient(inputs, outputs, samples))
        });
        let transposed = match wanted && copies {
            true => Some(storage(gpu, TRANSPOSED, transposed_bytes(inputs, outputs))?),
            false => None,
        };
        let forward = Kind::Forward((!last).then_some(need.activation));
        let weight_gradient = match partial {
            Some(&Partial { first, choice, .. }) => {
                let shape = Shape::weight_partials(inputs, outputs, samples);
                Tiled::new(gpu, choice, (index - 1, Kind::WeightPartials), shape, first)
            }
            None => {
                let kind = if whole { Kind::WeightGradient } else { Kind::WeightGradientRagged };
                let shape = Shape::weight_gradient(inputs, outputs, samples);
                let choice = Choice::whole(Form::Register, samples);
                Tiled::new(gpu, choice, (index - 1, kind), shape, 0)
            }
        };
        let weights = WeightShape {
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
            forward: tiled(forward, Shape::forward(inputs, outputs, samples)),
            dz,
            weight_gradient,
            sums: partial.map_or(0, |partial| partial.sums),
            bias_gradient: uniform(gpu, &bias),
            input_gradient,
            transposed,
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::dense::{Activation, Products};
    use crate::models::harness::gpu;

    /// A layer has a value for each feature and sample, both counts rounded up to whole vec4.
    #[test]
    fn values_take_four_bytes_each_in_blocks_of_four_by_four() {
        for (features, samples, values) in [(1, 1, 16), (4, 4, 16), (5, 4, 32), (784, 37, 31_360)] {
            let both = Both::new(gpu(), VALUES, features, samples).unwrap();
            for buffer in [&both.by_feature, &both.by_sample] {
                assert_eq!(buffer.size(), 4 * values, "{features} {samples}");
            }
        }
    }

    /// Whatever is allocated was counted, and nothing larger.
    #[test]
    fn the_buffers_are_known_before_there_are_any() {
        let methods =
            [Products::Register, Products::Sliced, Products::Fused, Products::EmulatedMatrix]
                .map(Method::of);
        let widths = [vec![3, 5], vec![8, 7, 12], vec![1, 64, 64, 3]];
        for (widths, method) in widths.iter().flat_map(|w| methods.map(|method| (w, method))) {
            for (backward, trained_inputs) in [(false, false), (true, false), (true, true)] {
                let activation = Activation::Relu;
                let workgroup_bytes = 16_384;
                let need =
                    Need { widths, activation, method, backward, trained_inputs, workgroup_bytes };
                let made = Workspace::new(gpu(), need, 37).unwrap();
                let mut found = vec![made.rows.size(), made.row_loss.size()];
                let both = |both: &Both| [both.by_feature.size(), both.by_sample.size()];
                found.extend(both(&made.inputs));
                found.extend(made.inputs_gradient.iter().flat_map(both));
                found.extend(made.scales.iter().map(|scales| scales.largest.size()));
                found.extend(made.sums.iter().map(|sums| sums.partials.size()));
                for layer in &made.layers {
                    found.extend(both(&layer.values).into_iter().chain(both(&layer.dz)));
                    found.push(layer.slope.size());
                    found.extend(layer.packed.iter().map(wgpu::Buffer::size));
                    found.extend(layer.transposed.iter().map(wgpu::Buffer::size));
                }
                // Stubs are 16 bytes.
                let sorted = |mut sizes: Vec<u64>| {
                    sizes.retain(|&size| size > 16);
                    sizes.sort_unstable();
                    sizes.dedup();
                    sizes
                };
                let counted = need.buffers(gpu(), 37).into_iter().map(|(_, bytes)| bytes).collect();
                assert_eq!(sorted(found), sorted(counted), "{widths:?} {backward}");
            }
        }
    }
}
