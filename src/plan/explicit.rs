//! Plans for explicit Butcher tableaus.

use std::collections::HashMap;

use super::liveness::{Draft, Emission, Step};
use super::search::{self, Form};
use super::{
    Choice, Diagonal, FieldSums, Fusion, Guard, MAX_ESTIMATE_TERMS, MAX_INPUTS,
    MAX_INPUTS_WITH_STATE, Name, Op, Options, Plan, Purpose, Scale,
};
use crate::ingredients::{Curvature, Ingredients, Momentum, Preconditioner, Rule};
use crate::tableau::Tableau;

pub(super) fn plan(tableau: &Tableau, ingredients: &Ingredients, options: Options) -> Plan {
    let judged = ingredients.adaptive.is_some();
    let tableau = if judged { tableau } else { &tableau.without_estimate() };
    let shape = Shape::new(tableau, ingredients);
    let draft = |steps| {
        Draft::new(guarded(
            preconditioned(decayed(ruled(steps, ingredients), ingredients), shape),
            tableau,
            shape,
            options.guard,
        ))
    };
    // A buffer more must spare more than a word. Among equals the first wins,
    // which is the most direct.
    let cost = |draft: &Draft| draft.words(ingredients) + draft.slots();
    let draft = match options.fusion {
        Fusion::None => draft(unfused(tableau, shape)),
        Fusion::Full => search::cheapest(tableau)
            .iter()
            .map(|forms| draft(fused(tableau, forms, shape)))
            .chain(with_emissions(tableau, shape, &|steps| cost(&draft(steps))).map(draft))
            .min_by_key(cost)
            .unwrap_or_else(|| unreachable!("the direct form is always a candidate")),
    };
    let opening = decayed(opening(ingredients), ingredients);
    let opening = Draft::new(preconditioned(opening, shape));
    let probed = ingredients.rule.is_some_and(probes);
    let error_order = tableau.embedded_order().map_or(0, |p| p.min(tableau.order()) + 1);
    Plan {
        method: tableau.name().to_owned(),
        ingredients: *ingredients,
        options,
        slots: draft.slots().max(opening.slots()),
        stages: tableau.stages() as u32,
        evaluations: tableau.stages() as u32 + u32::from(probed),
        opening: opening.into_ops(),
        error_order: if judged { error_order } else { 0 },
        ops: {
            let mut ops = draft.into_ops();
            ops.extend(ingredients.average.map(|_| Op::Average));
            ops
        },
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
    /// An error estimate judges a candidate before θ is written.
    judged: bool,
    /// The last stage's point is the candidate.
    same: bool,
}

impl Shape {
    fn new(tableau: &Tableau, ingredients: &Ingredients) -> Self {
        let diagonal = ingredients.preconditioner != Preconditioner::None || ingredients.grouped;
        let judged = ingredients.adaptive.is_some();
        let finish = ingredients.momentum != Momentum::None
            || ingredients.weight_decay != 0.0
            // With one stage nothing before the verdict writes the state.
            || (diagonal && tableau.stages() == 1);
        let same = judged && !finish && tableau.first_same_as_last();
        Self { diagonal, finish, judged, same }
    }

    fn inputs(self) -> usize {
        if self.diagonal { MAX_INPUTS_WITH_STATE } else { MAX_INPUTS }
    }

    /// Gradients that the finish reads: before the verdict θ takes the place of
    /// one.
    fn finish_terms(self) -> usize {
        MAX_INPUTS_WITH_STATE - usize::from(self.judged)
    }

    /// What the step makes.
    fn step(self) -> Name {
        if self.judged { Name::Candidate } else { Name::Theta }
    }

    /// The point of stage i of `stages`.
    fn point(self, i: u32, stages: usize) -> Name {
        match i {
            1 => Name::Theta,
            _ if self.same && i as usize == stages => Name::Candidate,
            _ => Name::Point(i),
        }
    }

    fn evaluate(self, i: u32, stages: usize) -> Step {
        Step::Evaluate {
            purpose: Purpose::Stage(i),
            point: self.point(i, stages),
            gradient: Name::Gradient(i),
        }
    }
}

fn linear(target: Name, base: Name, gradients: Vec<(f64, Name)>, scale: Scale) -> Step {
    let (points, diagonal) = (vec![], Diagonal::None);
    Step::Linear { target, base, points, gradients, scale, diagonal, also: None }
}

/// The gradients that follow stage i in the tableau: those of the next point,
/// or of the step.
fn terms(tableau: &Tableau, i: usize) -> Vec<(f64, Name)> {
    nonzero(&search::row(tableau, i))
}

fn nonzero(weights: &[f64]) -> Vec<(f64, Name)> {
    weights
        .iter()
        .zip(1..)
        .filter(|&(&w, _)| w != 0.0)
        .map(|(&w, j)| (w, Name::Gradient(j)))
        .collect()
}

/// d = b − b̂.
fn errors(tableau: &Tableau) -> Vec<f64> {
    let b_hat = tableau.b_hat().unwrap_or(tableau.b());
    tableau.b().iter().zip(b_hat).map(|(b, b_hat)| b - b_hat).collect()
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
    shape.judged && !shape.same && !shape.finish && read <= MAX_ESTIMATE_TERMS
}

/// Gradients beyond what one kernel binds are summed before, with weights in
/// ratio to the first.
fn gathered(
    mut terms: Vec<(f64, Name)>,
    most: usize,
    sums: &mut u32,
    steps: &mut Vec<Step>,
) -> Vec<(f64, Name)> {
    while terms.len() > most {
        let rest = terms.split_off(MAX_INPUTS.min(terms.len()));
        let (lead, base) = terms[0];
        *sums += 1;
        let gradients = terms[1..].iter().map(|&(b, k)| (-b / lead, k)).collect();
        steps.push(linear(Name::Sum(*sums), base, gradients, Scale::One));
        terms = std::iter::once((lead, Name::Sum(*sums))).chain(rest).collect();
    }
    terms
}

/// ḡ = Σ b k and what becomes of it.
fn finish(tableau: &Tableau, shape: Shape, sums: &mut u32, steps: &mut Vec<Step>) {
    let terms = terms(tableau, tableau.stages());
    let gradients = gathered(terms, shape.finish_terms(), sums, steps);
    let (target, diagonal) = (shape.step(), Diagonal::None);
    steps.push(Step::Finish { target, gradients, diagonal });
}

/// The estimate of Σ d k, where `terms` may hold sums.
fn estimate(
    tableau: &Tableau,
    terms: Vec<(f64, Name)>,
    makes: bool,
    sums: &mut u32,
    steps: &mut Vec<Step>,
) {
    let terms = if makes {
        let both = errors(tableau).into_iter().zip(tableau.b()).zip(1..);
        both.filter(|&((d, &b), _)| d != 0.0 || b != 0.0)
            .map(|((d, &b), j)| ([d, b], Name::Gradient(j)))
            .collect()
    } else {
        let terms = gathered(terms, MAX_ESTIMATE_TERMS, sums, steps);
        terms.into_iter().map(|(d, k)| ([d, 0.0], k)).collect()
    };
    steps.push(Step::Estimate { makes, terms, diagonal: Diagonal::None });
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
        steps.push(Step::Estimate { makes, terms: vec![([d, 0.0], sum)], diagonal });
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
/// has no room, or something would be emitted twice or for nobody.
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
                if base != Name::Theta || all.len() + 1 > room {
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
    Some(steps)
}

/// Whether a rule wants one evaluation more in every attempt.
fn probes(rule: Rule) -> bool {
    match rule {
        Rule::Polyak { .. } => false,
        Rule::SgdG2 { .. } => true,
        Rule::Dal { from, .. } | Rule::RescaledDal { from, .. } => from != Curvature::Stages,
    }
}

/// H k₁ by the source, and its norm.
fn product() -> [Step; 3] {
    let (point, gradient) = (Name::Theta, Name::GradientBeside);
    let (diagonal, sums) = (Diagonal::None, FieldSums::RawProduct);
    [
        Step::Evaluate { purpose: Purpose::Product, point, gradient },
        Step::Field { a: gradient, b: None, diagonal, sums },
        Step::Choose(Choice::Multiplied),
    ]
}

/// θ ∓ a distance along v = D k₁, the gradient there, and D times what it
/// differs by from k₁.
fn probe(sign: f64, purpose: Purpose, sums: FieldSums, choice: Choice) -> [Step; 4] {
    let (point, gradient) = (Name::Beside, Name::GradientBeside);
    let first = Name::Gradient(1);
    [
        linear(point, Name::Theta, vec![(sign, first)], Scale::Probe),
        Step::Evaluate { purpose, point, gradient },
        Step::Field { a: gradient, b: Some(first), diagonal: Diagonal::None, sums },
        Step::Choose(choice),
    ]
}

/// ‖k₁‖, and ‖v‖ and ⟨k₁, v⟩.
fn direction(choice: Choice, sums: FieldSums) -> [Step; 4] {
    [
        Step::Reduce { stage: 1, squares: true },
        Step::Choose(Choice::Norm),
        Step::Field { a: Name::Gradient(1), b: None, diagonal: Diagonal::None, sums },
        Step::Choose(choice),
    ]
}

/// Puts what decides about h and about clipping after the gradients that it
/// looks at.
fn ruled(steps: Vec<Step>, ingredients: &Ingredients) -> Vec<Step> {
    let mut ruled = Vec::new();
    for step in steps {
        let stage = match step {
            Step::Evaluate { purpose: Purpose::Stage(stage), .. } => stage,
            _ => 0,
        };
        ruled.push(step);
        match (stage, ingredients.rule) {
            (1, None) if ingredients.clip.is_some() => {
                ruled.push(Step::Reduce { stage: 1, squares: true });
                ruled.push(Step::Choose(Choice::Norm));
            }
            (1, Some(rule)) => {
                ruled.extend(direction(Choice::Direction, FieldSums::RawProduct));
                let (sign, sums) = match rule {
                    Rule::SgdG2 { .. } => (1.0, FieldSums::Product),
                    _ => (-1.0, FieldSums::Second),
                };
                if rule.curvature() == Some(Curvature::Product) {
                    ruled.extend(product());
                } else if probes(rule) {
                    ruled.extend(probe(sign, Purpose::Probe, sums, Choice::Probed));
                }
            }
            (2, Some(rule)) if rule.curvature() == Some(Curvature::Stages) => {
                let (a, b) = (Name::Gradient(2), Some(Name::Gradient(1)));
                let (diagonal, sums) = (Diagonal::None, FieldSums::Second);
                ruled.push(Step::Field { a, b, diagonal, sums });
                ruled.push(Step::Choose(Choice::Next));
            }
            _ => {}
        }
    }
    ruled
}

/// Adds λy to every gradient at y.
fn decayed(steps: Vec<Step>, ingredients: &Ingredients) -> Vec<Step> {
    if ingredients.l2 == 0.0 {
        return steps;
    }
    let with_decay = |step| match step {
        // H g of L + λ‖θ‖²/2 is Hg + λg.
        Step::Evaluate { purpose: Purpose::Product, gradient, .. } => {
            let point = Name::Gradient(1);
            vec![step, Step::Decay { gradient, point }]
        }
        Step::Evaluate { point, gradient, .. } => vec![step, Step::Decay { gradient, point }],
        step => vec![step],
    };
    steps.into_iter().flat_map(with_decay).collect()
}

/// What the first attempt of all needs to know: Hairer's first h, or a
/// curvature.
fn opening(ingredients: &Ingredients) -> Vec<Step> {
    let (point, gradient) = (Name::Theta, Name::Gradient(1));
    let first = Step::Evaluate { purpose: Purpose::Stage(1), point, gradient };
    let stages = ingredients.rule.and_then(|rule| rule.curvature()) == Some(Curvature::Stages);
    let (before, after) = if ingredients.adaptive.is_some() {
        let sums = FieldSums::Scaled;
        let probe = probe(1.0, Purpose::FirstStep, sums, Choice::FirstStep);
        (direction(Choice::FirstProbe, sums), probe)
    } else if stages {
        let probe = probe(-1.0, Purpose::Probe, FieldSums::Second, Choice::FirstCurvature);
        (direction(Choice::Direction, FieldSums::RawProduct), probe)
    } else {
        return vec![];
    };
    std::iter::once(first).chain(before).chain(after).collect()
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
            Step::Linear { gradients, scale: Scale::StepSize | Scale::Probe, diagonal, .. } => {
                if next == Diagonal::Update && !gradients.iter().any(|g| g.1 == Name::Gradient(1)) {
                    // A second stage at θ itself.
                    gradients.push((0.0, Name::Gradient(1)));
                }
                *diagonal = std::mem::replace(&mut next, Diagonal::Read);
            }
            Step::Finish { diagonal, .. }
            | Step::Estimate { diagonal, .. }
            | Step::Field { diagonal, .. } => {
                *diagonal = std::mem::replace(&mut next, Diagonal::Read);
            }
            _ => {}
        }
    }
    steps
}

