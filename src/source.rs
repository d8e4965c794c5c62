//! Where gradients come from: the contract between an optimizer and a model.

use std::fmt;

use crate::gpu::{Gpu, commands::Commands, vector::Vector};
use crate::ingredients::Storage;
use crate::plan::Purpose;

/// Gives the gradient of a loss at points the optimizer asks for.
///
/// The buffers of equal [`Evaluation::key`]s are the same for the optimizer's
/// whole life, so a source makes its bind groups once for each. All vectors are flat, in
/// the layout that the optimizer was built with, and `f32` unless [`Evaluation::storage`]
/// says otherwise; padding between tensors must stay zero.
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
    fn batches(&self) -> Batches {
        Batches::Device
    }

    /// True for a source that answers [`Purpose::Product`]: it then writes
    /// H(θ) v, with v from [`Evaluation::direction`], where a gradient would go.
    fn products(&self) -> bool {
        false
    }

    /// True for a source that adds to the gradient buffer where
    /// [`Evaluation::adds`] says so. Methods of two registers then need one vector
    /// less: [`Builder::adds`](crate::optimizer::Builder::adds).
    fn adds(&self) -> bool {
        false
    }

    /// True for storages that this source can write gradients in, where
    /// [`Evaluation::storage`] says so: all can write f32. A narrow gradient then needs
    /// no f32 vector beside it:
    /// [`Builder::writes_narrow`](crate::optimizer::Builder::writes_narrow).
    fn writes(&self, storage: Storage) -> bool {
        storage == Storage::F32
    }

    /// The device that this source's buffers are on, where it says so: an optimizer on
    /// another then refuses the source, where wgpu would panic or take another buffer of
    /// the same number.
    fn gpu(&self) -> Option<&Gpu> {
        None
    }

    /// True for a source that submits work of its own instead of recording.
    /// Such a source works with `step` and `run`; `record` refuses it.
    fn submits(&self) -> bool {
        false
    }
}

impl<S: GradientSource + ?Sized> GradientSource for &mut S {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        (**self).evaluate(at)
    }

    fn batches(&self) -> Batches {
        (**self).batches()
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

    fn submits(&self) -> bool {
        (**self).submits()
    }
}

/// Who advances the batches of a [`GradientSource`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Batches {
    /// The device, by [`Control::batch`](crate::gpu::control::Control): a
    /// refused attempt sees the same batch again.
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

/// Names the buffers of one kind of evaluation of one optimizer. Methods of many
/// stages evaluate them all in a few buffers, and so with a few keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EvaluationKey {
    /// Unique to an optimizer within this process.
    pub optimizer: u64,
    /// The plan's slots of point and gradient, and of a product's direction.
    pub point: usize,
    pub gradient: usize,
    pub direction: Option<usize>,
    /// Which of its buffers for losses the optimizer wants this one in.
    pub loss: u8,
    /// The gradient is to be added to what is there.
    pub adds: bool,
}

/// One gradient evaluation to be recorded.
pub struct Evaluation<'a> {
    pub(crate) gpu: &'a Gpu,
    pub(crate) key: EvaluationKey,
    pub(crate) purpose: Purpose,
    pub(crate) point: &'a Vector,
    pub(crate) gradient: &'a Vector,
    pub(crate) direction: Option<&'a Vector>,
    pub(crate) control: &'a wgpu::Buffer,
    pub(crate) loss: &'a wgpu::Buffer,
    pub(crate) batch: Option<u64>,
    pub(crate) commands: Commands<'a>,
}

impl Evaluation<'_> {
    /// What this gradient is for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Names the buffers of this evaluation: equal keys, equal buffers.
    pub fn key(&self) -> EvaluationKey {
        self.key
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

    /// How the gradient is stored. Where that is not f32, which happens only to sources
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
        self.key.adds
    }

    /// v of a Hessian-vector product; `None` for every other purpose.
    pub fn direction(&self) -> Option<&Vector> {
        self.direction
    }

    /// The control block, to be bound as a uniform: `struct Control` of
    /// `shaders/shared/control.wgsl`.
    pub fn control(&self) -> &wgpu::Buffer {
        self.control
    }

    /// The batch cursor of this attempt, where the host knows it: under
    /// [`Pace::Wait`](crate::Pace::Wait). A source of [`Batches::Host`] draws
    /// that batch, which is the same again after a refusal.
    pub fn batch(&self) -> Option<u64> {
        self.batch
    }

    /// Where L(θ) goes, one `f32`. A source that never writes it makes the
    /// reports say `None`.
    pub fn loss(&self) -> &wgpu::Buffer {
        self.loss
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

/// Has a source record, and sees to it that it did: else old numbers would pass for its
/// gradient.
pub(crate) fn recorded<S: GradientSource + ?Sized>(
    source: &mut S,
    at: &mut Evaluation<'_>,
) -> Result<(), SourceError> {
    source.evaluate(at)?;
    if at.commands.used() || source.submits() {
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
