//! Preconditioners, momentum and weight decay on the device: against the
//! published recurrences, against the textbook, and untouched by refusals.

mod common;

use common::{Planted, gpu, noise, relative};
use kutta::device::Vector;
use kutta::device::{Access, Kernel};
use kutta::models::Analytic;
use kutta::reference::{Problem, textbook};
use kutta::source::CONTROL_WGSL;
use kutta::{
    Evaluation, Fusion, Gpu, GradientSource, Ingredients, Init, Method, Momentum, Optimizer,
    ParamLayout, Preconditioner, SourceError, SpectralRadius, StepSize, Verdict,
};

const PLAY: Kernel = Kernel {
    name: "play",
    text: &[
        CONTROL_WGSL,
        "@group(0) @binding(0) var<uniform> control: Control;
        @group(0) @binding(1) var<storage, read> tape: array<f32>;
        @group(0) @binding(2) var<storage, read_write> gradient: array<f32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            let n = arrayLength(&gradient);
            if id.x < n { gradient[id.x] = tape[control.batch * n + id.x]; }
        }",
    ],
    bindings: &[("control", Access::Uniform), ("tape", Access::Read), ("gradient", Access::Write)],
    vectors: &[],
    structs: &[],
};

/// Plays gradients from a tape, one row for each batch, wherever θ is.
struct Tape(Vector);

impl GradientSource for Tape {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        let gpu = at.gpu().clone();
        let pipeline = gpu.pipeline(&PLAY, &vec![]);
        let n = at.gradient().len();
        let resources = [
            at.control().as_entire_binding(),
            self.0.buffer().as_entire_binding(),
            at.gradient().buffer().as_entire_binding(),
        ];
        let bind_group = pipeline.bind(&gpu, &resources);
        let pass = at.pass();
        pass.set_pipeline(pipeline.pipeline());
        pass.set_bind_group(0, &bind_group, &[]);
        pass.dispatch_workgroups(n.div_ceil(64) as u32, 1, 1);
        Ok(())
    }
}

/// One element's step t = 1, 2, … as PyTorch's documentation writes it.
type Recurrence = fn(theta: &mut f64, g: f64, t: i32, state: &mut [f64; 3]);

const H: f64 = 0.01;

fn published() -> Vec<(&'static str, Ingredients, Recurrence)> {
    let recipe = |preconditioner, momentum, weight_decay| Ingredients {
        preconditioner,
        momentum,
        weight_decay,
        ..Ingredients::default()
    };
    let none = Preconditioner::none;
    vec![
        ("SGD", recipe(none(), Momentum::none(), 0.0), |theta, g, _, _| *theta -= H * g),
        ("SGD, momentum", recipe(none(), Momentum::heavy_ball(0.9), 0.0), |theta, g, t, s| {
            s[0] = if t == 1 { g } else { 0.9 * s[0] + g };
            *theta -= H * s[0];
        }),
        ("SGD, Nesterov", recipe(none(), Momentum::nesterov(0.9), 0.0), |theta, g, t, s| {
            s[0] = if t == 1 { g } else { 0.9 * s[0] + g };
            *theta -= H * (g + 0.9 * s[0]);
        }),
        ("Adagrad", recipe(Preconditioner::adagrad(1e-10), Momentum::none(), 0.0), {
            |theta, g, _, s| {
                s[0] += g * g;
                *theta -= H * g / (s[0].sqrt() + 1e-10);
            }
        }),
        ("RMSprop", recipe(Preconditioner::rmsprop(0.99, 1e-8), Momentum::none(), 0.0), {
            |theta, g, _, s| {
                s[0] = 0.99 * s[0] + 0.01 * g * g;
                *theta -= H * g / (s[0].sqrt() + 1e-8);
            }
        }),
        (
            "RMSprop, momentum",
            { recipe(Preconditioner::rmsprop(0.99, 1e-8), Momentum::heavy_ball(0.9), 0.0) },
            |theta, g, _, s| {
                s[0] = 0.99 * s[0] + 0.01 * g * g;
                s[1] = 0.9 * s[1] + g / (s[0].sqrt() + 1e-8);
                *theta -= H * s[1];
            },
        ),
        ("Adam", recipe(Preconditioner::adam(0.999, 1e-8), Momentum::ema(0.9), 0.0), {
            |theta, g, t, s| {
                s[0] = 0.9 * s[0] + 0.1 * g;
                s[1] = 0.999 * s[1] + 0.001 * g * g;
                let m = s[0] / (1.0 - 0.9f64.powi(t));
                let v = s[1] / (1.0 - 0.999f64.powi(t));
                *theta -= H * m / (v.sqrt() + 1e-8);
            }
        }),
        ("AdamW", recipe(Preconditioner::adam(0.999, 1e-8), Momentum::ema(0.9), 0.1), {
            |theta, g, t, s| {
                *theta *= 1.0 - H * 0.1;
                s[0] = 0.9 * s[0] + 0.1 * g;
                s[1] = 0.999 * s[1] + 0.001 * g * g;
                let m = s[0] / (1.0 - 0.9f64.powi(t));
                let v = s[1] / (1.0 - 0.999f64.powi(t));
                *theta -= H * m / (v.sqrt() + 1e-8);
            }
        }),
        ("AMSGrad", recipe(Preconditioner::amsgrad(0.999, 1e-8), Momentum::ema(0.9), 0.0), {
            |theta, g, t, s| {
                s[0] = 0.9 * s[0] + 0.1 * g;
                s[1] = 0.999 * s[1] + 0.001 * g * g;
                s[2] = s[2].max(s[1]);
                let m = s[0] / (1.0 - 0.9f64.powi(t));
                let v = s[2] / (1.0 - 0.999f64.powi(t));
                *theta -= H * m / (v.sqrt() + 1e-8);
            }
        }),
    ]
}

