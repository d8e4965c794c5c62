//! Which vectors share a buffer, and how they are stored.

use super::*;

#[test]
fn a_sum_that_lacks_nothing_is_the_point() {
    let plan = plan(&kutta_nystrom(), Fusion::Full);
    assert!(copies_nothing_in_place(&plan), "{plan}");
    // A copy of the sum would be two more.
    assert_eq!((plan.words_bare(), plan.words_guarded()), (23, 25), "{plan}");
}

#[test]
fn a_buffer_has_one_storage_and_only_gradients_are_narrow() {
    let rules = [
        Rule::Dal { p: 1.0, h_max: 5.0, from: Curvature::Probe },
        Rule::RescaledDal { c: 0.1, p: 1.0, from: Curvature::Stages },
        Rule::Dal { p: 1.0, h_max: 5.0, from: Curvature::Product },
    ];
    let mut narrow = 0;
    for method in Method::all().into_iter().chain(awkward()).chain([awkward_pair()]) {
        for writes_narrow in [false, true] {
            let (plain, options) = halves(writes_narrow);
            let judged = Some(Adaptive::new(1e-3, 1e-6));
            let recipes = [plain, Ingredients { adaptive: judged, ..plain }]
                .into_iter()
                .chain(rules.map(|rule| Ingredients { rule: Some(rule), ..plain }));
            for ingredients in recipes {
                let Ok(plan) = Plan::with_ingredients(&method, &ingredients, options) else {
                    continue;
                };
                for op in plan.opening().iter().chain(plan.ops()).chain(plan.renewing()) {
                    if let Op::Evaluate { gradient, .. } = op {
                        assert!(writes_narrow || !gradient.storage.is_narrow(), "{plan}");
                    }
                    // What is taken a difference of, and registers.
                    if let Op::Dots(Dots { a, b: Some(b), .. }) = op {
                        assert!(!a.storage.is_narrow() && !b.storage.is_narrow(), "{plan}");
                    }
                    if let Op::Registers(op) = op {
                        let kept = op.register.filter(|_| op.writes_register);
                        let kept = kept.into_iter().chain(op.sum.filter(|_| op.writes_sum));
                        assert!(kept.into_iter().all(|o| !o.storage.is_narrow()), "{plan}");
                    }
                    for (_, operand) in op.vectors() {
                        assert!(operand.slot < plan.slots(), "{plan}");
                        assert_eq!(operand.storage, plan.storage(operand.slot), "{plan}");
                        let gradient = matches!(operand.name, Name::Gradient(_));
                        assert!(gradient || !operand.storage.is_narrow(), "{plan}");
                        narrow += usize::from(operand.storage.is_narrow());
                    }
                }
            }
        }
    }
    assert!(narrow > 1000, "{narrow}");
}

#[test]
fn any_number_of_stages_lies_in_the_buffers_that_are_there() {
    let mut grown = 0;
    for stabilised in Stabilised::all() {
        let family = stabilised.family();
        let method = Method::from(stabilised);
        for (ingredients, options) in keeping() {
            // Not all of them have a plan: RKC1 judges no step.
            let Ok(shown) = Plan::with_ingredients(&method, &ingredients, options) else {
                continue;
            };
            let there = shown.storages.clone();
            for s in (2..=16).filter(|&s| family.admissible(s) == Some(s)) {
                let plan = Plan::with_stages(&method, s, &ingredients, options).unwrap();
                let state = |plan: &Plan| (plan.state_width(), plan.mean_halves());
                assert_eq!(state(&plan), state(&shown), "{method}, {s}: {ingredients:?}");
                let moved = plan.laid_out_in(&there);
                assert_eq!(moved.storages[..there.len()], there);
                // One kernel per axpy needs a vector for each stage.
                let unfused = options.fusion == Fusion::None && s > 10;
                let lacking = moved.slots() - there.len();
                assert!(lacking == 0 || unfused, "{method}, {s}: {options:?} {ingredients:?}");
                grown += usize::from(lacking > 0);
                let storages = moved.storages.clone();
                for ops in [&moved.ops, &moved.opening, &moved.renewing] {
                    for (_, operand) in ops.iter().flat_map(Op::vectors) {
                        assert_eq!(operand.storage, storages[operand.slot]);
                        assert!(operand.name != Name::Theta || operand.slot == 0);
                        assert!(operand.name != Name::Eigenvector || operand.slot == 1);
                    }
                }
            }
        }
    }
    assert!(grown > 0, "no plan that has more vectors");
}

#[test]
fn a_plan_in_other_buffers_makes_the_same_step() {
    let method = "rkl2:stages=13".parse().unwrap();
    let eigenvalues: Vec<f64> = (1..=9).map(f64::from).collect();
    let problem = Problem::quadratic(&eigenvalues).unwrap();
    let start: Vec<f64> = (0..9).map(|i| 1.0 + i as f64 / 8.0).collect();
    for (ingredients, options) in keeping().filter(|(i, _)| i.rule.is_none()) {
        let plan = Plan::with_ingredients(&method, &ingredients, options).unwrap();
        let moved = plan.clone().laid_out_in(&[Storage::F32, Storage::F32, Storage::F16]);
        let [a, b] = [plan, moved].map(|plan| {
            let mut replay = Replay::new(&plan, &start);
            for _ in 0..3 {
                replay.attempt(1e-3, &mut |_, x| problem.gradient(x)).unwrap();
            }
            replay.theta().to_vec()
        });
        assert_eq!(a, b, "{options:?} {ingredients:?}");
    }
}
