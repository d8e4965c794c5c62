//! Runs what benchmark programs need: the own dispatches of any plan without a gradient
//! source, beside each a bare kernel of the same reads and writes, ceilings, and a
//! check of every element against f64.
//!
//! Nothing here takes a time: that is up to the program, see `examples/roofline`.
//!
//! ```no_run
//! use kutta::{Gpu, Ingredients, Method, bench::Bench, plan::Options};
//!
//! let gpu = Gpu::new()?;
//! let bench = Bench::new(&gpu, &Method::rk4(), &Ingredients::default(), Options::default(), 1 << 20, 1)?;
//! println!("worst error: {:.1e}", bench.check()?.worst);
//! for (i, kernel) in bench.kernels().iter().enumerate() {
//!     println!("{}: {} words read, {} written", kernel.label, kernel.reads, kernel.writes);
//!     let mut encoder = gpu.device().create_command_encoder(&Default::default());
//!     {
//!         let mut pass = encoder.begin_compute_pass(&Default::default());
//!         bench.own(0, i).record(&mut pass);
//!         bench.bare(0, i).record(&mut pass);
//!     }
//!     gpu.queue().submit([encoder.finish()]);
//! }
//! # Ok::<(), kutta::Error>(())
//! ```

mod elementwise;
pub(crate) mod error;
#[cfg(test)]
mod tests;
mod touches;

pub use error::BenchError;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use crate::device::Gpu;
use crate::device::GpuError;
use crate::device::commands::Commands;
use crate::device::traversal::Traversal;
use crate::device::vector::Vector;
use crate::error::Error;
use crate::format::Storage;
use crate::ingredients::{Adaptive, Ingredients, Momentum, Preconditioner, Rule, StepSize};
use crate::kernels::control::Control;
use crate::kernels::padding::Gaps;
use crate::kernels::settings::Settings;
use crate::kernels::verdict::{ACCEPTED, REFUSED, Record, SKIPPED};
use crate::layout::ALIGNMENT;
use crate::method::Method;
use crate::plan::{Fusion, Name, Op, Operand, Options, Plan, Purpose, Slot, Use, What};
use crate::recorder::{Context, Dispatch, Recorder, most_storage_buffers};
use crate::reference::replay::{Replay, replays};
use crate::source::{Evaluation, GradientSource, SourceError};
use crate::state::{RING, Sizes, State};
pub(crate) use elementwise::compile;
use elementwise::{Elementwise, Value, most_elements};
use touches::{Touch, apart, moments, touches};

/// h of the attempts, where no rule chooses it: large enough that an increment shows.
const H: f64 = 0.25;
/// Attempts that [`Bench::endurance`] tries.
const MOST_ATTEMPTS: u32 = 100;
/// Elements replayed at once, at least.
const WINDOW: usize = 1 << 20;

/// Dispatches that belong together.
#[derive(Clone, Debug, Default)]
pub struct Work {
    launches: Vec<Launch>,
}

#[derive(Clone, Debug)]
struct Launch {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    groups: [u32; 3],
}

impl Work {
    /// Records the dispatches, in order.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        for Launch { pipeline, bind_group, groups: [x, y, z] } in &self.launches {
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, bind_group, &[]);
            pass.dispatch_workgroups(*x, *y, *z);
        }
    }

    /// Dispatches recorded.
    pub fn dispatches(&self) -> usize {
        self.launches.len()
    }

    fn extend(&mut self, other: &Self) {
        self.launches.extend(other.launches.iter().cloned());
    }
}

impl From<&Dispatch> for Launch {
    fn from(dispatch: &Dispatch) -> Self {
        Self {
            pipeline: dispatch.pipeline.clone(),
            bind_group: dispatch.bind_group.clone(),
            groups: [dispatch.groups, 1, 1],
        }
    }
}

impl<'d> FromIterator<&'d Dispatch> for Work {
    fn from_iter<I: IntoIterator<Item = &'d Dispatch>>(dispatches: I) -> Self {
        Self { launches: dispatches.into_iter().map(Launch::from).collect() }
    }
}

/// One kernel of a plan: what it does, and the words per parameter it moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    pub label: String,
    pub reads: usize,
    pub writes: usize,
    /// Bytes per parameter, both ways: four a word, or two where it is stored narrow.
    pub bytes: usize,
}

impl Kernel {
    /// Words per parameter read and written.
    pub fn words(&self) -> usize {
        self.reads + self.writes
    }
}

