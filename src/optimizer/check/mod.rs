//! Tests of somebody's gradient source, on buffers of their own.

mod ask;
mod differences;
mod looks;
mod outcome;

use std::ops::Range;

use self::ask::{Answer, Ask, Buffers};
use self::differences::{DIRECTIONS, Difference, STEPS, Signs, direction, moved, norm, scale};
use super::Optimizer;
use crate::device::Gpu;
use crate::device::vector::Vector;
use crate::device::waiting::Waiting;
use crate::error::Error;
use crate::format::Storage;
use crate::layout::{ParamLayout, Tensor};
use crate::plan::Purpose;
use crate::source::{BatchTicket, BatchesFrom, GradientSource};
pub use outcome::{Outcome, SourceCheck, SourceFault, SourceTest, TensorCheck};

/// The value of elements before they are written; no gradient would be that.
const FILL: f32 = 7.25;
/// The part of a tensor's largest element by which two gradients that should be one may differ.
const ROUNDING: f64 = 1e-4;
/// Bounds for products and for differences of gradients, as parts of their norms.
const PRODUCT_RIGHT: f64 = 0.03;
const PRODUCT_WRONG: f64 = 0.1;

impl Optimizer {
    /// Evaluates a gradient source in many ways, and says what is wrong with it, tensor by
    /// tensor: for tests of sources, and for a first look at one that does not train.
    ///
    /// | test | a fault is |
    /// |---|---|
    /// | `claims` | another device, another layout, an ability that the plan wants and that is not there |
    /// | `written` | an element that is left as it was, depends on what was there, or is no finite number |
    /// | `padding` | something in the padding of a source that says it leaves none |
    /// | `repeated` | another gradient for the same θ and batch |
    /// | `buffers` | a gradient or loss that goes to the buffers of another evaluation |
    /// | `batches` | a batch that is gathered once a step, and not when [`Evaluation::ticket`](crate::Evaluation::ticket) changes |
    /// | `adds` | a sum that is not what was there plus the gradient |
    /// | `f16`, `bf16` | a narrow gradient that is not the one in f32, rounded |
    /// | `checks` | a norm or a place of what is not finite that is not the gradient's, of a source that checks what it writes |
    /// | `differences` | a gradient that is not the slope of the loss, by central differences along random directions within each tensor |
    /// | `products` | H v that is not the slope of the gradient |
    ///
    /// The optimizer stays as it is, bit for bit: point, gradient, loss and control block
    /// are others. The source is asked at θ on the batch that comes next, some dozens of times
    /// for each tensor, and on the one after it; one that draws its batches on the host draws
    /// these. A NaN is named by tensor and element where θ and batch still give one. Waits.
    ///
    /// ```
    /// use kutta::{Gpu, Method, Optimizer, StepSize, models::Analytic};
    /// let gpu = Gpu::new()?;
    /// let mut problem = Analytic::rosenbrock(&gpu, 2)?;
    /// let optimizer = Optimizer::builder(Method::rk4())
    ///     .step_size(StepSize::constant(1e-3))
    ///     .build(&gpu, problem.layout(), &[-1.2, 1.0])?;
    /// let check = optimizer.check_source(&mut problem)?;
    /// println!("{check}");
    /// assert!(check.is_sound());
    /// # Ok::<(), kutta::Error>(())
    /// ```
    ///
    /// # Errors
    /// An error of the source, a device that is lost or out of memory.
    pub fn check_source(&self, source: &mut impl GradientSource) -> Result<SourceCheck, Error> {
        pollster::block_on(self.check_source_with(source, Waiting::Blocks))
    }

    /// Checks as [`Optimizer::check_source`] does, without blocking.
    ///
    /// # Errors
    /// As [`Optimizer::check_source`].
    pub async fn check_source_async(
        &self,
        source: &mut impl GradientSource,
    ) -> Result<SourceCheck, Error> {
        self.check_source_with(source, Waiting::Yields).await
    }

    async fn check_source_with(
        &self,
        source: &mut impl GradientSource,
        waiting: Waiting,
    ) -> Result<SourceCheck, Error> {
        if let Err(refused) = self.check_fits(source, true) {
            let fault = SourceFault { tensor: None, message: refused.to_string() };
            let outcome = Outcome::Faulty(vec![fault]);
            let tests = vec![SourceTest { name: "claims", outcome }];
            return Ok(SourceCheck { tests, tensors: Vec::new(), notes: Vec::new() });
        }
        let theta = self.state.vectors[0].read_with(&self.gpu, waiting).await?;
        let at = (&theta[..], self.reports.progress().batch);
        let mut check = Check::new(&self.gpu, &self.layout, at, source, waiting)?;
        check.run().await?;
        Ok(check.done)
    }
}

