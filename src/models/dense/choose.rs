//! Chooses the form that computes a product, by a model of how long each would take.

use super::cost::{DISPATCH, MOVED, PROCESSORS, together};
use super::form::{Choice, Form};
use super::options::Products;
use super::product::{Kind, Shape};
use super::self_test::self_test;
use super::tail::{self, Tail};
use crate::device::Gpu;
use crate::device::matrix::Unit;
use crate::error::Error;
use crate::models::ModelError;

/// The forms there are to choose from, on one adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    products: Products,
    /// What multiplies matrices, where something does.
    unit: Option<Unit>,
}

impl Method {
    /// The forms, and why there are no matrix units among them where some were wanted.
    ///
    /// # Errors
    /// Matrix units that this device has not, or that fail their test.
    pub fn choose(products: Products, gpu: &Gpu) -> Result<(Self, Option<String>), Error> {
        let (products, unit, note) = match products {
            Products::Matrix | Products::MatrixOrAuto => match found(gpu)? {
                Ok(unit) => (Products::Matrix, Some(unit), None),
                Err(reason) if products == Products::Matrix => {
                    return Err(ModelError::NoMatrix { reason }.into());
                }
                Err(reason) => (Products::Auto, None, Some(reason)),
            },
            Products::EmulatedMatrix => (products, Some(Unit::Emulated), None),
            other => (other, None, None),
        };
        let software = gpu.is_software();
        #[cfg(test)]
        let software = software && FORCED.get().is_none();
        let products = match products {
            Products::Auto if software => Products::Register,
            other => other,
        };
        Ok((Self { products, unit }, note))
    }

    /// Makes products that do not depend on the adapter: those of a GPU, where they are to be
    /// chosen.
    pub fn of(products: Products) -> Self {
        let unit = match products {
            Products::Matrix => Some(Unit::Half),
            Products::EmulatedMatrix => Some(Unit::Emulated),
            _ => None,
        };
        Self { products, unit }
    }

    /// The first of the layers that are one dispatch, if any are.
    pub fn tail(self, widths: &[usize]) -> Option<usize> {
        let may = matches!(self.products, Products::Auto | Products::Fused | Products::Matrix);
        may.then(|| Tail::start(widths)).flatten()
    }

    /// Tells whether the last layers must be one dispatch.
    pub fn wants_tail(self) -> bool {
        self.products == Products::Fused
    }

    /// Refuses a network that is to be one dispatch and cannot be.
    pub fn check(self, widths: &[usize]) -> Result<(), ModelError> {
        if self.products == Products::Fused && self.tail(widths) != Some(0) {
            return Err(ModelError::NotFused {
                widths: widths.into(),
                layers: tail::MOST_LAYERS,
                width: tail::MOST_WIDTH,
                inputs: tail::MOST_INPUTS,
            });
        }
        Ok(())
    }

    /// Tells whether W is packed and transposed, and gradients are written straight.
    pub fn is_register(self) -> bool {
        self.products == Products::Register
    }

    /// The form of one product.
    pub fn product(self, kind: Kind, shape: &Shape) -> Choice {
        #[cfg(test)]
        if let Some(Some((form, chunks))) = FORCED.get() {
            let chunks = if kind == Kind::WeightPartials { chunks } else { 1 };
            return Choice::split(form, shape.steps, chunks);
        }
        let forms: &[Form] = match self.products {
            Products::Register => return Choice::whole(Form::Register, shape.steps),
            Products::Sliced => &Form::FOR_GPUS[..3],
            Products::Workgroup => &Form::FOR_GPUS[3..],
            Products::EmulatedMatrix => Form::of_unit(Unit::Emulated),
            _ => &Form::FOR_GPUS,
        };
        let splits = kind == Kind::WeightPartials;
        let best = choose(forms, shape, splits);
        let with_units = self.unit.map(|unit| choose(Form::of_unit(unit), shape, splits));
        match with_units {
            Some((choice, time)) if time + searched(shape) < best.1 => choice,
            _ => best.0,
        }
    }

    /// Tells whether matrix units may be in use.
    pub fn has_unit(self) -> bool {
        self.unit.is_some()
    }
}

/// The unit of this device that passes its test, or why there is none.
fn found(gpu: &Gpu) -> Result<Result<Unit, String>, Error> {
    match gpu.matrix_unit() {
        Ok(unit) => Ok(self_test(gpu, unit)?.map(|()| unit)),
        Err(reason) => Ok(Err(reason)),
    }
}

