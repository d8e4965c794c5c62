//! Half-width storage against f32, within bounds that follow from the formats' unit
//! roundoffs, and that truncation in place of rounding would break.

mod common;

use common::{default_limits_gpu, gpu, methods, noise, writing};
use kutta::data::{Batches, Inputs, Samples, Targets};
use kutta::models::{
    Activation, Analytic, Encoding, HashGrid, Loss, Mlp, NeuralField, Points, Products, Target,
};
use kutta::reference::{Problem, textbook};
use kutta::{
    Adaptive, Evaluation, Gpu, GradientSource, Method, Momentum, Optimizer, Preconditioner,
    Purpose, Rounding, SourceError, SpectralRadius, StepSize, Storage, Stored, Verdict,
};

const NARROW: [Storage; 2] = [Storage::F16, Storage::Bf16];

fn gradients(storage: Storage) -> Stored {
    Stored { gradients: storage, ..Stored::default() }
}

fn builder(method: &Method, stored: Stored, h: f32) -> kutta::optimizer::Builder {
    Optimizer::builder(method.clone())
        .step_size(StepSize::constant(h))
        .spectral_radius(SpectralRadius::Given(1.0))
        .storage(stored)
}

fn bits(theta: &[f32]) -> Vec<u32> {
    theta.iter().map(|x| x.to_bits()).collect()
}

/// θ after so many attempts.
fn after(
    builder: kutta::optimizer::Builder,
    source: &mut Analytic,
    start: &[f32],
    steps: u64,
) -> Vec<f32> {
    let mut optimizer = builder.build(gpu(), Analytic::layout(source), start).unwrap();
    optimizer.run(source, steps).unwrap();
    optimizer.params().read().unwrap()
}

/// Away from zero, where a step of Adam's would be many times what is left to go.
fn away(n: usize, seed: u64) -> Vec<f32> {
    noise(n, seed).iter().map(|x| 0.7 * x + 0.3f32.copysign(*x)).collect()
}

/// How far one step can be off, element by element, if each gradient is off by u of
/// itself: with L the eigenvalue, δkᵢ = u |kᵢ| + L h Σ |aᵢⱼ| δkⱼ and δθ = h Σ |bᵢ| δkᵢ. And
/// how large the terms of a point are, for what f32 rounds.
fn bound(method: &Method, lambda: f64, theta: f64, h: f64, u: f64) -> f64 {
    let tableau = method.tableau();
    let mut k: Vec<f64> = Vec::new();
    let mut off: Vec<f64> = Vec::new();
    let mut largest = theta.abs();
    let sum = |row: &[f64], k: &[f64]| row.iter().zip(k).map(|(a, k)| a * k).sum::<f64>();
    let size = |row: &[f64], k: &[f64]| row.iter().zip(k).map(|(a, k)| (a * k).abs()).sum::<f64>();
    for row in tableau.rows() {
        let here = lambda * (theta - h * sum(row, &k));
        let carried = lambda * h * size(row, &off);
        largest = largest.max(h * size(row, &k));
        k.push(here);
        off.push(u * here.abs() + carried);
    }
    h * size(tableau.b(), &off) + 4e-7 * largest
}

#[test]
fn one_step_of_every_method_is_off_by_no_more_than_its_gradients() {
    let n = 4 * 1021;
    let lambdas: Vec<f64> = (0..n).map(|i| 0.25 + (i % 97) as f64 / 97.0).collect();
    let problem = Problem::quadratic(&lambdas).unwrap();
    let mut source = Analytic::new(gpu(), &problem, n).unwrap();
    let start = noise(n, 3);
    let h = 0.5f32;
    for method in methods() {
        let exact = textbook::step(
            method.tableau(),
            f64::from(h),
            &start.iter().map(|&x| f64::from(x)).collect::<Vec<_>>(),
            &mut |_, x| problem.gradient(x),
        )
        .unwrap()
        .theta;
        for storage in NARROW {
            for writes_narrow in [false, true] {
                let builder =
                    builder(&method, gradients(storage), h).source(&writing(writes_narrow));
                let found = after(builder, &mut source, &start, 1);
                let mut moved = 0;
                for i in 0..n {
                    let u = storage.unit_roundoff();
                    let most = bound(&method, lambdas[i], f64::from(start[i]), f64::from(h), u);
                    let off = (f64::from(found[i]) - exact[i]).abs();
                    assert!(off <= most, "{method} {storage} {i}: off by {off:e}, not {most:e}");
                    moved += usize::from(off > 1e-6);
                }
                // It is narrow indeed: in f32 nothing would be off so far.
                let registers = matches!(method, Method::LowStorage(_) | Method::Stabilised(_));
                assert!(moved > n / 4 || registers, "{method} {storage}: {moved}");
            }
        }
    }
}

