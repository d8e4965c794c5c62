//! Turns a plan into recorded passes. Pipelines, uniforms and bind groups are
//! made once; recording an attempt only replays them.

use std::ops::Range;

use crate::error::{Error, GpuError};
use crate::gpu::commands::Commands;
use crate::gpu::moments::Kinds;
use crate::gpu::traversal::Traversal;
use crate::gpu::{Gpu, Pipeline, combine, finish, guard, verdict};
use crate::ingredients::Momentum;
use crate::layout::ALIGNMENT;
use crate::plan::{
    Diagonal, Finish, Linear, MAX_INPUTS, MAX_INPUTS_WITH_STATE, Op, Plan, Purpose, Slot,
};
use crate::source::{Evaluation, EvaluationKey, GradientSource, SourceError};
use crate::state::State;

#[derive(Debug)]
enum Item {
    Evaluate { purpose: Purpose, point: Slot, gradient: Slot },
    Dispatch(Dispatch),
}

/// One dispatch, ready to be recorded.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pub(crate) pipeline: wgpu::ComputePipeline,
    pub(crate) bind_group: wgpu::BindGroup,
    pub(crate) groups: u32,
}

impl Dispatch {
    fn new(pipeline: &Pipeline, bind_group: wgpu::BindGroup, groups: u32) -> Self {
        Self { pipeline: pipeline.pipeline().clone(), bind_group, groups }
    }

    fn record(&self, commands: &mut Commands<'_>) {
        commands.dispatch(&self.pipeline, &self.bind_group, [self.groups, 1, 1]);
    }
}

/// Everything an optimizer records.
#[derive(Debug)]
pub(crate) struct Recorder {
    begin: Dispatch,
    attempt: Vec<Item>,
    measurement: Vec<Item>,
}

impl Recorder {
    /// `most` is the number of elements one binding may hold.
    pub(crate) fn new(
        gpu: &Gpu,
        plan: &Plan,
        state: &State,
        walk: Traversal,
        most: usize,
    ) -> Result<Self, Error> {
        let measurement = plan.measurement();
        let mut builder = Builder::new(gpu, plan, state, walk, most)?;
        let attempt = builder.items(plan.ops(), false);
        let measurement = builder.items(&measurement, true);
        let pipeline = gpu.pipeline(&verdict::BEGIN, &vec![]);
        let resources = [
            state.control.as_entire_binding(),
            state.settings.as_entire_binding(),
            state.partials.as_entire_binding(),
            state.loss.as_entire_binding(),
        ];
        let bind_group = pipeline.bind(gpu, &resources);
        builder.upload();
        Ok(Self { begin: Dispatch::new(&pipeline, bind_group, 1), attempt, measurement })
    }

    /// Readies the control block; once before the attempts of a submit.
    pub(crate) fn begin(&self, commands: &mut Commands<'_>) {
        self.begin.record(commands);
    }

    /// One attempt.
    pub(crate) fn attempt(&self, context: Context<'_>) -> Result<(), SourceError> {
        record(&self.attempt, context)
    }

    /// Loss and gradient norm at θ; changes nothing.
    pub(crate) fn measurement(&self, context: Context<'_>) -> Result<(), SourceError> {
        record(&self.measurement, context)
    }

    #[cfg(test)]
    pub(crate) fn begin_dispatch(&self) -> &Dispatch {
        &self.begin
    }

    /// The optimizer's own dispatches in one attempt.
    pub(crate) fn attempt_dispatches(&self) -> Vec<&Dispatch> {
        fn own(item: &Item) -> Option<&Dispatch> {
            match item {
                Item::Dispatch(dispatch) => Some(dispatch),
                Item::Evaluate { .. } => None,
            }
        }
        self.attempt.iter().filter_map(own).collect()
    }
}

/// What recording needs besides the recorder.
pub(crate) struct Context<'a> {
    pub(crate) gpu: &'a Gpu,
    pub(crate) optimizer: u64,
    pub(crate) state: &'a State,
    pub(crate) commands: Commands<'a>,
    pub(crate) source: &'a mut dyn GradientSource,
}

