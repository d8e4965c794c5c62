//! Everything an optimizer keeps on the device.

use crate::device::traversal::Traversal;
use crate::device::vector::Vector;
use crate::device::{Gpu, GpuError};
use crate::error::Error;
use crate::format::Storage;
use crate::ingredients::Stored;
use crate::kernels::control::Control;
use crate::kernels::interleaved::{self, Interleaved};
use crate::kernels::moments::Moments;
use crate::kernels::padding::{Gaps, Padding};
pub(crate) use crate::kernels::settings::RING;
use crate::kernels::settings::Settings;
use crate::kernels::verdict::Record;
use crate::layout::ALIGNMENT;
use crate::plan::Plan;

pub(crate) const RING_BYTES: u64 = RING as u64 * size_of::<Record>() as u64;

pub(crate) const SECOND: &str = "second moments";
pub(crate) const MEAN: &str = "momentum";

/// Vectors and control block of one optimizer.
#[derive(Debug)]
pub(crate) struct State {
    /// Vectors by the plan's slot numbers; 0 is θ.
    pub(crate) vectors: Vec<Vector>,
    pub(crate) padding: Padding,
    /// The preconditioner's vectors and their halves, interleaved by spans;
    /// a stub where there are none.
    pub(crate) second: Vector,
    /// The momentum's halves, interleaved likewise; a stub where there is none.
    pub(crate) mean: Vector,
    /// The average of θ; a stub where there is none.
    pub(crate) average: Vector,
    /// Buffers for bindings that a kernel has and this operation has no use for: three
    /// blocks to be written, as none may be bound twice, and one to be read.
    pub(crate) spare: [Vector; 2],
    pub(crate) moments: wgpu::Buffer,
    pub(crate) control: wgpu::Buffer,
    pub(crate) settings: wgpu::Buffer,
    pub(crate) partials: wgpu::Buffer,
    /// What a source leaves that checks gradients as it writes them; a stub where none does.
    pub(crate) checks: wgpu::Buffer,
    /// The slot in which stage 1 leaves L(θ).
    pub(crate) loss: wgpu::Buffer,
    /// The slot in which the last stage leaves the loss at its point, if that is the
    /// candidate.
    pub(crate) last_loss: wgpu::Buffer,
    /// The slot in which every other evaluation leaves a loss that nobody reads.
    pub(crate) other_loss: wgpu::Buffer,
    /// The slot in which sources leave the numbers of samples, of use to wrappers alone.
    pub(crate) samples: wgpu::Buffer,
    pub(crate) ring: wgpu::Buffer,
}

/// Elements and bytes of the buffers of a [`State`], known before there are any.
pub(crate) struct Sizes {
    slots: Vec<Storage>,
    len: usize,
    /// Elements of the preconditioner's state, of the momentum and of the average.
    second: usize,
    mean: usize,
    average: usize,
    /// Roots of partial sums, of all banks.
    partials: usize,
    /// Roots that a source leaves.
    checks: usize,
    stored: Stored,
    /// Bytes of the smallest bindings that the kernels can do with.
    pub(crate) least: u64,
}

impl Sizes {
    pub(crate) fn of(plan: &Plan, walk: &Traversal, len: usize) -> Self {
        let ingredients = plan.ingredients();
        let chunk = walk.least_chunk() * interleaved::widest(plan);
        let whole = 0..walk.padded();
        let decides = ingredients.adaptive.is_some() || ingredients.rule.is_some();
        let banks = if decides || !plan.renewing().is_empty() { 3 } else { 1 };
        let partials = banks * walk.partials();
        let checks = plan.options().checks.max(1) as usize;
        // A binding holds at least one vec4.
        let kept = |elements: usize| elements.max(ALIGNMENT);
        Self {
            slots: (0..plan.slots()).map(|slot| plan.storage(slot)).collect(),
            len,
            second: kept(Interleaved::second(plan, walk).part(&whole).len()),
            mean: kept(Interleaved::mean(plan, walk).part(&whole).len()),
            average: if ingredients.average.is_some() { len } else { ALIGNMENT },
            partials,
            checks,
            stored: Stored { second: ingredients.second_storage(), ..ingredients.stored },
            least: RING_BYTES.max(4 * chunk.max(partials + 2).max(checks + 1) as u64),
        }
    }

    fn partials_bytes(&self) -> u64 {
        8 + 4 * self.partials as u64
    }

    fn checks_bytes(&self) -> u64 {
        4 + 4 * self.checks as u64
    }

    /// Every buffer with its bytes.
    pub(crate) fn buffers(&self) -> Vec<(&'static str, u64)> {
        let names = std::iter::once("the parameters").chain(std::iter::repeat("a vector"));
        let slots = names.zip(&self.slots).map(|(name, &s)| (name, Vector::size(self.len, s)));
        let f32s = |elements| Vector::size(elements, Storage::F32);
        let of = |bytes: usize| bytes as u64;
        slots
            .chain([
                (SECOND, Vector::size(self.second, self.stored.second)),
                (MEAN, Vector::size(self.mean, self.stored.momentum)),
                ("the average of the parameters", f32s(self.average)),
                ("spare bindings", f32s(3 * ALIGNMENT)),
                ("spare bindings", f32s(ALIGNMENT)),
                ("moments", of(size_of::<Moments>())),
                ("control", of(size_of::<Control>())),
                ("settings", of(size_of::<Settings>())),
                ("partial sums", self.partials_bytes()),
                ("checks of a source", self.checks_bytes()),
                ("losses", 4),
                ("losses", 4),
                ("losses", 4),
                ("samples of a batch", 4),
                ("ring of records", RING_BYTES),
            ])
            .collect()
    }

