//! `Optimizer::check_source`: sources that are wrong in one way each are found by name, and
//! right ones come out clean.

mod common;

use std::collections::HashMap;

use common::gpu;
use kutta::batching::{Accumulated, PerStage};
use kutta::data::{Batches, Inputs, Samples, Targets};
use kutta::device::{Access, Kernel};
use kutta::models::{
    Activation, Analytic, Encoding, HashGrid, Loss, Mlp, NeuralField, Points, Target,
};
use kutta::optimizer::{Outcome, SourceCheck};
use kutta::plan::Purpose;
use kutta::reference::Problem;
use kutta::source::CONTROL_WGSL;
use kutta::source::{BatchTicket, EvaluationKey};
use kutta::{
    BatchesFrom, Evaluation, Gpu, GradientSource, Init, Method, Optimizer, ParamLayout,
    SourceError, StepSize, Storage, wgpu,
};

/// One row of a table for each batch.
const GATHER: Kernel = Kernel {
    name: "check_gather",
    text: &[
        CONTROL_WGSL,
        "@group(0) @binding(0) var<uniform> control: Control;
        @group(0) @binding(1) var<storage, read_write> row: array<f32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            row[id.x] = f32(1u + control.batch % 3u) * 0.25;
        }",
    ],
    bindings: &[("control", Access::Uniform), ("row", Access::Write)],
    vectors: &[],
    structs: &[],
};

/// L = Σ λ (θ − x)²/2 + (θ − x)⁴/4 over the elements of `a` (5) and `b` (70).
const GRADIENT: Kernel = Kernel {
    name: "check_gradient",
    text: &["override FAULT: u32 = 0;
        override ADDS: bool = false;
        @group(0) @binding(0) var<storage, read> theta: array<f32>;
        @group(0) @binding(1) var<storage, read> row: array<f32>;
        @group(0) @binding(2) var<storage, read> v: array<f32>;
        @group(0) @binding(3) var<storage, read_write> gradient: array<f32>;
        @group(0) @binding(4) var<storage, read_write> loss: array<f32>;
        fn own(i: u32) -> bool { return i < 5u || (i >= 64u && i < 134u); }
        @compute @workgroup_size(1) fn main() {
            var sum = 0.0;
            for (var i = 0u; i < arrayLength(&gradient); i++) {
                if !own(i) {
                    if FAULT == 4u { gradient[i] = 0.5; }
                    continue;
                }
                let lambda = f32(1u + i % 4u);
                let x = theta[i] - row[i];
                sum += 0.5 * lambda * x * x + 0.25 * x * x * x * x;
                var g = lambda * x + x * x * x;
                if FAULT == 20u || FAULT == 21u {
                    g = (lambda + 3.0 * x * x) * v[i];
                    if FAULT == 21u && i >= 64u { g = lambda * v[i]; }
                }
                if FAULT == 1u && i == 70u { continue; }
                if FAULT == 2u && i == 3u { g = bitcast<f32>(0x7fc00000u + u32(loss[0] == 77.0)); }
                if FAULT == 5u && i >= 64u { g = -g; }
                if FAULT == 6u && i < 5u { g *= 1.1; }
                if FAULT == 7u && i == 66u { g = 0.0; }
                if FAULT == 3u || ADDS { g += gradient[i]; }
                gradient[i] = g;
            }
            loss[0] = sum;
        }"],
    bindings: &[
        ("theta", Access::Read),
        ("row", Access::Read),
        ("v", Access::Read),
        ("gradient", Access::Write),
        ("loss", Access::Write),
    ],
    vectors: &[],
    structs: &[],
};

fn layout() -> ParamLayout {
    ParamLayout::builder()
        .tensor("a", &[5], Init::Uniform { bound: 0.5 })
        .tensor("b", &[7, 10], Init::Uniform { bound: 0.5 })
        .build()
        .unwrap()
}

/// How a source may be wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    Unwritten,
    NotFinite,
    Adds,
    Padding,
    Sign,
    Factor,
    Missing,
    /// Gathers at stage 1 alone.
    Purpose,
    /// Keeps the bind groups of its first evaluation.
    FirstBuffers,
    Repeats,
    Sum,
    Narrow,
    Product,
    One,
    Layout,
}

