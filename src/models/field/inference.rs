//! A field's values texel by texel, in a buffer for the host to draw from.

use super::kernels::{OUTPUTS, OutputShape};
use super::points::Batch;
use super::target::texels;
use super::{NeuralField, ROWS};
use crate::device::vector::Vector;
use crate::error::Error;
use crate::kernels::control::Control;
use crate::models::ModelError;
use crate::models::dense::kernels::BatchSchedule;
use crate::models::dense::{Step, Steps, controls, quads, storage, uniform};

/// The values of a field at the centres of all texels of an extent, for one vector of
/// parameters; made by [`NeuralField::inference`]. Recorded anew whenever the parameters
/// have moved, whole or a part at a time.
#[derive(Debug)]
pub struct Inference {
    values: wgpu::Buffer,
    extent: Vec<usize>,
    channels: usize,
    /// Draws the points of each part.
    parts: Vec<Vec<Step>>,
    forward: Vec<Step>,
}

impl NeuralField {
    /// An inference of the parameters in this vector, for instance
    /// [`optimizer.params()`](crate::Optimizer::params), at `extent` texels a side.
    ///
    /// # Errors
    /// Parameters of another length; an extent of other dimensions than the target's, of
    /// no texels, or too large for one binding of this device.
    pub fn inference<'a>(
        &self,
        params: impl Into<&'a Vector>,
        extent: &[usize],
    ) -> Result<Inference, Error> {
        let Self { network, encoder, surroundings, .. } = self;
        let (gpu, params) = (&network.gpu, params.into());
        network.check_params(params.len())?;
        let (found, wanted) = (extent.len(), surroundings.extent.len());
        if found != wanted {
            return Err(ModelError::Dimensions { found, wanted }.into());
        }
        let count = texels(extent)?;
        let channels = surroundings.channels;
        network.check_room(ROWS.min(count), false)?;
        let values = storage(gpu, "values of a field", 4 * (count * channels) as u64)?;
        let batch = Batch::new(network, ROWS.min(count), false, false)?;
        let schedule = BatchSchedule::in_order(count, batch.workspace.samples);
        let (controls, stride) = controls(gpu, &schedule)?;
        let part = |index: u64| {
            let control = wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: &controls,
                offset: index * stride,
                size: wgpu::BufferSize::new(size_of::<Control>() as u64),
            });
            let mut steps = Steps::new(network, &batch.workspace);
            batch.draw(&mut steps, schedule, control, (surroundings, extent));
            steps.steps
        };
        let parts = (0..schedule.per_epoch.into()).map(part).collect();
        let mut steps = Steps::new(network, &batch.workspace);
        encoder.forward(&mut steps, &batch, params);
        steps.forward(params);
        let rows = batch.workspace.samples;
        let shape = OutputShape {
            channels: channels as u32,
            feature_stride: 4 * quads(rows) as u32,
            size: rows as u32,
            unused: 0,
        };
        let shape = uniform(gpu, &shape);
        steps.push_kernel(
            &OUTPUTS,
            &[
                shape.as_entire_binding(),
                batch.workspace.rows.as_entire_binding(),
                batch.workspace.outputs().values.by_feature.as_entire_binding(),
                values.as_entire_binding(),
            ],
            [rows.div_ceil(256) as u32, channels as u32, 1],
        );
        let forward = steps.steps;
        Ok(Inference { values, extent: extent.into(), channels, parts, forward })
    }
}

impl Inference {
    /// f32, x running fastest and the channels of a texel side by side; STORAGE |
    /// COPY_SRC.
    pub fn buffer(&self) -> &wgpu::Buffer {
        &self.values
    }

    /// Texels along each axis.
    pub fn extent(&self) -> &[usize] {
        &self.extent
    }

    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Parts that it can be recorded in: strips of texels in order.
    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Records all parts. Never submits.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        (0..self.parts()).for_each(|part| self.record_part(pass, part));
    }

    /// Records one part, counted from 0 and starting over after the last: an image that
    /// is costly to draw is renewed over several frames. Never submits.
    pub fn record_part(&self, pass: &mut wgpu::ComputePass<'_>, part: usize) {
        let points = &self.parts[part % self.parts()];
        points.iter().chain(&self.forward).for_each(|step| step.record(pass));
    }
}
