//! Loss and accuracy over a whole data set, on the device.

use super::buffers::storage;
use super::kernels::{self, BatchSchedule, Totals};
use super::steps::Steps;
use super::workspace::Workspace;
use super::{Loss, Network};
use crate::device::vector::Vector;
use crate::device::waiting::Waiting;
use crate::device::{Gpu, GpuError};
use crate::error::Error;
use crate::kernels::control::Control;

/// The score of parameters on a data set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluated {
    /// Mean loss over the samples.
    pub loss: f64,
    /// Part of the samples whose largest output is their label's; `None`
    /// where targets are dense.
    pub accuracy: Option<f64>,
    pub samples: usize,
}

/// The targets that the rows of an evaluation are held against.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    pub count: usize,
    pub targets: &'a wgpu::Buffer,
    pub dense: bool,
}

/// A control block for each batch of a schedule, and bytes from one to the next: what
/// tells batches apart where no optimizer counts them.
pub fn controls(gpu: &Gpu, schedule: &BatchSchedule) -> Result<(wgpu::Buffer, u64), GpuError> {
    use wgpu::BufferUsages as Usage;
    let alignment = u64::from(gpu.limits().min_uniform_buffer_offset_alignment);
    let stride = (size_of::<Control>() as u64).next_multiple_of(alignment);
    let mut blocks = vec![0u8; (stride * u64::from(schedule.per_epoch)) as usize];
    for (batch, block) in (0..).zip(blocks.chunks_exact_mut(stride as usize)) {
        let control = Control { batch, ..Control::default() };
        block[..size_of::<Control>()].copy_from_slice(bytemuck::bytes_of(&control));
    }
    let usage = Usage::UNIFORM | Usage::COPY_DST;
    let buffer = gpu.buffer("control blocks of batches", blocks.len() as u64, usage)?;
    gpu.upload(&buffer, &blocks)?;
    Ok((buffer, stride))
}

impl Network {
    /// Loss and accuracy of `params` on all rows, as many at a time as the workspace
    /// holds; `gather` records the inputs of one batch.
    pub async fn evaluate(
        &self,
        params: &Vector,
        rows: Rows<'_>,
        workspace: &Workspace,
        waiting: Waiting,
        gather: impl FnMut(&mut Steps<'_>, BatchSchedule, wgpu::BindingResource<'_>),
    ) -> Result<Evaluated, Error> {
        params.check_submitted()?;
        let totals = self.submit_evaluation(params, rows, workspace, gather)?;
        let bytes = self.gpu.fetch_buffer(&totals, 0..size_of::<Totals>() as u64, waiting).await?;
        let totals: Totals = bytemuck::pod_read_unaligned(&bytes);
        let samples = f64::from(totals.samples);
        let labelled = self.loss == Loss::CrossEntropy || !rows.dense;
        Ok(Evaluated {
            loss: f64::from(totals.loss) / samples,
            accuracy: labelled.then(|| f64::from(totals.right) / samples),
            samples: totals.samples as usize,
        })
    }

    fn submit_evaluation(
        &self,
        params: &Vector,
        rows: Rows<'_>,
        workspace: &Workspace,
        mut gather: impl FnMut(&mut Steps<'_>, BatchSchedule, wgpu::BindingResource<'_>),
    ) -> Result<wgpu::Buffer, Error> {
        let gpu = &self.gpu;
        let schedule = BatchSchedule::in_order(rows.count, workspace.samples);
        let totals = storage(gpu, "totals of an evaluation", size_of::<Totals>() as u64)?;
        let (controls, stride) = controls(gpu, &schedule)?;
        let mut forward = Steps::new(self, workspace);
        forward.forward(params);
        forward.loss(self.loss, rows.targets, rows.dense);
        forward.sum_rows(&kernels::SCORE, &[&totals]);
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            for batch in 0..u64::from(schedule.per_epoch) {
                let control = wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &controls,
                    offset: batch * stride,
                    size: wgpu::BufferSize::new(size_of::<Control>() as u64),
                });
                let mut inputs = Steps::new(self, workspace);
                gather(&mut inputs, schedule, control);
                inputs.steps.iter().chain(&forward.steps).for_each(|s| s.record(&mut pass));
            }
        }
        gpu.queue().submit([encoder.finish()]);
        Ok(totals)
    }
}