struct Rows {
    fault: Fault,
    layout: ParamLayout,
    row: wgpu::Buffer,
    none: wgpu::Buffer,
    gathered: Option<BatchTicket>,
    bound: HashMap<(Option<EvaluationKey>, u32), wgpu::BindGroup>,
    asked: u32,
    claims: bool,
}

impl Rows {
    fn new(fault: Fault) -> Self {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
        let layout = match fault {
            Fault::Layout => ParamLayout::flat(134).unwrap(),
            _ => layout(),
        };
        Self {
            fault,
            layout,
            row: gpu().buffer("row", 4 * 192, usage).unwrap(),
            none: gpu().buffer("none", 4 * 192, usage).unwrap(),
            gathered: None,
            bound: HashMap::new(),
            asked: 0,
            claims: true,
        }
    }
}

impl GradientSource for Rows {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        let gpu = at.gpu().clone();
        self.asked += 1;
        let product = at.purpose() == Purpose::Product;
        let number = match self.fault {
            Fault::Product if product => 21,
            _ if product => 20,
            Fault::Unwritten => 1,
            Fault::NotFinite => 2,
            Fault::Adds => 3,
            Fault::Padding => 4,
            Fault::Sign => 5,
            Fault::Factor => 6,
            Fault::Missing => 7,
            Fault::Repeats if self.asked == 3 => 6,
            _ => 0,
        };
        let adds = at.adds() && self.fault != Fault::Sum;
        let [gather, gradient] = [
            gpu.pipeline(&GATHER, &vec![]),
            gpu.pipeline(
                &GRADIENT,
                &vec![("FAULT", f64::from(number)), ("ADDS", f64::from(u8::from(adds)))],
            ),
        ];
        let key = (self.fault != Fault::FirstBuffers).then(|| at.key());
        let Self { row, none, bound, .. } = self;
        let v = at.direction().map_or(&*none, |v| v.buffer());
        let evaluated = bound
            .entry((key, number + 100 * u32::from(adds)))
            .or_insert_with(|| {
                let buffers = [at.point().buffer(), row, v, at.gradient().buffer(), at.loss()];
                gradient.bind(&gpu, &buffers.map(|b| b.as_entire_binding()))
            })
            .clone();
        let gathers = match self.fault {
            Fault::Purpose => !matches!(at.purpose(), Purpose::Stage(2..)),
            _ => self.gathered != Some(at.ticket()),
        };
        let drawn = bound
            .entry((Some(at.key()), 1000))
            .or_insert_with(|| {
                gather.bind(&gpu, &[at.control().as_entire_binding(), row.as_entire_binding()])
            })
            .clone();
        self.gathered = Some(at.ticket());
        let pass = at.pass();
        if gathers {
            pass.set_pipeline(gather.pipeline());
            pass.set_bind_group(0, &drawn, &[]);
            pass.dispatch_workgroups(3, 1, 1);
        }
        pass.set_pipeline(gradient.pipeline());
        pass.set_bind_group(0, &evaluated, &[]);
        pass.dispatch_workgroups(1, 1, 1);
        Ok(())
    }

    fn adds(&self) -> bool {
        true
    }

    fn products(&self) -> bool {
        true
    }

    fn keeps_padding(&self) -> bool {
        self.claims
    }

    fn writes(&self, storage: Storage) -> bool {
        storage == Storage::F32 || self.fault == Fault::Narrow
    }

    fn batches(&self) -> BatchesFrom {
        if self.fault == Fault::One { BatchesFrom::One } else { BatchesFrom::Device }
    }

    fn layout(&self) -> Option<&ParamLayout> {
        Some(&self.layout)
    }

    fn gpu(&self) -> Option<&Gpu> {
        Some(gpu())
    }
}

/// A source without a layout or a device of which it would tell.
struct Untold(Rows);

impl GradientSource for Untold {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        self.0.evaluate(at)
    }

    fn keeps_padding(&self) -> bool {
        self.0.keeps_padding()
    }

    fn batches(&self) -> BatchesFrom {
        self.0.batches()
    }
}

fn optimizer(layout: &ParamLayout, start: &[f32]) -> Optimizer {
    Optimizer::builder(Method::heun())
        .step_size(StepSize::constant(0.01))
        .build(gpu(), layout, start)
        .unwrap()
}

fn checked(source: &mut impl GradientSource, layout: &ParamLayout, start: &[f32]) -> SourceCheck {
    optimizer(layout, start).check_source(source).unwrap()
}