/// A check under way.
struct Check<'a, S> {
    gpu: &'a Gpu,
    layout: &'a ParamLayout,
    theta: &'a [f32],
    /// The one that comes next.
    batch: u64,
    source: &'a mut S,
    waiting: Waiting,
    /// Two, to tell apart what is kept by buffers.
    buffers: [Buffers; 2],
    done: SourceCheck,
}

impl<'a, S: GradientSource> Check<'a, S> {
    fn new(
        gpu: &'a Gpu,
        layout: &'a ParamLayout,
        (theta, batch): (&'a [f32], u64),
        source: &'a mut S,
        waiting: Waiting,
    ) -> Result<Self, Error> {
        let buffers = || Buffers::new(gpu, layout.len(), Storage::F32, source.checks());
        let buffers = [buffers()?, buffers()?];
        let done = SourceCheck { tests: Vec::new(), tensors: Vec::new(), notes: Vec::new() };
        Ok(Self { gpu, layout, theta, batch, source, waiting, buffers, done })
    }

    async fn run(&mut self) -> Result<(), Error> {
        self.note_claims();
        self.report("claims", Vec::new());
        let first = self.first(0, f32::NAN);
        let unset = self.evaluate(0, &first).await?;
        let filled = self.first(0, FILL);
        let filled = self.evaluate(0, &filled).await?;
        let faults = self.written(&unset, &filled);
        let whole = faults.is_empty();
        self.report("written", faults);
        self.padding([&unset, &filled]);
        self.done.tensors = self.layout.tensors().iter().map(|t| of_tensor(t, &filled)).collect();
        if !whole {
            let reason = "its gradient is not whole";
            for name in [
                "repeated",
                "buffers",
                "batches",
                "adds",
                "f16",
                "bf16",
                "checks",
                "differences",
                "products",
            ] {
                self.skip(name, reason);
            }
            return Ok(());
        }
        self.repeated(&unset).await?;
        self.other_buffers(&unset).await?;
        self.batches(&unset).await?;
        self.adds(&unset).await?;
        for (name, storage) in [("f16", Storage::F16), ("bf16", Storage::Bf16)] {
            self.narrow(name, storage, &unset).await?;
        }
        self.looks().await?;
        self.differences(&unset).await?;
        self.products(&unset).await
    }

    fn report(&mut self, name: &'static str, faults: Vec<SourceFault>) {
        let outcome = if faults.is_empty() { Outcome::Sound } else { Outcome::Faulty(faults) };
        self.done.tests.push(SourceTest { name, outcome });
    }

    fn skip(&mut self, name: &'static str, reason: &str) {
        self.done.tests.push(SourceTest { name, outcome: Outcome::Skipped(reason.into()) });
    }

    fn note_claims(&mut self) {
        let notes = &mut self.done.notes;
        if self.source.layout().is_none() {
            notes.push(
                "the source does not say its layout (`GradientSource::layout`): an optimizer of \
                 others of the same length would take it"
                    .into(),
            );
        }
        if self.source.gpu().is_none() {
            notes.push(
                "the source does not say its device (`GradientSource::gpu`): an optimizer on \
                 another would take it"
                    .into(),
            );
        }
    }

    /// Stage 1 on the batch that comes next, or on one `ahead` of it.
    fn first(&self, ahead: u64, before: f32) -> Ask<'a> {
        Ask {
            purpose: Purpose::Stage(1),
            batch: self.batch + ahead,
            ticket: BatchTicket::new(),
            theta: self.theta,
            before,
            adds: false,
            check: None,
            direction: None,
        }
    }

    async fn evaluate(&mut self, set: usize, ask: &Ask<'_>) -> Result<Answer, Error> {
        let Self { gpu, layout, source, waiting, buffers, .. } = self;
        let parts: Vec<Range<usize>> = layout.tensors().iter().map(Tensor::range).collect();
        let buffers = &buffers[set];
        buffers.fill(gpu, &parts, ask.before)?;
        buffers.record(gpu, *source, ask)?;
        let loss = buffers.loss(gpu, *waiting).await?;
        Ok(Answer { loss, gradient: buffers.gradient(gpu, *waiting).await? })
    }

