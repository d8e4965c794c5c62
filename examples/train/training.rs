//! Trains with one method and keeps what it reports.

use std::time::{Duration, Instant};

use kutta::batching::{Accumulated, PerStage};
use kutta::models::{Mlp, Resident};
use kutta::{
    Error, Evaluation, Gpu, GradientSource, Method, Optimizer, SourceError, Storage, Verdict,
};
use serde::Serialize;

use crate::cli::{Args, Budget};
use crate::curve::{Run, Step, Test};
use crate::progress::Progress;
use crate::saving::Saving;

/// How long a chunk of attempts should take: short enough for a lively bar.
const CHUNK: Duration = Duration::from_millis(250);
/// Most attempts in a chunk, so that no report is overwritten unread.
const MOST_ATTEMPTS: u64 = 256;

/// The size of one pass through the training set.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Epoch {
    pub batches: u64,
    pub samples: u64,
}

pub struct Trainer<'a> {
    pub gpu: &'a Gpu,
    pub mlp: &'a mut Mlp,
    pub test: &'a Resident,
    pub args: &'a Args,
    pub epoch: Epoch,
}

impl Trainer<'_> {
    /// Trains from the start that the seed gives.
    pub fn train(&mut self, method: &Method) -> Result<Run, Error> {
        let args = self.args;
        let builder = Optimizer::builder(method.clone())
            .step_size(args.step_size()?)
            // Micro-batches are added up in f32.
            .writes_narrow(args.accumulate <= 1)
            .ingredients(args.ingredients());
        let mut saving = Saving::new(args, self.mlp)?;
        let mut optimizer = match saving.found() {
            Some(checkpoint) => builder.resume(self.gpu, checkpoint)?,
            None => builder.build(self.gpu, Mlp::layout(self.mlp), &self.mlp.initial(args.seed))?,
        };
        let cost = optimizer.plan().evaluations() as usize;
        let mut schedule = Schedule::new(args.budget, args.epochs, self.epoch, cost);
        let mut mlp = Network::new(self.gpu, self.mlp, args, &optimizer)?;
        let test = self.test;
        let progress = Progress::new(&method.to_string(), schedule.total, schedule.unit());
        let mut run = Run {
            method: method.to_string(),
            evaluations: 0,
            seconds: 0.0,
            samples: 0.0,
            steps: Vec::new(),
            tests: Vec::new(),
            average: None,
        };
        if let Some(checkpoint) = saving.found() {
            run.evaluations = checkpoint.evaluations();
            schedule.go_on(checkpoint.attempts(), run.evaluations, cost);
            if schedule.next(1).is_none() {
                return Err(saving.at_the_end());
            }
        }
        test_at(mlp.plain(), test, &optimizer, schedule.attempts, &mut run)?;
        let mut recent = Recent::default();
        let mut chunk = 1;
        while let Some(attempts) = schedule.next(chunk.min(saving.due_in(&optimizer))) {
            let start = Instant::now();
            optimizer.run(&mut mlp, attempts)?;
            optimizer.wait()?;
            let took = start.elapsed();
            run.seconds += took.as_secs_f64();
            for report in optimizer.reports() {
                recent.add(report.loss);
                run.steps.push(Step {
                    step: report.attempt,
                    evaluations: run.evaluations,
                    h: report.h,
                    loss: report.loss.filter(|loss| loss.is_finite()),
                    grad_norm: report.grad_norm.filter(|norm| norm.is_finite()),
                    accepted: report.verdict == Verdict::Accepted,
                });
                run.evaluations = report.evaluations;
            }
            // Stabilised methods have changed their mind about this.
            let cost = optimizer.plan().evaluations() as usize;
            schedule.advance(attempts, run.evaluations, cost);
            let epochs = schedule.attempts as f64 / self.epoch.batches as f64;
            run.samples = epochs * self.epoch.samples as f64;
            chunk = next_chunk(attempts, took);
            saving.tick(&mut optimizer);

            let (done, speed) = (schedule.done, run.samples_per_second());
            progress.update(done, recent.loss, speed);
            if schedule.test_is_due() {
                let test = test_at(mlp.plain(), test, &optimizer, schedule.attempts, &mut run)?;
                progress.test(done, recent.loss, speed, &test);
            }
        }
        progress.finish();
        saving.finish(&mut optimizer)?;
        if let Some(average) = optimizer.average() {
            run.average = mlp.plain().evaluate(average, test)?.accuracy;
        }
        Ok(run)
    }
}

fn test_at(
    mlp: &mut Mlp,
    test: &Resident,
    optimizer: &Optimizer,
    step: u64,
    run: &mut Run,
) -> Result<Test, Error> {
    let evaluated = mlp.evaluate(optimizer.params(), test)?;
    let test = Test {
        step,
        evaluations: run.evaluations,
        seconds: run.seconds,
        loss: evaluated.loss,
        accuracy: evaluated.accuracy,
    };
    run.tests.push(test);
    Ok(test)
}

