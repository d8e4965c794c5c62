//! The passes of every plan, whatever its method: what decides about h, decay,
//! the diagonal, checks and the verdict are put around the method's own steps.

use super::Plan;
use super::deciding::{Choice, Dots, DotsOf, Radius};
use super::ending::{Estimate, Finish};
use super::linear::{Linear, Scale};
use super::liveness::Draft;
use super::narrow::Widths;
use super::op::{Check, Op, Purpose};
use super::options::{Fusion, Guard, Options};
use super::registers::Registers;
use super::step::Step;
use super::touch::Diagonal;
use super::vector::Name;
use crate::format::Storage;
use crate::ingredients::{Curvature, Ingredients, Momentum, Preconditioner, Rule, SpectralRadius};
use crate::tableau::Tableau;

/// Iterations for ρ before the first attempt, and to renew it: twelve come within
/// 4 % of the largest of eigenvalues spread evenly in their logarithm, √(12/13),
/// and an estimate is enlarged by 20 %.
const FIRST_ITERATIONS: usize = 12;
const ITERATIONS: usize = 4;

/// The bound of a step: β of so many stages.
#[derive(Clone, Copy)]
pub(super) struct Bound {
    pub(super) interval: f64,
    pub(super) stages: u32,
}

/// A method's own steps, on their way to a plan.
pub(super) struct Assembly<'a> {
    /// Without the stages that nothing reads.
    pub(super) tableau: &'a Tableau,
    pub(super) ingredients: &'a Ingredients,
    pub(super) options: Options,
    pub(super) shape: Shape,
    /// The bound of h by stability.
    pub(super) bound: Option<Bound>,
}

impl Assembly<'_> {
    /// The finished operations of an attempt, one that renews ρ where so wanted.
    pub(super) fn draft(&self, steps: Vec<Step>, renews: bool) -> Draft {
        let ruled = |steps, renews| ruled(steps, self.ingredients, self.bound, renews);
        // The same for attempts that renew ρ and those that do not.
        let widths = self.widths(&ruled(steps.clone(), self.estimates()));
        let steps = ruled(steps, renews && self.estimates());
        let steps = self.landed(decayed(steps, self.ingredients), &widths);
        let steps = preconditioned(steps, self.shape);
        let steps = guarded(steps, self.tableau, self.shape, self.options.guard);
        let steps = if self.options.checks == 0 { steps } else { ridden(steps) };
        Draft::new(steps, self.estimates(), widths, self.over_gradients())
    }

    /// The baseline keeps what its source wrote, so that it can be timed without one.
    fn over_gradients(&self) -> bool {
        self.options.fusion != Fusion::None
    }

    fn widths(&self, steps: &[Step]) -> Widths {
        Widths::new(steps, self.ingredients.stored.gradients)
    }

    fn landed(&self, steps: Vec<Step>, widths: &Widths) -> Vec<Step> {
        if self.options.writes_narrow { steps } else { widths.landed(steps) }
    }

    /// ρ is found here.
    fn estimates(&self) -> bool {
        self.bound.is_some() && self.ingredients.radius == SpectralRadius::Estimated
    }

    pub(super) fn plan(&self, name: &str, steps: Vec<Step>) -> Plan {
        let judged = self.shape.judged;
        let opening = decayed(opening(self.ingredients, self.estimates()), self.ingredients);
        let widths = self.widths(&opening);
        let opening = preconditioned(self.landed(opening, &widths), self.shape);
        let opening = Draft::new(opening, self.estimates(), widths, self.over_gradients());
        let renewing = self.estimates().then(|| self.draft(steps.clone(), true));
        let draft = self.draft(steps, false);
        let drafts = || renewing.iter().chain([&opening, &draft]);
        let wide = drafts().map(|draft| draft.wide).max().unwrap_or(1);
        let narrow = drafts().map(|draft| draft.narrow).max().unwrap_or(0);
        let mut storages = vec![Storage::F32; wide];
        storages.resize(wide + narrow, self.ingredients.stored.gradients);
        let probed = self.ingredients.rule.is_some_and(probes);
        let stages = self.tableau.stages() as u32;
        let error_order = self.tableau.error_order();
        let averaged = |draft: Draft| {
            let mut ops = draft.into_ops(wide);
            ops.extend(self.ingredients.average.map(|_| Op::Average));
            ops
        };
        Plan {
            method: name.to_owned(),
            ingredients: *self.ingredients,
            options: self.options,
            storages,
            stages,
            evaluations: stages + u32::from(probed),
            opening: opening.into_ops(wide),
            error_order: if judged { error_order } else { 0 },
            ops: averaged(draft),
            renewing: renewing.map(averaged).unwrap_or_default(),
            unfused_words: 0,
        }
    }
}

