//! Plans for explicit Butcher tableaus.

use super::liveness::{Draft, Step};
use super::search::{self, Form};
use super::{Fusion, Guard, MAX_INPUTS, Name, Options, Plan, Purpose, Scale};
use crate::tableau::Tableau;

pub(super) fn plan(tableau: &Tableau, options: Options) -> Plan {
    let candidates = match options.fusion {
        Fusion::None => vec![unfused(tableau)],
        Fusion::Full => search::cheapest(tableau).iter().map(|forms| fused(forms)).collect(),
    };
    // Words are equal among the candidates; fewest buffers win, and among
    // those the first, which is the most direct.
    let steps = candidates
        .into_iter()
        .map(|steps| Draft::new(guarded(steps, options.guard)))
        .min_by_key(Draft::slots);
    let draft = steps.unwrap_or_else(|| unreachable!("the direct form is always a candidate"));
    Plan {
        method: tableau.name().to_owned(),
        options,
        slots: draft.slots(),
        evaluations: tableau.stages() as u32,
        ops: draft.into_ops(),
        unfused_words: 0,
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
fn fused(forms: &[Form]) -> Vec<Step> {
    let mut steps = vec![evaluate(1)];
    let mut sums = 0;
    for (i, form) in forms.iter().enumerate() {
        let last = i + 1 == forms.len();
        let target = if last { Name::Theta } else { stage_point(i as u32 + 2) };
        split(form, target, &mut sums, &mut steps);
        if !last {
            steps.push(evaluate(i as u32 + 2));
        }
    }
    steps
}

/// Breaks a form with more inputs than one kernel binds into a chain.
fn split(form: &Form, target: Name, sums: &mut u32, steps: &mut Vec<Step>) {
    let room = MAX_INPUTS - 1 - form.points.len();
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
        });
        if done {
            return;
        }
        (base, points) = (into, &[]);
        (now, rest) = rest.split_at((MAX_INPUTS - 1).min(rest.len()));
    }
}

/// One axpy per non-zero coefficient: the gradients are summed first, in
/// ratio to the first one, and the sum is added to θ last, so that θ rounds
/// once as in the fused form.
fn unfused(tableau: &Tableau) -> Vec<Step> {
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
            });
            sum = target;
        }
        steps.push(Step::Linear {
            target,
            base: Name::Theta,
            points: vec![],
            gradients: vec![(lead, sum)],
            scale: Scale::StepSize,
        });
        if !last {
            steps.push(evaluate(i as u32 + 1));
        }
    }
    steps
}

/// Gives each gradient its first check and the verdict its place: before the
/// last step, which writes θ.
fn guarded(mut steps: Vec<Step>, guard: Guard) -> Vec<Step> {
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
        steps.extend(unread.into_iter().map(|stage| Step::Reduce { stage }));
    }
    steps.push(Step::Control);
    steps.push(advance);
    steps
}