/// The findings of [`Bench::check`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Checked {
    /// Values compared, over all vectors.
    pub elements: u64,
    /// The largest |found − expected| / max(1, all |expected|), by vectors.
    pub worst: f64,
}

/// Largest error of an element: some rounding errors of f32, and far less than any
/// coefficient that is off.
const TOLERANCE: f64 = 2e-5;

/// One plan on vectors of n elements, in one or more sets of buffers, whose
/// gradients are random numbers of size 0.5 to 1.5 that depend on their index alone.
///
/// Each attempt is accepted: tolerances are loose and h is at most 0.25, unless a
/// rule chooses it. Clipping never bites and all parameter groups are alike, but the
/// kernels do not know that.
#[derive(Debug)]
pub struct Bench {
    gpu: Gpu,
    method: Method,
    plan: Plan,
    walk: Traversal,
    n: usize,
    kernels: Vec<Kernel>,
    words: usize,
    sets: Vec<Set>,
    recorder: Recorder,
}

/// One set of buffers, and what runs on it.
#[derive(Debug)]
struct Set {
    state: State,
    begin: Work,
    /// The work before the first attempt, with gradients.
    opening: Work,
    /// An attempt with the gradients that a source would write.
    attempt: Work,
    /// An attempt of kutta's own kernels alone.
    step: Work,
    /// Per parameter, that a step moves.
    words: usize,
    /// The vectors between kernels that compute one thing each.
    _between: Vec<Vector>,
    /// θ and the gradients, where an attempt expects them, and moments of one.
    fresh: Work,
    /// Kernels' work, by the numbers of [`Bench::kernels`].
    own: Vec<Work>,
    bare: Vec<Work>,
}

impl Bench {
    /// Plans, allocates and compiles. `sets` of buffers, at least one, are for those
    /// who want them cold: they take them in turn.
    ///
    /// # Errors
    /// No elements or more than 2³² − 1, a method that cannot be planned with these
    /// ingredients, more bytes than there are ([`BenchError::Memory`]), a device too small.
    pub fn new(
        gpu: &Gpu,
        method: &Method,
        ingredients: &Ingredients,
        options: Options,
        n: usize,
        sets: usize,
    ) -> Result<Self, Error> {
        let plan = Plan::with_ingredients(method, &tame(ingredients), options)?;
        Self::of(gpu, method, plan, n, sets)
    }

    fn of(gpu: &Gpu, method: &Method, plan: Plan, n: usize, sets: usize) -> Result<Self, Error> {
        let most = u32::MAX as usize;
        if n == 0 || n > most {
            return Err(BenchError::Length { found: n, most }.into());
        }
        check_memory(gpu, n, sets, Self::bytes(&plan, n, sets))?;
        let walk = Traversal::new(n, gpu.is_software());
        let settings = settings(&plan, method, &walk, n);
        let evaluations =
            plan.ops().iter().chain(plan.opening()).filter(|op| evaluates(op)).count();
        let pool_len = n + evaluations * ALIGNMENT;
        check_limits(gpu, &plan, &walk, n, pool_len)?;
        let pool = Vector::zeros(gpu, "random gradients", pool_len)?;
        upload(gpu, &pool, &|i| value(POOL, i))?;
        let theta: Vec<f32> = (0..n).map(|i| value(THETA, i)).collect();
        let mut elementwise = Elementwise::new(gpu, walk, most_elements(gpu, &plan));
        let mut made = Vec::new();
        let mut first = None;
        for _ in 0..sets.max(1) {
            let state = State::new(gpu, &plan, &walk, &theta, Gaps::default(), &[])?;
            gpu.upload(&state.settings, bytemuck::bytes_of(&settings))?;
            let recorder = Recorder::new(gpu, &plan, &state, walk, gpu.binding_elements())?;
            made.push(Set::new(&mut elementwise, &plan, state, &recorder, &pool)?);
            first.get_or_insert(recorder);
        }
        let recorder = first.unwrap_or_else(|| unreachable!("there is at least one set"));
        let state = &made[0].state;
        let kernels = moving(&plan).map(|op| {
            let touched = touches(op, &plan, state);
            let count = |of: fn(&Touch) -> usize| touched.iter().map(of).sum();
            Kernel {
                label: op.label(),
                reads: count(|touch| touch.reads.len()),
                writes: count(|touch| touch.writes.len()),
                bytes: count(|touch| {
                    (touch.reads.len() + touch.writes.len()) * touch.vector.storage().bytes()
                }),
            }
        });
        let kernels = kernels.collect();
        let bench = Self {
            gpu: gpu.clone(),
            method: method.clone(),
            kernels,
            words: made[0].words,
            walk,
            n,
            sets: made,
            recorder,
            plan,
        };
        for set in &bench.sets {
            bench.submit(|pass| {
                set.begin.record(pass);
                set.opening.record(pass);
            });
        }
        Ok(bench)
    }

