//! Sources that give a step more than one batch of another source.

use std::ops::Range;
use std::sync::Arc;

use crate::device::kernel::{Access, Constants, Kernel, flag, wgsl_struct};
use crate::device::library::shader;
use crate::device::traversal::{Chunk, Traversal};
use crate::device::vector::Vector;
use crate::device::{Gpu, GpuError};
use crate::error::Error;
use crate::format::Storage;
use crate::kernels::control::Control;
use crate::layout::ParamLayout;
use crate::models::{BindCache, MOST_CONTROLS, Recent};
use crate::optimizer::OptimizerError;
use crate::source::{
    self, BatchesFrom, Check, Draws, Evaluation, GradientSource, SourceError, Tickets,
};

wgsl_struct! {
    /// The micro-batch, of `count`, that an evaluation sees.
    pub(crate) struct Share {
        pub(crate) count: u32,
        pub(crate) index: u32,
        pub(crate) unused_0: u32,
        pub(crate) unused_1: u32,
    }
}

wgsl_struct! {
    /// The stage of an attempt that an evaluation is for.
    pub(crate) struct Stage {
        pub(crate) draw: u32,
        pub(crate) unused_0: u32,
        pub(crate) unused_1: u32,
        pub(crate) unused_2: u32,
    }
}

wgsl_struct! {
    /// The sums over the micro-batches of a gradient: `shaders/shared/account.wgsl`.
    pub(crate) struct Account {
        pub(crate) unit: f32,
        pub(crate) weight: f32,
        pub(crate) samples: f32,
        pub(crate) loss: f32,
        pub(crate) loss_weight: f32,
    }
}

pub(crate) const SHARE: Kernel = Kernel {
    name: "share_batch",
    text: shader!("share_batch"),
    bindings: &[
        ("control", Access::Uniform),
        ("share", Access::Uniform),
        ("into", Access::Write),
        ("account", Access::Write),
        ("part_loss", Access::Write),
        ("part_samples", Access::Write),
    ],
    vectors: &[],
    structs: &[Control::LAYOUT, Share::LAYOUT, Account::LAYOUT],
};

pub(crate) const STAGE: Kernel = Kernel {
    name: "stage_batch",
    text: shader!("stage_batch"),
    bindings: &[("control", Access::Uniform), ("stage", Access::Uniform), ("into", Access::Write)],
    vectors: &[],
    structs: &[Control::LAYOUT, Stage::LAYOUT],
};

pub(crate) const ACCUMULATE: Kernel = Kernel {
    name: "accumulate",
    text: shader!("accumulate"),
    bindings: &[
        ("chunk", Access::Uniform),
        ("sum", Access::Write),
        ("part", Access::Read),
        ("account", Access::Read),
        ("part_loss", Access::Read),
        ("part_samples", Access::Read),
        ("loss", Access::Write),
        ("samples", Access::Write),
        ("checks", Access::Write),
    ],
    vectors: &[],
    structs: &[Account::LAYOUT, Chunk::LAYOUT],
};

/// The constants of the kernel that adds a part up; the last one is asked to check the sum.
pub(crate) fn accumulating(walk: &Traversal, last: bool, check: Option<Check>) -> Constants {
    let mut constants = walk.sum_constants();
    constants.push(("LAST", flag(last)));
    constants.extend(source::check_constants(check.filter(|_| last)));
    constants
}

/// A control block of a wrapper's own, written from the one it is given.
fn own_control(gpu: &Gpu) -> Result<wgpu::Buffer, GpuError> {
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::UNIFORM;
    gpu.buffer("control block of a wrapper", size_of::<Control>() as u64, usage)
}

/// Uniforms of one size, one after the other.
#[derive(Debug)]
struct Table {
    buffer: wgpu::Buffer,
    stride: u64,
    size: u64,
}

impl Table {
    fn new<T: bytemuck::NoUninit>(gpu: &Gpu, label: &str, values: &[T]) -> Result<Self, GpuError> {
        let size = size_of::<T>() as u64;
        let align = u64::from(gpu.limits().min_uniform_buffer_offset_alignment);
        let stride = size.next_multiple_of(align);
        let mut bytes = vec![0; values.len() * stride as usize];
        for (value, at) in values.iter().zip(bytes.chunks_exact_mut(stride as usize)) {
            at[..size as usize].copy_from_slice(bytemuck::bytes_of(value));
        }
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let buffer = gpu.buffer(label, bytes.len() as u64, usage)?;
        gpu.upload(&buffer, &bytes)?;
        Ok(Self { buffer, stride, size })
    }