/// The demands of the ingredients on a plan.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// There is a D.
    pub(super) diagonal: bool,
    /// k₁² must be finite.
    pub(super) squares: bool,
    /// The step ends with a finish, not with a linear combination.
    pub(super) finish: bool,
    /// An error estimate judges a candidate before θ is written.
    pub(super) judged: bool,
    /// The last stage's point is the candidate.
    pub(super) same: bool,
    /// Gradients after the first are added to what is there.
    pub(super) adds: bool,
    /// θ itself is the working point.
    pub(super) in_place: bool,
    pub(super) momentum: bool,
    /// Storage buffers that a kernel may bind.
    pub(super) bindings: usize,
}

impl Shape {
    pub(super) fn new(tableau: &Tableau, ingredients: &Ingredients, bindings: usize) -> Self {
        let diagonal = ingredients.preconditioner != Preconditioner::None || ingredients.grouped;
        let judged = ingredients.adaptive.is_some();
        let momentum = ingredients.momentum != Momentum::None;
        let finish = momentum
            || ingredients.weight_decay != 0.0
            // With one stage nothing before the verdict writes the state.
            || (diagonal && tableau.stages() == 1);
        let same = judged && !finish && tableau.first_same_as_last();
        let (adds, in_place, squares) = (false, false, squares(ingredients));
        Self { diagonal, squares, finish, judged, same, adds, in_place, momentum, bindings }
    }

    /// Vectors that a kernel with one output reads, besides partial sums for a norm and
    /// the state.
    pub(super) fn inputs(self) -> usize {
        self.bindings - 2 - usize::from(self.diagonal)
    }

    /// Gradients that the finish reads: before the verdict θ takes the place of
    /// one.
    pub(super) fn finish_terms(self) -> usize {
        let state = usize::from(self.momentum) + usize::from(self.diagonal);
        self.bindings - 1 - state - usize::from(self.judged)
    }

    /// Gradients that the error estimate reads besides θ, the candidate and the state.
    pub(super) fn estimate_terms(self) -> usize {
        self.bindings - 3 - usize::from(self.diagonal)
    }

    /// The vectors that the step makes.
    pub(super) fn step(self) -> Name {
        if self.judged { Name::Candidate } else { Name::Theta }
    }

    /// The point of stage i of `stages`.
    pub(super) fn point(self, i: u32, stages: usize) -> Name {
        match i {
            1 => Name::Theta,
            _ if self.same && i as usize == stages => Name::Candidate,
            _ => Name::Point(i),
        }
    }

    pub(super) fn evaluate(self, i: u32, stages: usize) -> Step {
        Step::evaluate(Purpose::Stage(i), self.point(i, stages), Name::Gradient(i))
    }
}

pub(super) fn linear(target: Name, base: Name, gradients: Vec<(f64, Name)>, scale: Scale) -> Step {
    Op::Combine(Linear::new(target, Some(base), vec![], gradients, scale))
}

pub(super) fn nonzero(weights: &[f64]) -> Vec<(f64, Name)> {
    weights
        .iter()
        .zip(1..)
        .filter(|&(&w, _)| w != 0.0)
        .map(|(&w, j)| (w, Name::Gradient(j)))
        .collect()
}

/// d = b − b̂.
pub(super) fn errors(tableau: &Tableau) -> Vec<f64> {
    let b_hat = tableau.b_hat().unwrap_or(tableau.b());
    tableau.b().iter().zip(b_hat).map(|(b, b_hat)| b - b_hat).collect()
}

/// Gradients beyond what one kernel binds are summed before, with weights in
/// ratio to the first.
pub(super) fn gathered(
    mut terms: Vec<(f64, Name)>,
    most: usize,
    at_once: usize,
    sums: &mut u32,
    steps: &mut Vec<Step>,
) -> Vec<(f64, Name)> {
    while terms.len() > most {
        let rest = terms.split_off(at_once.min(terms.len()));
        let (lead, base) = terms[0];
        *sums += 1;
        let gradients = terms[1..].iter().map(|&(b, k)| (-b / lead, k)).collect();
        steps.push(linear(Name::Sum(*sums), base, gradients, Scale::One));
        terms = std::iter::once((lead, Name::Sum(*sums))).chain(rest).collect();
    }
    terms
}

