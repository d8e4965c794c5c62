//! Gradients held against central differences of an independent forward pass
//! in f64; evaluation, batches and errors held against the same.

use super::*;
use crate::data::{Inputs, shuffle};
use crate::device::matrix::Unit;
use crate::device::vector::Vector;
use crate::models::dense::tail_form::{self, TailForm};
use crate::models::dense::testing::{Form, forced, seen};
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
    if products == Products::Fused {
        return;
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
fn gradients_agree_with_differences_in_one_dispatch() {
    gradients_agree(Products::Fused);
}

#[test]
fn gradients_agree_with_differences_in_slices() {
    gradients_agree(Products::Sliced);
}

impl Reference<'_> {
    /// Loss and gradient in f64, by the chain rule.
    fn gradient(&self, theta: &[f64], rows: &[usize]) -> (f64, Vec<f64>) {
        let layers = self.widths.len() - 1;
        let mut gradient = vec![0.0; theta.len()];
        let tensor = |name: String| self.layout.range(&name).unwrap();
        let mut loss = 0.0;
        for &row in rows {
            let width = self.widths[0];
            let at = row * width..(row + 1) * width;
            let mut values = vec![match self.samples.inputs() {
                Inputs::Bytes(x) => x[at].iter().map(|&x| f64::from(x) / 255.0).collect(),
                Inputs::F32(x) => x[at].iter().map(|&x| f64::from(x)).collect::<Vec<_>>(),
            }];
            let mut slopes = Vec::new();
            for layer in 0..layers {
                let outputs = self.widths[layer + 1];
                let w = &theta[tensor(format!("layer{layer}.weight"))];
                let b = &theta[tensor(format!("layer{layer}.bias"))];
                let mut z = b.to_vec();
                for (x, w) in values[layer].iter().zip(w.chunks(outputs)) {
                    z.iter_mut().zip(w).for_each(|(z, w)| *z += x * w);
                }
                let last = layer + 1 == layers;
                let both = |z: &f64| if last { (*z, 1.0) } else { activated(self.activation, *z) };
                let (a, slope) = z.iter().map(both).unzip();
                values.push(a);
                slopes.push(slope);
            }
            loss += self.sample_loss(theta, row) / rows.len() as f64;
            let z = &values[layers];
            let target = |j: usize| match self.samples.targets() {
                Targets::Labels { labels, .. } => {
                    f64::from(u8::from(usize::from(labels[row]) == j))
                }
                Targets::Dense { values, .. } => f64::from(values[row * z.len() + j]),
            };
            let sum: f64 = z.iter().map(|z| z.exp()).sum();
            let mut dz: Vec<f64> = (0..z.len())
                .map(|j| match self.loss {
                    Loss::CrossEntropy => (z[j].exp() / sum - target(j)) / rows.len() as f64,
                    Loss::MeanSquare => 2.0 * (z[j] - target(j)) / (z.len() * rows.len()) as f64,
                })
                .collect();
            for layer in (0..layers).rev() {
                let slope: &Vec<f64> = &slopes[layer];
                dz.iter_mut().zip(slope).for_each(|(dz, f)| *dz *= f);
                let outputs = self.widths[layer + 1];
                let range = tensor(format!("layer{layer}.weight"));
                for (x, g) in values[layer].iter().zip(gradient[range.clone()].chunks_mut(outputs))
                {
                    g.iter_mut().zip(&dz).for_each(|(g, dz)| *g += x * dz);
                }
                let bias = &mut gradient[tensor(format!("layer{layer}.bias"))];
                bias.iter_mut().zip(&dz).for_each(|(g, dz)| *g += dz);
                let sums = |w: &[f64]| w.iter().zip(&dz).map(|(w, dz)| w * dz).sum();
                dz = theta[range].chunks(outputs).map(sums).collect();
            }
        }
        (loss, gradient)
    }
}

/// f(z) and f'(z).
fn activated(activation: Activation, z: f64) -> (f64, f64) {
    match activation {
        Activation::Relu => (z.max(0.0), f64::from(u8::from(z > 0.0))),
        Activation::Tanh => (z.tanh(), 1.0 - z.tanh().powi(2)),
        Activation::Sine { omega } => {
            let omega = f64::from(omega);
            ((omega * z).sin(), omega * (omega * z).cos())
        }
        Activation::Gelu => {
            let c = (2.0 / std::f64::consts::PI).sqrt();
            let t = (c * (z + 0.044715 * z.powi(3))).tanh();
            let slope = c * (1.0 + 3.0 * 0.044715 * z * z);
            (0.5 * z * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * slope)
        }
    }
}