    /// The loss alone.
    async fn loss_at(&mut self, theta: &[f32]) -> Result<Option<f32>, Error> {
        let ask = Ask { theta, ..self.first(0, 0.0) };
        self.buffers[0].record(self.gpu, self.source, &ask)?;
        self.buffers[0].loss(self.gpu, self.waiting).await
    }

    /// Every element must be written, whatever was there before, and be finite.
    fn written(&mut self, unset: &Answer, filled: &Answer) -> Vec<SourceFault> {
        let mut faults = Vec::new();
        for tensor in self.layout.tensors() {
            let largest =
                filled.gradient[tensor.range()].iter().fold(0.0f32, |a, x| a.max(x.abs()));
            let (mut left, mut odd, mut depends) = (Vec::new(), Vec::new(), Vec::new());
            for (i, at) in tensor.range().enumerate() {
                let (over_nan, over_fill) = (unset.gradient[at], filled.gradient[at]);
                if over_nan.is_nan() && over_fill.to_bits() == FILL.to_bits() {
                    left.push(i);
                } else if !over_fill.is_finite() {
                    odd.push(i);
                } else if !close(over_nan, over_fill, largest) {
                    depends.push(i);
                }
            }
            let value = |i: usize| filled.gradient[tensor.range().start + i];
            for (found, what) in [
                (left, "left as it was; write every element of every tensor".to_owned()),
                (odd, "not finite".to_owned()),
                (
                    depends,
                    "another number where another one lay there before; write it, and add to it \
                     only where `Evaluation::adds` says so"
                        .to_owned(),
                ),
            ] {
                if let Some(&i) = found.first() {
                    let (count, all) = (found.len(), tensor.len());
                    let message = format!(
                        "{count} of {all} elements, the first {i} ({}), are {what}",
                        value(i)
                    );
                    faults.push(SourceFault { tensor: Some(tensor.name().into()), message });
                }
            }
        }
        if let Some(loss) = filled.loss.filter(|loss| !loss.is_finite()) {
            let message = format!("the loss is {loss}");
            faults.push(SourceFault { tensor: None, message });
        }
        faults
    }

    fn padding(&mut self, answers: [&Answer; 2]) {
        let end = self.layout.len()..answers[0].gradient.len();
        let gaps: Vec<Range<usize>> = self.layout.gaps().into_iter().chain([end]).collect();
        let dirty = |answer: &Answer| {
            gaps.iter().flat_map(Clone::clone).find(|&i| answer.gradient[i] != 0.0)
        };
        let Some((at, value)) =
            answers.iter().find_map(|a| dirty(a).map(|at| (at, a.gradient[at])))
        else {
            return self.report("padding", Vec::new());
        };
        let before = self.layout.tensors().iter().rev().find(|t| t.range().end <= at);
        let tensor = before.map(|tensor| tensor.name().to_owned());
        let what = format!("element {at} of the vector, in the padding behind it, is {value}");
        if !self.source.keeps_padding() {
            let name = tensor.unwrap_or_default();
            let note = format!(
                "behind `{name}`: {what}; kutta clears it, a dispatch for each gradient. A source \
                 that leaves zeros can say so (`GradientSource::keeps_padding`)"
            );
            self.done.notes.push(note);
            return self.report("padding", Vec::new());
        }
        let message = format!(
            "{what}, and the source says that it leaves zeros there \
             (`GradientSource::keeps_padding`)"
        );
        self.report("padding", vec![SourceFault { tensor, message }]);
    }

    /// Finds where two gradients that should be one differ, tensor by tensor.
    fn apart(&self, found: &[f32], expected: &[f32], what: &str) -> Vec<SourceFault> {
        let apart = |tensor: &Tensor| {
            let range = tensor.range();
            let (found, expected) = (&found[range.clone()], &expected[range]);
            let largest = expected.iter().fold(0.0f32, |a, x| a.max(x.abs()));
            let differs = |i: &usize| !close(found[*i], expected[*i], largest);
            let count = (0..tensor.len()).filter(differs).count();
            let i = (0..tensor.len()).find(differs)?;
            let message = format!(
                "{count} of {} elements differ, the first {i}: {} for {}; {what}",
                tensor.len(),
                found[i],
                expected[i]
            );
            Some(SourceFault { tensor: Some(tensor.name().into()), message })
        };
        self.layout.tensors().iter().filter_map(apart).collect()
    }

