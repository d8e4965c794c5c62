//! A check of an attempt: every element that its kernels wrote against a replay in f64.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::numbers::{POOL, THETA, poison, value};
use super::set::Set;
use super::{Bench, BenchError};
use crate::device::GpuError;
use crate::device::vector::Vector;
use crate::error::Error;
use crate::format::Storage;
use crate::kernels::interleaved::Interleaved;
use crate::kernels::verdict::{ACCEPTED, REFUSED, Record, SKIPPED};
use crate::layout::ALIGNMENT;
use crate::plan::{Name, Op, Operand, Plan, Purpose, Slot, Use, What};
use crate::reference::replay::{Replay, replays};

/// Elements replayed at once, at least.
const WINDOW: usize = 1 << 20;

/// Largest error of an element: some rounding errors of f32, and far less than any
/// coefficient that is off.
pub(super) const TOLERANCE: f64 = 2e-5;

/// The findings of [`Bench::check`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Checked {
    /// Values compared, over all vectors.
    pub elements: u64,
    /// The largest |found − expected| / max(1, all |expected|), by vectors.
    pub worst: f64,
}

impl Bench {
    /// Poisons every vector, makes one attempt on the first set, and compares every
    /// element that a kernel wrote with [`Replay`]. To be called before any other
    /// attempt. Waits.
    ///
    /// # Errors
    /// [`BenchError::Differs`] for the first element that is off,
    /// [`BenchError::NotAccepted`], or a lost device.
    pub fn check(&self) -> Result<Checked, Error> {
        let Set { state, begin, attempt, .. } = &self.sets[0];
        for vector in state.vectors.iter().skip(1) {
            poison(&self.gpu, vector)?;
        }
        self.submit(|pass| {
            begin.record(pass);
            attempt.record(pass);
        });
        let bytes = 0..size_of::<Record>() as u64;
        let bytes = pollster::block_on(self.gpu.read_buffer(&state.ring, bytes))?;
        let record: Record = bytemuck::pod_read_unaligned(&bytes);
        if record.verdict != ACCEPTED {
            let [accepted, skipped, refused] =
                [ACCEPTED, SKIPPED, REFUSED].map(|v| u32::from(record.verdict == v));
            let error = BenchError::NotAccepted { attempts: 1, accepted, skipped, refused };
            return Err(error.into());
        }
        let mut checked = Checked { elements: 0, worst: 0.0 };
        let window = WINDOW.max(self.walk.least_chunk());
        for start in (0..self.n).step_by(window) {
            let range = start..self.n.min(start + window);
            self.compare(range, f64::from(record.h), &mut checked)?;
        }
        Ok(checked)
    }

    /// One window of the vectors after an attempt against its replay.
    fn compare(&self, range: Range<usize>, h: f64, checked: &mut Checked) -> Result<(), Error> {
        let (plan, state) = (&self.plan, &self.sets[0].state);
        let theta: Vec<f64> = range.clone().map(|i| f64::from(value(THETA, i))).collect();
        let mut replay = Replay::new(plan, &theta);
        let stages = stage_evaluations(plan);
        let attempt = replay.attempt(h, &mut |stage, _| {
            let (from, storage) = stages.get(&(stage as u32)).copied().unwrap_or_default();
            let value = |i| f64::from(stored(value(POOL, from * ALIGNMENT + i), storage));
            range.clone().map(value).collect()
        })?;
        if !attempt.accepted {
            let error =
                BenchError::NotAccepted { attempts: 1, accepted: 0, skipped: 0, refused: 1 };
            return Err(error.into());
        }
        let mut same = |what: &str, found: &[f32], expected: &mut dyn Iterator<Item = f64>| {
            let expected: Vec<f64> = expected.collect();
            // What is added up is as large as the largest, and so is what is rounded.
            let scale = expected.iter().fold(1.0, |most, x| x.abs().max(most));
            for (i, (&found, &expected)) in found.iter().zip(&expected).enumerate() {
                let error = (f64::from(found) - expected).abs() / scale;
                // What is no number is no match.
                if error.is_nan() || error > TOLERANCE {
                    let (method, what) = (plan.method().to_owned(), what.to_owned());
                    let index = range.start + i;
                    return Err(BenchError::Differs { method, what, index, found, expected });
                }
                checked.elements += 1;
                checked.worst = checked.worst.max(error);
            }
            Ok(())
        };
        for (slot, name) in replayed(plan) {
            let found = state.vectors[slot].read_range(&self.gpu, range.clone())?;
            let expected = &mut replay.slot(slot).iter().copied();
            same(&format!("{name} in buffer {slot}"), &found, expected)?;
        }
        if plan.ingredients().average.is_some() {
            let beta = plan.ingredients().average.unwrap_or(0.0);
            let found = state.average.read_range(&self.gpu, range.clone())?;
            let both = theta.iter().zip(replay.theta());
            same("the average", &found, &mut both.map(|(a, b)| beta * a + (1.0 - beta) * b))?;
        }
        let layout = Interleaved::second(plan, &self.walk);
        for kind in 0..layout.vectors {
            let found = self.interleaved(&state.second, layout, kind, &range)?;
            let expected = &mut replay.second(layout.halves - 1).iter().map(|both| both[kind]);
            same("the preconditioner's state", &found, expected)?;
        }
        let layout = Interleaved::mean(plan, &self.walk);
        if layout.halves > 0 {
            let found = self.interleaved(&state.mean, layout, 0, &range)?;
            let expected = &mut replay.mean(layout.halves - 1).iter().copied();
            same("the momentum", &found, expected)?;
        }
        Ok(())
    }

