//! Runs any plan in f64, buffer by buffer, exactly as the device would: what a
//! plan overwrites here is gone here too.

use super::ReferenceError;
use crate::ingredients::Adaptive;
use crate::plan::{
    Choice, Diagonal, Estimate, Finish, Linear, Makes, Name, Op, Operand, Plan, Purpose, Registers,
    Scale, Slot, Values,
};

/// A replayed attempt: what it saw and did.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Tells whether every checked gradient was finite and the error, where there is
    /// an estimate, within tolerance.
    pub accepted: bool,
    /// ‖k₁‖₂, where the plan sums it.
    pub grad_norm: Option<f64>,
    /// The norm of the error estimate, in units of the tolerance.
    pub error: Option<f64>,
}

/// The buffers of a plan, in f64.
#[derive(Clone, Debug)]
pub struct Replay<'p> {
    plan: &'p Plan,
    slots: Vec<Vec<f64>>,
    /// The preconditioner's state by half and element; the current half.
    second: [Vec<[f64; 2]>; 2],
    half: usize,
    /// The momentum by half.
    mean: [Vec<f64>; 2],
    /// The factor that clips the attempt's gradients.
    clip: f64,
    accepted: u64,
}

impl<'p> Replay<'p> {
    pub fn new(plan: &'p Plan, theta: &[f64]) -> Self {
        let mut slots = vec![vec![0.0; theta.len()]; plan.slots()];
        slots[0] = theta.to_vec();
        let second = [vec![[0.0; 2]; theta.len()], vec![[0.0; 2]; theta.len()]];
        let mean = [vec![0.0; theta.len()], vec![0.0; theta.len()]];
        Self { plan, slots, second, half: 0, mean, clip: 1.0, accepted: 0 }
    }

    /// θ.
    pub fn theta(&self) -> &[f64] {
        &self.slots[0]
    }

    /// The buffer of a slot.
    pub fn slot(&self, slot: Slot) -> &[f64] {
        &self.slots[slot]
    }

    /// The preconditioner's state of each element in one half, 0 or 1.
    pub fn second(&self, half: usize) -> &[[f64; 2]] {
        &self.second[half]
    }

    /// The momentum in one half, 0 or 1.
    pub fn mean(&self, half: usize) -> &[f64] {
        &self.mean[half]
    }

    /// One attempt with step size h; `gradient(i, y)` is ∇L at stage i's point.
    ///
    /// # Errors
    /// A gradient of another length than θ.
    pub fn attempt(
        &mut self,
        h: f64,
        gradient: &mut dyn FnMut(usize, &[f64]) -> Vec<f64>,
    ) -> Result<Attempt, ReferenceError> {
        self.clip = 1.0;
        let mut attempt = Attempt { accepted: true, grad_norm: None, error: None };
        for op in self.plan.ops() {
            match op {
                Op::Evaluate { purpose, point, gradient: into, adds, .. } => {
                    let Purpose::Stage(stage) = *purpose else { continue };
                    let k = gradient(stage as usize, &self.slots[point.slot]);
                    let expected = self.slots[0].len();
                    if k.len() != expected {
                        return Err(ReferenceError::GradientLength {
                            stage: stage as usize,
                            expected,
                            found: k.len(),
                        });
                    }
                    if *adds {
                        let sum = &mut self.slots[into.slot];
                        sum.iter_mut().zip(k).for_each(|(sum, k)| *sum += k);
                    } else {
                        self.slots[into.slot] = k;
                    }
                }
                Op::Registers(registers) => self.registers(registers, h, &mut attempt),
                Op::Combine(linear) => self.linear(linear, h, &mut attempt),
                Op::Reduce { gradient, norm, squares, .. } => {
                    let k = &self.slots[gradient.slot];
                    let bad = |x: &f64| !(if *squares { x * x } else { *x }).is_finite();
                    attempt.accepted &= !k.iter().any(bad);
                    if *norm {
                        attempt.grad_norm = Some(norm_of(k));
                    }
                }
                Op::Field(field) => {
                    if field.diagonal == Diagonal::Update {
                        self.update(field.a.slot, &mut attempt);
                    }
                }
                Op::Choose(Choice::Norm) => {
                    let norm = attempt.grad_norm.unwrap_or(0.0);
                    attempt.accepted &= norm.is_finite();
                    let most = self.plan.ingredients().clip.unwrap_or(f64::INFINITY);
                    self.clip = if norm > most { most / norm } else { 1.0 };
                }
                Op::Decay { gradient, point } => {
                    let lambda = self.plan.ingredients().l2;
                    let y = self.slots[point.slot].clone();
                    let k = &mut self.slots[gradient.slot];
                    k.iter_mut().zip(y).for_each(|(k, y)| *k += lambda * y);
                }
                // Exact, whatever the storage.
                Op::Pack { from, to } => self.slots[to.slot] = self.slots[from.slot].clone(),
                // The average changes nothing of what a replay shows.
                Op::Average => {}
                // h is the caller's choice.
                Op::Choose(_) | Op::Radius(_) | Op::Fit { .. } => {}
                Op::Control => {
                    self.accepted += u64::from(attempt.accepted);
                    if attempt.accepted
                        && self.plan.state_halves().max(self.plan.mean_halves()) == 2
                    {
                        self.half = 1 - self.half;
                    }
                }
                Op::Advance(linear) => {
                    if attempt.accepted {
                        self.linear(linear, h, &mut attempt);
                    }
                }
                Op::Finish(finish) => {
                    let before = finish.target.name != Name::Theta;
                    if before || attempt.accepted {
                        self.finish(finish, h, before);
                    }
                }
                Op::Estimate(estimate) => self.estimate(estimate, h, &mut attempt),
                // Every attempt of a replay evaluates k₁ afresh.
                Op::Reuse { .. } => {}
                Op::Commit { from, to } => {
                    if attempt.accepted {
                        self.slots[to.slot] = self.slots[from.slot].clone();
                    }
                }
            }
        }
        Ok(attempt)
    }

