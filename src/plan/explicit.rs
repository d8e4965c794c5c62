//! Plans for explicit Butcher tableaus.

use std::collections::HashMap;

use super::liveness::{Emission, Step};
use super::passes::{Assembly, Shape, errors, finish, gathered, linear, nonzero};
use super::search::{self, Form};
use super::{Diagonal, Fusion, MAX_ESTIMATE_TERMS, MAX_INPUTS, Name, Scale};
use crate::tableau::Tableau;

/// The cheapest steps.
pub(super) fn steps(assembly: &Assembly<'_>) -> Vec<Step> {
    let &Assembly { tableau, shape, ingredients, options, .. } = assembly;
    // A buffer more must spare more than a word. Among equals the first wins,
    // which is the most direct.
    let cost = |steps: &Vec<Step>| {
        let draft = assembly.draft(steps.clone(), false);
        draft.bytes(ingredients) + draft.resident_bytes()
    };
    match options.fusion {
        Fusion::None => unfused(tableau, shape),
        Fusion::Full => search::cheapest(tableau)
            .iter()
            .map(|forms| fused(tableau, forms, shape))
            .chain(with_emissions(tableau, shape, &|steps| cost(&steps)))
            .min_by_key(cost)
            .unwrap_or_else(|| unreachable!("the direct form is always a candidate")),
    }
}

/// The gradients that follow stage i in the tableau: those of the next point,
/// or of the step.
fn terms(tableau: &Tableau, i: usize) -> Vec<(f64, Name)> {
    nonzero(&search::row(tableau, i))
}

/// Stage points and step from the chosen forms: `forms[i]` makes the point of
/// stage i + 2, the last one θ'.
fn fused(tableau: &Tableau, forms: &[Form], shape: Shape) -> Vec<Step> {
    let stages = tableau.stages();
    let mut steps = vec![shape.evaluate(1, stages)];
    let mut sums = 0;
    let (step, points) = forms.split_last().unwrap_or_else(|| unreachable!("a stage at least"));
    for (form, i) in points.iter().zip(2..) {
        let target = shape.point(i, stages);
        let form = named(form, shape, stages);
        split(&form, target, shape.inputs(), &mut sums, &mut steps);
        steps.push(shape.evaluate(i, stages));
    }
    let step = named(step, shape, stages);
    end(tableau, Some(&step), shape, &mut sums, &mut steps);
    without_copies(steps)
}

/// A vector that would be no more than a copy of another, which is then that other:
/// a partial sum that lacks nothing of its point, a second stage at the same point,
/// a candidate that a stage has been at. Copies of θ stay: it is written, and points
/// are not.
fn without_copies(mut steps: Vec<Step>) -> Vec<Step> {
    let copied = |step: &Step| match step {
        &Step::Linear { target, base, ref points, ref gradients, also: None, .. } => {
            let own = target != Name::Theta && base != Name::Theta;
            (own && points.is_empty() && gradients.is_empty()).then_some((target, base))
        }
        _ => None,
    };
    while let Some((at, (target, base))) =
        steps.iter().enumerate().find_map(|(at, step)| Some((at, copied(step)?)))
    {
        steps.remove(at);
        // The earlier point keeps its name; sums, and what becomes the candidate, do not.
        let (from, to) = match (target, base) {
            (Name::Point(_), Name::Point(_) | Name::Candidate) => (target, base),
            _ => (base, target),
        };
        for name in steps.iter_mut().flat_map(Step::names) {
            if *name == from {
                *name = to;
            }
        }
    }
    steps
}

/// The form with the last stage's point called as the plan calls it.
fn named(form: &Form, shape: Shape, stages: usize) -> Form {
    let name = |name: Name| match name {
        Name::Point(i) => shape.point(i, stages),
        other => other,
    };
    Form {
        base: name(form.base),
        points: form.points.iter().map(|&(w, p)| (w, name(p))).collect(),
        gradients: form.gradients.clone(),
    }
}

/// The step by its form, or what stands in its place, and the estimate.
fn end(
    tableau: &Tableau,
    form: Option<&Form>,
    shape: Shape,
    sums: &mut u32,
    steps: &mut Vec<Step>,
) {
    let together = makes_with_estimate(tableau, shape);
    if shape.finish {
        finish(tableau, shape, sums, steps);
    } else if let Some(form) = form
        && !shape.same
        && !together
    {
        split(form, shape.step(), shape.inputs(), sums, steps);
    }
    if shape.judged {
        let terms = nonzero(&errors(tableau));
        estimate(tableau, terms, together, sums, steps);
    }
}

/// Whether one kernel makes the candidate and its error.
fn makes_with_estimate(tableau: &Tableau, shape: Shape) -> bool {
    let weights = errors(tableau).into_iter().zip(tableau.b());
    let read = weights.filter(|&(d, &b)| d != 0.0 || b != 0.0).count();
    let one = tableau.b_low().is_none();
    shape.judged && one && !shape.same && !shape.finish && read <= MAX_ESTIMATE_TERMS
}