    async fn repeated(&mut self, once: &Answer) -> Result<(), Error> {
        let ask = self.first(0, f32::NAN);
        let again = self.evaluate(0, &ask).await?;
        // And as a later stage on the batch that is there already.
        let later = Ask { purpose: Purpose::Stage(2), ..ask };
        let later = self.evaluate(0, &later).await?;
        let what = "at the same θ on the same batch, asked a second time";
        let mut faults = self.apart(&again.gradient, &once.gradient, what);
        if faults.is_empty() {
            let what = "at the same θ on the same batch, asked as stage 2 with the same ticket";
            faults = self.apart(&later.gradient, &once.gradient, what);
        }
        let bits =
            |answer: &Answer| answer.gradient.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        if faults.is_empty() && bits(&again) != bits(once) {
            self.done.notes.push(
                "asked twice, the source gives gradients that differ by rounding: a run cannot be \
                 repeated bit for bit"
                    .into(),
            );
        }
        self.report("repeated", faults);
        Ok(())
    }

    async fn other_buffers(&mut self, once: &Answer) -> Result<(), Error> {
        let parts: Vec<Range<usize>> = self.layout.tensors().iter().map(Tensor::range).collect();
        self.buffers[0].fill(self.gpu, &parts, FILL)?;
        let ask = self.first(0, f32::NAN);
        let other = self.evaluate(1, &ask).await?;
        let untouched = self.buffers[0].gradient(self.gpu, self.waiting).await?;
        let touched =
            parts.iter().cloned().flatten().any(|i| untouched[i].to_bits() != FILL.to_bits());
        let what = "in other buffers than before; bind groups are to be kept by `Evaluation::key`";
        let mut faults = self.apart(&other.gradient, &once.gradient, what);
        if touched {
            let message = "it writes to the gradient of an evaluation before; bind groups are to \
                           be kept by `Evaluation::key`";
            faults.push(SourceFault { tensor: None, message: message.into() });
        }
        if other.loss.is_none() && once.loss.is_some() {
            let message = "the loss goes to the slot of an evaluation before; bind groups are to \
                           be kept by `Evaluation::key`";
            faults.push(SourceFault { tensor: None, message: message.into() });
        }
        self.report("buffers", faults);
        Ok(())
    }

    async fn batches(&mut self, once: &Answer) -> Result<(), Error> {
        let ask = self.first(1, f32::NAN);
        let next = self.evaluate(0, &ask).await?;
        let ask = self.first(0, f32::NAN);
        let back = self.evaluate(0, &ask).await?;
        let (here, there) = (self.batch, self.batch + 1);
        let what = format!("on batch {here} again, after batch {there}");
        let mut faults = self.apart(&back.gradient, &once.gradient, &what);
        // As `PerStage` asks: a later stage, a block and a ticket of its own.
        let ask = Ask { purpose: Purpose::Stage(2), ..self.first(1, f32::NAN) };
        let later = self.evaluate(1, &ask).await?;
        let differs = !self.apart(&next.gradient, &once.gradient, "").is_empty();
        let stale = self.apart(&later.gradient, &once.gradient, "").is_empty();
        let what = match differs && stale {
            true => format!(
                "stage 2 on batch {there} sees the batch of stage 1; gather whenever \
                 `Evaluation::ticket` changes, whatever the purpose"
            ),
            false => format!(
                "on batch {there}, asked as stage 2 with a control block and a ticket of its own"
            ),
        };
        faults.extend(self.apart(&later.gradient, &next.gradient, &what));
        if self.source.batches() == BatchesFrom::One && differs {
            let what = format!(
                "on batch {there}, where the source says that there is one (`BatchesFrom::One`)"
            );
            faults.extend(self.apart(&next.gradient, &once.gradient, &what));
        }
        if self.source.batches() != BatchesFrom::One && !differs {
            self.done.notes.push(format!(
                "batches {here} and {there} have the same gradient; a source of one batch can say \
                 so (`BatchesFrom::One`), one of several is to look at the control block's `batch`"
            ));
        }
        self.report("batches", faults);
        Ok(())
    }

