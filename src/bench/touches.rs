//! Lists which buffers each operation of a plan reads and writes.

use crate::device::vector::Vector;
use crate::ingredients::{Ingredients, Momentum, Preconditioner};
use crate::plan::{Diagonal, FieldSums, Linear, Makes, Name, Op, Operand, Plan, Registers};
use crate::state::State;

/// The use that a kernel makes of one buffer of one or more vectors: which of them it
/// reads, and which it writes.
#[derive(Debug)]
pub(super) struct Touch<'s> {
    pub(super) vector: &'s Vector,
    /// Vectors in the buffer.
    pub(super) width: usize,
    /// The first element.
    pub(super) first: usize,
    pub(super) reads: Vec<usize>,
    pub(super) writes: Vec<usize>,
}

impl<'s> Touch<'s> {
    fn new(vector: &'s Vector, reads: Vec<usize>, writes: Vec<usize>) -> Self {
        Self { vector, width: 1, first: 0, reads, writes }
    }

    pub(super) fn read(vector: &'s Vector) -> Self {
        Self::new(vector, vec![0], vec![])
    }

    pub(super) fn write(vector: &'s Vector) -> Self {
        Self::new(vector, vec![], vec![0])
    }

    pub(super) fn both(vector: &'s Vector) -> Self {
        Self::new(vector, vec![0], vec![0])
    }
}

/// The buffers that an operation reads and writes.
pub(super) fn touches<'s>(op: &Op, plan: &Plan, state: &'s State) -> Vec<Touch<'s>> {
    let vector = |operand: Operand| &state.vectors[operand.slot];
    let read = |operand: Operand| Touch::read(vector(operand));
    let theta = || Touch::read(&state.vectors[0]);
    let second = |diagonal: Diagonal| {
        let (kinds, halves) = (plan.ingredients().preconditioner.vectors(), plan.state_halves());
        let part = |kind: usize, half: usize| kind * halves + half;
        let all = |half: usize| (0..kinds).map(|kind| part(kind, half)).collect();
        let (reads, writes) = match diagonal {
            _ if kinds == 0 => return None,
            Diagonal::None => return None,
            Diagonal::Update => (all(0), all(halves - 1)),
            Diagonal::Read => (vec![part(kinds - 1, halves - 1)], vec![]),
        };
        Some(Touch { width: kinds * halves, ..Touch::new(&state.second, reads, writes) })
    };
    let mean = || {
        let halves = plan.mean_halves();
        let mean = (halves > 0).then(|| Touch::new(&state.mean, vec![0], vec![halves - 1]));
        mean.map(|mean| Touch { width: halves, ..mean })
    };
    match op {
        Op::Combine(linear) | Op::Advance(linear) => {
            let also = linear.also.iter().map(|also| also.target);
            let outputs: Vec<Operand> = std::iter::once(linear.target).chain(also).collect();
            let over = |input: Operand| outputs.iter().any(|output| output.slot == input.slot);
            let inputs: Vec<Operand> = linear.inputs().collect();
            let mut all: Vec<Touch> =
                inputs.iter().filter(|&&input| !over(input)).map(|&input| read(input)).collect();
            all.extend(outputs.iter().map(|output| {
                let in_place = inputs.iter().any(|input| input.slot == output.slot);
                let target = vector(*output);
                if in_place { Touch::both(target) } else { Touch::write(target) }
            }));
            all.extend(second(linear.diagonal));
            all
        }
        Op::Registers(op) => {
            let mut all = of_registers(op, state);
            all.extend(second(op.diagonal));
            all
        }
        Op::Finish(finish) => {
            let mut all: Vec<Touch> = finish.gradients.iter().map(|&(_, k)| read(k)).collect();
            if finish.target.slot == 0 {
                all.push(Touch::both(&state.vectors[0]));
            } else {
                all.extend([theta(), Touch::write(vector(finish.target))]);
            }
            all.extend(second(finish.diagonal));
            all.extend(mean());
            all
        }
        Op::Estimate(estimate) => {
            let mut all: Vec<Touch> = estimate.terms.iter().map(|&(_, k)| read(k)).collect();
            let candidate = vector(estimate.candidate);
            all.push(theta());
            all.push(match estimate.makes {
                Makes::Nothing => Touch::read(candidate),
                Makes::Step | Makes::Finish => Touch::write(candidate),
            });
            all.extend(second(estimate.diagonal));
            all.extend(mean().filter(|_| estimate.makes == Makes::Finish));
            all
        }
        Op::Field(field) => {
            let mut all: Vec<Touch> =
                [Some(field.a), field.b].into_iter().flatten().map(read).collect();
            if field.sums == FieldSums::Scaled {
                all.push(theta());
            }
            all.extend(second(field.diagonal));
            all
        }
        Op::Radius(radius) => match radius.others {
            None => vec![theta()],
            Some(others) => {
                let mut all = vec![theta(), Touch::both(vector(radius.vector))];
                all.extend(others.map(read));
                all.extend(second(radius.diagonal));
                all
            }
        },
        Op::Reduce { gradient, .. } => vec![read(*gradient)],
        Op::Decay { gradient, point } => vec![read(*point), Touch::both(vector(*gradient))],
        Op::Average => vec![theta(), Touch::both(&state.average)],
        Op::Pack { from, to } | Op::Commit { from, to } => {
            vec![read(*from), Touch::write(vector(*to))]
        }
        Op::Evaluate { .. } | Op::Fit { .. } | Op::Choose(_) | Op::Control | Op::Reuse { .. } => {
            vec![]
        }
    }
}