fn record(items: &[Item], mut context: Context<'_>) -> Result<(), SourceError> {
    for item in items {
        let (purpose, point, gradient) = match item {
            Item::Dispatch(dispatch) => {
                dispatch.record(&mut context.commands);
                continue;
            }
            Item::Evaluate { purpose, point, gradient } => (*purpose, *point, *gradient),
        };
        let Context { gpu, optimizer, state, commands, source } = &mut context;
        if source.submits() {
            // Its work comes after what was recorded so far, so that must go first.
            let fresh = gpu.device().create_command_encoder(&Default::default());
            let recorded = std::mem::replace(commands.encoder(), fresh);
            gpu.queue().submit([recorded.finish()]);
        }
        let first = purpose == Purpose::Stage(1);
        source.evaluate(&mut Evaluation {
            gpu,
            key: EvaluationKey { optimizer: *optimizer, purpose },
            point: &state.vectors[point],
            gradient: &state.vectors[gradient],
            control: &state.control,
            loss: if first { &state.loss } else { &state.other_loss },
            commands: commands.reborrow(),
        })?;
    }
    Ok(())
}

/// Makes items, collecting their uniforms in one buffer.
struct Builder<'a> {
    gpu: &'a Gpu,
    plan: &'a Plan,
    state: &'a State,
    kinds: Kinds,
    walk: Traversal,
    most: usize,
    uniforms: wgpu::Buffer,
    stride: usize,
    bytes: Vec<u8>,
}

impl<'a> Builder<'a> {
    fn new(
        gpu: &'a Gpu,
        plan: &'a Plan,
        state: &'a State,
        walk: Traversal,
        most: usize,
    ) -> Result<Self, GpuError> {
        let size = size_of::<combine::Combine>()
            .max(size_of::<guard::Guard>())
            .max(size_of::<finish::Finish>());
        let stride =
            size.next_multiple_of(gpu.limits().min_uniform_buffer_offset_alignment as usize);
        // The state's vectors share a binding.
        let most = most / plan.state_width().max(1);
        // One more for the measurement's guard.
        let slots = (plan.ops().len() + 1) * walk.chunks(most).count();
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let uniforms = gpu.buffer("weights", (slots * stride) as u64, usage)?;
        let kinds = Kinds::of(plan);
        Ok(Self { gpu, plan, state, kinds, walk, most, uniforms, stride, bytes: Vec::new() })
    }

    fn upload(self) {
        self.gpu.upload(&self.uniforms, &self.bytes);
    }

    /// Appends a uniform; its offset in the buffer.
    fn push(&mut self, value: &[u8]) -> u64 {
        let offset = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.bytes.resize(offset + self.stride, 0);
        offset as u64
    }

