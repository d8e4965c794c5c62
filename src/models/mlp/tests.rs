//! Gradients held against central differences of an independent forward pass
//! in f64; evaluation, batches and errors held against the same.

use super::*;
use crate::data::{Inputs, shuffle};
use crate::gpu::vector::Vector;
use crate::models::harness::{
    Device, Numbers, check_gradient, dense_outputs, gpu, off_their_zeros,
};
use crate::models::{Activation, Products};
use crate::plan::Purpose;

fn samples(n: usize, width: usize, outputs: usize, bytes: bool, dense: bool) -> Samples {
    let mut numbers = Numbers(n as u64 + 17);
    let inputs = if bytes {
        Inputs::Bytes((0..n * width).map(|_| (255.0 * (numbers.next() + 0.5)) as u8).collect())
    } else {
        Inputs::F32((0..n * width).map(|_| 2.0 * numbers.next() as f32).collect())
    };
    let targets = if dense {
        Targets::Dense {
            values: (0..n * outputs).map(|_| numbers.next() as f32).collect(),
            width: outputs,
        }
    } else {
        let labels = (0..n).map(|_| ((numbers.next() + 0.5) * outputs as f64) as u8).collect();
        Targets::Labels { labels, classes: outputs }
    };
    Samples::new(inputs, width, targets).unwrap()
}

/// A network's loss in f64, written down from its formulas alone.
struct Reference<'a> {
    widths: &'a [usize],
    activation: Activation,
    loss: Loss,
    samples: &'a Samples,
    layout: &'a ParamLayout,
}

impl Reference<'_> {
    fn outputs(&self, theta: &[f64], sample: usize) -> Vec<f64> {
        let width = self.widths[0];
        let range = sample * width..(sample + 1) * width;
        let inputs = match self.samples.inputs() {
            Inputs::Bytes(values) => values[range].iter().map(|&x| f64::from(x) / 255.0).collect(),
            Inputs::F32(values) => values[range].iter().map(|&x| f64::from(x)).collect(),
        };
        dense_outputs(self.layout, self.widths, self.activation, theta, inputs)
    }

    fn sample_loss(&self, theta: &[f64], sample: usize) -> f64 {
        let z = self.outputs(theta, sample);
        let width = z.len();
        let target = |j: usize| match self.samples.targets() {
            Targets::Labels { labels, .. } => f64::from(u8::from(usize::from(labels[sample]) == j)),
            Targets::Dense { values, .. } => f64::from(values[sample * width + j]),
        };
        match self.loss {
            Loss::CrossEntropy => {
                let sum: f64 = z.iter().map(|z| z.exp()).sum();
                (0..width).map(|j| -target(j) * (z[j].exp() / sum).ln()).sum()
            }
            Loss::MeanSquare => {
                (0..width).map(|j| (z[j] - target(j)).powi(2)).sum::<f64>() / width as f64
            }
        }
    }

    fn mean_loss(&self, theta: &[f64], rows: &[usize]) -> f64 {
        rows.iter().map(|&row| self.sample_loss(theta, row)).sum::<f64>() / rows.len() as f64
    }
}

/// The samples of a batch, by the shuffle's Rust twin.
fn rows_of(batches: &Batches, batch: u32) -> Vec<usize> {
    let count = batches.samples().len();
    let key = shuffle::epoch_key(batches.shuffle_seed(), batch / batches.per_epoch());
    let first = (batch % batches.per_epoch()) as usize * batches.batch();
    (first..count.min(first + batches.batch()))
        .map(|position| match batches.is_shuffled() {
            true => shuffle::index(position as u32, count as u32, key) as usize,
            false => position,
        })
        .collect()
}

fn parameters(mlp: &Mlp) -> Vec<f32> {
    off_their_zeros(mlp.layout(), mlp.initial(3))
}

/// Holds loss and gradient of the given batches against the reference.
fn check(mlp: &mut Mlp, batches: &Batches, wanted: &[u32]) {
    let theta = parameters(mlp);
    let device = Device::new(Mlp::layout(mlp).len());
    let layout = Mlp::layout(mlp).clone();
    let (widths, activation, loss) =
        (mlp.network.widths.clone(), mlp.network.activation, mlp.network.loss);
    let samples = batches.samples();
    let reference = Reference { widths: &widths, activation, loss, samples, layout: &layout };
    let what = format!("{widths:?} {activation:?} {loss:?} {:?}", mlp.network.method);
    for &batch in wanted {
        let (found_loss, found) = device.evaluate(mlp, (1, Purpose::Stage(1)), &theta, batch);
        let rows = rows_of(batches, batch);
        let what = format!("{what} batch {batch}");
        let mean = |at: &[f64]| reference.mean_loss(at, &rows);
        let slopes = check_gradient(&layout, &theta, (found_loss, &found), mean, &what);
        let largest = slopes.values().fold(0.0f64, |a, b| a.max(*b));
        assert!(largest > 1e-3, "{what}: the gradient vanishes, {largest}");
    }
}

