//! A network from coordinates to colour or value, fitted to an image or a volume on the
//! device.

mod builder;
mod encode;
mod encoding;
mod inference;
mod kernels;
mod points;
mod predict;
mod target;
#[cfg(test)]
mod tests;
mod text;

pub use builder::FieldBuilder;
pub use encoding::{Encoding, HashGrid};
pub use inference::Inference;
#[cfg(test)]
pub(super) use kernels::all as all_kernels;
pub use points::Points;
pub use target::Target;

use std::ops::Range;

use crate::device::Gpu;
use crate::device::vector::Vector;
use crate::device::waiting::Waiting;
use crate::error::Error;
use crate::format::Storage;
use crate::layout::ParamLayout;
use crate::models::BindCache;
use crate::models::dense::kernels::BatchSchedule;
use crate::models::dense::{Evaluated, Network, Rows, Slots, Step, Steps};
use crate::source::{BatchTicket, BatchesFrom, Evaluation, GradientSource, SourceError};
use encode::Encoder;
use points::{Batch, Surroundings};

/// Rows that an evaluation or an inference puts through the layers at a time.
const ROWS: usize = 8192;

/// A coordinate network: point (x, y\[, z\]) of \[0, 1\]ᵈ → [`Encoding`] → dense layers →
/// the channels of a [`Target`], by the mean over rows and channels of (y − target)².
///
/// The parameters are the tables of a hash grid, `grid.level0` of shape
/// \[entries, features\] and so on, then `layer0.weight` of shape \[inputs, outputs\],
/// `layer0.bias` and so on. All stages of an attempt see the same points, unless
/// [`batching`](crate::batching) gives them others.
///
/// ```no_run
/// use kutta::models::{Encoding, HashGrid, NeuralField, Points, Target};
/// use kutta::{Gpu, Method, Momentum, Optimizer, Preconditioner, StepSize};
/// let gpu = Gpu::new()?;
/// # let pixels = vec![0.0; 256 * 256 * 3];
/// let image = Target::image([256, 256], 3, pixels)?;
/// let mut field = NeuralField::builder(Encoding::HashGrid(HashGrid::default()))
///     .hidden(&[32])
///     .points(Points::Texels(8192))
///     .build(&gpu, &image)?;
/// let mut optimizer = Optimizer::builder(Method::rk4())
///     .preconditioner(Preconditioner::adam(0.99, 1e-12))
///     .momentum(Momentum::ema(0.9))
///     .step_size(StepSize::constant(0.01))
///     .build(&gpu, field.layout(), &field.initial(1))?;
/// optimizer.run(&mut field, 1000)?;
/// let mean_square = field.evaluate(optimizer.params())?.loss;
/// println!("{} dB", -10.0 * mean_square.log10());
/// # Ok::<(), kutta::Error>(())
/// ```
#[derive(Debug)]
pub struct NeuralField {
    network: Network,
    encoding: Encoding,
    encoder: Encoder,
    surroundings: Surroundings,
    points: Points,
    seed: u64,
    schedule: BatchSchedule,
    batch: Batch,
    evaluation: Option<Batch>,
    /// The ticket of what `batch` holds.
    drawn: Option<BatchTicket>,
    /// Of the gradient that was recorded last.
    dispatches: Option<usize>,
    cache: BindCache<Recorded>,
}

/// A gradient at the buffers of one evaluation key.
#[derive(Debug)]
struct Recorded {
    /// Once per batch.
    draw: Vec<Step>,
    gradient: Vec<Step>,
}

impl NeuralField {
    /// A field with this encoding.
    pub fn builder(encoding: Encoding) -> FieldBuilder {
        FieldBuilder::new(encoding)
    }

    /// The layout of the parameters.
    pub fn layout(&self) -> &ParamLayout {
        &self.network.layout
    }

    /// Initial parameters, in the layout's order.
    pub fn initial(&self, seed: u64) -> Vec<f32> {
        self.network.layout.initial(seed)
    }

    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Widths of the layers, from the encoding's features to the channels.
    pub fn widths(&self) -> &[usize] {
        &self.network.widths
    }

    /// Rows that these batches hold together, by the source's own numbers, as
    /// [`GradientSource::drawn`] gives them: every epoch has
    /// all texels, and its last batch what is left.
    pub fn samples_in(&self, batches: Range<u64>) -> u64 {
        self.schedule.samples_in(batches)
    }

    /// Describes the matrix products of a gradient, a line each: steps of the sum, rows
    /// and columns of the result; form, tile, parts of the sum; what it is predicted to take. Before them stands why
    /// [`Products::MatrixOrAuto`](crate::models::Products::MatrixOrAuto) has no matrix units.
    pub fn products(&self) -> String {
        self.network.products(&self.batch.workspace)
    }

