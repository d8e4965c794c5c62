//! Puts named vectors into as few buffers as their lifetimes allow.

use std::collections::{BTreeSet, HashMap};

use super::linear::Linear;
use super::narrow::{FIRST_NARROW, Widths, numbered};
use super::op::Op;
use super::registers::Registers;
use super::step::{Step, checked_once};
use super::touch::Use;
use super::vector::{Name, Operand, Slot};
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
        mut steps: Vec<Step>,
        eigenvector: bool,
        widths: Widths,
        over_gradients: bool,
    ) -> Self {
        checked_once(&mut steps);
        let mut last_need: HashMap<Name, usize> = HashMap::new();
        for (at, step) in steps.iter().enumerate() {
            last_need.extend(step.needs().into_iter().map(|name| (name, at)));
        }
        let mut scan = Scan { last_need, widths, over_gradients, ..Scan::default() };
        scan.place.insert(Name::Theta, 0);
        scan.wide.slots = 1;
        if eigenvector {
            scan.take(Name::Eigenvector);
        }
        let ops = steps.iter().enumerate().map(|(at, step)| scan.place(at, step)).collect();
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
    last_need: HashMap<Name, usize>,
    place: HashMap<Name, Slot>,
    widths: Widths,
    /// What is written may take the place of a gradient.
    over_gradients: bool,
    wide: Pool,
    narrow: Pool,
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
            && self.last_need.get(&name).is_none_or(|&last| last <= at)
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
    fn release(&mut self, names: &[Name], at: usize) {
        for &name in names {
            if self.dies(name, at) {
                let slot = self.place.remove(&name);
                let narrow = self.widths.of(name).is_narrow();
                let pool = if narrow { &mut self.narrow } else { &mut self.wide };
                pool.free.extend(slot);
            }
        }
    }

    /// An operation in its buffers.
    fn place(&mut self, at: usize, step: &Step) -> Op {
        let op = match step {
            Op::Combine(linear) if linear.after() => {
                // θ must be the base if it is read at all: it is bound for writing.
                let linear = based_by(linear, |w, name| (name == Name::Theta, w));
                self.as_it_is(&Op::Combine(linear))
            }
            Op::Combine(linear) => Op::Combine(self.combine(at, linear)),
            Op::Registers(registers) => Op::Registers(self.registers(at, registers)),
            _ => self.as_it_is(step),
        };
        self.release(&step.needs(), at);
        self.release(&step.writes(), at);
        op
    }

    /// Every vector where it is; a new one in the lowest free buffer.
    fn as_it_is(&mut self, step: &Step) -> Op {
        step.with(|by, name| if by.writes { self.take(name) } else { self.operand(name) })
    }

    fn combine(&mut self, at: usize, linear: &Linear<Name>) -> Linear {
        // A base that dies here gives its buffer to the target.
        let linear = based_by(linear, |w, name| (self.gives_place(name, at), w));
        // So does everything else that dies: each lane reads before it writes.
        let terms = linear.points.iter().chain(&linear.gradients).map(|&(_, name)| name);
        let bases = linear.also.iter().filter_map(|also| also.base);
        let mut dying: Vec<Name> = Vec::new();
        for name in linear.base.into_iter().chain(terms).chain(bases) {
            if self.gives_place(name, at) && !dying.contains(&name) {
                dying.push(name);
            }
        }
        let mut over = dying.into_iter();
        linear.with(&mut |by, name| {
            if !by.writes {
                return self.operand(name);
            }
            if self.place.contains_key(&name) {
                return self.take(name);
            }
            match over.next() {
                Some(old) => self.rename(old, name),
                None => self.take(name),
            }
        })
    }

    /// A stage of registers, where what is read and written is one buffer, whose old name
    /// ends here.
    fn registers(&mut self, at: usize, step: &Registers<Name>) -> Registers {
        let vectors = Op::Registers(step.clone()).vectors().into_iter();
        let read: HashMap<Name, Operand> = vectors
            .filter(|(by, _)| by.reads)
            .map(|(_, name)| (name, self.operand(name)))
            .collect();
        let point = step.point.filter(|_| step.target != Some(Name::Theta));
        let pairs =
            [(step.old_register, step.register), (step.old_sum, step.sum), (point, step.target)];
        let mut written: HashMap<Name, Operand> = HashMap::new();
        for (old, new) in pairs.into_iter().filter_map(|(old, new)| Some((old, new?))) {
            let operand = match old {
                Some(old) => {
                    debug_assert!(old == new || self.dies(old, at), "{old:?}");
                    debug_assert!(!self.widths.of(old).is_narrow(), "{old:?}");
                    self.rename(old, new)
                }
                None => self.take(new),
            };
            written.insert(new, operand);
        }
        let from = |by: Use| if by.writes { &written } else { &read };
        let placed = step.with(&mut |by, name| from(by)[&name]);
        let (register, sum) =
            (placed.register.or(placed.old_register), placed.sum.or(placed.old_sum));
        Registers { register, sum, old_register: None, old_sum: None, ..placed }
    }

    /// A new vector in the buffer of an old one.
    fn rename(&mut self, old: Name, new: Name) -> Operand {
        let slot = self.place[&old];
        self.place.remove(&old);
        self.place.insert(new, slot);
        self.operand_at(new, slot)
    }
}

/// Makes the point that `lead` ranks highest the base. All of them are points
/// of one average, so any may be.
fn based_by(linear: &Linear<Name>, lead: impl Fn(f64, Name) -> (bool, f64)) -> Linear<Name> {
    let Some(base) = linear.base else { return linear.clone() };
    let base_weight = 1.0 - linear.points.iter().map(|&(w, _)| w).sum::<f64>();
    let mut all = linear.points.clone();
    all.insert(0, (base_weight, base));
    let mut best = 0;
    for i in 1..all.len() {
        if lead(all[i].0, all[i].1) > lead(all[best].0, all[best].1) {
            best = i;
        }
    }
    let (_, base) = all.remove(best);
    Linear { base: Some(base), points: all, ..linear.clone() }
}