    /// Bytes of the largest binding, where kernels bind `most` elements of a vector.
    pub(crate) fn largest_binding(&self, plan: &Plan, walk: &Traversal, most: usize) -> u64 {
        let longest = walk.chunks(most).map(|(range, ..)| range.len()).max().unwrap_or(0);
        let part = |layout: Interleaved| layout.part(&(0..longest)).len();
        [
            Vector::size(longest, Storage::F32),
            Vector::size(part(Interleaved::second(plan, walk)), self.stored.second),
            Vector::size(part(Interleaved::mean(plan, walk)), self.stored.momentum),
            self.partials_bytes(),
            self.checks_bytes(),
            RING_BYTES,
        ]
        .into_iter()
        .fold(0, u64::max)
    }
}

impl State {
    /// Gives the storage of each vector.
    pub(crate) fn storages(&self) -> Vec<Storage> {
        self.vectors.iter().map(Vector::storage).collect()
    }

    /// Vectors for the slots of a plan that has more than there are.
    ///
    /// # Errors
    /// No memory; nothing has changed then.
    pub(crate) fn make_room(&mut self, gpu: &Gpu, plan: &Plan) -> Result<(), GpuError> {
        let vectors = vectors(gpu, plan, self.vectors.len(), self.vectors[0].len())?;
        self.vectors.extend(vectors);
        Ok(())
    }

    pub(crate) fn new(
        gpu: &Gpu,
        plan: &Plan,
        walk: &Traversal,
        theta: &[f32],
        gaps: Gaps,
        multipliers: &[[f32; 2]],
    ) -> Result<Self, Error> {
        let ingredients = plan.ingredients();
        let sizes = Sizes::of(plan, walk, theta.len());
        gpu.check_limits("the optimizer", sizes.least)?;
        let mut vectors = vec![Vector::from_slice(gpu, "parameters", theta)?];
        vectors.extend(self::vectors(gpu, plan, 1, theta.len())?);
        let second = Vector::stored(gpu, SECOND, sizes.second, sizes.stored.second)?;
        if ingredients.grouped {
            let words = with_multipliers(walk, plan, multipliers);
            gpu.upload(second.buffer(), bytemuck::cast_slice(&words))?;
        }
        let mean = Vector::stored(gpu, MEAN, sizes.mean, sizes.stored.momentum)?;
        let average = match ingredients.average {
            Some(_) => Vector::from_slice(gpu, "average of the parameters", theta)?,
            None => Vector::zeros(gpu, "average of the parameters", ALIGNMENT)?,
        };
        use wgpu::BufferUsages as Usage;
        let small = |label: &str, bytes: usize, usage: Usage| -> Result<_, GpuError> {
            gpu.buffer(label, bytes as u64, usage)
        };
        let kept = Usage::STORAGE | Usage::COPY_SRC;
        // A source may know its loss on the host.
        let loss = kept | Usage::COPY_DST;
        let both = Usage::STORAGE | Usage::UNIFORM | Usage::COPY_SRC | Usage::COPY_DST;
        let moments = small("moments", size_of::<Moments>(), Usage::UNIFORM | Usage::COPY_DST)?;
        gpu.upload(&moments, bytemuck::bytes_of(&Moments::of(ingredients)))?;
        Ok(Self {
            vectors,
            padding: Padding::new(gpu, gaps)?,
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
            partials: gpu.buffer("partial sums", sizes.partials_bytes(), Usage::STORAGE)?,
            checks: gpu.buffer(
                "checks of a source",
                sizes.checks_bytes(),
                Usage::STORAGE | Usage::COPY_DST,
            )?,
            loss: small("loss", 4, loss)?,
            last_loss: small("loss at the candidate", 4, loss)?,
            other_loss: small("loss nobody reads", 4, loss)?,
            samples: small("samples of a batch", 4, loss)?,
            ring: gpu.buffer("ring of records", RING_BYTES, kept)?,
        })
    }
}

/// The vectors of a plan from a slot on.
fn vectors(gpu: &Gpu, plan: &Plan, from: usize, len: usize) -> Result<Vec<Vector>, GpuError> {
    let vector = |slot| {
        let label = format!("vector {slot} of {}", plan.slots());
        Vector::stored(gpu, &label, len, plan.storage(slot))
    };
    (from..plan.slots()).map(vector).collect()
}

/// The preconditioner's state, in words of four bytes, as `shaders/shared/moments.wgsl`
/// lays it out where there are parameter groups: zeros, and after those of each span the multipliers of its blocks, where two f32
/// take as much room as four halves.
fn with_multipliers(walk: &Traversal, plan: &Plan, multipliers: &[[f32; 2]]) -> Vec<f32> {
    let layout = Interleaved::second(plan, walk);
    let stored = plan.ingredients().second_storage();
    let blocks = layout.span / ALIGNMENT;
    let mut values = Vec::with_capacity(layout.part(&(0..walk.padded())).len());
    for first in (0..walk.padded() / ALIGNMENT).step_by(blocks) {
        values.resize(values.len() + layout.width() * layout.span * stored.bytes() / 4, 0.0);
        for block in first..first + blocks {
            let [rate, decay] = multipliers.get(block).copied().unwrap_or([1.0, 1.0]);
            values.extend([rate, decay]);
            values.resize(values.len() + stored.bytes() - 2, 0.0);
        }
    }
    values
}
