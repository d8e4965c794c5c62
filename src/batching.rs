//! Sources that give a step more than one batch of another source.

use std::sync::Arc;

use crate::error::{Error, GpuError};
use crate::gpu::control::{CONTROL_WGSL, Control};
use crate::gpu::kernel::{Access, Kernel, wgsl_struct};
use crate::gpu::traversal::{Chunk, Traversal};
use crate::gpu::vector::Vector;
use crate::gpu::verdict::NO_LOSS;
use crate::gpu::{Gpu, RECORD_WGSL, TRAVERSAL_WGSL};
use crate::ingredients::Storage;
use crate::layout::ParamLayout;
use crate::models::BindCache;
use crate::plan::Purpose;
use crate::source::{self, Batches, Evaluation, GradientSource, SourceError};

wgsl_struct! {
    /// Which of `count` batches of an attempt an evaluation sees.
    pub(crate) struct Share {
        pub(crate) count: u32,
        pub(crate) index: u32,
        pub(crate) unused_0: u32,
        pub(crate) unused_1: u32,
    }
}

wgsl_struct! {
    /// The weight of a part, and one dispatch's chunk.
    pub(crate) struct Accumulate {
        pub(crate) weight: f32,
        pub(crate) unused_0: u32,
        pub(crate) unused_1: u32,
        pub(crate) unused_2: u32,
        pub(crate) chunk: Chunk,
    }
}

pub(crate) const SHARE: Kernel = Kernel {
    name: "share_batch",
    text: &[CONTROL_WGSL, include_str!("../shaders/share_batch.wgsl")],
    bindings: &[("control", Access::Uniform), ("share", Access::Uniform), ("into", Access::Write)],
    vectors: &[],
    structs: &[Control::LAYOUT, Share::LAYOUT],
};

pub(crate) const ACCUMULATE: Kernel = Kernel {
    name: "accumulate",
    text: &[TRAVERSAL_WGSL, RECORD_WGSL, include_str!("../shaders/accumulate.wgsl")],
    bindings: &[
        ("accumulate", Access::Uniform),
        ("sum", Access::Write),
        ("part", Access::Read),
        ("loss", Access::Write),
        ("part_loss", Access::Read),
    ],
    vectors: &[],
    structs: &[Accumulate::LAYOUT, Chunk::LAYOUT],
};

/// Control blocks whose batch cursor counts parts of an attempt.
#[derive(Debug)]
struct Shares {
    count: u32,
    control: wgpu::Buffer,
    uniforms: wgpu::Buffer,
    stride: u64,
    cache: BindCache<Vec<wgpu::BindGroup>>,
}

impl Shares {
    fn new(gpu: &Gpu, count: u32) -> Result<Self, GpuError> {
        use wgpu::BufferUsages as Usage;
        let stride = u64::from(gpu.limits().min_uniform_buffer_offset_alignment);
        let bytes = u64::from(count) * stride;
        let uniforms = gpu.buffer("shares", bytes, Usage::UNIFORM | Usage::COPY_DST)?;
        let mut all = vec![0; bytes as usize];
        for index in 0..count {
            let share = Share { count, index, ..Share::default() };
            let at = u64::from(index) * stride;
            all[at as usize..at as usize + size_of::<Share>()]
                .copy_from_slice(bytemuck::bytes_of(&share));
        }
        gpu.upload(&uniforms, &all)?;
        let usage = Usage::STORAGE | Usage::UNIFORM;
        let control = gpu.buffer("control of a share", size_of::<Control>() as u64, usage)?;
        Ok(Self { count, control, uniforms, stride, cache: BindCache::default() })
    }

    /// Readies `self.control` for one part.
    fn record(&mut self, index: u32, at: &mut Evaluation<'_>) {
        let Self { count, control, uniforms, stride, cache } = self;
        let pipeline = at.gpu().pipeline(&SHARE, &vec![]);
        let groups = cache.get(at.key(), || {
            let group = |index: u32| {
                let share = wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: uniforms,
                    offset: u64::from(index) * *stride,
                    size: wgpu::BufferSize::new(size_of::<Share>() as u64),
                });
                let resources =
                    [at.control().as_entire_binding(), share, control.as_entire_binding()];
                pipeline.bind(at.gpu(), &resources)
            };
            (0..*count).map(group).collect()
        });
        at.commands.dispatch(pipeline.pipeline(), &groups[index as usize], [1, 1, 1]);
    }
}

/// Sources record; they must not submit between what is recorded here.
fn check_source(inner: &impl GradientSource) -> Result<(), SourceError> {
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
/// ```no_run
/// use kutta::batching::PerStage;
/// # fn f(gpu: kutta::Gpu, mlp: kutta::models::Mlp) -> Result<(), kutta::Error> {
/// let rk4 = kutta::Method::rk4();
/// let mut fresh = PerStage::new(&gpu, mlp, rk4.stages() as u32)?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct PerStage<S> {
    inner: S,
    shares: Shares,
}

impl<S: GradientSource> PerStage<S> {
    /// # Errors
    /// A device without memory.
    pub fn new(gpu: &Gpu, inner: S, stages: u32) -> Result<Self, Error> {
        Ok(Self { inner, shares: Shares::new(gpu, stages.max(1))? })
    }

    /// The source whose batches these are. What it records bind groups for is
    /// this wrapper's: do not evaluate it for the same optimizer by itself.
    pub fn inner_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: GradientSource> GradientSource for PerStage<S> {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        check_source(&self.inner)?;
        // A probe belongs to the gradient it is compared with: the first.
        let index = match at.purpose() {
            Purpose::Stage(stage) => stage - 1,
            _ => 0,
        };
        if index >= self.shares.count {
            let count = self.shares.count;
            return Err(format!("stage {} of a source made for {count} stages", index + 1).into());
        }
        self.shares.record(index, at);
        let mut part = Evaluation {
            gpu: at.gpu,
            key: at.key,
            purpose: at.purpose,
            point: at.point,
            gradient: at.gradient,
            direction: at.direction,
            control: &self.shares.control,
            loss: at.loss,
            batch: at.batch,
            commands: at.commands.reborrow(),
        };
        source::recorded(&mut self.inner, &mut part)
    }