fn layout(n: usize) -> ParamLayout {
    ParamLayout::builder().tensor("theta", &[n], Init::Zeros).build().unwrap()
}

fn builder(method: Method, recipe: &Ingredients, h: f64) -> kutta::optimizer::Builder {
    Optimizer::builder(method)
        .ingredients(*recipe)
        // So small that no step is bounded by it.
        .spectral_radius(SpectralRadius::Given(1e-20))
        .step_size(StepSize::constant(h as f32))
}

/// Gradients of sizes from 1e-4 to 1, some zero, that drift from row to row.
fn tape(rows: usize, n: usize) -> Vec<f32> {
    let mut values = noise(rows * n, 5);
    for (i, x) in values.iter_mut().enumerate() {
        let (row, element) = (i / n, i % n);
        *x = (*x + 0.3) * 10f32.powi(-((element % 5) as i32));
        if (row + element).is_multiple_of(17) {
            *x = 0.0;
        }
    }
    values
}

#[test]
fn euler_with_ingredients_is_the_published_optimizer() {
    const ROWS: usize = 100;
    // The tape's rows fill the padded gradient, whose length is a multiple of 64.
    const N: usize = 1024;
    let gpu = gpu();
    let (start, tape) = (noise(N, 1), tape(ROWS, N));
    let gradients = Vector::from_slice(gpu, "tape", &tape).unwrap();
    let mut source = Tape(gradients);
    for (name, recipe, recurrence) in published() {
        let mut optimizer =
            builder(Method::euler(), &recipe, H).build(gpu, &layout(N), &start).unwrap();
        optimizer.run(&mut source, ROWS as u64).unwrap();
        let found = optimizer.params().read().unwrap();
        // What the device was given as h is an f32, but so near to H that over
        // 100 steps of at most 0.1 nothing shows.
        let expected: Vec<f64> = (0..N)
            .map(|i| {
                let (mut theta, mut state) = (f64::from(start[i]), [0.0; 3]);
                for t in 0..ROWS {
                    let g = f64::from(tape[t * N + i]);
                    recurrence(&mut theta, g, t as i32 + 1, &mut state);
                }
                theta
            })
            .collect();
        let moved = expected.iter().zip(&start).map(|(a, &b)| (a - f64::from(b)).abs());
        assert!(moved.fold(0.0, f64::max) > 0.1, "{name}: a run that goes nowhere tests nothing");
        let error = relative(&found, &expected);
        assert!(error < 1e-6, "{name}: off by {error:e}");
    }
}

/// What `scripts/torch_optimizers.py` printed.
const TORCH: &str = include_str!("data/torch.txt");