/// ḡ = Σ b k and what becomes of it.
pub(super) fn finish(tableau: &Tableau, shape: Shape, sums: &mut u32, steps: &mut Vec<Step>) {
    let terms = nonzero(tableau.b());
    let gradients = gathered(terms, shape.finish_terms(), shape.bindings - 2, sums, steps);
    let (target, diagonal) = (shape.step(), Diagonal::None);
    steps.push(Op::Finish(Finish { target, gradients, diagonal }));
}

fn dots(a: Name, b: Option<Name>, sums: DotsOf) -> Step {
    Op::Dots(Dots { a, b, diagonal: Diagonal::None, sums })
}

/// Tells whether a rule wants one evaluation more in every attempt.
fn probes(rule: Rule) -> bool {
    match rule {
        Rule::Polyak { .. } | Rule::Stable { .. } => false,
        Rule::SgdG2 { .. } => true,
        Rule::Dal { from, .. } | Rule::RescaledDal { from, .. } => from != Curvature::Stages,
    }
}

/// H k₁ by the source, and its norm.
fn product() -> [Step; 3] {
    let product = Name::GradientBeside;
    [
        Step::evaluate(Purpose::Product, Name::Theta, product),
        dots(product, None, DotsOf::RawProduct),
        Op::Choose(Choice::Multiplied),
    ]
}

/// θ ∓ a distance along v = D k₁, the gradient there, and D times what it
/// differs by from k₁.
fn probe(sign: f64, purpose: Purpose, sums: DotsOf, choice: Choice) -> [Step; 4] {
    let (point, gradient) = (Name::Beside, Name::GradientBeside);
    let first = Name::Gradient(1);
    [
        linear(point, Name::Theta, vec![(sign, first)], Scale::Probe),
        Step::evaluate(purpose, point, gradient),
        dots(gradient, Some(first), sums),
        Op::Choose(choice),
    ]
}

/// Largest ‖k₁‖ whose square is in f32's range, with room for rounding.
const SQUARED: f64 = 1.8e19;

/// Tells whether k₁² must be looked at: it becomes state, and nothing clips k₁ to where its
/// square is in range.
fn squares(ingredients: &Ingredients) -> bool {
    let clipped = ingredients.clip.is_some_and(|clip| clip <= SQUARED);
    ingredients.preconditioner != Preconditioner::None && !clipped
}

/// ‖k₁‖.
fn first_norm(ingredients: &Ingredients) -> Step {
    let squares = squares(ingredients);
    Op::Guard { gradient: Name::Gradient(1), stage: 1, norm: true, squares }
}

/// ‖k₁‖, and ‖v‖ and ⟨k₁, v⟩.
fn direction(ingredients: &Ingredients, choice: Choice, sums: DotsOf) -> [Step; 4] {
    [
        first_norm(ingredients),
        Op::Choose(Choice::Norm),
        dots(Name::Gradient(1), None, sums),
        Op::Choose(choice),
    ]
}

/// ρ of D·H by so many iterations.
fn radius(iterations: usize) -> Vec<Step> {
    let (vector, point) = (Name::Eigenvector, Name::Beside);
    let radius = |others| Op::Radius(Radius { vector, others, diagonal: Diagonal::None });
    let mut steps = vec![radius(None), Op::Choose(Choice::RadiusStart)];
    for _ in 0..iterations {
        steps.extend([
            linear(point, Name::Theta, vec![(-1.0, vector)], Scale::Direction),
            Step::evaluate(Purpose::Power, point, vector),
            radius(Some([Name::Gradient(1), point])),
            Op::Choose(Choice::Radius),
        ]);
    }
    steps
}

