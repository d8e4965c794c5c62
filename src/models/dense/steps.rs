//! The dispatches of a forward and a backward pass, bound to their buffers.

use std::ops::Range;

use super::kernels::{self, BatchSchedule};
use super::product::{Method, quads};
use super::workspace::{Layer, Tiled, Workspace, uniform};
use super::{Loss, Network};
use crate::gpu::kernel::Kernel;
use crate::gpu::traversal::fold;
use crate::gpu::vector::Vector;
use crate::gpu::{Gpu, Pipeline};
use crate::layout::ParamLayout;
use crate::models::written;

/// One dispatch, ready to be recorded.
#[derive(Debug)]
pub struct Step {
    pipeline: Pipeline,
    bind_group: wgpu::BindGroup,
    groups: [u32; 3],
}

impl Step {
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(self.pipeline.pipeline());
        pass.set_bind_group(0, &self.bind_group, &[]);
        pass.dispatch_workgroups(self.groups[0], self.groups[1], self.groups[2]);
    }
}

/// Collects steps that work in one workspace.
pub struct Steps<'a> {
    pub gpu: &'a Gpu,
    pub workspace: &'a Workspace,
    layout: &'a ParamLayout,
    /// Tensors before those of the layers.
    first: usize,
    method: Method,
    pub steps: Vec<Step>,
}

impl<'a> Steps<'a> {
    pub fn new(network: &'a Network, workspace: &'a Workspace) -> Self {
        let Network { gpu, layout, first, method, .. } = network;
        Self { gpu, workspace, layout, first: *first, method: *method, steps: Vec::new() }
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

    /// From the inputs of the batch to the outputs of the last layer.
    pub fn forward(&mut self, params: &Vector) {
        let mut inputs = &self.workspace.inputs;
        for (index, layer) in self.workspace.layers.iter().enumerate() {
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
            self.push(
                layer.forward.kind.pipeline(self.gpu, self.method),
                &[
                    layer.forward.uniform.as_entire_binding(),
                    self.weights(index, layer, params),
                    inputs.by_feature.as_entire_binding(),
                    params.binding(self.bias_range(index)),
                    layer.values.by_feature.as_entire_binding(),
                    layer.values.by_sample.as_entire_binding(),
                    layer.slope.as_entire_binding(),
                ],
                layer.forward.groups,
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
                let dense = f64::from(u8::from(dense));
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

    /// From the gradient by the outputs to that of every parameter.
    pub fn backward(&mut self, params: &Vector, gradient: &Vector) {
        let layers = &self.workspace.layers;
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

    fn weight_gradient(&mut self, index: usize, inputs: &wgpu::Buffer, gradient: &Vector) {
        let layer = &self.workspace.layers[index];
        let Tiled { kind, uniform, groups } = &layer.weight_gradient;
        let formats = written(gradient);
        let (output, first) = gradient.binding_around(self.weight_range(index));
        // Rows that share words are written in f32 first.
        let landing = layer.packed.as_ref().filter(|_| gradient.storage().is_narrow());
        let pipeline = match layer.packed {
            None => kind.pipeline_into(self.gpu, self.method, &formats, first),
            Some(_) => kind.pipeline(self.gpu, self.method),
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
        let (Some((transposed, product)), Some(dz)) = (&layer.input_gradient, gradient) else {
            return;
        };
        // Without an activation there is no slope, and nobody reads what is bound.
        let slope = below.map_or(&inputs.by_feature, |l| &l.slope);
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
        self.push(
            product.kind.pipeline(self.gpu, self.method),
            &[
                product.uniform.as_entire_binding(),
                transposed.as_entire_binding(),
                layer.dz.by_feature.as_entire_binding(),
                slope.as_entire_binding(),
                dz.by_feature.as_entire_binding(),
                dz.by_sample.as_entire_binding(),
            ],
            product.groups,
        );
    }

    /// W in rows of whole vec4.
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
