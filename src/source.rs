//! The contract between an optimizer and a model that gives gradients.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::device::kernel::{Constants, flag};
use crate::device::{Gpu, commands::Commands, vector::Vector};
use crate::format::Storage;
pub use crate::kernels::control::{CONTROL_WGSL, Control};
use crate::layout::ParamLayout;
pub use crate::plan::Check;
use crate::plan::Purpose;

/// The WGSL text by which a kernel checks the gradient that it writes, for the text of a
/// [`Kernel`](crate::device::Kernel) of workgroups of 256: see [`GradientSource::checks`].
///
/// The kernel declares `checks`, begins with `var seen: Seen;`, and calls
/// `look(&seen, k, i)` with elements 4i to 4i + 3 of the whole gradient as it stores them
/// (zeros where there is padding). At its end, in uniform control flow, it calls
/// `leave(&seen, slot, lane)`, in a slot of its own for each workgroup. Its constants are
/// [`Evaluation::check_constants`].
///
/// ```
/// use kutta::device::{Access, Kernel};
/// use kutta::source::CHECKS_WGSL;
/// use kutta::{Evaluation, GradientSource, SourceError};
///
/// // L = ½ ‖θ‖².
/// const GRADIENT: Kernel = Kernel {
///     name: "half_square",
///     text: &[CHECKS_WGSL, "
///         @group(0) @binding(0) var<storage, read> point: array<vec4<f32>>;
///         @group(0) @binding(1) var<storage, read_write> gradient: array<vec4<f32>>;
///         @group(0) @binding(2) var<storage, read_write> checks: Checks;
///         @compute @workgroup_size(256) fn main(
///             @builtin(workgroup_id) group: vec3<u32>,
///             @builtin(local_invocation_index) lane: u32,
///         ) {
///             var seen: Seen;
///             let i = group.x * 256u + lane;
///             if i < arrayLength(&gradient) {
///                 let k = point[i];
///                 gradient[i] = k;
///                 look(&seen, k, i);
///             }
///             leave(&seen, group.x, lane);
///         }"],
///     bindings: &[("point", Access::Read), ("gradient", Access::Write), ("checks", Access::Write)],
///     vectors: &[],
///     structs: &[],
/// };
///
/// struct HalfSquare(usize);
///
/// impl GradientSource for HalfSquare {
///     fn checks(&self) -> u32 {
///         self.0.div_ceil(4 * 256) as u32
///     }
///
///     fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
///         let gpu = at.gpu().clone();
///         let pipeline = gpu.pipeline(&GRADIENT, &at.check_constants());
///         let [point, to] = [at.point(), at.gradient()].map(|v| v.buffer().as_entire_binding());
///         let group = pipeline.bind(&gpu, &[point, to, at.checks().as_entire_binding()]);
///         let workgroups = self.checks();
///         let pass = at.pass();
///         pass.set_pipeline(pipeline.pipeline());
///         pass.set_bind_group(0, &group, &[]);
///         pass.dispatch_workgroups(workgroups, 1, 1);
///         Ok(())
///     }
/// }
///
/// use kutta::{Gpu, Method, Optimizer, ParamLayout, StepSize};
/// let gpu = Gpu::new()?;
/// let mut source = HalfSquare(5000);
/// let mut optimizer = Optimizer::builder(Method::euler())
///     .step_size(StepSize::constant(0.5))
///     .source(&source)
///     .build(&gpu, &ParamLayout::flat(5000)?, &[1.0; 5000])?;
/// let plan = optimizer.plan();
/// assert_eq!((plan.words_bare(), plan.words_guarded()), (3, 3));
/// assert!(optimizer.check_source(&mut source)?.is_sound());
/// optimizer.step(&mut source)?;
/// optimizer.wait()?;
/// let norm = optimizer.reports().pop().and_then(|report| report.grad_norm);
/// assert!((norm.unwrap_or(0.0) - 5000f32.sqrt()).abs() < 1e-4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub const CHECKS_WGSL: &str = "//: use check_gradient\n";

