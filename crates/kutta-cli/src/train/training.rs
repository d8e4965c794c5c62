//! Trains with one method and keeps what it reports.

use std::ops::Range;
use std::time::{Duration, Instant};

use kutta::models::{Evaluated, Mlp, Resident};
use kutta::{Draws, Error, Gpu, GradientSource, Method, Optimizer, Verdict};
use serde::Serialize;

use super::cli::{Args, Budget};
use super::progress::Progress;
use super::saving::Saving;
use super::wrapped::Wrapped;
use crate::curve::{Before, Run, Step, Test};

/// How long a chunk of attempts should take: short enough for a lively bar.
const CHUNK: Duration = Duration::from_millis(250);
/// Most attempts in a chunk, so that no report is overwritten unread.
const MOST_ATTEMPTS: u64 = 256;
/// Attempts in a chunk of a quiet training.
const QUIET_CHUNK: u64 = 64;

/// The size of one pass through the training set.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Epoch {
    /// Of `--batch` samples each, the last one of what is left.
    pub batches: u64,
    pub samples: u64,
}

pub struct Trainer<'a> {
    pub gpu: &'a Gpu,
    pub mlp: &'a mut Mlp,
    pub test: &'a Resident,
    pub args: &'a Args,
    pub epoch: Epoch,
    /// Says nothing on the way, and takes chunks of one size, so that tests of methods whose
    /// costs vary come at the same steps however fast the machine is.
    pub quiet: bool,
}

impl Trainer<'_> {
    /// Of the methods, where each takes as many.
    pub fn steps_per_epoch(&self, methods: &[Method]) -> Option<u64> {
        let batches = |method: &Method| match self.args.recipe.batch_per_stage {
            true => method.stages() as u64,
            false => 1,
        };
        let steps = |method| {
            self.epoch.batches.div_ceil(batches(method) * u64::from(self.args.recipe.accumulate))
        };
        let (first, others) = methods.split_first()?;
        others.iter().all(|method| steps(method) == steps(first)).then(|| steps(first))
    }

    /// Trains from the start that the seed gives, or goes on, and fills in `run` on the
    /// way.
    ///
    /// # Errors
    /// What ended the training. What it came to is in `run`, and saved if it can be.
    pub fn train(
        &mut self,
        method: &Method,
        saving: &mut Saving,
        run: &mut Run,
    ) -> Result<(), Error> {
        self.train_then(method, saving, run, None).map(|_| ())
    }

    /// The same, and at the end one test on samples that were not looked at before.
    ///
    /// # Errors
    /// As [`Trainer::train`].
    pub fn train_then(
        &mut self,
        method: &Method,
        saving: &mut Saving,
        run: &mut Run,
        unseen: Option<&Resident>,
    ) -> Result<Option<Evaluated>, Error> {
        let args = self.args;
        let (layout, start) = (Mlp::layout(self.mlp).clone(), self.mlp.initial(args.seed));
        let network = Network::new(self.gpu, &mut *self.mlp, &args.recipe, &layout)?;
        let builder = args.builder(method)?.source(&network);
        let optimizer = match saving.found() {
            Some(checkpoint) => builder.resume(self.gpu, checkpoint)?,
            None => builder.build(self.gpu, &layout, &start)?,
        };
        let mut schedule =
            Schedule::new(args.budget, args.epochs, self.epoch, Costs::of(&network, &optimizer));
        if let Some(checkpoint) = saving.found() {
            run.evaluations = network.gradients(checkpoint.evaluations());
            run.before = Before { steps: checkpoint.attempts(), evaluations: run.evaluations };
            let drawn = network.drawn(checkpoint.draws()).end;
            schedule.go_on(checkpoint.attempts(), drawn, run.evaluations);
            if schedule.next(1).is_none() {
                return Err(saving.at_the_end());
            }
        }
        let progress = (!self.quiet)
            .then(|| Progress::new(&method.to_string(), schedule.total, schedule.unit()));
        let test = self.test;
        let mut training = Training { optimizer, network, schedule, progress, test };
        let trained = training.run(saving, run);
        if let Some(progress) = training.progress.take() {
            progress.finish();
        }
        saving.finish(&mut training.optimizer);
        trained?;
        if let Some(average) = training.optimizer.average() {
            run.average = Mlp::evaluate(training.network.plain(), average, self.test)?.accuracy;
        }
        let Training { optimizer, network, .. } = &mut training;
        let tested =
            unseen.map(|unseen| Mlp::evaluate(network.plain(), optimizer.params(), unseen));
        tested.transpose()
    }
}