/// The network, with as many batches to a step as asked for.
enum Network<'a> {
    OneBatch(&'a mut Mlp),
    PerStage(PerStage<&'a mut Mlp>),
    Accumulated(Accumulated<&'a mut Mlp>),
}

impl<'a> Network<'a> {
    fn new(gpu: &Gpu, mlp: &'a mut Mlp, args: &Args, optimizer: &Optimizer) -> Result<Self, Error> {
        Ok(if args.batch_per_stage {
            Self::PerStage(PerStage::new(gpu, mlp)?)
        } else if args.accumulate > 1 {
            Self::Accumulated(Accumulated::new(gpu, mlp, optimizer.layout(), args.accumulate)?)
        } else {
            Self::OneBatch(mlp)
        })
    }

    fn plain(&mut self) -> &mut Mlp {
        match self {
            Self::OneBatch(mlp) => mlp,
            Self::PerStage(source) => source.inner_mut(),
            Self::Accumulated(source) => source.inner_mut(),
        }
    }
}

impl GradientSource for Network<'_> {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        match self {
            Self::OneBatch(mlp) => GradientSource::evaluate(*mlp, at),
            Self::PerStage(source) => source.evaluate(at),
            Self::Accumulated(source) => source.evaluate(at),
        }
    }

    fn writes(&self, storage: Storage) -> bool {
        match self {
            Self::OneBatch(mlp) => mlp.writes(storage),
            Self::PerStage(source) => source.writes(storage),
            Self::Accumulated(source) => source.writes(storage),
        }
    }
}

/// Attempts of the next chunk, from how long the last one took.
fn next_chunk(attempts: u64, took: Duration) -> u64 {
    let fitting = attempts as f64 * CHUNK.as_secs_f64() / took.as_secs_f64().max(1e-6);
    // A first chunk also compiles shaders: never jump far on one measurement.
    (fitting as u64).clamp(1, (4 * attempts).min(MOST_ATTEMPTS))
}

/// When to stop, and when to test.
struct Schedule {
    budget: Budget,
    /// Attempts or evaluations, whichever the budget counts, to do and done.
    total: u64,
    done: u64,
    attempts: u64,
    /// How far `done` can grow in one attempt.
    per_attempt: u64,
    tests: u64,
    tested: u64,
}

impl Schedule {
    fn new(budget: Budget, epochs: u64, epoch: Epoch, stages: usize) -> Self {
        let per_attempt = match budget {
            Budget::Epochs => 1,
            Budget::Evaluations => stages.max(1) as u64,
        };
        let total = epochs.saturating_mul(epoch.batches).max(per_attempt);
        // At the end of each epoch; more often if there are few, and less if
        // there are many.
        let tests = if epochs < 20 { epochs * 20u64.div_ceil(epochs) } else { epochs.min(40) };
        let tests = tests.min(total / per_attempt);
        Self { budget, total, done: 0, attempts: 0, per_attempt, tests, tested: 0 }
    }

    fn unit(&self) -> &'static str {
        match self.budget {
            Budget::Epochs => "steps",
            Budget::Evaluations => "gradients",
        }
    }

    fn next_test(&self) -> u64 {
        // Wide, for the product of two large numbers.
        (u128::from(self.total) * u128::from(self.tested + 1) / u128::from(self.tests)) as u64
    }

    /// Attempts to run next, at most `most`; `None` at the end.
    fn next(&self, most: u64) -> Option<u64> {
        let left = (self.total - self.done) / self.per_attempt;
        let before_test = self.next_test().saturating_sub(self.done).div_ceil(self.per_attempt);
        (left > 0).then(|| most.min(left).min(before_test.max(1)))
    }

    /// After attempts that led to so many evaluations; the next ones have so many
    /// `stages`.
    fn advance(&mut self, attempts: u64, evaluations: u64, stages: usize) {
        self.attempts += attempts;
        match self.budget {
            Budget::Epochs => self.done = self.attempts.min(self.total),
            Budget::Evaluations => {
                self.done = evaluations.min(self.total);
                self.per_attempt = stages.max(1) as u64;
            }
        }
    }

    /// After what was done before this process.
    fn go_on(&mut self, attempts: u64, evaluations: u64, stages: usize) {
        self.advance(attempts, evaluations, stages);
        while self.tested + 1 < self.tests && self.done >= self.next_test() {
            self.tested += 1;
        }
    }

    /// True once for each time to test, and at the end.
    fn test_is_due(&mut self) -> bool {
        let ended = self.next(1).is_none();
        let due = ended || self.done >= self.next_test();
        while self.tested + 1 < self.tests && self.done >= self.next_test() {
            self.tested += 1;
        }
        due
    }
}

