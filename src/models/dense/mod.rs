//! Dense layers a ← f(W a + b) over a batch: what the networks of this room share.

mod buffers;
mod choose;
mod cost;
mod evaluate;
mod form;
pub mod kernels;
mod matrix;
mod options;
pub mod predict;
mod product;
mod product_kernels;
mod self_test;
mod steps;
mod tail;
pub mod tail_form;
#[cfg(test)]
mod throughput_tests;
mod workspace;

pub use crate::device::traversal::fold;
pub use buffers::{check_binding, storage, uniform};
pub use choose::Method;
pub use evaluate::{Evaluated, Rows, controls};
pub use options::{Activation, Loss, Products};
pub use product::quads;
pub use steps::{Slots, Step, Steps};
pub use workspace::{Need, Workspace};

use crate::device::Gpu;
use crate::device::vector::Vector;
use crate::error::Error;
use crate::layout::{Init, LayoutError, ParamLayout, ParamLayoutBuilder};
use crate::models::ModelError;

/// Layers of given widths, and where their parameters lie.
#[derive(Debug)]
pub struct Network {
    pub gpu: Gpu,
    /// Widths of the layers, from the inputs to the outputs.
    pub widths: Vec<usize>,
    pub activation: Activation,
    pub loss: Loss,
    pub method: Method,
    pub layout: ParamLayout,
    /// Why products are not computed as they were wanted.
    pub note: Option<String>,
    /// Tensors before those of the layers.
    pub first: usize,
    /// Whether the inputs come from something with parameters, which wants their gradient.
    pub trained_inputs: bool,
}

impl Network {
    fn need(&self, backward: bool) -> Need<'_> {
        let Self { widths, activation, method, trained_inputs, .. } = self;
        Need {
            widths,
            activation: *activation,
            method: *method,
            backward,
            trained_inputs: backward && *trained_inputs,
            workgroup_bytes: self.gpu.limits().max_compute_workgroup_storage_size,
        }
    }

    /// Describes the products of a workspace, a line each.
    pub fn products(&self, workspace: &Workspace) -> String {
        let note = self.note.iter().map(|reason| format!("no matrix units: {reason}\n"));
        note.chain([workspace.to_string()]).collect()
    }

    /// Room for batches of this many samples.
    pub fn workspace(&self, samples: usize, backward: bool) -> Result<Workspace, Error> {
        self.check_room(samples, backward)?;
        Workspace::new(&self.gpu, self.need(backward), samples)
    }

    /// Refuses parameters of another length.
    pub fn check_params(&self, found: usize) -> Result<(), LayoutError> {
        self.layout.check_len(found)
    }

    /// Refuses tensors of the layers and buffers of a workspace that one binding cannot
    /// hold, before there are any, and layers that cannot be computed as they shall be.
    pub fn check_room(&self, samples: usize, backward: bool) -> Result<(), Error> {
        self.method.check(&self.widths)?;
        let tensors = &self.layout.tensors()[self.first..];
        let weights = tensors.iter().map(|t| ("a weight matrix", Vector::bytes(t.len())));
        weights
            .chain(self.need(backward).buffers(&self.gpu, samples))
            .try_for_each(|(what, bytes)| check_binding(&self.gpu, what, bytes))
    }
}

/// Refuses widths that make no network, and an activation that is not a function.
pub fn check_widths(widths: &[usize], activation: Activation) -> Result<(), ModelError> {
    if widths.len() < 2 {
        return Err(ModelError::TooFewWidths { widths: widths.into() });
    }
    if let Some(index) = widths.iter().position(|&w| w == 0) {
        return Err(ModelError::ZeroWidth { widths: widths.into(), index });
    }
    match activation {
        Activation::Sine { omega } if !(omega.is_finite() && omega > 0.0) => {
            Err(ModelError::Omega { omega })
        }
        _ => Ok(()),
    }
}

/// Appends `layer0.weight` of shape \[inputs, outputs\], `layer0.bias` and so on.
pub fn layers(
    mut layout: ParamLayoutBuilder,
    widths: &[usize],
    activation: Activation,
) -> ParamLayoutBuilder {
    for (layer, pair) in widths.windows(2).enumerate() {
        let (inputs, outputs) = (pair[0], pair[1]);
        let last = layer + 2 == widths.len();
        layout = layout
            .tensor(
                format!("layer{layer}.weight"),
                &[inputs, outputs],
                activation.init(layer, last, inputs, outputs),
            )
            .tensor(format!("layer{layer}.bias"), &[outputs], Init::Zeros);
    }
    layout
}

/// Kernels of this folder with the override sets they are used with.
#[cfg(test)]
pub(super) use kernels::kernels as all_kernels;

/// The switches that tests of the models force, and what they see.
#[cfg(test)]
pub(super) mod testing {
    pub use super::choose::forced;
    pub use super::form::Form;
    pub use super::steps::seen;
}
