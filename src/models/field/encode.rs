//! Encodes points as inputs of the layers, and brings gradients back to a hash grid's entries.

use super::encoding::Encoding;
use super::kernels::{self, GridLevel, GridShape, MOST_LEVELS, WaveShape};
use super::points::Batch;
use crate::device::Gpu;
use crate::device::vector::Vector;
use crate::error::Error;
use crate::layout::ParamLayout;
use crate::models::dense::{Slots, Steps, quads, storage, uniform};
use crate::models::written;

/// Invocations of a workgroup of these kernels.
const LANES: usize = 256;

/// An encoding on the device.
#[derive(Debug)]
pub(super) enum Encoder {
    Waves { dimensions: usize, coordinates: bool, frequencies: Vec<[f32; 4]>, buffer: wgpu::Buffer },
    Grid(Grid),
}

/// A hash grid, and what its gradient is summed up in.
#[derive(Debug)]
pub(super) struct Grid {
    dimensions: usize,
    pub features: u32,
    pub levels: Vec<GridLevel>,
    /// Elements of θ up to the end of the last table.
    len: usize,
    sums: wgpu::Buffer,
    scales: wgpu::Buffer,
}

impl Encoder {
    pub fn new(
        gpu: &Gpu,
        encoding: Encoding,
        dimensions: usize,
        layout: &ParamLayout,
    ) -> Result<Self, Error> {
        if let Encoding::HashGrid(grid) = encoding {
            let mut levels = grid.levels(dimensions)?;
            let mut len = 0;
            for (level, tensor) in levels.iter_mut().zip(layout.tensors()) {
                level.first = tensor.range().start as u32;
                len = tensor.range().end;
            }
            let sums = storage(gpu, "sums of a hash grid", Vector::bytes(len))?;
            let scales = storage(gpu, "scales of a hash grid", 8 * levels.len() as u64)?;
            let features = grid.features;
            return Ok(Self::Grid(Grid { dimensions, features, levels, len, sums, scales }));
        }
        let frequencies = encoding.frequencies(dimensions);
        let buffer = storage(gpu, "frequencies", 16 * frequencies.len() as u64)?;
        gpu.upload(&buffer, bytemuck::cast_slice(&frequencies))?;
        let coordinates = encoding == Encoding::Coordinates;
        Ok(Self::Waves { dimensions, coordinates, frequencies, buffer })
    }

    /// Tells whether the features depend on θ, and so must be made anew at every stage.
    pub fn is_trained(&self) -> bool {
        matches!(self, Self::Grid(_))
    }

    /// The features of the batch's points.
    pub fn forward(&self, steps: &mut Steps<'_>, batch: &Batch, params: &Vector) {
        let inputs = &batch.workspace.inputs;
        let rows = batch.workspace.samples;
        match self {
            Self::Waves { dimensions, coordinates, frequencies, buffer } => {
                let waves = if *coordinates { *dimensions } else { frequencies.len() };
                let features = if *coordinates { waves } else { 2 * waves };
                let shape = WaveShape {
                    size: rows as u32,
                    waves: waves as u32,
                    feature_stride: 4 * quads(rows) as u32,
                    sample_stride: 4 * quads(features) as u32,
                };
                let shape = uniform(steps.gpu, &shape);
                let constants = kernels::wave_constants(*coordinates);
                steps.push(
                    steps.gpu.pipeline(&kernels::WAVES, &constants),
                    &[
                        shape.as_entire_binding(),
                        batch.points.as_entire_binding(),
                        buffer.as_entire_binding(),
                        inputs.by_feature.as_entire_binding(),
                        inputs.by_sample.as_entire_binding(),
                    ],
                    [rows.div_ceil(LANES) as u32, waves as u32, 1],
                );
            }
            Self::Grid(grid) => {
                let shape = uniform(steps.gpu, &grid.shape(rows));
                steps.push(
                    steps.gpu.pipeline(&kernels::GRID, &grid.constants()),
                    &[
                        shape.as_entire_binding(),
                        params.binding(0..grid.len),
                        batch.points.as_entire_binding(),
                        inputs.by_feature.as_entire_binding(),
                        inputs.by_sample.as_entire_binding(),
                    ],
                    grid.rows_by_levels(rows),
                );
            }
        }
    }

    /// Partial sums that a check of the entries' gradient leaves.
    pub fn checks(&self) -> u32 {
        match self {
            Self::Waves { .. } => 0,
            Self::Grid(grid) => grid.entries_by_levels().iter().product(),
        }
    }

    /// The gradient of a grid's entries, from that of the layers' inputs.
    pub fn backward(
        &self,
        steps: &mut Steps<'_>,
        batch: &Batch,
        gradient: &Vector,
        slots: Slots<'_>,
    ) {
        let (Self::Grid(grid), Some(dx)) = (self, &batch.workspace.inputs_gradient) else {
            return;
        };
        let rows = batch.workspace.samples;
        let shape = uniform(steps.gpu, &grid.shape(rows));
        let levels = grid.levels.len() as u32;
        let constants = grid.constants();
        steps.push(
            steps.gpu.pipeline(&kernels::MAXIMUM, &constants),
            &[
                shape.as_entire_binding(),
                dx.by_feature.as_entire_binding(),
                grid.scales.as_entire_binding(),
            ],
            [levels, 1, 1],
        );
        steps.push(
            steps.gpu.pipeline(&kernels::SCATTER, &constants),
            &[
                shape.as_entire_binding(),
                batch.points.as_entire_binding(),
                dx.by_feature.as_entire_binding(),
                grid.scales.as_entire_binding(),
                grid.sums.as_entire_binding(),
            ],
            grid.rows_by_levels(rows),
        );
        let constants = kernels::gradient_constants(grid.dimensions, grid.features, slots.check);
        steps.push(
            steps.gpu.variant(&kernels::GRADIENT, &written(gradient), &constants),
            &[
                shape.as_entire_binding(),
                grid.scales.as_entire_binding(),
                grid.sums.as_entire_binding(),
                gradient.binding(0..grid.len),
                slots.checks.as_entire_binding(),
            ],
            grid.entries_by_levels(),
        );
    }
}

impl Grid {
    fn shape(&self, rows: usize) -> GridShape {
        let mut levels = [GridLevel::default(); MOST_LEVELS];
        levels[..self.levels.len()].copy_from_slice(&self.levels);
        GridShape {
            size: rows as u32,
            count: self.levels.len() as u32,
            feature_stride: 4 * quads(rows) as u32,
            sample_stride: 4 * quads(self.levels.len() * self.features as usize) as u32,
            levels,
        }
    }

    fn constants(&self) -> crate::device::kernel::Constants {
        kernels::grid_constants(self.dimensions, self.features)
    }

    /// Workgroups that write the gradient.
    fn entries_by_levels(&self) -> [u32; 3] {
        let elements = self.levels.iter().map(|l| (l.entries * self.features) as usize);
        let groups = quads(elements.max().unwrap_or(0)).div_ceil(LANES);
        let folds = groups.div_ceil(65_535).max(1);
        [groups.div_ceil(folds) as u32, self.levels.len() as u32, folds as u32]
    }

    fn rows_by_levels(&self, rows: usize) -> [u32; 3] {
        [rows.div_ceil(LANES) as u32, self.levels.len() as u32, 1]
    }
}
