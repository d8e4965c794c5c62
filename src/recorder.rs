//! Turns a plan into recorded passes. Pipelines, uniforms and bind groups are
//! made once; recording an attempt only replays them.

use std::ops::Range;

use crate::device::commands::Commands;
use crate::device::kernel::{Access, Kernel};
use crate::device::traversal::{Chunk, Traversal};
use crate::device::vector::Vector;
use crate::device::{Gpu, GpuError, Pipeline};
use crate::error::Error;
use crate::ingredients::{ENLARGED, SpectralRadius};
use crate::kernels::interleaved::Interleaved;
use crate::kernels::moments::Kinds;
use crate::kernels::shape::Binding;
use crate::kernels::verdict::Kind;
use crate::kernels::{
    average, choose, combine, commit, decay, estimate, field, finish, fit, guard, interleaved,
    pack, radius, registers, verdict,
};
use crate::layout::ALIGNMENT;
use crate::plan::{
    Choice, Estimate, Field, Finish, Linear, Name, Op, Operand, Plan, Purpose, Radius, Registers,
    Slot,
};
use crate::source::{self, BatchTicket, Batches, Cursor, Evaluation, GradientSource, SourceError};
use crate::state::State;

#[derive(Debug)]
enum Item {
    Evaluate {
        purpose: Purpose,
        point: Slot,
        gradient: Slot,
        direction: Option<Slot>,
        loss: Loss,
        adds: bool,
        /// Stages before it; of what is no stage, none.
        draw: u32,
    },
    Dispatch(Dispatch),
    /// Zeros in the padding between tensors.
    Clear(Slot),
}

/// The buffer that takes an evaluation's loss.
#[derive(Clone, Copy, Debug)]
enum Loss {
    AtTheta,
    AtCandidate,
    Nowhere,
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
    attempt: Attempts,
    /// One that renews ρ, where that is estimated.
    renewing: Option<Attempts>,
    opening: Vec<Item>,
    measurement: Vec<Item>,
}

