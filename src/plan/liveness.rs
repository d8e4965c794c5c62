//! Puts named vectors into as few buffers as their lifetimes allow.

use std::collections::{BTreeSet, HashMap};

use super::narrow::{FIRST_NARROW, Widths, numbered};
use super::step::{RegisterStep, Step};
use super::{
    Also, Diagonal, Estimate, Field, Finish, Linear, Makes, Name, Op, Operand, Radius, Registers,
    Scale, Slot,
};
use crate::format::Storage;
use crate::ingredients::Ingredients;

/// A plan's operations with every vector in its buffer.
pub(super) struct Draft {
    ops: Vec<Op>,
    /// Buffers of f32, and of narrow vectors.
    pub(super) wide: usize,
    pub(super) narrow: usize,
    storage: Storage,
}

impl Draft {
    /// Bytes per parameter.
    pub(super) fn bytes(&self, ingredients: &Ingredients) -> usize {
        self.ops.iter().map(|op| op.bytes(ingredients)).sum()
    }

    /// Linear scan: lifetimes in straight-line code are intervals, for which
    /// taking the lowest free buffer is optimal.
    ///
    /// The eigenvector outlives every attempt, and so has a buffer of its own.
    pub(super) fn new(
        steps: Vec<Step>,
        eigenvector: bool,
        widths: Widths,
        over_gradients: bool,
    ) -> Self {
        let mut last_read: HashMap<Name, usize> = HashMap::new();
        for (at, step) in steps.iter().enumerate() {
            last_read.extend(step.reads().into_iter().map(|name| (name, at)));
        }
        let mut scan = Scan { last_read, widths, over_gradients, ..Scan::default() };
        scan.place.insert(Name::Theta, 0);
        scan.wide.slots = 1;
        if eigenvector {
            scan.take(Name::Eigenvector);
        }
        let ops = steps.into_iter().enumerate().map(|(at, step)| scan.place(at, step)).collect();
        let storage = scan.widths.of(Name::Gradient(0));
        Self { ops, wide: scan.wide.slots, narrow: scan.narrow.slots, storage }
    }

    /// Bytes per parameter of the buffers.
    pub(super) fn resident_bytes(&self) -> usize {
        self.wide * Storage::F32.bytes() + self.narrow * self.storage.bytes()
    }

    /// The operations, where the narrow buffers come after `wide` others.
    pub(super) fn into_ops(self, wide: usize) -> Vec<Op> {
        numbered(&self.ops, wide)
    }
}

#[derive(Default)]
struct Scan {
    last_read: HashMap<Name, usize>,
    place: HashMap<Name, Slot>,
    widths: Widths,
    /// What is written may take the place of a gradient.
    over_gradients: bool,
    wide: Pool,
    narrow: Pool,
    checked: BTreeSet<u32>,
}

/// Buffers of one storage.
#[derive(Default)]
struct Pool {
    free: BTreeSet<Slot>,
    slots: usize,
}

impl Scan {
    fn operand(&self, name: Name) -> Operand {
        self.operand_at(name, self.place[&name])
    }

    fn operand_at(&self, name: Name, slot: Slot) -> Operand {
        Operand { name, slot, storage: self.widths.of(name) }
    }

    fn dies(&self, name: Name, at: usize) -> bool {
        !matches!(name, Name::Theta | Name::Eigenvector)
            && self.last_read.get(&name).is_none_or(|&last| last <= at)
    }

    /// Tells whether what is written at this time may take its buffer.
    fn gives_place(&self, name: Name, at: usize) -> bool {
        let over = self.over_gradients || !matches!(name, Name::Gradient(_));
        over && self.dies(name, at) && !self.widths.of(name).is_narrow()
    }

    /// A buffer for a vector; its own, if one of that name is still there.
    fn take(&mut self, name: Name) -> Operand {
        if let Some(&slot) = self.place.get(&name) {
            return self.operand_at(name, slot);
        }
        let narrow = self.widths.of(name).is_narrow();
        let (pool, first) =
            if narrow { (&mut self.narrow, FIRST_NARROW) } else { (&mut self.wide, 0) };
        let slot = pool.free.pop_first().unwrap_or(first + pool.slots);
        pool.slots = pool.slots.max(slot - first + 1);
        self.place.insert(name, slot);
        self.operand_at(name, slot)
    }

