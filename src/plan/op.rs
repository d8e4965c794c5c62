//! The operations of a plan.

use std::fmt;

use super::deciding::{Choice, Dots, DotsOf, Radius};
use super::ending::{Estimate, Finish, Makes};
use super::formulas::{coefficient, finished, subscript, sum};
use super::linear::Linear;
use super::registers::Registers;
use super::touch::{Diagonal, Touch, Use, What};
use super::vector::{Name, Operand};
use crate::format::Storage;
use crate::ingredients::{Ingredients, Momentum, Rule};

/// The purpose of a gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Purpose {
    /// Stage i = 1 … s of the method. Stage 1's point is the parameters.
    Stage(u32),
    /// A probe beside θ, for step sizes that look at curvature.
    Probe,
    /// A step of the power iteration for the spectral radius.
    Power,
    /// A Hessian-vector product H(θ) g in place of a gradient.
    Product,
    /// The extra gradient of an automatic first step size.
    FirstStep,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stage(stage) => write!(f, "stage {stage}"),
            Self::Probe => f.write_str("probe"),
            Self::Power => f.write_str("power iteration"),
            Self::Product => f.write_str("Hessian-vector product"),
            Self::FirstStep => f.write_str("first step"),
        }
    }
}

/// What the gradient source looks at as it writes a gradient, in place of a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Check {
    /// ‖k₁‖ is wanted too.
    pub norm: bool,
    /// The squares of the elements become state, and must be finite like the elements.
    pub squares: bool,
}

/// One operation of a plan.
#[derive(Clone, Debug, PartialEq)]
pub enum Op<V = Operand> {
    /// The gradient source writes ∇L at a point.
    Evaluate {
        purpose: Purpose,
        point: V,
        gradient: V,
        /// k₁, which a product is taken with.
        direction: Option<V>,
        /// The source adds it to what is there.
        adds: bool,
        /// The source looks for NaN and infinity in what it leaves there: no guard does.
        check: Option<Check>,
    },
    /// A stage point, a partial sum, or θ ← …, if the verdict accepted.
    Combine(Linear<V>),
    /// Looks for NaN and infinity in a gradient (in its squares, if those are
    /// what becomes state), and takes ‖k₁‖ where asked.
    Guard { gradient: V, stage: u32, norm: bool, squares: bool },
    /// k ← k + λ y, L2 decay at a point y.
    Decay { gradient: V, point: V },
    /// A gradient that its source wrote in f32, to its own storage.
    Pack { from: V, to: V },
    /// The average of θ takes in what is now θ, if the verdict accepted.
    Average,
    /// Sums over gradients that decide about h.
    Dots(Dots<V>),
    /// One iteration for the spectral radius ρ of D·H.
    Radius(Radius<V>),
    /// h ← min(h, interval/ρ), for so many stages.
    Fit { interval: f64, stages: u32 },
    /// A stage of a method that passes registers on.
    Registers(Registers<V>),
    /// Decides about h, from the sums before it.
    Choose(Choice),
    /// The verdict: reads what the checks left, decides, writes the record.
    Verdict,
    /// θ and the momentum ← …, if the verdict accepted; or the candidate and
    /// the momentum's other half before it.
    Finish(Finish<V>),
    /// The error estimate of the candidate.
    Estimate(Estimate<V>),
    /// A copy, if the verdict accepted: θ ← the candidate. Or one that is made where the
    /// batch stays the same too, and is reused: k₁ ← k_s, the gradient at what is now θ.
    Commit { from: V, to: V, reuses: bool },
}

