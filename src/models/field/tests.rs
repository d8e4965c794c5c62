//! Gradients held against central differences of an independent field in f64; draws,
//! scatter, inference, text and errors held against the same.

use std::collections::BTreeMap;

use super::*;
use crate::bench::compile;
use crate::data::shuffle;
use crate::error::Error;
use crate::models::dense::testing::seen;
use crate::models::harness::{
    Device, Numbers, check_gradient, dense_outputs, gpu, off_their_zeros,
};
use crate::models::{Activation, ModelError, Products};
use crate::plan::Purpose;

/// A field in f64, written down from its formulas alone.
struct Reference<'a> {
    field: &'a NeuralField,
    target: &'a Target,
}

impl Reference<'_> {
    fn features(&self, theta: &[f64], p: &[f64]) -> Vec<f64> {
        let waves = |rows: Vec<[f32; 4]>| {
            let turn = |row: &[f32; 4]| {
                let dot: f64 = row.iter().zip(p).map(|(b, p)| f64::from(*b) * p).sum();
                std::f64::consts::TAU * dot
            };
            let cos = rows.iter().map(|row| turn(row).cos());
            cos.chain(rows.iter().map(|row| turn(row).sin())).collect()
        };
        match self.field.encoding {
            Encoding::Coordinates => p.iter().map(|p| 2.0 * p - 1.0).collect(),
            Encoding::HashGrid(grid) => self.grid_features(grid, theta, p),
            encoding => waves(encoding.frequencies(p.len())),
        }
    }

    fn grid_features(&self, grid: HashGrid, theta: &[f64], p: &[f64]) -> Vec<f64> {
        let mut features = Vec::new();
        for level in 0..grid.levels as i32 {
            let side = f64::from(grid.coarsest) * f64::from(grid.growth).powi(level);
            let side = side.floor() as u64;
            let table = &theta[self.field.layout().range(&format!("grid.level{level}")).unwrap()];
            let mut sums = vec![0.0; grid.features as usize];
            for corner in 0..1u64 << p.len() {
                let (mut weight, mut vertex) = (1.0, Vec::new());
                for (axis, p) in p.iter().enumerate() {
                    let scaled = p * side as f64;
                    let cell = (scaled.floor() as u64).min(side - 1);
                    let along = scaled - cell as f64;
                    let beyond = (corner >> axis) & 1;
                    weight *= if beyond == 1 { along } else { 1.0 - along };
                    vertex.push(cell + beyond);
                }
                let dense = (side + 1).pow(p.len() as u32) <= 1 << grid.log2_table;
                let entry = if dense {
                    vertex.iter().rev().fold(0, |sum, v| sum * (side + 1) + v)
                } else {
                    let primes = [1u64, 2_654_435_761, 805_459_861];
                    let hash = vertex
                        .iter()
                        .zip(primes)
                        .fold(0, |hash, (v, prime)| hash ^ (v * prime) as u32);
                    u64::from(hash) % (1 << grid.log2_table)
                };
                for (f, sum) in sums.iter_mut().enumerate() {
                    *sum += weight * table[entry as usize * grid.features as usize + f];
                }
            }
            features.extend(sums);
        }
        features
    }

    fn outputs(&self, theta: &[f64], p: &[f64]) -> Vec<f64> {
        let (field, activation) = (self.field, self.field.network.activation);
        dense_outputs(field.layout(), field.widths(), activation, theta, self.features(theta, p))
    }

    /// Linear between the centres of texels.
    fn wanted(&self, p: &[f64], channel: usize) -> f64 {
        let extent = self.target.extent();
        let mut sum = 0.0;
        for corner in 0..1usize << p.len() {
            let (mut weight, mut texel, mut stride) = (1.0, 0, 1);
            for (axis, (p, &side)) in p.iter().zip(extent).enumerate() {
                let place = (p * side as f64 - 0.5).clamp(0.0, (side - 1) as f64);
                let low = place.floor() as usize;
                let along = place - low as f64;
                let beyond = (corner >> axis) & 1 == 1;
                weight *= if beyond { along } else { 1.0 - along };
                texel += stride * (low + usize::from(beyond)).min(side - 1);
                stride *= side;
            }
            let channels = self.target.channels();
            sum += weight * f64::from(self.target.values()[texel * channels + channel]);
        }
        sum
    }

    /// Loss over some points.
    fn loss(&self, theta: &[f64], points: &[Vec<f64>]) -> f64 {
        let channels = self.target.channels();
        let square = |p: &Vec<f64>| {
            let y = self.outputs(theta, p);
            (0..channels).map(|c| (y[c] - self.wanted(p, c)).powi(2)).sum::<f64>()
        };
        points.iter().map(square).sum::<f64>() / (points.len() * channels) as f64
    }

    /// The points of a batch, by Rust twins of what draws them.
    fn points(&self, batch: u32) -> Vec<Vec<f64>> {
        let extent = self.target.extent();
        let (count, seed) = (self.target.texels(), self.field.seed());
        let centre = |texel: usize| {
            let mut rest = texel;
            extent
                .iter()
                .map(|&side| {
                    let at = rest % side;
                    rest /= side;
                    (at as f64 + 0.5) / side as f64
                })
                .collect()
        };
        match self.field.points() {
            Points::All => (0..count).map(centre).collect(),
            Points::Texels(rows) => {
                let per_epoch = count.div_ceil(rows) as u32;
                let key = shuffle::epoch_key(seed, batch / per_epoch);
                let first = (batch % per_epoch) as usize * rows;
                (first..count.min(first + rows))
                    .map(|at| centre(shuffle::index(at as u32, count as u32, key) as usize))
                    .collect()
            }
            Points::Anywhere(rows) => {
                let key = shuffle::epoch_key(seed, batch);
                (0..rows as u32)
                    .map(|row| (0..extent.len() as u32).map(|a| drawn(key, 4 * row + a)).collect())
                    .collect()
            }
        }
    }
}