/// Gives the gradient of a loss at points the optimizer asks for.
///
/// All vectors are flat, in the layout that the optimizer was built with, and `f32` unless
/// [`Evaluation::storage`] says otherwise; padding between tensors must stay zero.
///
/// Two things may be kept from one evaluation to the next, each for as long as what names
/// it is equal:
/// - bind groups, by [`Evaluation::key`], which stands for all buffers of the evaluation,
///   the control block among them;
/// - what was gathered for a batch, by [`Evaluation::ticket`]. The purpose does not tell
///   whether the batch is another one: under [`PerStage`](crate::batching::PerStage) and
///   [`Accumulated`](crate::batching::Accumulated) every evaluation has one of its own.
///
/// This source gathers rows of a table, L = ½ ‖θ − x_b‖² on batch b:
///
/// ```
/// use std::collections::HashMap;
///
/// use kutta::source::CONTROL_WGSL;
/// use kutta::device::{Access, Kernel};
/// use kutta::source::{BatchTicket, EvaluationKey};
/// use kutta::{Evaluation, Gpu, GradientSource, SourceError, wgpu};
///
/// const GATHER: Kernel = Kernel {
///     name: "gather",
///     text: &[
///         CONTROL_WGSL,
///         "@group(0) @binding(0) var<uniform> control: Control;
///         @group(0) @binding(1) var<storage, read> table: array<f32>;
///         @group(0) @binding(2) var<storage, read_write> row: array<f32>;
///         @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
///             let n = arrayLength(&row);
///             let rows = arrayLength(&table) / n;
///             if id.x < n { row[id.x] = table[control.batch % rows * n + id.x]; }
///         }",
///     ],
///     bindings: &[("control", Access::Uniform), ("table", Access::Read), ("row", Access::Write)],
///     vectors: &[],
///     structs: &[],
/// };
///
/// const GRADIENT: Kernel = Kernel {
///     name: "distance",
///     text: &["@group(0) @binding(0) var<storage, read> point: array<f32>;
///         @group(0) @binding(1) var<storage, read> row: array<f32>;
///         @group(0) @binding(2) var<storage, read_write> gradient: array<f32>;
///         @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
///             if id.x < arrayLength(&row) { gradient[id.x] = point[id.x] - row[id.x]; }
///         }"],
///     bindings: &[("point", Access::Read), ("row", Access::Read), ("gradient", Access::Write)],
///     vectors: &[],
///     structs: &[],
/// };
///
/// struct Rows {
///     table: wgpu::Buffer,
///     row: wgpu::Buffer,
///     gathered: Option<BatchTicket>,
///     // One bind group for each kernel. A longer program would let old ones go.
///     bound: HashMap<EvaluationKey, [wgpu::BindGroup; 2]>,
/// }
///
/// impl GradientSource for Rows {
///     fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
///         let gpu = at.gpu().clone();
///         let [gather, gradient] = [&GATHER, &GRADIENT].map(|kernel| gpu.pipeline(kernel, &vec![]));
///         let groups = self.bound.entry(at.key()).or_insert_with(|| {
///             let (table, row) = (self.table.as_entire_binding(), self.row.as_entire_binding());
///             let point = at.point().buffer().as_entire_binding();
///             let to = at.gradient().buffer().as_entire_binding();
///             [
///                 gather.bind(&gpu, &[at.control().as_entire_binding(), table, row.clone()]),
///                 gradient.bind(&gpu, &[point, row, to]),
///             ]
///         });
///         let workgroups = at.gradient().len().div_ceil(64) as u32;
///         let (ticket, pass) = (at.ticket(), at.pass());
///         if self.gathered != Some(ticket) {
///             pass.set_pipeline(gather.pipeline());
///             pass.set_bind_group(0, &groups[0], &[]);
///             pass.dispatch_workgroups(workgroups, 1, 1);
///             self.gathered = Some(ticket);
///         }
///         pass.set_pipeline(gradient.pipeline());
///         pass.set_bind_group(0, &groups[1], &[]);
///         pass.dispatch_workgroups(workgroups, 1, 1);
///         Ok(())
///     }
/// }
///
/// use kutta::batching::PerStage;
/// use kutta::{Method, Optimizer, ParamLayout, StepSize};
/// let gpu = Gpu::new()?;
/// let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
/// let rows = Rows {
///     table: gpu.buffer("table", 4 * 256, usage)?,
///     row: gpu.buffer("row", 4 * 64, usage)?,
///     gathered: None,
///     bound: HashMap::new(),
/// };
/// // Row r is all r.
/// let table: Vec<f32> = (0..256).map(|i| (i / 64) as f32).collect();
/// gpu.queue().write_buffer(&rows.table, 0, bytemuck::cast_slice(&table));
/// // Heun's two stages see rows 0 and 1: θ = −h (k₁ + k₂)/2, k₁ = 0, k₂ = −1.
/// let mut optimizer = Optimizer::builder(Method::heun())
///     .step_size(StepSize::constant(0.5))
///     .build(&gpu, &ParamLayout::flat(64)?, &[0.0; 64])?;
/// optimizer.step(&mut PerStage::new(&gpu, rows)?)?;
/// assert_eq!(optimizer.params().read()?, [0.25; 64]);
/// # Ok::<(), kutta::Error>(())
/// ```
///
/// [`Optimizer::check_source`](crate::Optimizer::check_source) holds a source against all of
/// this.
pub trait GradientSource {
    /// Records the work that reads θ from [`Evaluation::point`] and writes
    /// ∇L(θ) to [`Evaluation::gradient`] and, where it knows it, L(θ) to
    /// [`Evaluation::loss`].
    ///
    /// # Errors
    /// Whatever keeps the source from recording. The attempt is then not
    /// recorded and no state changes. The same holds for a source that panics, and for
    /// one that returns without having asked for pass or encoder, unless it submits by
    /// itself: that is an error too.
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError>;