/// Puts what decides about h and about clipping after the gradients that it
/// looks at.
fn ruled(
    steps: Vec<Step>,
    ingredients: &Ingredients,
    bound: Option<Bound>,
    renews: bool,
) -> Vec<Step> {
    let rule = ingredients.rule.filter(|rule| !matches!(rule, Rule::Stable { .. }));
    let mut ruled = Vec::new();
    for step in steps {
        let stage = match step {
            Op::Evaluate { purpose: Purpose::Stage(stage), .. } => stage,
            _ => 0,
        };
        ruled.push(step);
        if stage == 1 {
            let renews = renews && bound.is_some();
            if ingredients.clip.is_some() && (rule.is_none() || renews) {
                ruled.push(first_norm(ingredients));
                ruled.push(Op::Choose(Choice::Norm));
            }
            if renews {
                // Before a rule, whose probe lies where this iteration looks.
                ruled.extend(radius(ITERATIONS));
            }
        }
        match (stage, rule) {
            (1, Some(rule)) => {
                ruled.extend(direction(ingredients, Choice::Direction, DotsOf::RawProduct));
                let (sign, sums) = match rule {
                    Rule::SgdG2 { .. } => (1.0, DotsOf::Product),
                    _ => (-1.0, DotsOf::Second),
                };
                if rule.curvature() == Some(Curvature::Product) {
                    ruled.extend(product());
                } else if probes(rule) {
                    ruled.extend(probe(sign, Purpose::Probe, sums, Choice::Probed));
                }
            }
            (2, Some(rule)) if rule.curvature() == Some(Curvature::Stages) => {
                let (a, b) = (Name::Gradient(2), Some(Name::Gradient(1)));
                ruled.push(dots(a, b, DotsOf::Second));
                ruled.push(Op::Choose(Choice::Next));
            }
            _ => {}
        }
        if stage == 1
            && let Some(Bound { interval, stages }) = bound
        {
            ruled.push(Op::Fit { interval, stages });
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
        Op::Evaluate { purpose: Purpose::Product, gradient, .. } => {
            let point = Name::Gradient(1);
            vec![step, Op::Decay { gradient, point }]
        }
        Op::Evaluate { point, gradient, .. } => vec![step, Op::Decay { gradient, point }],
        step => vec![step],
    };
    steps.into_iter().flat_map(with_decay).collect()
}

/// The opening, for what the first attempt of all needs to know: ρ, Hairer's first h, or a
/// curvature.
fn opening(ingredients: &Ingredients, estimates: bool) -> Vec<Step> {
    let first = Step::evaluate(Purpose::Stage(1), Name::Theta, Name::Gradient(1));
    let stages = ingredients.rule.and_then(|rule| rule.curvature()) == Some(Curvature::Stages);
    let mut steps = vec![first];
    if estimates {
        if ingredients.clip.is_some() {
            // The iteration takes k₁ into the state of D, as it is clipped.
            steps.push(first_norm(ingredients));
            steps.push(Op::Choose(Choice::Norm));
        }
        steps.extend(radius(FIRST_ITERATIONS));
    }
    if ingredients.adaptive.is_some() {
        let sums = DotsOf::Scaled;
        steps.extend(direction(ingredients, Choice::FirstProbe, sums));
        steps.extend(probe(1.0, Purpose::FirstStep, sums, Choice::FirstStep));
    } else if stages {
        steps.extend(direction(ingredients, Choice::Direction, DotsOf::RawProduct));
        steps.extend(probe(-1.0, Purpose::Probe, DotsOf::Second, Choice::FirstCurvature));
    } else if estimates {
        steps.push(Op::Choose(Choice::Opened));
    } else {
        steps.clear();
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
            Op::Combine(linear) if matches!(linear.scale, Scale::StepSize | Scale::Probe) => {
                let Linear { gradients, diagonal, .. } = linear;
                if next == Diagonal::Update && !gradients.iter().any(|g| g.1 == Name::Gradient(1)) {
                    // A second stage at θ itself.
                    gradients.push((0.0, Name::Gradient(1)));
                }
                *diagonal = std::mem::replace(&mut next, Diagonal::Read);
            }
            Op::Registers(Registers { target: Some(_), diagonal, .. })
            | Op::Finish(Finish { diagonal, .. })
            | Op::Estimate(Estimate { diagonal, .. })
            | Op::Radius(Radius { others: Some(_), diagonal, .. })
            | Op::Dots(Dots { diagonal, .. }) => {
                *diagonal = std::mem::replace(&mut next, Diagonal::Read);
            }
            _ => {}
        }
    }
    steps
}