    /// Bytes on the device that so many sets take, within a few per cent.
    pub fn bytes(plan: &Plan, n: usize, sets: usize) -> u64 {
        let ring = u64::from(RING) * size_of::<Record>() as u64;
        let resident = Vector::bytes(n) / 4 * plan.resident_bytes() as u64;
        let between = if splits_ingredients(plan) { 2 * Vector::bytes(n) } else { 0 };
        (resident + between + ring).saturating_mul(sets as u64).saturating_add(Vector::bytes(n))
    }

    /// The plan that [`Bench::new`] makes, to be looked at before.
    ///
    /// # Errors
    /// A method that cannot be planned with these ingredients.
    pub fn plan_of(
        method: &Method,
        ingredients: &Ingredients,
        options: Options,
    ) -> Result<Plan, Error> {
        Ok(Plan::with_ingredients(method, &tame(ingredients), options)?)
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Elements of each vector.
    pub fn len(&self) -> usize {
        self.n
    }

    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Sets of buffers.
    pub fn sets(&self) -> usize {
        self.sets.len()
    }

    /// The kernels of an attempt that move words, in order; those of one that renews
    /// ρ, where that is estimated.
    pub fn kernels(&self) -> &[Kernel] {
        &self.kernels
    }

    /// The dispatches of a kernel on a set; sets are taken in turn.
    pub fn own(&self, set: usize, kernel: usize) -> &Work {
        &self.sets[set % self.sets.len()].own[kernel]
    }

    /// A hand-written kernel with the same reads and writes, on the same buffers.
    pub fn bare(&self, set: usize, kernel: usize) -> &Work {
        &self.sets[set % self.sets.len()].bare[kernel]
    }

    /// The work that comes once before the attempts of a submit.
    pub fn begin(&self, set: usize) -> &Work {
        &self.sets[set % self.sets.len()].begin
    }

    /// Words per parameter that [`Bench::step`] moves.
    pub fn words(&self) -> usize {
        self.words
    }

    /// Bytes per parameter that [`Bench::step`] moves.
    pub fn moved(&self) -> usize {
        if splits_ingredients(&self.plan) { 4 * self.words } else { self.plan.bytes_guarded() }
    }

    /// All own dispatches of an attempt; without fusion, and with steps of given size,
    /// preconditioner and momentum are made of one kernel an element-wise operation too,
    /// which move what those would and compute nothing. Its gradients are what the attempt before left
    /// in their buffers, which may be sums of them: after [`Bench::endurance`] attempts
    /// it is time for [`Bench::refill`].
    pub fn step(&self, set: usize) -> &Work {
        &self.sets[set % self.sets.len()].step
    }

    /// Finds how many attempts in a row, at most a hundred, are accepted after a
    /// [`Bench::refill`] before numbers leave the range of f32; found by trial on
    /// short vectors. Waits.
    ///
    /// # Errors
    /// A lost device.
    pub fn endurance(&self) -> Result<u32, Error> {
        const SHORT: usize = 1 << 14;
        let short = Self::of(&self.gpu, &self.method, self.plan.clone(), SHORT, 1)?;
        short.refill();
        short.submit(|pass| {
            short.begin(0).record(pass);
            (0..MOST_ATTEMPTS).for_each(|_| short.step(0).record(pass));
        });
        let size = size_of::<Record>() as u64;
        let bytes = 0..u64::from(MOST_ATTEMPTS) * size;
        let bytes = pollster::block_on(self.gpu.read_buffer(&short.sets[0].state.ring, bytes))?;
        let records: Vec<Record> = bytemuck::pod_collect_to_vec(&bytes);
        // One that is refused has a shorter one after it, which may be accepted.
        let first = records.iter().position(|record| record.verdict != ACCEPTED);
        let accepted = first.map_or(MOST_ATTEMPTS, |first| first as u32);
        // Longer vectors hold larger numbers, and so does what earlier attempts left.
        let safe = if accepted == MOST_ATTEMPTS { accepted } else { accepted / 2 };
        Ok(safe.max(accepted.min(1)))
    }

    /// Writes random gradients and a random θ again, in all sets, and moments of one.
    pub fn refill(&self) {
        self.submit(|pass| self.sets.iter().for_each(|set| set.fresh.record(pass)));
    }

    /// Records attempts the way an optimizer does: the opening of a submit, then
    /// each operation in turn, with a source that records nothing.
    ///
    /// # Errors
    /// None: this source has none.
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder, attempts: u32) -> Result<(), Error> {
        let mut pass = None;
        let mut commands = Commands::new(encoder, &mut pass);
        self.recorder.begin(&mut commands);
        for i in 0..attempts {
            let (gpu, state) = (&self.gpu, &self.sets[0].state);
            let commands = commands.reborrow();
            let context =
                Context { gpu, optimizer: 0, state, cursor: None, commands, source: &mut Silent };
            self.recorder.attempt(i == 0, false, context)?;
        }
        Ok(())
    }