/// Twin of `drawn` in `shaders/field_points.wgsl`.
fn drawn(key: u32, counter: u32) -> f64 {
    let mix = |mut x: u32| {
        x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
        x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
        x ^ (x >> 16)
    };
    f64::from(mix(mix(counter.wrapping_add(0x9e37_79b9)) ^ key) >> 8) / 2f64.powi(24)
}

fn target(extent: &[usize], channels: usize) -> Target {
    let mut numbers = Numbers(23);
    let texels: usize = extent.iter().product();
    let values = (0..texels * channels).map(|_| numbers.next() as f32 + 0.5).collect();
    match *extent {
        [x, y] => Target::image([x, y], channels, values).unwrap(),
        [x, y, z] => Target::volume([x, y, z], channels, values).unwrap(),
        _ => unreachable!(),
    }
}

fn parameters(field: &NeuralField) -> Vec<f32> {
    off_their_zeros(field.layout(), field.initial(3))
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

/// Holds loss and gradient of some batches against the reference.
fn check(field: &mut NeuralField, target: &Target, wanted: &[u32]) {
    let theta = parameters(field);
    let device = Device::new(NeuralField::layout(field).len());
    for &batch in wanted {
        let (loss, found) = device.evaluate(field, (1, Purpose::Stage(1)), &theta, batch);
        let reference = Reference { field, target };
        let what = format!(
            "{:?} {:?} {:?} {:?} batch {batch}",
            field.encoding,
            field.network.activation,
            field.points,
            target.extent()
        );
        let points = reference.points(batch);
        let mean = |at: &[f64]| reference.loss(at, &points);
        for (name, most) in
            check_gradient(NeuralField::layout(field), &theta, (loss, &found), mean, &what)
        {
            assert!(most > 1e-4, "{what}: the gradient by {name} vanishes, {most}");
        }
    }
}

/// Dense and hashed levels, whose tables of 32 entries several vertices share.
fn grid(features: u32) -> Encoding {
    let grid = HashGrid { levels: 3, features, log2_table: 5, coarsest: 2, growth: 2.0 };
    Encoding::HashGrid(grid)
}

fn encodings() -> [Encoding; 5] {
    [
        Encoding::Coordinates,
        Encoding::Gaussian { waves: 5, sigma: 1.5, seed: 4 },
        Encoding::Octaves { octaves: 3 },
        grid(2),
        grid(3),
    ]
}

const POINTS: [Points; 3] = [Points::Texels(13), Points::Anywhere(11), Points::All];

#[test]
fn gradients_agree_with_differences() {
    for extent in [&[6, 5][..], &[4, 3, 5]] {
        for (channels, encoding) in [3, 1, 4, 3, 2].into_iter().zip(encodings()) {
            let target = target(extent, channels);
            for (i, activation) in
                [Activation::Relu, Activation::Sine { omega: 4.0 }].into_iter().enumerate()
            {
                for points in POINTS {
                    let products = [Products::Workgroup, Products::Fused][i];
                    let mut field = NeuralField::builder(encoding)
                        .hidden(&[9, 8])
                        .activation(activation)
                        .products(products)
                        .points(points)
                        .seed(77)
                        .build(gpu(), &target)
                        .unwrap();
                    // The third batch of texels has 4 of 30, and batch 3 is in epoch 1.
                    let batches: &[u32] = if points == Points::All { &[0] } else { &[0, 2, 3] };
                    check(&mut field, &target, batches);
                }
            }
        }
    }
}

#[test]
fn a_field_without_hidden_layers_is_a_grid() {
    let target = target(&[6, 5], 2);
    let mut field = NeuralField::builder(grid(4)).hidden(&[]).build_small(&target);
    check(&mut field, &target, &[0, 1]);
}

impl FieldBuilder {
    fn build_small(self, target: &Target) -> NeuralField {
        self.points(Points::Texels(13)).build(gpu(), target).unwrap()
    }
}

/// The fixed-point sums are off by no more than the docs say, in the worst case:
/// many rows of very different size in few entries.
#[test]
fn scatter_stays_within_its_resolution_and_repeats() {
    let extent = [64, 64];
    // One texel in a thousand is a thousand times as bright.
    let values = (0..4096).map(|i| if i % 1000 == 7 { 1000.0 } else { 0.5 }).collect();
    let target = Target::image(extent, 1, values).unwrap();
    let encoding = HashGrid { levels: 4, features: 1, log2_table: 6, coarsest: 4, growth: 3.0 };
    let mut field = NeuralField::builder(Encoding::HashGrid(encoding))
        .hidden(&[])
        .points(Points::All)
        .build(gpu(), &target)
        .unwrap();
    let theta = parameters(&field);
    let device = Device::new(field.layout().len());
    let (_, found) = device.evaluate(&mut field, (1, Purpose::Stage(1)), &theta, 0);
    for optimizer in 1..20 {
        let (_, again) = device.evaluate(&mut field, (optimizer, Purpose::Stage(1)), &theta, 0);
        let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&found), bits(&again), "run {optimizer}");
    }
    let reference = Reference { field: &field, target: &target };
    let at = wide(&theta);
    let w = &at[field.layout().range("layer0.weight").unwrap()];
    let mut terms = BTreeMap::<usize, (f64, f64)>::new();
    let mut most = [0.0f64; 4];
    for p in reference.points(0) {
        let residual = reference.outputs(&at, &p)[0] - reference.wanted(&p, 0);
        for (level, w) in w.iter().enumerate() {
            let dx = 2.0 * residual * w / 4096.0;
            most[level] = most[level].max(dx.abs());
            // The entries of this level are what a unit of each adds to its feature.
            let range = field.layout().range(&format!("grid.level{level}")).unwrap();
            for entry in entries(encoding, level, &p) {
                let sum = terms.entry(range.start + entry.0).or_default();
                sum.0 += dx * entry.1;
                sum.1 += 1.0;
            }
        }
    }
    for (i, (expected, count)) in terms {
        let level = (0..4)
            .find(|l| field.layout().range(&format!("grid.level{l}")).unwrap().contains(&i))
            .unwrap();
        let bound =
            count * 4096.0 * most[level] / 2f64.powi(29) + 2e-6 * most[level] * count.sqrt();
        let error = (f64::from(found[i]) - expected).abs();
        assert!(error < bound, "{i}: {} is off {expected} by {error}, not {bound}", found[i]);
    }
}