    /// Who advances the batches.
    fn batches(&self) -> BatchesFrom {
        BatchesFrom::Device
    }

    /// The batches that an attempt drew, by the source's own numbers: its one, unless a
    /// wrapper gave it more. A refused attempt drew them too, and its next try draws them
    /// again.
    ///
    /// ```no_run
    /// # fn f(gpu: kutta::Gpu, mlp: kutta::models::Mlp, mut optimizer: kutta::Optimizer)
    /// # -> Result<(), kutta::Error> {
    /// use kutta::{GradientSource, batching::PerStage};
    /// let mut source = PerStage::new(&gpu, mlp)?;
    /// optimizer.run(&mut source, 100)?;
    /// optimizer.wait()?;
    /// let mut samples = 0;
    /// for report in optimizer.reports() {
    ///     let batches = source.drawn(report.draws);
    ///     samples += source.inner_mut().samples_in(batches);
    /// }
    /// # Ok(()) }
    /// ```
    fn drawn(&self, attempt: Draws) -> Range<u64> {
        attempt.batches
    }

    /// Gradients that this source makes for so many evaluations of an optimizer's
    /// ([`Optimizer::evaluations`](crate::Optimizer::evaluations)): as many, unless a wrapper
    /// makes one of several.
    fn gradients(&self, evaluations: u64) -> u64 {
        evaluations
    }

    /// True for a source that answers [`Purpose::Product`]: it then writes
    /// H(θ) v, with v from [`Evaluation::direction`], where a gradient would go.
    fn products(&self) -> bool {
        false
    }

    /// True for a source that adds to the gradient buffer where
    /// [`Evaluation::adds`] says so. Methods of two registers then need one vector
    /// less, where [`Builder::source`](crate::optimizer::Builder::source) asked this source.
    fn adds(&self) -> bool {
        false
    }

    /// True for storages that this source can write gradients in, where
    /// [`Evaluation::storage`] says so: all can write f32. A narrow gradient then needs
    /// no f32 vector beside it, where
    /// [`Builder::source`](crate::optimizer::Builder::source) asked this source.
    fn writes(&self, storage: Storage) -> bool {
        storage == Storage::F32
    }

    /// The device that this source's buffers are on, where it says so: an optimizer on
    /// another then refuses the source, where wgpu would panic or take another buffer of
    /// the same number.
    fn gpu(&self) -> Option<&Gpu> {
        None
    }

    /// The layout of this source's parameters, where it says so: an optimizer whose tensors
    /// have other names, shapes or places then refuses the source, where the source would
    /// take one tensor for another.
    fn layout(&self) -> Option<&ParamLayout> {
        None
    }