    /// The last half of one of the vectors that lie interleaved by spans in a buffer.
    fn interleaved(
        &self,
        vector: &Vector,
        layout: Interleaved,
        kind: usize,
        range: &Range<usize>,
    ) -> Result<Vec<f32>, GpuError> {
        let span = layout.span;
        let mut values = Vec::with_capacity(range.len());
        for start in range.clone().step_by(span) {
            let first = start / span * layout.stride() + layout.first(kind, layout.halves - 1);
            let len = span.min(range.end - start);
            values.extend(vector.read_range(&self.gpu, first..first + len)?);
        }
        Ok(values)
    }
}

/// Gives by stage the place of its evaluation among all of an attempt, and how its gradient
/// is stored.
fn stage_evaluations(plan: &Plan) -> HashMap<u32, (usize, Storage)> {
    let packed = |into: Operand, at: usize| match plan.ops().get(at + 1) {
        Some(Op::Pack { from, to }) if *from == into => to.storage,
        _ => into.storage,
    };
    let evaluations = plan.ops().iter().enumerate().filter_map(|(at, op)| match op {
        Op::Evaluate { purpose, gradient, .. } => Some((*purpose, packed(*gradient, at))),
        _ => None,
    });
    let stage = |(i, (purpose, storage))| match purpose {
        Purpose::Stage(stage) => Some((stage, (i, storage))),
        _ => None,
    };
    evaluations.enumerate().filter_map(stage).collect()
}

/// x as it is read back.
fn stored(x: f32, storage: Storage) -> f32 {
    match storage {
        Storage::F32 => x,
        Storage::F16 => half::f16::from_f32(x).to_f32(),
        Storage::Bf16 => half::bf16::from_f32(x).to_f32(),
    }
}

/// The buffers that a replay knows after an attempt, with what is in them: what it computes
/// from nothing but what it knows.
fn replayed(plan: &Plan) -> Vec<(Slot, Name)> {
    let mut known: BTreeMap<Slot, Name> = BTreeMap::from([(0, Name::Theta)]);
    for op in plan.ops() {
        let touches = op.touches(plan.ingredients());
        let vectors = touches.iter().filter_map(|touch| match touch.what {
            What::Vector(operand) if !touch.by.seldom => Some((touch.by, operand)),
            _ => None,
        });
        let vectors: Vec<(Use, Operand)> = vectors.collect();
        let mut read = vectors.iter().filter(|(by, _)| by.reads);
        let is_known = replays(op) && read.all(|(_, operand)| known.contains_key(&operand.slot));
        for (_, Operand { name, slot, .. }) in vectors.into_iter().filter(|(by, _)| by.writes) {
            match is_known {
                true => known.insert(slot, name),
                false => known.remove(&slot),
            };
        }
    }
    known.into_iter().collect()
}
