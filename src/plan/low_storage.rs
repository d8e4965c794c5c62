//! Plans for methods in registers: what passes from stage to stage is one vector,
//! and no gradient outlives its stage.

use super::ending::{Estimate, Finish, Makes};
use super::op::{Op, Purpose};
use super::passes::{Shape, errors};
use super::registers::{Coefficients, Registers};
use super::step::Step;
use super::touch::Diagonal;
use super::vector::Name;
use crate::tableau::{self, LowStorage, Three};

/// Tells whether the registers suffice: with an estimate and a finish both, 3S*+ would need
/// one more, and the tableau is as good.
pub(super) fn fits(method: &LowStorage, shape: Shape) -> bool {
    matches!(method.form(), tableau::LowStorageForm::Two { .. }) || !(shape.judged && shape.finish)
}

/// The steps of one attempt.
pub(super) fn steps(method: &LowStorage, shape: Shape) -> Vec<Step> {
    let mut steps = match method.form() {
        tableau::LowStorageForm::Two { a, b } if shape.adds => two_adding(a, b, shape),
        tableau::LowStorageForm::Two { a, b } => two(a, b, shape),
        tableau::LowStorageForm::Three(stages) => three(method, stages, shape),
    };
    if shape.judged {
        let d = errors(method.tableau());
        let sum = Name::Sum(sum_of(d.len()));
        steps.push(Op::Estimate(Estimate {
            candidate: Name::Candidate,
            makes: Makes::Nothing,
            two: false,
            drift: 0.0,
            terms: vec![([1.0, 0.0], sum)],
            diagonal: Diagonal::None,
        }));
    }
    steps
}

/// Names of register and accumulated sum after a stage.
fn register_of(stage: usize) -> u32 {
    2 * stage as u32
}

fn sum_of(stage: usize) -> u32 {
    2 * stage as u32 + 1
}

/// The operation that evaluates stage i, at the working point or at θ.
fn evaluate(i: usize, stages: usize, shape: Shape) -> Step {
    let stage = i as u32;
    let point = if shape.in_place { Name::Theta } else { shape.point(stage, stages) };
    // All gradients go to the register, if the source adds; the first one starts it.
    let gradient = Name::Gradient(if shape.adds { 1 } else { stage });
    let (purpose, adds) = (Purpose::Stage(stage), shape.adds && i > 1);
    Op::Evaluate { purpose, point, gradient, direction: None, adds, check: None }
}

fn finish(sum: Name, shape: Shape) -> Step {
    let gradients = vec![(1.0, sum)];
    Op::Finish(Finish { target: shape.step(), gradients, diagonal: Diagonal::None })
}

/// r_i = A_i r_{i−1} + k_i, y_{i+1} = y_i − h B_i D r_i. k₁'s buffer becomes r.
/// Where the step ends with a finish, Σ B_i r_i is kept, and every point made from
/// θ.
fn two(a: &[f64], b: &[f64], shape: Shape) -> Vec<Step> {
    let stages = b.len();
    let mut steps = Vec::new();
    for i in 1..=stages {
        steps.push(evaluate(i, stages, shape));
        let last = i == stages;
        let mut step = Registers { target: target(i, stages, shape), ..Registers::of(i as u32) };
        let mut weights = Coefficients::default();
        if i > 1 {
            let before = if i == 2 { Name::Gradient(1) } else { Name::Sum(register_of(i - 1)) };
            step.takes_register(Some(before));
            step.leaves_register((!last).then_some(Name::Sum(register_of(i))));
            (weights.register.old, weights.register.gradient) = (a[i - 1], 1.0);
        }
        if shape.finish {
            // q = Σ B r, where B₁ r₁ = B₁ k₁ is not yet in it.
            step.based = true;
            if i > 1 {
                step.takes_sum((i > 2).then_some(Name::Sum(sum_of(i - 1))));
                step.leaves_sum(Some(Name::Sum(sum_of(i))));
                weights.sum.sum = 1.0;
                weights.sum.old = if i == 2 { b[0] } else { 0.0 };
                weights.sum.register = b[i - 1];
                weights.slope.sum = 1.0;
            } else {
                weights.slope.gradient = b[0];
            }
            if last {
                step.target = None;
            }
        } else {
            if i == 1 {
                step.based = !shape.in_place;
                step.point = shape.in_place.then_some(Name::Theta);
                weights.slope.gradient = b[0];
            } else {
                step.point = Some(working(i, stages, shape));
                weights.slope.register = b[i - 1];
            }
        }
        steps.push(Op::Registers(Registers { weights, ..step }));
    }
    if shape.finish {
        steps.push(finish(Name::Sum(sum_of(stages)), shape));
    }
    steps
}