    fn linear(&mut self, linear: &Linear, h: f64, attempt: &mut Attempt) {
        for input in linear.inputs() {
            let Name::Gradient(stage) = input.name else { continue };
            if linear.checks.contains(&stage) {
                attempt.accepted &= self.slots[input.slot].iter().all(|x| x.is_finite());
            }
            if linear.norm && stage == 1 {
                attempt.grad_norm = Some(norm_of(&self.slots[input.slot]));
            }
        }
        let preconditioner = self.plan.ingredients().preconditioner;
        if linear.diagonal == Diagonal::Update {
            let first = linear.gradients.iter().find(|(_, k)| k.name == Name::Gradient(1));
            if let Some((_, k)) = first {
                self.update(k.slot, attempt);
            }
        }
        // Before the verdict the attempt's own state is in the other half.
        let advance = linear.target.name == Name::Theta;
        let half = if advance { self.half } else { 1 - self.half };
        let t = self.accepted + u64::from(!advance);
        let scale = match linear.scale {
            Scale::One => 1.0,
            Scale::StepSize => h * self.clip,
            Scale::Probe | Scale::Direction => 0.0,
        };
        let at = |slot: usize, i: usize| self.slots[slot][i];
        let d = |i: usize| match linear.diagonal {
            Diagonal::None => 1.0,
            _ => preconditioner.diagonal(&self.second[half][i], t),
        };
        let value = |i: usize| {
            let Some(base) = linear.base else {
                return linear.gradients.iter().map(|(a, k)| a * at(k.slot, i)).sum();
            };
            let base = at(base.slot, i);
            let points: f64 = linear.points.iter().map(|(w, p)| w * (at(p.slot, i) - base)).sum();
            let gradients: f64 = linear.gradients.iter().map(|(a, k)| a * at(k.slot, i)).sum();
            base + (points - scale * d(i) * gradients)
        };
        let mut made = vec![(linear.target.slot, (0..self.slots[0].len()).map(value).collect())];
        for also in &linear.also {
            let value = |i: usize| {
                let terms = also.weights.iter().zip(&linear.gradients);
                let sum: f64 = terms.map(|(w, (_, k))| w * at(k.slot, i)).sum();
                match also.base {
                    Some(base) => at(base.slot, i) - h * self.clip * d(i) * sum,
                    None => sum,
                }
            };
            made.push((also.target.slot, (0..self.slots[0].len()).map(value).collect()));
        }
        for (slot, values) in made {
            self.slots[slot] = values;
        }
    }