    /// True for a source that leaves nothing but zeros in the padding between tensors, as
    /// all of kutta's do. After each gradient of any other, kutta clears it, which takes a
    /// dispatch where there is padding: what lay there would count in norms and errors.
    fn keeps_padding(&self) -> bool {
        false
    }

    /// Partial sums that this source leaves in [`Evaluation::checks`] where
    /// [`Evaluation::check`] asks for them; 0 for a source that checks nothing.
    ///
    /// Every attempt wants to know of its last gradient whether all elements are finite, and
    /// some want its norm. A guard reads the gradient once more for that. A source that looks
    /// at the elements as it writes them spares the guard, where
    /// [`Builder::source`](crate::optimizer::Builder::source) asked this source: one word for
    /// each parameter, and one dispatch. Euler with Adam then moves seven words in two
    /// dispatches, with clipping too, and RK4 moves 14.
    ///
    /// The slots are for the norm: as many as there are workgroups, one root a workgroup. They
    /// are added in their order, and their number may not change from one evaluation to the
    /// next. [`CHECKS_WGSL`] has the functions for a kernel, and an example.
    fn checks(&self) -> u32 {
        0
    }

    /// True for a source that submits work of its own instead of recording.
    /// Such a source works with `step` and `run`; `record` refuses it. What kutta has
    /// recorded before is then submitted first, so that the source may read
    /// [`Evaluation::point`] on the host; for any other source that is an error
    /// ([`GpuError::NotSubmitted`](crate::error::GpuError::NotSubmitted)).
    fn submits(&self) -> bool {
        false
    }
}

impl<S: GradientSource + ?Sized> GradientSource for &mut S {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        (**self).evaluate(at)
    }

    fn batches(&self) -> BatchesFrom {
        (**self).batches()
    }

    fn drawn(&self, attempt: Draws) -> Range<u64> {
        (**self).drawn(attempt)
    }

    fn gradients(&self, evaluations: u64) -> u64 {
        (**self).gradients(evaluations)
    }

    fn products(&self) -> bool {
        (**self).products()
    }

    fn adds(&self) -> bool {
        (**self).adds()
    }

    fn writes(&self, storage: Storage) -> bool {
        (**self).writes(storage)
    }

    fn gpu(&self) -> Option<&Gpu> {
        (**self).gpu()
    }

    fn layout(&self) -> Option<&ParamLayout> {
        (**self).layout()
    }

    fn keeps_padding(&self) -> bool {
        (**self).keeps_padding()
    }

    fn checks(&self) -> u32 {
        (**self).checks()
    }

    fn submits(&self) -> bool {
        (**self).submits()
    }
}

/// Who advances the batches of a [`GradientSource`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum BatchesFrom {
    /// The device, by [`Control::batch`]: a
    /// refused attempt sees the same batch again, unless
    /// [`Rejection::Skip`](crate::Rejection::Skip) leaves it behind.
    #[default]
    Device,
    /// The host, which cannot know of refusals: an adaptive optimizer then
    /// wants [`Rejection::Skip`](crate::Rejection::Skip), or
    /// [`Pace::Wait`](crate::Pace::Wait) and [`Evaluation::batch`].
    Host,
    /// Nobody: there is one batch, and so one gradient at one θ. Methods whose
    /// last stage is the next step's first then spare that gradient.
    One,
}

/// Names a batch: equal tickets, equal batches. Of an [`Evaluation`], by
/// [`Evaluation::ticket`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchTicket(u64);

impl BatchTicket {
    /// One that no other is equal to, in this process.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The tickets of a wrapper, which shows its source several batches for one of its own.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    /// The batch that the last one was for, and the part of it.
    last: Option<(BatchTicket, u32, BatchTicket)>,
}

impl Tickets {
    /// The ticket of a part: another one wherever batch or part are not those of the
    /// last time.
    pub(crate) fn of(&mut self, batch: BatchTicket, part: u32) -> BatchTicket {
        match self.last {
            Some((last, index, ticket)) if (last, index) == (batch, part) => ticket,
            _ => {
                let ticket = BatchTicket::new();
                self.last = Some((batch, part, ticket));
                ticket
            }
        }
    }
}

/// The words of the control block that name batches, where the host knows them; in 64
/// bits, of which the device has the low 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) batch: u64,
    pub(crate) cursor: u64,
    pub(crate) stride: u64,
}

