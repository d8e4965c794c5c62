//! The options of a network.

use super::resident::Resident;
use super::{Mlp, check_data};
use crate::data::Batches;
use crate::device::Gpu;
use crate::error::Error;
use crate::layout::ParamLayout;
use crate::models::BindCache;
use crate::models::dense::{
    Activation, Loss, Method, Network, Products, check_binding, check_widths, layers,
};

/// Builds an [`Mlp`].
#[derive(Clone, Debug)]
#[must_use]
pub struct MlpBuilder {
    pub(super) widths: Vec<usize>,
    pub(super) activation: Activation,
    pub(super) loss: Loss,
    pub(super) products: Products,
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

    /// Chooses how matrix products are computed; by the kind of adapter unless told
    /// otherwise.
    pub fn products(self, products: Products) -> Self {
        Self { products, ..self }
    }

    /// Uploads the samples and makes the network.
    ///
    /// # Errors
    /// Fewer than two widths, or one of zero; an ω that is no frequency; samples of another width;
    /// classes or dense targets of another number than the last width;
    /// cross-entropy with dense targets; layers that [`Products::Fused`] cannot do; [`Products::Matrix`] on a device without;
    /// limits of
    /// the device that are too small, or anything too large for one of its bindings, with both
    /// numbers.
    pub fn build(self, gpu: &Gpu, batches: Batches) -> Result<Mlp, Error> {
        let Self { widths, activation, loss, products } = self;
        gpu.check_limits("the network", 0)?;
        check_widths(&widths, activation)?;
        let layout = layers(ParamLayout::builder(), &widths, activation).build()?;
        let (method, note) = Method::choose(products, gpu)?;
        let network = Network {
            gpu: gpu.clone(),
            widths,
            activation,
            loss,
            method,
            note,
            layout,
            first: 0,
            trained_inputs: false,
        };
        check_data(&network, batches.samples())?;
        network.check_room(batches.batch(), true)?;
        for (what, bytes) in Resident::sizes(batches.samples()) {
            check_binding(gpu, what, bytes)?;
        }
        let workspace = network.workspace(batches.batch(), true)?;
        let resident = Resident::upload(gpu, batches.samples())?;
        Ok(Mlp {
            network,
            schedule: super::schedule(&batches),
            resident,
            workspace,
            evaluation: None,
            gathered: None,
            dispatches: None,
            cache: BindCache::default(),
        })
    }
}