    fn uniform(&self, offset: u64, size: usize) -> wgpu::BindingResource<'_> {
        wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: &self.uniforms,
            offset,
            size: wgpu::BufferSize::new(size as u64),
        })
    }

    fn items(&mut self, ops: &[Op], measure: bool) -> Vec<Item> {
        let mut items = Vec::new();
        for op in ops {
            match op {
                Op::Evaluate { purpose, point, gradient } => items.push(Item::Evaluate {
                    purpose: *purpose,
                    point: point.slot,
                    gradient: gradient.slot,
                }),
                Op::Combine(linear) => self.linear(linear, false, &mut items),
                Op::Advance(linear) => self.linear(linear, true, &mut items),
                Op::Reduce { gradient, stage, norm, squares } => {
                    self.guard(gradient.slot, *stage, *norm, *squares, &mut items);
                }
                Op::Finish(finish) => self.finish(finish, &mut items),
                Op::Control => items.push(self.verdict(measure)),
            }
        }
        items
    }

    fn linear(&mut self, linear: &Linear, advance: bool, items: &mut Vec<Item>) {
        let constants = combine::constants(linear, advance, self.kinds, &self.walk);
        let pipeline = self.gpu.pipeline(combine::kernel(linear), &constants);
        let (walk, state) = (self.walk, self.state);
        let slots: Vec<Slot> =
            linear.inputs().map(|o| o.slot).skip(usize::from(linear.in_place())).collect();
        let preconditioned = linear.diagonal != Diagonal::None;
        let most = if preconditioned { MAX_INPUTS_WITH_STATE } else { MAX_INPUTS };
        for (range, chunk, groups) in walk.chunks(self.most) {
            let offset = self.push(bytemuck::bytes_of(&combine::uniform(linear, chunk)));
            let mut resources = vec![
                state.control.as_entire_binding(),
                self.uniform(offset, size_of::<combine::Combine>()),
            ];
            if preconditioned {
                resources.push(state.moments.as_entire_binding());
            }
            resources.extend([
                state.vectors[linear.target.slot].binding(range.clone()),
                state.partials.as_entire_binding(),
            ]);
            if preconditioned {
                resources.push(self.second(&range));
            }
            resources.extend(self.inputs(&slots, most, &range));
            let bind_group = pipeline.bind(self.gpu, &resources);
            items.push(Item::Dispatch(Dispatch::new(&pipeline, bind_group, groups)));
        }
    }

    fn finish(&mut self, step: &Finish, items: &mut Vec<Item>) {
        let constants = finish::constants(step, self.kinds, &self.walk);
        let pipeline = self.gpu.pipeline(&finish::KERNEL, &constants);
        let (walk, state) = (self.walk, self.state);
        let slots: Vec<Slot> = step.gradients.iter().map(|(_, k)| k.slot).collect();
        for (range, chunk, groups) in walk.chunks(self.most) {
            let offset = self.push(bytemuck::bytes_of(&finish::uniform(step, chunk)));
            let mean = match self.plan.ingredients().momentum {
                Momentum::None => state.mean.binding(0..ALIGNMENT),
                _ => state.mean.binding(range.clone()),
            };
            let mut resources = vec![
                state.control.as_entire_binding(),
                self.uniform(offset, size_of::<finish::Finish>()),
                state.moments.as_entire_binding(),
                state.vectors[0].binding(range.clone()),
                mean,
                self.second(&range),
            ];
            resources.extend(self.inputs(&slots, MAX_INPUTS_WITH_STATE, &range));
            let bind_group = pipeline.bind(self.gpu, &resources);
            items.push(Item::Dispatch(Dispatch::new(&pipeline, bind_group, groups)));
        }
    }

    /// Bindings beyond the inputs repeat the first: they are never read.
    fn inputs<'b>(
        &'b self,
        slots: &'b [Slot],
        most: usize,
        range: &'b Range<usize>,
    ) -> impl Iterator<Item = wgpu::BindingResource<'b>> {
        (0..most).map(move |i| {
            let slot = slots.get(i).unwrap_or(&slots[0]);
            self.state.vectors[*slot].binding(range.clone())
        })
    }

    /// The part of the preconditioner's state that belongs to `range`.
    fn second(&self, range: &Range<usize>) -> wgpu::BindingResource<'_> {
        let width = self.plan.state_width();
        if width == 0 {
            return self.state.second.binding(0..ALIGNMENT);
        }
        let end = range.end.next_multiple_of(self.walk.least_chunk());
        self.state.second.binding(range.start * width..end * width)
    }

    fn guard(
        &mut self,
        gradient: Slot,
        stage: u32,
        norm: bool,
        squares: bool,
        items: &mut Vec<Item>,
    ) {
        let constants = guard::constants(norm, squares, &self.walk);
        let pipeline = self.gpu.pipeline(&guard::KERNEL, &constants);
        let (walk, state) = (self.walk, self.state);
        for (range, chunk, groups) in walk.chunks(self.most) {
            let stages = combine::stage_bits(&[stage]);
            let uniform = guard::Guard { stages, chunk, ..Default::default() };
            let offset = self.push(bytemuck::bytes_of(&uniform));
            let resources = [
                self.uniform(offset, size_of::<guard::Guard>()),
                state.partials.as_entire_binding(),
                state.vectors[gradient].binding(range),
            ];
            let bind_group = pipeline.bind(self.gpu, &resources);
            items.push(Item::Dispatch(Dispatch::new(&pipeline, bind_group, groups)));
        }
    }

    fn verdict(&self, measure: bool) -> Item {
        let pipeline = self.gpu.pipeline(&verdict::VERDICT, &verdict::constants(measure));
        let state = self.state;
        let resources = [
            state.control.as_entire_binding(),
            state.settings.as_entire_binding(),
            state.partials.as_entire_binding(),
            state.loss.as_entire_binding(),
            state.ring.as_entire_binding(),
        ];
        let bind_group = pipeline.bind(self.gpu, &resources);
        Item::Dispatch(Dispatch::new(&pipeline, bind_group, 1))
    }
}