#[test]
fn euler_with_ingredients_is_pytorchs_optimizer() {
    const ROWS: usize = 100;
    const N: usize = 64;
    let gpu = gpu();
    let gradient = |t: usize, i: usize| match (t + i) % 17 {
        0 => 0.0,
        _ => ((37 * t + 101 * i) % 211) as f32 / 64.0 - 105.0 / 64.0,
    };
    let tape: Vec<f32> = (0..ROWS).flat_map(|t| (0..N).map(move |i| gradient(t, i))).collect();
    let mut source = Tape(Vector::from_slice(gpu, "tape", &tape).unwrap());
    let start: Vec<f32> = (0..N).map(|i| (i as f32 - 32.0) / 16.0).collect();
    let adam = Ingredients {
        preconditioner: Preconditioner::adam(0.999, 1e-8),
        momentum: Momentum::ema(0.9),
        ..Ingredients::default()
    };
    let ball = Ingredients { momentum: Momentum::heavy_ball(0.9), ..Ingredients::default() };
    let rms = Preconditioner::rmsprop(0.99, 1e-8);
    let mut compared = 0;
    for line in TORCH.lines().filter(|line| !line.starts_with('#')) {
        let (name, numbers) = line.split_once(' ').unwrap();
        let expected: Vec<f64> = numbers.split(' ').map(|x| x.parse().unwrap()).collect();
        let recipe = match name {
            "sgd" => Ingredients::default(),
            "momentum" => ball,
            "nesterov" => Ingredients { momentum: Momentum::nesterov(0.9), ..ball },
            "sgd-l2" => Ingredients { l2: 0.1, ..ball },
            "adagrad" => Ingredients {
                preconditioner: Preconditioner::adagrad(1e-10),
                ..Ingredients::default()
            },
            "rmsprop" => Ingredients { preconditioner: rms, ..Ingredients::default() },
            "rmsprop-momentum" => Ingredients { preconditioner: rms, ..ball },
            "adam" => adam,
            "adam-l2" => Ingredients { l2: 0.1, ..adam },
            "adamw" => Ingredients { weight_decay: 0.1, ..adam },
            "amsgrad" => {
                Ingredients { preconditioner: Preconditioner::amsgrad(0.999, 1e-8), ..adam }
            }
            "adam-clipped" => Ingredients { clip: Some(1.0), ..adam },
            other => panic!("{other}"),
        };
        let mut optimizer =
            builder(Method::euler(), &recipe, H).build(gpu, &layout(N), &start).unwrap();
        optimizer.run(&mut source, ROWS as u64).unwrap();
        let error = relative(&optimizer.params().read().unwrap(), &expected);
        assert!(error < 1e-6, "{name}: off by {error:e}");
        compared += 1;
    }
    assert_eq!(compared, 12);
}

fn recipes() -> Vec<Ingredients> {
    let mut recipes = Vec::new();
    for preconditioner in [
        Preconditioner::none(),
        Preconditioner::adagrad_rescaled(),
        Preconditioner::adagrad(1e-6),
        Preconditioner::rmsprop(0.9, 1e-4),
        Preconditioner::adam(0.99, 1e-4),
        Preconditioner::amsgrad(0.9, 1e-4),
    ] {
        for (momentum, weight_decay) in [
            (Momentum::none(), 0.0),
            (Momentum::heavy_ball(0.9), 0.1),
            (Momentum::nesterov(0.8), 0.0),
            (Momentum::ema(0.9), 0.1),
        ] {
            recipes.push(Ingredients {
                preconditioner,
                momentum,
                weight_decay,
                ..Ingredients::default()
            });
        }
    }
    recipes
}

const SMALL: f64 = 0.004;

/// Eigenvalues from 1 to 20, ragged at the end. It starts so far out that 100
/// steps of [`SMALL`] do not reach the minimum: around it D = 1/|g| makes the
/// flow stiff, and rounding errors grow.
fn quadratic(n: usize) -> (Problem, Vec<f32>) {
    let eigenvalues: Vec<f64> = (0..n).map(|i| 1.0 + 19.0 * i as f64 / n as f64).collect();
    let start = noise(n, 9).into_iter().map(|x| x + x.signum()).collect();
    (Problem::quadratic(&eigenvalues).unwrap(), start)
}

fn trained(gpu: &Gpu, method: &Method, recipe: &Ingredients, fusion: Fusion) -> (Vec<f32>, f64) {
    let (problem, start) = quadratic(131);
    let mut source = Analytic::new(gpu, &problem, start.len()).unwrap();
    let mut optimizer = builder(method.clone(), recipe, SMALL)
        .fusion(fusion)
        .build(gpu, source.layout(), &start)
        .unwrap();
    optimizer.run(&mut source, 100).unwrap();
    let found = optimizer.params().read().unwrap();
    let tableau = method.tableau();
    let start: Vec<f64> = start.iter().map(|&x| f64::from(x)).collect();
    let mut book = textbook::Trainer::new(tableau, *recipe, &start);
    for _ in 0..100 {
        book.step(f64::from(SMALL as f32), &mut |_, x| problem.gradient(x)).unwrap();
    }
    let error = relative(&found, book.theta());
    (found, error)
}