fn network(
    widths: &[usize],
    activation: Activation,
    loss: Loss,
    products: Products,
    batches: &Batches,
) -> Mlp {
    Mlp::builder(widths)
        .activation(activation)
        .loss(loss)
        .products(products)
        .build(gpu(), batches.clone())
        .unwrap()
}

const ACTIVATIONS: [Activation; 4] =
    [Activation::Relu, Activation::Tanh, Activation::Gelu, Activation::Sine { omega: 5.0 }];

fn gradients_agree(products: Products) {
    // 13 samples in batches of 5: the third has 3. Batch 4 is in epoch 1.
    let wanted = [0, 2, 4];
    for activation in ACTIVATIONS {
        for (loss, dense) in
            [(Loss::CrossEntropy, false), (Loss::MeanSquare, false), (Loss::MeanSquare, true)]
        {
            let widths = [7, 9, 6, 3];
            let batches = Batches::new(samples(13, 7, 3, !dense, dense), 5).unwrap().seed(11);
            let mut mlp = network(&widths, activation, loss, products, &batches);
            check(&mut mlp, &batches, &wanted);
        }
    }
    // Widths and batches at, below and above the tiles, whole and ragged.
    for (widths, batch) in
        [(vec![5, 4], 4), (vec![1, 1], 1), (vec![3, 36, 8], 17), (vec![34, 33, 4, 5], 66)]
    {
        let (inputs, outputs) = (widths[0], widths[widths.len() - 1]);
        for bytes in [true, false] {
            let batches = Batches::new(samples(batch + 2, inputs, outputs, bytes, true), batch);
            let batches = batches.unwrap().shuffled(false);
            let mut mlp = network(&widths, Activation::Tanh, Loss::MeanSquare, products, &batches);
            check(&mut mlp, &batches, &[0, 1]);
        }
    }
}

#[test]
fn gradients_agree_with_differences_in_registers() {
    gradients_agree(Products::Register);
}

#[test]
fn gradients_agree_with_differences_in_workgroups() {
    gradients_agree(Products::Workgroup);
}

#[test]
fn a_batch_is_kept_for_as_long_as_its_ticket() {
    let batches = Batches::new(samples(12, 4, 3, true, false), 4).unwrap();
    let mut mlp =
        network(&[4, 8, 3], Activation::Relu, Loss::CrossEntropy, Products::Auto, &batches);
    let theta = parameters(&mlp);
    let device = Device::new(mlp.layout().len());
    let [one, other] = [BatchTicket::new(), BatchTicket::new()];
    let first = device.evaluate_for(one, &mut mlp, (1, Purpose::Stage(1)), &theta, 0);
    for purpose in [Purpose::Stage(1), Purpose::Stage(2), Purpose::Probe, Purpose::Product] {
        // The control block names batch 1 without a word of the ticket: nobody looks.
        let again = device.evaluate_for(one, &mut mlp, (1, purpose), &theta, 1);
        assert_eq!(first, again, "{purpose:?} must not move on");
        let moved = device.evaluate_for(other, &mut mlp, (1, purpose), &theta, 1);
        assert_ne!(first, moved, "{purpose:?} must move on");
        let back = device.evaluate(&mut mlp, (1, purpose), &theta, 0);
        assert_eq!(first, back, "{purpose:?} must move back");
        device.evaluate_for(one, &mut mlp, (1, purpose), &theta, 0);
    }
    for optimizer in 2..40 {
        let other = device.evaluate(&mut mlp, (optimizer, Purpose::Stage(1)), &theta, 0);
        assert_eq!(first, other, "same bits for optimizer {optimizer}");
    }
}

#[test]
fn evaluation_agrees_with_the_reference() {
    // More than one batch of an evaluation, the last one short.
    let set = samples(2100, 6, 4, true, false);
    let batches = Batches::new(set.clone(), 50).unwrap();
    for loss in [Loss::CrossEntropy, Loss::MeanSquare] {
        let widths = [6, 10, 4];
        let mut mlp = network(&widths, Activation::Gelu, loss, Products::Auto, &batches);
        let theta = parameters(&mlp);
        let layout = mlp.layout().clone();
        let activation = Activation::Gelu;
        let reference =
            Reference { widths: &widths, activation, loss, samples: &set, layout: &layout };
        let at: Vec<f64> = theta.iter().map(|&x| f64::from(x)).collect();
        let params = Vector::from_slice(gpu(), "params", &theta).unwrap();
        let test = mlp.upload(&set).unwrap();
        let found = mlp.evaluate(&params, &test).unwrap();
        let rows: Vec<usize> = (0..set.len()).collect();
        assert_eq!(found.samples, set.len());
        assert!((found.loss - reference.mean_loss(&at, &rows)).abs() < 1e-5, "{found:?}");
        let Targets::Labels { labels, .. } = set.targets() else { unreachable!() };
        let right = rows.iter().filter(|&&row| {
            let z = reference.outputs(&at, row);
            (0..4).all(|j| z[j] <= z[usize::from(labels[row])])
        });
        let accuracy = right.count() as f64 / set.len() as f64;
        // Near-ties may fall either way in f32.
        assert!((found.accuracy.unwrap() - accuracy).abs() < 2e-3, "{found:?}, not {accuracy}");
        assert_eq!(found, mlp.evaluate(&params, &test).unwrap(), "same bits");
        let resident = mlp.training_data().clone();
        assert_eq!(found, mlp.evaluate(&params, &resident).unwrap());
        let few = mlp.upload(&samples(3, 6, 4, true, false)).unwrap();
        assert_eq!(mlp.evaluate(&params, &few).unwrap().samples, 3);
    }
}