    /// Records the same dispatches in a plain loop.
    pub fn record_by_hand(&self, encoder: &mut wgpu::CommandEncoder, attempts: u32) {
        let descriptor =
            wgpu::ComputePassDescriptor { label: Some("kutta"), timestamp_writes: None };
        let mut pass = encoder.begin_compute_pass(&descriptor);
        self.sets[0].begin.record(&mut pass);
        for _ in 0..attempts {
            self.sets[0].step.record(&mut pass);
        }
    }

    /// Tells whether all attempts so far were accepted, on all sets. Waits.
    ///
    /// # Errors
    /// [`BenchError::NotAccepted`], or a lost device.
    pub fn verify(&self) -> Result<(), Error> {
        for set in &self.sets {
            let Control { attempts, accepted, skipped, refused, .. } = self.control(set)?;
            if accepted != attempts {
                let error = BenchError::NotAccepted { attempts, accepted, skipped, refused };
                return Err(error.into());
            }
        }
        Ok(())
    }

    fn control(&self, set: &Set) -> Result<Control, GpuError> {
        let bytes = 0..size_of::<Control>() as u64;
        let bytes = pollster::block_on(self.gpu.read_buffer(&set.state.control, bytes))?;
        Ok(bytemuck::pod_read_unaligned(&bytes))
    }

    /// Poisons every vector, makes one attempt on the first set, and compares every
    /// element that a kernel wrote with [`Replay`]. To be called before any other
    /// attempt. Waits.
    ///
    /// # Errors
    /// [`BenchError::Differs`] for the first element that is off,
    /// [`BenchError::NotAccepted`], or a lost device.
    pub fn check(&self) -> Result<Checked, Error> {
        let Set { state, begin, attempt, .. } = &self.sets[0];
        for vector in state.vectors.iter().skip(1) {
            poison(&self.gpu, vector)?;
        }
        self.submit(|pass| {
            begin.record(pass);
            attempt.record(pass);
        });
        let bytes = 0..size_of::<Record>() as u64;
        let bytes = pollster::block_on(self.gpu.read_buffer(&state.ring, bytes))?;
        let record: Record = bytemuck::pod_read_unaligned(&bytes);
        if record.verdict != ACCEPTED {
            let [accepted, skipped, refused] =
                [ACCEPTED, SKIPPED, REFUSED].map(|v| u32::from(record.verdict == v));
            let error = BenchError::NotAccepted { attempts: 1, accepted, skipped, refused };
            return Err(error.into());
        }
        let mut checked = Checked { elements: 0, worst: 0.0 };
        let window = WINDOW.max(self.walk.least_chunk());
        for start in (0..self.n).step_by(window) {
            let range = start..self.n.min(start + window);
            self.compare(range, f64::from(record.h), &mut checked)?;
        }
        Ok(checked)
    }

