//! Predicts what each dispatch of a gradient takes on a large GPU. No device is needed.

use super::choose::{Method, predicted};
use super::cost::{DISPATCH, MOVED};
use super::form::Choice;
use super::kernels::{BATCH_ROWS, CROSS_ENTROPY, MEAN_SQUARE};
use super::options::{Activation, Loss, Products};
use super::product::{GRADIENT, Kind, LayerSums, Shape};
use super::tail::kernel;
use super::tail_form::Layers;
use super::workspace::{Need, Plan, named};
use crate::models::error::ModelError;
use crate::models::prediction::PredictedDispatch;

/// vec4s of one binding on a large GPU: 2 GiB.
const BINDING: usize = (1 << 27) - 1;

/// The dispatch that finds the samples of a batch: 2.8 to 3.9 µs up to 2¹⁶ samples.
pub fn batch_rows() -> PredictedDispatch {
    PredictedDispatch::new(BATCH_ROWS.name, String::new(), 3.4)
}

/// A dispatch that reads what is not in any cache.
pub const READS: f64 = 3.6;

/// The way that products are chosen for a GPU.
///
/// # Errors
/// Products in registers, which no GPU takes by itself, and layers that cannot be fused.
pub fn method(products: Products, widths: &[usize]) -> Result<Method, ModelError> {
    if products == Products::Register {
        return Err(ModelError::NotPredicted);
    }
    let method = Method::of(products);
    method.check(widths)?;
    Ok(method)
}

/// What a gradient needs.
pub fn training(
    widths: &[usize],
    activation: Activation,
    method: Method,
    trained_inputs: bool,
    workgroup_bytes: u32,
) -> Need<'_> {
    Need { widths, activation, method, backward: true, trained_inputs, workgroup_bytes }
}

/// Microseconds that gathering so many bytes takes.
pub fn gathered(bytes: usize) -> f64 {
    bytes as f64 / 1.85e6
}

/// Microseconds that moving so many bytes takes, beside the work of a dispatch.
pub fn moved(bytes: usize) -> f64 {
    bytes as f64 / MOVED
}

/// The dispatches of the layers' gradient, in order.
pub fn gradient(need: Need<'_>, loss: Loss, samples: usize) -> Vec<PredictedDispatch> {
    let Need { widths, method, activation, trained_inputs, .. } = need;
    let plan = Plan::new(BINDING, need, samples);
    let layers = widths.len() - 1;
    let product = |kind: Kind, shape: Shape, whole| {
        let choice = method.product(kind, &shape);
        (kind, choice, shape, whole)
    };
    let dispatch = |(kind, choice, shape, whole): (Kind, Choice, Shape, bool)| {
        let name = kind.kernel(choice.form, whole).name;
        PredictedDispatch::new(name, named(kind, choice, &shape), predicted(choice, &shape))
    };
    let of = |layer: usize| (widths[layer], widths[layer + 1], widths[layer + 1] % 4 == 0);
    let mut all = Vec::new();
    let start = plan.tail.as_ref().map_or(layers, |tail| tail.start);
    for layer in 0..start {
        let (inputs, outputs, whole) = of(layer);
        let kind = Kind::Forward((layer + 1 < layers).then_some(activation));
        all.push(dispatch(product(kind, Shape::forward(inputs, outputs, samples), whole)));
    }
    match &plan.tail {
        Some(tail) => {
            let below = start > 0 || trained_inputs;
            let what = format!("{} samples a workgroup", 4 * tail.shape.group_quads);
            let layers = Layers { widths: &widths[start..], samples, below };
            let time = layers.predicted(tail.form);
            all.push(PredictedDispatch::new(kernel(tail.form).name, what, time));
        }
        None => {
            let kernel = match loss {
                Loss::CrossEntropy => CROSS_ENTROPY,
                Loss::MeanSquare => MEAN_SQUARE,
            };
            all.push(PredictedDispatch::new(kernel.name, String::new(), 5.6));
        }
    }
    for layer in (0..start).rev() {
        let (inputs, outputs, whole) = of(layer);
        if layer > 0 || trained_inputs {
            let kind = Kind::InputGradient { sloped: layer > 0 };
            let shape = Shape::input_gradient(inputs, outputs, samples);
            all.push(dispatch(product(kind, shape, whole)));
        }
        let shape = Shape::weight_partials(inputs, outputs, samples);
        let choice = plan.partials[layer].choice;
        all.push(dispatch((Kind::WeightPartials, choice, shape, whole)));
    }
    for room in &plan.rooms {
        let what = format!("{} layers", room.shapes.len());
        all.push(PredictedDispatch::new(GRADIENT.name, what, of_sums(&room.shapes)));
    }
    all
}

/// Adding partial sums up: as many loads in series as a lane has, and what is moved.
fn of_sums(shapes: &[LayerSums]) -> f64 {
    let bytes: usize = shapes
        .iter()
        .map(|layer| 16 * layer.chunk_stride as usize * (layer.chunks as usize + 1))
        .sum();
    let rounds = shapes.iter().map(|layer| layer.chunks.div_ceil(4 * layer.parts)).max();
    DISPATCH + 2.2 + 0.25 * f64::from(rounds.unwrap_or(0)) + bytes as f64 / 3.4e6
}