#[test]
fn each_fault_is_found_by_name_and_nothing_else_is() {
    let start = layout().initial(3);
    for (fault, test, tensor, words) in [
        (Fault::Unwritten, "written", Some("b"), "1 of 70 elements, the first 6 (7.25)"),
        (Fault::NotFinite, "written", Some("a"), "the first 3 (NaN), are not finite"),
        (Fault::Adds, "written", Some("a"), "where another one lay there before"),
        (Fault::Padding, "padding", Some("a"), "element 5 of the vector, in the padding"),
        (Fault::Sign, "differences", Some("b"), "its gradient says"),
        (Fault::Factor, "differences", Some("a"), "its gradient says"),
        (Fault::Missing, "differences", Some("b"), "its gradient says"),
        (Fault::Purpose, "batches", Some("a"), "`Evaluation::ticket`"),
        (Fault::FirstBuffers, "buffers", Some("a"), "`Evaluation::key`"),
        (Fault::Repeats, "repeated", Some("a"), "asked a second time"),
        (Fault::Sum, "adds", Some("a"), "what was there plus the gradient"),
        (Fault::Narrow, "f16", Some("a"), "are not those in f32"),
        (Fault::Product, "products", Some("b"), "differences of the gradient say"),
        (Fault::One, "batches", Some("a"), "`BatchesFrom::One`"),
        (Fault::Layout, "claims", None, "`theta` of shape [134]"),
    ] {
        let check = checked(&mut Rows::new(fault), &layout(), &start);
        println!("{fault:?}\n{check}");
        let faults: Vec<_> = check.faults().collect();
        let (name, first) = faults.first().unwrap_or_else(|| panic!("{fault:?} is not found"));
        assert_eq!((*name, first.tensor.as_deref()), (test, tensor), "{fault:?}: {first}");
        assert!(first.message.contains(words), "{fault:?}: {first}");
        assert!(check.to_string().contains(&first.message), "{check}");
        // What is wrong in one way may fail what comes after, but nothing before.
        let at = check.tests().iter().position(|t| t.name == test).unwrap();
        assert!(check.tests()[..at].iter().all(|t| !matches!(t.outcome, Outcome::Faulty(_))));
        let alone = matches!(
            fault,
            Fault::Padding
                | Fault::Sign
                | Fault::Factor
                | Fault::Missing
                | Fault::Sum
                | Fault::Product
                | Fault::One
        );
        // Signs and factors of a gradient are in its slope too.
        let others = |(name, _): &&(&str, _)| *name != test && *name != "products";
        assert!(!alone || faults.iter().filter(others).count() == 0, "{fault:?}\n{check}");
    }
}

/// The check that passes: every test was made, and all that is said are the notes.
fn clean(what: &str, check: &SourceCheck, skipped: &[&str]) {
    println!("{what}\n{check}");
    assert!(check.is_sound(), "{what}\n{check}");
    for test in check.tests() {
        let left = matches!(test.outcome, Outcome::Skipped(_));
        assert_eq!(left, skipped.contains(&test.name), "{what}: {}\n{check}", test.name);
    }
    assert_eq!(check.tests().len(), 12);
}

#[test]
fn a_right_source_is_clean_and_its_optimizer_stays_as_it_was() {
    let start = layout().initial(3);
    let mut source = Rows::new(Fault::None);
    let mut optimizer = optimizer(&layout(), &start);
    let mut other = Rows::new(Fault::None);
    let mut twin = self::optimizer(&layout(), &start);
    for _ in 0..2 {
        optimizer.run(&mut source, 3).unwrap();
        twin.run(&mut other, 3).unwrap();
        let check = optimizer.check_source(&mut source).unwrap();
        clean("rows", &check, &["f16", "bf16", "checks"]);
        assert!(check.notes().is_empty(), "{check}");
        assert!(check.tensors().iter().all(|t| t.disagreement.unwrap() < 0.03), "{check}");
    }
    optimizer.run(&mut source, 3).unwrap();
    twin.run(&mut other, 3).unwrap();
    optimizer.wait().unwrap();
    twin.wait().unwrap();
    assert_eq!(optimizer.params().read().unwrap(), twin.params().read().unwrap());
    assert_eq!(optimizer.reports(), twin.reports());
    // One that does not promise to leave zeros is told what they cost.
    let mut source = Rows { claims: false, ..Rows::new(Fault::Padding) };
    let check = checked(&mut source, &layout(), &start);
    assert!(check.is_sound() && check.notes().iter().any(|n| n.contains("behind `a`")), "{check}");
    // So is one that does not say what it is made for.
    let mut untold = Untold(Rows::new(Fault::None));
    let check = checked(&mut untold, &layout(), &start);
    let noted = |what: &str| check.notes().iter().any(|note| note.contains(what));
    assert!(check.is_sound() && noted("GradientSource::layout"), "{check}");
    assert!(noted("GradientSource::gpu"), "{check}");
    // `check_source_async` is the same.
    let check = pollster::block_on(optimizer.check_source_async(&mut Rows::new(Fault::Sign)));
    assert!(!check.unwrap().is_sound());
}