/// The forms of one kind of attempt.
#[derive(Debug)]
struct Attempts {
    alone: Vec<Item>,
    /// Two recordings where the last gradient can serve the next attempt: one that keeps it
    /// for the next, and one that takes it from the one before.
    reusing: Option<[Vec<Item>; 2]>,
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
        let judged = plan.ingredients().adaptive.is_some();
        let kind = Kind { judged, two: plan.two_errors(), ..Kind::default() };
        let mut attempts = |ops: &[Op]| {
            let alone = builder.items(ops, kind);
            let reuse = |reused| Kind { reuse: true, reused, ..kind };
            let reusing = plan
                .reuses()
                .then(|| [false, true].map(|reused| builder.items(ops, reuse(reused))));
            Attempts { alone, reusing }
        };
        let attempt = attempts(plan.ops());
        let renewing = (!plan.renewing().is_empty()).then(|| attempts(plan.renewing()));
        let opening = builder.items(plan.opening(), kind);
        let measurement = builder.items(&measurement, Kind { measure: true, ..Kind::default() });
        let pipeline = gpu.pipeline(&verdict::BEGIN, &vec![]);
        let resources = [
            state.control.as_entire_binding(),
            state.settings.as_entire_binding(),
            state.partials.as_entire_binding(),
            state.loss.as_entire_binding(),
        ];
        let bind_group = pipeline.bind(gpu, &resources);
        builder.upload()?;
        Ok(Self {
            begin: Dispatch::new(&pipeline, bind_group, 1),
            attempt,
            renewing,
            opening,
            measurement,
        })
    }

    /// Readies the control block; once before the attempts of a submit.
    pub(crate) fn begin(&self, commands: &mut Commands<'_>) {
        self.begin.record(commands);
    }

    /// One attempt; not the `first` of a chunk may use what the one before left.
    /// One that `renews` ρ does so, if it is estimated.
    pub(crate) fn attempt(
        &self,
        first: bool,
        renews: bool,
        context: Context<'_>,
    ) -> Result<(), SourceError> {
        let kind = self.renewing.as_ref().filter(|_| renews).unwrap_or(&self.attempt);
        let items = match &kind.reusing {
            Some([keeps, takes]) if context.source.batches() == Batches::One => {
                if first {
                    keeps
                } else {
                    takes
                }
            }
            _ => &kind.alone,
        };
        record(items, context)
    }

    /// Records what the first attempt of all needs to know; changes nothing once it has
    /// run.
    pub(crate) fn opening(&self, context: Context<'_>) -> Result<(), SourceError> {
        record(&self.opening, context)
    }

    /// Loss and gradient norm at θ; changes nothing.
    pub(crate) fn measurement(&self, context: Context<'_>) -> Result<(), SourceError> {
        record(&self.measurement, context)
    }

    /// The dispatches of each of `ops` by itself; evaluations have none.
    pub(crate) fn by_operation(
        gpu: &Gpu,
        plan: &Plan,
        state: &State,
        walk: Traversal,
        ops: &[Op],
    ) -> Result<Vec<Vec<Dispatch>>, Error> {
        let mut builder = Builder::new(gpu, plan, state, walk, gpu.binding_elements())?;
        let judged = plan.ingredients().adaptive.is_some();
        let kind = Kind { judged, two: plan.two_errors(), ..Kind::default() };
        let dispatch = |item| match item {
            Item::Dispatch(dispatch) => Some(dispatch),
            Item::Evaluate { .. } | Item::Clear(_) => None,
        };
        let own = |op: &Op| builder.items(std::slice::from_ref(op), kind);
        let dispatches: Vec<Vec<Dispatch>> = ops
            .iter()
            .map(own)
            .map(|items| items.into_iter().filter_map(dispatch).collect())
            .collect();
        builder.upload()?;
        Ok(dispatches)
    }

    pub(crate) fn begin_dispatch(&self) -> &Dispatch {
        &self.begin
    }

    /// The optimizer's own dispatches in one attempt.
    pub(crate) fn attempt_dispatches(&self) -> Vec<&Dispatch> {
        fn own(item: &Item) -> Option<&Dispatch> {
            match item {
                Item::Dispatch(dispatch) => Some(dispatch),
                Item::Evaluate { .. } | Item::Clear(_) => None,
            }
        }
        self.attempt.alone.iter().filter_map(own).collect()
    }
}

/// The context that recording needs besides the recorder.
pub(crate) struct Context<'a> {
    pub(crate) gpu: &'a Gpu,
    pub(crate) optimizer: u64,
    pub(crate) state: &'a State,
    /// The cursor that names the batches, where the host knows it.
    pub(crate) cursor: Option<Cursor>,
    pub(crate) commands: Commands<'a>,
    pub(crate) source: &'a mut dyn GradientSource,
}

fn record(items: &[Item], mut context: Context<'_>) -> Result<(), SourceError> {
    // One for all of them: the verdict that may advance the batch comes after the last.
    let ticket = BatchTicket::new();
    for item in items {
        let (purpose, point, gradient, direction, loss, adds, draw) = match item {
            Item::Dispatch(dispatch) => {
                dispatch.record(&mut context.commands);
                continue;
            }
            Item::Clear(slot) => {
                let Context { gpu, state, commands, .. } = &mut context;
                state.padding.clear(gpu, *slot, &state.vectors[*slot], commands);
                continue;
            }
            Item::Evaluate { purpose, point, gradient, direction, loss, adds, draw } => {
                (*purpose, *point, *gradient, *direction, *loss, *adds, *draw)
            }
        };
        let Context { gpu, optimizer, state, cursor, commands, source } = &mut context;
        if source.submits() {
            // Its work comes after what was recorded so far, so that must go first.
            let fresh = gpu.device().create_command_encoder(&Default::default());
            let recorded = std::mem::replace(commands.encoder(), fresh);
            gpu.queue().submit([recorded.finish()]);
        }
        let mut evaluation = Evaluation {
            gpu,
            optimizer: *optimizer,
            purpose,
            point: &state.vectors[point],
            gradient: &state.vectors[gradient],
            direction: direction.map(|slot| &state.vectors[slot]),
            control: &state.control,
            loss: match loss {
                Loss::AtTheta => &state.loss,
                Loss::AtCandidate => &state.last_loss,
                Loss::Nowhere => &state.other_loss,
            },
            samples: &state.samples,
            adds,
            ticket,
            draw,
            cursor: *cursor,
            commands: commands.reborrow(),
        };
        source::recorded(&mut **source, &mut evaluation)?;
        if !source.keeps_padding() {
            state.padding.clear(gpu, gradient, &state.vectors[gradient], commands);
        }
    }
    Ok(())
}

