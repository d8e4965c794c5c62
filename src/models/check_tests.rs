//! What a source says of a gradient that it wrote, held against that gradient.

use super::harness::{Numbers, gpu, off_their_zeros};
use super::{Activation, Encoding, HashGrid, Mlp, NeuralField, Points, Products, Target};
use crate::batching::{Accumulated, PerStage};
use crate::data::{Batches, Inputs, Samples, Targets};
use crate::device::commands::Commands;
use crate::device::vector::Vector;
use crate::format::Storage;
use crate::kernels::control::Control;
use crate::models::Analytic;
use crate::models::dense::testing::{Form, forced};
use crate::plan::Check;
use crate::reference::Problem;
use crate::source::{Evaluation, GradientSource};

/// The gradient as it is stored, ‖k‖ by the roots that were left, and the first vec4 that was
/// found not to be finite.
struct Seen {
    gradient: Vec<f32>,
    norm: f64,
    place: Option<usize>,
    roots: Vec<f32>,
}

fn evaluated(
    source: &mut impl GradientSource,
    theta: &[f32],
    storage: Storage,
    check: Option<Check>,
) -> Seen {
    let gpu = gpu();
    let len = theta.len();
    let point = Vector::from_slice(gpu, "point", theta).unwrap();
    let gradient = Vector::stored(gpu, "gradient", len, storage).unwrap();
    use wgpu::BufferUsages as Usage;
    let usage = Usage::STORAGE | Usage::UNIFORM | Usage::COPY_SRC | Usage::COPY_DST;
    let buffer = |bytes| gpu.buffer("of a test", bytes, usage).unwrap();
    let [loss, samples] = [buffer(4), buffer(4)];
    let slots = source.checks() as usize;
    let checks = buffer(4 + 4 * slots as u64);
    // A slot that is not written makes the norm NaN.
    let mut before = vec![f32::NAN; slots + 1];
    before[0] = 0.0;
    gpu.upload(&checks, bytemuck::cast_slice(&before)).unwrap();
    let control = buffer(size_of::<Control>() as u64);
    let block = Control { alive: 1, stride: 1, ..Control::default() };
    gpu.upload(&control, bytemuck::bytes_of(&block)).unwrap();
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let mut pass = None;
    let mut at = Evaluation::alone(
        gpu,
        (&point, &gradient),
        &control,
        [&loss, &samples, &checks],
        Commands::new(&mut encoder, &mut pass),
    );
    at.check = check;
    source.evaluate(&mut at).unwrap();
    drop(pass);
    gpu.queue().submit([encoder.finish()]);
    let bytes = pollster::block_on(gpu.read_buffer(&checks, 0..checks.size())).unwrap();
    let words: Vec<u32> = bytemuck::pod_collect_to_vec(&bytes);
    let roots: Vec<f32> = words[1..].iter().map(|&bits| f32::from_bits(bits)).collect();
    let squares: f64 = roots.iter().map(|&root| f64::from(root).powi(2)).sum();
    Seen {
        gradient: gradient.read(gpu).unwrap(),
        norm: squares.sqrt(),
        place: (words[0] != 0).then(|| (u32::MAX - words[0]) as usize),
        roots,
    }
}

const ALL: Option<Check> = Some(Check { norm: true, squares: false });

fn true_norm(gradient: &[f32]) -> f64 {
    gradient.iter().map(|&k| f64::from(k).powi(2)).sum::<f64>().sqrt()
}

fn first_bad(gradient: &[f32]) -> Option<usize> {
    gradient.iter().position(|k| !k.is_finite()).map(|i| i / 4)
}

/// Finite: the norm, in every storage, the same bits again, and none where nobody asks.
fn holds(source: &mut impl GradientSource, theta: &[f32], what: &str) {
    assert!(source.checks() > 0, "{what}");
    for storage in [Storage::F32, Storage::F16, Storage::Bf16] {
        if !source.writes(storage) {
            continue;
        }
        let seen = evaluated(source, theta, storage, ALL);
        let expected = true_norm(&seen.gradient);
        let off = (seen.norm / expected - 1.0).abs();
        assert!(off < 1e-6, "{what} {storage}: {} for {expected}, off by {off}", seen.norm);
        assert_eq!(seen.place, None, "{what} {storage}");
        let again = evaluated(source, theta, storage, ALL);
        assert_eq!(again.roots, seen.roots, "{what} {storage}");
        let only = Some(Check { norm: false, squares: false });
        for check in [None, only] {
            let unasked = evaluated(source, theta, storage, check);
            assert!(unasked.roots.iter().all(|root| root.is_nan()), "{what} {storage}");
            assert_eq!(unasked.gradient, seen.gradient, "{what} {storage}");
        }
    }
}