    fn get(&self, index: usize) -> wgpu::BindingResource<'_> {
        wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: &self.buffer,
            offset: index as u64 * self.stride,
            size: wgpu::BufferSize::new(self.size),
        })
    }
}

/// Sources record; they must not submit between what is recorded here. And what a wrapper
/// keeps is on the device that it was made for, whatever its source says.
fn check_source(
    inner: &impl GradientSource,
    gpu: &Gpu,
    at: &Evaluation<'_>,
) -> Result<(), SourceError> {
    if !at.gpu.is(gpu) {
        return Err(SourceError::new(
            "its wrapper was made for another device than the optimizer's; give both one `Gpu`",
        ));
    }
    if inner.submits() {
        return Err(SourceError::new(
            "a source that submits by itself cannot be given parts of an attempt; let it draw \
             its own batches",
        ));
    }
    Ok(())
}

/// A batch of its own for every stage of a step, where a source without this
/// shows all stages the same. The error estimate of a pair then measures the
/// difference of batches too.
///
/// The plan tells how many stages an attempt has: whatever the method, consecutive batches
/// are seen, none twice and none left out, and a refused attempt sees its own again. What
/// is compared with the first gradient (probes, products, the iteration for ρ) sees that
/// one's batch, as does [`Optimizer::measure`](crate::Optimizer::measure). A rule that takes
/// its curvature from the stages ([`Curvature::Stages`](crate::ingredients::Curvature)) would
/// take the difference of two batches for one: give it a probe instead. Under
/// [`Accumulated`] or over it, each stage has micro-batches of its own.
///
/// ```no_run
/// use kutta::batching::PerStage;
/// # fn f(gpu: kutta::Gpu, mlp: kutta::models::Mlp) -> Result<(), kutta::Error> {
/// let mut fresh = PerStage::new(&gpu, mlp)?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct PerStage<S> {
    gpu: Gpu,
    inner: S,
    control: wgpu::Buffer,
    /// The stages wanted so far, by pieces.
    stages: Vec<Table>,
    /// Bind groups by the control block that they read: one for each stage.
    groups: Recent<wgpu::Buffer, Vec<wgpu::BindGroup>>,
    tickets: Tickets,
}

/// Stages that bind groups are made for at a time.
const STAGES: usize = 16;

impl<S: GradientSource> PerStage<S> {
    /// # Errors
    /// A device without memory.
    pub fn new(gpu: &Gpu, inner: S) -> Result<Self, Error> {
        gpu.check_limits("batches of stages", 0)?;
        Ok(Self {
            gpu: gpu.clone(),
            inner,
            control: own_control(gpu)?,
            stages: Vec::new(),
            groups: Recent::new(MOST_CONTROLS),
            tickets: Tickets::default(),
        })
    }

    /// The source whose batches these are.
    pub fn inner_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    pub fn into_inner(self) -> S {
        self.inner
    }

    /// Readies `self.control` for a stage.
    fn ready(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        let Self { control, stages, groups, .. } = self;
        let draw = at.draw as usize;
        while stages.len() * STAGES <= draw {
            let first = (stages.len() * STAGES) as u32;
            let piece: Vec<Stage> = (first..first + STAGES as u32)
                .map(|draw| Stage { draw, ..Stage::default() })
                .collect();
            stages.push(Table::new(at.gpu, "stages", &piece).map_err(SourceError::new)?);
        }
        let pipeline = at.gpu.pipeline(&STAGE, &vec![]);
        let groups = groups.get(at.control.clone(), Vec::new);
        for index in groups.len()..=draw {
            let stage = stages[index / STAGES].get(index % STAGES);
            let resources = [at.control.as_entire_binding(), stage, control.as_entire_binding()];
            groups.push(pipeline.bind(at.gpu, &resources));
        }
        at.commands.dispatch(&pipeline, &groups[draw], [1, 1, 1]);
        Ok(())
    }
}

