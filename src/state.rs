//! Everything an optimizer keeps on the device.

use crate::error::{Error, GpuError};
use crate::gpu::Gpu;
use crate::gpu::control::Control;
use crate::gpu::settings::Settings;
use crate::gpu::traversal::Traversal;
use crate::gpu::vector::Vector;
use crate::gpu::verdict::Record;
use crate::plan::Plan;

/// Records the ring holds before the oldest is overwritten.
pub(crate) const RING: u32 = 1024;

/// Vectors and control block of one optimizer.
#[derive(Debug)]
pub(crate) struct State {
    /// By the plan's slot numbers; 0 is θ.
    pub(crate) vectors: Vec<Vector>,
    pub(crate) control: wgpu::Buffer,
    pub(crate) settings: wgpu::Buffer,
    pub(crate) partials: wgpu::Buffer,
    /// Where stage 1 leaves L(θ).
    pub(crate) loss: wgpu::Buffer,
    /// Where every other evaluation leaves a loss that nobody reads.
    pub(crate) other_loss: wgpu::Buffer,
    pub(crate) ring: wgpu::Buffer,
}

impl State {
    pub(crate) fn new(
        gpu: &Gpu,
        plan: &Plan,
        walk: &Traversal,
        theta: &[f32],
    ) -> Result<Self, Error> {
        let least = 4 * walk.least_chunk().max(walk.partials() + 2) as u64;
        gpu.check_limits("the optimizer", least)?;
        let mut vectors = vec![Vector::from_slice(gpu, "parameters", theta)?];
        for slot in 1..plan.resident_vectors() {
            let label = format!("vector {slot} of {}", plan.resident_vectors());
            vectors.push(Vector::zeros(gpu, &label, theta.len())?);
        }
        use wgpu::BufferUsages as Usage;
        let small = |label: &str, bytes: usize, usage: Usage| -> Result<_, GpuError> {
            gpu.buffer(label, bytes as u64, usage)
        };
        let both = Usage::STORAGE | Usage::UNIFORM | Usage::COPY_SRC | Usage::COPY_DST;
        Ok(Self {
            vectors,
            control: small("control", size_of::<Control>(), both)?,
            settings: small("settings", size_of::<Settings>(), Usage::UNIFORM | Usage::COPY_DST)?,
            partials: small("partial sums", 8 + 4 * walk.partials(), Usage::STORAGE)?,
            loss: small("loss", 4, Usage::STORAGE | Usage::COPY_SRC)?,
            other_loss: small("loss nobody reads", 4, Usage::STORAGE | Usage::COPY_SRC)?,
            ring: small(
                "ring of records",
                RING as usize * size_of::<Record>(),
                Usage::STORAGE | Usage::COPY_SRC,
            )?,
        })
    }
}
