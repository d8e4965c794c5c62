//! Plans for explicit Butcher tableaus.

use super::ending::{Estimate, Finish, Makes};
use super::linear::{Also, Linear, Scale};
use super::op::Op;
use super::options::Fusion;
use super::passes::{Assembly, Shape, errors, finish, gathered, linear, nonzero};
use super::search::{self, Form};
use super::step::Step;
use super::sums::{Ending, Group, Model, Path, Row, Summed, Target, followed, members};
use super::touch::Diagonal;
use super::vector::Name;
use crate::ingredients::Ingredients;
use crate::tableau::Tableau;

/// Below this rtol, rounding at |θ| would show in an error made from sums that contain
/// θ: 6e-8 |θ| of 1e-5 |θ|.
const LEAST_RTOL_WITH_THETA: f64 = 1e-5;

/// Combinations of forms whose sums are searched; where there are more, the direct
/// ones alone.
const MOST_COMBINATIONS: usize = 64;

/// Times max |d| / max |b| that the error's share of θ − θ' may be at most: what is left of
/// d cancels all of it but e. DP5 needs 2.0, BS3 0.9.
const MOST_DRIFT: f64 = 8.0;

/// The cheapest steps.
pub(super) fn steps(assembly: &Assembly<'_>) -> Vec<Step> {
    let &Assembly { tableau, shape, ingredients, options, .. } = assembly;
    match options.fusion {
        Fusion::None => unfused(tableau, shape),
        Fusion::Stage => staged(tableau, shape),
        Fusion::Full => {
            let theta_free = options.theta_free || tight(ingredients);
            let cost = |steps: &Vec<Step>| {
                let draft = assembly.draft(steps.clone(), false);
                (draft.bytes(ingredients), draft.resident_bytes())
            };
            // Among equals the first wins, which is the most direct.
            std::iter::once(staged(tableau, shape))
                .chain(with_sums(assembly, theta_free))
                .min_by_key(cost)
                .unwrap_or_else(|| unreachable!("the direct form is always a candidate"))
        }
    }
}

/// Tells whether the tolerance is too tight for sums that contain θ.
fn tight(ingredients: &Ingredients) -> bool {
    ingredients.adaptive.is_some_and(|adaptive| adaptive.rtol < LEAST_RTOL_WITH_THETA)
}

/// The gradients that follow stage i in the tableau: those of the next point,
/// or of the step.
fn terms(tableau: &Tableau, i: usize) -> Vec<(f64, Name)> {
    nonzero(&search::row(tableau, i))
}

/// A row from θ and its gradients alone.
fn direct(row: &[f64]) -> Form {
    Form { base: Name::Theta, points: vec![], gradients: nonzero(row) }
}

/// Every stage point, the step and the estimate, each from θ and gradients.
fn staged(tableau: &Tableau, shape: Shape) -> Vec<Step> {
    let stages = tableau.stages();
    let mut steps = vec![shape.evaluate(1, stages)];
    let mut sums = 0;
    for i in 1..stages {
        let target = shape.point(i as u32 + 1, stages);
        let form = direct(&search::row(tableau, i));
        split(&form, target, shape.inputs(), &mut sums, &mut steps);
        steps.push(shape.evaluate(i as u32 + 1, stages));
    }
    if shape.finish {
        finish(tableau, shape, &mut sums, &mut steps);
    } else if !shape.same {
        split(&direct(tableau.b()), shape.step(), shape.inputs(), &mut sums, &mut steps);
    }
    if shape.judged {
        // Two errors share the gradients that one kernel reads.
        let lower = lower_errors(tableau);
        let most = shape.estimate_terms() / if lower.is_some() { 2 } else { 1 };
        let mut gathered =
            |row: &[f64]| gathered(nonzero(row), most, shape.bindings - 2, &mut sums, &mut steps);
        let first = gathered(&errors(tableau));
        let second = gathered(&lower.unwrap_or_default());
        let two = !second.is_empty();
        let terms = merged(first, second);
        steps.push(estimate(Makes::Nothing, two, 0.0, terms));
    }
    without_copies(steps)
}

