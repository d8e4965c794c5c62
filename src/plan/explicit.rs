//! Plans for explicit Butcher tableaus.

use super::liveness::{Draft, Step};
use super::search::{self, Form};
use super::{
    Diagonal, Fusion, Guard, MAX_INPUTS, MAX_INPUTS_WITH_STATE, Name, Options, Plan, Purpose, Scale,
};
use crate::ingredients::{Ingredients, Momentum, Preconditioner};
use crate::tableau::Tableau;

pub(super) fn plan(tableau: &Tableau, ingredients: &Ingredients, options: Options) -> Plan {
    let shape = Shape::new(tableau, ingredients);
    let candidates = match options.fusion {
        Fusion::None => vec![unfused(tableau, shape)],
        Fusion::Full => {
            search::cheapest(tableau).iter().map(|forms| fused(tableau, forms, shape)).collect()
        }
    };
    // Words are equal among the candidates; fewest buffers win, and among
    // those the first, which is the most direct.
    let steps = candidates
        .into_iter()
        .map(|steps| Draft::new(guarded(preconditioned(steps, shape), shape, options.guard)))
        .min_by_key(Draft::slots);
    let draft = steps.unwrap_or_else(|| unreachable!("the direct form is always a candidate"));
    Plan {
        method: tableau.name().to_owned(),
        ingredients: *ingredients,
        options,
        slots: draft.slots(),
        evaluations: tableau.stages() as u32,
        ops: draft.into_ops(),
        unfused_words: 0,
    }
}

/// What the ingredients ask of a plan.
#[derive(Clone, Copy)]
struct Shape {
    /// There is a D.
    diagonal: bool,
    /// The step ends with a finish, not with a linear combination.
    finish: bool,
}

impl Shape {
    fn new(tableau: &Tableau, ingredients: &Ingredients) -> Self {
        let diagonal = ingredients.preconditioner != Preconditioner::None;
        let finish = ingredients.momentum != Momentum::None
            || ingredients.weight_decay != 0.0
            // With one stage nothing before the verdict writes the state.
            || (diagonal && tableau.stages() == 1);
        Self { diagonal, finish }
    }

    fn inputs(self) -> usize {
        if self.diagonal { MAX_INPUTS_WITH_STATE } else { MAX_INPUTS }
    }
}

fn stage_point(i: u32) -> Name {
    if i == 1 { Name::Theta } else { Name::Point(i) }
}

fn evaluate(i: u32) -> Step {
    Step::Evaluate {
        purpose: Purpose::Stage(i),
        point: stage_point(i),
        gradient: Name::Gradient(i),
    }
}

/// Stage points and step from the chosen forms: `forms[i]` makes the point of
/// stage i + 2, the last one θ'.
fn fused(tableau: &Tableau, forms: &[Form], shape: Shape) -> Vec<Step> {
    let mut steps = vec![evaluate(1)];
    let mut sums = 0;
    for (i, form) in forms.iter().enumerate() {
        let last = i + 1 == forms.len();
        if last && shape.finish {
            finish(tableau, &mut sums, &mut steps);
            break;
        }
        let target = if last { Name::Theta } else { stage_point(i as u32 + 2) };
        split(form, target, shape.inputs(), &mut sums, &mut steps);
        if !last {
            steps.push(evaluate(i as u32 + 2));
        }
    }
    steps
}

/// ḡ = Σ b k and what becomes of it. Gradients beyond what one kernel binds
/// are summed before.
fn finish(tableau: &Tableau, sums: &mut u32, steps: &mut Vec<Step>) {
    let row = search::row(tableau, tableau.stages());
    let mut terms: Vec<(f64, Name)> = row
        .into_iter()
        .zip(1..)
        .filter(|&(b, _)| b != 0.0)
        .map(|(b, j)| (b, Name::Gradient(j)))
        .collect();
    while terms.len() > MAX_INPUTS_WITH_STATE {
        let rest = terms.split_off(MAX_INPUTS.min(terms.len()));
        let (lead, base) = terms[0];
        *sums += 1;
        steps.push(Step::Linear {
            target: Name::Sum(*sums),
            base,
            points: vec![],
            gradients: terms[1..].iter().map(|&(b, k)| (-b / lead, k)).collect(),
            scale: Scale::One,
            diagonal: Diagonal::None,
        });
        terms = std::iter::once((lead, Name::Sum(*sums))).chain(rest).collect();
    }
    steps.push(Step::Finish { gradients: terms, diagonal: Diagonal::None });
}