    /// Dispatches of the gradient that was recorded last, with those that draw its batch;
    /// `None` before the first.
    pub fn dispatches(&self) -> Option<usize> {
        self.dispatches
    }

    /// The points at which the rows of a batch lie.
    pub fn points(&self) -> Points {
        self.points
    }

    /// The seed that batches are drawn from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Texels of the target along each axis.
    pub fn extent(&self) -> &[usize] {
        &self.surroundings.extent
    }

    /// The target's values on the device: f32, in the order of [`Target`].
    pub fn target(&self) -> &wgpu::Buffer {
        &self.surroundings.texels
    }

    /// The mean over all texels and channels of (y − target)². Waits for everything
    /// submitted before. For values of \[0, 1\] the peak signal-to-noise ratio is −10 log₁₀
    /// of it, in decibels.
    ///
    /// # Errors
    /// Parameters of another length, a device that is lost or too small.
    pub fn evaluate<'a>(&mut self, params: impl Into<&'a Vector>) -> Result<Evaluated, Error> {
        pollster::block_on(self.evaluate_with(params.into(), Waiting::Blocks))
    }

    /// Evaluates as [`NeuralField::evaluate`] does, without blocking.
    ///
    /// # Errors
    /// As [`NeuralField::evaluate`].
    pub async fn evaluate_async<'a>(
        &mut self,
        params: impl Into<&'a Vector>,
    ) -> Result<Evaluated, Error> {
        self.evaluate_with(params.into(), Waiting::Yields).await
    }

    async fn evaluate_with(
        &mut self,
        params: &Vector,
        waiting: Waiting,
    ) -> Result<Evaluated, Error> {
        self.network.check_params(params.len())?;
        let count = self.surroundings.extent.iter().product();
        let batch = match self.evaluation.take() {
            Some(batch) => batch,
            None => Batch::new(&self.network, ROWS.min(count), false, false)?,
        };
        let rows = Rows { count, targets: &self.surroundings.texels, dense: true };
        let among = (&self.surroundings, &self.surroundings.extent[..]);
        let evaluated = self.network.evaluate(
            params,
            rows,
            &batch.workspace,
            waiting,
            |steps, schedule, control| {
                batch.draw(steps, schedule, control, among);
                self.encoder.forward(steps, &batch, params);
            },
        );
        let evaluated = evaluated.await;
        self.evaluation = Some(batch);
        evaluated
    }

    fn record(&self, at: &Evaluation<'_>) -> Recorded {
        let Self { network, encoder, surroundings, batch, .. } = self;
        let mut draw = Steps::new(network, &batch.workspace);
        let control = at.control().as_entire_binding();
        batch.draw(&mut draw, self.schedule, control, (surroundings, &surroundings.extent));
        let mut gradient = Steps::new(network, &batch.workspace);
        let encoding = if encoder.is_trained() { &mut gradient } else { &mut draw };
        encoder.forward(encoding, batch, at.point());
        let targets = if batch.anywhere { &batch.targets } else { &surroundings.texels };
        let targets = (network.loss, targets, true);
        let slots = Slots::of(at, encoder.checks());
        gradient.gradient((at.point(), at.gradient()), slots, targets);
        encoder.backward(&mut gradient, batch, at.gradient(), slots);
        Recorded { draw: draw.steps, gradient: gradient.steps }
    }
}

impl GradientSource for NeuralField {
    fn gpu(&self) -> Option<&Gpu> {
        Some(&self.network.gpu)
    }

    fn layout(&self) -> Option<&ParamLayout> {
        Some(&self.network.layout)
    }

    fn keeps_padding(&self) -> bool {
        true
    }

    fn writes(&self, _: Storage) -> bool {
        true
    }

    fn checks(&self) -> u32 {
        match self.batch.workspace.checks() {
            0 => 0,
            dense => self.encoder.checks() + dense,
        }
    }

    fn batches(&self) -> BatchesFrom {
        match self.points {
            Points::All => BatchesFrom::One,
            Points::Texels(_) | Points::Anywhere(_) => BatchesFrom::Device,
        }
    }

    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        for vector in [at.point(), at.gradient()] {
            self.network.check_params(vector.len()).map_err(SourceError::new)?;
        }
        let mut cache = std::mem::take(&mut self.cache);
        let recorded = cache.get(at.key(), || self.record(at));
        let ticket = at.ticket();
        if self.drawn != Some(ticket) {
            recorded.draw.iter().for_each(|step| step.dispatch(&mut at.commands));
            self.drawn = Some(ticket);
        }
        recorded.gradient.iter().for_each(|step| step.dispatch(&mut at.commands));
        self.dispatches = Some(recorded.draw.len() + recorded.gradient.len());
        self.cache = cache;
        Ok(())
    }
}