/// Low storage and stabilised methods, with few and with more stages.
fn in_registers() -> Vec<Method> {
    let names = [
        "williamson3",
        "carpenter-kennedy",
        "rdpk3sp35",
        "rkc1:stages=1",
        "rkc1:stages=5",
        "rkcd:stages=2",
        "rkc2:stages=2",
        "rkc2:stages=3",
        "rkc2:stages=6",
        "rkl1:stages=3",
        "rkl2:stages=5",
        "rock2:stages=3",
        "rock2:stages=6",
    ];
    names.map(|name| name.parse().unwrap()).to_vec()
}

#[test]
fn every_recipe_is_the_textbook() {
    for recipe in recipes() {
        let methods = [Method::euler(), Method::heun(), Method::rk4()];
        for method in methods.into_iter().chain(in_registers()) {
            for fusion in [Fusion::Full, Fusion::None] {
                let (_, error) = trained(gpu(), &method, &recipe, fusion);
                assert!(error < 1e-5, "{method} {recipe:?} {fusion:?}: off by {error:e}");
            }
        }
    }
}

#[test]
fn chunks_change_no_bit() {
    // Three chunks, the last one ragged.
    let (problem, start) = quadratic(9001);
    for recipe in recipes() {
        let methods = [Method::euler(), Method::rk4()];
        for method in methods.into_iter().chain(in_registers()) {
            let run = |most: Option<usize>| {
                let mut source = Analytic::new(gpu(), &problem, start.len()).unwrap();
                let mut builder = builder(method.clone(), &recipe, SMALL);
                if let Some(most) = most {
                    builder = builder.elements_per_binding(most);
                }
                let mut optimizer = builder.build(gpu(), source.layout(), &start).unwrap();
                optimizer.run(&mut source, 20).unwrap();
                (optimizer.params().read().unwrap(), optimizer.dispatches_per_attempt())
            };
            let (whole, few) = run(None);
            let (cut, many) = run(Some(4096));
            assert!(many > few, "{recipe:?}: not cut");
            assert_eq!(whole, cut, "{method} {recipe:?}");
        }
    }
}

#[test]
fn a_refused_attempt_leaves_no_trace_in_any_state() {
    let (problem, start) = quadratic(131);
    for recipe in recipes() {
        for method in [Method::euler(), Method::rk4()] {
            for stage in 1..=method.stages() as u32 {
                // The last one is finite itself; its square is not.
                for value in [f32::NAN, f32::NEG_INFINITY, 1e30] {
                    let squares = recipe.preconditioner != Preconditioner::None && stage == 1;
                    if value.is_finite() && !squares {
                        continue;
                    }
                    let run = |attempt: u32, attempts: u64| {
                        let inner = Analytic::new(gpu(), &problem, start.len()).unwrap();
                        let layout = inner.layout().clone();
                        let element = start.len() as u32 - 1;
                        let mut source =
                            Planted { inner, attempt, stage, element, value, in_loss: false };
                        let mut optimizer = builder(method.clone(), &recipe, SMALL)
                            .build(gpu(), &layout, &start)
                            .unwrap();
                        optimizer.run(&mut source, attempts).unwrap();
                        optimizer.wait().unwrap();
                        let skipped: Vec<_> = optimizer
                            .reports()
                            .into_iter()
                            .filter(|report| report.verdict != Verdict::Accepted)
                            .map(|report| (report.attempt, report.verdict))
                            .collect();
                        (optimizer.params().read().unwrap(), skipped)
                    };
                    let (clean, none) = run(u32::MAX, 12);
                    assert_eq!(none, []);
                    let (found, skipped) = run(5, 13);
                    let what = format!("{method} {recipe:?}, {value} at stage {stage}");
                    assert_eq!(skipped, [(5, Verdict::Skipped { stage })], "{what}");
                    assert_eq!(found, clean, "{what}");
                }
            }
        }
    }
}

