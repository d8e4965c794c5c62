//! What can be chosen when a network is made.

use super::options::{Activation, Loss, Products};
use super::product::Method;
use super::resident::{Resident, check_binding};
use super::workspace::{Need, Workspace};
use super::{Mlp, check_data};
use crate::data::Batches;
use crate::error::{Error, ModelError};
use crate::gpu::Gpu;
use crate::layout::{Init, ParamLayout};
use crate::models::BindCache;

/// Builds an [`Mlp`].
#[derive(Clone, Debug)]
#[must_use]
pub struct MlpBuilder {
    widths: Vec<usize>,
    activation: Activation,
    loss: Loss,
    products: Products,
}

impl MlpBuilder {
    pub(super) fn new(widths: &[usize]) -> Self {
        Self {
            widths: widths.into(),
            activation: Activation::default(),
            loss: Loss::default(),
            products: Products::default(),
        }
    }

    /// The function between layers; ReLU unless told otherwise.
    pub fn activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    /// The loss; cross-entropy unless told otherwise.
    pub fn loss(self, loss: Loss) -> Self {
        Self { loss, ..self }
    }

    /// How matrix products are computed; by the kind of adapter unless told
    /// otherwise.
    pub fn products(self, products: Products) -> Self {
        Self { products, ..self }
    }

    /// Uploads the samples and makes the network.
    ///
    /// # Errors
    /// Fewer than two widths, or one of zero; samples of another width;
    /// classes or dense targets of another number than the last width;
    /// cross-entropy with dense targets; limits of the device that are too small, or
    /// anything too large for one of its bindings, with both numbers.
    pub fn build(self, gpu: &Gpu, batches: Batches) -> Result<Mlp, Error> {
        let Self { widths, activation, loss, products } = self;
        if widths.len() < 2 {
            return Err(ModelError::TooFewWidths { widths }.into());
        }
        if let Some(index) = widths.iter().position(|&w| w == 0) {
            return Err(ModelError::ZeroWidth { widths, index }.into());
        }
        gpu.check_limits("the network", 0)?;
        check_data(&widths, loss, batches.samples())?;
        let layout = layout(&widths, activation)?;
        for tensor in layout.tensors() {
            check_binding(gpu, "a weight matrix", 4 * tensor.len() as u64)?;
        }
        let method = Method::choose(products, gpu);
        let need = Need { widths: &widths, activation, method, backward: true };
        let workspace = Workspace::new(gpu, need, batches.batch())?;
        let resident = Resident::upload(gpu, batches.samples())?;
        Ok(Mlp {
            gpu: gpu.clone(),
            widths,
            activation,
            loss,
            method,
            layout,
            schedule: super::schedule(&batches),
            resident,
            workspace,
            evaluation: None,
            cache: BindCache::default(),
        })
    }
}

fn layout(widths: &[usize], activation: Activation) -> Result<ParamLayout, Error> {
    let mut layout = ParamLayout::builder();
    for (layer, pair) in widths.windows(2).enumerate() {
        let (inputs, outputs) = (pair[0], pair[1]);
        let init = if layer + 2 < widths.len() {
            activation.init(inputs, outputs)
        } else {
            Init::Glorot { fan_in: inputs, fan_out: outputs }
        };
        layout = layout.tensor(format!("layer{layer}.weight"), &[inputs, outputs], init).tensor(
            format!("layer{layer}.bias"),
            &[outputs],
            Init::Zeros,
        );
    }
    Ok(layout.build()?)
}
