//! The points at which the rows of a batch lie.

use super::kernels::{POINTS, PointShape, point_constants};
use crate::error::Error;
use crate::models::dense::kernels::BatchSchedule;
use crate::models::dense::{Network, Steps, Workspace, fold, storage, uniform};

/// The points in \[0, 1\]ᵈ at which the rows of a batch lie, drawn on the device from the seed
/// and the batch cursor: a refused attempt draws its batch again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Points {
    /// Takes that many texels' centres, with the texels' values. An epoch visits every texel
    /// once, in an order of its own; its last batch holds what is left.
    Texels(usize),
    /// Draws that many points uniformly and independently, with what linear
    /// interpolation between the centres of texels gives there.
    Anywhere(usize),
    /// Takes all texels: one batch, and so one gradient at one θ.
    All,
}

impl Default for Points {
    fn default() -> Self {
        Self::Texels(4096)
    }
}

/// A target on the device.
#[derive(Debug)]
pub(super) struct Surroundings {
    pub extent: Vec<usize>,
    pub channels: usize,
    pub texels: wgpu::Buffer,
}

/// Everything for one batch size: points, what is wanted there, and the layers' room.
#[derive(Debug)]
pub(super) struct Batch {
    pub workspace: Workspace,
    pub points: wgpu::Buffer,
    /// The targets of points anywhere; else unused.
    pub targets: wgpu::Buffer,
    pub anywhere: bool,
}

impl Batch {
    /// Buffers beside those of the workspace, and their bytes: points, and targets.
    pub fn buffers(rows: usize, channels: usize, anywhere: bool) -> [(&'static str, u64); 2] {
        let targets = if anywhere { 4 * rows as u64 * channels as u64 } else { 0 };
        [("points of a batch", 16 * rows as u64), ("targets of a batch", targets)]
    }

    pub fn new(
        network: &Network,
        rows: usize,
        backward: bool,
        anywhere: bool,
    ) -> Result<Self, Error> {
        let gpu = &network.gpu;
        let channels = network.widths[network.widths.len() - 1];
        let [points, targets] = Self::buffers(rows, channels, anywhere);
        Ok(Self {
            workspace: network.workspace(rows, backward)?,
            points: storage(gpu, points.0, points.1)?,
            targets: storage(gpu, targets.0, targets.1)?,
            anywhere,
        })
    }

    /// Draws the points of the batch that `control` names, among texels of the target's
    /// extent or of another.
    pub fn draw(
        &self,
        steps: &mut Steps<'_>,
        schedule: BatchSchedule,
        control: wgpu::BindingResource<'_>,
        (surroundings, extent): (&Surroundings, &[usize]),
    ) {
        steps.rows(schedule, control.clone());
        let shape = PointShape {
            width: extent[0] as u32,
            height: extent[1] as u32,
            depth: extent.get(2).map_or(1, |&depth| depth as u32),
            channels: surroundings.channels as u32,
            size: self.workspace.samples as u32,
            seed_low: schedule.seed_low,
            seed_high: schedule.seed_high,
            unused: 0,
        };
        let shape = uniform(steps.gpu, &shape);
        let pipeline = steps.gpu.pipeline(&POINTS, &point_constants(extent.len(), self.anywhere));
        steps.push(
            pipeline,
            &[
                shape.as_entire_binding(),
                control,
                self.workspace.rows.as_entire_binding(),
                surroundings.texels.as_entire_binding(),
                self.points.as_entire_binding(),
                self.targets.as_entire_binding(),
            ],
            fold(self.workspace.samples.div_ceil(64)),
        );
    }
}

/// Gives the schedule of rows in batches.
pub(super) fn schedule(points: Points, texels: usize, rows: usize, seed: u64) -> BatchSchedule {
    let count = if matches!(points, Points::Anywhere(_)) { rows } else { texels };
    BatchSchedule {
        // Points anywhere are told apart by their rows, which stand in order.
        shuffled: u32::from(matches!(points, Points::Texels(_))),
        seed_low: seed as u32,
        seed_high: (seed >> 32) as u32,
        ..BatchSchedule::in_order(count, rows)
    }
}