/// Entry and weight of each corner around a point, by the formulas again.
fn entries(grid: HashGrid, level: usize, p: &[f64]) -> Vec<(usize, f64)> {
    let side = (f64::from(grid.coarsest) * f64::from(grid.growth).powi(level as i32)) as u32;
    let cell: Vec<u32> = p.iter().map(|p| (p * f64::from(side)) as u32).collect();
    let along: Vec<f64> =
        p.iter().zip(&cell).map(|(p, c)| p * f64::from(side) - f64::from(*c)).collect();
    (0..4u32)
        .map(|corner| {
            let (x, y) = (cell[0] + (corner & 1), cell[1] + (corner >> 1));
            let weight = |axis: usize, beyond: u32| {
                if beyond == 1 { along[axis] } else { 1.0 - along[axis] }
            };
            let entry = match (side + 1) * (side + 1) <= 1 << grid.log2_table {
                true => y * (side + 1) + x,
                false => (x ^ y.wrapping_mul(2_654_435_761)) % (1 << grid.log2_table),
            };
            (entry as usize, weight(0, corner & 1) * weight(1, corner >> 1))
        })
        .collect()
}

/// A gradient that is not finite must be seen, and must not stay in the sums.
#[test]
fn what_is_not_finite_is_seen_and_then_gone() {
    let target = target(&[6, 5], 1);
    let mut field = NeuralField::builder(grid(2)).hidden(&[8]).build_small(&target);
    let theta = parameters(&field);
    let device = Device::new(field.layout().len());
    let (_, clean) = device.evaluate(&mut field, (1, Purpose::Stage(1)), &theta, 0);
    for bad in [f32::NAN, f32::INFINITY] {
        let mut broken = theta.clone();
        broken[field.layout().range("layer1.bias").unwrap().start] = bad;
        let (loss, found) = device.evaluate(&mut field, (1, Purpose::Stage(1)), &broken, 0);
        let tables = field.layout().range("grid.level2").unwrap();
        assert!(!loss.is_finite() && found[tables].iter().any(|x| !x.is_finite()), "{bad}");
        let (_, again) = device.evaluate(&mut field, (1, Purpose::Stage(1)), &theta, 0);
        assert_eq!(clean, again);
    }
}

