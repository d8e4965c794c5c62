//! Predictions held against an H100, and against what is recorded.

use crate::data::{Batches, Inputs, Samples, Targets};
use crate::models::dense::Step;
use crate::models::dense::tail_form::LEAST_BYTES;
use crate::models::dense::testing::{forced, seen};
use crate::models::harness::{Device, gpu};
use crate::models::{
    Activation, Encoding, HashGrid, Loss, Mlp, NeuralField, Points, PredictedDispatch, Prediction,
    Products, Target,
};
use crate::plan::{Options, Purpose};
use crate::source::GradientSource;
use crate::{Ingredients, Method, Momentum, Plan, Preconditioner};

const MEASURED: &str = include_str!("../../docs/results/training-products-h100.txt");

fn image(side: usize) -> Target {
    let values = (0..side * side * 3).map(|i| (i * 37 % 251) as f32 / 251.0).collect();
    Target::image([side, side], 3, values).unwrap()
}

fn grid(levels: u32, log2_table: u32) -> Encoding {
    Encoding::HashGrid(HashGrid { levels, log2_table, ..HashGrid::default() })
}

/// The six cases, in the order of the file: measured when tails took 16 KiB of workgroup memory.
fn cases() -> [Prediction; 6] {
    let mlp = |widths: &[usize], batch| {
        Mlp::builder(widths).predicted_within(batch, LEAST_BYTES).unwrap()
    };
    let field = |encoding, hidden: &[usize], rows| {
        let builder = NeuralField::builder(encoding).hidden(hidden).points(Points::Texels(rows));
        builder.predicted_within(&image(512), LEAST_BYTES).unwrap()
    };
    [
        mlp(&[784, 128, 10], 64),
        mlp(&[784, 128, 10], 1024),
        mlp(&[784, 1024, 1024, 10], 1024),
        mlp(&[784, 4096, 4096, 10], 4096),
        field(grid(8, 11), &[32], 8192),
        field(grid(16, 15), &[64, 64], 65536),
    ]
}

/// Euler with Adam, in which every attempt was measured.
fn adam() -> Plan {
    let ingredients = Ingredients {
        preconditioner: Preconditioner::adam(0.999, 1e-8),
        momentum: Momentum::ema(0.9),
        ..Ingredients::default()
    };
    Plan::with_ingredients(&Method::euler(), &ingredients, Options::default()).unwrap()
}

/// Microseconds of an attempt, and of each kernel by name.
fn measured() -> Vec<(f64, Vec<(&'static str, f64)>)> {
    let part = |text: &'static str| {
        let (head, rest) = text.split_once('\n').unwrap();
        let attempt = head.split_once(": ").unwrap().1.split(' ').next().unwrap();
        let row = |line: &'static str| {
            let name = line.split_whitespace().next().unwrap();
            (name, line.split_whitespace().last().unwrap().parse().unwrap())
        };
        let rows = rest.lines().map(row).filter(|row| row.0 != "sum").collect();
        (attempt.parse().unwrap(), rows)
    };
    MEASURED.split("\n## ").skip(1).map(part).collect()
}

