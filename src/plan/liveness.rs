//! Puts named vectors into as few buffers as their lifetimes allow.

use std::collections::{BTreeSet, HashMap};

use super::{Diagonal, Finish, Linear, Name, Op, Operand, Purpose, Scale, Slot};

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
    },
    Reduce {
        stage: u32,
        squares: bool,
    },
    Finish {
        gradients: Vec<(f64, Name)>,
        diagonal: Diagonal,
    },
    Control,
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
            Step::Control => vec![],
        }
    }
}

/// A plan's operations with every vector in its buffer.
pub(super) struct Draft {
    ops: Vec<Op>,
    slots: usize,
}

impl Draft {
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
            Step::Reduce { stage, squares } => {
                self.checked.insert(stage);
                let gradient = self.operand(Name::Gradient(stage));
                Op::Reduce { gradient, stage, norm: stage == 1, squares }
            }
            Step::Finish { gradients, diagonal } => {
                Op::Finish(Finish { gradients: self.placed(gradients), diagonal })
            }
            Step::Evaluate { purpose, point, gradient } => {
                let point = self.operand(point);
                let gradient = self.take(gradient);
                self.release(&[point.name, gradient.name], at, 0);
                Op::Evaluate { purpose, point, gradient }
            }
            Step::Linear { target: Name::Theta, base, points, gradients, scale, diagonal } => {
                // θ must be the base if it is read at all: it is bound for writing.
                let lead = |w: f64, name| if name == Name::Theta { f64::INFINITY } else { w };
                let (base, points) = with_base_by(base, points, lead);
                let target = self.operand(Name::Theta);
                let linear = self.linear(target, base, points, gradients, scale);
                Op::Advance(Linear { diagonal, ..linear })
            }
            Step::Linear { target, base, points, gradients, scale, diagonal } => {
                let unchecked = self.unchecked(&reads);
                let first_seen = |name| matches!(name, Name::Gradient(i) if unchecked.contains(&i));
                let reusable = |name| self.dies(name, at) && !first_seen(name);
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
                self.release(&reads, at, target.slot);
                self.release(&[target.name], at, 0);
                let norm = unchecked.contains(&1);
                Op::Combine(Linear { checks: unchecked, norm, diagonal, ..linear })
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
        let (checks, norm, diagonal) = (vec![], false, Diagonal::None);
        Linear { target, base, points, gradients, scale, checks, norm, diagonal }
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
