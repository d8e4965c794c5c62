//! Loss and accuracy over a whole data set, on the device.

use super::kernels::{self, BatchSchedule, Totals};
use super::resident::{Resident, storage};
use super::steps::Steps;
use super::workspace::{Need, Workspace};
use super::{Mlp, check_widths};
use crate::error::{Error, LayoutError};
use crate::gpu::control::Control;
use crate::gpu::vector::Vector;
use crate::gpu::waiting::Waiting;

/// Samples that an evaluation puts through the network at a time.
const SAMPLES: usize = 1024;

/// How well parameters do on a data set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluated {
    /// Mean loss over the samples.
    pub loss: f64,
    /// Part of the samples whose largest output is their label's; `None`
    /// where targets are dense.
    pub accuracy: Option<f64>,
    pub samples: usize,
}

impl Mlp {
    /// Loss and accuracy of `params` (for instance
    /// [`optimizer.params()`](crate::Optimizer::params)) on a data set. Waits
    /// for everything submitted before.
    ///
    /// # Errors
    /// Parameters of another length, data of other widths, a device that is
    /// lost or too small.
    pub fn evaluate<'a>(
        &mut self,
        params: impl Into<&'a Vector>,
        data: &Resident,
    ) -> Result<Evaluated, Error> {
        pollster::block_on(self.evaluate_with(params.into(), data, Waiting::Blocks))
    }

    /// As [`Mlp::evaluate`] without blocking.
    ///
    /// # Errors
    /// As [`Mlp::evaluate`].
    pub async fn evaluate_async<'a>(
        &mut self,
        params: impl Into<&'a Vector>,
        data: &Resident,
    ) -> Result<Evaluated, Error> {
        self.evaluate_with(params.into(), data, Waiting::Yields).await
    }

    async fn evaluate_with(
        &mut self,
        params: &Vector,
        data: &Resident,
        waiting: Waiting,
    ) -> Result<Evaluated, Error> {
        if params.len() != self.layout.len() {
            let (expected, found) = (self.layout.len(), params.len());
            return Err(LayoutError::Length { expected, found }.into());
        }
        check_widths(&self.widths, self.loss, data.width(), data.outputs(), data.dense)?;
        let samples = SAMPLES.min(data.len());
        let workspace = match self.evaluation.take() {
            Some(workspace) if workspace.samples == samples => workspace,
            _ => self.evaluation_workspace(samples)?,
        };
        let totals = self.submit_evaluation(params, data, &workspace);
        self.evaluation = Some(workspace);
        let totals = totals?;
        let range = 0..size_of::<Totals>() as u64;
        let bytes = self.gpu.fetch_buffer(&totals, range, waiting).await?;
        let totals: Totals = bytemuck::pod_read_unaligned(&bytes);
        let samples = f64::from(totals.samples);
        Ok(Evaluated {
            loss: f64::from(totals.loss) / samples,
            accuracy: (!data.dense).then(|| f64::from(totals.right) / samples),
            samples: totals.samples as usize,
        })
    }

    fn evaluation_workspace(&self, samples: usize) -> Result<Workspace, Error> {
        let Mlp { widths, activation, method, .. } = self;
        let need = Need { widths, activation: *activation, method: *method, backward: false };
        Workspace::new(&self.gpu, need, samples)
    }

    fn submit_evaluation(
        &self,
        params: &Vector,
        data: &Resident,
        workspace: &Workspace,
    ) -> Result<wgpu::Buffer, Error> {
        use wgpu::BufferUsages as Usage;
        let gpu = &self.gpu;
        let schedule = BatchSchedule::in_order(data.len(), workspace.samples);
        let totals = storage(gpu, "totals of an evaluation", size_of::<Totals>() as u64)?;
        // Batches are told apart by the control block; here each has its own.
        let alignment = u64::from(gpu.limits().min_uniform_buffer_offset_alignment);
        let stride = (size_of::<Control>() as u64).next_multiple_of(alignment);
        let mut blocks = vec![0u8; (stride * u64::from(schedule.per_epoch)) as usize];
        for (batch, block) in (0..).zip(blocks.chunks_exact_mut(stride as usize)) {
            let control = Control { batch, ..Control::default() };
            block[..size_of::<Control>()].copy_from_slice(bytemuck::bytes_of(&control));
        }
        let usage = Usage::UNIFORM | Usage::COPY_DST;
        let controls = gpu.buffer("batches of an evaluation", blocks.len() as u64, usage)?;
        gpu.upload(&controls, &blocks)?;

        let mut forward = Steps::new(self, workspace);
        forward.forward(params);
        forward.loss(self.loss, data);
        forward.sum_rows(&kernels::SCORE, &totals);
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            for batch in 0..u64::from(schedule.per_epoch) {
                let control = wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &controls,
                    offset: batch * stride,
                    size: wgpu::BufferSize::new(size_of::<Control>() as u64),
                });
                let mut gather = Steps::new(self, workspace);
                gather.gather(schedule, control, data);
                gather.steps.iter().chain(&forward.steps).for_each(|s| s.record(&mut pass));
            }
        }
        gpu.queue().submit([encoder.finish()]);
        Ok(totals)
    }
}