/// One method at work.
struct Training<'a> {
    optimizer: Optimizer,
    network: Network<'a>,
    schedule: Schedule,
    /// None for a quiet training, whose chunks are all alike.
    progress: Option<Progress>,
    test: &'a Resident,
}

impl Training<'_> {
    /// To the end of the schedule.
    fn run(&mut self, saving: &mut Saving, run: &mut Run) -> Result<(), Error> {
        self.test(run)?;
        let mut recent = Recent::default();
        let mut chunk = if self.progress.is_some() { 1 } else { QUIET_CHUNK };
        // The batches that this process drew.
        let mut drawn: Option<Range<u64>> = None;
        while let Some(attempts) = self.schedule.next(chunk.min(saving.due_in(&self.optimizer))) {
            let start = Instant::now();
            self.optimizer.run(&mut self.network, attempts)?;
            self.optimizer.wait()?;
            let took = start.elapsed();
            run.seconds += took.as_secs_f64();
            let mut cursor = self.schedule.drawn;
            for report in self.optimizer.reports() {
                recent.add(report.loss);
                let batches = self.network.drawn(report.draws.clone());
                // Those of a refused attempt come again.
                let refused = report.verdict == Verdict::Refused;
                cursor = if refused { batches.start } else { batches.end };
                let all = drawn.get_or_insert(batches.clone());
                all.end = all.end.max(batches.end);
                run.steps.push(Step {
                    step: report.attempt,
                    evaluations: run.evaluations,
                    h: report.h,
                    loss: report.loss.filter(|loss| loss.is_finite()),
                    grad_norm: report.grad_norm.filter(|norm| norm.is_finite()),
                    accepted: report.verdict == Verdict::Accepted,
                });
                run.evaluations = self.network.gradients(report.evaluations);
            }
            // Stabilised methods have changed their mind about what an attempt costs.
            let costs = Costs::of(&self.network, &self.optimizer);
            self.schedule.advance(attempts, cursor, run.evaluations, costs);
            let samples = drawn.clone().map_or(0, |drawn| self.network.plain().samples_in(drawn));
            run.samples = samples as f64;
            chunk = match self.progress {
                Some(_) => next_chunk(attempts, took),
                None => QUIET_CHUNK,
            };
            saving.tick(&mut self.optimizer);

            let (done, speed) = (self.schedule.done(), run.samples_per_second());
            if let Some(progress) = &self.progress {
                progress.update(done, recent.loss, speed);
            }
            if self.schedule.test_is_due() {
                let test = self.test(run)?;
                if let Some(progress) = &self.progress {
                    progress.test(done, recent.loss, speed, &test);
                }
            }
        }
        Ok(())
    }

    fn test(&mut self, run: &mut Run) -> Result<Test, Error> {
        let evaluated = Mlp::evaluate(self.network.plain(), self.optimizer.params(), self.test)?;
        let test = Test {
            step: self.schedule.attempts,
            evaluations: run.evaluations,
            seconds: run.seconds,
            loss: evaluated.loss,
            accuracy: evaluated.accuracy,
        };
        run.tests.push(test);
        Ok(test)
    }
}

/// The network, with as many batches to a step as asked for.
type Network<'a> = Wrapped<&'a mut Mlp>;

/// What an attempt takes, at most.
#[derive(Clone, Copy)]
struct Costs {
    evaluations: u64,
    batches: u64,
}

