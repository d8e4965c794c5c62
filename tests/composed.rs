//! What is composed is right: sources, wrappers, methods, ingredients, step rules, storages
//! and ways of driving, by pairs, each against a computation in f64 that shares no code with
//! the device side and knows no plan.
//!
//! A case that fails prints itself as one line. `KUTTA_COMPOSED` runs one alone, by that line
//! or by `seed:index`:
//!
//! ```text
//! KUTTA_COMPOSED='source=own wrapper=per-stage method=rk4 seed=3' \
//!     cargo test --release --test composed -- --nocapture alone
//! ```

#[path = "composed/check.rs"]
mod check;
mod common;
#[path = "composed/draw.rs"]
mod draw;
#[path = "composed/drive.rs"]
mod drive;
#[path = "composed/oracle/mod.rs"]
mod oracle;
#[path = "composed/own.rs"]
mod own;
#[path = "composed/recipe.rs"]
mod recipe;
#[path = "composed/setup.rs"]
mod setup;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use check::Outcome;
use recipe::Case;

/// Of the cases that are always run.
const SEED: u64 = 1;

/// What earlier draws found, as they would be drawn no more.
const FOUND: &[&str] = &[
    // The iteration for ρ took the first gradient into D's state before it was clipped.
    "source=quartic method=rkc2 preconditioner=amsgrad:beta2=0.8,eps=0.1 clip=tight seed=40932",
    "source=quartic method=rkc2:stages=4 rule=adaptive-own \
     preconditioner=amsgrad:beta2=0.8,eps=0.1 clip=tight seed=40932",
    // The iteration for ρ, renewed, wrote over the h that SGD-G2 keeps for its next attempt.
    "method=rkc1:stages=5 rule=sgd-g2 drive=long seed=30683",
    "method=rkc1:stages=5 rule=sgd-g2 drive=dropped seed=30683",
    "source=quartic rule=sgd-g2 method=rkc2:stages=4 clip=tight drive=long \
     preconditioner=adam:beta2=0.9,eps=0.1 seed=5",
];

/// Three at a time, where pairs might miss each other: what a wrapper shows its source, beside
/// probes, products, ρ estimated again, points anywhere, narrow gradients and faults.
const MEET: &[&str] = &[
    "source=gaussian batches=in-order wrapper=per-stage method=rk4 seed=11",
    "source=hash batches=in-order wrapper=accumulated-3 method=heun seed=12",
    "source=octaves batches=in-order wrapper=per-stage-of-accumulated method=bs3 rule=dal seed=13",
    "source=coordinates batches=in-order wrapper=accumulated-of-per-stage method=dp5 \
     rule=adaptive-pi fault=later seed=14",
    "source=own wrapper=per-stage method=rk4 rule=rescaled-dal-product seed=15",
    "source=own-cached wrapper=accumulated-3 method=heun rule=rescaled-dal-product seed=16",
    "source=own wrapper=accumulated-of-per-stage method=heun rule=rescaled-dal-product \
     fault=first drive=new-wrapper seed=17",
    "source=own wrapper=per-stage method=rkc2:stages=4 drive=long seed=18",
    "activation=tanh wrapper=accumulated-2 method=rkl2:stages=5 drive=long seed=19",
    "activation=tanh wrapper=per-stage-of-accumulated method=rock2 drive=long seed=20",
    "activation=gelu wrapper=per-stage method=rk4 stored=bf16 writes=narrow fault=later seed=21",
    "activation=tanh wrapper=accumulated-3 method=dp5 stored=f32:gradients=f16 fault=first seed=22",
    "source=own-cached wrapper=accumulated-of-per-stage method=rk4 stored=f32:gradients=bf16 \
     rule=dal seed=23",
    "source=own-host submit=wait wrapper=per-stage-of-accumulated method=dp5 rule=adaptive-i \
     fault=later seed=24",
    "wrapper=per-stage method=williamson3 fault=later drive=checkpoint seed=25",
    "wrapper=accumulated-2 method=rk4 rule=sgd-g2 preconditioner=adam:beta2=0.9,eps=0.1 \
     momentum=ema:0.6 fault=later seed=26",
    // The last gradient stands for the next attempt's first.
    "source=quartic method=bs3 fault=later seed=27",
    "source=own batches=whole wrapper=accumulated-2 method=dp5 rule=adaptive-pi fault=later \
     seed=28",
];

/// What came of many cases.
#[derive(Default)]
struct Tally {
    cases: usize,
    attempts: usize,
    refused: usize,
    /// How far off the worst was, in units of what it may be.
    largest: f64,
    worst: String,
    /// Cases that took many oracles.
    doubtful: usize,
    /// Cases whose θ says nothing: roundings alone may do more to it than it would be held to.
    silent: Vec<String>,
    /// Reported numbers of which that is so, and all that were looked at.
    mute: usize,
    numbers: usize,
    failures: Vec<String>,
}

