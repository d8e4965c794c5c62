//! Endurance: random methods, ingredients, storages and sizes, with numbers that are not
//! finite planted, snapshots while training goes on, and resumes. `scripts/soak.sh MINUTES`
//! asks for a time; without it there are a few cases.

#[path = "common/cases.rs"]
mod cases;
mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cases::Case;
use common::{Planted, gpu, noise, relative};
use kutta::checkpoint::Checkpoint;
use kutta::models::Analytic;
use kutta::{
    Adaptive, Controller, Fusion, Guard, Ingredients, Optimizer, Rejection, SpectralRadius,
    StepSize, Verdict,
};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// What was done, and how far off the worst was.
#[derive(Default)]
struct Tally {
    cases: u64,
    refused_to_build: u64,
    attempts: u64,
    accepted: u64,
    refused: u64,
    skipped: u64,
    planted: u64,
    resumes: u64,
    compared: u64,
    largest: f64,
    worst: String,
    methods: BTreeMap<String, u64>,
}

fn bytes(optimizer: &mut Optimizer) -> Vec<u8> {
    optimizer.snapshot().unwrap().to_bytes().unwrap()
}

fn planted(case: &Case, draw: u64) -> Planted<Analytic> {
    Planted {
        inner: case.source(),
        attempt: (draw % 60) as u32,
        stage: 1 + (draw / 60 % 3) as u32,
        element: case.layout().tensors()[0].range().start as u32,
        value: [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][(draw / 180 % 3) as usize],
        in_loss: draw.is_multiple_of(7),
    }
}

/// Trains in pieces with a number planted; resumed at random points it makes the bits of
/// one that ran through, and no θ is ever anything but finite.
fn endure(case: &Case, draw: u64, tally: &mut Tally) {
    // Planted numbers are f32's, so gradients are.
    let mut case = case.clone();
    case.ingredients.stored.gradients = kutta::Storage::F32;
    let built = case.builder().build(gpu(), &case.layout(), &case.start());
    let Ok(mut straight) = built else {
        tally.refused_to_build += 1;
        return;
    };
    let mut broken = case.build();
    let pieces = [1 + draw % 17, 1 + draw / 17 % 33, 1 + draw / 561 % 25];
    let [mut source, mut other] = [planted(&case, draw), planted(&case, draw)];
    for n in pieces {
        let ran = straight.run(&mut source, n);
        let going = straight.snapshot().unwrap();
        let also = broken.run(&mut other, n);
        assert_eq!(ran.is_ok(), also.is_ok(), "{case:?}: {ran:?} {also:?}");
        if ran.is_err() {
            // Too many refusals in a row, which both must tell.
            return;
        }
        let file = bytes(&mut broken);
        // Nothing of the process but the file; the source is another one, too.
        broken = Checkpoint::from_bytes(file).unwrap().resume(gpu()).unwrap();
        other = planted(&case, draw);
        tally.resumes += 1;
        let theta = Checkpoint::from_bytes(going.to_bytes().unwrap()).unwrap().theta();
        assert!(theta.iter().all(|x| x.is_finite()), "{case:?}");
    }
    let [a, b] = [&mut straight, &mut broken].map(bytes);
    if a != b {
        let [a, b] = [a, b].map(|file| Checkpoint::from_bytes(file).unwrap());
        panic!("{case:?} resumed to other bits: {:?}", a.tensors_differing(&b));
    }
    straight.wait().unwrap();
    for report in straight.reports() {
        tally.attempts += 1;
        match report.verdict {
            Verdict::Accepted => tally.accepted += 1,
            Verdict::Refused => tally.refused += 1,
            _ => tally.skipped += 1,
        }
    }
    tally.planted += u64::from(u64::from(source.attempt) < pieces.iter().sum());
    *tally.methods.entry(straight.plan().method().to_owned()).or_default() += 1;
}