    async fn adds(&mut self, once: &Answer) -> Result<(), Error> {
        if !self.source.adds() {
            self.skip("adds", "the source does not (`GradientSource::adds`)");
            return Ok(());
        }
        let largest = once.gradient.iter().fold(0.0f32, |a, x| a.max(x.abs()));
        let before = if largest > 0.0 { 0.5 * largest } else { 1.0 };
        let ask = Ask { adds: true, ..self.first(0, before) };
        let sum = self.evaluate(0, &ask).await?;
        let expected: Vec<f32> = once.gradient.iter().map(|g| before + g).collect();
        let what = "what was there plus the gradient, where `Evaluation::adds` says so";
        let faults = self.apart(&sum.gradient, &expected, what);
        self.report("adds", faults);
        Ok(())
    }

    async fn narrow(
        &mut self,
        name: &'static str,
        storage: Storage,
        once: &Answer,
    ) -> Result<(), Error> {
        if !self.source.writes(storage) {
            self.skip(name, "the source does not write it (`GradientSource::writes`)");
            return Ok(());
        }
        let own = Buffers::new(self.gpu, self.layout.len(), storage, self.source.checks())?;
        let usual = std::mem::replace(&mut self.buffers[0], own);
        let ask = self.first(0, f32::NAN);
        let answer = self.evaluate(0, &ask).await;
        let looked = self.looks_narrow(storage).await;
        self.buffers[0] = usual;
        let found = answer?.gradient;
        let unit = storage.unit_roundoff();
        let least = if storage == Storage::F16 { 2f64.powi(-24) } else { 0.0 };
        let most = f64::from(storage.largest());
        let mut faults = Vec::new();
        for tensor in self.layout.tensors() {
            let largest = once.gradient[tensor.range()].iter().fold(0.0f32, |a, x| a.max(x.abs()));
            let differs = |&i: &usize| {
                let (found, exact) = (f64::from(found[i]), f64::from(once.gradient[i]));
                let clamped = exact.clamp(-most, most);
                let room =
                    1.1 * unit * clamped.abs() + least + ROUNDING * unit * f64::from(largest);
                // What is not a number is not within any room.
                let within = (found - clamped).abs() <= room;
                !within
            };
            let count = tensor.range().filter(differs).count();
            if let Some(at) = tensor.range().find(differs) {
                let i = at - tensor.range().start;
                let message = format!(
                    "{count} of {} elements, the first {i} ({}), are not those in f32 ({}), rounded",
                    tensor.len(),
                    found[at],
                    once.gradient[at]
                );
                faults.push(SourceFault { tensor: Some(tensor.name().into()), message });
            }
        }
        faults.extend(looked?);
        self.report(name, faults);
        Ok(())
    }