/// Predicted microseconds to find the largest element of one of two operands: each operand has
/// two products.
fn searched(shape: &Shape) -> f64 {
    let moved = shape.steps * (shape.rows + shape.columns) / 2;
    DISPATCH + 4.0 * moved as f64 / MOVED
}

#[cfg(test)]
thread_local! {
    static FORCED: std::cell::Cell<Option<Option<(Form, usize)>>> = const { std::cell::Cell::new(None) };
}

/// On this thread a software adapter is chosen for as a GPU is, or every product has this
/// form and every weight gradient about so many chunks: for tests.
#[cfg(test)]
pub fn forced(choice: Option<Option<(Form, usize)>>) {
    FORCED.set(choice);
}

/// The fastest choice and its predicted microseconds; with partial sums, those of adding
/// them up too.
pub fn choose(forms: &[Form], shape: &Shape, splits: bool) -> (Choice, f64) {
    let mut best = (Choice::whole(Form::Sliced(4), shape.steps), f64::INFINITY);
    for &form in forms {
        for chunks in (0..=if splits { 9 } else { 0 }).map(|power| 1 << power) {
            let choice = Choice::split(form, shape.steps, chunks);
            let time = predicted(choice, shape) + if splits { added(choice, shape) } else { 0.0 };
            if time < best.1 {
                best = (choice, time);
            }
        }
    }
    best
}

/// Predicted microseconds that partial sums take of the dispatch that adds them up.
fn added(choice: Choice, shape: &Shape) -> f64 {
    (4 * shape.outputs * choice.chunks) as f64 / MOVED
}

/// The cost of a form, in microseconds: fitted to `docs/results/forms-h100.txt`.
struct Cost {
    /// A round of one depth, alone and of a multiprocessor that has many workgroups.
    alone: f64,
    full: f64,
    /// The time after the rounds, likewise.
    alone_end: f64,
    full_end: f64,
}

fn cost(form: Form) -> Cost {
    let (alone, full, alone_end, full_end) = match form {
        Form::Sliced(2) => (0.586, 0.405, 2.46, 0.454),
        Form::Sliced(4) => (0.547, 0.236, 0.667, 0.454),
        Form::Sliced(_) => (0.486, 0.233, 0.379, 0.401),
        Form::Workgroup(4) => (0.656, 0.561, 3.56, 2.39),
        Form::Workgroup(8) => (1.007, 0.886, 1.75, 0.870),
        // Of `docs/results/products-h100.txt`, whose operands were f16 in memory already.
        Form::Matrix(_, 64) => (0.50, 0.42, 1.0, 0.3),
        Form::Matrix(..) => (0.80, 0.58, 1.0, 0.3),
        _ => (1.658, 1.508, 2.55, 0.096),
    };
    Cost { alone, full, alone_end, full_end }
}