/// Breaks a form with more inputs than one kernel binds into a chain.
fn split(form: &Form, target: Name, most: usize, sums: &mut u32, steps: &mut Vec<Step>) {
    let room = most - 1 - form.points.len();
    let (mut now, mut rest) = form.gradients.split_at(room.min(form.gradients.len()));
    let (mut base, mut points) = (form.base, form.points.as_slice());
    loop {
        let done = rest.is_empty();
        let into = if done {
            target
        } else {
            *sums += 1;
            Name::Sum(*sums)
        };
        steps.push(Step::Linear {
            target: into,
            base,
            points: points.to_vec(),
            gradients: now.to_vec(),
            scale: Scale::StepSize,
            diagonal: Diagonal::None,
        });
        if done {
            return;
        }
        (base, points) = (into, &[]);
        (now, rest) = rest.split_at((most - 1).min(rest.len()));
    }
}

/// One axpy per non-zero coefficient: the gradients are summed first, in
/// ratio to the first one, and the sum is added to θ last, so that θ rounds
/// once as in the fused form.
fn unfused(tableau: &Tableau, shape: Shape) -> Vec<Step> {
    let stages = tableau.stages();
    let mut steps = vec![evaluate(1)];
    let mut sums = 0;
    for i in 1..=stages {
        let last = i == stages;
        let row: Vec<(f64, u32)> =
            search::row(tableau, i).into_iter().zip(1..).filter(|&(a, _)| a != 0.0).collect();
        let target = if last { Name::Theta } else { stage_point(i as u32 + 1) };
        let (lead, mut sum) = match row.first() {
            Some(&(a, j)) => (a, Name::Gradient(j)),
            // A stage at θ itself still needs a point of its own.
            None => (0.0, Name::Gradient(1)),
        };
        for &(a, j) in row.iter().skip(1) {
            sums += 1;
            let target = Name::Sum(sums);
            steps.push(Step::Linear {
                target,
                base: sum,
                points: vec![],
                gradients: vec![(-a / lead, Name::Gradient(j))],
                scale: Scale::One,
                diagonal: Diagonal::None,
            });
            sum = target;
        }
        if last && shape.finish {
            steps.push(Step::Finish { gradients: vec![(lead, sum)], diagonal: Diagonal::None });
            break;
        }
        steps.push(Step::Linear {
            target,
            base: Name::Theta,
            points: vec![],
            gradients: vec![(lead, sum)],
            scale: Scale::StepSize,
            diagonal: Diagonal::None,
        });
        if !last {
            steps.push(evaluate(i as u32 + 1));
        }
    }
    steps
}

/// Gives D to whatever is scaled by h, and k₁ to the state where it is first
/// read: with several stages in the first point, else in the finish.
fn preconditioned(mut steps: Vec<Step>, shape: Shape) -> Vec<Step> {
    if !shape.diagonal {
        return steps;
    }
    let mut next = Diagonal::Update;
    for step in &mut steps {
        match step {
            Step::Linear { gradients, scale: Scale::StepSize, diagonal, .. } => {
                if next == Diagonal::Update && !gradients.iter().any(|g| g.1 == Name::Gradient(1)) {
                    // A second stage at θ itself.
                    gradients.push((0.0, Name::Gradient(1)));
                }
                *diagonal = std::mem::replace(&mut next, Diagonal::Read);
            }
            Step::Finish { diagonal, .. } => *diagonal = next,
            _ => {}
        }
    }
    steps
}

/// Gives each gradient its first check and the verdict its place: before the
/// last step, which writes θ.
fn guarded(mut steps: Vec<Step>, shape: Shape, guard: Guard) -> Vec<Step> {
    let advance = steps.pop().unwrap_or_else(|| unreachable!("a plan ends with the advance"));
    if guard == Guard::On {
        let read_before = |name: &Name| {
            steps.iter().any(|step| match step {
                Step::Linear { base, gradients, .. } => {
                    base == name || gradients.iter().any(|(_, g)| g == name)
                }
                _ => false,
            })
        };
        let unread: Vec<u32> = advance
            .gradients()
            .filter(|name| !read_before(name))
            .filter_map(|name| match name {
                Name::Gradient(stage) => Some(stage),
                _ => None,
            })
            .collect();
        // k₁ is unread here only if the finish takes its squares.
        let squares = |stage| shape.diagonal && stage == 1;
        steps.extend(
            unread.into_iter().map(|stage| Step::Reduce { stage, squares: squares(stage) }),
        );
    }
    steps.push(Step::Control);
    steps.push(advance);
    steps
}