#[test]
fn points_are_kept_for_as_long_as_their_ticket() {
    for points in [Points::Texels(13), Points::Anywhere(16)] {
        for encoding in encodings() {
            let target = target(&[6, 5], 1);
            let mut field =
                NeuralField::builder(encoding).points(points).build(gpu(), &target).unwrap();
            let theta = parameters(&field);
            let device = Device::new(field.layout().len());
            let first = device.evaluate(&mut field, (1, Purpose::Stage(1)), &theta, 0);
            let next = device.evaluate(&mut field, (1, Purpose::Stage(1)), &theta, 1);
            assert_ne!(first, next, "another batch cursor, other points");
            // A refusal leaves the cursor where it is.
            assert_eq!(first, device.evaluate(&mut field, (1, Purpose::Stage(1)), &theta, 0));
            for purpose in [Purpose::Stage(1), Purpose::Stage(2), Purpose::Probe] {
                let ticket = BatchTicket::new();
                let mut at = |ticket, batch| {
                    device.evaluate_for(ticket, &mut field, (1, purpose), &theta, batch)
                };
                assert_eq!(first, at(ticket, 0));
                assert_eq!(first, at(ticket, 1), "{purpose:?} must not move on");
                assert_eq!(next, at(BatchTicket::new(), 1), "{purpose:?} must move on");
            }
        }
    }
}

/// Twin points are those of the device, as the gradients show; that they are uniform is
/// shown here: 2²⁰ points in 32 × 32 cells, and no correlation of axes, rows or batches.
#[test]
fn points_anywhere_are_uniform() {
    const SIDE: usize = 32;
    let mut cells = vec![0u32; SIDE * SIDE];
    let (mut axes, mut rows, mut batches) = (0.0, 0.0, 0.0);
    let n = 1u32 << 14;
    for batch in 0..64 {
        let (key, next) = (shuffle::epoch_key(3, batch), shuffle::epoch_key(3, batch + 1));
        for row in 0..n {
            let (x, y) = (drawn(key, 4 * row), drawn(key, 4 * row + 1));
            let cell = |x: f64| (x * SIDE as f64) as usize;
            cells[cell(y) * SIDE + cell(x)] += 1;
            axes += (x - 0.5) * (y - 0.5);
            rows += (x - 0.5) * (drawn(key, 4 * row + 4) - 0.5);
            batches += (x - 0.5) * (drawn(next, 4 * row) - 0.5);
        }
    }
    let expected = f64::from(64 * n) / (SIDE * SIDE) as f64;
    let chi: f64 = cells.iter().map(|&c| (f64::from(c) - expected).powi(2) / expected).sum();
    let freedom = (SIDE * SIDE - 1) as f64;
    assert!((chi - freedom).abs() < 5.0 * (2.0 * freedom).sqrt(), "chi² {chi}, not {freedom}");
    // Products of two uniform numbers about 0 have a variance of 1/144.
    let deviation = (f64::from(64 * n) / 144.0).sqrt();
    for (what, sum) in [("axes", axes), ("rows", rows), ("batches", batches)] {
        assert!(sum.abs() < 5.0 * deviation, "{what} are correlated: {sum} of {deviation}");
    }
}