/// Not finite: the place is the gradient's own, with the norm and without.
fn finds(source: &mut impl GradientSource, theta: &[f32], what: &str) -> usize {
    let mut found = 0;
    for storage in [Storage::F32, Storage::F16, Storage::Bf16] {
        for norm in [true, false] {
            if !source.writes(storage) {
                continue;
            }
            let check = Some(Check { norm, squares: false });
            let seen = evaluated(source, theta, storage, check);
            let expected = first_bad(&seen.gradient);
            assert!(expected.is_some(), "{what} {storage}: all is finite");
            assert_eq!(seen.place, expected, "{what} {storage}");
            assert!(!norm || !seen.norm.is_finite(), "{what} {storage}: {}", seen.norm);
            found = expected.unwrap_or(0);
        }
    }
    found
}

/// Two inputs features beside many, by the batch.
fn mlp(widths: &[usize], products: Products, batch: usize, inputs: Option<(usize, f32)>) -> Mlp {
    let (width, outputs, count) = (widths[0], widths[widths.len() - 1], batch + 3);
    let mut numbers = Numbers(7);
    let mut values: Vec<f32> = (0..count * width).map(|_| numbers.next() as f32).collect();
    if let Some((feature, value)) = inputs {
        values.chunks_mut(width).for_each(|row| row[feature] = value);
    }
    let targets = (0..count * outputs).map(|_| 4.0 + numbers.next() as f32).collect();
    let targets = Targets::Dense { values: targets, width: outputs };
    let samples = Samples::new(Inputs::F32(values), width, targets).unwrap();
    Mlp::builder(widths)
        .activation(Activation::Relu)
        .loss(super::Loss::MeanSquare)
        .products(products)
        .build(gpu(), Batches::new(samples, batch).unwrap())
        .unwrap()
}

const WIDTHS: [&[usize]; 4] = [&[3, 2], &[5, 7, 3], &[33, 64, 10], &[9, 65, 129, 6]];
const FORMS: [Products; 4] =
    [Products::Sliced, Products::Workgroup, Products::Fused, Products::EmulatedMatrix];

fn fits(widths: &[usize], products: Products) -> bool {
    products != Products::Fused || widths.iter().all(|&width| width <= 64)
}

#[test]
fn dense_networks_say_what_they_wrote() {
    for widths in WIDTHS {
        for products in FORMS {
            if !fits(widths, products) {
                continue;
            }
            for batch in [1, 65] {
                let what = format!("{widths:?} {products:?} {batch}");
                let mut mlp = mlp(widths, products, batch, None);
                let theta = off_their_zeros(mlp.layout(), mlp.initial(3));
                holds(&mut mlp, &theta, &what);
            }
        }
    }
    // Many chunks of the batch, and gradients that several lanes add up.
    forced(Some(Some((Form::Sliced(4), 16))));
    let mut split = mlp(&[5, 7, 3], Products::Auto, 200, None);
    forced(None);
    let theta = off_their_zeros(split.layout(), split.initial(3));
    holds(&mut split, &theta, "chunks");
}

/// A feature that only overflows in the weights that it is multiplied with: a row of the first
/// layer, then of the second.
#[test]
fn dense_networks_find_what_is_not_finite_where_it_is() {
    for widths in [&[5, 7, 3][..], &[33, 64, 10]] {
        for products in FORMS {
            let [first, hidden] = [widths[0], widths[1]];
            for feature in [0, first - 1] {
                let what = format!("{widths:?} {products:?} feature {feature}");
                let mut mlp = mlp(widths, products, 65, Some((feature, 3e38)));
                let mut theta = off_their_zeros(mlp.layout(), mlp.initial(3));
                let range = mlp.layout().range("layer0.weight").unwrap();
                theta[range.start + feature * hidden..][..hidden].fill(0.0);
                // dz beyond 1, so that 3e38 dz is infinite.
                let bias = mlp.layout().range("layer1.bias").unwrap();
                theta[bias].fill(-1e4);
                theta[mlp.layout().range("layer0.bias").unwrap()].fill(1.0);
                theta[mlp.layout().range("layer1.weight").unwrap()].fill(0.01);
                let place = finds(&mut mlp, &theta, &what);
                let row = (range.start + feature * hidden) / 4;
                assert!((row..=row + hidden / 4).contains(&place), "{what}: {place}");
            }
            for unit in [0, hidden - 1] {
                let what = format!("{widths:?} {products:?} unit {unit}");
                let mut mlp = mlp(widths, products, 65, None);
                let mut theta = off_their_zeros(mlp.layout(), mlp.initial(3));
                let range = mlp.layout().range("layer1.weight").unwrap();
                let outputs = widths[2];
                theta[range.start + unit * outputs..][..outputs].fill(0.0);
                theta[mlp.layout().range("layer0.bias").unwrap().start + unit] = 3e38;
                theta[mlp.layout().range("layer1.bias").unwrap()].fill(-1e4);
                let place = finds(&mut mlp, &theta, &what);
                let row = (range.start + unit * outputs) / 4;
                assert!((row..=row + outputs / 4 + 1).contains(&place), "{what}: {place}");
            }
        }
    }
}

