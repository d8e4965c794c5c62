//! Lists which buffers each operation of a plan reads and writes.

use crate::device::vector::Vector;
use crate::ingredients::{Ingredients, Momentum, Preconditioner};
use crate::plan::{self, Diagonal, Linear, Name, Op, Operand, Plan, What};
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

/// The buffers that an operation moves words of, each once.
pub(super) fn touches<'s>(op: &Op, plan: &Plan, state: &'s State) -> Vec<Touch<'s>> {
    let ingredients = plan.ingredients();
    if let Op::Evaluate { .. } = op {
        return vec![];
    }
    let touch = |plan::Touch { what, by }: plan::Touch| {
        let part = |of: bool, parts: Vec<usize>| if of { parts } else { vec![] };
        let whole = |vector| Touch::new(vector, part(by.reads, vec![0]), part(by.writes, vec![0]));
        Some(match what {
            _ if by.seldom => return None,
            What::Vector(operand) => whole(&state.vectors[operand.slot]),
            What::Average => whole(&state.average),
            What::Momentum => {
                let width = plan.mean_halves();
                Touch { width, ..Touch::new(&state.mean, vec![0], vec![width - 1]) }
            }
            What::Second => {
                let kinds = ingredients.preconditioner.vectors();
                let halves = plan.state_halves();
                let of = |half: usize| (0..kinds).map(move |kind| kind * halves + half);
                let (reads, writes) = match by.writes {
                    true => (of(0).collect(), of(halves - 1).collect()),
                    false => (of(halves - 1).next_back().into_iter().collect(), vec![]),
                };
                Touch { width: kinds * halves, ..Touch::new(&state.second, reads, writes) }
            }
            What::Partials
            | What::Checks
            | What::Control
            | What::Loss
            | What::LastLoss
            | What::Ring => {
                return None;
            }
        })
    };
    let all = op.buffers(ingredients).into_iter().filter_map(touch);
    all.filter(|touch| !touch.reads.is_empty() || !touch.writes.is_empty()).collect()
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
        Op::Combine(linear) if linear.diagonal != Diagonal::None => {
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
                Momentum::Ema { .. } => {
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