    /// One window of the vectors after an attempt against its replay.
    fn compare(&self, range: Range<usize>, h: f64, checked: &mut Checked) -> Result<(), Error> {
        let (plan, state) = (&self.plan, &self.sets[0].state);
        let theta: Vec<f64> = range.clone().map(|i| f64::from(value(THETA, i))).collect();
        let mut replay = Replay::new(plan, &theta);
        let stages = stage_evaluations(plan);
        let attempt = replay.attempt(h, &mut |stage, _| {
            let (from, storage) = stages.get(&(stage as u32)).copied().unwrap_or_default();
            let value = |i| f64::from(stored(value(POOL, from * ALIGNMENT + i), storage));
            range.clone().map(value).collect()
        })?;
        if !attempt.accepted {
            let error =
                BenchError::NotAccepted { attempts: 1, accepted: 0, skipped: 0, refused: 1 };
            return Err(error.into());
        }
        let mut same = |what: &str, found: &[f32], expected: &mut dyn Iterator<Item = f64>| {
            let expected: Vec<f64> = expected.collect();
            // What is added up is as large as the largest, and so is what is rounded.
            let scale = expected.iter().fold(1.0, |most, x| x.abs().max(most));
            for (i, (&found, &expected)) in found.iter().zip(&expected).enumerate() {
                let error = (f64::from(found) - expected).abs() / scale;
                // What is no number is no match.
                if error.is_nan() || error > TOLERANCE {
                    let (method, what) = (plan.method().to_owned(), what.to_owned());
                    let index = range.start + i;
                    return Err(BenchError::Differs { method, what, index, found, expected });
                }
                checked.elements += 1;
                checked.worst = checked.worst.max(error);
            }
            Ok(())
        };
        for (slot, name) in replayed(plan) {
            let found = state.vectors[slot].read_range(&self.gpu, range.clone())?;
            let expected = &mut replay.slot(slot).iter().copied();
            same(&format!("{name} in buffer {slot}"), &found, expected)?;
        }
        if plan.ingredients().average.is_some() {
            let beta = plan.ingredients().average.unwrap_or(0.0);
            let found = state.average.read_range(&self.gpu, range.clone())?;
            let both = theta.iter().zip(replay.theta());
            same("the average", &found, &mut both.map(|(a, b)| beta * a + (1.0 - beta) * b))?;
        }
        let kinds = plan.ingredients().preconditioner.vectors();
        let (width, halves) = (plan.state_width(), plan.state_halves());
        for kind in 0..kinds {
            let grouped = plan.ingredients().grouped;
            let part = kind * halves + (halves - 1);
            let found = self.interleaved(&state.second, width, grouped, part, &range)?;
            let expected = &mut replay.second(halves - 1).iter().map(|both| both[kind]);
            same("the preconditioner's state", &found, expected)?;
        }
        let halves = plan.mean_halves();
        if halves > 0 {
            let found = self.interleaved(&state.mean, halves, false, halves - 1, &range)?;
            let expected = &mut replay.mean(halves - 1).iter().copied();
            same("the momentum", &found, expected)?;
        }
        Ok(())
    }

    /// One of the vectors that lie interleaved by spans in a buffer.
    fn interleaved(
        &self,
        vector: &Vector,
        width: usize,
        grouped: bool,
        part: usize,
        range: &Range<usize>,
    ) -> Result<Vec<f32>, GpuError> {
        let span = self.walk.least_chunk();
        let stride = width * span + if grouped { span / 16 } else { 0 };
        let mut values = Vec::with_capacity(range.len());
        for start in range.clone().step_by(span) {
            let first = start / span * stride + part * span;
            let len = span.min(range.end - start);
            values.extend(vector.read_range(&self.gpu, first..first + len)?);
        }
        Ok(values)
    }