/// Leaves a guard's work to the source, where the gradient is looked at as the source wrote it:
/// neither decayed nor packed in between.
///
/// What is not finite is told apart by stage only when it is taken: by the choice that takes
/// ‖k₁‖, and by the verdict. So a check rides if it is the attempt's last, or k₁'s and taken
/// before the next one.
fn ridden(mut steps: Vec<Step>) -> Vec<Step> {
    let mut next = None;
    let mut spared = Vec::new();
    for at in (0..steps.len()).rev() {
        let Op::Guard { gradient, stage, norm, squares } = steps[at] else { continue };
        let Some(from) = steps[..at].iter().rposition(|step| step.writes().contains(&gradient))
        else {
            continue;
        };
        let taken = |next: usize| {
            let choice = |step: &Step| matches!(step, Op::Choose(Choice::Norm));
            stage == 1 && steps[from..next].iter().any(choice)
        };
        let rides = next.is_none_or(|next| next == from || taken(next));
        if let Op::Evaluate { purpose, check, .. } = &mut steps[from]
            && *purpose == Purpose::Stage(stage)
            && rides
        {
            let also = check.unwrap_or(Check { norm, squares });
            *check = Some(Check { norm: norm || also.norm, squares: squares || also.squares });
            next = Some(from);
            spared.push(at);
        }
    }
    for at in spared {
        steps.remove(at);
    }
    steps
}

/// Gives each gradient its first check and the verdict its place: before the
/// last step, which writes θ.
fn guarded(mut steps: Vec<Step>, tableau: &Tableau, shape: Shape, guard: Guard) -> Vec<Step> {
    let checked = |steps: &[Step], name: Name| {
        steps.iter().any(|step| match step {
            Op::Guard { stage, .. } => name == Name::Gradient(*stage),
            Op::Registers(step) => name == Name::Gradient(step.checks),
            Op::Combine(linear) if linear.room && !linear.after() => {
                linear.base == Some(name) || linear.gradients.iter().any(|&(_, g)| g == name)
            }
            _ => false,
        })
    };
    // k₁ is unread here only if the finish takes its squares.
    let squares = |stage| shape.squares && stage == 1;
    let guarding = |stage: usize| {
        let last = stage as u32;
        let gradient = Name::Gradient(if shape.adds { 1 } else { last });
        Op::Guard { gradient, stage: last, norm: last == 1, squares: squares(stage) }
    };
    if shape.judged {
        let d = errors(tableau);
        let used = |stage: usize| {
            let j = stage - 1;
            tableau.b()[j] != 0.0
                || d[j] != 0.0
                || tableau.rows().iter().any(|row| row.get(j).is_some_and(|&a| a != 0.0))
        };
        // What has a share in the error or the candidate is checked with it, but for k₁:
        // a fault there is the batch's.
        let shares = |stage: usize| d[stage - 1] != 0.0 || tableau.b()[stage - 1] != 0.0;
        let last = steps.pop().unwrap_or_else(|| unreachable!("a judged plan ends with its error"));
        let unread = (1..=tableau.stages())
            .filter(|&stage| used(stage) && (stage == 1 || !shares(stage)))
            .filter(|&stage| !checked(&steps, Name::Gradient(stage as u32)))
            .map(guarding)
            .collect::<Vec<_>>();
        steps.extend(unread);
        let commit = Op::Commit { from: Name::Candidate, to: Name::Theta, reuses: false };
        steps.extend([last, Op::Verdict, commit]);
        if shape.same {
            let from = Name::Gradient(tableau.stages() as u32);
            steps.push(Op::Commit { from, to: Name::Gradient(1), reuses: true });
        }
        return steps;
    }
    if shape.in_place {
        steps.push(Op::Verdict);
        return steps;
    }
    let mut advance = steps.pop().unwrap_or_else(|| unreachable!("a plan ends with the advance"));
    if let Op::Registers(step) = &mut advance {
        step.after = true;
    }
    if guard == Guard::On {
        let unread: Vec<usize> = advance
            .gradients()
            .into_iter()
            .filter(|&name| !checked(&steps, name))
            .filter_map(|name| match name {
                Name::Gradient(stage) => Some(stage as usize),
                _ => None,
            })
            .collect();
        steps.extend(unread.into_iter().map(guarding));
    }
    steps.push(Op::Verdict);
    steps.push(advance);
    steps
}
