//! Models under `PerStage` and `Accumulated`, held against f64. The oracle finds the batches
//! of every gradient by itself, from what is promised: consecutive ones, none twice and none
//! left out, whatever the method; and computes gradients by backpropagation of its own.

mod common;

use common::{gpu, noise, relative};
use kutta::batching::{Accumulated, PerStage};
use kutta::data::{Batches, Inputs, Samples, Targets, shuffle};
use kutta::models::{Activation, Analytic, Encoding, HashGrid, Mlp, NeuralField, Points, Target};
use kutta::reference::{Problem, textbook};
use kutta::{
    Adaptive, Draws, GradientSource, Method, Optimizer, ParamLayout, Report, StepSize, Verdict,
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Wrapper {
    None,
    PerStage,
    Accumulated(u32),
    PerStageOfAccumulated(u32),
    AccumulatedOfPerStage(u32),
    PerStageTwice,
    AccumulatedTwice(u32, u32),
}

const WRAPPERS: [Wrapper; 7] = [
    Wrapper::None,
    Wrapper::PerStage,
    Wrapper::Accumulated(3),
    Wrapper::PerStageOfAccumulated(2),
    Wrapper::AccumulatedOfPerStage(3),
    Wrapper::PerStageTwice,
    Wrapper::AccumulatedTwice(2, 2),
];

impl Wrapper {
    /// The batches of gradient `draw` of an attempt before which so many were drawn, where
    /// an attempt takes one, and where a stage does.
    fn batches(self, attempts: u64, stages: u64, draw: u64) -> std::ops::Range<u64> {
        let of = |one: u64, parts: u32| one * u64::from(parts)..(one + 1) * u64::from(parts);
        match self {
            Self::None => of(attempts, 1),
            Self::PerStage | Self::PerStageTwice => of(stages + draw, 1),
            Self::Accumulated(parts) => of(attempts, parts),
            Self::AccumulatedTwice(a, b) => of(attempts, a * b),
            Self::PerStageOfAccumulated(parts) | Self::AccumulatedOfPerStage(parts) => {
                of(stages + draw, parts)
            }
        }
    }

    /// Runs with a new wrapper over the model; says which batches each report tells of.
    fn run(
        self,
        optimizer: &mut Optimizer,
        model: &mut dyn GradientSource,
        layout: &ParamLayout,
        attempts: u64,
    ) -> Vec<(Report, std::ops::Range<u64>)> {
        fn drive<S: GradientSource>(
            optimizer: &mut Optimizer,
            mut source: S,
            attempts: u64,
        ) -> Vec<(Report, std::ops::Range<u64>)> {
            optimizer.run(&mut source, attempts).unwrap();
            optimizer.wait().unwrap();
            let drawn = |report: Report| (report.clone(), source.drawn(report.draws));
            optimizer.reports().into_iter().map(drawn).collect()
        }
        let per_stage = |model| PerStage::new(gpu(), model).unwrap();
        let accumulated = |model, parts| Accumulated::new(gpu(), model, layout, parts).unwrap();
        match self {
            Self::None => drive(optimizer, model, attempts),
            Self::PerStage => drive(optimizer, per_stage(model), attempts),
            Self::Accumulated(parts) => drive(optimizer, accumulated(model, parts), attempts),
            Self::PerStageOfAccumulated(parts) => {
                let inner = accumulated(model, parts);
                drive(optimizer, PerStage::new(gpu(), inner).unwrap(), attempts)
            }
            Self::AccumulatedOfPerStage(parts) => {
                let inner = per_stage(model);
                let outer = Accumulated::new(gpu(), inner, layout, parts).unwrap();
                drive(optimizer, outer, attempts)
            }
            Self::PerStageTwice => {
                let inner = per_stage(model);
                drive(optimizer, PerStage::new(gpu(), inner).unwrap(), attempts)
            }
            Self::AccumulatedTwice(a, b) => {
                let inner = accumulated(model, a);
                let outer = Accumulated::new(gpu(), inner, layout, b).unwrap();
                drive(optimizer, outer, attempts)
            }
        }
    }
}

/// A model's loss and gradient in f64: the mean over some rows of its data.
trait Oracle {
    fn gradient(&self, theta: &[f64], rows: &[usize]) -> (f64, Vec<f64>);
    /// The rows of a batch.
    fn rows(&self, batch: u64) -> Vec<usize>;
}

/// The rows of a batch of a shuffled data set.
fn rows_of((count, size): (usize, usize), seed: u64, batch: u64) -> Vec<usize> {
    let per_epoch = count.div_ceil(size) as u64;
    let key = shuffle::epoch_key(seed, (batch / per_epoch) as u32);
    let first = (batch % per_epoch) as usize * size;
    let sample = |at| shuffle::index(at as u32, count as u32, key) as usize;
    (first..count.min(first + size)).map(sample).collect()
}

enum Wanted<'a> {
    Label(usize),
    Values(&'a [f64]),
}

/// Adds the gradient of one row of a network of tanh layers to `g`; the loss, and the
/// gradient by the inputs.
fn backpropagated(
    (layout, widths): (&ParamLayout, &[usize]),
    theta: &[f64],
    x: &[f64],
    wanted: &Wanted<'_>,
    g: &mut [f64],
) -> (f64, Vec<f64>) {
    let place = |kind: &str, l: usize| layout.range(&format!("layer{l}.{kind}")).unwrap().start;
    let mut values = vec![x.to_vec()];
    for l in 0..widths.len() - 1 {
        let (w, b, outputs) = (place("weight", l), place("bias", l), widths[l + 1]);
        let below = &values[l];
        let z = |j: usize| {
            let sum: f64 = (0..below.len()).map(|i| below[i] * theta[w + i * outputs + j]).sum();
            let z = sum + theta[b + j];
            if l + 2 == widths.len() { z } else { z.tanh() }
        };
        values.push((0..outputs).map(z).collect());
    }
    let y = &values[widths.len() - 1];
    let (loss, mut dz): (f64, Vec<f64>) = match wanted {
        Wanted::Label(label) => {
            let sum: f64 = y.iter().map(|y| y.exp()).sum();
            let p = |j: usize| y[j].exp() / sum;
            let slope = |j: usize| p(j) - if j == *label { 1.0 } else { 0.0 };
            (sum.ln() - y[*label], (0..y.len()).map(slope).collect())
        }
        Wanted::Values(t) => {
            let n = y.len() as f64;
            let difference: Vec<f64> = y.iter().zip(*t).map(|(y, t)| y - t).collect();
            let loss = difference.iter().map(|d| d * d).sum::<f64>() / n;
            (loss, difference.iter().map(|d| 2.0 * d / n).collect())
        }
    };
    for l in (0..widths.len() - 1).rev() {
        let (w, b, outputs) = (place("weight", l), place("bias", l), widths[l + 1]);
        let below = &values[l];
        let mut da = vec![0.0; below.len()];
        for j in 0..outputs {
            g[b + j] += dz[j];
            for i in 0..below.len() {
                g[w + i * outputs + j] += below[i] * dz[j];
                da[i] += theta[w + i * outputs + j] * dz[j];
            }
        }
        if l == 0 {
            return (loss, da);
        }
        dz = da.iter().zip(below).map(|(da, a)| da * (1.0 - a * a)).collect();
    }
    unreachable!()
}

const WIDTHS: [usize; 3] = [3, 5, 4];
const SAMPLES: usize = 10;
const BATCH: usize = 4;
const SEED: u64 = 11;

/// A classifier on ten samples in batches of 4, 4 and 2.
struct Classifier {
    layout: ParamLayout,
    inputs: Vec<f32>,
}

fn label(sample: usize) -> usize {
    sample * 7 % WIDTHS[2]
}

fn classifier() -> (Mlp, Classifier) {
    let inputs = noise(WIDTHS[0] * SAMPLES, 5);
    let labels = (0..SAMPLES).map(|i| label(i) as u8).collect();
    let targets = Targets::Labels { labels, classes: WIDTHS[2] };
    let samples = Samples::new(Inputs::F32(inputs.clone()), WIDTHS[0], targets).unwrap();
    let batches = Batches::new(samples, BATCH).unwrap().seed(SEED);
    let mlp = Mlp::builder(&WIDTHS).activation(Activation::Tanh).build(gpu(), batches).unwrap();
    let layout = mlp.layout().clone();
    (mlp, Classifier { layout, inputs })
}

impl Oracle for Classifier {
    fn gradient(&self, theta: &[f64], rows: &[usize]) -> (f64, Vec<f64>) {
        let (mut loss, mut g) = (0.0, vec![0.0; theta.len()]);
        for &row in rows {
            let x: Vec<f64> =
                self.inputs[row * WIDTHS[0]..][..WIDTHS[0]].iter().map(|&x| f64::from(x)).collect();
            let network = (&self.layout, &WIDTHS[..]);
            loss += backpropagated(network, theta, &x, &Wanted::Label(label(row)), &mut g).0;
        }
        let n = rows.len() as f64;
        (loss / n, g.iter().map(|g| g / n).collect())
    }

    fn rows(&self, batch: u64) -> Vec<usize> {
        rows_of((SAMPLES, BATCH), SEED, batch)
    }
}

const EXTENT: [usize; 2] = [6, 5];
const ROWS: usize = 13;

/// A field on thirty texels in batches of 13, 13 and 4.
struct Field {
    layout: ParamLayout,
    widths: Vec<usize>,
    encoding: Encoding,
    texels: Vec<f32>,
}

fn field(encoding: Encoding) -> (NeuralField, Field) {
    let texels: Vec<f32> = noise(EXTENT[0] * EXTENT[1] * 2, 9);
    let target = Target::image(EXTENT, 2, texels.clone()).unwrap();
    let field = NeuralField::builder(encoding)
        .hidden(&[5])
        .activation(Activation::Tanh)
        .points(Points::Texels(ROWS))
        .seed(SEED)
        .build(gpu(), &target)
        .unwrap();
    let (layout, widths) = (field.layout().clone(), field.widths().to_vec());
    (field, Field { layout, widths, encoding, texels })
}

impl Field {
    /// Entries of the tables with their weights, for each feature of a hash grid.
    fn entries(&self, grid: &HashGrid, p: [f64; 2]) -> Vec<Vec<(usize, f64)>> {
        let mut features = Vec::new();
        for level in 0..grid.levels {
            let side = f64::from(grid.coarsest) * f64::from(grid.growth).powi(level as i32);
            let side = side.floor() as usize;
            let start = self.layout.range(&format!("grid.level{level}")).unwrap().start;
            let all = 1usize << grid.log2_table;
            let cell = p.map(|p| ((p * side as f64) as usize).min(side - 1));
            let along = [0, 1].map(|axis| p[axis] * side as f64 - cell[axis] as f64);
            for feature in 0..grid.features as usize {
                let corner = |corner: usize| {
                    let beyond = [corner & 1, corner >> 1];
                    let weight = |axis: usize| match beyond[axis] {
                        1 => along[axis],
                        _ => 1.0 - along[axis],
                    };
                    let vertex = [cell[0] + beyond[0], cell[1] + beyond[1]];
                    let entry = match (side + 1) * (side + 1) <= all {
                        true => vertex[1] * (side + 1) + vertex[0],
                        false => {
                            let hash =
                                vertex[0] as u32 ^ (vertex[1] as u32).wrapping_mul(2_654_435_761);
                            hash as usize % all
                        }
                    };
                    let place = start + entry * grid.features as usize + feature;
                    (place, weight(0) * weight(1))
                };
                features.push((0..4).map(corner).collect());
            }
        }
        features
    }
}

impl Oracle for Field {
    fn gradient(&self, theta: &[f64], rows: &[usize]) -> (f64, Vec<f64>) {
        let (mut loss, mut g) = (0.0, vec![0.0; theta.len()]);
        for &row in rows {
            let p = [
                ((row % EXTENT[0]) as f64 + 0.5) / EXTENT[0] as f64,
                ((row / EXTENT[0]) as f64 + 0.5) / EXTENT[1] as f64,
            ];
            let values: Vec<f64> =
                self.texels[2 * row..2 * row + 2].iter().map(|&x| f64::from(x)).collect();
            let network = (&self.layout, &self.widths[..]);
            let wanted = Wanted::Values(&values);
            match &self.encoding {
                Encoding::HashGrid(grid) => {
                    let entries = self.entries(grid, p);
                    let x: Vec<f64> = entries
                        .iter()
                        .map(|corners| corners.iter().map(|&(at, w)| w * theta[at]).sum())
                        .collect();
                    let (l, dx) = backpropagated(network, theta, &x, &wanted, &mut g);
                    loss += l;
                    for (dx, corners) in dx.iter().zip(&entries) {
                        corners.iter().for_each(|&(at, w)| g[at] += w * dx);
                    }
                }
                Encoding::Octaves { octaves } => {
                    let turn = |axis: usize, octave: i32| {
                        std::f64::consts::TAU * 2f64.powi(octave - 1) * p[axis]
                    };
                    let turns: Vec<f64> = (0..2)
                        .flat_map(|axis| (0..*octaves as i32).map(move |o| turn(axis, o)))
                        .collect();
                    let cosines = turns.iter().map(|turn| turn.cos());
                    let x: Vec<f64> = cosines.chain(turns.iter().map(|turn| turn.sin())).collect();
                    loss += backpropagated(network, theta, &x, &wanted, &mut g).0;
                }
                _ => unreachable!(),
            }
        }
        let n = rows.len() as f64;
        (loss / n, g.iter().map(|g| g / n).collect())
    }

    fn rows(&self, batch: u64) -> Vec<usize> {
        rows_of((EXTENT[0] * EXTENT[1], ROWS), SEED, batch)
    }
}

/// A method, whether its error is estimated, h, and the gradients that its stages make: 0
/// where that varies, and is as many as the report says.
const METHODS: [(&str, bool, f64, u64); 10] = [
    ("euler", false, 0.3, 1),
    ("heun", false, 0.3, 2),
    ("rk4", false, 0.3, 4),
    ("bs3", false, 0.3, 3),
    ("bs3", true, 0.6, 4),
    ("dp5", false, 0.3, 6),
    ("dp5", true, 0.6, 7),
    ("williamson3", false, 0.3, 3),
    ("rkc2:stages=5", false, 0.3, 5),
    ("rkc2", false, 1.2, 0),
];

/// Follows one optimizer through a few wrappers, each made anew over the model that has been
/// used before.
fn follow(
    what: &str,
    model: &mut dyn GradientSource,
    oracle: &dyn Oracle,
    (layout, start): (&ParamLayout, &[f32]),
    (name, adaptive, h, draws): (&str, bool, f64, u64),
    pieces: &[(Wrapper, u64)],
) {
    let what = format!("{what} {name} adaptive {adaptive} {pieces:?}");
    let method: Method = name.parse().unwrap();
    let step_size = match draws {
        // So that the number of stages grows.
        0 => StepSize::linear(0.1 * h, h, 7),
        _ => StepSize::constant(h as f32),
    };
    let mut builder =
        Optimizer::builder(method.clone()).step_size(step_size).attempts_per_submit(2);
    if adaptive {
        builder = builder.adaptive(Adaptive::new(1e-3, 1e-3));
    }
    let mut optimizer = builder.build(gpu(), layout, start).unwrap();
    let mut theta: Vec<f64> = start.iter().map(|&x| f64::from(x)).collect();
    let (mut attempts, mut stages) = (0, 0);
    let mut refused = 0;
    for &(wrapper, n) in pieces {
        let reports = wrapper.run(&mut optimizer, model, layout, n);
        assert_eq!(reports.len() as u64, n, "{what}");
        for (report, drawn) in reports {
            let now = if draws == 0 { u64::from(report.stages) } else { draws };
            let tableau = match draws {
                0 => method.clone().with_stages(report.stages).unwrap().tableau().clone(),
                _ => method.tableau().clone(),
            };
            refused += u32::from(report.verdict == Verdict::Refused);
            let mut first = None;
            let mut gradient = |stage: usize, x: &[f64]| {
                // What serves an error estimate alone has no share in θ.
                let draw = (stage as u64 - 1).min(now - 1);
                let batches = wrapper.batches(attempts, stages, draw);
                let rows: Vec<usize> = batches.flat_map(|batch| oracle.rows(batch)).collect();
                let (loss, g) = oracle.gradient(x, &rows);
                first.get_or_insert(loss);
                g
            };
            let h = report.h.into();
            let step = textbook::step(&tableau, h, &theta, &mut gradient).unwrap();
            let (found, loss) = (f64::from(report.loss.unwrap()), first.unwrap());
            let error = (found - loss).abs() / loss.max(1.0);
            assert!(error < 1e-5, "{what} {report:?}: not {loss}");
            let last = wrapper.batches(attempts, stages, now - 1).end;
            let all = wrapper.batches(attempts, stages, 0).start..last;
            assert_eq!(drawn, all, "{what} {report:?}");
            if report.verdict == Verdict::Accepted {
                theta = step.theta;
                (attempts, stages) = (attempts + 1, stages + now);
            }
        }
        let found = optimizer.params().read().unwrap();
        let error = relative(&found, &theta);
        assert!(error < 1e-5, "{what}: {error:e}");
    }
    assert!(!adaptive || refused > 0, "{what}: nothing was refused");
}

fn off_their_zeros(layout: &ParamLayout, mut theta: Vec<f32>) -> Vec<f32> {
    for tensor in layout.tensors() {
        let more = noise(tensor.len(), tensor.range().start as u64 + 3);
        theta[tensor.range()].iter_mut().zip(more).for_each(|(x, y)| *x += 0.3 * y);
    }
    theta
}

fn check_wrappers(
    what: &str,
    model: &mut dyn GradientSource,
    oracle: &dyn Oracle,
    parameters: (&ParamLayout, &[f32]),
) {
    for method in METHODS {
        for wrapper in WRAPPERS {
            // The second one of a kind must not do with the first one's buffers.
            let pieces = [(wrapper, 3), (wrapper, 4)];
            follow(what, model, oracle, parameters, method, &pieces);
        }
    }
    for method in METHODS {
        let by_turns = [
            (Wrapper::None, 2),
            (Wrapper::PerStage, 2),
            (Wrapper::Accumulated(2), 1),
            (Wrapper::PerStage, 1),
            (Wrapper::None, 1),
            (Wrapper::AccumulatedOfPerStage(2), 2),
        ];
        follow(what, model, oracle, parameters, method, &by_turns);
    }
}

#[test]
fn a_classifier_sees_the_batches_it_is_promised() {
    let (mut mlp, oracle) = classifier();
    let layout = mlp.layout().clone();
    let start = off_their_zeros(&layout, mlp.initial(3));
    check_wrappers("mlp", &mut mlp, &oracle, (&layout, &start));
}

#[test]
fn a_field_of_waves_sees_the_batches_it_is_promised() {
    let (mut model, oracle) = field(Encoding::Octaves { octaves: 2 });
    let layout = model.layout().clone();
    let start = off_their_zeros(&layout, model.initial(3));
    check_wrappers("waves", &mut model, &oracle, (&layout, &start));
}

#[test]
fn a_field_on_a_hash_grid_sees_the_batches_it_is_promised() {
    let grid = HashGrid { levels: 3, features: 2, log2_table: 4, coarsest: 2, growth: 1.6 };
    let (mut model, oracle) = field(Encoding::HashGrid(grid));
    let layout = model.layout().clone();
    let start = off_their_zeros(&layout, model.initial(3));
    check_wrappers("grid", &mut model, &oracle, (&layout, &start));
}

/// Where there is one batch, no wrapper changes a bit: means of equal gradients are those.
#[test]
fn a_source_of_one_batch_is_the_same_under_every_wrapper() {
    let n = 200;
    let start = noise(n, 5);
    for (name, adaptive, h, _) in METHODS {
        let run = |pieces: &[(Wrapper, u64)], source: &mut Analytic| {
            let method: Method = name.parse().unwrap();
            let mut builder =
                Optimizer::builder(method).step_size(StepSize::constant(h as f32 / 8.0));
            if adaptive {
                builder = builder.adaptive(Adaptive::new(1e-3, 1e-3));
            }
            let layout = Analytic::layout(source).clone();
            let mut optimizer = builder.build(gpu(), &layout, &start).unwrap();
            for &(wrapper, attempts) in pieces {
                wrapper.run(&mut optimizer, source, &layout, attempts);
            }
            optimizer.params().read().unwrap()
        };
        let mut source = Analytic::new(gpu(), &Problem::Quartic, n).unwrap();
        let plain = run(&[(Wrapper::None, 9)], &mut source);
        assert_ne!(plain, start);
        for wrapper in [
            Wrapper::PerStage,
            Wrapper::Accumulated(2),
            Wrapper::PerStageOfAccumulated(4),
            Wrapper::AccumulatedOfPerStage(2),
            Wrapper::PerStageTwice,
        ] {
            let pieces = [(Wrapper::None, 2), (wrapper, 2), (wrapper, 3), (Wrapper::None, 2)];
            let found = run(&pieces, &mut source);
            assert_eq!(found, plain, "{name} adaptive {adaptive} {wrapper:?}");
        }
    }
}

/// Two wrappers by turns, and eleven, which are more than a cache keeps.
#[test]
fn wrappers_over_one_source_take_turns() {
    for many in [2, 11] {
        let (mut mlp, oracle) = classifier();
        let layout = mlp.layout().clone();
        let start = off_their_zeros(&layout, mlp.initial(3));
        let pieces = vec![(Wrapper::PerStage, 1); many];
        follow("turns", &mut mlp, &oracle, (&layout, &start), METHODS[2], &pieces);
    }
    // The same wrapper for several optimizers by turns.
    let (mlp, oracle) = classifier();
    let layout = mlp.layout().clone();
    let start = off_their_zeros(&layout, mlp.initial(3));
    let mut source = PerStage::new(gpu(), mlp).unwrap();
    let build = || {
        Optimizer::builder(Method::heun())
            .step_size(StepSize::constant(0.3))
            .build(gpu(), &layout, &start)
            .unwrap()
    };
    let mut optimizers: Vec<Optimizer> = (0..11).map(|_| build()).collect();
    for _ in 0..3 {
        optimizers.iter_mut().for_each(|optimizer| optimizer.run(&mut source, 1).unwrap());
    }
    let mut theta: Vec<f64> = start.iter().map(|&x| f64::from(x)).collect();
    for step in 0..3 {
        let mut gradient = |stage: usize, x: &[f64]| {
            oracle.gradient(x, &oracle.rows(2 * step + stage as u64 - 1)).1
        };
        let step = textbook::step(Method::heun().tableau(), 0.3, &theta, &mut gradient);
        theta = step.unwrap().theta;
    }
    for optimizer in optimizers {
        let error = relative(&optimizer.params().read().unwrap(), &theta);
        assert!(error < 1e-5, "{error:e}");
    }
}

/// Thirteen batches of two samples, in their own order, the labels of one of them another.
fn changed(batch: Option<usize>) -> Mlp {
    let inputs = noise(2 * 26 * 3, 4)[..26 * 3].to_vec();
    let labels = (0..26).map(|i| (i % 4 + usize::from(batch == Some(i / 2))) as u8 % 4).collect();
    let targets = Targets::Labels { labels, classes: 4 };
    let samples = Samples::new(Inputs::F32(inputs), 3, targets).unwrap();
    let batches = Batches::new(samples, 2).unwrap().shuffled(false);
    Mlp::builder(&WIDTHS).activation(Activation::Tanh).build(gpu(), batches).unwrap()
}

#[test]
fn every_batch_has_a_share_in_the_parameters() {
    // Two attempts each, and the batches that they see.
    for (name, wrapper, seen) in [
        ("rk4", Wrapper::PerStage, 8),
        ("bs3", Wrapper::PerStage, 6),
        ("dp5", Wrapper::PerStage, 12),
        ("heun", Wrapper::AccumulatedOfPerStage(3), 12),
        ("euler", Wrapper::Accumulated(5), 10),
    ] {
        let trained = |batch| {
            let mut mlp = changed(batch);
            let layout = mlp.layout().clone();
            let mut optimizer = Optimizer::builder(name.parse::<Method>().unwrap())
                .step_size(StepSize::constant(0.3))
                .build(gpu(), &layout, &mlp.initial(3))
                .unwrap();
            wrapper.run(&mut optimizer, &mut mlp, &layout, 2);
            optimizer.params().read().unwrap()
        };
        let plain = trained(None);
        for batch in 0..13 {
            // dp5's b₂ = 0, but its second stage moves the third's point.
            let differs = trained(Some(batch)) != plain;
            assert_eq!(differs, batch < seen, "{name} {wrapper:?}: batch {batch}");
        }
    }
}

#[test]
fn samples_of_batches_are_counted_by_what_they_hold() {
    let (mlp, oracle) = classifier();
    let (waves, texels) = field(Encoding::Octaves { octaves: 2 });
    for range in [0..1, 2..3, 0..3, 1..8, 5..5, 7..20] {
        let count = |oracle: &dyn Oracle| -> u64 {
            range.clone().map(|batch| oracle.rows(batch).len() as u64).sum()
        };
        assert_eq!(mlp.samples_in(range.clone()), count(&oracle), "{range:?}");
        assert_eq!(waves.samples_in(range.clone()), count(&texels), "{range:?}");
    }
    assert_eq!(mlp.samples_in(0..3 << 32), 10 << 32);
}

#[test]
fn what_is_drawn_scales_as_batches_do() {
    let layout = ParamLayout::flat(64).unwrap();
    let plain = || Analytic::new(gpu(), &Problem::Quartic, 64).unwrap();
    let draws = || Draws { batches: 5..6, stages: 20..24 };
    let staged = || PerStage::new(gpu(), plain()).unwrap();
    assert_eq!(plain().drawn(draws()), 5..6);
    assert_eq!(staged().drawn(draws()), 20..24);
    let three = Accumulated::new(gpu(), staged(), &layout, 3).unwrap();
    assert_eq!(three.drawn(draws()), 60..72);
    let three = Accumulated::new(gpu(), plain(), &layout, 3).unwrap();
    assert_eq!(PerStage::new(gpu(), three).unwrap().drawn(draws()), 60..72);
}