/// Gives each gradient its first check and the verdict its place: before the
/// last step, which writes θ.
fn guarded(mut steps: Vec<Step>, tableau: &Tableau, shape: Shape, guard: Guard) -> Vec<Step> {
    let checked = |steps: &[Step], name: Name| {
        steps.iter().any(|step| match step {
            Step::Linear { also: Some(Emission { checks: false, .. }), .. } => false,
            Step::Reduce { stage, .. } => name == Name::Gradient(*stage),
            Step::Linear { base, gradients, .. } => {
                *base == name || gradients.iter().any(|&(_, g)| g == name)
            }
            _ => false,
        })
    };
    // k₁ is unread here only if the finish takes its squares.
    let squares = |stage| shape.diagonal && stage == 1;
    let reduce = |stage: usize| Step::Reduce { stage: stage as u32, squares: squares(stage) };
    if shape.judged {
        let d = errors(tableau);
        let used = |stage: usize| {
            let j = stage - 1;
            tableau.b()[j] != 0.0
                || d[j] != 0.0
                || tableau.rows().iter().any(|row| row.get(j).is_some_and(|&a| a != 0.0))
        };
        // What has a share in the error is checked with it, but for k₁: a fault
        // there is the batch's.
        let last = steps.pop().unwrap_or_else(|| unreachable!("a judged plan ends with its error"));
        let unread = (1..=tableau.stages())
            .filter(|&stage| used(stage) && (stage == 1 || d[stage - 1] == 0.0))
            .filter(|&stage| !checked(&steps, Name::Gradient(stage as u32)))
            .map(reduce)
            .collect::<Vec<_>>();
        steps.extend(unread);
        steps.extend([last, Step::Control, Step::Commit]);
        if shape.same {
            steps.push(Step::Reuse { stage: tableau.stages() as u32 });
        }
        return steps;
    }
    let advance = steps.pop().unwrap_or_else(|| unreachable!("a plan ends with the advance"));
    if guard == Guard::On {
        let unread: Vec<usize> = advance
            .gradients()
            .filter(|&name| !checked(&steps, name))
            .filter_map(|name| match name {
                Name::Gradient(stage) => Some(stage as usize),
                _ => None,
            })
            .collect();
        steps.extend(unread.into_iter().map(reduce));
    }
    steps.push(Step::Control);
    steps.push(advance);
    steps
}
