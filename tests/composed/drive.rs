//! The ways an optimizer is driven, and what it then reports.

use std::time::Duration;

use kutta::batching::{Accumulated, PerStage};
use kutta::checkpoint::Checkpoint;
use kutta::{
    BatchesFrom, Error, Evaluation, Gpu, GradientSource, Optimizer, ParamLayout, Purpose, Report,
    SourceError, Storage,
};

use crate::common::plant;
use crate::oracle::Wrap;
use crate::recipe::{Case, Factor as F};
use crate::setup::Source;

/// The attempt in which sources fail that do.
pub const FAILS: u32 = 2;

/// NaN in every storage: of f32, or of two halves.
const NOT_A_NUMBER: u32 = 0x7fff_7fff;

/// Passes a source on and counts what it is asked for; or, beneath wrappers, has it fail at
/// one stage of one attempt.
pub struct Passed<'s> {
    inner: &'s mut dyn GradientSource,
    fails: Option<u32>,
    pub gradients: u64,
}

impl<'s> Passed<'s> {
    fn new(inner: &'s mut dyn GradientSource, fails: Option<u32>) -> Self {
        Self { inner, fails, gradients: 0 }
    }
}

impl GradientSource for Passed<'_> {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        self.gradients += 1;
        self.inner.evaluate(at)?;
        match self.fails {
            Some(stage) if at.purpose() == Purpose::Stage(stage) => {
                plant(at, [FAILS, 0, NOT_A_NUMBER, 0])
            }
            _ => Ok(()),
        }
    }

    fn batches(&self) -> BatchesFrom {
        self.inner.batches()
    }

    fn products(&self) -> bool {
        self.inner.products()
    }

    fn adds(&self) -> bool {
        self.inner.adds()
    }

    fn writes(&self, storage: Storage) -> bool {
        self.inner.writes(storage)
    }

    fn gpu(&self) -> Option<&Gpu> {
        self.inner.gpu()
    }

    fn layout(&self) -> Option<&ParamLayout> {
        self.inner.layout()
    }

    fn keeps_padding(&self) -> bool {
        self.inner.keeps_padding()
    }
}

/// Attempts on one source, under one wrapper.
pub struct Segment {
    /// Which source, and how it was wrapped.
    pub source: usize,
    pub wrap: Wrap,
    /// Where time ended, if it did.
    pub end: Option<f64>,
    /// h was chosen anew before it.
    pub chosen: bool,
    pub reports: Vec<Report>,
}

/// One optimizer's life.
pub struct Trace {
    pub start: Vec<f32>,
    pub segments: Vec<Segment>,
    pub theta: Vec<f32>,
    pub average: Option<Vec<f32>>,
    /// Gradients that sources were asked for; those that were reported.
    pub asked: u64,
    pub reported: u64,
}

/// Calls `work` with a source as the case wraps it, nested where it says so.
fn wrapped<T>(
    case: &Case,
    (gpu, layout): (&Gpu, &ParamLayout),
    inner: &mut dyn GradientSource,
    work: impl FnOnce(&mut dyn GradientSource) -> T,
) -> T {
    match case.get(F::Wrapper) {
        "none" => work(inner),
        "per-stage" => work(&mut PerStage::new(gpu, inner).unwrap()),
        "accumulated-2" => work(&mut Accumulated::new(gpu, inner, layout, 2).unwrap()),
        "accumulated-3" => work(&mut Accumulated::new(gpu, inner, layout, 3).unwrap()),
        "per-stage-of-accumulated" => {
            work(&mut PerStage::new(gpu, Accumulated::new(gpu, inner, layout, 2).unwrap()).unwrap())
        }
        _ => {
            let stages = PerStage::new(gpu, inner).unwrap();
            work(&mut Accumulated::new(gpu, stages, layout, 2).unwrap())
        }
    }
}

/// What goes on in one drive.
struct Ride<'r> {
    gpu: &'r Gpu,
    case: &'r Case,
    layout: &'r ParamLayout,
    optimizer: Optimizer,
    trace: Trace,
}

impl Ride<'_> {
    /// Drives with one source under the case's wrapper, or bare.
    fn with(
        &mut self,
        sources: &mut [Source],
        (source, bare): (usize, bool),
        drive: impl FnOnce(&mut Optimizer, &mut Passed<'_>) -> Result<Option<f64>, Error>,
    ) {
        let Self { gpu, case, layout, optimizer, trace } = self;
        let inner = &mut Passed::new(&mut *sources[source].device, case.fails());
        let mut end = None;
        let go = |inner: &mut dyn GradientSource| {
            let mut counting = Passed::new(inner, None);
            end = drive(optimizer, &mut counting).unwrap();
            trace.asked += counting.gradients;
        };
        match bare {
            true => go(inner),
            false => wrapped(case, (gpu, layout), inner, go),
        }
        let wrap = if bare { Wrap::None } else { case.wrap() };
        optimizer.wait().unwrap();
        let reports = optimizer.reports();
        trace.reported = optimizer.evaluations();
        trace.segments.push(Segment { source, wrap, end, chosen: false, reports });
    }

    fn run(&mut self, sources: &mut [Source], which: (usize, bool), n: u64) {
        self.with(sources, which, |optimizer, source| {
            optimizer.run(source, n)?;
            Ok(None)
        });
    }

    /// Nothing of it but its bytes.
    fn resume(&mut self) {
        let bytes = self.optimizer.snapshot().unwrap().to_bytes().unwrap();
        self.optimizer = Checkpoint::from_bytes(bytes).unwrap().resume(self.gpu).unwrap();
    }

    fn end(mut self) -> Trace {
        self.trace.theta = self.optimizer.params().read().unwrap();
        self.trace.average = self.optimizer.average().map(|average| average.read().unwrap());
        self.trace
    }
}