fn field(encoding: Encoding, products: Products) -> NeuralField {
    let mut numbers = Numbers(3);
    let texels = (0..16 * 16 * 3).map(|_| numbers.next() as f32).collect();
    NeuralField::builder(encoding)
        .hidden(&[16])
        .points(Points::Texels(100))
        .products(products)
        .build(gpu(), &Target::image([16, 16], 3, texels).unwrap())
        .unwrap()
}

#[test]
fn fields_say_what_they_wrote() {
    let grid = |features| HashGrid { levels: 3, features, log2_table: 9, ..HashGrid::default() };
    for encoding in
        [Encoding::HashGrid(grid(2)), Encoding::HashGrid(grid(3)), Encoding::Coordinates]
    {
        for products in FORMS {
            let what = format!("{encoding:?} {products:?}");
            let mut field = field(encoding, products);
            let theta = off_their_zeros(field.layout(), field.initial(3));
            holds(&mut field, &theta, &what);
            // Through every tensor's first and last element, whatever becomes of it.
            let tensors: Vec<_> = field.layout().tensors().iter().map(|t| t.range()).collect();
            let mut places = Vec::new();
            for range in tensors {
                for at in [range.start, range.end - 1] {
                    let mut theta = theta.clone();
                    theta[at] = f32::NAN;
                    let seen = evaluated(&mut field, &theta, Storage::F32, ALL);
                    let expected = first_bad(&seen.gradient);
                    assert_eq!(seen.place, expected, "{what} {at}");
                    places.extend(expected);
                }
            }
            assert!(!places.is_empty(), "{what}");
        }
    }
}

#[test]
fn analytic_problems_and_wrappers_say_what_they_wrote() {
    let n = 4_096 + 1_001;
    let mut numbers = Numbers(9);
    let values: Vec<f64> = (0..n).map(|_| 1.0 + numbers.next()).collect();
    let mut theta = vec![1.0f32; n];
    let problem = Problem::quadratic(&values).unwrap();
    let mut quadratic = Analytic::new(gpu(), &problem, n).unwrap();
    holds(&mut quadratic, &theta, "quadratic");
    for (place, value) in [(0, f32::NAN), (n - 1, f32::INFINITY), (2_001, f32::NEG_INFINITY)] {
        theta[place] = value;
        assert_eq!(finds(&mut quadratic, &theta, "quadratic"), place / 4);
        theta[place] = 1.0;
    }
    // Sizes whose squares are beyond f32, either way.
    for size in [1e-38, 1e-25, 1e25, 1e37] {
        let theta: Vec<f32> = theta.iter().map(|x| x * size).collect();
        let seen = evaluated(&mut quadratic, &theta, Storage::F32, ALL);
        let off = (seen.norm / true_norm(&seen.gradient) - 1.0).abs();
        assert!(off < 1e-6, "{size}: off by {off}");
    }
    // Squares that become state.
    theta[77] = 1e20;
    for (squares, place) in [(false, None), (true, Some(19))] {
        let check = Some(Check { norm: false, squares });
        assert_eq!(evaluated(&mut quadratic, &theta, Storage::F32, check).place, place);
    }

    for products in FORMS {
        let inner = || mlp(&[5, 7, 3], products, 33, None);
        let layout = inner().layout().clone();
        let theta = off_their_zeros(&layout, inner().initial(3));
        let mut staged = PerStage::new(gpu(), inner()).unwrap();
        holds(&mut staged, &theta, "PerStage");
        holds(&mut &mut staged, &theta, "&mut PerStage");
        let mut summed = Accumulated::new(gpu(), inner(), &layout, 3).unwrap();
        holds(&mut summed, &theta, "Accumulated");
        let mut bad = theta.clone();
        bad[layout.range("layer1.bias").unwrap().start] = f32::NAN;
        finds(&mut staged, &bad, "PerStage");
        finds(&mut summed, &bad, "Accumulated");
    }
    // A source that checks nothing is checked by what adds its parts up.
    let register = mlp(&[5, 7, 3], Products::Register, 33, None);
    assert_eq!(register.checks(), 0);
    assert!(register.products().contains("a guard checks them"), "{}", register.products());
    let layout = register.layout().clone();
    let theta = off_their_zeros(&layout, register.initial(3));
    holds(&mut Accumulated::new(gpu(), register, &layout, 2).unwrap(), &theta, "in registers");
}
