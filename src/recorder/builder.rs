//! Items out of operations: pipelines, bind groups and, in one buffer, the uniforms.

use std::ops::Range;

use super::ending::Ending;
use super::items::{Dispatch, Item, Loss};
use crate::device::adopt::KERNELS;
use crate::device::traversal::Traversal;
use crate::device::vector::Vector;
use crate::device::{Gpu, GpuError, Pipeline};
use crate::kernels::interleaved::{self, Interleaved};
use crate::kernels::launch::{Launch, Resource, Setting, Work};
use crate::kernels::verdict::Kind;
use crate::kernels::{ending, operations};
use crate::layout::ALIGNMENT;
use crate::plan::{Check, Choice, Name, Op, Plan, Purpose};
use crate::state::State;

/// The uniforms of all dispatches, in one buffer.
pub(crate) struct Uniforms {
    stride: usize,
    pub(crate) bytes: u64,
    /// Elements that a binding may hold, where it holds them of every vector of the state.
    pub(crate) most: usize,
}

impl Uniforms {
    pub(crate) fn of(gpu: &Gpu, plan: &Plan, walk: &Traversal, most: usize) -> Self {
        let align = gpu.limits().min_uniform_buffer_offset_alignment as usize;
        let stride = (KERNELS.uniform_bytes as usize).next_multiple_of(align);
        // The state's vectors share a binding.
        let most = most / interleaved::widest(plan);
        // Three forms of an attempt, and four more for the measurement's pack, decay,
        // guard and verdict.
        let ops = 3 * (plan.ops().len() + plan.renewing().len()) + plan.opening().len() + 4;
        let slots = ops * walk.chunks(most).count();
        Self { stride, bytes: (slots * stride) as u64, most }
    }
}

/// The part of the state that belongs to `range`; of a stub where there is none, all.
fn bound<'b>(
    vector: &'b Vector,
    layout: Interleaved,
    range: &Range<usize>,
) -> wgpu::BindingResource<'b> {
    let part = layout.part(range);
    vector.binding(if part.is_empty() { 0..ALIGNMENT } else { part })
}

