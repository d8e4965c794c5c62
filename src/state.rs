//! Everything an optimizer keeps on the device.

use crate::error::{Error, GpuError};
use crate::gpu::Gpu;
use crate::gpu::control::Control;
use crate::gpu::moments::Moments;
use crate::gpu::settings::Settings;
use crate::gpu::traversal::Traversal;
use crate::gpu::vector::Vector;
use crate::gpu::verdict::Record;
use crate::layout::ALIGNMENT;
use crate::plan::Plan;

/// Records the ring holds before the oldest is overwritten.
pub(crate) const RING: u32 = 1024;

/// Vectors and control block of one optimizer.
#[derive(Debug)]
pub(crate) struct State {
    /// By the plan's slot numbers; 0 is θ.
    pub(crate) vectors: Vec<Vector>,
    /// The preconditioner's vectors and their halves, interleaved by spans;
    /// a stub where there are none.
    pub(crate) second: Vector,
    /// The momentum's halves, interleaved likewise; a stub where there is none.
    pub(crate) mean: Vector,
    /// The average of θ; a stub where there is none.
    pub(crate) average: Vector,
    /// For bindings that a kernel has and this operation has no use for: three
    /// blocks to be written, as none may be bound twice, and one to be read.
    pub(crate) spare: [Vector; 2],
    pub(crate) moments: wgpu::Buffer,
    pub(crate) control: wgpu::Buffer,
    pub(crate) settings: wgpu::Buffer,
    pub(crate) partials: wgpu::Buffer,
    /// Where stage 1 leaves L(θ).
    pub(crate) loss: wgpu::Buffer,
    /// Where the last stage leaves the loss at its point, if that is the
    /// candidate.
    pub(crate) last_loss: wgpu::Buffer,
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
        multipliers: &[[f32; 2]],
    ) -> Result<Self, Error> {
        let ingredients = plan.ingredients();
        let grouped = plan.ingredients().grouped;
        let width = plan.state_width() + usize::from(grouped);
        let chunk = walk.least_chunk() * width.max(plan.mean_halves()).max(1);
        let decides = ingredients.adaptive.is_some() || ingredients.rule.is_some();
        let banks = match plan.renewing().is_empty() {
            false => 4,
            true if decides => 3,
            true => 1,
        };
        let partials = banks * walk.partials();
        let least = 4 * chunk.max(partials + 2) as u64;
        gpu.check_limits("the optimizer", least)?;
        let mut vectors = vec![Vector::from_slice(gpu, "parameters", theta)?];
        for slot in 1..plan.slots() {
            let label = format!("vector {slot} of {}", plan.slots());
            vectors.push(Vector::stored(gpu, &label, theta.len(), plan.storage(slot))?);
        }
        let stored = ingredients.second_storage();
        let second = state(walk, plan, multipliers);
        let mean = walk.padded() * plan.mean_halves();
        // A binding holds at least one vec4.
        let second = match second {
            Initial::Zeros(len) => {
                Vector::stored(gpu, "second moments", len.max(ALIGNMENT), stored)?
            }
            Initial::Values(words) => {
                let len = 4 * words.len() / stored.bytes();
                let vector = Vector::stored(gpu, "second moments", len, stored)?;
                gpu.upload(vector.buffer(), bytemuck::cast_slice(&words));
                vector
            }
        };
        let momentum = ingredients.stored.momentum;
        let mean = Vector::stored(gpu, "momentum", mean.max(ALIGNMENT), momentum)?;
        let average = match ingredients.average {
            Some(_) => Vector::from_slice(gpu, "average of the parameters", theta)?,
            None => Vector::zeros(gpu, "average of the parameters", ALIGNMENT)?,
        };
        use wgpu::BufferUsages as Usage;
        let small = |label: &str, bytes: usize, usage: Usage| -> Result<_, GpuError> {
            gpu.buffer(label, bytes as u64, usage)
        };
        let both = Usage::STORAGE | Usage::UNIFORM | Usage::COPY_SRC | Usage::COPY_DST;
        let moments = small("moments", size_of::<Moments>(), Usage::UNIFORM | Usage::COPY_DST)?;
        gpu.upload(&moments, bytemuck::bytes_of(&Moments::of(ingredients)));
        Ok(Self {
            vectors,
            second,
            mean,
            average,
            spare: [
                Vector::zeros(gpu, "spare bindings", 3 * ALIGNMENT)?,
                Vector::zeros(gpu, "spare binding", ALIGNMENT)?,
            ],
            moments,
            control: small("control", size_of::<Control>(), both)?,
            settings: small("settings", size_of::<Settings>(), Usage::UNIFORM | Usage::COPY_DST)?,
            partials: small("partial sums", 8 + 4 * partials, Usage::STORAGE)?,
            loss: small("loss", 4, Usage::STORAGE | Usage::COPY_SRC)?,
            last_loss: small("loss at the candidate", 4, Usage::STORAGE | Usage::COPY_SRC)?,
            other_loss: small("loss nobody reads", 4, Usage::STORAGE | Usage::COPY_SRC)?,
            ring: small(
                "ring of records",
                RING as usize * size_of::<Record>(),
                Usage::STORAGE | Usage::COPY_SRC,
            )?,
        })
    }
}

enum Initial {
    Zeros(usize),
    /// Words of four bytes.
    Values(Vec<f32>),
}

/// The preconditioner's state as `shaders/shared/moments.wgsl` lays it out:
/// zeros, and after those of each span the multipliers of its blocks, where two f32
/// take as much room as four halves.
fn state(walk: &Traversal, plan: &Plan, multipliers: &[[f32; 2]]) -> Initial {
    let width = plan.state_width();
    let stored = plan.ingredients().second_storage();
    if !plan.ingredients().grouped {
        return Initial::Zeros(walk.padded() * width);
    }
    let span = walk.least_chunk();
    let blocks = span / ALIGNMENT;
    let mut values = Vec::with_capacity(walk.padded() * width + walk.padded() / 16);
    for first in (0..walk.padded() / ALIGNMENT).step_by(blocks) {
        values.resize(values.len() + width * span * stored.bytes() / 4, 0.0);
        for block in first..first + blocks {
            let [rate, decay] = multipliers.get(block).copied().unwrap_or([1.0, 1.0]);
            values.extend([rate, decay]);
            values.resize(values.len() + stored.bytes() - 2, 0.0);
        }
    }
    Initial::Values(values)
}