/// The declaration of what operations touch: everything else that depends on it asks here.
impl<V: Copy> Op<V> {
    /// The same operation over other vectors: `f` makes each of them from the one that is
    /// there, and is told what becomes of it.
    pub(super) fn with<W>(&self, mut f: impl FnMut(Use, V) -> W) -> Op<W> {
        let f = &mut f;
        match *self {
            Op::Evaluate { purpose, point, gradient, direction, adds, check } => {
                let into = if adds { Use::BOTH.wide() } else { Use::WRITE };
                Op::Evaluate {
                    purpose,
                    point: f(Use::READ.wide(), point),
                    direction: direction.map(|k| f(Use::READ.wide(), k)),
                    gradient: f(into, gradient),
                    adds,
                    check,
                }
            }
            Op::Combine(ref linear) => Op::Combine(linear.with(f)),
            Op::Registers(ref registers) => Op::Registers(registers.with(f)),
            Op::Guard { gradient, stage, norm, squares } => {
                Op::Guard { gradient: f(Use::READ, gradient), stage, norm, squares }
            }
            Op::Decay { gradient, point } => {
                Op::Decay { gradient: f(Use::BOTH, gradient), point: f(Use::READ.wide(), point) }
            }
            Op::Pack { from, to } => {
                Op::Pack { from: f(Use::READ.wide(), from), to: f(Use::WRITE, to) }
            }
            Op::Dots(Dots { a, b, diagonal, sums }) => {
                // What they differ by would be lost in rounding.
                let by = if b.is_some() { Use::READ.wide() } else { Use::READ };
                Op::Dots(Dots { a: f(by, a), b: b.map(|b| f(by, b)), diagonal, sums })
            }
            Op::Radius(Radius { vector, others, diagonal }) => {
                // At the start it stays, unless there is none.
                let by = if others.is_some() { Use::BOTH } else { Use::WRITE.seldom() };
                Op::Radius(Radius {
                    vector: f(by.wide(), vector),
                    others: others.map(|others| others.map(|other| f(Use::READ.wide(), other))),
                    diagonal,
                })
            }
            Op::Finish(Finish { target, ref gradients, diagonal }) => Op::Finish(Finish {
                gradients: gradients.iter().map(|&(b, k)| (b, f(Use::READ, k))).collect(),
                target: f(Use::WRITE.wide(), target),
                diagonal,
            }),
            Op::Estimate(Estimate { candidate, drift, makes, two, ref terms, diagonal }) => {
                let by = if makes == Makes::Nothing { Use::READ } else { Use::WRITE };
                Op::Estimate(Estimate {
                    candidate: f(by.wide(), candidate),
                    terms: terms.iter().map(|&(weights, k)| (weights, f(Use::READ, k))).collect(),
                    drift,
                    makes,
                    two,
                    diagonal,
                })
            }
            Op::Commit { from, to, reuses } => {
                // What a reuse costs, the gradient that it spares more than pays for.
                let by = |by: Use| if reuses { by.seldom() } else { by };
                Op::Commit { from: f(by(Use::READ), from), to: f(by(Use::WRITE), to), reuses }
            }
            Op::Average => Op::Average,
            Op::Fit { interval, stages } => Op::Fit { interval, stages },
            Op::Choose(choice) => Op::Choose(choice),
            Op::Verdict => Op::Verdict,
        }
    }

    /// θ is read as what it is, whatever vectors the operation names.
    fn reads_theta(&self) -> bool {
        match self {
            Op::Finish(_) | Op::Estimate(_) | Op::Radius(_) | Op::Average => true,
            Op::Dots(dots) => dots.sums == DotsOf::Scaled,
            Op::Registers(registers) => registers.based,
            _ => false,
        }
    }

    /// The use of the preconditioner's state.
    pub(super) fn diagonal(&self) -> Diagonal {
        match self {
            Op::Combine(linear) => linear.diagonal,
            Op::Finish(finish) => finish.diagonal,
            Op::Dots(dots) => dots.diagonal,
            Op::Estimate(estimate) => estimate.diagonal,
            Op::Radius(radius) => radius.diagonal,
            Op::Registers(registers) => registers.diagonal,
            _ => Diagonal::None,
        }
    }

    /// The state besides vectors and D.
    fn state(&self, ingredients: &Ingredients) -> Vec<(What, Use)> {
        let mean = (ingredients.momentum != Momentum::None).then_some((What::Momentum, Use::BOTH));
        let partials = |leaves: bool| leaves.then_some((What::Partials, Use::WRITE));
        let control = Some((What::Control, Use::READ));
        let decides = [What::Control, What::Partials].map(|what| Some((what, Use::BOTH)));
        let checks = Some((What::Checks, Use::BOTH));
        let [loss, last] = [What::Loss, What::LastLoss].map(|what| Some((what, Use::BOTH)));
        let all = match self {
            Op::Evaluate { check, .. } => {
                vec![check.map(|_| (What::Checks, Use::WRITE))]
            }
            Op::Decay { .. } | Op::Pack { .. } => vec![],
            Op::Guard { .. } => vec![partials(true)],
            Op::Combine(linear) => vec![partials(linear.leaves_partials()), control],
            Op::Registers(registers) => vec![partials(registers.leaves_partials()), control],
            Op::Dots(_) | Op::Radius(_) => vec![partials(true), control],
            Op::Commit { .. } => vec![control],
            Op::Average => vec![Some((What::Average, Use::BOTH)), control],
            Op::Finish(_) => vec![mean, control],
            Op::Estimate(Estimate { makes: Makes::Finish, .. }) => {
                vec![mean, partials(true), control]
            }
            Op::Estimate(_) => vec![partials(true), control],
            Op::Fit { .. } => decides.to_vec(),
            Op::Choose(_) => [&decides[..], &[checks, loss]].concat(),
            Op::Verdict => {
                [&decides[..], &[checks, loss, last, Some((What::Ring, Use::WRITE))]].concat()
            }
        };
        all.into_iter().flatten().collect()
    }