/// The preconditioner's state and the momentum, all halves, as what is written.
pub(super) fn moments<'s>(plan: &Plan, state: &'s State) -> Vec<Touch<'s>> {
    let second = plan.ingredients().preconditioner.vectors() * plan.state_halves();
    [(&state.second, second), (&state.mean, plan.mean_halves())]
        .into_iter()
        .filter(|&(_, width)| width > 0)
        .map(|(vector, width)| Touch { width, ..Touch::new(vector, vec![], (0..width).collect()) })
        .collect()
}

/// The kernels of an operation of the baseline where its ingredients are not fused
/// either: one kernel for each axpy, scaling or element-wise function, as optimizers
/// without kernels of their own do it. `s` takes √v + ε or what D is made of, `u` what
/// is between two kernels.
pub(super) fn apart<'s>(
    op: &Op,
    plan: &Plan,
    state: &'s State,
    [s, u]: [&'s Vector; 2],
) -> Option<Vec<Vec<Touch<'s>>>> {
    let Ingredients { preconditioner, momentum, weight_decay, .. } = *plan.ingredients();
    let halves = plan.state_halves();
    let width = preconditioner.vectors() * halves;
    let v = |reads: Vec<usize>, writes: Vec<usize>| Touch {
        width,
        ..Touch::new(&state.second, reads, writes)
    };
    let (old, new) = (0, halves - 1);
    let vector = |operand: Operand| &state.vectors[operand.slot];
    let updated = |g: &'s Vector| {
        let square = vec![Touch::read(g), v(vec![new], vec![new])];
        let decayed = vec![v(vec![old], vec![new])];
        let root = vec![v(vec![new], vec![]), Touch::write(s)];
        let again = || vec![Touch::both(s)];
        match preconditioner {
            Preconditioner::None => vec![],
            // 1/√(1 + v); √v + ε.
            Preconditioner::AdagradRescaled | Preconditioner::Adagrad { .. } => {
                vec![vec![Touch::read(g), v(vec![old], vec![new])], root, again()]
            }
            Preconditioner::RmsProp { .. } => vec![decayed, square, root, again()],
            Preconditioner::Adam { .. } => vec![decayed, square, root, again(), again()],
            Preconditioner::AmsGrad { .. } => {
                let largest = vec![v(vec![new, halves + old], vec![halves + new])];
                vec![decayed, square, largest, root, again(), again()]
            }
        }
    };
    let scaled = |diagonal: Diagonal| (diagonal != Diagonal::None).then(|| Touch::read(s));
    match op {
        Op::Combine(linear) | Op::Advance(linear) if linear.diagonal != Diagonal::None => {
            let first = linear.gradients.iter().find(|(_, k)| k.name == Name::Gradient(1));
            let update = first.filter(|_| linear.diagonal == Diagonal::Update);
            let mut parts = update.map_or(vec![], |&(_, k)| updated(vector(k)));
            let bare = Linear { diagonal: Diagonal::None, ..linear.clone() };
            let mut step = touches(&Op::Combine(bare), plan, state);
            step.extend(scaled(linear.diagonal));
            parts.push(step);
            Some(parts)
        }
        Op::Finish(finish) => {
            let [(_, g)] = *finish.gradients.as_slice() else { return None };
            let g = vector(g);
            let update = finish.diagonal == Diagonal::Update;
            let mut parts = if update { updated(g) } else { vec![] };
            let theta = || vec![Touch::both(&state.vectors[0])];
            let with = |mut all: Vec<Touch<'s>>, more: Vec<Touch<'s>>| {
                all.extend(more);
                all
            };
            let halves = plan.mean_halves();
            let mean = |reads: Vec<usize>, writes: Vec<usize>| Touch {
                width: halves,
                ..Touch::new(&state.mean, reads, writes)
            };
            let last = || mean(vec![halves - 1], vec![]);
            let divided: Vec<Touch> = scaled(finish.diagonal).into_iter().collect();
            let is_scaled = !divided.is_empty();
            match momentum {
                Momentum::None => parts.push(with(with(theta(), vec![Touch::read(g)]), divided)),
                Momentum::Average { .. } => {
                    parts.push(vec![Touch::read(g), mean(vec![0], vec![halves - 1])]);
                    parts.push(with(with(theta(), vec![last()]), divided));
                }
                Momentum::HeavyBall { .. } | Momentum::Nesterov { .. } => {
                    let from = if is_scaled { u } else { g };
                    if is_scaled {
                        parts.push(with(vec![Touch::read(g), Touch::write(u)], divided));
                    }
                    parts.push(vec![Touch::read(from), mean(vec![0], vec![halves - 1])]);
                    if matches!(momentum, Momentum::Nesterov { .. }) {
                        parts.push(vec![Touch::read(from), last(), Touch::write(s)]);
                    }
                    parts.push(with(theta(), vec![last()]));
                }
            }
            if weight_decay != 0.0 {
                parts.push(vec![Touch::both(vector(finish.target))]);
            }
            Some(parts)
        }
        _ => None,
    }
}

