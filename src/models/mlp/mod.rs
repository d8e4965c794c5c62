//! A multilayer perceptron whose forward and backward passes run on the
//! device, over data that stays there.

mod builder;
mod evaluate;
mod gather;
mod predict;
mod resident;
#[cfg(test)]
mod tests;

pub use builder::MlpBuilder;
#[cfg(test)]
pub(super) use gather::kernels;
pub use resident::Resident;

use std::ops::Range;

use crate::data::{Batches, Samples, Targets};
use crate::device::Gpu;
use crate::error::Error;
use crate::format::Storage;
use crate::layout::ParamLayout;
use crate::models::BindCache;
use crate::models::ModelError;
use crate::models::dense::kernels::BatchSchedule;
use crate::models::dense::{Loss, Network, Slots, Step, Steps, Workspace};
use crate::source::{BatchTicket, Evaluation, GradientSource, SourceError};

/// Dense layers a ← f(W a + b), trained on batches that the device draws.
///
/// The parameters are `layer0.weight` of shape \[inputs, outputs\],
/// `layer0.bias`, `layer1.weight` and so on; [`Mlp::layout`] says where they
/// lie. Batch b of the control block is batch b mod per-epoch of epoch
/// ⌊b / per-epoch⌋; its samples are copied out once, and all stages of an attempt see the
/// same ones, unless [`batching`](crate::batching) gives them others. The loss is a mean over the
/// samples present, also in the short batch at the end of an epoch.
///
/// ```no_run
/// use kutta::{Gpu, data::Idx, models::Mlp};
/// let gpu = Gpu::new()?;
/// let data = Idx::open("data/mnist")?;
/// let mut mlp = Mlp::classifier(&gpu, &[784, 128, 10], data.train(64)?)?;
/// assert_eq!(mlp.layout().parameters(), 784 * 128 + 128 + 128 * 10 + 10);
/// # Ok::<(), kutta::Error>(())
/// ```
#[derive(Debug)]
pub struct Mlp {
    network: Network,
    schedule: BatchSchedule,
    resident: Resident,
    workspace: Workspace,
    evaluation: Option<Workspace>,
    /// The ticket of the batch whose inputs `workspace` holds.
    gathered: Option<BatchTicket>,
    /// Of the gradient that was recorded last.
    dispatches: Option<usize>,
    cache: BindCache<Recorded>,
}

/// A gradient at the buffers of one evaluation key.
#[derive(Debug)]
struct Recorded {
    gather: Vec<Step>,
    gradient: Vec<Step>,
}

impl Mlp {
    /// A classifier with ReLU between its layers and softmax cross-entropy
    /// after the last: `widths` from the inputs to the classes.
    ///
    /// # Errors
    /// As [`MlpBuilder::build`].
    pub fn classifier(gpu: &Gpu, widths: &[usize], batches: Batches) -> Result<Self, Error> {
        Self::builder(widths).build(gpu, batches)
    }

    /// A network of these widths, from the inputs to the outputs.
    pub fn builder(widths: &[usize]) -> MlpBuilder {
        MlpBuilder::new(widths)
    }

    /// The layout of the parameters.
    pub fn layout(&self) -> &ParamLayout {
        &self.network.layout
    }

    /// Initial parameters, in the layout's order. Weights are uniform after He
    /// (ReLU, GELU) or Glorot (tanh, and the last layer), or those of SIREN (sine); biases
    /// are zero.
    pub fn initial(&self, seed: u64) -> Vec<f32> {
        self.network.layout.initial(seed)
    }

    /// Describes the matrix products of a gradient, a line each: steps of the sum, rows
    /// and columns of the result; form, tile, parts of the sum; what it is predicted to take. Before them stands why
    /// [`Products::MatrixOrAuto`](crate::models::Products::MatrixOrAuto) has no matrix units.
    pub fn products(&self) -> String {
        self.network.products(&self.workspace)
    }

    /// Dispatches of the gradient that was recorded last, with those that draw its batch;
    /// `None` before the first.
    pub fn dispatches(&self) -> Option<usize> {
        self.dispatches
    }