/// b − b_low, where there is such a second estimate.
fn lower_errors(tableau: &Tableau) -> Option<Vec<f64>> {
    let lower = tableau.b_low()?;
    Some(tableau.b().iter().zip(lower).map(|(b, lower)| b - lower).collect())
}

/// The estimate of Σ d k, where `terms` may hold sums.
fn estimate(
    tableau: &Tableau,
    terms: Vec<(f64, Name)>,
    makes: bool,
    sums: &mut u32,
    steps: &mut Vec<Step>,
) {
    let lower = lower_errors(tableau);
    let two = lower.is_some();
    let terms = if makes {
        let both = errors(tableau).into_iter().zip(tableau.b()).zip(1..);
        both.filter(|&((d, &b), _)| d != 0.0 || b != 0.0)
            .map(|((d, &b), j)| ([d, b], Name::Gradient(j)))
            .collect()
    } else {
        // Two errors share the gradients that one kernel reads.
        let most = MAX_ESTIMATE_TERMS / if two { 2 } else { 1 };
        let terms = gathered(terms, most, sums, steps);
        let lower = gathered(nonzero(&lower.unwrap_or_default()), most, sums, steps);
        let first = terms.into_iter().map(|(d, k)| ([d, 0.0], k));
        first.chain(lower.into_iter().map(|(d, k)| ([0.0, d], k))).collect()
    };
    steps.push(Step::Estimate { makes, two, drift: 0.0, terms, diagonal: Diagonal::None });
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
            also: None,
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
    let mut steps = vec![shape.evaluate(1, stages)];
    let mut sums = 0;
    let mut summed = |row: Vec<(f64, Name)>, steps: &mut Vec<Step>| {
        // A stage at θ itself still needs a point of its own.
        let (lead, mut sum) = row.first().copied().unwrap_or((0.0, Name::Gradient(1)));
        for &(a, k) in row.iter().skip(1) {
            sums += 1;
            let target = Name::Sum(sums);
            steps.push(linear(target, sum, vec![(-a / lead, k)], Scale::One));
            sum = target;
        }
        (lead, sum)
    };
    for i in 1..=stages {
        let last = i == stages;
        if last && shape.same {
            break;
        }
        let sum = summed(terms(tableau, i), &mut steps);
        if last && shape.finish {
            let (target, diagonal) = (shape.step(), Diagonal::None);
            steps.push(Step::Finish { target, gradients: vec![sum], diagonal });
            break;
        }
        let target = if last { shape.step() } else { shape.point(i as u32 + 1, stages) };
        steps.push(linear(target, Name::Theta, vec![sum], Scale::StepSize));
        if !last {
            steps.push(shape.evaluate(i as u32 + 1, stages));
        }
    }
    if shape.judged {
        let (d, sum) = summed(nonzero(&errors(tableau)), &mut steps);
        let (makes, diagonal) = (false, Diagonal::None);
        let mut terms = vec![([d, 0.0], sum)];
        let lower = lower_errors(tableau);
        let two = lower.is_some();
        if let Some(lower) = lower {
            let (d, sum) = summed(nonzero(&lower), &mut steps);
            terms.push(([0.0, d], sum));
        }
        steps.push(Step::Estimate { makes, two, drift: 0.0, terms, diagonal });
    }
    steps
}

/// What a kernel that makes a stage point may write besides.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Later {
    /// For the point of this stage: θ − h Σ a k over the gradients there are.
    Point(usize),
    /// For the step: Σ b k.
    Step,
    /// For the estimate: Σ d k.
    Error,
}

/// Above this many stages no emissions are searched.
const MOST_STAGES_FOR_EMISSIONS: usize = 16;

/// The direct forms, where the kernel that follows stage i, and so reads θ and
/// k₁ … kᵢ anyway, also emits what a later operation would have to read them
/// for. Coordinate descent over which one emits what, from nothing and from
/// each place where the error's share can come from; none where nothing is to
/// be gained.
fn with_emissions<'a>(
    tableau: &'a Tableau,
    shape: Shape,
    cost: &'a dyn Fn(Vec<Step>) -> usize,
) -> impl Iterator<Item = Vec<Step>> + 'a {
    let stages = tableau.stages();
    let mut starts = vec![];
    if !shape.diagonal && (3..=MOST_STAGES_FOR_EMISSIONS).contains(&stages) {
        starts.push(vec![None; stages]);
        starts.extend((2..stages).map(|i| {
            let mut chosen = vec![None; stages];
            chosen[i] = Some(Later::Error);
            chosen
        }));
    }
    starts.into_iter().filter_map(move |mut chosen| {
        let mut least = cost(emitting(tableau, shape, &chosen)?);
        let mut improved = true;
        while improved {
            improved = false;
            for i in 2..stages {
                // The candidate is no such point: θ would round twice on its way.
                let points = i + 2..=stages - usize::from(shape.same);
                let points = points.map(Later::Point);
                let all = points.chain([Later::Step, Later::Error]).map(Some).chain([None]);
                for later in all {
                    let mut trial = chosen.clone();
                    trial[i] = later;
                    let Some(steps) = emitting(tableau, shape, &trial) else { continue };
                    let found = cost(steps);
                    if found < least {
                        (least, chosen, improved) = (found, trial, true);
                    }
                }
            }
        }
        emitting(tableau, shape, &chosen)
    })
}