#[test]
fn evaluation_and_inference_agree_with_the_reference() {
    for (extent, other) in [(&[130, 70][..], &[9, 21][..]), (&[21, 22, 20], &[5, 4, 7])] {
        for encoding in encodings() {
            let target = target(extent, 3);
            let mut field = NeuralField::builder(encoding).hidden(&[8]).build_small(&target);
            let theta = parameters(&field);
            let params = Vector::from_slice(gpu(), "params", &theta).unwrap();
            let found = field.evaluate(&params).unwrap();
            let reference = Reference { field: &field, target: &target };
            let at = wide(&theta);
            let all = Reference { field: &field, target: &target };
            let centres: Vec<Vec<f64>> = (0..target.texels()).map(|t| centre(extent, t)).collect();
            let expected = all.loss(&at, &centres);
            assert!((found.loss - expected).abs() < 1e-5, "{encoding:?}: {found:?} {expected}");
            assert_eq!((found.samples, found.accuracy), (target.texels(), None));

            for extent in [extent, other] {
                let values = infer(&field, &params, extent);
                let texels: usize = extent.iter().product();
                assert_eq!(values.len(), 3 * texels);
                for texel in (0..texels).step_by(37) {
                    let y = reference.outputs(&at, &centre(extent, texel));
                    for c in 0..3 {
                        let error = (f64::from(values[3 * texel + c]) - y[c]).abs();
                        assert!(error < 1e-5, "{encoding:?} {texel}: off by {error}");
                    }
                }
            }
        }
    }
}

fn centre(extent: &[usize], texel: usize) -> Vec<f64> {
    let mut rest = texel;
    let along = |&side: &usize| {
        let at = rest % side;
        rest /= side;
        (at as f64 + 0.5) / side as f64
    };
    extent.iter().map(along).collect()
}

fn infer(field: &NeuralField, params: &Vector, extent: &[usize]) -> Vec<f32> {
    let inference = field.inference(params, extent).unwrap();
    let mut encoder = gpu().device().create_command_encoder(&Default::default());
    inference.record(&mut encoder.begin_compute_pass(&Default::default()));
    gpu().queue().submit([encoder.finish()]);
    let bytes =
        pollster::block_on(gpu().read_buffer(inference.buffer(), 0..inference.buffer().size()));
    bytemuck::pod_collect_to_vec(&bytes.unwrap())
}

/// The text that hosts include computes what the kernels do, to 1e-5.
#[test]
fn the_text_for_hosts_agrees_with_the_kernels() {
    let sine = Activation::Sine { omega: 4.0 };
    let activations = [Activation::Relu, sine, Activation::Gelu, Activation::Tanh, sine];
    for extent in [&[24, 20][..], &[9, 8, 7]] {
        let cases = [3, 1, 4, 3, 2].into_iter().zip(encodings()).zip(activations);
        for ((channels, encoding), activation) in cases {
            let target = target(extent, channels);
            let field = NeuralField::builder(encoding)
                .hidden(&[9, 8])
                .activation(activation)
                .build_small(&target);
            let params = Vector::from_slice(gpu(), "params", &parameters(&field)).unwrap();
            let kernels = infer(&field, &params, extent);
            let text = by_text(&field, &params, extent);
            for (i, (a, b)) in kernels.iter().zip(&text).enumerate() {
                assert!((a - b).abs() < 1e-5, "{encoding:?} {activation:?} {i}: {a} and {b}");
            }
        }
    }
}