    fn batches(&self) -> Batches {
        self.inner.batches()
    }

    fn gpu(&self) -> Option<&Gpu> {
        self.inner.gpu()
    }

    fn products(&self) -> bool {
        self.inner.products()
    }

    fn writes(&self, storage: Storage) -> bool {
        self.inner.writes(storage)
    }
}

/// The mean gradient over several micro-batches, as of one batch of their sum:
/// for batches whose activations would not fit.
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
    inner: S,
    shares: Shares,
    part: Vector,
    part_loss: wgpu::Buffer,
    walk: Traversal,
    most: usize,
    uniforms: wgpu::Buffer,
    stride: u64,
    cache: BindCache<Arc<Vec<(wgpu::BindGroup, u32)>>>,
}

impl<S: GradientSource> Accumulated<S> {
    /// `parts` micro-batches for each gradient of the parameters in `layout`.
    ///
    /// # Errors
    /// A device too small for one more vector.
    pub fn new(gpu: &Gpu, inner: S, layout: &ParamLayout, parts: u32) -> Result<Self, Error> {
        use wgpu::BufferUsages as Usage;
        let parts = parts.max(1);
        let walk = Traversal::new(layout.len(), gpu.is_software());
        let most = gpu.binding_elements();
        gpu.check_limits("gradient accumulation", 4 * walk.least_chunk() as u64)?;
        let size = size_of::<Accumulate>() as u64;
        let align = u64::from(gpu.limits().min_uniform_buffer_offset_alignment);
        let stride = size.next_multiple_of(align);
        let chunks: Vec<Chunk> = walk.chunks(most).map(|(_, chunk, _)| chunk).collect();
        let bytes = chunks.len() as u64 * stride;
        let uniforms = gpu.buffer("chunks", bytes, Usage::UNIFORM | Usage::COPY_DST)?;
        let mut all = vec![0; bytes as usize];
        for (i, chunk) in chunks.into_iter().enumerate() {
            let weight = 1.0 / parts as f32;
            let uniform = Accumulate { weight, chunk, ..Accumulate::default() };
            let at = i * stride as usize;
            all[at..at + size as usize].copy_from_slice(bytemuck::bytes_of(&uniform));
        }
        gpu.upload(&uniforms, &all)?;
        let part_loss = gpu.buffer(
            "loss of a micro-batch",
            4,
            Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST,
        )?;
        gpu.upload(&part_loss, bytemuck::bytes_of(&NO_LOSS))?;
        Ok(Self {
            inner,
            shares: Shares::new(gpu, parts)?,
            part: Vector::zeros(gpu, "gradient of a micro-batch", layout.len())?,
            part_loss,
            walk,
            most,
            uniforms,
            stride,
            cache: BindCache::default(),
        })
    }

    /// The source whose batches these are. What it records bind groups for is
    /// this wrapper's: do not evaluate it for the same optimizer by itself.
    pub fn inner_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    pub fn into_inner(self) -> S {
        self.inner
    }

    fn add(&mut self, first: bool, at: &mut Evaluation<'_>) {
        let Self { part, part_loss, walk, most, uniforms, stride, cache, .. } = self;
        let mut constants = walk.constants();
        constants.push(("FIRST", f64::from(u8::from(first))));
        let pipeline = at.gpu().pipeline(&ACCUMULATE, &constants);
        let groups = cache
            .get(at.key(), || {
                let bind =
                    |(i, (range, _, groups)): (usize, (std::ops::Range<usize>, Chunk, u32))| {
                        let uniform = wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                            buffer: uniforms,
                            offset: i as u64 * *stride,
                            size: wgpu::BufferSize::new(size_of::<Accumulate>() as u64),
                        });
                        let resources = [
                            uniform,
                            at.gradient().binding(range.clone()),
                            part.binding(range),
                            at.loss().as_entire_binding(),
                            part_loss.as_entire_binding(),
                        ];
                        (pipeline.bind(at.gpu(), &resources), groups)
                    };
                Arc::new(walk.chunks(*most).enumerate().map(bind).collect())
            })
            .clone();
        for (bind_group, count) in groups.iter() {
            at.commands.dispatch(pipeline.pipeline(), bind_group, [*count, 1, 1]);
        }
    }
}

impl<S: GradientSource> GradientSource for Accumulated<S> {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        check_source(&self.inner)?;
        if at.gradient().len() != self.part.len() {
            let (found, expected) = (at.gradient().len(), self.part.len());
            return Err(format!("{found} parameters for micro-batches of {expected}").into());
        }
        for index in 0..self.shares.count {
            self.shares.record(index, at);
            let mut part = Evaluation {
                gpu: at.gpu,
                key: at.key,
                purpose: at.purpose,
                point: at.point,
                gradient: &self.part,
                direction: at.direction,
                control: &self.shares.control,
                loss: &self.part_loss,
                batch: at.batch,
                commands: at.commands.reborrow(),
            };
            source::recorded(&mut self.inner, &mut part)?;
            self.add(index == 0, at);
        }
        Ok(())
    }

    fn batches(&self) -> Batches {
        self.inner.batches()
    }

    fn gpu(&self) -> Option<&Gpu> {
        self.inner.gpu()
    }

    fn products(&self) -> bool {
        self.inner.products()
    }
}