#[test]
fn rounding_does_not_drift() {
    // Truncated gradients would all be too small: ever a little more behind.
    let n = 4096;
    let problem = Problem::quadratic(&vec![1.0; n]).unwrap();
    let mut source = Analytic::new(gpu(), &problem, n).unwrap();
    let start: Vec<f32> = noise(n, 9).iter().map(|x| x.abs() + 0.5).collect();
    let (h, steps) = (0.02f32, 50);
    let exact: f64 = start.iter().map(|&x| f64::from(x)).sum::<f64>() * (1.0f64 - 0.02).powi(steps);
    for storage in NARROW {
        let builder = builder(&Method::euler(), gradients(storage), h);
        let found = after(builder, &mut source, &start, steps as u64);
        let sum: f64 = found.iter().map(|&x| f64::from(x)).sum();
        let off = (sum - exact).abs() / exact;
        // Σ h u in one direction would be 50 · 0.02 · u = u; rounding to nearest has no
        // direction, and 4096 elements leave a sixty-fourth.
        assert!(off < storage.unit_roundoff() / 8.0, "{storage}: {off:e}");
    }
}

#[test]
fn who_packs_changes_no_bit() {
    let n = 5000;
    for storage in NARROW {
        for method in [Method::euler(), Method::rk4(), "ssprk33".parse().unwrap()] {
            let mut source = Analytic::new(gpu(), &Problem::Quartic, n).unwrap();
            let [packed, written] = [false, true].map(|writes| {
                let builder =
                    builder(&method, gradients(storage), 0.2).l2(0.1).source(&writing(writes));
                bits(&after(builder, &mut source, &noise(n, 5), 7))
            });
            assert_eq!(packed, written, "{method} {storage}");
        }
    }
}

#[test]
fn the_last_gradient_serves_the_next_attempt_in_every_storage() {
    // One attempt in a submit evaluates afresh; of several, only the first does.
    let n = 300;
    for name in ["bs3", "dp5", "tsit5"] {
        let method: Method = name.parse().unwrap();
        for storage in NARROW {
            for (writes_narrow, l2) in [(false, 0.0), (true, 0.0), (false, 0.1), (true, 0.1)] {
                let [afresh, reused] = [1, 16].map(|attempts| {
                    let mut source = Analytic::new(gpu(), &Problem::Quartic, n).unwrap();
                    let builder = builder(&method, gradients(storage), 0.05)
                        .adaptive(Adaptive::new(1e-2, 1e-3))
                        .l2(l2)
                        .source(&writing(writes_narrow))
                        .attempts_per_submit(attempts);
                    bits(&after(builder, &mut source, &noise(n, 5), 12))
                });
                assert_eq!(reused, afresh, "{name} {storage} {writes_narrow} {l2}");
            }
        }
    }
}

fn preconditioners() -> [Preconditioner; 6] {
    [
        Preconditioner::None,
        Preconditioner::adagrad_rescaled(),
        Preconditioner::adagrad(1e-8),
        Preconditioner::rmsprop(0.9, 1e-6),
        Preconditioner::adam(0.99, 1e-6),
        Preconditioner::amsgrad(0.9, 1e-6),
    ]
}