/// Two sums of one kernel, over the vectors that either reads.
fn merged(first: Vec<(f64, Name)>, second: Vec<(f64, Name)>) -> Vec<([f64; 2], Name)> {
    let mut terms: Vec<_> = first.into_iter().map(|(w, name)| ([w, 0.0], name)).collect();
    for (w, name) in second {
        match terms.iter_mut().find(|term| term.1 == name) {
            Some(term) => term.0[1] = w,
            None => terms.push(([0.0, w], name)),
        }
    }
    terms
}

/// A vector that would be no more than a copy of another, which is then that other:
/// a partial sum that lacks nothing of its point, a second stage at the same point,
/// a candidate that a stage has been at. Copies of θ stay: it is written, and points
/// are not.
fn without_copies(mut steps: Vec<Step>) -> Vec<Step> {
    let copied = |step: &Step| match step {
        &Op::Combine(Linear {
            target,
            base: Some(base),
            ref points,
            ref gradients,
            ref also,
            ..
        }) => {
            let own = target != Name::Theta && base != Name::Theta && also.is_empty();
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
        for step in &mut steps {
            *step = step.with(|_, name| if name == from { to } else { name });
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

/// b − b_low, where there is such a second estimate.
fn lower_errors(tableau: &Tableau) -> Option<Vec<f64>> {
    let lower = tableau.b_low()?;
    Some(tableau.b().iter().zip(lower).map(|(b, lower)| b - lower).collect())
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
        let (points_now, gradients) = (points.to_vec(), now.to_vec());
        let scale = Scale::StepSize;
        let linear = Linear::new(into, Some(base), points_now, gradients, scale);
        steps.push(Op::Combine(linear));
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
            steps.push(Op::Finish(Finish { target, gradients: vec![sum], diagonal }));
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
        let mut terms = vec![([d, 0.0], sum)];
        let lower = lower_errors(tableau);
        let two = lower.is_some();
        if let Some(lower) = lower {
            let (d, sum) = summed(nonzero(&lower), &mut steps);
            terms.push(([0.0, d], sum));
        }
        steps.push(estimate(Makes::Nothing, two, 0.0, terms));
    }
    steps
}

fn estimate(makes: Makes, two: bool, drift: f64, terms: Vec<([f64; 2], Name)>) -> Step {
    let (candidate, diagonal) = (Name::Candidate, Diagonal::None);
    Op::Estimate(Estimate { candidate, makes, two, drift, terms, diagonal })
}

/// Steps by the cheapest partial sums.
fn with_sums(assembly: &Assembly<'_>, theta_free: bool) -> Vec<Vec<Step>> {
    let &Assembly { tableau, shape, .. } = assembly;
    let ways = ways(assembly, theta_free).into_iter();
    let found: Vec<(Path, Ways)> =
        ways.filter_map(|ways| Some((ways.model.cheapest()?, ways))).collect();
    // What a path does not count, guards, is a word or two.
    let least = found.iter().map(|(path, ..)| path.cost).min().unwrap_or(0);
    let near = found.into_iter().filter(|(path, ..)| path.cost <= least + 2);
    near.map(|(path, ways)| Lowering::new(tableau, shape, &ways).steps(&path)).collect()
}

/// Every combination of forms with every way to write the error.
fn ways(assembly: &Assembly<'_>, theta_free: bool) -> Vec<Ways> {
    let &Assembly { tableau, shape, ingredients, .. } = assembly;
    let stages = tableau.stages();
    let d = errors(tableau);
    let lower = lower_errors(tableau);
    let ending = Ending {
        judged: shape.judged,
        same: shape.same,
        finish: shape.finish,
        momentum: shape.momentum,
        together: lower.is_none(),
    };
    let mut combinations = search::cheapest(tableau);
    if combinations.len() > MOST_COMBINATIONS || theta_free {
        combinations.clear();
    }
    let all_direct: Vec<Form> = (1..=stages).map(|i| direct(&search::row(tableau, i))).collect();
    if !combinations.contains(&all_direct) {
        combinations.insert(0, all_direct);
    }
    // e = Σ (d − λ b) k + λ Σ b k, and h D Σ b k = θ − θ': one gradient less to read.
    let mut drifts = vec![0.0];
    if shape.judged && !shape.finish && !theta_free {
        let largest = |row: &[f64]| row.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        let most = MOST_DRIFT * largest(&d) / largest(tableau.b());
        let shares = d.iter().zip(tableau.b()).filter(|&(&d, &b)| d != 0.0 && b != 0.0);
        drifts.extend(shares.map(|(d, b)| d / b).filter(|drift| drift.abs() <= most));
    }
    // One kernel for θ' and its error reads θ anyway: its sum of the step needs none.
    let based = match shape {
        _ if theta_free || shape.finish => vec![false],
        Shape { judged: true, same: false, .. } => vec![true, false],
        _ => vec![true],
    };
    let checked = (0..stages).filter(|&j| {
        let shares = d[j] != 0.0 || tableau.b()[j] != 0.0;
        !shape.judged || j == 0 || !shares
    });
    let checked = checked.fold(0, |set, j| set | 2 << j);
    let mut found = Vec::new();
    for forms in &combinations {
        for &drift in &drifts {
            for &based in &based {
                let mut rows: Vec<(Target, Form, bool)> = (2..=stages)
                    .zip(forms)
                    .map(|(i, form)| (Target::Point(i), form.clone(), !theta_free))
                    .collect();
                if !shape.same {
                    let own = || forms[stages - 1].clone();
                    let form = if shape.finish { direct(tableau.b()) } else { own() };
                    rows.push((Target::Step, form, based));
                }
                if shape.judged {
                    let pairs = d.iter().zip(tableau.b());
                    let row: Vec<f64> = pairs.map(|(d, b)| remainder(*d, drift * b)).collect();
                    rows.push((Target::Error, direct(&row), false));
                }
                if let Some(lower) = lower.as_ref().filter(|_| shape.judged) {
                    rows.push((Target::Lower, direct(lower), false));
                }
                let (forms, rows): (Vec<Form>, Vec<Row>) = rows
                    .into_iter()
                    .map(|(target, form, based)| {
                        let row = Row::new(target, &form, based);
                        (form, row)
                    })
                    .unzip();
                // One kernel for both has no averages of points.
                let plain = rows.iter().all(|row| row.target != Target::Step || row.direct());
                let ending = Ending { together: ending.together && !based && plain, ..ending };
                let model = Model {
                    stages,
                    followed: followed(&rows),
                    rows,
                    ending,
                    diagonal: shape.diagonal,
                    bindings: shape.bindings,
                    checked,
                    narrow: ingredients.stored.gradients.is_narrow(),
                };
                found.push(Ways { model, forms, drift });
            }
        }
    }
    found
}

/// The graph that a path leads through.
struct Ways {
    model: Model,
    /// Of each row.
    forms: Vec<Form>,
    drift: f64,
}

/// d − x, and nothing where that is rounding.
fn remainder(d: f64, x: f64) -> f64 {
    let rest = d - x;
    if rest.abs() <= 1e-13 * d.abs().max(x.abs()) { 0.0 } else { rest }
}

/// A path on its way to steps.
struct Lowering<'a> {
    tableau: &'a Tableau,
    shape: Shape,
    ways: &'a Ways,
    summed: Summed,
    /// Where each row's sum is.
    sums: Vec<Option<Name>>,
    names: u32,
    steps: Vec<Step>,
}

/// base − h D Σ a k, or Σ a k.
struct Output {
    target: Name,
    base: Option<Name>,
    points: Vec<(f64, Name)>,
    terms: Vec<(f64, Name)>,
}

impl<'a> Lowering<'a> {
    fn new(tableau: &'a Tableau, shape: Shape, ways: &'a Ways) -> Self {
        let sums = vec![None; ways.forms.len()];
        let (summed, names, steps) = (Summed::default(), 0, vec![]);
        Self { tableau, shape, ways, summed, sums, names, steps }
    }

    fn steps(mut self, path: &Path) -> Vec<Step> {
        let stages = self.tableau.stages();
        self.steps.push(self.shape.evaluate(1, stages));
        for (i, kernels) in (1..).zip(&path.kernels) {
            let all = kernels.iter().fold(0, |all, group| all | group);
            let mut made = 0;
            for &group in kernels {
                made |= group;
                self.kernel(i, group, all & !made);
            }
            self.point_that_is_there(i, all);
            self.steps.push(self.shape.evaluate(i as u32 + 1, stages));
        }
        self.end(path.together);
        without_copies(self.steps)
    }

    /// Gives row t's sum and the gradients after it, up to kᵢ.
    fn rest(&self, t: usize, i: usize) -> Vec<(f64, Name)> {
        let from = u32::from(self.summed[t]);
        let fresh = self.ways.forms[t].gradients.iter().copied().filter(|&(_, name)| match name {
            Name::Gradient(j) => j > from && j as usize <= i,
            _ => true,
        });
        // A sum that contains θ is a base.
        let sum = self.sums[t].filter(|_| !self.ways.model.rows[t].based);
        sum.map(|name| (1.0, name)).into_iter().chain(fresh).collect()
    }

    fn base(&self, t: usize) -> Name {
        self.sums[t].filter(|_| self.ways.model.rows[t].based).unwrap_or(Name::Theta)
    }

    fn output(&mut self, t: usize, i: usize) -> Output {
        let row = &self.ways.model.rows[t];
        let stages = self.tableau.stages();
        let terms = self.rest(t, i);
        match row.target {
            Target::Point(p) if p == i + 1 => {
                let form = named(&self.ways.forms[t], self.shape, stages);
                let base = if form.base == Name::Theta { self.base(t) } else { form.base };
                let target = self.shape.point(p as u32, stages);
                Output { target, base: Some(base), points: form.points, terms }
            }
            _ => {
                let base = row.based.then(|| self.base(t));
                self.names += 1;
                Output { target: Name::Sum(self.names), base, points: vec![], terms }
            }
        }
    }

    /// One kernel after kᵢ.
    /// `rest` is made after it, of the same gradients.
    fn kernel(&mut self, i: usize, group: Group, rest: Group) {
        let room = self.ways.model.has_room(i, group, &self.summed, rest);
        let rows: Vec<usize> = members(group).collect();
        let mut outputs: Vec<Output> = rows.iter().map(|&t| self.output(t, i)).collect();
        for (&t, output) in rows.iter().zip(&outputs) {
            if matches!(output.target, Name::Sum(_)) {
                (self.summed[t], self.sums[t]) = (i as u8, Some(output.target));
            }
        }
        // What reads h comes first, if anything does.
        let main = outputs.iter().position(|output| output.base.is_some()).unwrap_or(0);
        let Output { target, base, points, terms: mut gradients } = outputs.remove(main);
        for &(_, name) in outputs.iter().flat_map(|output| &output.terms) {
            if !gradients.iter().any(|term| term.1 == name) {
                gradients.push((0.0, name));
            }
        }
        let also = outputs.into_iter().map(|Output { target, base, terms, .. }| {
            let weight = |name| terms.iter().find(|term| term.1 == name).map_or(0.0, |t| t.0);
            let weights = gradients.iter().map(|&(_, name)| weight(name)).collect();
            Also { target, base, weights }
        });
        let also = also.collect();
        let scale = if base.is_some() { Scale::StepSize } else { Scale::One };
        let linear = Linear::new(target, base, points, gradients, scale);
        self.steps.push(Op::Combine(Linear { also, room, ..linear }));
    }

    /// A point whose sum lacks nothing has no kernel of its own.
    fn point_that_is_there(&mut self, i: usize, made: Group) {
        let own = Target::Point(i + 1);
        let row = self.ways.model.rows.iter().position(|row| row.target == own);
        if let Some(t) = row.filter(|t| made & (1 << t) == 0)
            && let Some(sum) = self.sums[t]
        {
            let target = self.shape.point(i as u32 + 1, self.tableau.stages());
            self.steps.push(linear(target, sum, vec![], Scale::StepSize));
        }
    }

    /// The operations that make θ' and the error.
    fn end(&mut self, together: bool) {
        let stages = self.tableau.stages();
        let row = |target| self.ways.model.rows.iter().position(|row| row.target == target);
        let step = row(Target::Step);
        let mut made = vec![];
        if let Some(t) = step {
            let terms = self.rest(t, stages);
            let target = self.shape.step();
            if together {
                made = terms;
            } else if self.shape.finish {
                let diagonal = Diagonal::None;
                self.steps.push(Op::Finish(Finish { target, gradients: terms, diagonal }));
            } else {
                let form = named(&self.ways.forms[t], self.shape, stages);
                let base = if form.base == Name::Theta { self.base(t) } else { form.base };
                let scale = Scale::StepSize;
                let linear = Linear::new(target, Some(base), form.points, terms, scale);
                self.steps.push(Op::Combine(linear));
            }
        }
        let Some(t) = row(Target::Error) else { return };
        let error = self.rest(t, stages);
        let lower = row(Target::Lower).map(|t| self.rest(t, stages));
        let two = lower.is_some();
        let terms = merged(error, lower.unwrap_or(made));
        let makes = match (together, self.shape.finish) {
            (false, _) => Makes::Nothing,
            (true, false) => Makes::Step,
            (true, true) => Makes::Finish,
        };
        let drift = self.ways.drift;
        self.steps.push(estimate(makes, two, drift, terms));
    }
}

#[cfg(test)]
mod tests {
    use super::super::passes::Assembly;
    use super::super::sums::Everything;
    use super::super::{Options, WEBGPU_BINDINGS};
    use super::*;
    use crate::ingredients::{Adaptive, Momentum, Preconditioner};

    /// Looks at every sequence of kernels for one that moves less than the path that was
    /// found.
    #[test]
    fn no_sequence_of_kernels_moves_less_than_what_is_planned() {
        let judged = Some(Adaptive::new(1e-3, 1e-6));
        let mut looked = 0;
        let pairs = Tableau::all().into_iter().filter(|t| t.b_hat().is_some() && t.stages() <= 7);
        for tableau in pairs {
            for adaptive in [None, judged] {
                let whole = tableau.without_estimate();
                let tableau = if adaptive.is_some() { &tableau } else { &whole };
                for (diagonal, momentum) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                    let preconditioners =
                        [Preconditioner::None, Preconditioner::adagrad_rescaled()];
                    let momenta = [Momentum::None, Momentum::heavy_ball(0.9)];
                    let ingredients = Ingredients {
                        adaptive,
                        preconditioner: preconditioners[diagonal],
                        momentum: momenta[momentum],
                        ..Ingredients::default()
                    };
                    for bindings in [WEBGPU_BINDINGS as usize, 16] {
                        let shape = Shape::new(tableau, &ingredients, bindings);
                        let assembly = Assembly {
                            tableau,
                            ingredients: &ingredients,
                            options: Options::default(),
                            shape,
                            bound: None,
                        };
                        for theta_free in [false, true] {
                            for ways in ways(&assembly, theta_free) {
                                let path = ways.model.cheapest().unwrap();
                                assert!(
                                    !Everything::moves_less(&ways.model, path.cost),
                                    "{}, {bindings} bindings, {ingredients:?}",
                                    tableau.name()
                                );
                                looked += 1;
                            }
                        }
                    }
                }
            }
        }
        assert!(looked > 600, "{looked}");
    }
}