    fn submit(&self, record: impl FnOnce(&mut wgpu::ComputePass<'_>)) {
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        record(&mut encoder.begin_compute_pass(&Default::default()));
        self.gpu.queue().submit([encoder.finish()]);
    }
}

impl Set {
    fn new(
        elementwise: &mut Elementwise,
        plan: &Plan,
        state: State,
        recorder: &Recorder,
        pool: &Vector,
    ) -> Result<Self, Error> {
        let (gpu, walk) = (elementwise.gpu.clone(), elementwise.walk);
        let begin = std::iter::once(recorder.begin_dispatch()).collect();
        let loss = gives_loss(plan).then(|| loss_of_one(&gpu, &state));
        let mut given = 0;
        let theta = vec![Touch::read(pool), Touch::write(&state.vectors[0])];
        // θ grows with gradients that are sums which hold it.
        let mut fresh = elementwise.work(theta, Value::Sum, &state);
        // And so do its moments, which what is out of range would not leave for long.
        let moments = moments(plan, &state);
        if !moments.is_empty() {
            fresh.extend(&elementwise.work(moments, Value::Sum, &state));
        }
        // Everything an attempt does, where a source's part writes from the pool.
        let mut whole = |ops: &[Op], keep: bool| -> Result<Work, Error> {
            let mut work = Work::default();
            let own = Recorder::by_operation(&gpu, plan, &state, walk, ops)?;
            for (op, own) in ops.iter().zip(&own) {
                work.extend(&own.iter().collect());
                let Op::Evaluate { gradient, adds, purpose, .. } = op else { continue };
                let from = Touch { first: given * ALIGNMENT, ..Touch::read(pool) };
                let into = &state.vectors[gradient.slot];
                let into = if *adds { Touch::both(into) } else { Touch::write(into) };
                let gives = elementwise.work(vec![from, into], Value::Sum, &state);
                given += 1;
                work.extend(&gives);
                if keep && !*adds {
                    fresh.extend(&gives);
                }
                if let Some(loss) = loss.as_ref().filter(|_| *purpose == Purpose::Stage(1)) {
                    work.extend(loss);
                }
            }
            Ok(work)
        };
        let attempt = whole(plan.ops(), true)?;
        let opening = whole(plan.opening(), false)?;
        let mut step = loss.unwrap_or_default();
        let mut words = plan.words_guarded();
        let mut between = vec![];
        if splits_ingredients(plan) {
            for _ in 0..2 {
                between.push(Vector::zeros(&gpu, "between kernels", pool.len())?);
            }
            let own = Recorder::by_operation(&gpu, plan, &state, walk, plan.ops())?;
            for (op, own) in plan.ops().iter().zip(&own) {
                match apart(op, plan, &state, [&between[0], &between[1]]) {
                    None => step.extend(&own.iter().collect()),
                    Some(parts) => {
                        words -= op.words(plan.ingredients());
                        for part in parts {
                            let moved = |touch: &Touch| touch.reads.len() + touch.writes.len();
                            words += part.iter().map(moved).sum::<usize>();
                            step.extend(&elementwise.work(part, Value::Bounded, &state));
                        }
                    }
                }
            }
        } else {
            step.extend(&recorder.attempt_dispatches().into_iter().collect());
        }
        let ops: Vec<Op> = moving(plan).cloned().collect();
        let own = Recorder::by_operation(&gpu, plan, &state, walk, &ops)?;
        let own = own.iter().map(|dispatches| dispatches.iter().collect()).collect();
        let bare = ops
            .iter()
            .map(|op| elementwise.work(touches(op, plan, &state), Value::Largest, &state))
            .collect();
        Ok(Self {
            state,
            begin,
            opening,
            attempt,
            step,
            words,
            _between: between,
            fresh,
            own,
            bare,
        })
    }
}

/// Records no work, so that gradients stay as they are.
struct Silent;

impl GradientSource for Silent {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        at.pass();
        Ok(())
    }

    fn adds(&self) -> bool {
        true
    }

    fn products(&self) -> bool {
        true
    }
}

/// Vectors that a copy, a read and a write of n elements run on: what a device
/// gives at most.
#[derive(Debug)]
pub struct Ceilings {
    sets: Vec<[Work; 3]>,
}

/// One of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ceiling {
    /// y = x, in vec4s: two words.
    Copy,
    /// Reads x and writes nothing: one word.
    Read,
    /// Writes y and reads nothing: one word.
    Write,
}

impl Ceiling {
    pub const ALL: [Self; 3] = [Self::Copy, Self::Read, Self::Write];

    pub fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    /// Words per element.
    pub fn words(self) -> usize {
        match self {
            Self::Copy => 2,
            Self::Read | Self::Write => 1,
        }
    }
}

impl Ceilings {
    /// Two vectors in each of the `sets`.
    ///
    /// # Errors
    /// No elements, or a device too small.
    pub fn new(gpu: &Gpu, n: usize, sets: usize) -> Result<Self, Error> {
        let most = u32::MAX as usize;
        if n == 0 || n > most {
            return Err(BenchError::Length { found: n, most }.into());
        }
        let walk = Traversal::new(n, gpu.is_software());
        check_memory(gpu, n, sets, Self::bytes(n, sets))?;
        let mut elementwise = Elementwise::new(gpu, walk, gpu.binding_elements());
        let elsewhere = Vector::zeros(gpu, "elsewhere", ALIGNMENT)?;
        let mut made = Vec::new();
        for _ in 0..sets.max(1) {
            let x = Vector::zeros(gpu, "source of a copy", n)?;
            let y = Vector::zeros(gpu, "target of a copy", n)?;
            upload(gpu, &x, &|i| value(THETA, i))?;
            let mut work = |touches| elementwise.dispatches(touches, Value::Largest, &elsewhere);
            made.push([
                work(vec![Touch::read(&x), Touch::write(&y)]),
                work(vec![Touch::read(&x)]),
                work(vec![Touch::write(&y)]),
            ]);
        }
        Ok(Self { sets: made })
    }