    /// Frees the buffers of vectors that nobody reads after `at`.
    fn release(&mut self, names: &[Name], at: usize, kept: Slot) {
        for &name in names {
            if self.dies(name, at) {
                let slot = self.place.remove(&name).filter(|&slot| slot != kept);
                let narrow = self.widths.of(name).is_narrow();
                let pool = if narrow { &mut self.narrow } else { &mut self.wide };
                pool.free.extend(slot);
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
            Step::Fit { interval, stages } => Op::Fit { interval, stages },
            Step::Radius { start, diagonal } => {
                let vector = self.operand(Name::Eigenvector);
                let others =
                    (!start).then(|| [self.operand(Name::Gradient(1)), self.operand(Name::Beside)]);
                self.release(&reads, at, 0);
                Op::Radius(Radius { vector, others, diagonal })
            }
            Step::Registers(step) => self.registers(at, step),
            Step::Pack { from, to } => {
                let (from, to) = (self.operand(from), self.take(to));
                self.release(&[from.name, to.name], at, 0);
                Op::Pack { from, to }
            }
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
            Step::Reduce { gradient, stage, squares } => {
                self.checked.insert(stage);
                let gradient = self.operand(gradient);
                Op::Reduce { gradient, stage, norm: stage == 1, squares }
            }
            Step::Finish { target, gradients, diagonal } => {
                let target =
                    if target == Name::Theta { self.operand(target) } else { self.take(target) };
                let finish = Finish { target, gradients: self.placed(gradients), diagonal };
                self.release(&reads, at, 0);
                Op::Finish(finish)
            }
            Step::Estimate { makes, two, drift, terms, diagonal } => {
                let name = Name::Candidate;
                let candidate = match makes {
                    Makes::Nothing => self.operand(name),
                    Makes::Step | Makes::Finish => self.take(name),
                };
                let terms = terms.into_iter().map(|(w, k)| (w, self.operand(k))).collect();
                self.release(&reads, at, 0);
                Op::Estimate(Estimate { candidate, makes, two, drift, terms, diagonal })
            }
            Step::Commit => {
                let (from, to) = (self.operand(Name::Candidate), self.operand(Name::Theta));
                Op::Commit { from, to }
            }
            Step::Reuse { stage } => {
                let from = self.operand(Name::Gradient(stage));
                Op::Reuse { from, to: self.operand(Name::Gradient(1)) }
            }
            Step::Evaluate { purpose, point, gradient, adds } => {
                let point = self.operand(point);
                let gradient = self.take(gradient);
                self.release(&[point.name, gradient.name], at, 0);
                let direction =
                    (purpose == super::Purpose::Product).then(|| self.operand(Name::Gradient(1)));
                Op::Evaluate { purpose, point, gradient, direction, adds }
            }
            Step::Linear {
                target: Name::Theta, base, points, gradients, scale, diagonal, ..
            } => {
                // θ must be the base if it is read at all: it is bound for writing.
                let lead = |w: f64, name| (name == Name::Theta, w);
                let (base, points) = with_base_by(base, points, lead);
                let linear = self.linear(Name::Theta, base, points, gradients, scale);
                Op::Advance(Linear { diagonal, ..linear })
            }
            Step::Linear { target, base, points, gradients, scale, diagonal, also, checks } => {
                let unchecked = if checks { self.unchecked(&reads) } else { vec![] };
                // A base that dies here gives its buffer to the target.
                let lead = |w: f64, name| (self.gives_place(name, at), w);
                let (base, points) = with_base_by(base, points, lead);
                let linear = self.linear(target, base, points, gradients, scale);
                let bases: Vec<_> =
                    also.iter().map(|also| also.base.map(|base| self.operand(base))).collect();
                // So does everything else that dies: each lane reads before it writes.
                let mut dying: Vec<Operand> = Vec::new();
                for input in linear.inputs().chain(bases.iter().copied().flatten()) {
                    if self.gives_place(input.name, at) && !dying.contains(&input) {
                        dying.push(input);
                    }
                }
                let mut over = dying.into_iter();
                let mut place = |name| {
                    if self.place.contains_key(&name) {
                        return self.take(name);
                    }
                    match over.next() {
                        Some(old) => {
                            self.place.remove(&old.name);
                            self.place.insert(name, old.slot);
                            self.operand_at(name, old.slot)
                        }
                        None => self.take(name),
                    }
                };
                let target = place(target);
                let also: Vec<Also> = also
                    .into_iter()
                    .zip(bases)
                    .map(|(also, base)| Also {
                        target: place(also.target),
                        base,
                        weights: also.weights,
                    })
                    .collect();
                self.release(&reads, at, 0);
                let written: Vec<Name> =
                    also.iter().map(|also| also.target.name).chain([target.name]).collect();
                self.release(&written, at, 0);
                let norm = unchecked.contains(&1);
                Op::Combine(Linear { target, checks: unchecked, norm, diagonal, also, ..linear })
            }
        }
    }

    fn registers(&mut self, at: usize, step: RegisterStep) -> Op {
        let reads = Step::Registers(step.clone()).reads();
        let seen: Vec<Name> = step.checked().collect();
        // After the verdict, what is not checked yet has had its guard.
        let unchecked = if step.after { vec![] } else { self.unchecked(&seen) };
        let read = |scan: &Self, name: Option<Name>| name.map(|name| scan.operand(name));
        let (point, gradient) = (read(self, step.point), read(self, step.gradient));
        let extra = read(self, step.extra);
        // What is read and written is one buffer; its old name ends here.
        let mut pair = |from: Option<Name>, into: Option<Name>| {
            let old = from.map(|name| self.operand(name));
            match (old, into) {
                (Some(old), Some(into)) => {
                    debug_assert!(old.name == into || self.dies(old.name, at), "{old:?}");
                    debug_assert!(!old.storage.is_narrow(), "{old:?}");
                    self.place.remove(&old.name);
                    self.place.insert(into, old.slot);
                    Some(self.operand_at(into, old.slot))
                }
                (None, Some(into)) => Some(self.take(into)),
                (old, None) => old,
            }
        };
        let register = pair(step.register, step.register_into);
        let sum = pair(step.sum, step.sum_into);
        let target = match (step.target, point) {
            (None, _) => None,
            (Some(Name::Theta), _) => Some(self.operand(Name::Theta)),
            (Some(name), Some(point)) => {
                debug_assert!(self.dies(point.name, at), "{point:?}");
                self.place.remove(&point.name);
                self.place.insert(name, point.slot);
                Some(self.operand_at(name, point.slot))
            }
            (Some(name), None) => Some(self.take(name)),
        };
        let kept = target.map_or(0, |target| target.slot);
        let reads: Vec<Name> =
            reads.into_iter().filter(|name| self.place.contains_key(name)).collect();
        self.release(&reads, at, kept);
        let written: Vec<Name> =
            [register, sum, target].into_iter().flatten().map(|o| o.name).collect();
        self.release(&written, at, 0);
        Op::Registers(Registers {
            target,
            point,
            based: step.based,
            reads_register: step.register.is_some(),
            writes_register: step.register_into.is_some(),
            register,
            old_register: None,
            reads_sum: step.sum.is_some(),
            writes_sum: step.sum_into.is_some(),
            sum,
            old_sum: None,
            gradient,
            extra,
            added: step.added,
            sloped: step.sloped,
            checks: unchecked.first().copied().unwrap_or(0),
            norm: unchecked.contains(&1),
            weights: step.weights,
            diagonal: step.diagonal,
            after: step.after,
        })
    }

    /// With the target where it will not stay, unless it has a place already.
    fn linear(
        &self,
        target: Name,
        base: Option<Name>,
        points: Vec<(f64, Name)>,
        gradients: Vec<(f64, Name)>,
        scale: Scale,
    ) -> Linear {
        let (points, gradients) = (self.placed(points), self.placed(gradients));
        let base = base.map(|base| self.operand(base));
        let slot = self.place.get(&target).copied().unwrap_or(0);
        let target = self.operand_at(target, slot);
        let (checks, norm, diagonal, also) = (vec![], false, Diagonal::None, vec![]);
        let room = true;
        Linear { target, base, points, gradients, scale, checks, room, norm, diagonal, also }
    }

    fn placed(&self, terms: Vec<(f64, Name)>) -> Vec<(f64, Operand)> {
        terms.into_iter().map(|(w, name)| (w, self.operand(name))).collect()
    }
}

/// Makes the point that `lead` ranks highest the base. All of them are points
/// of one average, so any may be.
fn with_base_by(
    base: Option<Name>,
    points: Vec<(f64, Name)>,
    lead: impl Fn(f64, Name) -> (bool, f64),
) -> (Option<Name>, Vec<(f64, Name)>) {
    let Some(base) = base else { return (None, points) };
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
    (Some(base), all)
}