    /// The vectors that it names, in the order in which it reads and writes them.
    pub(super) fn vectors(&self) -> Vec<(Use, V)> {
        let mut all = Vec::new();
        self.with(|by, vector| all.push((by, vector)));
        all
    }
}

impl Op {
    /// Everything that the operation reads and writes. A vector that it reads and another
    /// that it writes may be in one buffer.
    pub fn touches(&self, ingredients: &Ingredients) -> Vec<Touch> {
        let theta = Operand { name: Name::Theta, slot: 0, storage: Storage::F32 };
        let theta = self.reads_theta().then_some((Use::READ.wide(), theta));
        let vectors = self.vectors().into_iter().map(|(by, vector)| (What::Vector(vector), by));
        let second = self.diagonal().by().map(|by| (What::Second, by));
        let theta = theta.map(|(by, theta)| (What::Vector(theta), by));
        let all = theta.into_iter().chain(vectors).chain(second).chain(self.state(ingredients));
        let mut touches: Vec<Touch> = Vec::new();
        for (what, by) in all {
            let touch = Touch { what, by };
            // Several outputs may have one base.
            if !touches.contains(&touch) {
                touches.push(touch);
            }
        }
        touches
    }

    /// The storage buffers that a kernel binds for it, each once: as many as count against
    /// [`Options::bindings`](super::Options::bindings).
    pub fn buffers(&self, ingredients: &Ingredients) -> Vec<Touch> {
        Touch::joined(self.touches(ingredients))
    }

    /// The gradients that nobody looked at before this operation, with their stages: what is
    /// not finite in them refuses the attempt.
    pub fn checks(&self) -> Vec<(u32, Operand)> {
        match self {
            Op::Combine(linear) => {
                let checked = |stage: &u32| Some((*stage, linear.gradient(*stage)?));
                linear.checks.iter().filter_map(checked).collect()
            }
            Op::Guard { gradient, stage, .. } => vec![(*stage, *gradient)],
            Op::Evaluate { purpose: Purpose::Stage(stage), gradient, check: Some(_), .. } => {
                vec![(*stage, *gradient)]
            }
            Op::Registers(registers) => {
                let newest = registers.newest().filter(|_| registers.checks != 0);
                newest.map(|k| (registers.checks, k)).into_iter().collect()
            }
            _ => vec![],
        }
    }

    /// k₁, where its norm is taken on the way.
    pub fn norm(&self) -> Option<Operand> {
        match self {
            Op::Combine(linear) => linear.gradient(1).filter(|_| linear.norm),
            Op::Guard { gradient, norm, .. }
            | Op::Evaluate { gradient, check: Some(Check { norm, .. }), .. } => {
                Some(*gradient).filter(|_| *norm)
            }
            Op::Registers(registers) => registers.newest().filter(|_| registers.norm),
            _ => None,
        }
    }

    /// k₁, where it goes into the state of D before D is made. A finish takes the sum of
    /// all gradients there.
    pub fn updates(&self) -> Option<Operand> {
        let first = match self {
            Op::Combine(linear) => linear.gradient(1),
            Op::Registers(registers) => registers.newest(),
            Op::Dots(dots) => Some(dots.a),
            Op::Radius(radius) => radius.others.map(|[k, _]| k),
            _ => None,
        };
        first.filter(|_| self.diagonal() == Diagonal::Update)
    }

    /// Comes after the verdict, and moves nothing if that refused.
    pub fn is_conditional(&self) -> bool {
        match self {
            Op::Combine(linear) => linear.after(),
            Op::Commit { .. } | Op::Average => true,
            Op::Finish(finish) => finish.target.name == Name::Theta,
            Op::Registers(registers) => registers.after,
            _ => false,
        }
    }
}