/// The uniforms of all dispatches, in one buffer.
pub(crate) struct Weights {
    stride: usize,
    pub(crate) bytes: u64,
    /// Elements that a binding may hold, where it holds them of every vector of the state.
    pub(crate) most: usize,
}

impl Weights {
    pub(crate) fn of(gpu: &Gpu, plan: &Plan, walk: &Traversal, most: usize) -> Self {
        let size = size_of::<combine::Combine>()
            .max(size_of::<guard::Guard>())
            .max(size_of::<estimate::Estimate>())
            .max(size_of::<field::Field>())
            .max(size_of::<registers::Registers>())
            .max(size_of::<finish::Finish>())
            .max(size_of::<verdict::Recorded>());
        let stride =
            size.next_multiple_of(gpu.limits().min_uniform_buffer_offset_alignment as usize);
        // The state's vectors share a binding.
        let most = most / interleaved::widest(plan);
        // Three forms of an attempt, and four more for the measurement's pack, decay,
        // guard and verdict.
        let ops = 3 * (plan.ops().len() + plan.renewing().len()) + plan.opening().len() + 4;
        let slots = ops * walk.chunks(most).count();
        Self { stride, bytes: (slots * stride) as u64, most }
    }
}

/// Storage buffers that the kernel of an operation binds; none for an evaluation.
fn storage_buffers(op: &Op, kinds: Kinds) -> u32 {
    let kernel: &Kernel = match op {
        Op::Evaluate { .. } => return 0,
        Op::Combine(linear) | Op::Advance(linear) => combine::kernel(linear),
        Op::Reduce { .. } => &guard::KERNEL,
        Op::Decay { .. } => &decay::KERNEL,
        Op::Pack { .. } => &pack::KERNEL,
        Op::Average => &average::KERNEL,
        Op::Field(_) => &field::KERNEL,
        Op::Radius(_) => &radius::KERNEL,
        Op::Fit { .. } => &fit::KERNEL,
        Op::Registers(_) => &registers::KERNEL,
        Op::Choose(_) => &choose::KERNEL,
        Op::Control => &verdict::VERDICT,
        Op::Finish(finish) => finish::kernel(finish, kinds),
        Op::Estimate(estimate) => estimate::kernel(estimate, kinds),
        Op::Commit { .. } | Op::Reuse { .. } => &commit::KERNEL,
    };
    kernel.bindings.iter().filter(|(_, access)| *access != Access::Uniform).count() as u32
}