#[test]
fn narrow_state_is_off_by_its_roundoff() {
    let n = 1030;
    let (h, steps) = (0.01f32, 8);
    let start = away(n, 11);
    let momenta =
        [Momentum::None, Momentum::heavy_ball(0.5), Momentum::nesterov(0.5), Momentum::ema(0.9)];
    for method in [Method::euler(), Method::heun(), "carpenter-kennedy".parse().unwrap()] {
        for preconditioner in preconditioners() {
            for momentum in momenta {
                let mut source =
                    Analytic::new(gpu(), &Problem::quadratic(&vec![1.0; n]).unwrap(), n).unwrap();
                let mut theta = |stored| {
                    let builder = builder(&method, stored, h)
                        .preconditioner(preconditioner)
                        .momentum(momentum);
                    after(builder, &mut source, &start, steps)
                };
                let wide = theta(Stored::default());
                for storage in NARROW {
                    let state = Stored { momentum: storage, second: storage, ..Stored::default() };
                    for stored in [state, state.rounding(Rounding::Stochastic)] {
                        let narrow = theta(stored);
                        // D and m are off by u for each step that they were stored
                        // in, twice that if rounded at random, and a step moves θ by
                        // no more than h D |g| / (1 − β) ≤ 4 h of a |g| ≤ 1, where D is 1,
                        // else 8 h.
                        let u = storage.unit_roundoff();
                        let twice = if stored.rounding == Rounding::Stochastic { 2.0 } else { 1.0 };
                        let per_step = 8.0 * f64::from(h) * u * twice;
                        let most = per_step * (steps * (steps + 1) / 2) as f64 + 1e-6;
                        let pairs = narrow.iter().zip(&wide);
                        let off = pairs.map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
                        let what = format!("{method} {preconditioner} {momentum} {stored}");
                        assert!(off <= most, "{what}: off by {off:e}, not {most:e}");
                        let state =
                            preconditioner != Preconditioner::None || momentum != Momentum::None;
                        // f16 keeps what a first step of Adam makes to 2⁻¹¹.
                        assert_eq!(off > 0.0, state, "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_second_moment_in_f16_knows_gradients_whose_squares_it_could_not_hold() {
    let n = 64;
    let start = vec![1e-5f32; n];
    let mut source = Analytic::new(gpu(), &Problem::quadratic(&vec![1.0; n]).unwrap(), n).unwrap();
    let stored = Stored { second: Storage::F16, ..Stored::default() };
    let adam = |stored| {
        builder(&Method::euler(), stored, 1e-6).preconditioner(Preconditioner::rmsprop(0.5, 1e-12))
    };
    let wide = after(adam(Stored::default()), &mut source, &start, 3);
    let narrow = after(adam(stored), &mut source, &start, 3);
    // √v is 7e-6, in multiples of 2⁻²⁴ = 6e-8: within 0.5 % of itself.
    for (a, b) in narrow.iter().zip(&wide) {
        assert!((a - b).abs() <= 0.01 * (start[0] - b).abs(), "{a}, not {b}");
    }
}

#[test]
fn stochastic_rounding_trains_where_nearest_stalls() {
    // Gradients of Σ x⁴/4 fall by orders of magnitude. With β₂ = 0.999 v should follow,
    // but what it loses in a step, a thousandth, is less than bf16 can tell.
    let n = 256;
    let start = vec![2.0f32; n];
    let mut source = Analytic::new(gpu(), &Problem::Quartic, n).unwrap();
    let mut loss = |stored: Stored| {
        let builder = builder(&Method::euler(), stored, 0.003)
            .preconditioner(Preconditioner::adam(0.999, 1e-8))
            .momentum(Momentum::ema(0.9))
            .attempts_per_submit(500);
        let theta = after(builder, &mut source, &start, 12_000);
        theta.iter().map(|&x| f64::from(x).powi(4) / 4.0).sum::<f64>() / n as f64
    };
    let state = Stored { momentum: Storage::Bf16, second: Storage::Bf16, ..Stored::default() };
    let wide = loss(Stored::default());
    let nearest = loss(state);
    let stochastic = loss(state.rounding(Rounding::Stochastic));
    println!(
        "Adam after 12,000 steps: f32 {wide:.2e}, nearest {nearest:.2e}, stochastic {stochastic:.2e}"
    );
    assert!(nearest > 100.0 * wide, "nearest {nearest:e}, f32 {wide:e}");
    assert!(stochastic < 4.0 * wide + 1e-12, "stochastic {stochastic:e}, f32 {wide:e}");
}

/// A source that writes gradients itself, and in one of its evaluations of one stage
/// puts a number where it wants.
struct Planted {
    inner: Analytic,
    stage: u32,
    element: usize,
    value: f32,
    left: u32,
}

impl GradientSource for Planted {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        self.inner.evaluate(at)?;
        if at.purpose() != Purpose::Stage(self.stage) {
            return Ok(());
        }
        self.left = self.left.wrapping_sub(1);
        if self.left != 0 {
            return Ok(());
        }
        let half = match at.storage() {
            Storage::F32 => None,
            Storage::F16 => Some(half::f16::from_f32(self.value).to_bits()),
            Storage::Bf16 => Some(half::bf16::from_f32(self.value).to_bits()),
        };
        let (size, word) = match half {
            None => (4, self.value.to_bits()),
            Some(half) if self.element % 2 == 1 => (2, u32::from(half) << 16),
            Some(half) => (2, u32::from(half)),
        };
        let offset = (self.element * size) as u64 & !3;
        let word = word_buffer(at.gpu(), word);
        let gradient = at.gradient().buffer().clone();
        at.encoder().copy_buffer_to_buffer(&word, 0, &gradient, offset, 4);
        Ok(())
    }

    fn writes(&self, storage: Storage) -> bool {
        self.inner.writes(storage)
    }
}

fn word_buffer(gpu: &Gpu, word: u32) -> kutta::wgpu::Buffer {
    use kutta::wgpu::BufferUsages as Usage;
    let buffer = gpu.buffer("word", 4, Usage::COPY_SRC | Usage::COPY_DST).unwrap();
    gpu.queue().write_buffer(&buffer, 0, &word.to_le_bytes());
    buffer
}

#[test]
fn what_is_not_finite_is_refused_in_every_storage() {
    let n = 257;
    let start = noise(n, 4);
    for name in ["euler", "heun", "ssprk33", "rk4", "dp5", "carpenter-kennedy", "rkc2:stages=5"] {
        let method: Method = name.parse().unwrap();
        for storage in NARROW {
            for (writes_narrow, stage) in [false, true]
                .into_iter()
                .flat_map(|w| (1..=method.stages() as u32).map(move |s| (w, s)))
            {
                // In each lane of a vec4.
                for (value, element) in [
                    (f32::NAN, 255),
                    (f32::INFINITY, 256),
                    (-f32::INFINITY, 0),
                    (f32::NAN, 1),
                    (f32::INFINITY, 254),
                ] {
                    let inner = Analytic::new(gpu(), &Problem::Quartic, n).unwrap();
                    let mut source = Planted { inner, stage, element, value, left: 3 };
                    let mut optimizer = builder(&method, Stored::all(storage), 0.1)
                        .source(&writing(writes_narrow))
                        .build(gpu(), source.inner.layout(), &start)
                        .unwrap();
                    optimizer.run(&mut source, 2).unwrap();
                    let before = optimizer.params().read().unwrap();
                    optimizer.step(&mut source).unwrap();
                    let after = optimizer.params().read().unwrap();
                    let what = format!("{name} {storage} {writes_narrow} {stage} {value}");
                    // A stage that the step does not read hurts nobody.
                    let skipped = bits(&before) == bits(&after);
                    optimizer.run(&mut source, 1).unwrap();
                    optimizer.wait().unwrap();
                    let verdicts: Vec<_> = optimizer.reports().iter().map(|r| r.verdict).collect();
                    let ok = Verdict::Accepted;
                    let third = Verdict::Skipped { stage };
                    let unread = name == "dp5" && stage == 7;
                    match unread {
                        true => assert!(!verdicts.contains(&third), "{what}"),
                        false => assert_eq!(verdicts, [ok, ok, third, ok], "{what}"),
                    }
                    assert!(skipped || unread, "{what}");
                }
            }
        }
    }
}

#[test]
fn a_judged_attempt_refuses_what_is_not_finite() {
    let n = 130;
    let start = noise(n, 4);
    for storage in NARROW {
        for stage in 2..=7 {
            let inner = Analytic::new(gpu(), &Problem::Quartic, n).unwrap();
            let mut source = Planted { inner, stage, element: 127, value: f32::NAN, left: 2 };
            let mut optimizer = builder(&"dp5".parse().unwrap(), Stored::all(storage), 0.05)
                .adaptive(Adaptive::new(0.1, 0.1))
                .source(&writing(true))
                .build(gpu(), source.inner.layout(), &start)
                .unwrap();
            optimizer.run(&mut source, 3).unwrap();
            optimizer.wait().unwrap();
            let verdicts: Vec<_> = optimizer.reports().iter().map(|r| r.verdict).collect();
            let ok = Verdict::Accepted;
            assert_eq!(verdicts, [ok, Verdict::Refused, ok], "{storage} {stage}");
        }
    }
}

#[test]
fn a_gradient_beyond_the_range_is_clamped_and_not_refused() {
    let problem = Problem::quadratic(&[1e6, 1.0]).unwrap();
    let mut source = Analytic::new(gpu(), &problem, 2).unwrap();
    let builder = builder(&Method::euler(), gradients(Storage::F16), 1e-6);
    let found = after(builder, &mut source, &[1.0, 1.0], 1);
    assert_eq!(found[0], 1.0 - 1e-6f32 * 65504.0);
}

fn everything(method: &Method, stored: Stored) -> kutta::optimizer::Builder {
    let judged = method.tableau().b_hat().is_some() && method.tableau().name() != "rkc2";
    let builder = builder(method, stored, 0.05)
        .preconditioner(Preconditioner::amsgrad(0.9, 1e-6))
        .momentum(Momentum::ema(0.9))
        .l2(0.01);
    if judged { builder.adaptive(Adaptive::new(1e-2, 1e-3)) } else { builder }
}

#[test]
fn chunks_and_repetition_change_no_bit() {
    for n in [1, 3, 5, 63, 65, 4097, 65_537] {
        let start = away(n, 6);
        for name in ["euler", "rk4", "bs3", "carpenter-kennedy", "rkc2:stages=5"] {
            let method: Method = name.parse().unwrap();
            for storage in NARROW {
                let stored = Stored::all(storage).rounding(Rounding::Stochastic);
                let theta = |most: usize, writes_narrow| {
                    let mut source = Analytic::new(gpu(), &Problem::Quartic, n).unwrap();
                    let builder = everything(&method, stored).source(&writing(writes_narrow));
                    let builder = builder.elements_per_binding(most);
                    bits(&after(builder, &mut source, &start, 4))
                };
                let whole = theta(usize::MAX, true);
                assert_eq!(theta(4096, true), whole, "{name} {storage} {n}: cut in chunks");
                assert_eq!(theta(usize::MAX, true), whole, "{name} {storage} {n}: again");
                assert_ne!(whole, bits(&start), "{name} {storage} {n}");
                if n == 65_537 {
                    let packed = theta(usize::MAX, false);
                    assert_eq!(theta(4096, false), packed, "{name} {storage} {n}: packed");
                }
            }
        }
    }
}

#[test]
fn webgpu_default_limits_change_no_bit() {
    let n = 10_000;
    let start = away(n, 8);
    for name in ["rk4", "bs3", "rkc2:stages=5"] {
        let method: Method = name.parse().unwrap();
        let stored = Stored::all(Storage::Bf16).rounding(Rounding::Stochastic);
        let [own, default] = [gpu(), default_limits_gpu()].map(|gpu| {
            let mut source = Analytic::new(gpu, &Problem::Quartic, n).unwrap();
            let builder = everything(&method, stored).elements_per_binding(5000);
            let mut optimizer = builder.build(gpu, source.layout(), &start).unwrap();
            optimizer.run(&mut source, 4).unwrap();
            bits(&optimizer.params().read().unwrap())
        });
        assert_eq!(own, default, "{name}");
    }
}

#[test]
fn parameter_groups_lie_beside_narrow_state() {
    use kutta::{Group, Init, ParamLayout};
    let layout = ParamLayout::builder()
        .tensor_in_group(1, "frozen", &[70], Init::Zeros)
        .tensor("free", &[4100], Init::Zeros)
        .build()
        .unwrap();
    let n = layout.len();
    let source = Analytic::new(gpu(), &Problem::Quartic, n).unwrap();
    let mut source = source.with_layout(&layout).unwrap();
    let mut start = vec![0.0; n];
    start[layout.range("frozen").unwrap()].fill(1.0);
    start[layout.range("free").unwrap()].fill(1.0);
    let groups = [Group::default(), Group::frozen()];
    let mut moved = Vec::new();
    for storage in [Storage::F32, Storage::F16, Storage::Bf16] {
        let stored = Stored { second: storage, ..Stored::default() };
        let mut optimizer = builder(&Method::heun(), stored, 0.01)
            .preconditioner(Preconditioner::adam(0.9, 1e-8))
            .groups(&groups)
            .build(gpu(), &layout, &start)
            .unwrap();
        optimizer.run(&mut source, 4).unwrap();
        assert_eq!(optimizer.params().tensor("frozen").unwrap(), [1.0; 70], "{storage}");
        let free = optimizer.params().tensor("free").unwrap();
        assert!(free.iter().all(|x| *x == free[0] && *x < 1.0), "{storage}");
        moved.push(free[0]);
    }
    for (x, u) in moved.iter().zip([0.0, 2f32.powi(-11), 2f32.powi(-8)]) {
        assert!((x - moved[0]).abs() <= 4.0 * u * (1.0 - moved[0]), "{x}, not {}", moved[0]);
    }
}

#[test]
fn differences_of_gradients_are_those_of_f32() {
    let n = 500;
    let lambdas: Vec<f64> = (0..n).map(|i| 1.0 + 9.0 * i as f64 / n as f64).collect();
    let problem = Problem::quadratic(&lambdas).unwrap();
    let start = noise(n, 2);
    // Power iteration, and a curvature by a probe and by the stages.
    for (name, step) in [
        ("rkc2:stages=5", "0.05"),
        ("heun", "dal:p=1,from=probe"),
        ("heun", "dal:p=1,from=stages"),
        ("rk4", "stable:h-max=0.1"),
    ] {
        let reports = |stored| {
            let mut source = Analytic::new(gpu(), &problem, n).unwrap();
            let mut optimizer = Optimizer::builder(name.parse::<Method>().unwrap())
                .step_size(step.parse().unwrap())
                .storage(stored)
                .source(&writing(true))
                .build(gpu(), source.layout(), &start)
                .unwrap();
            optimizer.run(&mut source, 30).unwrap();
            optimizer.wait().unwrap();
            optimizer.reports()
        };
        let wide = reports(Stored::default());
        for storage in NARROW {
            for (a, b) in reports(gradients(storage)).iter().zip(&wide) {
                let close = |a: Option<f32>, b: Option<f32>, most: f32| match (a, b) {
                    (Some(a), Some(b)) => (a - b).abs() <= most * b.abs(),
                    (None, None) => true,
                    _ => false,
                };
                let what = format!("{name} {step} {storage}: {a:?}, not {b:?}");
                assert!(close(a.spectral_radius, b.spectral_radius, 0.02), "{what}");
                assert!(close(a.curvature, b.curvature, 0.02), "{what}");
            }
        }
    }
}

#[test]
fn a_measurement_sees_the_packed_gradient() {
    let n = 300;
    let start = noise(n, 1);
    for stored in [Stored::default(), gradients(Storage::F16), gradients(Storage::Bf16)] {
        for writes_narrow in [false, true] {
            let mut source = Analytic::new(gpu(), &Problem::Quartic, n).unwrap();
            let mut optimizer = builder(&Method::rk4(), stored, 0.1)
                .source(&writing(writes_narrow))
                .build(gpu(), source.layout(), &start)
                .unwrap();
            let report = optimizer.measure(&mut source).unwrap();
            let square = |x: &f32| f64::from(*x).powi(6);
            let norm = start.iter().map(square).sum::<f64>().sqrt();
            let off = (f64::from(report.grad_norm.unwrap()) - norm).abs() / norm;
            assert!(off <= stored.gradients.unit_roundoff() + 1e-6, "{stored}: {off:e}");
        }
    }
}

#[test]
fn a_source_that_cannot_is_told_the_way_out() {
    struct Wide(Analytic);
    impl GradientSource for Wide {
        fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
            self.0.evaluate(at)
        }
    }
    let mut source = Wide(Analytic::new(gpu(), &Problem::Quartic, 8).unwrap());
    let mut build = |writes_narrow| {
        builder(&Method::rk4(), gradients(Storage::F16), 0.1)
            .source(&writing(writes_narrow))
            .build(gpu(), source.0.layout(), &[0.5; 8])
            .unwrap()
            .run(&mut source, 1)
    };
    build(false).unwrap();
    let message = build(true).unwrap_err().to_string();
    assert!(message.contains("f16") && message.contains("`.source(&source)`"), "{message}");
}

fn network(widths: &[usize], products: Products) -> Mlp {
    let (inputs, outputs) = (widths[0], widths[widths.len() - 1]);
    let n = 37;
    let labels = (0..n).map(|i| (i % outputs) as u8).collect();
    let targets = Targets::Labels { labels, classes: outputs };
    let samples = Samples::new(Inputs::F32(noise(n * inputs, 3)), inputs, targets).unwrap();
    let batches = Batches::new(samples, 10).unwrap().seed(5);
    Mlp::builder(widths)
        .activation(Activation::Tanh)
        .loss(Loss::MeanSquare)
        .products(products)
        .build(default_limits_gpu(), batches)
        .unwrap()
}

/// θ after some steps, packed by the source and by kutta; these must be the same bits. On a
/// device whose bindings begin at multiples of 256 bytes, as a browser's do.
fn packed_by_both<S: GradientSource>(
    method: &Method,
    stored: Stored,
    (layout, start): (&kutta::ParamLayout, &[f32]),
    mut source: impl FnMut() -> S,
) {
    let [theirs, ours] = [true, false].map(|writes_narrow| {
        let mut optimizer = builder(method, stored, 0.1)
            .source(&writing(writes_narrow))
            .build(default_limits_gpu(), layout, start)
            .unwrap();
        optimizer.run(&mut source(), 12).unwrap();
        let theta = optimizer.params().read().unwrap();
        let gaps = theta.iter().enumerate().filter(|&(i, _)| layout.locate(i).is_none());
        assert!(gaps.into_iter().all(|(_, x)| x.to_bits() == 0), "padding is not zero");
        assert_ne!(bits(&theta), bits(start));
        theta
    });
    assert_eq!(bits(&theirs), bits(&ours), "{method}, {stored}");
}

#[test]
fn networks_and_fields_write_narrow_gradients_as_kutta_packs_them() {
    // Whole and ragged layers, at even and odd blocks of 64 elements, a single output and
    // more rows of a ragged one than a tile has.
    let widths: [&[usize]; 4] = [&[5, 7, 8, 3], &[6, 64, 20, 5], &[3, 12, 1], &[70, 67, 33, 4]];
    let method = Method::rk4();
    for storage in [Storage::F16, Storage::Bf16] {
        for products in [Products::Register, Products::Workgroup, Products::Sliced] {
            for widths in widths {
                let mlp = network(widths, products);
                let start = mlp.initial(9);
                packed_by_both(&method, gradients(storage), (mlp.layout(), &start), || {
                    network(widths, products)
                });
            }
        }
        for (dimensions, features) in [(2, 1), (2, 3), (3, 2)] {
            let grid = HashGrid { levels: 3, features, log2_table: 6, coarsest: 3, growth: 1.7 };
            let field = || {
                let target = match dimensions {
                    2 => Target::image([8, 9], 2, noise(144, 8)),
                    _ => Target::volume([5, 6, 7], 2, noise(420, 8)),
                };
                let target = target.unwrap();
                NeuralField::builder(Encoding::HashGrid(grid))
                    .hidden(&[9])
                    .points(Points::Texels(50))
                    .build(default_limits_gpu(), &target)
                    .unwrap()
            };
            let start = field().initial(2);
            let layout = field().layout().clone();
            packed_by_both(&method, gradients(storage), (&layout, &start), field);
        }
    }
}
