//! What a training step is predicted to take on a large GPU, dispatch by dispatch.

use std::fmt;

use crate::plan::{Op, Plan};

/// One dispatch and its predicted time on a large GPU.
#[derive(Clone, Debug, PartialEq)]
pub struct PredictedDispatch {
    /// The kernel's name.
    pub kernel: String,
    /// The form that was chosen, where there is a choice: product, tile, chunks.
    pub form: String,
    pub microseconds: f64,
}

impl PredictedDispatch {
    pub(crate) fn new(kernel: &str, form: String, microseconds: f64) -> Self {
        Self { kernel: kernel.into(), form, microseconds }
    }
}

/// The dispatches of a gradient, predicted for a large GPU without any device: the model by
/// which products are chosen, fitted to an NVIDIA H100 (`docs/roofline.md`).
///
/// Made by [`MlpBuilder::predicted`](crate::models::MlpBuilder::predicted) and
/// [`FieldBuilder::predicted`](crate::models::FieldBuilder::predicted).
///
/// ```
/// use kutta::{Ingredients, Method, Momentum, Plan, Preconditioner, models::Mlp, plan::Options};
/// let gradient = Mlp::builder(&[784, 128, 10]).predicted(64)?;
/// let adam = Ingredients {
///     preconditioner: Preconditioner::adam(0.999, 1e-8),
///     momentum: Momentum::ema(0.9),
///     ..Ingredients::default()
/// };
/// let plan = Plan::with_ingredients(&Method::euler(), &adam, Options::default())?;
/// println!("{gradient}{:.0} µs a step", gradient.step_microseconds(&plan));
/// # Ok::<(), kutta::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    draw: Vec<PredictedDispatch>,
    gradient: Vec<PredictedDispatch>,
    parameters: usize,
    elements: usize,
}

/// What a source's dispatch takes on top of its own time, which was measured among others of its
/// kind, with operands in the cache.
const BETWEEN: f64 = 1.0;
/// A dispatch of a kernel of an optimizer's, and of one that leaves sums behind.
const OWN: f64 = 3.0;
const OWN_WITH_SUMS: f64 = 4.3;
/// A dispatch of one workgroup that decides. It reads what others left: from the cache while
/// vectors are short.
const DECIDES: f64 = 7.9;
const DECIDES_COLD: f64 = 12.2;
const SHORT: usize = 1 << 18;
/// Bytes that an optimizer's kernels move in a microsecond.
const MOVED: f64 = 3.0e6;

impl Prediction {
    pub(crate) fn new(
        draw: Vec<PredictedDispatch>,
        gradient: Vec<PredictedDispatch>,
        (parameters, elements): (usize, usize),
    ) -> Self {
        Self { draw, gradient, parameters, elements }
    }

    /// A step whose gradients cost nothing: the optimizer's own kernels on so many parameters.
    pub fn without_gradients(parameters: usize) -> Self {
        Self::new(Vec::new(), Vec::new(), (parameters, parameters))
    }

    /// Parameters of the network.
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// Dispatches that draw a batch: once an attempt, or for each stage that has its own.
    pub fn draw(&self) -> &[PredictedDispatch] {
        &self.draw
    }

    /// Dispatches of a gradient on a batch that is drawn.
    pub fn gradient(&self) -> &[PredictedDispatch] {
        &self.gradient
    }

    /// The whole of a gradient on a fresh batch, in microseconds.
    pub fn gradient_microseconds(&self) -> f64 {
        total(self.draw.iter().chain(&self.gradient))
    }

    /// The dispatches of an attempt by this plan, in order: the batch, gradients, and the
    /// optimizer's own.
    pub fn step(&self, plan: &Plan) -> Vec<PredictedDispatch> {
        let mut all = self.draw.clone();
        for op in plan.ops() {
            match op {
                Op::Evaluate { .. } => all.extend_from_slice(&self.gradient),
                _ => all.push(self.own(op, plan)),
            }
        }
        all
    }

    /// The whole of [`Prediction::step`], in microseconds.
    pub fn step_microseconds(&self, plan: &Plan) -> f64 {
        let evaluates = |op: &&Op| matches!(op, Op::Evaluate { .. });
        let gradients = plan.ops().iter().filter(evaluates).count() as f64;
        let own = plan.ops().iter().filter(|op| !evaluates(op));
        let own: f64 = own.map(|op| self.own(op, plan).microseconds).sum();
        total(&self.draw) + gradients * total(&self.gradient) + own
    }

    fn own(&self, op: &Op, plan: &Plan) -> PredictedDispatch {
        let bytes = op.bytes(plan.ingredients()) * self.elements;
        let time = match op {
            Op::Verdict | Op::Choose(_) | Op::Fit { .. } if self.elements < SHORT => DECIDES,
            Op::Verdict | Op::Choose(_) | Op::Fit { .. } => DECIDES_COLD,
            _ => {
                let sums = op.norm().is_some() || matches!(op, Op::Finish(_) | Op::Estimate(_));
                (if sums { OWN_WITH_SUMS } else { OWN }) + bytes as f64 / MOVED
            }
        };
        let label = if *op == Op::Verdict { "verdict".into() } else { op.label() };
        let form = match op.words(plan.ingredients()) {
            0 => String::new(),
            1 => "1 word".into(),
            words => format!("{words} words"),
        };
        PredictedDispatch::new(&label, form, time)
    }
}

/// Microseconds of a source's dispatches that follow each other.
fn total<'a>(dispatches: impl IntoIterator<Item = &'a PredictedDispatch>) -> f64 {
    dispatches.into_iter().map(|dispatch| dispatch.microseconds + BETWEEN).sum()
}

/// A line a dispatch of a gradient on a fresh batch: kernel, microseconds, form.
impl fmt::Display for Prediction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for dispatch in self.draw.iter().chain(&self.gradient) {
            let PredictedDispatch { kernel, form, microseconds } = dispatch;
            let line = format!("{kernel:<36} {microseconds:>9.1} µs  {form}");
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}
