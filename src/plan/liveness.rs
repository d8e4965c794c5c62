//! Puts named vectors into as few buffers as their lifetimes allow.

use std::collections::{BTreeSet, HashMap};

use super::{
    Also, Choice, Diagonal, Estimate, Field, FieldSums, Finish, Linear, Name, Op, Operand, Purpose,
    Scale, Slot,
};
use crate::ingredients::Ingredients;

/// An operation before its vectors have a place.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Evaluate {
        purpose: Purpose,
        point: Name,
        gradient: Name,
    },
    Linear {
        target: Name,
        base: Name,
        points: Vec<(f64, Name)>,
        gradients: Vec<(f64, Name)>,
        scale: Scale,
        diagonal: Diagonal,
        also: Option<Emission>,
    },
    Reduce {
        stage: u32,
        squares: bool,
    },
    Finish {
        target: Name,
        gradients: Vec<(f64, Name)>,
        diagonal: Diagonal,
    },
    Estimate {
        makes: bool,
        terms: Vec<([f64; 2], Name)>,
        diagonal: Diagonal,
    },
    Field {
        a: Name,
        b: Option<Name>,
        diagonal: Diagonal,
        sums: FieldSums,
    },
    Choose(Choice),
    Decay {
        gradient: Name,
        point: Name,
    },
    Control,
    Commit,
    Reuse {
        stage: u32,
    },
}

/// An [`Also`] before it has a place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Emission {
    pub(super) target: Name,
    pub(super) based: bool,
    pub(super) weights: Vec<f64>,
    /// Whether this kernel has room to check its gradients.
    pub(super) checks: bool,
}

impl Step {
    /// The gradient vectors a linear step reads.
    pub(super) fn gradients(&self) -> impl Iterator<Item = Name> + '_ {
        let terms = match self {
            Step::Linear { gradients, .. } | Step::Finish { gradients, .. } => gradients.as_slice(),
            _ => &[],
        };
        terms.iter().map(|&(_, name)| name)
    }

    fn reads(&self) -> Vec<Name> {
        match self {
            Step::Evaluate { point, .. } => vec![*point],
            Step::Linear { base, points, .. } => std::iter::once(*base)
                .chain(points.iter().map(|&(_, name)| name))
                .chain(self.gradients())
                .collect(),
            Step::Reduce { stage, .. } => vec![Name::Gradient(*stage)],
            Step::Finish { .. } => self.gradients().collect(),
            Step::Estimate { makes, terms, .. } => {
                let candidate = (!makes).then_some(Name::Candidate);
                candidate.into_iter().chain(terms.iter().map(|&(_, k)| k)).collect()
            }
            Step::Commit => vec![Name::Candidate],
            Step::Reuse { stage } => vec![Name::Gradient(*stage), Name::Gradient(1)],
            Step::Field { a, b, .. } => std::iter::once(*a).chain(*b).collect(),
            Step::Decay { gradient, point } => vec![*gradient, *point],
            Step::Choose(_) | Step::Control => vec![],
        }
    }
}

/// A plan's operations with every vector in its buffer.
pub(super) struct Draft {
    ops: Vec<Op>,
    slots: usize,
}

impl Draft {
    /// Words per parameter.
    pub(super) fn words(&self, ingredients: &Ingredients) -> usize {
        self.ops.iter().map(|op| op.words(ingredients)).sum()
    }

    /// Linear scan: lifetimes in straight-line code are intervals, for which
    /// taking the lowest free buffer is optimal.
    pub(super) fn new(steps: Vec<Step>) -> Self {
        let mut last_read: HashMap<Name, usize> = HashMap::new();
        for (at, step) in steps.iter().enumerate() {
            last_read.extend(step.reads().into_iter().map(|name| (name, at)));
        }
        let mut scan = Scan { last_read, ..Scan::default() };
        scan.place.insert(Name::Theta, 0);
        scan.slots = 1;
        let ops = steps.into_iter().enumerate().map(|(at, step)| scan.place(at, step)).collect();
        Self { ops, slots: scan.slots }
    }

    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    pub(super) fn into_ops(self) -> Vec<Op> {
        self.ops
    }
}

#[derive(Default)]
struct Scan {
    last_read: HashMap<Name, usize>,
    place: HashMap<Name, Slot>,
    free: BTreeSet<Slot>,
    slots: usize,
    checked: BTreeSet<u32>,
}

impl Scan {
    fn operand(&self, name: Name) -> Operand {
        Operand { name, slot: self.place[&name] }
    }

    fn dies(&self, name: Name, at: usize) -> bool {
        name != Name::Theta && self.last_read.get(&name).is_none_or(|&last| last <= at)
    }

    fn take(&mut self, name: Name) -> Operand {
        let slot = self.free.pop_first().unwrap_or(self.slots);
        self.slots = self.slots.max(slot + 1);
        self.place.insert(name, slot);
        Operand { name, slot }
    }

    /// Frees the buffers of vectors that nobody reads after `at`.
    fn release(&mut self, names: &[Name], at: usize, kept: Slot) {
        for &name in names {
            if self.dies(name, at) {
                self.free.extend(self.place.remove(&name).filter(|&slot| slot != kept));
            }
        }
    }

    /// Stages among the inputs that no operation has checked so far.
    fn unchecked(&mut self, names: &[Name]) -> Vec<u32> {
        let stages = names.iter().filter_map(|name| match name {
            Name::Gradient(stage) => Some(*stage),
            _ => None,
        });
        stages.filter(|&stage| self.checked.insert(stage)).collect()
    }