impl Costs {
    fn of(network: &Network<'_>, optimizer: &Optimizer) -> Self {
        let plan = optimizer.plan();
        let evaluations = network.gradients(u64::from(plan.evaluations()).max(1));
        let stages = u64::from(plan.stage_gradients()).max(1);
        let drawn = network.drawn(Draws { batches: 0..1, stages: 0..stages });
        Self { evaluations, batches: drawn.end - drawn.start }
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
    /// Batches or evaluations, whichever the budget counts.
    total: u64,
    attempts: u64,
    /// Batches drawn and done with.
    drawn: u64,
    evaluations: u64,
    costs: Costs,
    tests: u64,
    tested: u64,
}

impl Schedule {
    fn new(budget: Budget, epochs: u64, epoch: Epoch, costs: Costs) -> Self {
        let total = epochs.saturating_mul(epoch.batches);
        let least = match budget {
            Budget::Epochs => 1,
            // One step, where the budget is not enough for it.
            Budget::Evaluations => costs.evaluations,
        };
        let total = total.max(least);
        let mut made = Self {
            budget,
            total,
            attempts: 0,
            drawn: 0,
            evaluations: 0,
            costs,
            tests: 1,
            tested: 0,
        };
        // At the end of each epoch; more often if there are few, and less if
        // there are many.
        let tests = if epochs < 20 { epochs * 20u64.div_ceil(epochs) } else { epochs.min(40) };
        made.tests = tests.min(made.left()).max(1);
        made
    }

    fn unit(&self) -> &'static str {
        match self.budget {
            Budget::Epochs => "batches",
            Budget::Evaluations => "gradients",
        }
    }

    /// Of `total`.
    fn done(&self) -> u64 {
        let done = match self.budget {
            Budget::Epochs => self.drawn,
            Budget::Evaluations => self.evaluations,
        };
        done.min(self.total)
    }

    fn per_attempt(&self) -> u64 {
        match self.budget {
            Budget::Epochs => self.costs.batches,
            Budget::Evaluations => self.costs.evaluations,
        }
    }

    /// Attempts until the end, if each costs what the next one does. Epochs are gone
    /// through to their end, and evaluations are never more than there may be.
    fn left(&self) -> u64 {
        let left = self.total - self.done();
        match self.budget {
            Budget::Epochs => left.div_ceil(self.per_attempt()),
            Budget::Evaluations => left / self.per_attempt(),
        }
    }

    fn next_test(&self) -> u64 {
        // Wide, for the product of two large numbers.
        (u128::from(self.total) * u128::from(self.tested + 1) / u128::from(self.tests)) as u64
    }

    /// Attempts to run next, at most `most`; `None` at the end.
    fn next(&self, most: u64) -> Option<u64> {
        let before_test = self.next_test().saturating_sub(self.done()).div_ceil(self.per_attempt());
        let left = self.left();
        (left > 0).then(|| most.min(left).min(before_test.max(1)))
    }

    /// After so many attempts more, with which so much was drawn and evaluated in all.
    fn advance(&mut self, attempts: u64, drawn: u64, evaluations: u64, costs: Costs) {
        self.attempts += attempts;
        (self.drawn, self.evaluations, self.costs) = (drawn, evaluations, costs);
    }

    /// After what was done before this process.
    fn go_on(&mut self, attempts: u64, drawn: u64, evaluations: u64) {
        self.advance(attempts, drawn, evaluations, self.costs);
        self.pass_tests();
    }

    fn pass_tests(&mut self) {
        while self.tested + 1 < self.tests && self.done() >= self.next_test() {
            self.tested += 1;
        }
    }