/// In one dispatch as layer by layer, and as f64 has it elsewhere: layers of whole and of odd
/// widths, and of outputs that are no whole vec4.
#[test]
fn an_inference_of_narrow_layers_is_one_dispatch() {
    for (encoding, channels) in encodings().into_iter().zip([3, 1, 4, 3, 2]) {
        let target = target(&[24, 20], channels);
        let of = |products| {
            let builder = NeuralField::builder(encoding).hidden(&[9, 8]).products(products);
            builder.activation(Activation::Tanh).build_small(&target)
        };
        let (apart, fused) = (of(Products::Register), of(Products::Fused));
        let params = Vector::from_slice(gpu(), "params", &parameters(&fused)).unwrap();
        seen(true);
        let found = infer(&fused, &params, &[24, 20]);
        let names: Vec<&str> = seen(false).iter().map(Step::name).collect();
        assert_eq!(names.iter().filter(|&&name| name == "dense_tail").count(), 1, "{names:?}");
        assert!(!names.iter().any(|name| name.starts_with("dense_forward")), "{names:?}");
        for (i, (a, b)) in infer(&apart, &params, &[24, 20]).iter().zip(&found).enumerate() {
            assert!((a - b).abs() < 1e-5, "{encoding:?} {i}: {a} and {b}");
        }
    }
}

/// What hosts include has no names but kutta's, and nothing that they would have to set.
#[test]
fn the_text_for_hosts_has_names_of_its_own() {
    for encoding in encodings() {
        let field = NeuralField::builder(encoding).hidden(&[9, 8]).build_small(&target(&[8, 8], 3));
        let text = field.wgsl(2, 5);
        assert!(!text.contains("override") && text.contains("@group(2) @binding(5)"), "{text}");
        for name in declared_names(&text) {
            let own = ["kutta_", "KUTTA_", "Grid"].iter().any(|start| name.starts_with(start));
            assert!(own, "{name}");
        }
    }
}

/// Names that a module declares: of functions, structs, constants and variables.
fn declared_names(text: &str) -> Vec<&str> {
    let of = |line: &str| -> Option<usize> {
        let starts = ["fn ", "struct ", "const "];
        starts.iter().find_map(|start| line.starts_with(start).then_some(start.len()))
    };
    text.lines()
        .filter_map(|line| Some(&line[of(line)?..]))
        .map(|rest| &rest[..rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap()])
        .collect()
}

/// A host's compute shader around the text, its θ in group 0, binding 0.
fn by_text(field: &NeuralField, params: &Vector, extent: &[usize]) -> Vec<f32> {
    let channels = field.widths()[field.widths().len() - 1];
    let texels: usize = extent.iter().product();
    let place = match extent {
        [w, h] => {
            format!("vec2<f32>((f32(i % {w}u) + 0.5) / {w}.0, (f32(i / {w}u) + 0.5) / {h}.0)")
        }
        [w, h, d] => format!(
            "vec3<f32>((f32(i % {w}u) + 0.5) / {w}.0, (f32(i / {w}u % {h}u) + 0.5) / {h}.0, \
             (f32(i / {}u) + 0.5) / {d}.0)",
            w * h
        ),
        _ => unreachable!(),
    };
    let stores: String = (0..channels)
        .map(|c| {
            let component = if channels == 1 { String::new() } else { format!("[{c}]") };
            format!("values[i * {channels}u + {c}u] = y{component};\n")
        })
        .collect();
    let source = format!(
        "{}
@group(0) @binding(1) var<storage, read_write> values: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
    let i = id.x;
    if (i >= {texels}u) {{ return; }}
    let y = kutta_field({place});
    {stores}}}",
        field.wgsl(0, 0)
    );
    let pipeline = compile(gpu(), &source);
    let values = Vector::zeros(gpu(), "values", texels * channels).unwrap();
    let group = gpu().device().create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[
            wgpu::BindGroupEntry { binding: 0, resource: params.buffer().as_entire_binding() },
            wgpu::BindGroupEntry { binding: 1, resource: values.buffer().as_entire_binding() },
        ],
    });
    let mut encoder = gpu().device().create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(texels.div_ceil(64) as u32, 1, 1);
    }
    gpu().queue().submit([encoder.finish()]);
    values.read(gpu()).unwrap()
}