/// Predicted microseconds of a product on a large GPU: those of a dispatch and, of three
/// times, about the longest: one workgroup's, a multiprocessor's share of all workgroups,
/// and that of what must be read and written at least.
pub fn predicted(choice: Choice, shape: &Shape) -> f64 {
    let Cost { alone, full, alone_end, full_end } = cost(choice.form);
    let (rows, columns, _) = choice.form.tile();
    let tiles = shape.rows.div_ceil(rows) * shape.columns.div_ceil(columns);
    let share = (tiles * choice.chunks) as f64 / PROCESSORS;
    let rounds = choice.chunk_steps.div_ceil(choice.form.depth()) as f64;
    let moved = shape.steps * (shape.rows + shape.columns) + shape.outputs * choice.chunks;
    let times = [
        rounds * alone + alone_end,
        share * (rounds * full + full_end),
        4.0 * moved as f64 / MOVED,
    ];
    DISPATCH + together(&times)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::models::Activation;

    const MEASURED: &str = include_str!("../../../docs/results/forms-h100.txt");

    type Product = (&'static str, [usize; 3]);

    /// Reads for each product the choices with what they took.
    fn measured() -> BTreeMap<Product, Vec<(Choice, Shape, f64)>> {
        let mut all = BTreeMap::<_, Vec<_>>::new();
        let lines = MEASURED.lines().skip_while(|line| !line.is_empty());
        for line in lines.filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [kind, inputs, outputs, samples, form, side, chunks, time] = words[..] else {
                panic!("{line}")
            };
            let number = |text: &str| text.parse::<usize>().unwrap();
            let of @ [inputs, outputs, samples] = [inputs, outputs, samples].map(number);
            let shape = match kind {
                "forward" => Shape::forward(inputs, outputs, samples),
                "input" => Shape::input_gradient(inputs, outputs, samples),
                _ => Shape::weight_partials(inputs, outputs, samples),
            };
            let side = number(side);
            let form = if form == "Sliced" { Form::Sliced(side) } else { Form::Workgroup(side) };
            let choice = Choice::split(form, shape.steps, number(chunks));
            let row = (choice, shape, time.parse::<f64>().unwrap());
            all.entry((kind, of)).or_default().push(row);
        }
        assert!(all.len() > 30);
        all
    }

    /// Those that take more than four times as long as the best of a product are nobody's
    /// choice, and the model need only know that.
    #[test]
    fn predictions_are_within_30_percent_of_an_h100() {
        let mut faults = Vec::new();
        for (product, rows) in measured() {
            let best = rows.iter().map(|row| row.2).fold(f64::INFINITY, f64::min);
            for (choice, shape, time) in rows {
                let ratio = predicted(choice, &shape) / time;
                let bounds = if time > 4.0 * best { 0.5..2.0 } else { 0.7..1.3 };
                if !bounds.contains(&ratio) {
                    faults.push(format!("{product:?} {choice:?}: {time} us, {ratio:.2} of it"));
                }
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    #[test]
    fn choices_are_within_1_3_times_of_the_best() {
        for (product, rows) in measured() {
            let best = rows.iter().map(|row| row.2).fold(f64::INFINITY, f64::min);
            // Among those that were measured.
            let splits = product.0 == "weights";
            let time = |(choice, shape, _): &&(Choice, Shape, f64)| {
                predicted(*choice, shape) + if splits { added(*choice, shape) } else { 0.0 }
            };
            let chosen = rows.iter().min_by(|a, b| time(a).total_cmp(&time(b))).unwrap();
            assert!(chosen.2 <= 1.3 * best, "{product:?}: {:?}, {} and {best}", chosen.0, chosen.2);
        }
    }

    /// No product of the four cases that are not wide takes longer than 40 us for one of its
    /// workgroups.
    #[test]
    fn critical_paths_are_short() {
        let path = |choice: Choice| {
            let rounds = choice.chunk_steps.div_ceil(choice.form.depth()) as f64;
            let cost = cost(choice.form);
            DISPATCH + rounds * cost.alone + cost.alone_end
        };
        let cases: [(&[usize], usize); 5] = [
            (&[784, 128, 10], 64),
            (&[784, 128, 10], 1024),
            (&[784, 32, 32, 10], 256),
            (&[16, 32, 3], 8192),
            (&[32, 64, 64, 3], 65536),
        ];
        for (widths, samples) in cases {
            for pair in widths.windows(2) {
                let [forward, input, weight] = [
                    Shape::forward(pair[0], pair[1], samples),
                    Shape::input_gradient(pair[0], pair[1], samples),
                    Shape::weight_partials(pair[0], pair[1], samples),
                ];
                let kinds = [
                    (Kind::Forward(Some(Activation::Relu)), forward),
                    (Kind::InputGradient { sloped: true }, input),
                    (Kind::WeightPartials, weight),
                ];
                for (kind, shape) in kinds {
                    let choice = Method::of(Products::Auto).product(kind, &shape);
                    let time = path(choice);
                    assert!(time < 40.0, "{kind:?} {pair:?} {samples}: {choice:?}, {time} us");
                }
            }
        }
    }

    const BY_UNITS: &str = include_str!("../../../docs/results/products-h100.txt");

    /// Products by matrix units of `docs/results/products-h100.txt`: t, p, q, rows of a tile, us.
    fn measured_by_units() -> Vec<([usize; 3], usize, f64)> {
        let products = [
            ("fwd 784->128 b1024 ", [784, 128, 1024]),
            ("1024^3 ", [1024; 3]),
            ("4096^3 ", [4096; 3]),
            ("field fwd 64->64 b65536 ", [64, 64, 65536]),
        ];
        let mut all = Vec::new();
        for (name, of) in products {
            let lines = BY_UNITS.lines().filter_map(|line| line.strip_prefix(name));
            for line in lines {
                let words: Vec<&str> = line.split_whitespace().collect();
                // Of 32x64 and 64x64 a subgroup: those whose tiles the kernels have.
                let rows = match words[..3] {
                    ["coop", "f16", "32x64"] => 64,
                    ["coop", "f16", "64x64"] => 128,
                    _ => continue,
                };
                let time = words.iter().position(|word| *word == "us").unwrap() - 1;
                all.push((of, rows, words[time].parse().unwrap()));
            }
        }
        assert_eq!(all.len(), 7);
        all
    }

    fn of(steps: usize, rows: usize, columns: usize) -> Shape {
        Shape { outputs: rows * columns, ..Shape::forward(steps, rows, columns) }
    }

    #[test]
    fn predictions_of_matrix_units_are_within_30_percent() {
        let measured = measured_by_units();
        for &([t, p, q], rows, time) in &measured {
            let shape = of(t, p, q);
            let ratio = |rows, time: f64| {
                predicted(Choice::whole(Form::Matrix(Unit::Half, rows), t), &shape) / time
            };
            let found = ratio(rows, time);
            assert!((0.7..1.3).contains(&found), "{t} {p} {q}, {rows} rows: {found:.2} of {time}");
        }
        for (t, p, q) in [(784, 128, 1024), (1024, 1024, 1024), (4096, 4096, 4096)] {
            let chosen = choose(Form::of_unit(Unit::Half), &of(t, p, q), false).0.form;
            let times = || measured.iter().filter(|(of, ..)| *of == [t, p, q]);
            let best = times().map(|row| row.2).fold(f64::INFINITY, f64::min);
            let time = times().find(|row| chosen == Form::Matrix(Unit::Half, row.1)).unwrap().2;
            assert!(time <= 1.3 * best, "{t} {p} {q}: {chosen:?}, {time} and {best}");
        }
    }

    /// Matrix units are for those who ask for them, and then for wide layers.
    #[test]
    fn matrix_units_are_chosen_where_they_were_asked_for() {
        let by_unit = |products, kind, shape: &Shape| {
            matches!(Method::of(products).product(kind, shape).form, Form::Matrix(..))
        };
        for n in [1, 10, 64, 128, 1024, 4096] {
            for (kind, shape) in [
                (Kind::Forward(None), Shape::forward(n, n, n)),
                (Kind::InputGradient { sloped: true }, Shape::input_gradient(n, n, n)),
                (Kind::WeightPartials, Shape::weight_partials(n, n, n)),
            ] {
                for other in [Products::Auto, Products::Sliced, Products::Workgroup] {
                    assert!(!by_unit(other, kind, &shape), "{other:?} {n}");
                }
                assert!(by_unit(Products::EmulatedMatrix, kind, &shape), "{n}");
                assert_eq!(by_unit(Products::Matrix, kind, &shape), n >= 1024, "{kind:?} {n}");
            }
        }
    }

    /// Prints what a gradient with matrix units is predicted to take on a large GPU.
    #[test]
    fn gradients_by_matrix_units_are_predicted() {
        let gradient = |widths: &[usize], samples: usize, products: Products| {
            let mut total = 0.0;
            for (layer, pair) in widths.windows(2).enumerate() {
                let (inputs, outputs) = (pair[0], pair[1]);
                let mut product = |kind, shape: Shape| {
                    let choice = Method::of(products).product(kind, &shape);
                    let splits = kind == Kind::WeightPartials;
                    let by_unit = matches!(choice.form, Form::Matrix(..));
                    let time = predicted(choice, &shape)
                        + if splits { added(choice, &shape) } else { 0.0 }
                        + if by_unit { searched(&shape) } else { 0.0 };
                    println!("  layer{layer} {kind:?}: {choice:?}, {time:.1} us");
                    total += time;
                };
                product(Kind::Forward(None), Shape::forward(inputs, outputs, samples));
                if layer > 0 {
                    let shape = Shape::input_gradient(inputs, outputs, samples);
                    product(Kind::InputGradient { sloped: true }, shape);
                }
                product(Kind::WeightPartials, Shape::weight_partials(inputs, outputs, samples));
            }
            println!("{widths:?} at {samples}, {products:?}: {total:.0} us of products");
            total
        };
        let cases: [(&[usize], usize, f64); 2] =
            [(&[784, 1024, 1024, 10], 1024, 250.0), (&[784, 4096, 4096, 10], 4096, 4600.0)];
        for (widths, samples, most) in cases {
            let time = gradient(widths, samples, Products::Matrix);
            assert!(time < most, "{widths:?}: {time}");
            assert!(gradient(widths, samples, Products::Auto) > 1.3 * time);
        }
    }

    #[test]
    fn chunks_cover_the_steps_and_depend_on_the_shape_alone() {
        for form in Form::FOR_GPUS {
            for steps in [1, 2, 63, 64, 65, 1000, 8192] {
                for chunks in [1, 2, 7, 64, 512] {
                    let choice = Choice::split(form, steps, chunks);
                    assert!(choice.chunks * choice.chunk_steps >= steps);
                    assert!((choice.chunks - 1) * choice.chunk_steps < steps);
                    assert_eq!(choice.chunk_steps % form.depth(), 0);
                }
            }
        }
    }
}