#[test]
fn each_dispatch_is_predicted_within_30_percent_of_an_h100() {
    let measured = measured();
    assert_eq!(measured.len(), 6);
    let mut faults = Vec::new();
    for (case, (_, rows)) in cases().iter().zip(&measured) {
        let found: Vec<&PredictedDispatch> = case.draw().iter().chain(case.gradient()).collect();
        let names: Vec<&str> = found.iter().map(|dispatch| dispatch.kernel.as_str()).collect();
        assert_eq!(names, rows.iter().map(|row| row.0).collect::<Vec<_>>());
        for (dispatch, (name, time)) in found.iter().zip(rows) {
            let ratio = dispatch.microseconds / time;
            if !(0.7..1.3).contains(&ratio) {
                faults.push(format!("{name} {}: {time} us, {ratio:.2} of it", dispatch.form));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn whole_steps_are_predicted_within_15_percent_of_an_h100() {
    let plan = adam();
    for (case, (attempt, _)) in cases().iter().zip(measured()) {
        let ratio = case.step_microseconds(&plan) / attempt;
        println!("{attempt} us, predicted {ratio:.3} of it");
        assert!((0.85..1.15).contains(&ratio), "{attempt} us, {ratio:.3} of it\n{case}");
    }
}

/// By `docs/results/roofline-h100.json`, 100 steps a submit.
#[test]
fn the_optimizers_own_steps_are_predicted_within_10_percent_of_an_h100() {
    let rk4 = Plan::new(&Method::rk4(), Options::default()).unwrap();
    for (plan, parameters, time) in [
        (&adam(), 10_000, 16.27),
        (&adam(), 100_000, 16.96),
        (&adam(), 1 << 24, 211.8),
        (&rk4, 10_000, 24.61),
        (&rk4, 1 << 24, 367.4),
    ] {
        let ratio = Prediction::without_gradients(parameters).step_microseconds(plan) / time;
        assert!((0.9..1.1).contains(&ratio), "{parameters}: {time} us, {ratio:.3} of it");
    }
}

/// The kernels that a source records on a GPU, which a software adapter stands in for.
fn recorded(source: &mut impl GradientSource, theta: &[f32]) -> Vec<&'static str> {
    seen(true);
    Device::new(theta.len()).evaluate(source, (0, Purpose::Stage(1)), theta, 0);
    seen(false).iter().map(Step::name).collect()
}

#[test]
fn what_is_predicted_is_what_is_recorded() {
    forced(Some(None));
    let names = |found: &Prediction| -> Vec<String> {
        found.draw().iter().chain(found.gradient()).map(|d| d.kernel.clone()).collect()
    };
    // Without a tail, with one, and from an odd width.
    for widths in [&[12, 300, 65][..], &[12, 130, 70, 10], &[13, 8, 2]] {
        for loss in [Loss::CrossEntropy, Loss::MeanSquare] {
            let classes = widths[widths.len() - 1];
            let labels = (0..40).map(|i| (i % classes) as u8).collect();
            let inputs = Inputs::Bytes((0..40 * widths[0]).map(|i| i as u8).collect());
            let samples =
                Samples::new(inputs, widths[0], Targets::Labels { labels, classes }).unwrap();
            let builder = Mlp::builder(widths).loss(loss).activation(Activation::Tanh);
            let found = builder.predicted(37).unwrap();
            let mut mlp = builder.build(gpu(), Batches::new(samples, 37).unwrap()).unwrap();
            assert_eq!(found.parameters(), mlp.layout().parameters());
            let theta = mlp.initial(3);
            assert_eq!(names(&found), recorded(&mut mlp, &theta), "{widths:?} {loss:?}");
        }
    }
    let octaves = Encoding::Octaves { octaves: 3 };
    for (encoding, hidden) in [(grid(3, 6), 8), (octaves, 8), (octaves, 100)] {
        let builder = NeuralField::builder(encoding).hidden(&[hidden]).points(Points::Texels(50));
        let found = builder.predicted(&image(9)).unwrap();
        let mut field = builder.build(gpu(), &image(9)).unwrap();
        assert_eq!(found.parameters(), field.layout().parameters());
        let theta = field.initial(3);
        assert_eq!(names(&found), recorded(&mut field, &theta), "{encoding:?} {hidden}");
    }
    forced(None);
}

#[test]
fn what_cannot_be_predicted_is_named() {
    let message = |products, widths: &[usize], batch| {
        Mlp::builder(widths).products(products).predicted(batch).unwrap_err().to_string()
    };
    assert!(message(Products::Register, &[4, 3], 5).contains("software adapters"));
    assert!(message(Products::Fused, &[4, 65, 3], 5).contains("[4, 65, 3]"));
    assert!(message(Products::Auto, &[4, 3], 0).contains("a batch of 0"));
    assert!(message(Products::Auto, &[4, 3], usize::MAX).contains("4194240"));
    assert!(message(Products::Auto, &[4], 5).contains("[4]"));
}
