//! Attempts and verdicts: what the device decides, what the host is told, and
//! what never changes.

mod common;

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::{Failing, Planted, Submitting, gpu, noise};
use kutta::models::Analytic;
use kutta::reference::{Problem, textbook, textbook::Until};
use kutta::{
    Error, Fusion, GradientSource, Init, Method, Momentum, Optimizer, ParamLayout, Preconditioner,
    SpectralRadius, StepSize, Storage, Stored, Tableau, Verdict,
};

fn quartic(n: usize) -> Analytic {
    Analytic::new(gpu(), &Problem::Quartic, n).unwrap()
}

fn optimizer(method: &str, h: f32, theta: &[f32]) -> Optimizer {
    Optimizer::builder(method.parse::<Method>().unwrap())
        .step_size(StepSize::constant(h))
        .build(gpu(), quartic(theta.len()).layout(), theta)
        .unwrap()
}

fn bits(theta: &[f32]) -> Vec<u32> {
    theta.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn a_planted_nan_skips_the_batch_and_training_goes_on() {
    let n = 257;
    let start = noise(n, 4);
    for (method, stages) in [("euler", 1), ("heun", 2), ("ssprk33", 3), ("rk4", 4)] {
        for fusion in [Fusion::None, Fusion::Full] {
            for stage in 1..=stages {
                for (value, element) in [
                    (f32::NAN, 0),
                    (f32::INFINITY, 256),
                    (f32::NEG_INFINITY, 130),
                    (-f32::NAN, 255),
                ] {
                    let mut source = Planted {
                        inner: quartic(n),
                        attempt: 3,
                        stage,
                        element,
                        value,
                        in_loss: false,
                    };
                    let mut optimizer = Optimizer::builder(method.parse::<Method>().unwrap())
                        .step_size(StepSize::constant(0.2))
                        .fusion(fusion)
                        .build(gpu(), source.inner.layout(), &start)
                        .unwrap();
                    let what = format!("{method} {fusion:?}, {value} at stage {stage}, {element}");
                    optimizer.run(&mut source, 3).unwrap();
                    let before = optimizer.params().read().unwrap();
                    optimizer.step(&mut source).unwrap();
                    let after = optimizer.params().read().unwrap();
                    assert_eq!(bits(&before), bits(&after), "{what}");
                    optimizer.run(&mut source, 2).unwrap();
                    assert_ne!(bits(&optimizer.params().read().unwrap()), bits(&after), "{what}");
                    optimizer.wait().unwrap();
                    let reports = optimizer.reports();
                    let skipped = Verdict::Skipped { stage };
                    let verdicts: Vec<_> = reports.iter().map(|r| r.verdict).collect();
                    let ok = Verdict::Accepted;
                    assert_eq!(verdicts, [ok, ok, ok, skipped, ok, ok], "{what}");
                    let last = reports.last().unwrap();
                    assert_eq!((last.accepted, last.skipped, last.batch), (5, 1, 5), "{what}");
                    assert_eq!(last.h, 0.2, "{what}: a fixed step keeps its h");
                }
            }
        }
    }
}

#[test]
fn a_skipped_attempt_is_as_if_it_had_not_been() {
    let start = noise(100, 8);
    let mut source = Planted {
        inner: quartic(100),
        attempt: 2,
        stage: 2,
        element: 50,
        value: f32::NAN,
        in_loss: false,
    };
    let mut planted = optimizer("rk4", 0.3, &start);
    planted.run(&mut source, 6).unwrap();
    let mut clean = optimizer("rk4", 0.3, &start);
    clean.run(&mut quartic(100), 5).unwrap();
    assert_eq!(bits(&planted.params().read().unwrap()), bits(&clean.params().read().unwrap()));
}

#[test]
fn a_loss_that_is_not_finite_skips_the_batch_too() {
    let start = noise(10, 4);
    let mut source = Planted {
        inner: quartic(10),
        attempt: 1,
        stage: 1,
        element: 0,
        value: f32::INFINITY,
        in_loss: true,
    };
    let mut optimizer = optimizer("heun", 0.1, &start);
    optimizer.run(&mut source, 3).unwrap();
    optimizer.wait().unwrap();
    let verdicts: Vec<_> = optimizer.reports().iter().map(|r| r.verdict).collect();
    let ok = Verdict::Accepted;
    assert_eq!(verdicts, [ok, Verdict::Skipped { stage: 1 }, ok]);
}

#[test]
fn run_until_hits_its_end() {
    let start = vec![1.0f32, -0.5];
    let mut source = quartic(2);
    for (h, t_end, steps) in [(0.1f32, 1.0, 10), (0.3, 1.0, 4), (0.7, 7.0, 10), (5.0, 1.0, 1)] {
        let mut optimizer = optimizer("rk4", h, &start);
        optimizer.run_until(&mut source, t_end).unwrap();
        let reports = optimizer.reports();
        assert_eq!(reports.len(), steps, "h = {h}");
        let total: f64 = reports.iter().map(|r| f64::from(r.h)).sum();
        assert!((total - t_end).abs() < 1e-6, "h = {h}: {total}");
        assert!((optimizer.time() - t_end).abs() < 1e-12, "{}", optimizer.time());
        assert!(reports[..steps - 1].iter().all(|r| r.h == h));

        let gradient = &mut |_: usize, x: &[f64]| Problem::Quartic.gradient(x);
        let path = textbook::integrate(
            &Tableau::rk4(),
            f64::from(h),
            &[1.0, -0.5],
            Until::Time(t_end),
            gradient,
        );
        let expected = path.unwrap().pop().unwrap().theta;
        let error = common::relative(&optimizer.params().read().unwrap(), &expected);
        assert!(error < 1e-6, "h = {h}: {error}");

        // On from there, and never back.
        optimizer.run_until(&mut source, t_end + 0.5).unwrap();
        assert!((optimizer.time() - t_end - 0.5).abs() < 1e-12);
        for bad in [t_end, f64::NAN, f64::INFINITY, -1.0] {
            let message = optimizer.run_until(&mut source, bad).unwrap_err().to_string();
            assert!(message.contains("not ahead"), "{message}");
        }
    }
}

#[test]
fn a_thousand_steps_of_time_stay_exact() {
    // 0.001 in f32 is 4.7e-11 too large; summed in f32 alone, time would be
    // off by 1e-5 after 10,000 steps, and the end would be missed.
    let mut source = quartic(2);
    let mut optimizer = optimizer("euler", 0.001, &[1.0, 0.5]);
    optimizer.run_until(&mut source, 10.0).unwrap();
    assert_eq!(optimizer.accepted(), 10_000);
    let reports = optimizer.reports();
    let exact = 9_999.0 * f64::from(0.001f32);
    let last = reports.last().unwrap();
    assert!((last.time - exact).abs() < 1e-9, "{} is not {exact}", last.time);
}

#[test]
fn run_accepted_counts_only_what_moved_theta() {
    let start = noise(10, 1);
    let mut source = Planted {
        inner: quartic(10),
        attempt: 5,
        stage: 1,
        element: 3,
        value: f32::NAN,
        in_loss: false,
    };
    let mut optimizer = optimizer("heun", 0.1, &start);
    optimizer.run_accepted(&mut source, 40).unwrap();
    assert_eq!(optimizer.accepted(), 40);
    let reports = optimizer.reports();
    assert_eq!(reports.len(), 41);
    optimizer.run_accepted(&mut source, 100).unwrap();
    assert_eq!(optimizer.accepted(), 140);
    optimizer.run_accepted(&mut source, 0).unwrap();
    assert_eq!(optimizer.accepted(), 140);
    // The limit is gone afterwards.
    optimizer.run(&mut source, 7).unwrap();
    optimizer.wait().unwrap();
    assert_eq!(optimizer.accepted(), 147);
}

#[test]
fn training_that_gets_nowhere_says_so() {
    // x³ overflows for x = 1e20: every batch is skipped.
    let mut source = quartic(2);
    let mut optimizer = optimizer("euler", 0.1, &[1e20, 1.0]);
    let error = optimizer.run_accepted(&mut source, 3).unwrap_err().to_string();
    assert!(error.contains("attempts in a row were skipped"), "{error}");
    let place = "(the last one: the gradient of stage 1 in theta, elements 0 to 1)";
    assert!(error.contains(place), "{error}");
    assert_eq!(optimizer.params().read().unwrap(), [1e20, 1.0]);
}

#[test]
fn reports_tell_the_whole_story() {
    let start = noise(64, 2);
    let mut source = quartic(64);
    let mut optimizer = optimizer("rk4", 0.05, &start);
    optimizer.run(&mut source, 100).unwrap();
    optimizer.wait().unwrap();
    let reports = optimizer.reports();
    assert_eq!(reports.len(), 100);
    for (i, report) in (0u64..).zip(&reports) {
        assert_eq!((report.attempt, report.batch), (i, i));
        assert_eq!((report.accepted, report.evaluations), (i + 1, 4 * (i + 1)));
        assert_eq!((report.skipped, report.refused, report.error), (0, 0, None));
        assert!((report.time - i as f64 * f64::from(0.05f32)).abs() < 1e-9);
    }
    let losses: Vec<f32> = reports.iter().map(|r| r.loss.unwrap()).collect();
    assert!(losses.windows(2).all(|w| w[1] < w[0]), "a gradient flow descends");
    assert!(optimizer.reports().is_empty());
    assert_eq!(optimizer.dropped_reports(), 0);
}

#[test]
fn a_ring_that_overflows_drops_the_oldest_and_counts_them() {
    let mut source = quartic(2);
    let mut optimizer = optimizer("euler", 1e-4, &[1.0, 0.5]);
    let mut encoder = gpu().device().create_command_encoder(&Default::default());
    for _ in 0..1500 {
        optimizer.record(&mut encoder, &mut source).unwrap();
    }
    gpu().queue().submit([encoder.finish()]);
    optimizer.wait().unwrap();
    let reports = optimizer.reports();
    assert_eq!(reports.last().unwrap().attempt, 1499);
    assert_eq!(optimizer.dropped_reports() + reports.len() as u64, 1500);
    assert!(reports.len() >= 1024);
    assert!(reports.windows(2).all(|w| w[0].attempt < w[1].attempt));
}

#[test]
fn record_never_submits_and_equals_run() {
    let start = noise(500, 6);
    let mut source = quartic(500);
    let mut run = optimizer("rk4", 0.1, &start);
    run.run(&mut source, 4).unwrap();

    let mut recorded = optimizer("rk4", 0.1, &start);
    let mut encoder = gpu().device().create_command_encoder(&Default::default());
    for _ in 0..4 {
        recorded.record(&mut encoder, &mut source).unwrap();
    }
    assert_eq!(recorded.params().read().unwrap(), start, "nothing was submitted yet");
    gpu().queue().submit([encoder.finish()]);
    assert_eq!(recorded.params().read().unwrap(), run.params().read().unwrap());

    // An encoder that is dropped costs nothing but itself.
    for _ in 0..10 {
        let mut dropped = gpu().device().create_command_encoder(&Default::default());
        recorded.record(&mut dropped, &mut source).unwrap();
    }
    recorded.run(&mut source, 1).unwrap();
    recorded.wait().unwrap();
    let attempts: Vec<u64> = recorded.reports().iter().map(|r| r.attempt).collect();
    assert_eq!(attempts, [0, 1, 2, 3, 4]);
}

#[test]
fn measuring_changes_nothing() {
    let start = noise(300, 7);
    let mut source = quartic(300);
    let mut measured = optimizer("heun", 0.1, &start);
    let mut plain = optimizer("heun", 0.1, &start);
    measured.run(&mut source, 2).unwrap();
    let first = measured.measure(&mut source).unwrap();
    let again = measured.measure(&mut source).unwrap();
    assert_eq!((first.loss, first.grad_norm), (again.loss, again.grad_norm));
    measured.run(&mut source, 2).unwrap();
    measured.wait().unwrap();
    plain.run(&mut source, 4).unwrap();
    assert_eq!(measured.params().read().unwrap(), plain.params().read().unwrap());
    let reports = measured.reports();
    assert_eq!(reports.len(), 4);
    assert_eq!((reports[2].loss, reports[2].grad_norm), (first.loss, first.grad_norm));
    assert_eq!(reports[3].evaluations, 2 * 4 + 2);
}

#[test]
fn a_source_that_fails_leaves_the_state_alone() {
    let start = noise(50, 3);
    // RK4: two whole attempts, then an error in the second stage of the third.
    let mut source = Failing { inner: quartic(50), good: 9 };
    let mut optimizer = optimizer("rk4", 0.1, &start);
    let error = optimizer.run(&mut source, 5).unwrap_err();
    assert!(matches!(error, Error::Source(_)), "{error:?}");
    assert!(error.to_string().contains("the disk with the batches is gone"), "{error}");
    source.good = u32::MAX;
    optimizer.run(&mut source, 3).unwrap();
    optimizer.wait().unwrap();
    let attempts: Vec<u64> = optimizer.reports().iter().map(|r| r.attempt).collect();
    assert_eq!(attempts, [0, 1, 2, 3, 4]);
    let mut plain = self::optimizer("rk4", 0.1, &start);
    plain.run(&mut quartic(50), 5).unwrap();
    assert_eq!(bits(&optimizer.params().read().unwrap()), bits(&plain.params().read().unwrap()));
}

#[test]
fn a_thread_that_submits_and_never_polls_holds_nobody_up() {
    const ROUNDS: usize = 2000;
    let (tell, told) = mpsc::channel();
    let trainer = std::thread::spawn(move || {
        let mut optimizer = optimizer("heun", 0.1, &noise(64, 6));
        let mut source = quartic(64);
        for _ in 0..ROUNDS {
            tell.send(()).unwrap();
            optimizer.run(&mut source, 1).unwrap();
            optimizer.wait().unwrap();
        }
    });
    for round in 0..ROUNDS {
        told.recv_timeout(Duration::from_secs(20)).expect("the trainer waits for ever");
        // Now and then this falls between its submit and its callback.
        let since = Instant::now();
        while since.elapsed() < Duration::from_micros(round as u64 % 100) {}
        gpu().queue().submit([]);
    }
    trainer.join().unwrap();
}

#[test]
fn a_source_that_submits_works_with_run_alone() {
    let start = noise(50, 3);
    let mut source = Submitting(quartic(50));
    let mut optimizer = optimizer("rk4", 0.1, &start);
    optimizer.run(&mut source, 5).unwrap();
    let mut plain = self::optimizer("rk4", 0.1, &start);
    plain.run(&mut quartic(50), 5).unwrap();
    assert_eq!(bits(&optimizer.params().read().unwrap()), bits(&plain.params().read().unwrap()));
    let mut encoder = gpu().device().create_command_encoder(&Default::default());
    let error = optimizer.record(&mut encoder, &mut source).unwrap_err().to_string();
    assert!(error.contains("use `step` or `run`"), "{error}");
}

#[test]
fn one_source_serves_several_optimizers() {
    let start = noise(50, 3);
    let mut source = quartic(50);
    let mut pair = [optimizer("rk4", 0.1, &start), optimizer("rk4", 0.1, &start)];
    for _ in 0..4 {
        for optimizer in &mut pair {
            optimizer.step(&mut source).unwrap();
        }
    }
    let [a, b] = pair.map(|o| bits(&o.params().read().unwrap()));
    assert_eq!(a, b);
}

#[test]
fn the_step_size_can_change_between_submits() {
    let mut source = quartic(2);
    let mut optimizer = optimizer("euler", 0.1, &[1.0, 0.5]);
    optimizer.run(&mut source, 2).unwrap();
    optimizer.set_step_size(&StepSize::constant(0.05)).unwrap();
    optimizer.run(&mut source, 2).unwrap();
    assert!(optimizer.set_step_size(&StepSize::constant(f32::NAN)).is_err());
    optimizer.run(&mut source, 1).unwrap();
    optimizer.wait().unwrap();
    let steps: Vec<f32> = optimizer.reports().iter().map(|r| r.h).collect();
    assert_eq!(steps, [0.1, 0.1, 0.05, 0.05, 0.05]);
}

#[test]
fn the_device_follows_a_schedule_by_accepted_steps() {
    let schedules = [
        StepSize::linear(1e-3, 1e-1, 200),
        StepSize::cosine(1e-1, 1e-4, 250),
        StepSize::exponential(1e-1, 0.5, 40),
        StepSize::stairs(1e-1, 0.1, 100),
        StepSize::piecewise(1e-1, &[(50, 2e-2), (150, 1e-3)]),
        StepSize::one_cycle(1e-1, 300),
        StepSize::cosine(1e-1, 1e-3, 200).warm_up(30).then(260, &StepSize::constant(5e-4)),
    ];
    for schedule in schedules {
        let layout = kutta::ParamLayout::flat(2).unwrap();
        // One refused attempt on the way: it is no step of the schedule.
        let mut source = Planted {
            inner: quartic(2),
            attempt: 120,
            stage: 1,
            element: 0,
            value: f32::NAN,
            in_loss: false,
        };
        let mut optimizer = Optimizer::builder(Method::euler())
            .step_size(schedule.clone())
            .build(gpu(), &layout, &[1.0, 0.5])
            .unwrap();
        optimizer.run(&mut source, 300).unwrap();
        optimizer.wait().unwrap();
        let reports = optimizer.reports();
        assert_eq!(reports.len(), 300);
        for report in reports {
            let step = report.attempt - u64::from(report.attempt > 120);
            let (found, expected) = (f64::from(report.h), schedule.at(step));
            let error = (found / expected - 1.0).abs();
            // The lowest points of a cosine are differences, so are off by
            // roundings of the highest.
            let highest = (0..300).map(|n| schedule.at(n)).fold(0.0, f64::max);
            let off = (found - expected).abs() < 2e-7 * highest;
            assert!(error < 2e-6 || off, "{schedule:?}, step {step}: {found}, not {expected}");
        }
    }
}

#[test]
fn a_time_is_reached_by_steps_that_grow_and_shrink() {
    for schedule in [StepSize::linear(1e-3, 5e-2, 50), StepSize::cosine(5e-2, 1e-3, 40)] {
        let mut source = quartic(2);
        let layout = kutta::ParamLayout::flat(2).unwrap();
        let mut optimizer = Optimizer::builder(Method::rk4())
            .step_size(schedule.clone())
            .build(gpu(), &layout, &[1.0, 0.5])
            .unwrap();
        optimizer.run_until(&mut source, 1.5).unwrap();
        assert!((optimizer.time() - 1.5).abs() < 1e-12, "{schedule:?}: {}", optimizer.time());
        // dθ/dt = −θ³ from 1: θ(t) = 1/√(1 + 2t).
        let theta = optimizer.params().read().unwrap();
        assert!((theta[0] - 0.5).abs() < 1e-6, "{schedule:?}: {theta:?}");
    }
}

#[test]
fn bad_input_is_refused_with_numbers() {
    let layout = kutta::ParamLayout::flat(3).unwrap();
    let build = |h: Option<f32>, theta: &[f32], per_submit: u32| {
        let mut builder = Optimizer::builder(Method::rk4()).attempts_per_submit(per_submit);
        if let Some(h) = h {
            builder = builder.step_size(StepSize::constant(h));
        }
        builder.build(gpu(), &layout, theta).map(|_| ()).unwrap_err().to_string()
    };
    let good = [0.0, 1.0, 2.0];
    let cases = [
        (build(None, &good, 32), "step_size"),
        (build(Some(0.0), &good, 32), "0.0"),
        (build(Some(-0.5), &good, 32), "-0.5"),
        (build(Some(f32::NAN), &good, 32), "NaN"),
        (build(Some(f32::INFINITY), &good, 32), "inf"),
        (build(Some(0.1), &good[..2], 32), "2 values for a layout of 3"),
        (build(Some(0.1), &[0.0, f32::NAN, 1.0], 32), "value 1 (in `theta`) is NaN"),
        (build(Some(0.1), &good, 0), "1 to 1024"),
        (build(Some(0.1), &good, 1025), "1025"),
    ];
    for (message, words) in cases {
        assert!(message.contains(words), "{message:?} lacks {words:?}");
    }
    assert!(kutta::ParamLayout::flat(0).is_err());
    let unknown = "rk5".parse::<Method>().unwrap_err().to_string();
    assert!(unknown.contains("rk4") && unknown.contains("ssprk33"), "{unknown}");
}

#[test]
fn a_vector_beyond_the_largest_buffer_is_refused_with_numbers() {
    let gpu = common::default_limits_gpu();
    let most = gpu.limits().max_buffer_size;
    let n = (most / 4) as usize + 64;
    let error = Analytic::new(gpu, &Problem::Quartic, n).map(|_| ());
    // The problem itself keeps no vector; the optimizer's first one is too large.
    assert!(error.is_ok(), "{error:?}");
    let layout = kutta::ParamLayout::flat(n).unwrap();
    let theta = vec![0.0; n];
    let error = Optimizer::builder(Method::euler())
        .step_size(StepSize::constant(0.1))
        .build(gpu, &layout, &theta)
        .map(|_| ())
        .unwrap_err()
        .to_string();
    assert!(error.contains(&most.to_string()) && error.contains("max_buffer_size"), "{error}");
}

#[test]
fn an_adapter_that_is_not_there_is_named() {
    let options =
        kutta::device::GpuOptions { adapter: Some("no such adapter".into()), ..Default::default() };
    let error = kutta::Gpu::with_options(&options).unwrap_err().to_string();
    assert!(error.contains("no such adapter") && error.contains(&gpu().info().name), "{error}");
}

/// The tensor, the stage and the element of what is planted, wherever it is, however the
/// vector is cut and stored, and whichever kernel looks.
#[test]
fn a_report_names_the_tensor_that_was_not_finite() {
    // 10,240 elements, in more than two spans of workgroups.
    let layout = ParamLayout::builder()
        .tensor("first", &[5], Init::Zeros)
        .tensor("wide", &[90, 100], Init::Zeros)
        .tensor("last", &[1_081], Init::Zeros)
        .build()
        .unwrap();
    let [wide, last] = ["wide", "last"].map(|name| layout.range(name).unwrap());
    let places = [
        (0, "first", 0..4),
        (4, "first", 4..5),
        (wide.start, "wide", 0..4),
        (wide.end - 1, "wide", 8_996..9_000),
        (last.start + 6, "last", 4..8),
        (last.end - 1, "last", 1_080..1_081),
    ];
    let start = noise(layout.len(), 4);
    let plain = |name: &str| Optimizer::builder(name.parse::<Method>().unwrap());
    let adam = |name: &str| {
        plain(name).preconditioner(Preconditioner::adam(0.9, 1e-6)).momentum(Momentum::ema(0.9))
    };
    let narrow = Stored::all(Storage::Bf16);
    let builders = [
        ("Euler", plain("euler"), 1),
        ("Euler, clipped", plain("euler").clip(1.0), 1),
        ("Euler with Adam", adam("euler"), 1),
        ("RK4", plain("rk4"), 4),
        ("RK4, unfused", plain("rk4").fusion(Fusion::None), 4),
        ("RK4 with Adam", adam("rk4"), 4),
        ("RK4 with Adam, narrow", adam("rk4").storage(narrow), 4),
        ("DP5", plain("dp5"), 6),
        ("low storage", plain("williamson3"), 3),
        ("low storage with Adam", adam("williamson3"), 3),
        ("RKC2", plain("rkc2:stages=4"), 4),
    ];
    for (name, builder, stages) in builders {
        for most in [4_096, layout.len()] {
            for (element, tensor, elements) in places.clone() {
                for stage in BTreeSet::from([1, stages]) {
                    let what = format!("{name}, {element} at stage {stage}, {most} a binding");
                    let inner = Analytic::new(gpu(), &Problem::Quartic, layout.len()).unwrap();
                    fn planted<S>(inner: S, stage: u32, element: u32) -> Planted<S> {
                        Planted {
                            inner,
                            attempt: if stage == NEXT { 2 } else { 1 },
                            stage: if stage == NEXT { 1 } else { stage },
                            element,
                            value: f32::NAN,
                            in_loss: false,
                        }
                    }
                    // Stage 1 of the attempt behind it.
                    const NEXT: u32 = 0;
                    // A later element, and a later stage's first, have no say.
                    let later = (element + 300).min(last.end - 1) as u32;
                    let inner = planted(inner, NEXT, last.end as u32 - 1);
                    let mut inner = planted(inner, stage, later);
                    let mut outer;
                    let source: &mut dyn GradientSource = match stage < stages {
                        true => {
                            outer = planted(&mut inner as &mut dyn GradientSource, stages, 0);
                            &mut outer
                        }
                        false => &mut inner,
                    };
                    let mut source = planted(source, stage, element as u32);
                    let mut optimizer = builder
                        .clone()
                        .step_size(StepSize::constant(0.01))
                        .spectral_radius(SpectralRadius::Given(1.0))
                        .elements_per_binding(most)
                        .build(gpu(), &layout, &start)
                        .unwrap();
                    optimizer.run(&mut source, 4).unwrap();
                    optimizer.wait().unwrap();
                    let reports = optimizer.reports();
                    for (report, stage, tensor, elements) in [
                        (&reports[1], stage, tensor, elements.clone()),
                        (&reports[2], 1, "last", 1_080..1_081),
                    ] {
                        assert_eq!(report.verdict, Verdict::Skipped { stage }, "{what}");
                        let found = report.not_finite.as_ref().expect(&what);
                        let found = (found.stage, found.tensor.as_str(), found.elements.clone());
                        assert_eq!(found, (stage, tensor, elements), "{what}");
                    }
                    assert!([0, 3].iter().all(|&i| reports[i].not_finite.is_none()), "{what}");
                }
            }
        }
    }
}