/// Its names for readers.
impl Op {
    /// The formula.
    pub(super) fn text(&self, ingredients: &Ingredients) -> String {
        match self {
            Op::Evaluate { purpose, point, gradient, adds, check, .. } => {
                let what = match purpose {
                    _ if *adds => format!("{0} += ∇L({1})", gradient.name, point.name),
                    Purpose::Stage(i) => format!("k{} = ∇L({})", subscript(*i), point.name),
                    Purpose::Product => format!("{} = H(θ) k₁", gradient.name),
                    _ => format!("{} = ∇L({})", gradient.name, point.name),
                };
                let norm = if check.is_some_and(|check| check.norm) { ";  ‖k₁‖" } else { "" };
                match check {
                    Some(_) => what + &format!(";  finite {}?{norm}", gradient.name),
                    None => what,
                }
            }
            Op::Combine(linear) => {
                let mut what = linear.to_string();
                if linear.diagonal == Diagonal::Update {
                    what += ";  D from k₁";
                }
                if !linear.checks.is_empty() {
                    let stages: Vec<_> =
                        linear.checks.iter().map(|&i| Name::Gradient(i).to_string()).collect();
                    what += &format!(";  finite {}?", stages.join(", "));
                }
                if linear.norm {
                    what += ";  ‖k₁‖";
                }
                what
            }
            Op::Guard { gradient, norm, .. } => {
                let norm = if *norm { ";  ‖k₁‖" } else { "" };
                format!("guard: finite {}?{norm}", gradient.name)
            }
            Op::Finish(finish) => {
                let sum = sum(finish.gradients.iter().copied());
                let update =
                    if finish.diagonal == Diagonal::Update { ";  D from k₁" } else { "" };
                finished(ingredients, finish.diagonal, &sum) + update
            }
            Op::Estimate(estimate) => estimate.text(ingredients),
            Op::Dots(dots) => {
                let d = if dots.diagonal == Diagonal::None { "" } else { "D " };
                let u = match dots.b {
                    Some(b) => format!("{d}({} − {})", dots.a.name, b.name),
                    None => format!("{d}{}", dots.a.name),
                };
                match dots.sums {
                    DotsOf::RawProduct => format!("‖u‖, ⟨{}, u⟩, u = {u}", dots.a.name),
                    DotsOf::Product => format!("‖u‖, ⟨u, v⟩, u = {u}"),
                    DotsOf::Second => format!("‖u‖, ‖v‖, u = {u}"),
                    DotsOf::Scaled => format!("‖u‖, ‖θ‖ by tolerance, u = {u}"),
                }
            }
            Op::Radius(Radius { others: None, .. }) => "w = ±1, if there is none;  ‖θ‖".into(),
            Op::Radius(radius) => {
                let d = if radius.diagonal == Diagonal::None { "" } else { "D " };
                format!("w = {d}(w − k₁);  ‖w‖, ⟨z − θ, w⟩, ‖θ‖")
            }
            Op::Fit { interval, stages } => {
                let fraction = match ingredients.rule {
                    Some(Rule::Stable { .. }) => "f ",
                    _ => "",
                };
                let interval = coefficient(*interval);
                format!("h ≤ {fraction}{interval}/ρ for {stages} stages")
            }
            Op::Registers(registers) => registers.text(),
            Op::Decay { gradient, point } => {
                format!("{0} = {0} + λ {1}", gradient.name, point.name)
            }
            Op::Pack { from, to } => format!("{} = {}, as {}", to.name, from.name, to.storage),
            Op::Average => "x̄ = β x̄ + (1−β) θ".into(),
            Op::Choose(choice) => match choice {
                Choice::Norm => "‖k₁‖, clip",
                Choice::Direction => "‖v‖",
                Choice::Probed => "h by what the probe found",
                Choice::Multiplied => "h by the product",
                Choice::Next => "curvature for the next h",
                Choice::FirstProbe => "how far the first probe goes",
                Choice::FirstStep => "the first h",
                Choice::FirstCurvature => "the first curvature",
                Choice::RadiusStart => "how far along w to look",
                Choice::Radius => "ρ = ‖w‖/‖z − θ‖",
                Choice::Opened => "the first attempt may begin",
            }
            .into(),
            Op::Commit { reuses: false, .. } => "θ = θ', if accepted".into(),
            Op::Commit { from, to, .. } => {
                format!("{} = {}, if accepted and the batch stays", to.name, from.name)
            }
            Op::Verdict => "verdict".into(),
        }
    }

    /// Short enough for a table of measurements.
    pub fn label(&self) -> String {
        match self {
            Op::Combine(linear) => {
                let also = linear.also.iter().map(|also| format!(", {}", also.target.name));
                format!("combine {}{}", linear.target.name, also.collect::<String>())
            }
            Op::Finish(finish) => format!("finish {}", finish.target.name),
            Op::Guard { stage, .. } => format!("guard {}", Name::Gradient(*stage)),
            Op::Decay { gradient, .. } => format!("decay {}", gradient.name),
            Op::Average => "average".into(),
            Op::Dots(dots) if dots.b.is_some() => "dots of a difference".into(),
            Op::Dots(_) => "dots".into(),
            Op::Radius(radius) if radius.others.is_some() => "radius".into(),
            Op::Radius(_) => "radius, start".into(),
            Op::Registers(registers) => match registers.target {
                Some(target) => format!("registers {}", target.name),
                None => "registers".into(),
            },
            Op::Estimate(_) => "estimate".into(),
            Op::Commit { .. } => "commit".into(),
            Op::Pack { to, .. } => format!("pack {}", to.name),
            Op::Evaluate { .. } | Op::Fit { .. } | Op::Choose(_) | Op::Verdict => "decide".into(),
        }
    }
}