/// Against the oracle in f64, with the device's own h and verdicts: what only rounding
/// decides may fall either way.
fn compare(case: &Case, tally: &mut Tally) {
    let mut optimizer = case.build();
    optimizer.run(&mut case.source(), 20).unwrap();
    optimizer.wait().unwrap();
    let start: Vec<f64> = case.start().iter().map(|&x| f64::from(x)).collect();
    let reports = optimizer.reports();
    let (expected, _) = case.book(&start, &reports);
    let error = relative(&optimizer.params().read().unwrap(), &expected);
    // A random method may make θ grow a thousandfold in a step, and with it whatever θ was
    // off by. By how much the oracle tells, from a start that is off by a rounding.
    let rounding = f64::from(f32::EPSILON) / 2.0;
    let signs = noise(start.len(), case.seed ^ 1);
    let off = |(x, sign): (&f64, &f32)| x * (1.0 + rounding * f64::from(sign.signum()));
    let shaken: Vec<f64> = start.iter().zip(&signs).map(off).collect();
    let (shaken, _) = case.book(&shaken, &reports);
    let size = expected.iter().fold(1.0, |m: f64, x| m.max(x.abs()));
    let apart = expected.iter().zip(&shaken).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    let growth = (apart / size / rounding).max(1.0);
    tally.compared += 1;
    if error / growth > tally.largest {
        tally.largest = error / growth;
        let Case { method, ingredients, .. } = case;
        tally.worst = format!("{error:e} where that is {growth:.1}-fold: {method} {ingredients:?}");
    }
}

fn soak(seed: u64, until: impl Fn(&Tally) -> bool) -> Tally {
    let mut seeds = [0; 32];
    seeds[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seeds);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut tally = Tally::default();
    while !until(&tally) {
        let draw = proptest::num::u64::ANY.new_tree(&mut runner).unwrap().current();
        let any = cases::any_case().new_tree(&mut runner).unwrap().current();
        let plain = cases::case().new_tree(&mut runner).unwrap().current();
        endure(&any, draw, &mut tally);
        compare(&plain, &mut tally);
        tally.cases += 1;
    }
    println!(
        "seed {seed}: {} cases of {} methods ({} that cannot be built left out), {} attempts \
         ({} accepted, {} refused, {} skipped), {} numbers planted, {} resumes to the same \
         bits; {} compared with the oracle, largest deviation {:e} for each time that one in \
         the start grows ({})",
        tally.cases,
        tally.methods.len(),
        tally.refused_to_build,
        tally.attempts,
        tally.accepted,
        tally.refused,
        tally.skipped,
        tally.planted,
        tally.resumes,
        tally.compared,
        tally.largest,
        tally.worst,
    );
    println!("on {}", gpu().info().name);
    tally
}

/// Between two f32 of θ's size there are 6e-8; twenty steps of six stages add up.
const LARGEST: f64 = 2e-5;

#[test]
fn a_few_cases_endure() {
    let tally = soak(7, |tally| tally.cases == 12);
    assert!(tally.resumes >= 20 && tally.planted > 0 && tally.compared > 5);
    assert!(tally.largest < LARGEST, "{:e}: {}", tally.largest, tally.worst);
}

/// The first opening fails, so that there is another, and whether there is a third must not
/// depend on which reports have arrived: here other threads have a hand in that.
#[test]
fn whoever_polls_an_opening_that_failed_is_not_repeated_at_will() {
    let tolerance = 0.02;
    let adaptive = Adaptive::new(tolerance, tolerance)
        .controller(Controller::Pi)
        .rejection(Rejection::Skip)
        .bounds(1e-9, 0.1);
    let case = Case {
        method: "rkl2:stages=5".parse().unwrap(),
        tensors: vec![(25, 0), (166, 0)],
        groups: vec![],
        ingredients: Ingredients {
            adaptive: Some(adaptive),
            radius: SpectralRadius::Estimated,
            ..Ingredients::default()
        },
        step_size: Some(StepSize::constant(0.04)),
        fusion: Fusion::Stage,
        guard: Guard::On,
        bindings: 16,
        chunk: 4096,
        per_submit: 1,
        theta_free: false,
        seed: 4,
    };
    // An infinity in attempt 0, stage 1; pieces of 10, 19 and 1 attempts.
    let draw = 3_878_585_682_681_102_840;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let _ = gpu().device().poll(kutta::wgpu::PollType::Poll);
                }
            });
        }
        let endured = std::panic::catch_unwind(|| {
            for _ in 0..20 {
                endure(&case, draw, &mut Tally::default());
            }
        });
        done.store(true, Ordering::Relaxed);
        endured.unwrap();
    });
}

#[test]
#[ignore = "as long as scripts/soak.sh asks for"]
fn endures() {
    let number = |name: &str, usual: u64| {
        std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
    };
    let time = Duration::from_secs(60 * number("KUTTA_SOAK_MINUTES", 60));
    let begun = Instant::now();
    let tally = soak(number("KUTTA_SOAK_SEED", 1), |_| begun.elapsed() >= time);
    assert!(tally.largest < LARGEST, "{:e}: {}", tally.largest, tally.worst);
}
