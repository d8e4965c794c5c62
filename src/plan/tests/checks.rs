//! What is not finite never reaches θ.

use super::*;

#[test]
fn every_stage_is_checked_once_before_theta_is_written() {
    for method in Method::all().into_iter().chain(awkward()) {
        let tableau = method.tableau();
        for (fusion, ingredients) in [Fusion::None, Fusion::Full]
            .into_iter()
            .flat_map(|fusion| recipes().into_iter().map(move |recipe| (fusion, recipe)))
        {
            let options = Options { fusion, ..Options::default() };
            let plan = Plan::with_ingredients(&method, &ingredients, options).unwrap();
            let mut checked: Vec<u32> = Vec::new();
            for op in plan.ops() {
                checked.extend(op.checks().into_iter().map(|(stage, _)| stage));
            }
            checked.sort_unstable();
            // A stage that nothing reads cannot hurt.
            let used: Vec<u32> = (1..=tableau.stages() as u32)
                .filter(|&i| {
                    let j = i as usize - 1;
                    tableau.b()[j] != 0.0
                        || tableau.rows().iter().any(|r| r.get(j).is_some_and(|&a| a != 0.0))
                        // The state reads the first, whatever the tableau does.
                        || (i == 1 && ingredients.preconditioner != Preconditioner::None)
                })
                .collect();
            assert_eq!(checked, used, "{method} {fusion:?}\n{plan}");
        }
    }
}

#[test]
fn a_gradient_that_is_not_finite_leaves_theta_alone() {
    for method in Method::all() {
        let plan = plan(&method, Fusion::Full);
        // The stages that the step reads; the estimate's own are not made.
        for bad in 1..=plan.evaluations() as usize {
            let start = [1.0, 2.0];
            let mut replay = Replay::new(&plan, &start);
            let attempt = replay
                .attempt(0.1, &mut |stage, x| {
                    if stage == bad { vec![x[0], f64::INFINITY] } else { x.to_vec() }
                })
                .unwrap();
            assert!(!attempt.accepted, "{method} stage {bad}");
            assert_eq!(replay.theta(), start);
        }
    }
}

#[test]
fn a_gradient_that_is_not_finite_refuses_every_judged_plan() {
    let problem = Problem::Quartic;
    let start = [0.5, -0.25, 1.0];
    let adaptive = Some(Adaptive::new(10.0, 10.0));
    for recipe in recipes() {
        let ingredients = Ingredients { adaptive, ..recipe };
        for method in pairs() {
            for fusion in [Fusion::Full, Fusion::None] {
                let options = Options { fusion, ..Options::default() };
                let plan = Plan::with_ingredients(&method, &ingredients, options).unwrap();
                for bad in 1..=method.stages() {
                    let mut replay = Replay::new(&plan, &start);
                    // A source that makes finite gradients of anything, so that
                    // the fault is seen where it is or never.
                    let attempt = replay.attempt(1e-3, &mut |stage, x| {
                        let calm = x.iter().map(|x| if x.is_finite() { *x } else { 0.0 });
                        let mut g = problem.gradient(&calm.collect::<Vec<_>>());
                        if stage == bad {
                            g[1] = f64::NAN;
                        }
                        g
                    });
                    assert!(!attempt.unwrap().accepted, "{method} {fusion:?} {bad}\n{plan}");
                    assert_eq!(replay.theta(), start);
                }
            }
        }
    }
}

/// A report names the place where the first stage is not finite: what kernels leave for it
/// takes stages in order, and by a kernel each where the method is not one's own.
#[test]
fn stages_are_checked_one_by_one_in_order() {
    for method in Method::all().into_iter().chain(awkward()) {
        for (fusion, ingredients) in [Fusion::None, Fusion::Full]
            .into_iter()
            .flat_map(|fusion| recipes().into_iter().map(move |recipe| (fusion, recipe)))
        {
            let options = Options { fusion, ..Options::default() };
            let plan = Plan::with_ingredients(&method, &ingredients, options).unwrap();
            let mut last = 0;
            for op in plan.ops() {
                let stages: Vec<u32> = op.checks().into_iter().map(|(stage, _)| stage).collect();
                let own = !Method::all().contains(&method);
                assert!(own || stages.len() < 2, "{method} {fusion:?}: {stages:?}\n{plan}");
                for stage in stages {
                    assert!(stage > last, "{method} {fusion:?}: {stage}\n{plan}");
                    last = stage;
                }
            }
        }
    }
}