/// The way a network's products are computed: by name, or every one in this form and number of
/// chunks.
#[derive(Clone, Copy, Debug)]
enum Way {
    Named(Products),
    Forced(Form, usize),
}

fn ways() -> Vec<Way> {
    let named = [Products::Register, Products::Sliced, Products::Workgroup, Products::Fused];
    let forms = [Form::Sliced(2), Form::Sliced(4), Form::Sliced(8)].into_iter();
    let forms = forms.chain([4, 8, 16].map(Form::Workgroup));
    let forms = forms.chain([64, 128].map(|rows| Form::Matrix(Unit::Emulated, rows)));
    let forced = forms.flat_map(|form| [1, 3].map(|chunks| Way::Forced(form, chunks)));
    named.into_iter().map(Way::Named).chain(forced).collect()
}

/// How far off a gradient may be, in parts of its largest element: what f32 rounds; or what
/// f16 does of two operands a product, which each layer does going up and again coming down.
fn bound(way: Way, layers: usize) -> f64 {
    match way {
        Way::Forced(Form::Matrix(..), _) | Way::Named(Products::EmulatedMatrix) => {
            2.0 * layers as f64 * 2f64.powi(-10)
        }
        _ => 1e-5,
    }
}

/// Loss and gradient in f64 and on the device, the latter twice with the same bits.
fn gradient_agrees(widths: &[usize], batch: usize, number: usize, way: Way) {
    let activation = ACTIVATIONS[number % 4];
    let loss = [Loss::CrossEntropy, Loss::MeanSquare][number / 4 % 2];
    let dense = loss == Loss::MeanSquare && number.is_multiple_of(3);
    let (inputs, outputs) = (widths[0], widths[widths.len() - 1]);
    // The second batch is short unless there is but one sample in it.
    let count = batch + batch.div_ceil(3);
    let set = samples(count, inputs, outputs, number.is_multiple_of(2), dense);
    let batches = Batches::new(set.clone(), batch).unwrap().seed(5);
    let products = match way {
        Way::Named(products) => products,
        Way::Forced(form, chunks) => {
            forced(Some(Some((form, chunks))));
            Products::Sliced
        }
    };
    let mut mlp = network(widths, activation, loss, products, &batches);
    forced(None);
    let layout = mlp.layout().clone();
    let theta = parameters(&mlp);
    let at: Vec<f64> = theta.iter().map(|&x| f64::from(x)).collect();
    let reference = Reference { widths, activation, loss, samples: &set, layout: &layout };
    let device = Device::new(layout.len());
    for cursor in [0, 1] {
        let what = format!("{widths:?} b{batch} {activation:?} {loss:?} {way:?}, batch {cursor}");
        let found = device.evaluate(&mut mlp, (1, Purpose::Stage(1)), &theta, cursor);
        let again = device.evaluate(&mut mlp, (1, Purpose::Stage(1)), &theta, cursor);
        let bits = |(loss, g): &(f32, Vec<f32>)| {
            (loss.to_bits(), g.iter().map(|x| x.to_bits()).collect::<Vec<_>>())
        };
        assert_eq!(bits(&found), bits(&again), "{what}: not the same bits");
        let (loss, gradient) = reference.gradient(&at, &rows_of(&batches, cursor));
        let bound = bound(way, widths.len() - 1);
        assert!(
            (f64::from(found.0) - loss).abs() < bound * loss.max(1.0),
            "{what}: {}, not {loss}",
            found.0
        );
        for tensor in layout.tensors() {
            let range = tensor.range();
            let pairs = || gradient[range.clone()].iter().zip(&found.1[range.clone()]);
            let scale = gradient.iter().fold(0.0f64, |a, b| a.max(b.abs()));
            let worst = pairs().map(|(a, b)| (a - f64::from(*b)).abs()).fold(0.0, f64::max);
            assert!(
                worst <= bound * scale,
                "{what}: {} is off by {worst} of {scale}",
                tensor.name()
            );
            assert!(pairs().all(|(_, b)| b.is_finite()), "{what}: {}", tensor.name());
        }
    }
}

fn every_width() -> impl Iterator<Item = usize> {
    (1..=65).chain(127..=129)
}

/// Widths at either side of a layer, and batches.
fn shapes() -> impl Iterator<Item = (usize, [usize; 3], usize)> {
    const BATCHES: [usize; 5] = [1, 2, 63, 64, 65];
    every_width().enumerate().map(|(i, width)| {
        let other = 1 + (width * 29 + 11) % 64;
        let widths = if i % 2 == 0 { [width, other, 3] } else { [other, width, 5] };
        (i, widths, BATCHES[i % 5])
    })
}

