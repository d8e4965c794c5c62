//! The dispatches of a forward and a backward pass, bound to their buffers.

use std::ops::Range;

use super::buffers::uniform;
use super::form::Form;
use super::kernels::{self, BatchSchedule};
use super::matrix::{self, LARGEST, Slot};
use super::product::{self, GradientSums, MOST_LAYERS, quads};
use super::tail::{self, Below, Tail};
use super::workspace::{Layer, Tiled, Workspace};
use super::{Loss, Network};
use crate::device::commands::Commands;
use crate::device::kernel::{Kernel, flag};
use crate::device::traversal::fold;
use crate::device::vector::Vector;
use crate::device::{Gpu, Pipeline};
use crate::layout::ParamLayout;
use crate::models::written;
use crate::source::{Check, Evaluation, check_constants};

/// One dispatch, ready to be recorded.
#[derive(Clone, Debug)]
pub struct Step {
    pipeline: Pipeline,
    bind_group: wgpu::BindGroup,
    groups: [u32; 3],
}

#[cfg(test)]
thread_local! {
    static SEEN: std::cell::RefCell<Option<Vec<Step>>> = const { std::cell::RefCell::new(None) };
}

/// Begins or ends to collect what this thread records, for tests.
#[cfg(test)]
pub fn seen(begins: bool) -> Vec<Step> {
    let next = begins.then(Vec::new);
    SEEN.with(|seen| seen.replace(next)).unwrap_or_default()
}

impl Step {
    fn see(&self) {
        #[cfg(test)]
        SEEN.with(|seen| {
            if let Some(steps) = &mut *seen.borrow_mut() {
                steps.push(self.clone());
            }
        });
    }
}

#[cfg(test)]
impl Step {
    pub fn name(&self) -> &'static str {
        self.pipeline.name()
    }

    pub fn groups(&self) -> [u32; 3] {
        self.groups
    }
}

impl Step {
    /// Records it for an evaluation.
    pub fn dispatch(&self, commands: &mut Commands<'_>) {
        self.see();
        commands.dispatch(&self.pipeline, &self.bind_group, self.groups);
    }

    /// Records it into a pass of somebody's.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        self.see();
        pass.set_pipeline(self.pipeline.pipeline());
        pass.set_bind_group(0, &self.bind_group, &[]);
        pass.dispatch_workgroups(self.groups[0], self.groups[1], self.groups[2]);
    }
}

/// The slots of what an evaluation leaves beside its gradient.
#[derive(Clone, Copy)]
pub struct Slots<'a> {
    /// The batch's mean loss, and its number of samples.
    pub loss: &'a wgpu::Buffer,
    pub samples: &'a wgpu::Buffer,
    /// What a check of the gradient finds, where somebody asks.
    pub checks: &'a wgpu::Buffer,
    pub check: Option<Check>,
    /// Partial sums of tensors before those of the layers.
    pub first_check: u32,
}

impl<'a> Slots<'a> {
    pub fn of(at: &'a Evaluation<'_>, first_check: u32) -> Self {
        let [loss, samples, checks] = [at.loss(), at.samples(), at.checks()];
        Self { loss, samples, checks, check: at.check(), first_check }
    }
}

/// Collects steps that work in one workspace.
pub struct Steps<'a> {
    pub gpu: &'a Gpu,
    pub workspace: &'a Workspace,
    layout: &'a ParamLayout,
    /// Tensors before those of the layers.
    first: usize,
    pub steps: Vec<Step>,
}

impl Tiled {
    fn pipeline(&self, gpu: &Gpu, layer: &Layer) -> Pipeline {
        self.kind.pipeline(gpu, self.choice.form, layer.outputs.is_multiple_of(4))
    }
}

impl<'a> Steps<'a> {
    pub fn new(network: &'a Network, workspace: &'a Workspace) -> Self {
        let Network { gpu, layout, first, .. } = network;
        Self { gpu, workspace, layout, first: *first, steps: Vec::new() }
    }