/// Makes items, collecting their uniforms in one buffer.
pub(super) struct Builder<'a> {
    gpu: &'a Gpu,
    setting: Setting<'a>,
    state: &'a State,
    most: usize,
    /// Lanes of the workgroup that ends an attempt in one dispatch, where one does.
    lanes: Option<u32>,
    uniforms: wgpu::Buffer,
    stride: usize,
    bytes: Vec<u8>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(
        gpu: &'a Gpu,
        plan: &'a Plan,
        state: &'a State,
        walk: Traversal,
        most: usize,
        ending: Ending,
    ) -> Result<Self, GpuError> {
        let setting = Setting::new(plan, walk);
        let Uniforms { stride, bytes, most } = Uniforms::of(gpu, plan, &setting.walk, most);
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let uniforms = gpu.buffer("uniforms", bytes, usage)?;
        let lanes = ending.lanes(gpu, &walk);
        Ok(Self { gpu, setting, state, most, lanes, uniforms, stride, bytes: Vec::new() })
    }

    pub(super) fn upload(self) -> Result<(), GpuError> {
        self.gpu.upload(&self.uniforms, &self.bytes)
    }

    pub(super) fn items(&mut self, ops: &[Op], mut kind: Kind) -> Vec<Item> {
        let mut items = Vec::new();
        let mut stages = 0;
        let mut at = 0;
        while let Some(op) = ops.get(at) {
            if let Some((launch, count)) = self.ending(&ops[at..], kind) {
                items.push(Item::Dispatch(self.once(&launch)));
                at += count;
                continue;
            }
            at += 1;
            let mut draw = 0;
            if matches!(op, Op::Evaluate { purpose: Purpose::Stage(_), .. }) {
                draw = stages;
                stages += 1;
            }
            if op.norm().is_some() {
                kind.summed = false;
            }
            match op {
                // The gradient is there, and nobody has checked it for this attempt.
                &Op::Evaluate {
                    purpose: Purpose::Stage(1),
                    gradient,
                    check: Some(Check { norm, squares }),
                    ..
                } if kind.reused => {
                    let guard = Op::Guard { gradient, stage: 1, norm, squares };
                    let launch = operations::launch(&guard, self.setting, kind);
                    let dispatches = launch.iter().flat_map(|launch| self.launch(launch));
                    items.extend(dispatches.map(Item::Dispatch));
                }
                // The verdict can do as much.
                Op::Choose(Choice::Norm) if ops.get(at) == Some(&Op::Verdict) => {
                    kind.clips = true;
                    continue;
                }
                // What made the attempt before's last gradient is not made again.
                Op::Evaluate { purpose: Purpose::Stage(1), .. } if kind.reused => {}
                Op::Decay { gradient: of, .. } | Op::Pack { to: of, .. }
                    if kind.reused && of.name == Name::Gradient(1) => {}
                Op::Commit { reuses: true, .. } if !kind.reuse => {}
                Op::Evaluate { purpose, point, gradient, direction, adds, check } => {
                    if let (Purpose::Stage(stage), Some(check)) = (purpose, check) {
                        kind.ridden = *stage;
                        kind.summed |= check.norm;
                    }
                    items.push(Item::Evaluate {
                        purpose: *purpose,
                        point: point.slot,
                        gradient: gradient.slot,
                        direction: direction.map(|direction| direction.slot),
                        adds: *adds,
                        check: *check,
                        draw,
                        loss: match (purpose, point.name) {
                            (Purpose::Stage(1), _) => Loss::AtTheta,
                            (_, Name::Candidate) => Loss::AtCandidate,
                            _ => Loss::Nowhere,
                        },
                    })
                }
                op => {
                    let launch = operations::launch(op, self.setting, kind);
                    let dispatches = launch.iter().flat_map(|launch| self.launch(launch));
                    items.extend(dispatches.map(Item::Dispatch));
                }
            }
            // It takes k₁'s.
            if matches!(op, Op::Choose(Choice::Norm)) && kind.summed {
                kind.ridden = 0;
            }
            // What begins as ±1 has padding of ±1, which no gradient would ever overwrite: the
            // estimate would be of it.
            if let Op::Radius(radius) = op
                && radius.others.is_none()
                && !self.state.padding.is_empty()
            {
                items.push(Item::Clear(radius.vector.slot));
            }
        }
        items
    }

    /// The one dispatch in place of the first of `ops`, where they are the end of an attempt and
    /// that is wanted.
    fn ending<'o>(&self, ops: &'o [Op], kind: Kind) -> Option<(Launch<'o>, usize)>
    where
        'a: 'o,
    {
        let ending = ending::launch(ops, self.setting, kind, self.lanes?)?;
        (ending.0.kernel.storage_buffers() <= self.gpu.storage_bindings()).then_some(ending)
    }

    /// The dispatches of an operation: one, or one for each chunk.
    fn launch(&mut self, launch: &Launch<'_>) -> Vec<Dispatch> {
        let Work::Chunks(uniform) = &launch.work else { return vec![self.once(launch)] };
        let pipeline = self.pipeline(launch);
        let (walk, most) = (self.setting.walk, self.most);
        let chunks = walk.chunks(most).map(|(range, chunk, groups)| {
            let bind_group = self.bind(launch, &pipeline, &[uniform(&range, chunk)], &range);
            Dispatch::new(&pipeline, bind_group, groups)
        });
        chunks.collect()
    }

    /// The dispatch of an operation that has one workgroup.
    pub(super) fn once(&mut self, launch: &Launch<'_>) -> Dispatch {
        let (uniforms, range) = match &launch.work {
            Work::Once(uniform) => (std::slice::from_ref(uniform), 0..0),
            Work::Whole(uniforms) => (&uniforms[..], 0..self.setting.walk.elements()),
            Work::Chunks(_) => unreachable!("{} walks vectors", launch.kernel.name),
        };
        let pipeline = self.pipeline(launch);
        let bind_group = self.bind(launch, &pipeline, uniforms, &range);
        Dispatch::new(&pipeline, bind_group, 1)
    }

    fn pipeline(&self, launch: &Launch<'_>) -> Pipeline {
        self.gpu.variant(launch.kernel, &launch.formats, &launch.constants)
    }

    /// Binds what a kernel's bindings hold of the elements in `range`.
    fn bind(
        &mut self,
        launch: &Launch<'_>,
        pipeline: &Pipeline,
        uniforms: &[Vec<u8>],
        range: &Range<usize>,
    ) -> wgpu::BindGroup {
        let places: Vec<(u64, usize)> =
            uniforms.iter().map(|uniform| (self.push(uniform), uniform.len())).collect();
        let resources: Vec<_> = launch
            .resources()
            .map(|resource| match resource {
                Resource::Uniform => self.uniform(places[0]),
                Resource::Part(part) => self.uniform(places[part]),
                other => self.resource(other, range),
            })
            .collect();
        pipeline.bind(self.gpu, &resources)
    }

    /// Appends a uniform, if it is one; its offset in the buffer.
    fn push(&mut self, value: &[u8]) -> u64 {
        let offset = self.bytes.len();
        if !value.is_empty() {
            self.bytes.extend_from_slice(value);
            self.bytes.resize(offset + self.stride, 0);
        }
        offset as u64
    }

    fn uniform(&self, (offset, size): (u64, usize)) -> wgpu::BindingResource<'_> {
        wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: &self.uniforms,
            offset,
            size: wgpu::BufferSize::new(size as u64),
        })
    }

    /// What a binding holds, of the elements in `range`.
    fn resource(&self, resource: Resource, range: &Range<usize>) -> wgpu::BindingResource<'_> {
        let Self { state, setting: Setting { plan, walk, .. }, .. } = self;
        match resource {
            Resource::Control => state.control.as_entire_binding(),
            Resource::Settings => state.settings.as_entire_binding(),
            Resource::Uniform | Resource::Part(_) => self.uniforms.as_entire_binding(),
            Resource::Moments => state.moments.as_entire_binding(),
            Resource::Partials => state.partials.as_entire_binding(),
            Resource::Checks => state.checks.as_entire_binding(),
            Resource::Loss => state.loss.as_entire_binding(),
            Resource::LastLoss => state.last_loss.as_entire_binding(),
            Resource::Ring => state.ring.as_entire_binding(),
            Resource::Vector(slot) => state.vectors[slot].binding(range.clone()),
            Resource::Second => bound(&state.second, Interleaved::second(plan, walk), range),
            Resource::Mean => bound(&state.mean, Interleaved::mean(plan, walk), range),
            Resource::Average => state.average.binding(range.clone()),
            Resource::Written(i) => state.spare[0].binding(i * ALIGNMENT..(i + 1) * ALIGNMENT),
            Resource::Read => state.spare[1].binding(0..ALIGNMENT),
        }
    }
}