fn fits(widths: &[usize], way: Way) -> bool {
    !matches!(way, Way::Named(Products::Fused)) || widths[1..].iter().all(|&w| w <= 64)
}

#[test]
fn every_width_agrees_in_one_form_or_another() {
    let ways = ways();
    for (i, widths, batch) in shapes() {
        let way = (0..ways.len()).map(|k| ways[(i + k) % ways.len()]).find(|w| fits(&widths, *w));
        gradient_agrees(&widths, batch, i, way.unwrap());
    }
}

#[test]
fn batches_of_1000_agree_in_every_form() {
    for (i, way) in ways().into_iter().enumerate() {
        gradient_agrees(&[5, 9, 6, 4], 1000, i, way);
    }
}

#[test]
fn every_width_agrees_by_matrix_units() {
    for (i, widths, batch) in shapes() {
        // One activation and loss for each two: a kernel is compiled for each.
        let number = [1, 6][i % 2];
        gradient_agrees(&widths, batch, number, Way::Named(Products::EmulatedMatrix));
    }
    gradient_agrees(&[129, 65, 127, 66], 1000, 1, Way::Named(Products::EmulatedMatrix));
}

/// Inputs, weights and gradients of sizes that are infinite or zero in f16, and that change from
/// one evaluation to the next.
#[test]
fn matrix_units_bring_every_operand_in_range_and_remember_nothing() {
    let widths = [20, 70, 33];
    let mut numbers = Numbers(3);
    let mut values = |count: usize, size: f32| -> Vec<f32> {
        (0..count).map(|_| size * numbers.next() as f32).collect()
    };
    let targets = Targets::Dense { values: values(65 * 33, 3e8), width: 33 };
    let set = Samples::new(Inputs::F32(values(65 * 20, 1e7)), 20, targets).unwrap();
    let batches = Batches::new(set.clone(), 65).unwrap().shuffled(false);
    let (tanh, loss) = (Activation::Tanh, Loss::MeanSquare);
    let mut mlp = network(&widths, tanh, loss, Products::EmulatedMatrix, &batches);
    let layout = mlp.layout().clone();
    let device = Device::new(layout.len());
    let mut theta = parameters(&mlp);
    theta[layout.range("layer0.weight").unwrap()].iter_mut().for_each(|w| *w *= 1e-7);
    let reference =
        Reference { widths: &widths, activation: tanh, loss, samples: &set, layout: &layout };
    let mut check = |theta: &[f32]| {
        let at: Vec<f64> = theta.iter().map(|&x| f64::from(x)).collect();
        let rows: Vec<usize> = (0..65).collect();
        let (_, expected) = reference.gradient(&at, &rows);
        let found = device.evaluate(&mut mlp, (1, Purpose::Stage(1)), theta, 0).1;
        for tensor in layout.tensors() {
            let pairs = || tensor.range().map(|i| (expected[i], f64::from(found[i])));
            let scale = pairs().fold(0.0f64, |most, (e, _)| most.max(e.abs()));
            let worst = pairs().fold(0.0f64, |most, (e, f)| most.max((e - f).abs()));
            assert!(scale > 0.0 && pairs().all(|(_, f)| f.is_finite()), "{}", tensor.name());
            assert!(worst < 4e-3 * scale, "{}: {worst} of {scale}", tensor.name());
        }
        found.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
    };
    let first = check(&theta);
    // Weights of another size by far, so that the powers of two are others.
    let mut other = theta.clone();
    other[layout.range("layer1.weight").unwrap()].iter_mut().for_each(|w| *w *= 1e12);
    assert_ne!(check(&other), first);
    assert_eq!(check(&theta), first, "what an evaluation found stays in the next one");
}

#[test]
fn matrix_units_that_are_not_there_are_refused_by_name_or_done_without() {
    let batches = Batches::new(samples(9, 5, 3, true, false), 4).unwrap();
    let built =
        |products| Mlp::builder(&[5, 70, 3]).products(products).build(gpu(), batches.clone());
    let message = built(Products::Matrix).unwrap_err().to_string();
    for words in ["`Products::Matrix`", "EXPERIMENTAL_COOPERATIVE_MATRIX", "MatrixOrAuto"] {
        assert!(message.contains(words), "{message:?} lacks {words:?}");
    }
    let mlp = built(Products::MatrixOrAuto).unwrap();
    let text = mlp.products();
    assert!(text.starts_with("no matrix units: "), "{text}");
    assert!(text.contains("in registers"), "{text}");
    assert_eq!(text.lines().skip(1).collect::<Vec<_>>(), {
        let auto = built(Products::Auto).unwrap().products();
        auto.lines().map(str::to_owned).collect::<Vec<_>>()
    });
    let text = built(Products::EmulatedMatrix).unwrap().products();
    assert!(text.contains("emulated matrix units, 64x128, 1 chunks"), "{text}");
}