    fn registers(&mut self, op: &Registers, h: f64, attempt: &mut Attempt) {
        let n = self.slots[0].len();
        let newest = if op.added { op.register } else { op.gradient };
        if let Some(k) = newest {
            if op.checks != 0 {
                attempt.accepted &= self.slots[k.slot].iter().all(|x| x.is_finite());
            }
            if op.norm {
                attempt.grad_norm = Some(norm_of(&self.slots[k.slot]));
            }
            if op.diagonal == Diagonal::Update {
                self.update(k.slot, attempt);
            }
        }
        if op.after && !attempt.accepted {
            return;
        }
        let preconditioner = self.plan.ingredients().preconditioner;
        let half = if op.after { self.half } else { 1 - self.half };
        let t = self.accepted + u64::from(!op.after);
        let get = |flag: bool, operand: Option<Operand>, slots: &[Vec<f64>], i: usize| {
            operand.filter(|_| flag).map_or(0.0, |operand| slots[operand.slot][i])
        };
        for i in 0..n {
            let slots = &self.slots;
            let theta = slots[0][i];
            let y = get(true, op.point, slots, i);
            let values = Values {
                point: if op.based && op.point.is_some() { y - theta } else { 0.0 },
                register: get(op.reads_register, op.register, slots, i),
                sum: get(op.reads_sum, op.sum, slots, i),
                gradient: get(true, op.gradient, slots, i),
                extra: get(true, op.extra, slots, i),
            };
            let d = match op.diagonal {
                Diagonal::None => 1.0,
                _ => preconditioner.diagonal(&self.second[half][i], t),
            };
            let step = h * self.clip * d;
            let made = op.weights.registers(&values, op.sloped, step);
            let base = if op.based { theta } else { y };
            let step = if op.sloped { 0.0 } else { step };
            let next = base + op.weights.moved(&values, made, step);
            let slots = &mut self.slots;
            let mut put = |flag: bool, operand: Option<Operand>, value: f64| {
                if let Some(operand) = operand.filter(|_| flag) {
                    slots[operand.slot][i] = value;
                }
            };
            put(op.writes_register, op.register, made[0]);
            put(op.writes_sum, op.sum, made[1]);
            put(true, op.target, next);
        }
    }

    /// Takes a gradient into the attempt's half of the state.
    fn update(&mut self, slot: usize, attempt: &mut Attempt) {
        let preconditioner = self.plan.ingredients().preconditioner;
        let old = self.second[self.half].clone();
        let new = &mut self.second[1 - self.half];
        for ((new, mut old), &g) in new.iter_mut().zip(old).zip(&self.slots[slot]) {
            preconditioner.update(&mut old, self.clip * g);
            *new = old;
            attempt.accepted &= old[0].is_finite();
        }
    }

    fn estimate(&mut self, estimate: &Estimate, h: f64, attempt: &mut Attempt) {
        let ingredients = *self.plan.ingredients();
        let Some(adaptive) = ingredients.adaptive else { return };
        let n = self.slots[0].len();
        let (mut squares, mut others) = (0.0, 0.0);
        if estimate.makes == Makes::Finish {
            let gradients = estimate.terms.iter().map(|&([_, b], k)| (b, k)).collect();
            let (target, diagonal) = (estimate.candidate, estimate.diagonal);
            self.finish(&Finish { target, gradients, diagonal }, h, true);
        }
        for i in 0..n {
            let d = match estimate.diagonal {
                Diagonal::None => 1.0,
                _ => {
                    let state = &self.second[1 - self.half][i];
                    ingredients.preconditioner.diagonal(state, self.accepted + 1)
                }
            };
            let part = |w: usize| {
                let terms = estimate.terms.iter();
                h * self.clip
                    * d
                    * terms.map(|(weights, k)| weights[w] * self.slots[k.slot][i]).sum::<f64>()
            };
            let (e, step) = (part(0), part(1));
            let theta = self.slots[0][i];
            let candidate = &mut self.slots[estimate.candidate.slot][i];
            if estimate.makes == Makes::Step {
                *candidate = theta - step;
            }
            let e = e + estimate.drift * (theta - *candidate);
            squares += adaptive.scaled(e, theta, *candidate).powi(2);
            if estimate.two {
                others += adaptive.scaled(step, theta, *candidate).powi(2);
            }
        }
        let error = Adaptive::norm(squares, others, n);
        attempt.error = Some(error);
        attempt.accepted &= error <= 1.0;
    }

    /// `before` the verdict the attempt's own state goes to the other half.
    fn finish(&mut self, finish: &Finish, h: f64, before: bool) {
        let ingredients = *self.plan.ingredients();
        let half = if before { 1 - self.half } else { self.half };
        let t = self.accepted + u64::from(before);
        for i in 0..self.slots[0].len() {
            let g: f64 = finish.gradients.iter().map(|(b, k)| b * self.slots[k.slot][i]).sum();
            let g = self.clip * g;
            let state = &mut self.second[half][i];
            if finish.diagonal == Diagonal::Update {
                ingredients.preconditioner.update(state, g);
            }
            let d = ingredients.preconditioner.diagonal(state, t);
            // With one half the verdict does not turn it.
            let (from, to) = if before { (self.half, half) } else { (0, 0) };
            let mut m = self.mean[from][i];
            let u = ingredients.momentum.direction(&mut m, g, d, t);
            self.mean[to][i] = m;
            let theta = self.slots[0][i];
            self.slots[finish.target.slot][i] = theta - h * (u + ingredients.weight_decay * theta);
        }
    }
}

fn norm_of(k: &[f64]) -> f64 {
    k.iter().map(|x| x * x).sum::<f64>().sqrt()
}
