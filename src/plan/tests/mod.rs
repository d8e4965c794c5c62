//! Tests of plans, and the tableaus and ingredients that they go through.

use super::*;
use crate::ingredients::{Adaptive, Curvature, Preconditioner, SpectralRadius, Stored};
use crate::reference::{Problem, Replay, textbook};
use crate::tableau::{Family, Stabilised, Stages, Tableau};

mod buffers;
mod checks;
mod replays;
mod rides;
mod sparse;
mod words;

fn plan(method: &Method, fusion: Fusion) -> Plan {
    Plan::new(method, Options { fusion, ..Options::default() }).unwrap()
}

/// A tableau with more gradients in a row than one kernel binds, zero rows and
/// unused stages among them.
fn awkward() -> Vec<Method> {
    let stages = 9;
    let dense: Vec<Vec<f64>> =
        (0..stages).map(|i| (0..i).map(|j| 0.3 / (1.0 + (i * j) as f64)).collect()).collect();
    let wide = Tableau::new("wide", &dense, &[1.0 / 9.0; 9], None).unwrap();
    let mut gaps = dense;
    gaps[1] = vec![0.0];
    gaps[4] = vec![0.0, 0.5, 0.0, 0.0];
    let b = [0.5, 0.0, 0.0, 0.25, 0.0, 0.0, 0.0, 0.0, 0.25];
    let sparse = Tableau::new("gaps", &gaps, &b, None).unwrap();
    vec![wide.into(), sparse.into()]
}

/// How much larger than a gradient the terms of a stage point are: where they
/// cancel, rounding shows so many times over. 415 for Verner's 6(5), below 20 for
/// most.
fn amplification(tableau: &Tableau) -> f64 {
    let size = |row: &Vec<f64>| row.iter().map(|a| a.abs()).sum::<f64>();
    tableau.rows().iter().map(size).fold(1.0, f64::max)
}

/// Every preconditioner with every momentum, some with decay.
fn recipes() -> Vec<Ingredients> {
    let preconditioners = [
        Preconditioner::None,
        Preconditioner::adagrad_rescaled(),
        Preconditioner::adagrad(1e-8),
        Preconditioner::rmsprop(0.9, 1e-6),
        Preconditioner::adam(0.99, 1e-6),
        Preconditioner::amsgrad(0.9, 1e-6),
    ];
    let momenta =
        [Momentum::None, Momentum::heavy_ball(0.9), Momentum::nesterov(0.8), Momentum::ema(0.9)];
    let mut recipes = Vec::new();
    for preconditioner in preconditioners {
        for momentum in momenta {
            for weight_decay in [0.0, 0.1] {
                recipes.push(Ingredients {
                    preconditioner,
                    momentum,
                    weight_decay,
                    ..Ingredients::default()
                });
            }
        }
    }
    recipes
}

/// A pair whose last stage is not the candidate, with more gradients than an
/// estimate reads.
fn awkward_pair() -> Method {
    let a: Vec<Vec<f64>> =
        (0..7).map(|i| (0..i).map(|j| 0.4 / (1.0 + (i * j) as f64)).collect()).collect();
    let b = [0.2, 0.1, 0.1, 0.1, 0.1, 0.3, 0.1];
    let b_hat = [0.1, 0.2, 0.1, 0.0, 0.2, 0.1, 0.3];
    Tableau::new("pair", &a, &b, None).unwrap().with_embedded(&b_hat).unwrap().into()
}

fn pairs() -> Vec<Method> {
    let named = Method::all().into_iter().filter(|m| m.tableau().b_hat().is_some());
    named.chain([awkward_pair()]).collect()
}

/// Kutta's method of order 5 as Nyström mended it: the last row skips k₅.
fn kutta_nystrom() -> Method {
    let a: [&[f64]; 6] = [
        &[],
        &[1.0 / 3.0],
        &[4.0 / 25.0, 6.0 / 25.0],
        &[0.25, -3.0, 3.75],
        &[2.0 / 27.0, 10.0 / 9.0, -50.0 / 81.0, 8.0 / 81.0],
        &[2.0 / 25.0, 12.0 / 25.0, 2.0 / 15.0, 8.0 / 75.0, 0.0],
    ];
    let b = [23.0, 0.0, 125.0, 0.0, -81.0, 125.0].map(|x| x / 192.0);
    Tableau::new("kutta-nyström", &a, &b, None).unwrap().into()
}

/// No vector is made of nothing but the buffer it lies in.
fn copies_nothing_in_place(plan: &Plan) -> bool {
    plan.ops().iter().all(|op| match op {
        Op::Combine(linear) => {
            !(linear.in_place() && linear.points.is_empty() && linear.gradients.is_empty())
        }
        _ => true,
    })
}

fn halves(writes_narrow: bool) -> (Ingredients, Options) {
    let stored = Stored { gradients: Storage::F16, ..Stored::default() };
    let ingredients = Ingredients { stored, ..Ingredients::default() };
    (ingredients, Options { writes_narrow, ..Options::default() })
}

/// Everything that changes which vectors a method keeps.
fn keeping() -> impl Iterator<Item = (Ingredients, Options)> {
    let halves = [(Storage::F32, false), (Storage::F16, false), (Storage::F16, true)];
    let both = [false, true];
    let mut recipes = vec![(Ingredients::default(), Options::default())];
    let mut each = |change: &dyn Fn(&mut Ingredients, &mut Options, usize), count: usize| {
        recipes = recipes
            .iter()
            .flat_map(|&recipe| (0..count).map(move |i| (recipe, i)))
            .map(|((mut ingredients, mut options), i)| {
                change(&mut ingredients, &mut options, i);
                (ingredients, options)
            })
            .collect();
    };
    each(
        &|i, _, n| i.preconditioner = [Preconditioner::None, Preconditioner::adam(0.9, 1e-8)][n],
        2,
    );
    each(&|i, _, n| i.momentum = [Momentum::None, Momentum::heavy_ball(0.9)][n], 2);
    each(&|i, _, n| i.radius = [SpectralRadius::Given(1.0), SpectralRadius::Estimated][n], 2);
    each(&|i, _, n| i.adaptive = both[n].then(|| Adaptive::new(1e-3, 1e-6)), 2);
    each(&|i, _, n| i.rule = both[n].then_some(Rule::Polyak { h_max: 0.1 }), 2);
    each(&|i, _, n| (i.l2, i.weight_decay) = ([0.0, 0.1][n], [0.0, 0.1][n]), 2);
    each(&|i, o, n| (i.stored.gradients, o.writes_narrow) = halves[n], 3);
    each(&|_, o, n| o.fusion = [Fusion::None, Fusion::Stage, Fusion::Full][n], 3);
    each(&|_, o, n| o.bindings = [8, 16][n], 2);
    recipes.into_iter()
}