/// Relative errors of the gradient of each tensor, for `docs/ARCHITECTURE.md`.
#[test]
#[ignore = "prints a table; half a minute"]
fn accuracy_of_matrix_units_by_layer() {
    let widths = [784, 1024, 1024, 10];
    let set = samples(64, 784, 10, true, false);
    let batches = Batches::new(set.clone(), 64).unwrap().shuffled(false);
    let loss = Loss::CrossEntropy;
    let rows: Vec<usize> = (0..64).collect();
    let both = [Products::Register, Products::EmulatedMatrix];
    let all = both.into_iter().flat_map(|p| [Activation::Relu, Activation::Tanh].map(|a| (p, a)));
    for (products, activation) in all {
        let mut mlp = network(&widths, activation, loss, products, &batches);
        let layout = mlp.layout().clone();
        let theta = mlp.initial(3);
        let at: Vec<f64> = theta.iter().map(|&x| f64::from(x)).collect();
        let reference =
            Reference { widths: &widths, activation, loss, samples: &set, layout: &layout };
        let (_, expected) = reference.gradient(&at, &rows);
        let found = Device::new(layout.len()).evaluate(&mut mlp, (1, Purpose::Stage(1)), &theta, 0);
        for tensor in layout.tensors() {
            let (mut error, mut norm) = (0.0f64, 0.0f64);
            for i in tensor.range() {
                error += (f64::from(found.1[i]) - expected[i]).powi(2);
                norm += expected[i].powi(2);
            }
            println!(
                "{products:?} {activation:?} {}: {:.1e}",
                tensor.name(),
                (error / norm).sqrt()
            );
        }
    }
}

/// From 16,384 samples on a workgroup of a tail does 64, and from 32,768 on 128: then blocks
/// are as many as invocations or more, and the rows of wide outputs have losses in two turns.
#[test]
fn tails_of_large_batches_agree() {
    for (i, (widths, batch)) in [
        (&[6, 9, 3][..], 16_384),
        (&[4, 33, 20, 3], 16_387),
        (&[5, 12], 16_384),
        (&[3, 64], 32_768),
        (&[2, 64, 7, 3], 32_770),
    ]
    .into_iter()
    .enumerate()
    {
        gradient_agrees(widths, batch, i + 1, Way::Named(Products::Fused));
    }
    // Behind a layer of another kind, whose gradient it begins.
    for (number, widths) in [(2, [70, 70, 12, 3]), (4, [9, 300, 5, 4])] {
        forced(Some(None));
        gradient_agrees(&widths, 16_389, number, Way::Named(Products::Auto));
    }
}

#[test]
#[ignore = "many minutes on a software adapter"]
fn every_width_agrees_in_every_form() {
    for (i, widths, batch) in shapes() {
        for way in ways().into_iter().filter(|way| fits(&widths, *way)) {
            gradient_agrees(&widths, batch, i, way);
        }
    }
    for (i, way) in ways().into_iter().enumerate() {
        if !matches!(way, Way::Named(Products::Fused)) {
            gradient_agrees(&[129, 65, 127, 66], 1000, i, way);
        }
    }
}

/// As a GPU records it: of one hidden layer four dispatches, and two for its batch.
#[test]
fn gradients_are_few_dispatches() {
    let cases: [(&[usize], usize, &[&str]); 5] = [
        (
            &[30, 128, 10],
            64,
            &["dense_forward", "dense_tail", "dense_weight_partials", "dense_gradient"],
        ),
        (&[30, 32, 10], 64, &["dense_tail", "dense_gradient"]),
        (&[16, 64, 64, 64, 64, 64, 64, 64, 3], 65, &["dense_tail", "dense_gradient"]),
        (
            &[30, 70, 66],
            10,
            &[
                "dense_forward",
                "dense_forward",
                "cross_entropy",
                "dense_input_gradient",
                "dense_weight_partials",
                "dense_weight_partials",
                "dense_gradient",
            ],
        ),
        (
            &[30, 70, 66],
            // By matrix units, each operand once with its largest element.
            11,
            &[
                "dense_largest",
                "dense_largest",
                "dense_largest",
                "dense_forward",
                "dense_largest",
                "dense_largest",
                "dense_forward",
                "cross_entropy",
                "dense_largest",
                "dense_input_gradient",
                "dense_weight_partials",
                "dense_largest",
                "dense_weight_partials",
                "dense_gradient",
            ],
        ),
    ];
    for (widths, batch, expected) in cases {
        let products = match expected.contains(&"dense_largest") {
            true => Products::EmulatedMatrix,
            false => Products::Auto,
        };
        let outputs = widths[widths.len() - 1];
        let batches = Batches::new(samples(batch, widths[0], outputs, true, false), batch).unwrap();
        let (relu, loss) = (Activation::Relu, Loss::CrossEntropy);
        forced(Some(None));
        let mut mlp = network(widths, relu, loss, products, &batches);
        forced(None);
        let theta = parameters(&mlp);
        seen(true);
        Device::new(theta.len()).evaluate(&mut mlp, (1, Purpose::Stage(1)), &theta, 0);
        let steps = seen(false);
        let names: Vec<_> = steps.iter().map(|s| s.name().split('.').next().unwrap()).collect();
        assert_eq!(names[..2], ["batch_rows", "gather_bytes"], "{widths:?}");
        assert_eq!(&names[2..], expected, "{widths:?}");
        let text = mlp.products();
        let fused = expected.contains(&"dense_tail");
        assert_eq!(text.contains("in one dispatch"), fused, "{text}");
        assert_eq!(
            text.contains("us on a large GPU"),
            expected.contains(&"dense_forward"),
            "{text}"
        );
    }
}