fn of_registers<'s>(op: &Registers, state: &'s State) -> Vec<Touch<'s>> {
    let vector = |operand: Operand| &state.vectors[operand.slot];
    let to_theta = op.target.is_some_and(|target| target.slot == 0);
    let single = [op.gradient, op.extra].into_iter().flatten();
    let mut all: Vec<Touch> = single.map(|operand| Touch::read(vector(operand))).collect();
    for (operand, reads, writes) in [
        (op.register, op.reads_register, op.writes_register),
        (op.sum, op.reads_sum, op.writes_sum),
    ] {
        let part = |flag: bool| if flag { vec![0] } else { vec![] };
        let touch = operand.map(|operand| Touch::new(vector(operand), part(reads), part(writes)));
        all.extend(touch.filter(|_| reads || writes));
    }
    let mut in_place = false;
    if op.based {
        in_place = to_theta;
        all.extend((!to_theta).then(|| Touch::read(&state.vectors[0])));
    }
    if let Some(point) = op.point {
        let same = op.target.is_some_and(|target| target.slot == point.slot);
        in_place |= same;
        all.extend((!same).then(|| Touch::read(vector(point))));
    }
    if let Some(target) = op.target.map(vector) {
        all.push(if in_place { Touch::both(target) } else { Touch::write(target) });
    }
    all
}