/// Packing the weights takes 65,569 workgroups; the last feature's weights, the only ones
/// that meet an input, are all packed by those beyond 65,535.
#[test]
fn a_layer_beyond_65535_workgroups_is_folded() {
    let widths = [2048usize, 8194];
    let words = widths[0] * widths[1].div_ceil(4);
    assert!((widths[0] - 1) * widths[1].div_ceil(4) >= 64 * 65_535 && words > 64 * 65_535);
    let mut inputs = vec![0.0; 2 * widths[0]];
    (inputs[widths[0] - 1], inputs[2 * widths[0] - 1]) = (1.0, -0.5);
    let targets = Targets::Dense { values: vec![0.25; 2 * widths[1]], width: widths[1] };
    let set = Samples::new(Inputs::F32(inputs), widths[0], targets).unwrap();
    let batches = Batches::new(set.clone(), 2).unwrap();
    let (activation, loss) = (Activation::Tanh, Loss::MeanSquare);
    let mut mlp = network(&widths, activation, loss, Products::Auto, &batches);
    let theta: Vec<f32> = mlp.initial(3).iter().map(|x| 64.0 * x).collect();
    let layout = mlp.layout().clone();
    let reference = Reference { widths: &widths, activation, loss, samples: &set, layout: &layout };
    let at: Vec<f64> = theta.iter().map(|&x| f64::from(x)).collect();
    let expected = reference.mean_loss(&at, &[0, 1]);
    let params = Vector::from_slice(gpu(), "params", &theta).unwrap();
    let data = mlp.training_data().clone();
    let found = mlp.evaluate(&params, &data).unwrap().loss;
    assert!((found - expected).abs() < 1e-5 * expected, "{found}, not {expected}");
    // Without those weights the loss would be that of outputs of zero.
    let zero = reference.mean_loss(&vec![0.0; at.len()], &[0, 1]);
    assert!((expected - zero).abs() > 0.1 * zero, "{expected} and {zero}");
}

#[test]
fn dense_targets_have_no_accuracy() {
    let batches = Batches::new(samples(9, 2, 2, false, true), 4).unwrap();
    let mut mlp = network(&[2, 2], Activation::Tanh, Loss::MeanSquare, Products::Auto, &batches);
    let params = Vector::from_slice(gpu(), "params", &mlp.initial(1)).unwrap();
    let data = mlp.training_data().clone();
    let found = mlp.evaluate(&params, &data).unwrap();
    assert_eq!((found.accuracy, found.samples), (None, 9));
}

#[test]
fn bad_input_is_refused_with_its_numbers() {
    let labelled = Batches::new(samples(8, 5, 3, true, false), 4).unwrap();
    let dense = Batches::new(samples(8, 5, 3, true, true), 4).unwrap();
    let faults: [(&[usize], &Batches, &str); 6] = [
        (&[5], &labelled, "[5]"),
        (&[5, 0, 3], &labelled, "width 1"),
        (&[4, 3], &labelled, "first width is 4"),
        (&[5, 4], &labelled, "last width is 4"),
        (&[5, 3], &dense, "MeanSquare"),
        // 5 × 40,000,000 weights are more than a browser's 128 MiB.
        (&[5, 40_000_000, 3], &labelled, "134217728"),
    ];
    for (widths, batches, words) in faults {
        let error = Mlp::classifier(gpu(), widths, batches.clone()).unwrap_err();
        assert!(matches!(error, Error::Model(_)), "{error:?}");
        let message = error.to_string();
        assert!(message.contains(words), "{message:?} lacks {words:?}");
    }
    let mut mlp = Mlp::classifier(gpu(), &[5, 3], labelled).unwrap();
    let message = mlp.upload(&samples(8, 6, 3, true, false)).unwrap_err().to_string();
    assert!(message.contains("6 inputs"), "{message}");
    let short = Vector::zeros(gpu(), "short", 7).unwrap();
    let data = mlp.training_data().clone();
    assert!(matches!(mlp.evaluate(&short, &data), Err(Error::Layout(_))));
}

#[test]
fn a_data_set_beyond_one_binding_is_refused() {
    // 34 M f32 are 136 MB; as bytes they would fit.
    let values = Inputs::F32(vec![0.0; 17_000_000]);
    let labels = Targets::Labels { labels: vec![0; 8_500_000], classes: 1 };
    let samples = Samples::new(values, 2, labels).unwrap();
    let batches = Batches::new(samples, 4).unwrap();
    let error = Mlp::classifier(gpu(), &[2, 1], batches).unwrap_err();
    let Error::Model(ModelError::TooLarge { bytes, limit, .. }) = error else {
        panic!("{error}");
    };
    // Rows are padded to whole vec4.
    assert_eq!((bytes, limit), (136_000_000, 134_217_728));
}