/// Most storage buffers that a kernel of a plan binds.
pub(crate) fn most_storage_buffers(plan: &Plan) -> u32 {
    let kinds = Kinds::of(plan);
    let ops = plan.ops().iter().chain(plan.renewing()).chain(plan.opening());
    ops.map(|op| storage_buffers(op, kinds)).max().unwrap_or(0)
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
struct Builder<'a> {
    gpu: &'a Gpu,
    plan: &'a Plan,
    state: &'a State,
    kinds: Kinds,
    walk: Traversal,
    most: usize,
    /// The slot of k₁.
    first: Slot,
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
        let walk = if plan.is_narrow() { walk.for_halves() } else { walk };
        let Weights { stride, bytes, most } = Weights::of(gpu, plan, &walk, most);
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let uniforms = gpu.buffer("weights", bytes, usage)?;
        let kinds = Kinds::of(plan);
        let first = match plan.ops().first() {
            Some(Op::Evaluate { gradient, .. }) => gradient.slot,
            _ => unreachable!("every plan begins with stage 1"),
        };
        Ok(Self { first, gpu, plan, state, kinds, walk, most, uniforms, stride, bytes: Vec::new() })
    }

    fn upload(self) -> Result<(), GpuError> {
        self.gpu.upload(&self.uniforms, &self.bytes)
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

    fn items(&mut self, ops: &[Op], kind: Kind) -> Vec<Item> {
        let mut items = Vec::new();
        let mut stages = 0;
        for op in ops {
            let mut draw = 0;
            if matches!(op, Op::Evaluate { purpose: Purpose::Stage(_), .. }) {
                draw = stages;
                stages += 1;
            }
            match op {
                Op::Evaluate { purpose: Purpose::Stage(1), .. } if kind.reused => {}
                Op::Decay { gradient, .. } if kind.reused && gradient.name == Name::Gradient(1) => {
                }
                Op::Decay { gradient, point } => self.decay(*gradient, *point, &mut items),
                Op::Pack { to, .. } if kind.reused && to.name == Name::Gradient(1) => {}
                Op::Pack { from, to } => self.pack(*from, *to, &mut items),
                Op::Average => self.average(&mut items),
                Op::Evaluate { purpose, point, gradient, adds, .. } => items.push(Item::Evaluate {
                    purpose: *purpose,
                    point: point.slot,
                    gradient: gradient.slot,
                    direction: (*purpose == Purpose::Product).then_some(self.first),
                    adds: *adds,
                    draw,
                    loss: match (purpose, point.name) {
                        (Purpose::Stage(1), _) => Loss::AtTheta,
                        (_, Name::Candidate) => Loss::AtCandidate,
                        _ => Loss::Nowhere,
                    },
                }),
                Op::Combine(linear) => self.linear(linear, false, &mut items),
                Op::Advance(linear) => self.linear(linear, true, &mut items),
                Op::Reduce { gradient, stage, norm, squares } => {
                    self.guard(*gradient, *stage, *norm, *squares, &mut items);
                }
                Op::Finish(finish) => self.finish(finish, &mut items),
                Op::Field(field) => self.field(field, &mut items),
                Op::Choose(choice) => items.push(self.choose(*choice)),
                Op::Radius(radius) => self.radius(radius, &mut items),
                Op::Fit { interval, stages } => items.push(self.fit(*interval, *stages)),
                Op::Registers(op) => self.registers(op, &mut items),
                Op::Estimate(estimate) => self.estimate(estimate, &mut items),
                Op::Commit { from, to } => self.commit(*from, *to, &mut items),
                Op::Reuse { from, to } => {
                    if kind.reuse {
                        self.commit(*from, *to, &mut items);
                    }
                }
                Op::Control => items.push(self.verdict(kind)),
            }
        }
        items
    }

    fn linear(&mut self, linear: &Linear, advance: bool, items: &mut Vec<Item>) {
        let constants = combine::constants(linear, advance, self.kinds, &self.walk);
        let pipeline = self.gpu.variant(
            combine::kernel(linear),
            &combine::formats(linear, self.kinds),
            &constants,
        );
        let also = linear.also.iter().map(|also| also.target.slot);
        let outputs: Vec<Slot> = std::iter::once(linear.target.slot).chain(also).collect();
        let inputs: Vec<Slot> = combine::own_inputs(linear).map(|(_, input)| input.slot).collect();
        let bindings = combine::bindings(linear);
        let walk = self.walk;
        for (range, chunk, groups) in walk.chunks(self.most) {
            let uniform = combine::uniform(linear, chunk);
            let offset = self.push(bytemuck::bytes_of(&uniform));
            let mut resources = vec![
                self.state.control.as_entire_binding(),
                self.uniform(offset, size_of::<combine::Combine>()),
            ];
            resources.extend(self.shaped(&bindings, &outputs, &inputs, &range));
            let bind_group = pipeline.bind(self.gpu, &resources);
            items.push(Item::Dispatch(Dispatch::new(&pipeline, bind_group, groups)));
        }
    }

    /// Binds what a shape names, its outputs and inputs taken from these in order.
    fn shaped<'b>(
        &'b self,
        bindings: &'b [Binding],
        outputs: &'b [Slot],
        inputs: &'b [Slot],
        range: &'b Range<usize>,
    ) -> impl Iterator<Item = wgpu::BindingResource<'b>> {
        let (mut outputs, mut inputs) = (outputs.iter(), inputs.iter());
        bindings.iter().map(move |binding| {
            let next = match binding {
                Binding::Output(_) => outputs.next(),
                Binding::Input(_) => inputs.next(),
                Binding::Theta => Some(&0),
                Binding::Moments => return self.state.moments.as_entire_binding(),
                Binding::Partials => return self.state.partials.as_entire_binding(),
                Binding::Second => return self.second(range),
                Binding::Mean => {
                    let layout = Interleaved::mean(self.plan, &self.walk);
                    return bound(&self.state.mean, layout, range);
                }
            };
            let slot = *next.unwrap_or_else(|| unreachable!("a shape is made from its operation"));
            self.state.vectors[slot].binding(range.clone())
        })
    }

    fn estimate(&mut self, op: &Estimate, items: &mut Vec<Item>) {
        let constants = estimate::constants(op, self.kinds, &self.walk);
        let pipeline = self.gpu.variant(
            estimate::kernel(op, self.kinds),
            &estimate::formats(op, self.kinds),
            &constants,
        );
        let inputs: Vec<Slot> = op.terms.iter().map(|(_, k)| k.slot).collect();
        let (bindings, outputs) = (estimate::bindings(op, self.kinds), [op.candidate.slot]);
        let adaptive = self.plan.ingredients().adaptive;
        let adaptive = adaptive.unwrap_or_else(|| unreachable!("an estimate without tolerances"));
        let partials = self.walk.partials();
        let walk = self.walk;
        for (range, chunk, groups) in walk.chunks(self.most) {
            let uniform = estimate::uniform(op, &adaptive, self.plan.stages(), partials, chunk);
            let offset = self.push(bytemuck::bytes_of(&uniform));
            let mut resources = vec![
                self.state.control.as_entire_binding(),
                self.uniform(offset, size_of::<estimate::Estimate>()),
                self.state.moments.as_entire_binding(),
            ];
            resources.extend(self.shaped(&bindings, &outputs, &inputs, &range));
            let bind_group = pipeline.bind(self.gpu, &resources);
            items.push(Item::Dispatch(Dispatch::new(&pipeline, bind_group, groups)));
        }
    }

    fn field(&mut self, op: &Field, items: &mut Vec<Item>) {
        let constants = field::constants(op, self.kinds, &self.walk);
        let pipeline =
            self.gpu.variant(&field::KERNEL, &field::formats(op, self.kinds), &constants);
        let (walk, state) = (self.walk, self.state);
        let adaptive = self.plan.ingredients().adaptive;
        for (range, chunk, groups) in walk.chunks(self.most) {
            let uniform = field::uniform(adaptive.as_ref(), walk.partials(), chunk);
            let offset = self.push(bytemuck::bytes_of(&uniform));
            let resources = [
                state.control.as_entire_binding(),
                self.uniform(offset, size_of::<field::Field>()),
                state.moments.as_entire_binding(),
                state.partials.as_entire_binding(),
                self.second(&range),
                state.vectors[0].binding(range.clone()),
                state.vectors[op.a.slot].binding(range.clone()),
                state.vectors[op.b.unwrap_or(op.a).slot].binding(range),
            ];
            let bind_group = pipeline.bind(self.gpu, &resources);
            items.push(Item::Dispatch(Dispatch::new(&pipeline, bind_group, groups)));
        }
    }

    fn radius(&mut self, op: &Radius, items: &mut Vec<Item>) {
        let constants = radius::constants(op, self.kinds, &self.walk);
        let formats = radius::formats(op, self.kinds);
        let pipeline = self.gpu.variant(&radius::KERNEL, &formats, &constants);
        let (walk, state) = (self.walk, self.state);
        let [first, beside] = op.others.map_or([0, 0], |others| others.map(|o| o.slot));
        for (range, chunk, groups) in walk.chunks(self.most) {
            let (bank, offset) = (walk.partials() as u32, range.start as u32);
            let uniform = radius::Radius { bank, offset, chunk, ..Default::default() };
            let offset = self.push(bytemuck::bytes_of(&uniform));
            let resources = [
                state.control.as_entire_binding(),
                self.uniform(offset, size_of::<radius::Radius>()),
                state.moments.as_entire_binding(),
                state.vectors[op.vector.slot].binding(range.clone()),
                state.partials.as_entire_binding(),
                self.second(&range),
                state.vectors[0].binding(range.clone()),
                state.vectors[first].binding(range.clone()),
                state.vectors[beside].binding(range),
            ];
            let bind_group = pipeline.bind(self.gpu, &resources);
            items.push(Item::Dispatch(Dispatch::new(&pipeline, bind_group, groups)));
        }
        // What begins as ±1 has padding of ±1, which no gradient would ever overwrite: the
        // estimate would be of it.
        if op.others.is_none() && !state.padding.is_empty() {
            items.push(Item::Clear(op.vector.slot));
        }
    }

    fn fit(&mut self, interval: f64, stages: u32) -> Item {
        let pipeline = self.gpu.pipeline(&fit::KERNEL, &vec![]);
        let (given, enlarged) = match self.plan.ingredients().radius {
            SpectralRadius::Given(rho) => (rho as f32, 1.0),
            SpectralRadius::Estimated => (0.0, ENLARGED),
        };
        let evaluations = self.plan.evaluations();
        let interval = (interval / enlarged) as f32;
        let uniform = fit::Fit { interval, given, stages, evaluations };
        let offset = self.push(bytemuck::bytes_of(&uniform));
        let resources = [
            self.state.control.as_entire_binding(),
            self.state.settings.as_entire_binding(),
            self.uniform(offset, size_of::<fit::Fit>()),
            self.state.partials.as_entire_binding(),
        ];
        let bind_group = pipeline.bind(self.gpu, &resources);
        Item::Dispatch(Dispatch::new(&pipeline, bind_group, 1))
    }

    fn registers(&mut self, op: &Registers, items: &mut Vec<Item>) {
        let constants = registers::constants(op, self.kinds, &self.walk);
        let pipeline =
            self.gpu.variant(&registers::KERNEL, &registers::formats(op, self.kinds), &constants);
        let (walk, state) = (self.walk, self.state);
        // What is not read is θ once more, or y where θ is written.
        let spare_read = match op.point {
            Some(point) if registers::to_theta(op) => point.slot,
            _ => 0,
        };
        let to_theta = registers::to_theta(op);
        let other = if to_theta { op.point.map_or(0, |point| point.slot) } else { 0 };
        let gradient = op.gradient.map_or(spare_read, |o| o.slot);
        for (range, chunk, groups) in walk.chunks(self.most) {
            let offset = self.push(bytemuck::bytes_of(&registers::uniform(op, chunk)));
            let spare = |i: usize| state.spare[0].binding(i * ALIGNMENT..(i + 1) * ALIGNMENT);
            let written = |operand: Option<Operand>, i: usize| {
                operand.map_or_else(
                    || spare(i),
                    |operand| state.vectors[operand.slot].binding(range.clone()),
                )
            };
            // θ as the working point is bound for writing alone.
            let read = |slot: Slot| {
                if to_theta && slot == 0 {
                    state.spare[1].binding(0..ALIGNMENT)
                } else {
                    state.vectors[slot].binding(range.clone())
                }
            };
            let resources = [
                state.control.as_entire_binding(),
                self.uniform(offset, size_of::<registers::Registers>()),
                state.moments.as_entire_binding(),
                written(op.target, 0),
                written(op.register, 1),
                written(op.sum, 2),
                state.partials.as_entire_binding(),
                self.second(&range),
                read(other),
                read(gradient),
                read(op.extra.map_or(gradient, |o| o.slot)),
            ];
            let bind_group = pipeline.bind(self.gpu, &resources);
            items.push(Item::Dispatch(Dispatch::new(&pipeline, bind_group, groups)));
        }
    }

    fn decay(&mut self, gradient: Operand, point: Operand, items: &mut Vec<Item>) {
        let pipeline =
            self.gpu.variant(&decay::KERNEL, &decay::formats(gradient), &self.walk.constants());
        let (walk, state) = (self.walk, self.state);
        let lambda = self.plan.ingredients().l2 as f32;
        for (range, chunk, groups) in walk.chunks(self.most) {
            let uniform = decay::Decay { lambda, chunk, ..Default::default() };
            let offset = self.push(bytemuck::bytes_of(&uniform));
            let resources = [
                self.uniform(offset, size_of::<decay::Decay>()),
                state.vectors[gradient.slot].binding(range.clone()),
                state.vectors[point.slot].binding(range),
            ];
            let bind_group = pipeline.bind(self.gpu, &resources);
            items.push(Item::Dispatch(Dispatch::new(&pipeline, bind_group, groups)));
        }
    }

    fn pack(&mut self, from: Operand, to: Operand, items: &mut Vec<Item>) {
        let constants = self.walk.constants();
        let pipeline = self.gpu.variant(&pack::KERNEL, &pack::formats(to), &constants);
        let (walk, state) = (self.walk, self.state);
        for (range, chunk, groups) in walk.chunks(self.most) {
            let offset = self.push(bytemuck::bytes_of(&chunk));
            let resources = [
                self.uniform(offset, size_of::<Chunk>()),
                state.vectors[from.slot].binding(range.clone()),
                state.vectors[to.slot].binding(range),
            ];
            let bind_group = pipeline.bind(self.gpu, &resources);
            items.push(Item::Dispatch(Dispatch::new(&pipeline, bind_group, groups)));
        }
    }

    fn average(&mut self, items: &mut Vec<Item>) {
        let pipeline = self.gpu.pipeline(&average::KERNEL, &self.walk.constants());
        let (walk, state) = (self.walk, self.state);
        let beta = self.plan.ingredients().average.unwrap_or(0.0);
        for (range, chunk, groups) in walk.chunks(self.most) {
            let (beta, rest) = (beta as f32, (1.0 - beta) as f32);
            let uniform = average::Average { beta, rest, chunk, ..Default::default() };
            let offset = self.push(bytemuck::bytes_of(&uniform));
            let resources = [
                state.control.as_entire_binding(),
                self.uniform(offset, size_of::<average::Average>()),
                state.average.binding(range.clone()),
                state.vectors[0].binding(range),
            ];
            let bind_group = pipeline.bind(self.gpu, &resources);
            items.push(Item::Dispatch(Dispatch::new(&pipeline, bind_group, groups)));
        }
    }

    fn choose(&self, choice: Choice) -> Item {
        let pipeline = self.gpu.pipeline(&choose::KERNEL, &choose::constants(choice));
        let state = self.state;
        let resources = [
            state.control.as_entire_binding(),
            state.settings.as_entire_binding(),
            state.partials.as_entire_binding(),
            state.loss.as_entire_binding(),
        ];
        let bind_group = pipeline.bind(self.gpu, &resources);
        Item::Dispatch(Dispatch::new(&pipeline, bind_group, 1))
    }

    fn commit(&mut self, from: Operand, to: Operand, items: &mut Vec<Item>) {
        let pipeline = self.gpu.variant(
            &commit::KERNEL,
            &commit::formats(from, to),
            &commit::constants(&self.walk),
        );
        let (walk, state) = (self.walk, self.state);
        for (range, chunk, groups) in walk.chunks(self.most) {
            let offset = self.push(bytemuck::bytes_of(&commit::Commit { chunk }));
            let resources = [
                state.control.as_entire_binding(),
                self.uniform(offset, size_of::<commit::Commit>()),
                state.vectors[to.slot].binding(range.clone()),
                state.vectors[from.slot].binding(range.clone()),
            ];
            let bind_group = pipeline.bind(self.gpu, &resources);
            items.push(Item::Dispatch(Dispatch::new(&pipeline, bind_group, groups)));
        }
    }

    fn finish(&mut self, step: &Finish, items: &mut Vec<Item>) {
        let constants = finish::constants(step, self.kinds, &self.walk);
        let pipeline = self.gpu.variant(
            finish::kernel(step, self.kinds),
            &finish::formats(step, self.kinds),
            &constants,
        );
        let inputs: Vec<Slot> = step.gradients.iter().map(|(_, k)| k.slot).collect();
        let (bindings, outputs) = (finish::bindings(step, self.kinds), [step.target.slot]);
        let walk = self.walk;
        for (range, chunk, groups) in walk.chunks(self.most) {
            let offset = self.push(bytemuck::bytes_of(&finish::uniform(step, chunk)));
            let mut resources = vec![
                self.state.control.as_entire_binding(),
                self.uniform(offset, size_of::<finish::Finish>()),
                self.state.moments.as_entire_binding(),
            ];
            resources.extend(self.shaped(&bindings, &outputs, &inputs, &range));
            let bind_group = pipeline.bind(self.gpu, &resources);
            items.push(Item::Dispatch(Dispatch::new(&pipeline, bind_group, groups)));
        }
    }

    /// The part of the preconditioner's state that belongs to `range`.
    fn second(&self, range: &Range<usize>) -> wgpu::BindingResource<'_> {
        bound(&self.state.second, Interleaved::second(self.plan, &self.walk), range)
    }

    fn guard(
        &mut self,
        gradient: Operand,
        stage: u32,
        norm: bool,
        squares: bool,
        items: &mut Vec<Item>,
    ) {
        let constants = guard::constants(norm, squares, &self.walk);
        let pipeline = self.gpu.variant(&guard::KERNEL, &guard::formats(gradient), &constants);
        let (walk, state) = (self.walk, self.state);
        for (range, chunk, groups) in walk.chunks(self.most) {
            let uniform = guard::Guard { stage, chunk, ..Default::default() };
            let offset = self.push(bytemuck::bytes_of(&uniform));
            let resources = [
                self.uniform(offset, size_of::<guard::Guard>()),
                state.partials.as_entire_binding(),
                state.vectors[gradient.slot].binding(range),
            ];
            let bind_group = pipeline.bind(self.gpu, &resources);
            items.push(Item::Dispatch(Dispatch::new(&pipeline, bind_group, groups)));
        }
    }

    fn verdict(&mut self, kind: Kind) -> Item {
        let draws = if kind.measure { 1 } else { self.plan.stage_gradients() };
        let offset = self.push(bytemuck::bytes_of(&verdict::Recorded { draws }));
        let pipeline = self.gpu.pipeline(&verdict::VERDICT, &verdict::constants(kind));
        let state = self.state;
        let resources = [
            state.control.as_entire_binding(),
            state.settings.as_entire_binding(),
            state.partials.as_entire_binding(),
            state.loss.as_entire_binding(),
            state.ring.as_entire_binding(),
            state.last_loss.as_entire_binding(),
            self.uniform(offset, size_of::<verdict::Recorded>()),
        ];
        let bind_group = pipeline.bind(self.gpu, &resources);
        Item::Dispatch(Dispatch::new(&pipeline, bind_group, 1))
    }
}