/// Plans a step where the source adds k_i to A_i r_{i−1} by itself: a stage leaves the
/// register ready for the next.
fn two_adding(a: &[f64], b: &[f64], shape: Shape) -> Vec<Step> {
    let stages = b.len();
    let register = Name::Gradient(1);
    let mut steps = Vec::new();
    for i in 1..=stages {
        steps.push(evaluate(i, stages, shape));
        let last = i == stages;
        let mut step = Registers {
            target: target(i, stages, shape),
            gradient: None,
            added: true,
            ..Registers::of(i as u32)
        };
        step.takes_register(Some(register));
        step.leaves_register((!last).then_some(register));
        let mut weights = Coefficients::default();
        weights.register.old = if last { 0.0 } else { a[i] };
        if shape.finish {
            step.based = true;
            step.takes_sum((i > 1).then_some(Name::Sum(sum_of(i - 1))));
            step.leaves_sum(Some(Name::Sum(sum_of(i))));
            (weights.sum.sum, weights.sum.old, weights.slope.sum) = (1.0, b[i - 1], 1.0);
            if last {
                step.target = None;
            }
        } else {
            step.based = i == 1 && !shape.in_place;
            step.point = (!step.based).then(|| working(i, stages, shape));
            weights.slope.old = b[i - 1];
        }
        steps.push(Op::Registers(Registers { weights, ..step }));
    }
    if shape.finish {
        steps.push(finish(Name::Sum(sum_of(stages)), shape));
    }
    steps
}

/// r_i = r_{i−1} + δ_i (y_i − θ), y_{i+1} = θ + γ₁ (y_i − θ) + γ₂ r_i − h β_i D k_i,
/// and Σ d k for the estimate or Σ b k for the finish. k₁'s buffer becomes that sum.
fn three(method: &LowStorage, lines: &[Three], shape: Shape) -> Vec<Step> {
    let stages = lines.len();
    let d = errors(method.tableau());
    let summed = if shape.judged { &d[..] } else { method.tableau().b() };
    let sums = shape.judged || shape.finish;
    let mut steps = Vec::new();
    for (line, i) in lines.iter().zip(1..) {
        steps.push(evaluate(i, stages, shape));
        let last = i == stages;
        let mut step = Registers {
            target: target(i, stages, shape).filter(|_| !(last && shape.finish)),
            based: true,
            ..Registers::of(i as u32)
        };
        let mut weights = Coefficients::default();
        weights.slope.gradient = line.beta;
        if i > 1 {
            step.point = Some(working(i, stages, shape));
            step.takes_register((i > 2).then_some(Name::Sum(register_of(i - 1))));
            // Without a later stage, r_i is only read.
            step.leaves_register((!last).then_some(Name::Sum(register_of(i))));
            (weights.register.old, weights.register.point) = (1.0, line.delta);
            (weights.point.point, weights.point.register) = (line.gamma[0], line.gamma[1]);
        }
        if sums && i > 1 {
            let first = i == 2;
            let before = if first { Name::Gradient(1) } else { Name::Sum(sum_of(i - 1)) };
            step.takes_sum(Some(before));
            step.leaves_sum(Some(Name::Sum(sum_of(i))));
            weights.sum.sum = if first { summed[0] } else { 1.0 };
            weights.sum.gradient = summed[i - 1];
        }
        if last && shape.finish {
            // Only the sum is left to be made.
            (step.point, step.based) = (None, false);
            step.takes_register(None);
            weights = Coefficients { sum: weights.sum, ..Coefficients::default() };
        }
        steps.push(Op::Registers(Registers { weights, ..step }));
    }
    if shape.finish {
        steps.push(finish(Name::Sum(sum_of(stages)), shape));
    }
    steps
}

/// The point at which stage i ≥ 1 is evaluated.
fn working(i: usize, stages: usize, shape: Shape) -> Name {
    if shape.in_place { Name::Theta } else { shape.point(i as u32, stages) }
}

/// The operations that stage i leads to.
fn target(i: usize, stages: usize, shape: Shape) -> Option<Name> {
    Some(match i == stages {
        _ if shape.in_place => Name::Theta,
        true => shape.step(),
        false => shape.point(i as u32 + 1, stages),
    })
}