    /// Widths of the layers, from the inputs to the outputs.
    pub fn widths(&self) -> &[usize] {
        &self.network.widths
    }

    /// Batches in an epoch of the training data.
    pub fn per_epoch(&self) -> u32 {
        self.schedule.per_epoch
    }

    /// Samples that these batches hold together, by the source's own numbers, as
    /// [`GradientSource::drawn`] gives them: every epoch has
    /// all samples, and its last batch what is left.
    ///
    /// ```
    /// use kutta::data::{Batches, Inputs, Samples, Targets};
    /// use kutta::{Gpu, models::Mlp};
    /// let targets = Targets::Labels { labels: vec![0; 10], classes: 2 };
    /// let samples = Samples::new(Inputs::F32(vec![0.0; 10]), 1, targets)?;
    /// let mlp = Mlp::classifier(&Gpu::new()?, &[1, 2], Batches::new(samples, 4)?)?;
    /// // 4, 4 and 2 samples an epoch.
    /// assert_eq!([mlp.samples_in(0..3), mlp.samples_in(2..4)], [10, 6]);
    /// # Ok::<(), kutta::Error>(())
    /// ```
    pub fn samples_in(&self, batches: Range<u64>) -> u64 {
        self.schedule.samples_in(batches)
    }

    /// The training data.
    pub fn training_data(&self) -> &Resident {
        &self.resident
    }

    /// Brings another data set of the same widths to the device, for
    /// [`Mlp::evaluate`].
    ///
    /// # Errors
    /// Data of other widths, or too large for one binding of this device.
    pub fn upload(&self, samples: &Samples) -> Result<Resident, Error> {
        check_data(&self.network, samples)?;
        Resident::upload(&self.network.gpu, samples)
    }
}

impl GradientSource for Mlp {
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
        self.workspace.checks()
    }

    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        for vector in [at.point(), at.gradient()] {
            self.network.check_params(vector.len()).map_err(SourceError::new)?;
        }
        let mut cache = std::mem::take(&mut self.cache);
        let recorded = cache.get(at.key(), || {
            let Self { network, workspace, resident, .. } = &*self;
            let mut gather = Steps::new(network, workspace);
            let control = at.control().as_entire_binding();
            gather::gather(&mut gather, self.schedule, control, resident);
            let mut gradient = Steps::new(network, workspace);
            let targets = (network.loss, &resident.targets, resident.dense);
            gradient.gradient((at.point(), at.gradient()), Slots::of(at, 0), targets);
            Recorded { gather: gather.steps, gradient: gradient.steps }
        });
        let ticket = at.ticket();
        if self.gathered != Some(ticket) {
            recorded.gather.iter().for_each(|step| step.dispatch(&mut at.commands));
            self.gathered = Some(ticket);
        }
        recorded.gradient.iter().for_each(|step| step.dispatch(&mut at.commands));
        self.dispatches = Some(recorded.gather.len() + recorded.gradient.len());
        self.cache = cache;
        Ok(())
    }
}

fn schedule(batches: &Batches) -> BatchSchedule {
    let seed = batches.shuffle_seed();
    BatchSchedule {
        shuffled: u32::from(batches.is_shuffled()),
        seed_low: seed as u32,
        seed_high: (seed >> 32) as u32,
        ..BatchSchedule::in_order(batches.samples().len(), batches.batch())
    }
}

fn check_data(network: &Network, samples: &Samples) -> Result<(), ModelError> {
    let dense = matches!(samples.targets(), Targets::Dense { .. });
    check_data_widths(network, samples.width(), samples.targets().width(), dense)
}

fn check_data_widths(
    network: &Network,
    inputs: usize,
    outputs: usize,
    dense: bool,
) -> Result<(), ModelError> {
    // `build` refuses fewer than two widths.
    let widths = &network.widths;
    let (first, last) = (widths[0], widths[widths.len() - 1]);
    if inputs != first {
        return Err(ModelError::InputWidth { width: first, found: inputs });
    }
    if outputs != last {
        return Err(ModelError::OutputWidth { width: last, found: outputs });
    }
    if dense && network.loss == Loss::CrossEntropy {
        return Err(ModelError::DenseTargets);
    }
    Ok(())
}