/// Drives a case; two sources of the same layout are at hand.
pub fn drive(case: &Case, gpu: &Gpu, layout: &ParamLayout, sources: &mut [Source]) -> Vec<Trace> {
    let ride = |which| {
        let start = case.start(layout, which);
        let optimizer = case.builder().build(gpu, layout, &start).unwrap();
        let trace = Trace {
            start,
            segments: Vec::new(),
            theta: Vec::new(),
            average: None,
            asked: 0,
            reported: 0,
        };
        Ride { gpu, case, layout, optimizer, trace }
    };
    let mut this = ride(0);
    let usual = (0, false);
    match case.get(F::Drive) {
        "run" => this.run(sources, usual, 10),
        // Until after ρ is estimated again.
        "long" => this.run(sources, usual, 28),
        "runs" => this.with(sources, usual, |optimizer, source| {
            optimizer.run(source, 1)?;
            optimizer.run(source, 3)?;
            optimizer.step(source)?;
            optimizer.run(source, 5)?;
            Ok(None)
        }),
        "accepted" => this.with(sources, usual, |optimizer, source| {
            optimizer.run_accepted(source, 4)?;
            optimizer.run_accepted(source, 5)?;
            Ok(None)
        }),
        "until" | "until-twice" => until(&mut this, sources, case.is(F::Drive, &["until-twice"])),
        "record" => this.with(sources, usual, |optimizer, source| {
            for n in [1, 3, 2, 1] {
                let mut encoder = gpu.device().create_command_encoder(&Default::default());
                for _ in 0..n {
                    optimizer.record(&mut encoder, source)?;
                }
                gpu.queue().submit([encoder.finish()]);
            }
            Ok(None)
        }),
        "record-many" => this.with(sources, usual, |optimizer, source| {
            for n in [4, 1, 4] {
                let mut encoder = gpu.device().create_command_encoder(&Default::default());
                optimizer.record_many(&mut encoder, source, n)?;
                gpu.queue().submit([encoder.finish()]);
                optimizer.wait()?;
            }
            Ok(None)
        }),
        "record-for" => this.with(sources, usual, |optimizer, source| {
            for _ in 0..6 {
                let mut encoder = gpu.device().create_command_encoder(&Default::default());
                optimizer.record_for(&mut encoder, source, Duration::from_millis(20))?;
                gpu.queue().submit([encoder.finish()]);
                optimizer.wait()?;
                optimizer.frame_took(Duration::from_millis(10));
            }
            Ok(None)
        }),
        "checkpoint" => {
            this.run(sources, usual, 4);
            this.resume();
            this.run(sources, usual, 3);
            this.resume();
            // Another process has other sources, too.
            sources[0] = case.source(gpu, layout, 0);
            this.run(sources, usual, 3);
        }
        "two" => {
            let mut that = ride(1);
            for n in [3, 1, 4] {
                this.run(sources, usual, n);
                that.run(sources, usual, n + 1);
            }
            return vec![this.end(), that.end()];
        }
        "other-source" => {
            for (n, which) in [(3, 0), (3, 1), (2, 0), (2, 1)] {
                this.run(sources, (which, false), n);
            }
        }
        "new-wrapper" => {
            for (n, bare) in [(3, true), (3, false), (2, false), (2, true)] {
                this.run(sources, (0, bare), n);
            }
        }
        "measure" => this.with(sources, usual, |optimizer, source| {
            optimizer.measure(source)?;
            optimizer.run(source, 3)?;
            optimizer.measure(source)?;
            optimizer.measure(source)?;
            optimizer.run(source, 4)?;
            Ok(None)
        }),
        "dropped" => this.with(sources, usual, |optimizer, source| {
            for (n, kept) in [(2, true), (3, false), (3, true), (1, false), (2, true)] {
                let mut encoder = gpu.device().create_command_encoder(&Default::default());
                optimizer.record_many(&mut encoder, source, n)?;
                if kept {
                    gpu.queue().submit([encoder.finish()]);
                    optimizer.wait()?;
                }
            }
            Ok(None)
        }),
        "set-step" => {
            this.run(sources, usual, 4);
            if let Some(step_size) = case.choice(true).0 {
                this.optimizer.set_step_size(&step_size).unwrap();
            }
            this.run(sources, usual, 4);
            let last = this.trace.segments.len() - 1;
            this.trace.segments[last].chosen = case.choice(true).0.is_some();
        }
        other => unreachable!("no drive `{other}`"),
    }
    vec![this.end()]
}

/// To a time that some steps reach, which is known once some were made; and once more.
fn until(this: &mut Ride<'_>, sources: &mut [Source], twice: bool) {
    this.run(sources, (0, false), 3);
    for steps in [3.4, 2.7].into_iter().take(if twice { 2 } else { 1 }) {
        let reports = this.trace.segments.iter().flat_map(|s| &s.reports);
        let h = reports.map(|r| f64::from(r.h)).fold(0.0, f64::max);
        let end = this.optimizer.time() + steps * h;
        this.with(sources, (0, false), |optimizer, source| {
            optimizer.run_until(source, end)?;
            Ok(Some(end))
        });
        assert_eq!(this.optimizer.time() as f32, end as f32);
    }
}