    pub fn push(
        &mut self,
        pipeline: Pipeline,
        resources: &[wgpu::BindingResource<'_>],
        groups: [u32; 3],
    ) {
        let bind_group = pipeline.bind(self.gpu, resources);
        self.steps.push(Step { pipeline, bind_group, groups });
    }

    pub fn push_kernel(
        &mut self,
        kernel: &Kernel,
        resources: &[wgpu::BindingResource<'_>],
        groups: [u32; 3],
    ) {
        self.push(self.gpu.pipeline(kernel, &vec![]), resources, groups);
    }

    /// A product: what it binds between its shape and, for a matrix unit, the largest elements.
    fn product(&mut self, layer: &Layer, product: &Tiled, operands: &[wgpu::BindingResource<'_>]) {
        let mut resources = vec![product.uniform.as_entire_binding()];
        resources.extend_from_slice(operands);
        if let (Form::Matrix(..), Some(scales)) = (product.choice.form, &self.workspace.scales) {
            resources.push(scales.largest.as_entire_binding());
        }
        self.push(product.pipeline(self.gpu, layer), &resources, product.groups);
    }

    /// Sets the largest elements of all operands to zero.
    fn clear_largest(&mut self) {
        let Some(scales) = &self.workspace.scales else {
            return;
        };
        let nothing = uniform(self.gpu, &matrix::Operand::default());
        self.push(
            self.gpu.pipeline(&LARGEST, &matrix::clears(true)),
            &[
                nothing.as_entire_binding(),
                self.workspace.unused.by_feature.as_entire_binding(),
                scales.largest.as_entire_binding(),
            ],
            [1, 1, 1],
        );
    }

    /// Finds the largest element of an operand, where a matrix unit reads it.
    fn largest(&mut self, slot: Slot, values: wgpu::BindingResource<'_>) {
        let Some(scales) = &self.workspace.scales else {
            return;
        };
        let Some(search) = scales.search(slot) else {
            return;
        };
        self.push(
            self.gpu.pipeline(&LARGEST, &matrix::clears(false)),
            &[search.operand.as_entire_binding(), values, scales.largest.as_entire_binding()],
            search.groups,
        );
    }

    /// Finds the samples of the batch that `control` names.
    pub fn rows(&mut self, schedule: BatchSchedule, control: wgpu::BindingResource<'_>) {
        let workspace = self.workspace;
        let schedule = uniform(self.gpu, &schedule);
        self.push_kernel(
            &kernels::BATCH_ROWS,
            &[schedule.as_entire_binding(), control, workspace.rows.as_entire_binding()],
            fold(workspace.samples.div_ceil(64)),
        );
    }

    /// Loss and gradient of the batch, from its inputs on.
    pub fn gradient(
        &mut self,
        (params, gradient): (&Vector, &Vector),
        slots: Slots<'_>,
        (loss, targets, dense): (Loss, &wgpu::Buffer, bool),
    ) {
        let layers = self.workspace.layers.len();
        match &self.workspace.tail {
            Some(tail) => {
                self.forward_through(params, tail.start);
                self.tail(tail, params, Some((loss, targets, dense)));
                self.backward_from(tail.start, (params, gradient), slots);
            }
            None => {
                self.forward_through(params, layers);
                self.loss(loss, targets, dense);
                self.backward_from(layers, (params, gradient), slots);
            }
        }
    }

    /// Records the pass from the inputs of the batch to the outputs of the last layer.
    pub fn forward(&mut self, params: &Vector) {
        match &self.workspace.tail {
            Some(tail) => {
                self.forward_through(params, tail.start);
                self.tail(tail, params, None);
            }
            None => self.forward_through(params, self.workspace.layers.len()),
        }
    }

    /// The first so many layers.
    fn forward_through(&mut self, params: &Vector, layers: usize) {
        self.clear_largest();
        let mut inputs = &self.workspace.inputs;
        for (index, layer) in self.workspace.layers[..layers].iter().enumerate() {
            if let Some(packed) = &layer.packed {
                let words = layer.inputs * quads(layer.outputs);
                self.push_kernel(
                    &kernels::PACK_WEIGHTS,
                    &[
                        layer.weights.as_entire_binding(),
                        params.binding(self.weight_range(index)),
                        packed.as_entire_binding(),
                    ],
                    fold(words.div_ceil(64)),
                );
            }
            self.largest(Slot::Weights(index), params.binding(self.weight_range(index)));
            self.largest(Slot::Values(index), inputs.by_sample.as_entire_binding());
            self.product(
                layer,
                &layer.forward,
                &[
                    self.weights(index, layer, params),
                    inputs.by_feature.as_entire_binding(),
                    params.binding(self.bias_range(index)),
                    layer.values.by_feature.as_entire_binding(),
                    layer.values.by_sample.as_entire_binding(),
                    layer.slope.as_entire_binding(),
                ],
            );
            inputs = &layer.values;
        }
    }

    /// Each row's loss, and the gradient by the outputs.
    pub fn loss(&mut self, loss: Loss, targets: &wgpu::Buffer, dense: bool) {
        let workspace = self.workspace;
        let last = workspace.outputs();
        let pipeline = match loss {
            Loss::CrossEntropy => self.gpu.pipeline(&kernels::CROSS_ENTROPY, &vec![]),
            Loss::MeanSquare => {
                let dense = flag(dense);
                self.gpu.pipeline(&kernels::MEAN_SQUARE, &vec![("DENSE", dense)])
            }
        };
        self.push(
            pipeline,
            &[
                workspace.loss.as_entire_binding(),
                workspace.rows.as_entire_binding(),
                targets.as_entire_binding(),
                last.values.by_feature.as_entire_binding(),
                last.dz.by_feature.as_entire_binding(),
                last.dz.by_sample.as_entire_binding(),
                workspace.row_loss.as_entire_binding(),
            ],
            fold((4 * quads(workspace.samples)).div_ceil(64)),
        );
    }

    /// Sums the rows: [`kernels::MEAN_LOSS`] into the slots of loss and samples, or
    /// [`kernels::SCORE`] onto totals.
    pub fn sum_rows(&mut self, kernel: &Kernel, into: &[&wgpu::Buffer]) {
        let workspace = self.workspace;
        let rows = [&workspace.rows, &workspace.row_loss];
        let resources: Vec<_> =
            rows.iter().chain(into).map(|buffer| buffer.as_entire_binding()).collect();
        self.push_kernel(kernel, &resources, [1, 1, 1]);
    }

    /// The mean loss of the batch, and from the gradient by the outputs of layer `end` − 1 to
    /// that of every parameter.
    fn backward_from(
        &mut self,
        end: usize,
        (params, gradient): (&Vector, &Vector),
        slots: Slots<'_>,
    ) {
        let layers = &self.workspace.layers;
        if !self.workspace.sums.is_empty() {
            for index in (0..end).rev() {
                let dz = &self.workspace.layers[index].dz.by_sample;
                self.largest(Slot::Dz(index), dz.as_entire_binding());
                self.input_gradient(index, params);
                self.weight_partials(index);
            }
            let mut slots = slots;
            for (index, sums) in self.workspace.sums.iter().enumerate() {
                self.add_up(index, gradient, slots);
                slots.first_check += sums.checks();
            }
            return;
        }
        self.sum_rows(&kernels::MEAN_LOSS, &[slots.loss, slots.samples]);
        for (index, layer) in layers.iter().enumerate().rev() {
            let below = index.checked_sub(1).map(|i| &layers[i]);
            self.input_gradient(index, params);
            // The last to read or write `packed`, which it may take for itself.
            let inputs = below.map_or(&self.workspace.inputs, |l| &l.values);
            self.weight_gradient(index, &inputs.by_sample, gradient);
            let (output, first) = gradient.binding_around(self.bias_range(index));
            self.push(
                self.gpu.variant(
                    &kernels::BIAS_GRADIENT,
                    &written(gradient),
                    &kernels::behind(first),
                ),
                &[
                    layer.bias_gradient.as_entire_binding(),
                    layer.dz.by_sample.as_entire_binding(),
                    output,
                ],
                fold(quads(layer.outputs).div_ceil(8)),
            );
        }
    }

    fn weight_partials(&mut self, index: usize) {
        let workspace = self.workspace;
        let layer = &workspace.layers[index];
        let below = index.checked_sub(1).map(|i| &workspace.layers[i]);
        let inputs = below.map_or(&workspace.inputs, |l| &l.values);
        self.product(
            layer,
            &layer.weight_gradient,
            &[
                inputs.by_sample.as_entire_binding(),
                layer.dz.by_sample.as_entire_binding(),
                workspace.sums[layer.sums].partials.as_entire_binding(),
            ],
        );
    }

    /// The last layers, forward and backward; without a loss forward alone.
    fn tail(&mut self, tail: &Tail, params: &Vector, loss: Option<(Loss, &wgpu::Buffer, bool)>) {
        let workspace = self.workspace;
        let layers = workspace.layers.len();
        let below = tail.start.checked_sub(1).map(|i| &workspace.layers[i]);
        let inputs = &below.map_or(&workspace.inputs, |l| &l.values).by_sample;
        let dz = below.map(|l| &l.dz).or(workspace.inputs_gradient.as_ref());
        let dz = dz.filter(|_| loss.is_some());
        let wanted = Below {
            // Of what is below, a product reads the one and a weight gradient the other.
            by_feature: dz.is_some() && below.is_none_or(|l| l.input_gradient.is_some()),
            by_sample: dz.is_some() && below.is_some(),
            sloped: dz.is_some() && below.is_some(),
        };
        let first = self.weight_range(tail.start).start;
        let mut shape = tail.shape;
        for (layer, to) in (tail.start..layers).zip(&mut shape.layer) {
            to.weight = ((self.weight_range(layer).start - first) / 4) as u32;
            to.bias = ((self.bias_range(layer).start - first) / 4) as u32;
        }
        let shape = uniform(self.gpu, &shape);
        let unused = &workspace.unused;
        // What nobody reads is bound to what is read anyway.
        let targets = loss.map_or(&workspace.rows, |(_, targets, _)| targets);
        let by_feature = match (loss, dz) {
            (None, _) => &workspace.outputs().values.by_feature,
            (Some(_), Some(dz)) if wanted.by_feature => &dz.by_feature,
            _ => &unused.by_feature,
        };
        let by_sample =
            dz.filter(|_| wanted.by_sample).map_or(&unused.by_sample, |dz| &dz.by_sample);
        let loss = loss.map(|(loss, _, dense)| (loss, dense));
        self.push(
            self.gpu
                .pipeline(tail::kernel(tail.form), &tail::constants(tail.activation, loss, wanted)),
            &[
                shape.as_entire_binding(),
                workspace.rows.as_entire_binding(),
                targets.as_entire_binding(),
                params.binding(first..self.bias_range(layers - 1).end),
                inputs.as_entire_binding(),
                below.map_or(inputs, |l| &l.slope).as_entire_binding(),
                workspace.sums[tail.sums].partials.as_entire_binding(),
                by_feature.as_entire_binding(),
                by_sample.as_entire_binding(),
            ],
            fold(tail.groups),
        );
    }

    /// Adds partial sums up; one of them brings the mean loss.
    fn add_up(&mut self, index: usize, gradient: &Vector, slots: Slots<'_>) {
        let workspace = self.workspace;
        let sums = &workspace.sums[index];
        let first = self.weight_range(sums.layers.start).start;
        let end = self.bias_range(sums.layers.end - 1).end;
        let (output, before) = gradient.binding_around(first..end);
        let mut row_loss = workspace.row_loss.as_entire_binding();
        let mut losses = if index == 0 { workspace.samples as u32 } else { 0 };
        if let Some(tail) = &workspace.tail {
            losses = 0;
            if tail.sums == index {
                losses = tail.groups as u32;
                row_loss = wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &sums.partials,
                    offset: 8 * u64::from(tail.shape.losses),
                    size: None,
                });
            }
        }
        let layers = sums.shapes.len() as u32;
        let mut shape = GradientSums {
            layers,
            losses,
            place: (first / 4 - before) as u32,
            slot: slots.first_check,
            ..GradientSums::default()
        };
        debug_assert!(sums.shapes.len() <= MOST_LAYERS);
        for ((layer, to), from) in sums.layers.clone().zip(&mut shape.layer).zip(&sums.shapes) {
            let place = |start: usize| (before + (start - first) / 4) as u32;
            *to = *from;
            to.weight = place(self.weight_range(layer).start);
            to.bias = place(self.bias_range(layer).start);
        }
        let shape = uniform(self.gpu, &shape);
        self.push(
            self.gpu.variant(&product::GRADIENT, &written(gradient), &check_constants(slots.check)),
            &[
                shape.as_entire_binding(),
                workspace.rows.as_entire_binding(),
                row_loss,
                sums.partials.as_entire_binding(),
                output,
                slots.loss.as_entire_binding(),
                slots.samples.as_entire_binding(),
                slots.checks.as_entire_binding(),
            ],
            fold(sums.groups),
        );
    }

    fn weight_gradient(&mut self, index: usize, inputs: &wgpu::Buffer, gradient: &Vector) {
        let layer = &self.workspace.layers[index];
        let Tiled { kind, choice, uniform, groups, .. } = &layer.weight_gradient;
        let formats = written(gradient);
        let (output, first) = gradient.binding_around(self.weight_range(index));
        // Rows that share words are written in f32 first.
        let landing = layer.packed.as_ref().filter(|_| gradient.storage().is_narrow());
        let pipeline = match layer.packed {
            None => kind.pipeline_into(self.gpu, &formats, first),
            Some(_) => kind.pipeline(self.gpu, choice.form, true),
        };
        let resources = [
            uniform.as_entire_binding(),
            inputs.as_entire_binding(),
            layer.dz.by_sample.as_entire_binding(),
            landing.map_or(output.clone(), |landing| landing.as_entire_binding()),
        ];
        self.push(pipeline, &resources, *groups);
        if let Some(landing) = landing {
            self.push(
                self.gpu.variant(&kernels::NARROW_GRADIENT, &formats, &kernels::behind(first)),
                &[layer.weights.as_entire_binding(), landing.as_entire_binding(), output],
                fold(quads(layer.inputs * layer.outputs).div_ceil(64)),
            );
        }
    }

    /// The gradient by what a layer reads, where somebody wants it.
    fn input_gradient(&mut self, index: usize, params: &Vector) {
        let layers = &self.workspace.layers;
        let layer = &layers[index];
        let below = index.checked_sub(1).map(|i| &layers[i]);
        let inputs = below.map_or(&self.workspace.inputs, |l| &l.values);
        let gradient = below.map(|l| &l.dz).or(self.workspace.inputs_gradient.as_ref());
        let (Some(product), Some(dz)) = (&layer.input_gradient, gradient) else {
            return;
        };
        // Without an activation there is no slope, and nobody reads what is bound.
        let slope = below.map_or(&inputs.by_feature, |l| &l.slope);
        if let Some(transposed) = &layer.transposed {
            let blocks = quads(layer.outputs) * quads(layer.inputs);
            self.push_kernel(
                &kernels::TRANSPOSE_WEIGHTS,
                &[
                    layer.weights.as_entire_binding(),
                    self.weights(index, layer, params),
                    transposed.as_entire_binding(),
                ],
                fold(blocks.div_ceil(64)),
            );
        }
        let left = match &layer.transposed {
            Some(transposed) => transposed.as_entire_binding(),
            None => self.weights(index, layer, params),
        };
        self.product(
            layer,
            product,
            &[
                left,
                layer.dz.by_feature.as_entire_binding(),
                slope.as_entire_binding(),
                dz.by_feature.as_entire_binding(),
                dz.by_sample.as_entire_binding(),
            ],
        );
    }

    /// W as the products want it.
    fn weights<'b>(
        &self,
        index: usize,
        layer: &'b Layer,
        params: &'b Vector,
    ) -> wgpu::BindingResource<'b> {
        match &layer.packed {
            Some(packed) => packed.as_entire_binding(),
            None => params.binding(self.weight_range(index)),
        }
    }

    // Tensors come in pairs: weight, bias.
    fn weight_range(&self, layer: usize) -> Range<usize> {
        self.layout.tensors()[self.first + 2 * layer].range()
    }

    fn bias_range(&self, layer: usize) -> Range<usize> {
        self.layout.tensors()[self.first + 2 * layer + 1].range()
    }
}