    /// True once for each time to test, and at the end.
    fn test_is_due(&mut self) -> bool {
        let ended = self.next(1).is_none();
        let due = ended || self.done() >= self.next_test();
        self.pass_tests();
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

    fn costs(evaluations: u64, batches: u64) -> Costs {
        Costs { evaluations, batches }
    }

    /// Attempts taken and tests made, if each attempt takes this.
    fn follow(mut schedule: Schedule, most: u64, each: Costs) -> (u64, Vec<u64>) {
        let (mut drawn, mut evaluations) = (schedule.drawn, schedule.evaluations);
        let mut tests = Vec::new();
        while let Some(attempts) = schedule.next(most) {
            assert!((1..=most).contains(&attempts));
            drawn += attempts * each.batches;
            evaluations += attempts * each.evaluations;
            schedule.advance(attempts, drawn, evaluations, schedule.costs);
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
            let each = costs(stages, 1);
            let schedule = Schedule::new(Budget::Epochs, 3, EPOCH, each);
            let (attempts, tests) = follow(schedule, most, each);
            assert_eq!(attempts, 3 * 938);
            assert_eq!(tests.len(), 21);
            assert!(tests.contains(&938) && tests.contains(&1876) && tests.contains(&2814));
        }
    }

    /// Each counts once: `--batch-per-stage` changes which batches are seen, not how many
    /// gradients there are.
    #[test]
    fn batches_and_gradients_of_a_step_count_apart() {
        let mnist = Epoch { batches: 3750, samples: 60_000 };
        for batches in [1, 4] {
            let each = costs(4, batches);
            let schedule = Schedule::new(Budget::Evaluations, 20, mnist, each);
            assert_eq!(follow(schedule, 256, each).0, 18_750);
            let schedule = Schedule::new(Budget::Epochs, 20, mnist, each);
            assert_eq!(follow(schedule, 256, each).0, 75_000 / batches);
        }
        // Twelve batches by five: two epochs are gone through to their end, and no further
        // than that takes.
        let short = Epoch { batches: 12, samples: 384 };
        let each = costs(1, 5);
        assert_eq!(follow(Schedule::new(Budget::Epochs, 1, short, each), 256, each).0, 3);
        assert_eq!(follow(Schedule::new(Budget::Epochs, 2, short, each), 256, each).0, 5);
    }

    /// A refused attempt leaves its batch for the next one.
    #[test]
    fn refused_attempts_take_nothing_from_an_epoch() {
        let mut schedule = Schedule::new(Budget::Epochs, 1, EPOCH, costs(7, 1));
        let (mut attempts, mut drawn) = (0, 0);
        while let Some(now) = schedule.next(100) {
            attempts += now;
            // Every third is refused.
            drawn = (attempts - attempts / 3).min(938);
            schedule.advance(now, drawn, 7 * attempts, schedule.costs);
            schedule.test_is_due();
        }
        assert_eq!((drawn, schedule.attempts), (938, attempts));
        assert!((938 * 3 / 2 - 2..=938 * 3 / 2 + 2).contains(&attempts), "{attempts}");
    }

    #[test]
    fn evaluations_are_shared_out_to_stages() {
        let schedule = || Schedule::new(Budget::Evaluations, 4, EPOCH, costs(4, 1));
        let (attempts, tests) = follow(schedule(), 100, costs(4, 1));
        assert_eq!((attempts, *tests.last().unwrap()), (938, 938));
        assert_eq!(tests.len(), 20);
        // A method whose last stage is the next one's first takes more steps.
        let (attempts, _) = follow(schedule(), 100, costs(3, 1));
        assert_eq!(attempts, 4 * 938 / 3);
    }

    #[test]
    fn a_budget_holds_for_stages_that_vary() {
        let mut schedule = Schedule::new(Budget::Evaluations, 1, EPOCH, costs(10, 1));
        let (mut evaluations, mut stages, mut tests) = (0, 10, 0);
        while let Some(attempts) = schedule.next(2) {
            evaluations += attempts * stages;
            stages = 10 + evaluations / 50;
            let drawn = schedule.attempts + attempts;
            schedule.advance(attempts, drawn, evaluations, costs(stages, 1));
            tests += u64::from(schedule.test_is_due());
        }
        assert!((938 - stages..=938).contains(&evaluations), "{evaluations}");
        assert!((15..=20).contains(&tests), "{tests}");
    }

    #[test]
    fn the_smallest_runs_end_with_one_test() {
        let tiny = Epoch { batches: 1, samples: 5 };
        for budget in [Budget::Epochs, Budget::Evaluations] {
            let each = costs(4, 1);
            assert_eq!(follow(Schedule::new(budget, 1, tiny, each), 9, each), (1, vec![1]));
        }
    }

    #[test]
    fn a_schedule_goes_on_where_it_was() {
        let each = costs(4, 1);
        let mut schedule = Schedule::new(Budget::Epochs, 2, EPOCH, each);
        schedule.go_on(1_000, 1_000, 4_000);
        let (attempts, tests) = follow(schedule, 50, each);
        assert_eq!((attempts, *tests.last().unwrap()), (2 * 938, 2 * 938));
        // Those of the second half alone.
        assert_eq!(tests.len(), 10);
        let mut schedule = Schedule::new(Budget::Epochs, 1, EPOCH, each);
        schedule.go_on(2_000, 2_000, 8_000);
        assert_eq!(schedule.next(1), None);
    }

    #[test]
    fn tests_are_few_in_long_runs() {
        let schedule = Schedule::new(Budget::Epochs, 1000, EPOCH, costs(1, 1));
        let (attempts, tests) = follow(schedule, 256, costs(1, 1));
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