    /// Bytes on the device.
    pub fn bytes(n: usize, sets: usize) -> u64 {
        (2 * Vector::bytes(n)).saturating_mul(sets as u64)
    }

    pub fn sets(&self) -> usize {
        self.sets.len()
    }

    /// The dispatches of one of them on a set; sets are taken in turn.
    pub fn work(&self, set: usize, ceiling: Ceiling) -> &Work {
        &self.sets[set % self.sets.len()][ceiling as usize]
    }
}

/// Tells whether there is room for so many sets, where that is known.
/// Refuses what the device's limits do not allow, before anything is allocated.
fn check_limits(
    gpu: &Gpu,
    plan: &Plan,
    walk: &Traversal,
    n: usize,
    pool: usize,
) -> Result<(), Error> {
    let sizes = Sizes::of(plan, walk, n);
    gpu.check_limits("the bench", sizes.least)?;
    let (needed, found) = (most_storage_buffers(plan).into(), gpu.storage_bindings().into());
    if needed > found {
        let (what, limit) = ("the plan".into(), "max_storage_buffers_per_shader_stage");
        return Err(GpuError::LimitTooSmall { what, limit, needed, found }.into());
    }
    let pool = [("random gradients", Vector::bytes(pool))];
    for (what, bytes) in sizes.buffers().into_iter().chain(pool) {
        gpu.check_buffer(what, bytes)?;
    }
    Ok(())
}

fn check_memory(gpu: &Gpu, n: usize, sets: usize, needed: u64) -> Result<(), Error> {
    match gpu.available_memory() {
        Some(available) if needed > available => {
            Err(BenchError::Memory { n, sets, needed, available }.into())
        }
        _ => Ok(()),
    }
}

/// Tames ingredients so that every attempt is accepted.
fn tame(ingredients: &Ingredients) -> Ingredients {
    let adaptive = ingredients.adaptive.map(|adaptive| Adaptive {
        rtol: 1.0,
        atol: 1e6,
        h_min: 1e-30,
        h_max: H,
        ..adaptive
    });
    let clip = ingredients.clip.map(|_| f64::from(f32::MAX));
    Ingredients { adaptive, clip, ..*ingredients }
}

fn settings(plan: &Plan, method: &Method, walk: &Traversal, n: usize) -> Settings {
    let ingredients = plan.ingredients();
    let mut settings = Settings {
        accepted_limit: u32::MAX,
        stages: plan.evaluations(),
        partials: walk.partials() as u32,
        ring: RING,
        log_second: ingredients.log_second() as f32,
        log_mean: ingredients.log_mean() as f32,
        count: n as f32,
        clip: ingredients.clip.unwrap_or(0.0) as f32,
        first_h: H as f32,
        restart: 1,
        ..Settings::default()
    };
    settings.set_end(None);
    settings.set_step_size(&StepSize::constant(H as f32));
    if let Some(adaptive) = &ingredients.adaptive {
        settings.set_adaptive(adaptive, plan.error_order());
    }
    if let Some(rule) = &ingredients.rule {
        settings.set_rule(rule, method.tableau().a(1, 0));
        settings.first_h = rule.at_curvature(0.0) as f32;
    }
    settings
}

/// Tells whether ingredients are made of kernels that compute one thing each.
fn splits_ingredients(plan: &Plan) -> bool {
    let Ingredients { preconditioner, momentum, grouped, adaptive, .. } = *plan.ingredients();
    let some = preconditioner != Preconditioner::None || momentum != Momentum::None;
    // The verdict on an error needs one that is computed.
    let plain = !grouped && adaptive.is_none();
    plan.options().fusion == Fusion::None && some && plain
}

fn evaluates(op: &Op) -> bool {
    matches!(op, Op::Evaluate { .. })
}

/// Gives by stage the place of its evaluation among all of an attempt, and how its gradient
/// is stored.
fn stage_evaluations(plan: &Plan) -> HashMap<u32, (usize, Storage)> {
    let packed = |into: Operand, at: usize| match plan.ops().get(at + 1) {
        Some(Op::Pack { from, to }) if *from == into => to.storage,
        _ => into.storage,
    };
    let evaluations = plan.ops().iter().enumerate().filter_map(|(at, op)| match op {
        Op::Evaluate { purpose, gradient, .. } => Some((*purpose, packed(*gradient, at))),
        _ => None,
    });
    let stage = |(i, (purpose, storage))| match purpose {
        Purpose::Stage(stage) => Some((stage, (i, storage))),
        _ => None,
    };
    evaluations.enumerate().filter_map(stage).collect()
}

