//! Runs what benchmark programs need: the own dispatches of any plan without a gradient
//! source, beside each a bare kernel of the same reads and writes, ceilings, and a
//! check of every element against f64.
//!
//! Nothing here takes a time: that is up to the program, see `kutta roofline`.
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

mod accepted;
mod ceilings;
mod check;
mod elementwise;
pub(crate) mod error;
mod gradients;
mod kernels;
mod numbers;
mod room;
mod set;
#[cfg(test)]
mod tests;
mod touches;
mod work;

use crate::device::commands::Commands;
use crate::device::traversal::Traversal;
use crate::device::vector::Vector;
use crate::device::{Gpu, GpuError};
use crate::error::Error;
use crate::ingredients::Ingredients;
use crate::kernels::control::Control;
use crate::kernels::padding::Gaps;
use crate::kernels::verdict::{ACCEPTED, Record};
use crate::layout::ALIGNMENT;
use crate::method::Method;
use crate::plan::{Options, Plan};
use crate::recorder::{Context, Ending, Recorder};
use crate::source::{Evaluation, GradientSource, SourceError};
use crate::state::{RING, State};
use accepted::{settings, tame};
pub use ceilings::{Ceiling, Ceilings};
pub use check::Checked;
#[cfg(test)]
pub(crate) use elementwise::compile;
use elementwise::{Elementwise, most_elements};
pub use error::BenchError;
pub use gradients::Gradients;
pub use kernels::KernelCost;
use kernels::{evaluates, moving, splits_ingredients};
use numbers::{POOL, THETA, upload, value};
use room::{check_length, check_limits, check_memory};
use set::Set;
pub use work::Work;

/// Attempts that [`Bench::endurance`] tries.
const MOST_ATTEMPTS: u32 = 100;
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
    kernels: Vec<KernelCost>,
    words: usize,
    sets: Vec<Set>,
    recorder: Recorder,
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
        check_length(n)?;
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
            let (most, ending) = (gpu.binding_elements(), Ending::Automatic);
            let recorder = Recorder::new(gpu, &plan, &state, walk, most, ending)?;
            made.push(Set::new(&mut elementwise, &plan, state, &recorder, &pool)?);
            first.get_or_insert(recorder);
        }
        let recorder = first.unwrap_or_else(|| unreachable!("there is at least one set"));
        let state = &made[0].state;
        let kernels = moving(&plan).map(|op| KernelCost::of(op, &plan, state)).collect();
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
    pub fn kernels(&self) -> &[KernelCost] {
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

    fn submit(&self, record: impl FnOnce(&mut wgpu::ComputePass<'_>)) {
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        record(&mut encoder.begin_compute_pass(&Default::default()));
        self.gpu.queue().submit([encoder.finish()]);
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