impl Cursor {
    /// Gives the cursor of a part, as `shaders/share_batch.wgsl` has it.
    pub(crate) fn part(self, count: u32, index: u32) -> Self {
        let (count, index) = (u64::from(count), u64::from(index));
        let part = |batch: u64| batch.wrapping_mul(count).wrapping_add(index);
        Self {
            batch: part(self.batch),
            cursor: part(self.cursor),
            stride: self.stride.wrapping_mul(count),
        }
    }

    /// Gives the cursor of a stage, as `shaders/stage_batch.wgsl` has it.
    pub(crate) fn stage(self, draw: u32) -> Self {
        let ahead = u64::from(draw).wrapping_mul(self.stride);
        Self { batch: self.cursor.wrapping_add(ahead), ..self }
    }
}

/// The batches of one attempt, by their numbers as the control block counts them:
/// [`Report::draws`](crate::Report::draws). What a source draws of them is said by
/// [`GradientSource::drawn`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draws {
    /// The attempt's batch, where all its gradients share one.
    pub batches: Range<u64>,
    /// The batches of its stages, where each has one of its own.
    pub stages: Range<u64>,
}

/// Names the buffers of one evaluation, and is equal for equal buffers: what a source
/// makes its bind groups from. Methods of many stages evaluate them all in a few buffers,
/// and so with a few keys. A key keeps its buffers alive.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EvaluationKey {
    pub(crate) optimizer: u64,
    pub(crate) control: wgpu::Buffer,
    point: wgpu::Buffer,
    gradient: wgpu::Buffer,
    direction: Option<wgpu::Buffer>,
    loss: wgpu::Buffer,
    samples: wgpu::Buffer,
    checks: wgpu::Buffer,
    adds: bool,
    check: Option<Check>,
}

/// One gradient evaluation to be recorded.
pub struct Evaluation<'a> {
    pub(crate) gpu: &'a Gpu,
    /// Unique to an optimizer within this process.
    pub(crate) optimizer: u64,
    pub(crate) purpose: Purpose,
    pub(crate) point: &'a Vector,
    pub(crate) gradient: &'a Vector,
    pub(crate) direction: Option<&'a Vector>,
    pub(crate) control: &'a wgpu::Buffer,
    pub(crate) loss: &'a wgpu::Buffer,
    pub(crate) samples: &'a wgpu::Buffer,
    /// The gradient is to be added to what is there.
    pub(crate) adds: bool,
    pub(crate) check: Option<Check>,
    pub(crate) checks: &'a wgpu::Buffer,
    pub(crate) ticket: BatchTicket,
    /// The number of stages of the attempt that came before; for what is no stage, 0.
    pub(crate) draw: u32,
    pub(crate) cursor: Option<Cursor>,
    pub(crate) commands: Commands<'a>,
}