/// The loss, smoothed over some fifty attempts.
#[derive(Default)]
struct Recent {
    loss: Option<f64>,
}

impl Recent {
    fn add(&mut self, loss: Option<f32>) {
        if let Some(loss) = loss.map(f64::from) {
            // A loss that is not finite replaces the mean, and is replaced.
            let before = self.loss.filter(|before| before.is_finite()).unwrap_or(loss);
            self.loss = Some(before + (loss - before) / 50.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attempts taken and tests made, if each attempt takes `cost` gradients.
    fn follow(mut schedule: Schedule, most: u64, cost: u64) -> (u64, Vec<u64>) {
        let stages = schedule.per_attempt as usize;
        let (mut evaluations, mut tests) = (0, Vec::new());
        while let Some(attempts) = schedule.next(most) {
            assert!((1..=most).contains(&attempts));
            evaluations += attempts * cost;
            schedule.advance(attempts, evaluations, stages);
            if schedule.test_is_due() {
                tests.push(schedule.attempts);
            }
        }
        (schedule.attempts, tests)
    }

    const EPOCH: Epoch = Epoch { batches: 938, samples: 60_000 };

    #[test]
    fn epochs_are_the_same_for_every_method() {
        for (most, stages) in [(1, 4), (7, 1), (256, 4)] {
            let schedule = Schedule::new(Budget::Epochs, 3, EPOCH, stages);
            let (attempts, tests) = follow(schedule, most, stages as u64);
            assert_eq!(attempts, 3 * 938);
            assert_eq!(tests.len(), 21);
            assert!(tests.contains(&938) && tests.contains(&1876) && tests.contains(&2814));
        }
    }

    #[test]
    fn evaluations_are_shared_out_to_stages() {
        let (attempts, tests) = follow(Schedule::new(Budget::Evaluations, 4, EPOCH, 4), 100, 4);
        assert_eq!((attempts, *tests.last().unwrap()), (938, 938));
        assert_eq!(tests.len(), 20);
        // A method whose last stage is the next one's first takes more steps.
        let (attempts, _) = follow(Schedule::new(Budget::Evaluations, 4, EPOCH, 4), 100, 3);
        assert_eq!(attempts, 4 * 938 / 3);
    }

    #[test]
    fn a_budget_holds_for_stages_that_vary() {
        let mut schedule = Schedule::new(Budget::Evaluations, 1, EPOCH, 10);
        let (mut evaluations, mut stages, mut tests) = (0, 10, 0);
        while let Some(attempts) = schedule.next(2) {
            evaluations += attempts * stages;
            stages = 10 + evaluations / 50;
            schedule.advance(attempts, evaluations, stages as usize);
            tests += u64::from(schedule.test_is_due());
        }
        assert!((938 - stages..=938).contains(&evaluations), "{evaluations}");
        assert!((15..=20).contains(&tests), "{tests}");
    }

    #[test]
    fn the_smallest_runs_end_with_one_test() {
        let tiny = Epoch { batches: 1, samples: 5 };
        for budget in [Budget::Epochs, Budget::Evaluations] {
            assert_eq!(follow(Schedule::new(budget, 1, tiny, 4), 9, 4), (1, vec![1]));
        }
    }

    #[test]
    fn a_schedule_goes_on_where_it_was() {
        let mut schedule = Schedule::new(Budget::Epochs, 2, EPOCH, 4);
        schedule.go_on(1_000, 4_000, 4);
        let (attempts, tests) = follow(schedule, 50, 4);
        assert_eq!((attempts, *tests.last().unwrap()), (2 * 938, 2 * 938));
        // Those of the second half alone.
        assert_eq!(tests.len(), 10);
        let mut schedule = Schedule::new(Budget::Epochs, 1, EPOCH, 4);
        schedule.go_on(2_000, 8_000, 4);
        assert_eq!(schedule.next(1), None);
    }

    #[test]
    fn tests_are_few_in_long_runs() {
        let (attempts, tests) = follow(Schedule::new(Budget::Epochs, 1000, EPOCH, 1), 256, 1);
        assert_eq!((attempts, tests.len()), (938_000, 40));
    }

    #[test]
    fn chunks_grow_carefully() {
        assert_eq!(next_chunk(1, Duration::from_micros(10)), 4);
        assert_eq!(next_chunk(100, Duration::ZERO), MOST_ATTEMPTS);
        assert_eq!(next_chunk(100, Duration::from_secs(25)), 1);
    }

    #[test]
    fn the_recent_loss_recovers_from_nan() {
        let mut recent = Recent::default();
        for loss in [None, Some(f32::NAN), Some(2.0), None, Some(1.0)] {
            recent.add(loss);
        }
        assert!((recent.loss.unwrap() - 1.98).abs() < 1e-6);
    }
}