    fn place(&mut self, at: usize, step: Step) -> Op {
        let reads = step.reads();
        match step {
            Step::Control => Op::Control,
            Step::Choose(choice) => Op::Choose(choice),
            Step::Decay { gradient, point } => {
                let (gradient, point) = (self.operand(gradient), self.operand(point));
                self.release(&reads, at, 0);
                Op::Decay { gradient, point }
            }
            Step::Field { a, b, diagonal, sums } => {
                let (a, b) = (self.operand(a), b.map(|b| self.operand(b)));
                self.release(&reads, at, 0);
                Op::Field(Field { a, b, diagonal, sums })
            }
            Step::Reduce { stage, squares } => {
                self.checked.insert(stage);
                let gradient = self.operand(Name::Gradient(stage));
                Op::Reduce { gradient, stage, norm: stage == 1, squares }
            }
            Step::Finish { target, gradients, diagonal } => {
                let target =
                    if target == Name::Theta { self.operand(target) } else { self.take(target) };
                let finish = Finish { target, gradients: self.placed(gradients), diagonal };
                self.release(&reads, at, 0);
                Op::Finish(finish)
            }
            Step::Estimate { makes, terms, diagonal } => {
                let name = Name::Candidate;
                let candidate = if makes { self.take(name) } else { self.operand(name) };
                let terms = terms.into_iter().map(|(w, k)| (w, self.operand(k))).collect();
                self.release(&reads, at, 0);
                Op::Estimate(Estimate { candidate, makes, terms, diagonal })
            }
            Step::Commit => {
                let (from, to) = (self.operand(Name::Candidate), self.operand(Name::Theta));
                Op::Commit { from, to }
            }
            Step::Reuse { stage } => {
                let from = self.operand(Name::Gradient(stage));
                Op::Reuse { from, to: self.operand(Name::Gradient(1)) }
            }
            Step::Evaluate { purpose, point, gradient } => {
                let point = self.operand(point);
                let gradient = self.take(gradient);
                self.release(&[point.name, gradient.name], at, 0);
                Op::Evaluate { purpose, point, gradient }
            }
            Step::Linear {
                target: Name::Theta, base, points, gradients, scale, diagonal, ..
            } => {
                // θ must be the base if it is read at all: it is bound for writing.
                let lead = |w: f64, name| if name == Name::Theta { f64::INFINITY } else { w };
                let (base, points) = with_base_by(base, points, lead);
                let target = self.operand(Name::Theta);
                let linear = self.linear(target, base, points, gradients, scale);
                Op::Advance(Linear { diagonal, ..linear })
            }
            Step::Linear { target, base, points, gradients, scale, diagonal, also } => {
                let checks = also.as_ref().is_none_or(|also| also.checks);
                let unchecked = if checks { self.unchecked(&reads) } else { vec![] };
                let first_seen = |name| matches!(name, Name::Gradient(i) if unchecked.contains(&i));
                // A kernel with two outputs works on no input in place.
                let alone = also.is_none();
                let reusable = |name| alone && self.dies(name, at) && !first_seen(name);
                // A base that dies here gives its buffer to the target.
                let lead = |w: f64, name| if reusable(name) { 1.0 + w } else { w };
                let (base, points) = with_base_by(base, points, lead);
                let target = if reusable(base) {
                    let slot = self.place[&base];
                    self.place.insert(target, slot);
                    Operand { name: target, slot }
                } else {
                    self.take(target)
                };
                let linear = self.linear(target, base, points, gradients, scale);
                let also = also.map(|Emission { target, based, weights, .. }| Also {
                    target: self.take(target),
                    based,
                    weights,
                });
                self.release(&reads, at, target.slot);
                self.release(&[target.name], at, 0);
                let norm = unchecked.contains(&1);
                Op::Combine(Linear { checks: unchecked, norm, diagonal, also, ..linear })
            }
        }
    }

    fn linear(
        &self,
        target: Operand,
        base: Name,
        points: Vec<(f64, Name)>,
        gradients: Vec<(f64, Name)>,
        scale: Scale,
    ) -> Linear {
        let (points, gradients) = (self.placed(points), self.placed(gradients));
        let base = self.operand(base);
        let (checks, norm, diagonal, also) = (vec![], false, Diagonal::None, None);
        Linear { target, base, points, gradients, scale, checks, norm, diagonal, also }
    }

    fn placed(&self, terms: Vec<(f64, Name)>) -> Vec<(f64, Operand)> {
        terms.into_iter().map(|(w, name)| (w, self.operand(name))).collect()
    }
}

/// Makes the point that `lead` ranks highest the base. All of them are points
/// of one average, so any may be.
fn with_base_by(
    base: Name,
    points: Vec<(f64, Name)>,
    lead: impl Fn(f64, Name) -> f64,
) -> (Name, Vec<(f64, Name)>) {
    let base_weight = 1.0 - points.iter().map(|&(w, _)| w).sum::<f64>();
    let mut all = points;
    all.insert(0, (base_weight, base));
    let mut best = 0;
    for i in 1..all.len() {
        if lead(all[i].0, all[i].1) > lead(all[best].0, all[best].1) {
            best = i;
        }
    }
    let (_, base) = all.remove(best);
    (base, all)
}
