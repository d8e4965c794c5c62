//! Plans for stabilised methods: three-term recurrences, so that a stage needs the
//! point before it and one register, whatever the number of stages is.

use super::ending::{Estimate, Finish, Makes};
use super::op::{Op, Purpose};
use super::passes::Shape;
use super::registers::{Coefficients, Registers};
use super::step::Step;
use super::touch::Diagonal;
use super::vector::Name;
use crate::tableau::{Family, Recurrence};

/// The steps of one attempt of so many stages.
pub(super) fn steps(family: Family, stages: u32, shape: Shape) -> Vec<Step> {
    let recurrence = family.recurrence(stages);
    let mut steps =
        if shape.finish { increments(&recurrence, shape) } else { differences(&recurrence, shape) };
    if shape.judged {
        estimate(family, &recurrence, shape, &mut steps);
    }
    steps
}

/// Tells whether the estimate reads the gradient at the end of the step.
fn reads_end(family: Family) -> bool {
    matches!(family, Family::Rkc2 | Family::Rkl2)
}

fn estimate(family: Family, recurrence: &[Recurrence], shape: Shape, steps: &mut Vec<Step>) {
    let stages = recurrence.len();
    let end = stages as u32 + 1;
    let (drift, terms) = if reads_end(family) {
        // e = (4 (θ − θ') − 2h (k_1 + k(θ')))/5; with a finish θ' is no longer the
        // method's own, and its increment takes the place of the difference.
        let evaluation = shape.evaluate(end, stages + 1);
        let at = steps.len() - usize::from(shape.finish);
        steps.insert(at, evaluation);
        let mut terms = vec![([-0.4, 0.0], Name::Gradient(1)), ([-0.4, 0.0], Name::Gradient(end))];
        if shape.finish {
            terms.push(([0.8, 0.0], increment(stages)));
        }
        (if shape.finish { 0.0 } else { 0.8 }, terms)
    } else {
        let tau = -recurrence[stages - 1].before;
        let name = |back: u32| Name::Gradient(stages as u32 - back);
        (0.0, vec![([tau, 0.0], name(0)), ([-tau, 0.0], name(1))])
    };
    steps.push(Op::Estimate(Estimate {
        candidate: Name::Candidate,
        makes: Makes::Nothing,
        two: false,
        drift,
        terms,
        diagonal: Diagonal::None,
    }));
}

/// The method in differences of points, d_j = y_j − y_{j−1}:
///
/// ```text
/// d_j = −ν d_{j−1} + (μ + ν − 1)(y_{j−1} − θ) − h D Σ a k,   y_j = y_{j−1} + d_j
/// ```
///
/// As averages of points the stages would move a word less, and their rounding at
/// |θ| would grow like s^(3/2): each y_j carries on what the two before it are off
/// by. Here a point takes on what it is off by itself, and d is not touched by it.
/// Without a share of θ, d/(hD) is a register of gradients, as in the 2N form.
fn differences(recurrence: &[Recurrence], shape: Shape) -> Vec<Step> {
    let stages = recurrence.len();
    // y_j of the recurrence.
    let name = |j: usize| match j {
        0 => Name::Theta,
        _ if j == stages => shape.step(),
        _ => Name::Point(j as u32 + 1),
    };
    let register = |j: usize| Name::Sum(j as u32);
    let sloped = shares_theta(recurrence);
    let lead = recurrence[0].now;
    let mut steps = Vec::new();
    for (stage, j) in recurrence.iter().zip(1..) {
        let (purpose, gradient) = (Purpose::Stage(j as u32), Name::Gradient(j as u32));
        steps.push(Step::evaluate(purpose, name(j - 1), gradient));
        // The next stage may have no use for this one's difference.
        let passes = recurrence.get(j).is_some_and(|next| next.nu != 0.0);
        let mut step = Registers {
            target: Some(name(j)),
            based: j == 1 || sloped,
            sloped: j > 1 && sloped,
            point: (j > 1).then(|| name(j - 1)),
            ..Registers::of(j as u32)
        };
        step.leaves_register((j > 1 && passes).then(|| register(j)));
        let mut weights = Coefficients::default();
        if j == 1 {
            weights.slope.gradient = stage.now;
        } else if sloped {
            (weights.point.point, weights.point.register) = (1.0, 1.0);
            weights.slope.gradient = stage.now;
            step.extra = Some(Name::Gradient(1));
            weights.register.extra = stage.first;
            if j == 2 {
                // d_1 = y_1 − θ is a multiple of k_1, and exactly so only there.
                weights.register.extra += (stage.mu - 1.0) * lead;
                (step.based, weights.point.point) = (false, 0.0);
            } else {
                step.takes_register(Some(register(j - 1)));
                weights.register.old = -stage.nu;
                weights.register.point = stage.mu + stage.nu - 1.0;
            }
        } else {
            weights.slope.register = 1.0;
            weights.register.gradient = stage.now;
            if stage.nu != 0.0 {
                // k_1's buffer becomes the register.
                let (before, scale) =
                    if j == 2 { (Name::Gradient(1), lead) } else { (register(j - 1), 1.0) };
                step.takes_register(Some(before));
                weights.register.old = -stage.nu * scale;
            }
            if stage.before != 0.0 {
                step.extra = Some(Name::Gradient(j as u32 - 1));
                weights.register.extra = stage.before;
            }
        }
        steps.push(Op::Registers(Registers { weights, ..step }));
    }
    steps
}