#[test]
fn out_of_range_is_refused_with_the_number() {
    let (problem, start) = quadratic(8);
    let source = Analytic::new(gpu(), &problem, 8).unwrap();
    let plain = Ingredients::default();
    for (recipe, words) in [
        (Ingredients { preconditioner: Preconditioner::adam(1.5, 1e-8), ..plain }, "beta2"),
        (Ingredients { preconditioner: Preconditioner::rmsprop(0.9, -1.0), ..plain }, "-1.0"),
        (Ingredients { momentum: Momentum::heavy_ball(f64::NAN), ..plain }, "NaN"),
        (Ingredients { weight_decay: -0.5, ..plain }, "-0.5"),
    ] {
        let result = builder(Method::rk4(), &recipe, 0.1).build(gpu(), source.layout(), &start);
        let message = result.unwrap_err().to_string();
        assert!(message.contains(words), "{message:?} lacks {words:?}");
    }
}

#[test]
fn l2_decay_is_a_gradient_of_its_own() {
    let n = 70;
    let start = noise(n, 6);
    let theta: Vec<f64> = start.iter().map(|&x| f64::from(x)).collect();
    let rmsprop = Preconditioner::rmsprop(0.9, 0.1);
    for method in ["euler", "rk4", "dp5"] {
        for (recipe, step_size) in [
            (Ingredients::default(), StepSize::constant(0.1)),
            (Ingredients { clip: Some(0.5), ..Default::default() }, StepSize::constant(0.1)),
            (Ingredients { preconditioner: rmsprop, ..Default::default() }, {
                StepSize::rescaled_dal(0.1, 1.0)
            }),
            (Ingredients::default(), StepSize::sgd_g2(0.1, 0.9)),
        ] {
            let recipe = Ingredients { l2: 0.3, rule: step_size.rule(), ..recipe };
            let method: Method = method.parse().unwrap();
            let mut source = Analytic::new(gpu(), &Problem::Quartic, n).unwrap();
            let mut optimizer = Optimizer::builder(method.clone())
                .ingredients(recipe)
                .step_size(step_size.clone())
                .build(gpu(), source.layout(), &start)
                .unwrap();
            optimizer.run(&mut source, 8).unwrap();
            optimizer.wait().unwrap();
            let mut book = textbook::Trainer::new(method.tableau(), recipe, &theta);
            let mut gradient = |_: usize, x: &[f64]| Problem::Quartic.gradient(x);
            for report in optimizer.reports() {
                if recipe.rule.is_some() {
                    let h = book.choose(0.0, &mut gradient).0;
                    let found = f64::from(report.h);
                    assert!((found / h - 1.0).abs() < 2e-3, "{method} {recipe:?}: {found}, {h}");
                }
                book.step(report.h.into(), &mut gradient).unwrap();
            }
            let error = relative(&optimizer.params().read().unwrap(), book.theta());
            assert!(error < 1e-5, "{method} {recipe:?}: {error:e}");
        }
    }
}

#[test]
fn the_average_follows_accepted_steps_alone() {
    let n = 300;
    let start = noise(n, 4);
    let inner = Analytic::new(gpu(), &Problem::Quartic, n).unwrap();
    let layout = inner.layout().clone();
    let mut source =
        Planted { inner, attempt: 4, stage: 2, element: 7, value: f32::NAN, in_loss: false };
    for adaptive in [None, Some(kutta::Adaptive::new(1e-4, 1e-6))] {
        let recipe = Ingredients { average: Some(0.9), adaptive, ..Ingredients::default() };
        let mut optimizer = Optimizer::builder("bs3".parse::<Method>().unwrap())
            .ingredients(recipe)
            .step_size(StepSize::constant(0.3))
            .build(gpu(), &layout, &start)
            .unwrap();
        let mut expected: Vec<f64> = start.iter().map(|&x| f64::from(x)).collect();
        for _ in 0..12 {
            optimizer.run(&mut source, 1).unwrap();
            optimizer.wait().unwrap();
            if optimizer.reports()[0].verdict == Verdict::Accepted {
                let theta = optimizer.params().read().unwrap();
                for (x, theta) in expected.iter_mut().zip(theta) {
                    *x = 0.9 * *x + 0.1 * f64::from(theta);
                }
            }
        }
        assert!(optimizer.accepted() < 12);
        let average = optimizer.average().unwrap().read().unwrap();
        assert!(relative(&average, &expected) < 1e-6);
        assert_ne!(average, optimizer.params().read().unwrap());
    }
    let refused = Optimizer::builder(Method::rk4())
        .average(1.0)
        .step_size(StepSize::constant(0.1))
        .build(gpu(), &layout, &start);
    assert!(refused.unwrap_err().to_string().contains("average"));
}