/// x as it is read back.
fn stored(x: f32, storage: Storage) -> f32 {
    match storage {
        Storage::F32 => x,
        Storage::F16 => half::f16::from_f32(x).to_f32(),
        Storage::Bf16 => half::bf16::from_f32(x).to_f32(),
    }
}

/// A rule that follows the loss skips attempts without one.
fn gives_loss(plan: &Plan) -> bool {
    matches!(plan.ingredients().rule, Some(Rule::Polyak { .. }))
}

/// The operations that move words, of an attempt that renews ρ if one does.
fn moving(plan: &Plan) -> impl Iterator<Item = &Op> {
    let ops = if plan.renewing().is_empty() { plan.ops() } else { plan.renewing() };
    ops.iter().filter(|op| op.words(plan.ingredients()) > 0)
}

/// The buffers that a replay knows after an attempt, with what is in them: what it computes
/// from nothing but what it knows.
fn replayed(plan: &Plan) -> Vec<(Slot, Name)> {
    let mut known: BTreeMap<Slot, Name> = BTreeMap::from([(0, Name::Theta)]);
    for op in plan.ops() {
        let touches = op.touches(plan.ingredients());
        let vectors = touches.iter().filter_map(|touch| match touch.what {
            What::Vector(operand) if !touch.by.seldom => Some((touch.by, operand)),
            _ => None,
        });
        let vectors: Vec<(Use, Operand)> = vectors.collect();
        let mut read = vectors.iter().filter(|(by, _)| by.reads);
        let is_known = replays(op) && read.all(|(_, operand)| known.contains_key(&operand.slot));
        for (_, Operand { name, slot, .. }) in vectors.into_iter().filter(|(by, _)| by.writes) {
            match is_known {
                true => known.insert(slot, name),
                false => known.remove(&slot),
            };
        }
    }
    known.into_iter().collect()
}

/// Writes L(θ) = 1 where a source would.
fn loss_of_one(gpu: &Gpu, state: &State) -> Work {
    let text = "@group(0) @binding(0) var<storage, read_write> loss: array<f32>;
        @compute @workgroup_size(1) fn main() { loss[0] = 1.0; }";
    let pipeline = compile(gpu, text);
    let bind_group = gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("loss"),
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[wgpu::BindGroupEntry { binding: 0, resource: state.loss.as_entire_binding() }],
    });
    Work { launches: vec![Launch { pipeline, bind_group, groups: [1, 1, 1] }] }
}

const THETA: u32 = 0x9e37_79b9;
const POOL: u32 = 0x85eb_ca6b;

/// A number of size 0.5 to 1.5 by stream and index (Wellons' `lowbias32`).
fn value(stream: u32, i: usize) -> f32 {
    let mut x = (i as u32).wrapping_add(stream);
    x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^= x >> 16;
    let size = 0.5 + (x >> 9) as f32 / (1u32 << 23) as f32;
    if x & 1 == 1 { size } else { -size }
}

/// Makes every number of a vector a NaN, in whatever storage.
fn poison(gpu: &Gpu, vector: &Vector) -> Result<(), GpuError> {
    fill(gpu, vector, vector.buffer().size() as usize, &|bytes| vec![0xff; bytes.len()])
}

/// Fills a vector in pieces, so that the host never holds all of it.
fn upload(gpu: &Gpu, vector: &Vector, value: &dyn Fn(usize) -> f32) -> Result<(), GpuError> {
    fill(gpu, vector, 4 * vector.len(), &|bytes| {
        let values: Vec<f32> = (bytes.start / 4..bytes.end / 4).map(value).collect();
        bytemuck::cast_slice(&values).to_vec()
    })
}

fn fill(
    gpu: &Gpu,
    vector: &Vector,
    bytes: usize,
    value: &dyn Fn(Range<usize>) -> Vec<u8>,
) -> Result<(), GpuError> {
    const PIECE: usize = 16 << 20;
    for start in (0..bytes).step_by(PIECE) {
        let piece = value(start..bytes.min(start + PIECE));
        gpu.queue().write_buffer(vector.buffer(), start as u64, &piece);
        // Staging memory is kept until the queue is past it.
        gpu.queue().submit([]);
        let lost = |_| GpuError::DeviceLost { during: "filling a vector" };
        gpu.device().poll(wgpu::PollType::wait_indefinitely()).map_err(lost)?;
    }
    Ok(())
}