/// Tails that keep what is between their layers in workgroup memory, where the adapter has 32
/// KiB: the same sums in the same order as from a storage buffer.
#[test]
fn what_a_tail_keeps_changes_no_bit() {
    let gpu = Gpu::new().unwrap();
    if gpu.limits().max_compute_workgroup_storage_size < 32_768 {
        eprintln!("left out: this adapter has too little workgroup memory");
        return;
    }
    // One kernel for all: a driver takes seconds for each.
    let activation = Activation::Relu;
    let cases: [(&[usize], usize); 4] =
        [(&[7, 9, 6, 3], 37), (&[16, 32, 3], 64), (&[5, 64, 64, 1], 65), (&[3, 1, 1, 2], 1)];
    for (widths, batch) in cases {
        let outputs = widths[widths.len() - 1];
        let set = samples(batch + 30, widths[0], outputs, true, true);
        let of = |kept| {
            tail_form::forced(Some(TailForm { group_quads: 2, kept }));
            let mut mlp = Mlp::builder(widths)
                .activation(activation)
                .loss(Loss::MeanSquare)
                .products(Products::Fused)
                .build(&gpu, Batches::new(set.clone(), batch).unwrap())
                .unwrap();
            let theta = parameters(&mlp);
            seen(true);
            let device = Device::on(&gpu, theta.len());
            let (loss, gradient) = device.evaluate(&mut mlp, (0, Purpose::Stage(1)), &theta, 0);
            let names: Vec<&str> = seen(false).iter().map(|step| step.name()).collect();
            tail_form::forced(None);
            let bits: Vec<u32> = gradient.iter().map(|x| x.to_bits()).collect();
            (loss.to_bits(), bits, names, mlp.products())
        };
        let (stored, kept) = (of(0), of(1024));
        assert_eq!((stored.0, &stored.1), (kept.0, &kept.1), "{widths:?}");
        assert!(stored.2.contains(&"dense_tail") && kept.2.contains(&"dense_tail.kept32"));
        assert!(stored.3.contains("16 KiB") && kept.3.contains("32 KiB"), "{}", kept.3);
        let largest = kept.1.iter().map(|&x| f32::from_bits(x).abs());
        assert!(largest.fold(0.0, f32::max) > 1e-4, "{widths:?}: nothing but zeros");
    }
}

#[test]
fn a_network_too_wide_for_one_dispatch_is_refused_by_name() {
    for widths in [&[257, 64, 10][..], &[5, 65, 3], &[3; 10]] {
        let outputs = widths[widths.len() - 1];
        let batches = Batches::new(samples(9, widths[0], outputs, true, false), 4).unwrap();
        let error =
            Mlp::builder(widths).products(Products::Fused).build(gpu(), batches).unwrap_err();
        let message = error.to_string();
        for words in ["Products::Fused", "up to 64", "256", &format!("{widths:?}")] {
            assert!(message.contains(words), "{message:?} lacks {words:?}");
        }
    }
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
    let losses = [Loss::CrossEntropy, Loss::MeanSquare];
    for (loss, products) in losses
        .into_iter()
        .zip([Products::Auto; 2])
        .chain([(Loss::CrossEntropy, Products::Fused), (Loss::MeanSquare, Products::Sliced)])
    {
        let widths = [6, 10, 4];
        let mut mlp = network(&widths, Activation::Gelu, loss, products, &batches);
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