/// Tells whether θ itself has a share in the points, and k_1 in all their slopes.
fn shares_theta(recurrence: &[Recurrence]) -> bool {
    recurrence.iter().skip(1).any(|stage| stage.first != 0.0)
}

/// The increment after stage j, (θ − y_j)/(hD), where it has a register.
fn increment(j: usize) -> Name {
    Name::Sum(j as u32)
}

/// u_j = μ u_{j−1} + ν u_{j−2} + Σ a k, y_j = θ − h D u_j: what momentum and decay
/// are to work on is made from gradients alone. u_1 is a multiple of k_1 and needs
/// no register.
fn increments(recurrence: &[Recurrence], shape: Shape) -> Vec<Step> {
    let stages = recurrence.len();
    let mut steps = Vec::new();
    // Where u_j is found, and what it is a multiple of there.
    let held = |j: usize| match j {
        0 => None,
        1 => Some((recurrence[0].now, Name::Gradient(1))),
        _ => Some((1.0, increment(j))),
    };
    let keeps_first = recurrence.iter().skip(2).any(|stage| stage.first != 0.0)
        || (shape.judged && shares_theta(recurrence));
    for (stage, j) in recurrence.iter().zip(1..) {
        let gradient = Name::Gradient(j as u32);
        let (purpose, point) =
            (Purpose::Stage(j as u32), if j == 1 { Name::Theta } else { Name::Point(j as u32) });
        steps.push(Step::evaluate(purpose, point, gradient));
        let target = Some(Name::Point(j as u32 + 1));
        let mut step = Registers { target, based: true, ..Registers::of(j as u32) };
        let mut weights = Coefficients::default();
        weights.register.gradient = stage.now;
        if j == 1 {
            weights.slope.gradient = stage.now;
            // A single stage has nobody else to keep its increment.
            if stages == 1 {
                step.leaves_register(Some(increment(1)));
            }
        } else {
            step.leaves_register(Some(increment(j)));
            weights.slope.register = 1.0;
            let mut extra = 0.0;
            if let Some((scale, name)) = held(j - 1) {
                step.takes_sum(Some(name));
                weights.register.sum = stage.mu * scale;
            }
            match held(j - 2) {
                Some((scale, name)) if name == Name::Gradient(1) && keeps_first => {
                    extra += stage.nu * scale;
                }
                Some((scale, name)) if stage.nu != 0.0 => {
                    step.takes_register(Some(name));
                    weights.register.old = stage.nu * scale;
                }
                _ => {}
            }
            extra += stage.first;
            if stage.before != 0.0 {
                step.extra = Some(Name::Gradient(j as u32 - 1));
                extra = stage.before;
            } else if extra != 0.0 && step.old_sum == Some(Name::Gradient(1)) {
                weights.register.sum += extra;
            } else if extra != 0.0 {
                step.extra = Some(Name::Gradient(1));
            }
            if step.extra.is_some() {
                weights.register.extra = extra;
            }
        }
        // Nobody asks for the gradient at the last point, unless an estimate does.
        let reads = shape.judged && shares_theta(recurrence);
        if j == stages && !reads {
            step.target = None;
            step.based = false;
        }
        steps.push(Op::Registers(Registers { weights, ..step }));
    }
    let gradients = vec![(1.0, increment(stages))];
    steps.push(Op::Finish(Finish { target: shape.step(), gradients, diagonal: Diagonal::None }));
    steps
}