    async fn differences(&mut self, once: &Answer) -> Result<(), Error> {
        let Some(here) = once.loss else {
            self.skip("differences", "the source gives no loss (`Evaluation::loss`)");
            return Ok(());
        };
        let mut signs = Signs(11);
        let mut faults = Vec::new();
        let mut silent = Vec::new();
        for (index, tensor) in self.layout.tensors().iter().enumerate() {
            let range = tensor.range();
            let gradient = &once.gradient[range.clone()];
            let far = scale(self.theta, range.clone());
            let mut worst: Option<f64> = None;
            'directions: for number in 0..DIRECTIONS {
                let along = direction(number, gradient, &mut signs);
                let mut tried = Vec::new();
                for step in STEPS {
                    let ends = [step, -step]
                        .map(|step| moved(self.theta, range.clone(), &along, step * far));
                    let above = self.loss_at(&ends[0]).await?;
                    let below = self.loss_at(&ends[1]).await?;
                    let (Some(above), Some(below)) = (above, below) else { continue };
                    let ends = [&ends[0][range.clone()], &ends[1][range.clone()]];
                    tried.push(Difference::new(step, [above, here, below], gradient, ends));
                    if let Some(part) = differences::settled(&tried) {
                        worst = Some(worst.unwrap_or(0.0).max(part));
                        continue 'directions;
                    }
                }
                match differences::judged(tried) {
                    None => silent.push(tensor.name()),
                    Some(Ok(part)) => worst = Some(worst.unwrap_or(0.0).max(part)),
                    Some(Err(difference)) => {
                        let Difference { found, expected, .. } = difference;
                        let along = match number {
                            0 if norm(gradient) > 0.0 => "its gradient",
                            _ => "a random direction",
                        };
                        let message = format!(
                            "along {along} the loss changes by {found:.4e}, and its gradient says \
                             {expected:.4e}"
                        );
                        faults.push(SourceFault { tensor: Some(tensor.name().into()), message });
                        worst = Some(difference.disagreement());
                        break 'directions;
                    }
                }
            }
            self.done.tensors[index].disagreement = worst;
        }
        silent.dedup();
        if !silent.is_empty() {
            let names = silent.join("`, `");
            self.done.notes.push(format!(
                "in some directions within `{names}` differences of the loss, which is f32, say \
                 nothing about the gradient"
            ));
        }
        self.report("differences", faults);
        Ok(())
    }

    async fn products(&mut self, once: &Answer) -> Result<(), Error> {
        if !self.source.products() {
            self.skip("products", "the source gives none (`GradientSource::products`)");
            return Ok(());
        }
        let mut signs = Signs(7);
        let mut along = vec![0.0f64; self.theta.len()];
        for tensor in self.layout.tensors() {
            let far = scale(self.theta, tensor.range());
            along[tensor.range()].fill_with(|| far * signs.next());
        }
        let narrowed: Vec<f32> = along.iter().map(|&v| v as f32).collect();
        let vector = Vector::from_slice(self.gpu, "direction of a check", &narrowed)?;
        let ask =
            Ask { purpose: Purpose::Product, direction: Some(&vector), ..self.first(0, f32::NAN) };
        let product = self.evaluate(0, &ask).await?.gradient;
        let all = 0..self.theta.len();
        let mut differences: Vec<Vec<f32>> = Vec::new();
        // From the smallest to the largest.
        let mut steps = STEPS;
        steps.sort_by(f64::total_cmp);
        for step in steps {
            let mut gradients = Vec::new();
            for step in [step, -step] {
                let theta = moved(self.theta, all.clone(), &along, step);
                let ask = Ask { theta: &theta, ..self.first(0, f32::NAN) };
                gradients.push(self.evaluate(0, &ask).await?.gradient);
            }
            let slope =
                |(a, b): (&f32, &f32)| ((f64::from(*a) - f64::from(*b)) / (2.0 * step)) as f32;
            differences.push(gradients[0].iter().zip(&gradients[1]).map(slope).collect());
        }
        let mut faults = Vec::new();
        for tensor in self.layout.tensors() {
            let range = tensor.range();
            let found = &product[range.clone()];
            let part = |a: &[f32], b: &[f32]| {
                let apart: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
                norm(&apart) / norm(a).max(norm(b)).max(f64::MIN_POSITIVE)
            };
            // What rounding of the gradient leaves in a difference.
            let noise = |step: f64| {
                8.0 * f64::from(f32::EPSILON) * norm(&once.gradient[range.clone()]) / step
            };
            let of = |i: usize| &differences[i][range.clone()];
            let zero = (0..steps.len()).any(|i| norm(found).max(norm(of(i))) <= noise(steps[i]));
            if zero || (0..steps.len()).any(|i| part(found, of(i)) <= PRODUCT_RIGHT) {
                continue;
            }
            let tells =
                |&i: &usize| noise(steps[i]) <= PRODUCT_RIGHT * norm(of(i)).max(norm(found));
            // What a difference is off by for its size falls with it: the smallest that tells.
            let wrong = |&i: &usize| {
                part(found, of(i)) > PRODUCT_WRONG && part(of(i), of(i + 1)) <= PRODUCT_RIGHT
            };
            match (0..steps.len() - 1).find(tells).filter(wrong) {
                Some(i) => {
                    let message = format!(
                        "‖H v‖ is {:.4e}, and differences of the gradient say {:.4e}; {:.0} % of \
                         it differs",
                        norm(found),
                        norm(of(i)),
                        100.0 * part(found, of(i))
                    );
                    faults.push(SourceFault { tensor: Some(tensor.name().into()), message });
                }
                None => {
                    let name = tensor.name();
                    self.done.notes.push(format!(
                        "differences of gradients say nothing about the product in `{name}`"
                    ));
                }
            }
        }
        self.report("products", faults);
        Ok(())
    }
}

fn close(a: f32, b: f32, size: f32) -> bool {
    f64::from((a - b).abs()) <= ROUNDING * f64::from(size)
}

fn of_tensor(tensor: &Tensor, answer: &Answer) -> TensorCheck {
    TensorCheck {
        name: tensor.name().into(),
        elements: tensor.len(),
        norm: norm(&answer.gradient[tensor.range()]),
        disagreement: None,
    }
}