impl<S: GradientSource> GradientSource for PerStage<S> {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        check_source(&self.inner, &self.gpu, at)?;
        self.ready(at)?;
        let draw = at.draw;
        let mut stage = at.reborrow();
        stage.ticket = self.tickets.of(stage.ticket, draw);
        stage.cursor = stage.cursor.map(|cursor| cursor.stage(draw));
        stage.control = &self.control;
        source::recorded(&mut self.inner, &mut stage)
    }

    fn batches(&self) -> BatchesFrom {
        self.inner.batches()
    }

    fn drawn(&self, attempt: Draws) -> Range<u64> {
        self.inner.drawn(Draws { batches: attempt.stages.clone(), ..attempt })
    }

    fn gradients(&self, evaluations: u64) -> u64 {
        self.inner.gradients(evaluations)
    }

    fn gpu(&self) -> Option<&Gpu> {
        self.inner.gpu().or(Some(&self.gpu))
    }

    fn layout(&self) -> Option<&ParamLayout> {
        self.inner.layout()
    }

    fn keeps_padding(&self) -> bool {
        self.inner.keeps_padding()
    }

    fn products(&self) -> bool {
        self.inner.products()
    }

    fn adds(&self) -> bool {
        self.inner.adds()
    }

    fn checks(&self) -> u32 {
        self.inner.checks()
    }

    fn writes(&self, storage: Storage) -> bool {
        self.inner.writes(storage)
    }
}

/// The gradient over several micro-batches, as of one batch of their sum:
/// for batches whose activations would not fit.
///
/// Gradient and loss are means over all samples, where the source counts them
/// ([`Evaluation::samples`]): a short last micro-batch weighs less, and one without samples
/// nothing. Else every micro-batch weighs the same. An epoch that does not end with a whole
/// gradient goes on in the next one's.
///
/// ```no_run
/// use kutta::batching::Accumulated;
/// # fn f(gpu: kutta::Gpu, mlp: kutta::models::Mlp) -> Result<(), kutta::Error> {
/// let layout = mlp.layout().clone();
/// let mut four = Accumulated::new(&gpu, mlp, &layout, 4)?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Accumulated<S> {
    gpu: Gpu,
    inner: S,
    parts: u32,
    control: wgpu::Buffer,
    account: wgpu::Buffer,
    part: Vector,
    part_loss: wgpu::Buffer,
    part_samples: wgpu::Buffer,
    walk: Traversal,
    /// There is padding between tensors.
    padded: bool,
    most: usize,
    shares: Table,
    chunks: Table,
    /// Bind groups by the control block that they read: one for each part.
    groups: Recent<wgpu::Buffer, Vec<wgpu::BindGroup>>,
    cache: BindCache<Arc<Vec<(wgpu::BindGroup, u32)>>>,
    tickets: Tickets,
}

impl<S: GradientSource> Accumulated<S> {
    /// `parts` micro-batches for each gradient of the parameters in `layout`; none are taken
    /// for one.
    ///
    /// # Errors
    /// A device too small for one more vector.
    pub fn new(gpu: &Gpu, inner: S, layout: &ParamLayout, parts: u32) -> Result<Self, Error> {
        use wgpu::BufferUsages as Usage;
        let parts = parts.max(1);
        let walk = Traversal::new(layout.len(), gpu.is_software());
        let most = gpu.binding_elements();
        gpu.check_limits("gradient accumulation", 4 * walk.least_chunk() as u64)?;
        gpu.check_buffer("a gradient of micro-batches", Vector::bytes(layout.len()))?;
        let names = ["in the source", "in the layout to accumulate for"];
        let other = inner.layout().and_then(|own| own.difference(layout, names));
        if let Some(difference) = other {
            return Err(OptimizerError::OtherLayout { difference }.into());
        }
        let share = |index| Share { count: parts, index, ..Share::default() };
        let shares: Vec<Share> = (0..parts).map(share).collect();
        let chunks: Vec<Chunk> = walk.chunks(most).map(|(_, chunk, _)| chunk).collect();
        let usage = Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST;
        let slot = |label: &str| gpu.buffer(label, 4, usage);
        Ok(Self {
            gpu: gpu.clone(),
            inner,
            parts,
            control: own_control(gpu)?,
            account: gpu.buffer("account", size_of::<Account>() as u64, Usage::STORAGE)?,
            part: Vector::zeros(gpu, "gradient of a micro-batch", layout.len())?,
            part_loss: slot("loss of a micro-batch")?,
            part_samples: slot("samples of a micro-batch")?,
            walk,
            padded: !layout.gaps().is_empty(),
            most,
            shares: Table::new(gpu, "shares", &shares)?,
            chunks: Table::new(gpu, "chunks", &chunks)?,
            groups: Recent::new(MOST_CONTROLS),
            cache: BindCache::default(),
            tickets: Tickets::default(),
        })
    }