impl<'a> Evaluation<'a> {
    /// Stage 1 of an attempt of nobody's, on the batch that `control` names: for whoever
    /// looks at a source without an optimizer. Fields may be changed before it is used.
    pub(crate) fn alone(
        gpu: &'a Gpu,
        (point, gradient): (&'a Vector, &'a Vector),
        control: &'a wgpu::Buffer,
        [loss, samples, checks]: [&'a wgpu::Buffer; 3],
        commands: Commands<'a>,
    ) -> Self {
        Self {
            gpu,
            optimizer: 0,
            purpose: Purpose::Stage(1),
            point,
            gradient,
            direction: None,
            control,
            loss,
            samples,
            adds: false,
            check: None,
            checks,
            ticket: BatchTicket::new(),
            draw: 0,
            cursor: None,
            commands,
        }
    }
}

impl Evaluation<'_> {
    /// Borrows the evaluation once more, for a wrapper to change what it hands on.
    pub(crate) fn reborrow(&mut self) -> Evaluation<'_> {
        Evaluation { commands: self.commands.reborrow(), ..*self }
    }

    /// The purpose of this gradient. The batch does not follow from it:
    /// [`Evaluation::ticket`] tells that.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Names the batch: as long as the ticket stays the same, so does the batch that
    /// `batch` of the control block names, and a source may go on with what it gathered
    /// for it. With another ticket it must gather anew, whatever the purpose.
    pub fn ticket(&self) -> BatchTicket {
        self.ticket
    }

    /// Names the buffers of this evaluation: equal keys, equal buffers.
    pub fn key(&self) -> EvaluationKey {
        EvaluationKey {
            optimizer: self.optimizer,
            control: self.control.clone(),
            point: self.point.buffer().clone(),
            gradient: self.gradient.buffer().clone(),
            direction: self.direction.map(|direction| direction.buffer().clone()),
            loss: self.loss.clone(),
            samples: self.samples.clone(),
            checks: self.checks.clone(),
            adds: self.adds,
            check: self.check,
        }
    }

    /// The device everything is recorded for.
    pub fn gpu(&self) -> &Gpu {
        self.gpu
    }

    /// θ: read it, `array<f32>` or `array<vec4<f32>>`, in the layout's order.
    pub fn point(&self) -> &Vector {
        self.point
    }

    /// ∇L(θ): write (or, where [`Evaluation::adds`], add to) every element of every tensor;
    /// leave padding at zero.
    pub fn gradient(&self) -> &Vector {
        self.gradient
    }

    /// The storage of the gradient. Where that is not f32, which happens only to sources
    /// whose [`GradientSource::writes`] says so, its buffer is an `array<vec2<u32>>`:
    /// elements 4i to 4i + 3 are the halves of vec2 i, the first one in the low half of
    /// x. Finite values beyond the format's range become its largest; NaN and infinity
    /// must stay such, for the checks to see.
    pub fn storage(&self) -> Storage {
        self.gradient.storage()
    }

    /// The gradient is to be added to what its buffer holds. Never so for a source
    /// whose [`GradientSource::adds`] is false.
    pub fn adds(&self) -> bool {
        self.adds
    }

    /// Asks the source to check the gradient as it writes it: whether every element is finite,
    /// and with [`Check::norm`] what ‖∇L‖ is. Never so for a source whose
    /// [`GradientSource::checks`] is 0. The elements are those that are stored: after they
    /// were added to what was there, and rounded to [`Evaluation::storage`].
    pub fn check(&self) -> Option<Check> {
        self.check
    }

    /// The override constants of [`CHECKS_WGSL`] for [`Evaluation::check`].
    pub fn check_constants(&self) -> Constants {
        check_constants(self.check)
    }

    /// The place for what the check found, to be bound for writing: `struct Checks` of
    /// [`CHECKS_WGSL`]. It is there, and may be bound, whether or not somebody asks.
    pub fn checks(&self) -> &wgpu::Buffer {
        self.checks
    }

    /// v of a Hessian-vector product; `None` for every other purpose.
    pub fn direction(&self) -> Option<&Vector> {
        self.direction
    }

    /// The control block, to be bound as a uniform: `struct Control` of
    /// `shaders/shared/control.wgsl`. Its `batch` is the number of the batch to see. A
    /// wrapper hands on a block of its own, so it is part of [`Evaluation::key`].
    pub fn control(&self) -> &wgpu::Buffer {
        self.control
    }

    /// The number of the batch to see, where the host knows it: under
    /// [`Pace::Wait`](crate::Pace::Wait), in `run` and its like. A source of
    /// [`BatchesFrom::Host`] draws that batch, which is the same again after a refusal. The
    /// control block has its low 32 bits.
    pub fn batch(&self) -> Option<u64> {
        self.cursor.map(|cursor| cursor.batch)
    }

    /// The slot for L(θ), one `f32`. A source that never writes it makes the
    /// reports say `None`.
    pub fn loss(&self) -> &wgpu::Buffer {
        self.loss
    }

    /// The slot for the number of samples that gradient and loss are the mean of, one `f32`.
    /// [`Accumulated`](crate::batching::Accumulated) weighs micro-batches by it, and those
    /// of a source that never writes it alike.
    pub fn samples(&self) -> &wgpu::Buffer {
        self.samples
    }

    /// Names the part of the source that is recorded from now on, for
    /// [`Optimizer::profile`](crate::Optimizer::profile): until the next label, or the end of
    /// this evaluation. An empty one ends it. What has no label counts as `source`. Dispatches
    /// of kutta's models have names of their own, `label/kernel` under a label. Without a
    /// profile it does nothing.
    ///
    /// ```
    /// # use kutta::{Evaluation, GradientSource, SourceError};
    /// # struct Splats;
    /// # impl Splats {
    /// #     fn forward(&self, _: &mut kutta::wgpu::ComputePass<'_>) {}
    /// #     fn backward(&self, _: &mut kutta::wgpu::ComputePass<'_>) {}
    /// # }
    /// impl GradientSource for Splats {
    ///     fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
    ///         at.label("splat forward");
    ///         self.forward(at.pass());
    ///         at.label("splat backward");
    ///         self.backward(at.pass());
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn label(&mut self, label: &str) {
        self.commands.label(label);
    }

    /// The compute pass shared with the optimizer's own kernels.
    pub fn pass(&mut self) -> &mut wgpu::ComputePass<'static> {
        self.commands.pass()
    }

    /// The encoder, for copies or passes of the source's own. Ends the shared
    /// pass, so prefer [`Evaluation::pass`].
    pub fn encoder(&mut self) -> &mut wgpu::CommandEncoder {
        self.commands.encoder()
    }
}

