//! Runs any plan in f64, buffer by buffer, exactly as the device would: what a
//! plan overwrites here is gone here too.

use super::ReferenceError;
use crate::ingredients::Adaptive;
use crate::plan::{
    Check, Choice, Diagonal, Estimate, Finish, Linear, Makes, Op, Operand, Plan, Purpose,
    Registers, Scale, Slot, Values,
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
            self.apply(op, h, gradient, &mut attempt)?;
        }
        Ok(attempt)
    }

    fn apply(
        &mut self,
        op: &Op,
        h: f64,
        gradient: &mut dyn FnMut(usize, &[f64]) -> Vec<f64>,
        attempt: &mut Attempt,
    ) -> Result<(), ReferenceError> {
        if op.is_conditional() && !attempt.accepted {
            return Ok(());
        }
        let evaluates = matches!(op, Op::Evaluate { .. });
        if !evaluates {
            self.look(op, attempt);
        }
        match op {
            Op::Evaluate { purpose, point, gradient: into, adds, .. } => {
                let Purpose::Stage(stage) = *purpose else { return Ok(()) };
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
            Op::Registers(registers) => self.registers(registers, h),
            Op::Combine(linear) => self.linear(linear, h),
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
            Op::Pack { from, to } | Op::Commit { from, to, reuses: false } => {
                self.slots[to.slot] = self.slots[from.slot].clone();
            }
            Op::Verdict => {
                self.accepted += u64::from(attempt.accepted);
                if attempt.accepted && self.plan.state_halves().max(self.plan.mean_halves()) == 2 {
                    self.half = 1 - self.half;
                }
            }
            Op::Finish(finish) => self.finish(finish, h, !op.is_conditional()),
            Op::Estimate(estimate) => self.estimate(estimate, h, attempt),
            // The average changes nothing of what a replay shows, h is the caller's choice,
            // and every attempt evaluates k₁ afresh.
            Op::Guard { .. }
            | Op::Average
            | Op::Dots(_)
            | Op::Choose(_)
            | Op::Radius(_)
            | Op::Fit { .. }
            | Op::Commit { reuses: true, .. } => {}
        }
        // A source looks at what it wrote.
        if evaluates {
            self.look(op, attempt);
        }
        Ok(())
    }

    /// Looks at gradients on the way: for what is not finite, for ‖k₁‖, and for the state.
    fn look(&mut self, op: &Op, attempt: &mut Attempt) {
        let squares = matches!(
            op,
            Op::Guard { squares: true, .. }
                | Op::Evaluate { check: Some(Check { squares: true, .. }), .. }
        );
        let finite = |x: &f64| (if squares { x * x } else { *x }).is_finite();
        for (_, k) in op.checks() {
            attempt.accepted &= self.slots[k.slot].iter().all(finite);
        }
        if let Some(k) = op.norm() {
            attempt.grad_norm = Some(norm_of(&self.slots[k.slot]));
        }
        if let Some(k) = op.updates() {
            self.update(k.slot, attempt);
        }
    }

    /// `after` the verdict the attempt's own state is the accepted one.
    fn linear(&mut self, linear: &Linear, h: f64) {
        let preconditioner = self.plan.ingredients().preconditioner;
        let half = if linear.after() { self.half } else { 1 - self.half };
        let t = self.accepted + u64::from(!linear.after());
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

    fn registers(&mut self, op: &Registers, h: f64) {
        let n = self.slots[0].len();
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

/// Tells whether a replay computes what an operation leaves in vectors: it leaves out what
/// leads to h, which is its caller's choice, and the average.
pub(crate) fn replays(op: &Op) -> bool {
    match op {
        Op::Evaluate { purpose, .. } => matches!(purpose, Purpose::Stage(_)),
        Op::Combine(linear) => !matches!(linear.scale, Scale::Probe | Scale::Direction),
        Op::Average | Op::Radius(_) | Op::Commit { reuses: true, .. } => false,
        _ => true,
    }
}

fn norm_of(k: &[f64]) -> f64 {
    k.iter().map(|x| x * x).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingredients::{Curvature, Ingredients, Momentum, Preconditioner, Rule};
    use crate::method::Method;
    use crate::plan::{Fusion, Guard, Options, Touch, What};

    const N: usize = 3;

    /// A number of size 0.5 to 1.5, of either sign, and another one for each count.
    fn next(count: &mut u64) -> f64 {
        *count += 1;
        let x = (*count as f64 * 0.754_877_666).fract() * 2.0 - 1.0;
        x + 0.5f64.copysign(x)
    }

    /// Everything that a replay keeps, one number after the other.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum Part {
        Slot(usize),
        /// By half.
        Second(usize),
        Mean(usize),
    }

    impl Replay<'_> {
        fn parts(&self) -> Vec<Part> {
            let slots = (0..self.slots.len()).map(Part::Slot);
            slots.chain([0, 1].map(Part::Second)).chain([0, 1].map(Part::Mean)).collect()
        }

        fn values(&self, part: Part) -> Vec<f64> {
            match part {
                Part::Slot(slot) => self.slots[slot].clone(),
                Part::Second(half) => self.second[half].concat(),
                Part::Mean(half) => self.mean[half].clone(),
            }
        }

        fn fill(&mut self, part: Part, count: &mut u64) {
            match part {
                Part::Slot(slot) => self.slots[slot].fill_with(|| next(count)),
                // What D is made of is a square.
                Part::Second(half) => {
                    self.second[half].fill_with(|| [0; 2].map(|_| next(count).abs()));
                }
                Part::Mean(half) => self.mean[half].fill_with(|| next(count)),
            }
        }

        /// The parts that a declaration speaks of, by whether they are read or written.
        fn declared(&self, touches: &[Touch], before: bool, of: fn(&Touch) -> bool) -> Vec<Part> {
            let of_halves = |touch: &Touch, part: fn(usize) -> Part| {
                let (old, new) = (self.half, 1 - self.half);
                match (touch.by.reads, touch.by.writes, of(touch)) {
                    (_, _, false) => vec![],
                    // After the verdict there is one half, or the accepted one.
                    _ if !before => vec![part(0), part(self.half)],
                    (true, true, _) => vec![part(old), part(new)],
                    _ => vec![part(new)],
                }
            };
            let parts = touches.iter().flat_map(|touch| match touch.what {
                What::Vector(operand) if of(touch) => vec![Part::Slot(operand.slot)],
                What::Second => of_halves(touch, Part::Second),
                What::Momentum => of_halves(touch, Part::Mean),
                _ => vec![],
            });
            parts.collect()
        }
    }

    /// One operation by itself, in an attempt that nothing has refused.
    fn run<'p>(start: &Replay<'p>, op: &Op) -> (Replay<'p>, Attempt) {
        let mut replay = start.clone();
        let mut attempt = Attempt { accepted: true, grad_norm: None, error: None };
        let mut gradient = |_: usize, y: &[f64]| y.iter().map(|y| y * y).collect();
        replay.apply(op, 0.1, &mut gradient, &mut attempt).unwrap();
        (replay, attempt)
    }

    /// What it reads leads to h, or to a verdict.
    fn decides(op: &Op) -> bool {
        let dots = matches!(op, Op::Dots(dots) if dots.diagonal != Diagonal::Update);
        dots || matches!(op, Op::Fit { .. } | Op::Choose(_) | Op::Verdict)
    }

    fn plans() -> Vec<Plan> {
        let plain = Ingredients::default();
        let adam = Ingredients {
            preconditioner: Preconditioner::adam(0.9, 1e-6),
            momentum: Momentum::ema(0.9),
            weight_decay: 0.1,
            l2: 0.1,
            ..plain
        };
        let only_d = Ingredients { preconditioner: Preconditioner::rmsprop(0.9, 1e-6), ..plain };
        let rule = Some(Rule::Dal { p: 1.0, h_max: 5.0, from: Curvature::Probe });
        let recipes = [plain, adam, only_d, Ingredients { rule, ..adam }];
        let adaptive = Some(Adaptive::new(1e3, 1e3));
        let judged = recipes.map(|recipe| Ingredients { adaptive, rule: None, ..recipe });
        let mut plans = Vec::new();
        for method in Method::all() {
            for ingredients in recipes.into_iter().chain(judged) {
                for (fusion, guard, adds) in [
                    (Fusion::None, Guard::On, false),
                    (Fusion::Full, Guard::On, false),
                    (Fusion::Full, Guard::Off, true),
                ] {
                    let options = Options { fusion, guard, adds, ..Options::default() };
                    plans.extend(Plan::with_ingredients(&method, &ingredients, options));
                }
            }
        }
        plans
    }

    /// A replay computes what the kernel of an operation computes; so what it reads and
    /// writes is what the operation must declare.
    #[test]
    fn an_operation_reads_and_writes_what_it_declares() {
        let mut count = 0;
        let mut seen = 0;
        for plan in plans() {
            let mut whole = Replay::new(&plan, &[0.0; N]);
            whole.parts().into_iter().for_each(|part| whole.fill(part, &mut count));
            (whole.half, whole.accepted, whole.clip) = (0, 3, 0.75);
            for op in plan.ops().iter().filter(|op| replays(op) && !decides(op)) {
                let what = || format!("{op:?}\n{plan}");
                let touches = op.touches(plan.ingredients());
                let before = !op.is_conditional();
                let reads = whole.declared(&touches, before, |touch| touch.by.reads);
                let writes = whole.declared(&touches, before, |touch| touch.by.writes);
                let (after, attempt) = run(&whole, op);
                let changed = |part: &Part| after.values(*part) != whole.values(*part);
                for part in whole.parts() {
                    assert!(
                        !changed(&part) || writes.contains(&part),
                        "writes {part:?}: {}",
                        what()
                    );
                }
                // Of two halves one is written, and the other one is what it comes from.
                let [vectors, halves] = [true, false].map(|of| {
                    let parts = writes.iter().filter(move |p| matches!(p, Part::Slot(_)) == of);
                    parts.copied().collect::<Vec<Part>>()
                });
                assert!(
                    vectors.iter().all(changed),
                    "does not write all of {vectors:?}: {}",
                    what()
                );
                assert!(halves.is_empty() || halves.iter().any(changed), "{halves:?}: {}", what());
                // Nothing depends on what is not read.
                let mut other = whole.clone();
                for part in whole.parts().into_iter().filter(|part| !reads.contains(part)) {
                    other.fill(part, &mut count);
                }
                let (found, told) = run(&other, op);
                assert_eq!(told, attempt, "{}", what());
                for part in writes.iter().filter(|part| changed(part)) {
                    assert_eq!(found.values(*part), after.values(*part), "{part:?}: {}", what());
                }
                // And something depends on all that is.
                for &part in reads.iter().filter(|part| matches!(part, Part::Slot(_))) {
                    let mut other = whole.clone();
                    other.fill(part, &mut count);
                    let (found, told) = run(&other, op);
                    let differs = |w: &Part| found.values(*w) != after.values(*w);
                    let moved = writes.iter().any(differs) || told != attempt;
                    // The last stage of two registers before a finish makes no point, and
                    // counts θ all the same.
                    let no_point = matches!(op, Op::Registers(r) if r.target.is_none());
                    let counted = no_point && part == Part::Slot(0);
                    let checked = op.checks().iter().any(|(_, k)| Part::Slot(k.slot) == part);
                    assert!(moved || checked || counted, "does not read {part:?}: {}", what());
                }
                seen += 1;
            }
        }
        assert!(seen > 5000, "{seen}");
    }
}