impl Tally {
    fn take(&mut self, case: &Case, outcome: Result<Outcome, String>) {
        self.cases += 1;
        match outcome {
            Err(fault) => self.failures.push(format!("{case}\n    {fault}")),
            Ok(outcome) => {
                self.attempts += outcome.attempts;
                self.refused += outcome.refused;
                self.doubtful += usize::from(outcome.doubtful);
                self.mute += outcome.mute;
                self.numbers += outcome.numbers;
                if let Some(attempt) = outcome.silent {
                    self.silent.push(format!("from attempt {attempt} on: {case}"));
                }
                if outcome.off > self.largest {
                    (self.largest, self.worst) = (outcome.off, case.to_string());
                }
            }
        }
    }

    fn end(self) {
        let Self { cases, attempts, refused, largest, worst, doubtful, .. } = self;
        let Self { silent, mute, numbers, failures, .. } = self;
        println!(
            "{cases} compositions, {attempts} attempts, {refused} refused; {doubtful} were \
             followed twice; the worst is off by {largest:.2} of what it may be: {worst}\n\
             {mute} of {numbers} reported numbers and {} ends say nothing",
            silent.len(),
        );
        silent.iter().for_each(|case| println!("    {case}"));
        assert!(
            failures.is_empty(),
            "{} of {cases} compositions are wrong:\n{}",
            failures.len(),
            failures.join("\n")
        );
        // Else little would be held.
        assert!(silent.len() * 50 <= cases, "{} of {cases} say nothing", silent.len());
        assert!(mute * 50 <= numbers, "{mute} of {numbers} reported numbers say nothing");
    }
}

/// On two threads: one computes in f64 while the other's device works.
fn check_all(cases: &[Case]) -> Tally {
    let (next, tally) = (AtomicUsize::new(0), Mutex::new(Tally::default()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = check::check(case);
                    if let Err(fault) = &outcome {
                        println!("{case}\n    {fault}");
                    }
                    tally.lock().unwrap().take(case, outcome);
                }
            });
        }
    });
    tally.into_inner().unwrap()
}

#[test]
fn every_pair_that_can_be_composed_is_right() {
    let (cases, pairs) = draw::all(SEED);
    println!("{pairs} pairs in {} compositions", cases.len());
    check_all(&cases).end();
}

#[test]
fn what_was_wrong_stays_right() {
    check_all(&parsed(FOUND)).end();
}

#[test]
fn three_that_meet_are_right() {
    check_all(&parsed(MEET)).end();
}

fn parsed(texts: &[&str]) -> Vec<Case> {
    let cases: Vec<Case> = texts.iter().map(|text| text.parse().unwrap()).collect();
    for case in &cases {
        assert!(case.is_legal(), "the public interface does not allow {case}");
    }
    cases
}

/// What `KUTTA_COMPOSED` says, or nothing.
#[test]
fn alone() {
    let Ok(text) = std::env::var("KUTTA_COMPOSED") else { return };
    let indexed = text.split_once(':').and_then(|(seed, index)| {
        let (seed, index): (u64, usize) = (seed.parse().ok()?, index.parse().ok()?);
        draw::all(seed).0.get(index).copied()
    });
    let case = indexed.unwrap_or_else(|| text.parse().unwrap_or_else(|e| panic!("{e}")));
    assert!(case.is_legal(), "the public interface does not allow {case}");
    println!("{case}");
    let outcome = check::check(&case);
    println!("{outcome:?}");
    if let Err(fault) = outcome {
        let (least, fault) = shrunk(case, fault);
        panic!("{case} is wrong, and so is\n    {least}\n    {fault}");
    }
}

/// The plainest case that is wrong like this one: one level after another made the usual.
fn shrunk(mut case: Case, mut fault: String) -> (Case, String) {
    let mut again = true;
    while std::mem::take(&mut again) {
        for i in 0..case.levels.len() {
            let mut plainer = case;
            plainer.levels[i] = 0;
            let plainer = plainer.settled();
            if plainer == case || !plainer.is_legal() {
                continue;
            }
            if let Err(other) = check::check(&plainer) {
                (case, fault, again) = (plainer, other, true);
            }
        }
    }
    (case, fault)
}

#[test]
#[ignore = "as long as scripts/soak.sh asks for"]
fn compositions_drawn_for_ever() {
    let number = |name: &str, usual: u64| {
        std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
    };
    let time = Duration::from_secs(60 * number("KUTTA_SOAK_MINUTES", 60));
    let seed = number("KUTTA_SOAK_SEED", 1);
    let begun = Instant::now();
    let mut random = draw::Random::new(seed);
    let mut tally = Tally::default();
    while begun.elapsed() < time {
        let case = draw::one(&mut random);
        let outcome = check::check(&case);
        if let Err(fault) = &outcome {
            println!("{case}\n    {fault}");
        }
        tally.take(&case, outcome);
    }
    println!("seed {seed}");
    tally.end();
}