/// The constants of `shaders/shared/check_gradient.wgsl`.
pub(crate) fn check_constants(check: Option<Check>) -> Constants {
    let has = |of: fn(Check) -> bool| flag(check.is_some_and(of));
    vec![("CHECKS", has(|_| true)), ("NORM", has(|c| c.norm)), ("SQUARES", has(|c| c.squares))]
}

/// Has a source record, and sees to it that it did: else old numbers would pass for its
/// gradient.
pub(crate) fn recorded<S: GradientSource + ?Sized>(
    source: &mut S,
    at: &mut Evaluation<'_>,
) -> Result<(), SourceError> {
    let submits = source.submits();
    // Lifted when this is dropped: after an error or a panic too.
    let _unread = (!submits).then(|| {
        let vectors = [Some(at.point), Some(at.gradient), at.direction];
        vectors.map(|vector| vector.map(Vector::keep_from_reads))
    });
    let label = at.commands.labelled();
    source.evaluate(at)?;
    at.commands.restore_label(label);
    if at.commands.used() || submits {
        return Ok(());
    }
    Err(SourceError::new(
        "it returned without an error, and neither opened the pass nor took the encoder; one \
         that submits by itself says so (`GradientSource::submits`)",
    ))
}

/// Why a source could not record its gradient.
#[derive(Debug)]
pub struct SourceError(Box<dyn std::error::Error + Send + Sync>);

impl SourceError {
    /// Wraps any error or message.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl From<String> for SourceError {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_tickets_are_of_equal_parts_of_equal_batches() {
        let mut tickets = Tickets::default();
        let [a, b] = [BatchTicket::new(), BatchTicket::new()];
        let first = tickets.of(a, 0);
        assert_eq!(tickets.of(a, 0), first);
        // One room for what was gathered: what comes back was overwritten meanwhile.
        let others = [tickets.of(a, 1), tickets.of(a, 0), tickets.of(b, 0), tickets.of(a, 0)];
        let mut all = vec![a, b, first];
        for ticket in others {
            assert!(!all.contains(&ticket));
            all.push(ticket);
        }
    }

    /// The device multiplies and adds in 32 bits, also beyond their end.
    #[test]
    fn cursors_of_the_host_are_those_of_the_device_in_64_bits() {
        for (batch, cursor) in [(5, 20), ((1 << 32) - 1, (1 << 34) - 3), (u64::MAX / 2, u64::MAX)] {
            let host = Cursor { batch, cursor, stride: 1 };
            for (count, index, draw) in [(1, 0, 0), (3, 2, 4), (7, 6, 300)] {
                let part = host.part(count, index);
                let low = |x: u64| (x as u32).wrapping_mul(count).wrapping_add(index);
                assert_eq!([part.batch as u32, part.cursor as u32], [low(batch), low(cursor)]);
                let staged = part.stage(draw).batch as u32;
                assert_eq!(staged, low(cursor).wrapping_add(draw.wrapping_mul(count)));
                // Either way round, and twice is once.
                assert_eq!(host.stage(draw).part(count, index).batch, part.stage(draw).batch);
                assert_eq!(host.stage(draw).stage(draw), host.stage(draw));
            }
        }
    }
}