    /// The source whose batches these are.
    pub fn inner_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    pub fn into_inner(self) -> S {
        self.inner
    }

    /// Readies `self.control` and the slots for a part.
    fn ready(&mut self, index: u32, at: &mut Evaluation<'_>) {
        let Self { parts, control, account, part_loss, part_samples, shares, groups, .. } = self;
        let pipeline = at.gpu.pipeline(&SHARE, &vec![]);
        let groups = groups.get(at.control.clone(), || {
            let group = |index: u32| {
                let resources = [
                    at.control.as_entire_binding(),
                    shares.get(index as usize),
                    control.as_entire_binding(),
                    account.as_entire_binding(),
                    part_loss.as_entire_binding(),
                    part_samples.as_entire_binding(),
                ];
                pipeline.bind(at.gpu, &resources)
            };
            (0..*parts).map(group).collect()
        });
        at.commands.dispatch(&pipeline, &groups[index as usize], [1, 1, 1]);
    }

    fn add(&mut self, last: bool, at: &mut Evaluation<'_>) {
        let constants = accumulating(&self.walk, last, at.check);
        let pipeline = at.gpu.pipeline(&ACCUMULATE, &constants);
        let Self { account, part, part_loss, part_samples, walk, most, chunks, cache, .. } = self;
        let groups = cache.get(at.key(), || {
            let bind = |(i, (range, _, groups)): (usize, (Range<usize>, Chunk, u32))| {
                let resources = [
                    chunks.get(i),
                    at.gradient.binding(range.clone()),
                    part.binding(range),
                    account.as_entire_binding(),
                    part_loss.as_entire_binding(),
                    part_samples.as_entire_binding(),
                    at.loss.as_entire_binding(),
                    at.samples.as_entire_binding(),
                    at.checks.as_entire_binding(),
                ];
                (pipeline.bind(at.gpu, &resources), groups)
            };
            Arc::new(walk.chunks(*most).enumerate().map(bind).collect())
        });
        for (bind_group, count) in groups.clone().iter() {
            at.commands.dispatch(&pipeline, bind_group, [*count, 1, 1]);
        }
    }
}

impl<S: GradientSource> GradientSource for Accumulated<S> {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        check_source(&self.inner, &self.gpu, at)?;
        if at.gradient().len() != self.part.len() {
            let (found, expected) = (at.gradient().len(), self.part.len());
            return Err(format!("{found} parameters for micro-batches of {expected}").into());
        }
        for index in 0..self.parts {
            self.ready(index, at);
            let mut part = at.reborrow();
            part.ticket = self.tickets.of(part.ticket, index);
            part.cursor = part.cursor.map(|cursor| cursor.part(self.parts, index));
            part.gradient = &self.part;
            part.control = &self.control;
            part.loss = &self.part_loss;
            part.samples = &self.part_samples;
            // The mean of all is what counts.
            part.check = None;
            source::recorded(&mut self.inner, &mut part)?;
            self.add(index + 1 == self.parts, at);
        }
        Ok(())
    }

    fn batches(&self) -> BatchesFrom {
        self.inner.batches()
    }

    fn drawn(&self, attempt: Draws) -> Range<u64> {
        let parts = u64::from(self.parts);
        let all = |batches: Range<u64>| {
            batches.start.wrapping_mul(parts)..batches.end.wrapping_mul(parts)
        };
        self.inner.drawn(Draws { batches: all(attempt.batches), stages: all(attempt.stages) })
    }

    fn gradients(&self, evaluations: u64) -> u64 {
        self.inner.gradients(evaluations.saturating_mul(u64::from(self.parts)))
    }

    // It neither adds nor writes narrow, whatever its source does: parts are added up in f32.

    // What comes after the last part is looked at here, whatever the source does; but not
    // where it may leave something in padding, which would count as parameters.
    fn checks(&self) -> u32 {
        let clean = !self.padded || self.inner.keeps_padding();
        if clean { self.walk.partials() as u32 } else { 0 }
    }

    fn gpu(&self) -> Option<&Gpu> {
        self.inner.gpu().or(Some(&self.gpu))
    }

    fn layout(&self) -> Option<&ParamLayout> {
        self.inner.layout()
    }

    fn keeps_padding(&self) -> bool {
        self.inner.keeps_padding()
    }

    fn products(&self) -> bool {
        self.inner.products()
    }
}