fn data(width: usize, outputs: usize, dense: bool) -> Batches {
    let rows = 24;
    let inputs = (0..rows * width).map(|i| ((i * 7919) % 101) as f32 / 50.0 - 1.0).collect();
    let targets = match dense {
        true => Targets::Dense {
            values: (0..rows * outputs).map(|i| ((i * 31) % 17) as f32 / 17.0).collect(),
            width: outputs,
        },
        false => Targets::Labels {
            labels: (0..rows).map(|i| (i * 5 % outputs) as u8).collect(),
            classes: outputs,
        },
    };
    Batches::new(Samples::new(Inputs::F32(inputs), width, targets).unwrap(), 8).unwrap()
}

#[test]
fn the_models_of_kutta_are_clean() {
    // On a software adapter products in registers leave the check to the guard.
    let none: &[&str] = match gpu().is_software() {
        true => &["adds", "products", "checks"],
        false => &["adds", "products"],
    };
    for (activation, loss) in [
        (Activation::Relu, Loss::CrossEntropy),
        (Activation::Tanh, Loss::MeanSquare),
        (Activation::Gelu, Loss::CrossEntropy),
        (Activation::Sine { omega: 30.0 }, Loss::MeanSquare),
    ] {
        let network = || {
            let data = data(6, 3, loss == Loss::MeanSquare);
            Mlp::builder(&[6, 9, 8, 3]).activation(activation).loss(loss).build(gpu(), data)
        };
        let mut mlp = network().unwrap();
        let (layout, start) = (mlp.layout().clone(), mlp.initial(5));
        let what = format!("{activation:?} {loss:?}");
        clean(&what, &checked(&mut mlp, &layout, &start), none);
        let mut wrapped = PerStage::new(gpu(), network().unwrap()).unwrap();
        let check = checked(&mut wrapped, &layout, &start);
        clean(&format!("{what}, by stages"), &check, none);
        let mut wrapped = Accumulated::new(gpu(), network().unwrap(), &layout, 2).unwrap();
        let check = checked(&mut wrapped, &layout, &start);
        clean(&format!("{what}, accumulated"), &check, &["adds", "products", "f16", "bf16"]);
    }
    let values = (0..16 * 12 * 3).map(|i| ((i * 37) % 64) as f32 / 64.0).collect();
    let image = Target::image([16, 12], 3, values).unwrap();
    let grid = HashGrid { levels: 3, log2_table: 6, ..HashGrid::default() };
    for encoding in [Encoding::Octaves { octaves: 3 }, Encoding::HashGrid(grid)] {
        for points in [Points::Texels(50), Points::Anywhere(40), Points::All] {
            let builder = NeuralField::builder(encoding).hidden(&[10]).points(points);
            let mut field = builder.build(gpu(), &image).unwrap();
            let (layout, start) = (field.layout().clone(), field.initial(2));
            let check = checked(&mut field, &layout, &start);
            clean(&format!("{encoding:?} {points:?}"), &check, none);
        }
    }
    for (problem, n) in [
        (Problem::quadratic(&[1.0, 10.0, 0.1]).unwrap(), 3),
        (Problem::Rosenbrock, 6),
        (Problem::Quartic, 70),
        (Problem::Himmelblau, 2),
        (Problem::Beale, 2),
    ] {
        let mut source = Analytic::new(gpu(), &problem, n).unwrap();
        let start: Vec<f32> = (0..n).map(|i| 0.3 + 0.17 * (i % 5) as f32).collect();
        let layout = source.layout().clone();
        clean(&format!("{problem:?}"), &checked(&mut source, &layout, &start), &["products"]);
    }
}
