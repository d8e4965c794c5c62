//! Times whole steps and gradients alone, in turns.

use std::error::Error;
use std::time::{Duration, Instant};

use kutta::bench::Gradients;
use kutta::plan::Options;
use kutta::{Gpu, Method, Optimizer, Plan, StepSize, Verdict};

use super::cases::{Case, Model, adam};
use crate::roofline::clock::{Clock, Sample};
use crate::roofline::schema::{Timed, Training};
use crate::roofline::statistics::{Summary, is_plateau};

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub samples: usize,
    /// Seconds of steps in one sample.
    pub least: f64,
    /// Seconds that the samples of a case may take: fewer are taken then.
    pub limit: f64,
}

/// Steps in one submit at most.
const MOST_REPEATS: u32 = 200;
const LEAST_ROUNDS: usize = 4;
const MOST_WARM_UP: usize = 12;
/// Samples that there are whatever they take.
const FEWEST: usize = 3;
/// A step size that moves θ, and in no time out of the range of f32.
const H: f32 = 1e-4;

/// A case on the device: its source, an optimizer, and buffers for gradients alone.
struct Subject {
    model: Model,
    optimizer: Optimizer,
    gradients: Gradients,
}

/// Microseconds that the model predicts of a step and of a gradient, and its own dispatches.
pub fn plan() -> Result<Plan, Box<dyn Error>> {
    // On a GPU kutta's models check what they write.
    let options = Options { checks: 1, ..Options::default() };
    Ok(Plan::with_ingredients(&Method::euler(), &adam(), options)?)
}

impl Subject {
    fn new(gpu: &Gpu, case: &Case) -> Result<Self, Box<dyn Error>> {
        let mut model = case.model(gpu)?;
        let start = model.initial();
        let layout = model.layout().clone();
        let optimizer = Optimizer::builder(Method::euler())
            .ingredients(adam())
            .step_size(StepSize::constant(H))
            .source(&*model.source())
            .build(gpu, &layout, &start)?;
        let gradients = Gradients::new(gpu, &start)?;
        Ok(Self { model, optimizer, gradients })
    }

    /// One submit with so many steps or gradients.
    fn sample(
        &mut self,
        clock: &mut Clock,
        kind: Timed,
        count: u32,
    ) -> Result<Sample, Box<dyn Error>> {
        let Self { model, optimizer, gradients } = self;
        let source = &mut model.source();
        let sample = clock.time_commands(|encoder| match kind {
            Timed::Step => optimizer.record_many(encoder, source, count),
            Timed::Gradient => gradients.record(encoder, source, count),
        })?;
        let refused = optimizer.reports().iter().any(|report| report.verdict != Verdict::Accepted);
        if refused {
            return Err("an attempt was not accepted: a time of it would say nothing".into());
        }
        Ok(sample)
    }
}

/// Both figures of a case.
///
/// # Errors
/// A device that is too small for it, or lost; attempts that are not accepted.
pub fn measure(
    gpu: &Gpu,
    clock: &mut Clock,
    case: &Case,
    config: Config,
) -> Result<[Training; 2], Box<dyn Error>> {
    let predicted = case.predicted()?;
    let mut subject = Subject::new(gpu, case)?;
    let kinds = [Timed::Step, Timed::Gradient];
    let mut repeats = [1; 2];
    for (kind, repeats) in kinds.into_iter().zip(&mut repeats) {
        // The first has kernels to compile.
        subject.sample(clock, kind, 1)?;
        let one = subject.sample(clock, kind, 1)?;
        let seconds = one.gpu.unwrap_or(one.wall);
        *repeats = ((config.least / seconds) as u32).clamp(1, MOST_REPEATS);
    }
    let mut samples = [const { Vec::new() }; 2];
    let mut totals = Vec::new();
    let mut began = Instant::now();
    let limit = Duration::from_secs_f64(config.limit);
    let mut warm = false;
    while samples[0].len() < config.samples
        && (samples[0].len() < FEWEST || began.elapsed() < limit)
    {
        let start = Instant::now();
        let now_warm = warm
            || totals.len() >= MOST_WARM_UP
            || (totals.len() >= LEAST_ROUNDS && is_plateau(&totals))
            || (!totals.is_empty() && began.elapsed() > limit / 2);
        if now_warm && !warm {
            (warm, began) = (true, Instant::now());
        }
        for (i, kind) in kinds.into_iter().enumerate() {
            let sample = subject.sample(clock, kind, repeats[i])?;
            if warm {
                samples[i].push(sample);
            }
        }
        totals.push(start.elapsed().as_secs_f64());
    }
    let plan = plan()?;
    let own = subject.optimizer.dispatches_per_attempt();
    let figure = |i: usize| {
        let kind = kinds[i];
        let each = f64::from(repeats[i]);
        let (own, micros) = match kind {
            Timed::Step => (own, predicted.step_microseconds(&plan)),
            Timed::Gradient => (0, predicted.gradient_microseconds()),
        };
        Training {
            case: case.name.into(),
            kind,
            name: "kutta".into(),
            parameters: predicted.parameters() as u64,
            batch: case.batch as u64,
            per_submit: repeats[i],
            dispatches: subject.model.dispatches().map(|source| (own + source) as u32),
            form: subject.model.products(),
            gpu: Summary::of(samples[i].iter().filter_map(|s: &Sample| Some(s.gpu? / each))),
            wall: Summary::of(samples[i].iter().map(|s| s.wall / each)),
            predicted: Some(micros * 1e-6),
        }
    };
    Ok([figure(0), figure(1)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roofline::training::cases::CASES;

    /// One gradient a sample is slower than none, and a step than a gradient: by the wall, on
    /// whatever adapter there is.
    #[test]
    fn a_case_has_both_figures() {
        let gpu = Gpu::new().unwrap();
        let config = Config { samples: 3, least: 1e-9, limit: 1e-3 };
        let [step, gradient] = measure(&gpu, &mut Clock::new(&gpu), &CASES[0], config).unwrap();
        assert_eq!((step.kind, gradient.kind), (Timed::Step, Timed::Gradient));
        for figure in [&step, &gradient] {
            assert_eq!((figure.case.as_str(), figure.batch), ("mnist-128-b64", 64));
            assert_eq!((figure.parameters, figure.per_submit), (101_770, 1));
            assert_eq!(figure.wall.unwrap().samples, 3);
            assert!(figure.form.len() >= 2 && figure.form[0].starts_with("layer0 forward"));
        }
        // Verdict and finish, and a guard where products in registers leave nothing; and the
        // batch is drawn for each gradient.
        let own = step.dispatches.unwrap() - gradient.dispatches.unwrap();
        assert_eq!(own, if gpu.is_software() { 3 } else { 2 });
        assert!(step.predicted > gradient.predicted);
    }
}