#[test]
fn bad_input_is_refused_with_its_numbers() {
    let image = target(&[6, 5], 1);
    let hash = |change: fn(&mut HashGrid)| {
        let mut grid = HashGrid::default();
        change(&mut grid);
        NeuralField::builder(Encoding::HashGrid(grid)).points(Points::All)
    };
    let waves = |waves, sigma| NeuralField::builder(Encoding::Gaussian { waves, sigma, seed: 0 });
    let plain = || NeuralField::builder(Encoding::Coordinates);
    let faults = [
        (hash(|g| g.levels = 0), "levels of a hash grid: 0"),
        (hash(|g| g.levels = 33), "33; there can be 1 to 32"),
        (hash(|g| g.features = 0), "features of a hash grid: 0"),
        (hash(|g| g.features = 9), "1 to 8"),
        (hash(|g| g.log2_table = 25), "log2_table of a hash grid: 25"),
        (hash(|g| g.coarsest = 0), "coarsest of a hash grid: 0"),
        (hash(|g| g.growth = 0.5), "growth of a hash grid: 0.5"),
        (hash(|g| g.growth = f32::NAN), "growth of a hash grid: NaN"),
        (hash(|g| g.growth = 100.0), "finest level"),
        // 16 levels of 2²⁰ entries of 4 features: 128 MiB hold a half of them.
        (
            hash(|g| {
                *g = HashGrid {
                    levels: 16,
                    features: 4,
                    log2_table: 20,
                    coarsest: 2000,
                    growth: 1.1,
                }
            }),
            "134217728",
        ),
        (waves(0, 1.0), "waves of an encoding: 0"),
        (waves(5, 0.0), "sigma of an encoding: 0"),
        (waves(5, f32::INFINITY), "sigma of an encoding: inf"),
        (NeuralField::builder(Encoding::Octaves { octaves: 17 }), "1 to 16"),
        (plain().hidden(&[8, 0]), "width 2"),
        (plain().activation(Activation::Sine { omega: -1.0 }), "-1.0"),
        (plain().points(Points::Texels(0)), "a batch of 0 rows"),
        (plain().points(Points::Texels(31)), "1 to 30"),
        (plain().points(Points::Anywhere(1 << 25)), "16776960"),
    ];
    for (builder, words) in faults {
        let error = builder.build(gpu(), &image).unwrap_err();
        assert!(matches!(error, Error::Model(_)), "{error:?}");
        let message = error.to_string();
        assert!(message.contains(words), "{message:?} lacks {words:?}");
    }
    let faults = [
        (Target::image([0, 5], 1, vec![]), "[0, 5]"),
        (Target::image([1 << 20, 1 << 20], 1, vec![]), "268435456"),
        (Target::volume([usize::MAX, 2, 2], 1, vec![]), "at most"),
        (Target::image([2, 2], 0, vec![]), "0 channels"),
        (Target::image([2, 2], 5, vec![0.0; 20]), "5 channels"),
        (Target::image([2, 2], 3, vec![0.0; 11]), "11 values for [2, 2] texels of 3 channels"),
        (Target::image([2, 1], 2, vec![0.0, 0.0, 0.0, f32::NAN]), "texel of sample 1 is NaN"),
    ];
    for (result, words) in faults {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(words), "{message:?} lacks {words:?}");
    }
    let mut field = plain().build_small(&image);
    let short = Vector::zeros(gpu(), "short", 7).unwrap();
    assert!(matches!(field.evaluate(&short), Err(Error::Layout(_))));
    assert!(matches!(field.inference(&short, &[6, 5]), Err(Error::Layout(_))));
    let params = Vector::from_slice(gpu(), "params", &field.initial(0)).unwrap();
    let error = field.inference(&params, &[6, 5, 4]).unwrap_err();
    assert!(matches!(error, Error::Model(ModelError::Dimensions { found: 3, wanted: 2 })));
    let message = field.inference(&params, &[6, 0]).unwrap_err().to_string();
    assert!(message.contains("[6, 0]"), "{message}");
    // 128 MiB hold 2²⁵ values.
    let message = field.inference(&params, &[1 << 13, (1 << 12) + 1]).unwrap_err().to_string();
    assert!(message.contains("134217728"), "{message}");
}