/// `emissions[i]` comes from the kernel that follows stage i. `None` if a kernel
/// has no room, or something would be emitted twice, for nobody, or of nothing.
fn emitting(tableau: &Tableau, shape: Shape, emissions: &[Option<Later>]) -> Option<Vec<Step>> {
    let stages = tableau.stages();
    let d = errors(tableau);
    let row = |later: Later| match later {
        Later::Point(i) => search::row(tableau, i - 1),
        Later::Step => tableau.b().to_vec(),
        Later::Error => d.clone(),
    };
    let made = |later: Later| emissions.iter().position(|e| *e == Some(later));
    let emitted = emissions.iter().flatten();
    for later in emitted.clone() {
        let useless = match later {
            Later::Point(_) => false,
            Later::Step => shape.finish || shape.same || makes_with_estimate(tableau, shape),
            Later::Error => !shape.judged || makes_with_estimate(tableau, shape),
        };
        if useless || emitted.clone().filter(|e| *e == later).count() > 1 {
            return None;
        }
    }
    let mut names = 0;
    let mut sums = HashMap::new();
    let mut steps = vec![shape.evaluate(1, stages)];
    // What is left to read of a row, and the sum of the rest if it was emitted.
    let rest = |later: Later, sums: &HashMap<Later, Name>| {
        let from = made(later).unwrap_or(0);
        let left = nonzero(&row(later)).into_iter().filter(move |&(_, k)| match k {
            Name::Gradient(j) => j as usize > from,
            _ => true,
        });
        (sums.get(&later).copied(), left.collect::<Vec<_>>())
    };
    for i in 1..stages {
        let later = Later::Point(i + 1);
        let (sum, gradients) = rest(later, &sums);
        let base = sum.unwrap_or(Name::Theta);
        let target = shape.point(i as u32 + 1, stages);
        match emissions[i] {
            None => {
                let form = Form { base, points: vec![], gradients };
                split(&form, target, shape.inputs(), &mut names, &mut steps);
            }
            Some(later) => {
                // It reads all that it has a share in.
                let weights = row(later);
                let all: Vec<(f64, f64, Name)> = (1..=i)
                    .map(|j| {
                        let name = Name::Gradient(j as u32);
                        let own = gradients.iter().find(|g| g.1 == name).map_or(0.0, |g| g.0);
                        (own, weights[j - 1], name)
                    })
                    .filter(|&(a, b, _)| a != 0.0 || b != 0.0)
                    .collect();
                // A gradient with a share in the error needs no check: an
                // error that is not finite refuses the attempt.
                let free = shape.judged && d[i - 1] != 0.0;
                let room = MAX_INPUTS - usize::from(!free);
                let nothing = all.iter().all(|&(_, b, _)| b == 0.0);
                if base != Name::Theta || all.len() + 1 > room || nothing {
                    return None;
                }
                names += 1;
                let name = Name::Sum(names);
                sums.insert(later, name);
                let based = matches!(later, Later::Point(_));
                let weights = all.iter().map(|t| t.1).collect();
                steps.push(Step::Linear {
                    target,
                    base,
                    points: vec![],
                    gradients: all.iter().map(|t| (t.0, t.2)).collect(),
                    scale: Scale::StepSize,
                    diagonal: Diagonal::None,
                    also: Some(Emission { target: name, based, weights, checks: !free }),
                });
            }
        }
        steps.push(shape.evaluate(i as u32 + 1, stages));
    }
    let with_sum = |later: Later| {
        let (sum, gradients) = rest(later, &sums);
        sum.into_iter().map(|sum| (1.0, sum)).chain(gradients).collect::<Vec<_>>()
    };
    if shape.finish {
        finish(tableau, shape, &mut names, &mut steps);
    } else if !shape.same && !makes_with_estimate(tableau, shape) {
        let form = Form { base: Name::Theta, points: vec![], gradients: with_sum(Later::Step) };
        split(&form, shape.step(), shape.inputs(), &mut names, &mut steps);
    }
    if shape.judged {
        let together = makes_with_estimate(tableau, shape);
        estimate(tableau, with_sum(Later::Error), together, &mut names, &mut steps);
    }
    Some(without_copies(steps))
}
