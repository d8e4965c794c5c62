//! Sources that check what they write: the guard leaves the plan, and nothing else changes.

use super::*;

fn planned(name: &str, ingredients: &Ingredients, checks: u32) -> Plan {
    let options = Options { checks, ..Options::default() };
    Plan::with_ingredients(&name.parse().unwrap(), ingredients, options).unwrap()
}

fn adam() -> Ingredients {
    Ingredients {
        preconditioner: Preconditioner::adam(0.9, 1e-8),
        momentum: Momentum::ema(0.9),
        ..Ingredients::default()
    }
}

fn guards(plan: &Plan) -> usize {
    plan.ops().iter().filter(|op| matches!(op, Op::Guard { .. })).count()
}

/// The stages that the source checks, with what it is asked.
fn rides(plan: &Plan) -> Vec<(u32, Check)> {
    let ride = |op: &Op| match op {
        Op::Evaluate { purpose: Purpose::Stage(stage), check: Some(check), .. } => {
            Some((*stage, *check))
        }
        _ => None,
    };
    plan.ops().iter().filter_map(ride).collect()
}

#[test]
fn a_source_that_checks_spares_the_word_of_the_guard() {
    let plain = Ingredients::default();
    let clipped = |ingredients| Ingredients { clip: Some(1.0), ..ingredients };
    let adaptive = Ingredients { adaptive: Some(Adaptive::new(1e-3, 1e-6)), ..plain };
    // (method, ingredients, guarded words with a guard and without, stages that ride)
    for (name, ingredients, with, without, stages) in [
        ("euler", plain, 4, 3, vec![1]),
        ("euler", adam(), 8, 7, vec![1]),
        ("euler", clipped(adam()), 8, 7, vec![1]),
        ("rk4", plain, 15, 14, vec![4]),
        ("rk4", clipped(plain), 16, 14, vec![1, 4]),
        ("williamson3", plain, 13, 12, vec![3]),
        ("rkc2:stages=6", plain, 0, 0, vec![6]),
        // The error reads every gradient anyway.
        ("dp5", adaptive, 34, 34, vec![]),
        ("dp5", clipped(adaptive), 35, 34, vec![1]),
    ] {
        let [guarded, rode] = [0, 1].map(|checks| planned(name, &ingredients, checks));
        let what = format!("{guarded}\n{rode}");
        let words = (guarded.words_guarded(), rode.words_guarded());
        if with != 0 {
            assert_eq!(words, (with, without), "{name}\n{what}");
        }
        assert_eq!(words.0 - words.1, stages.len(), "{name}\n{what}");
        assert_eq!(guarded.words_bare(), rode.words_bare(), "{name}\n{what}");
        assert_eq!(guarded.resident_vectors(), rode.resident_vectors(), "{name}\n{what}");
        assert_eq!(guards(&guarded), stages.len(), "{name}\n{what}");
        assert_eq!(guards(&rode), 0, "{name}\n{what}");
        assert_eq!(rides(&rode).iter().map(|ride| ride.0).collect::<Vec<_>>(), stages, "{what}");
        assert_eq!((rode.rides(), guarded.rides()), (!stages.is_empty(), false), "{what}");
        for (stage, check) in rides(&rode) {
            assert_eq!(check.norm, stage == 1, "{what}");
        }
    }
    // The squares become state where nothing before the finish reads k₁.
    assert!(rides(&planned("euler", &adam(), 1))[0].1.squares);
    let text = planned("rk4", &plain, 1).to_string();
    assert!(text.contains("k₄ = ∇L(y₄);  finite k₄?"), "{text}");
    assert!(text.contains("14 bare, 14 guarded"), "{text}");
}

/// What comes between the source and the guard is not what the source wrote.
#[test]
fn a_guard_stays_where_the_source_did_not_write_what_it_reads() {
    let decayed = Ingredients { l2: 0.1, ..Ingredients::default() };
    for name in ["euler", "rk4", "williamson3"] {
        let plan = planned(name, &decayed, 1);
        assert_eq!((guards(&plan), plan.rides()), (1, false), "{plan}");
    }
    // Packed by kutta; and written narrow by the source.
    let (stored, options) = halves(false);
    let plan = |options| Plan::with_ingredients(&Method::rk4(), &stored, options).unwrap();
    let packed = plan(Options { checks: 1, ..options });
    assert_eq!((guards(&packed), packed.rides()), (1, false), "{packed}");
    let written = plan(Options { checks: 1, writes_narrow: true, ..options });
    assert_eq!((guards(&written), written.rides()), (0, true), "{written}");
}

/// Each stage is looked at once, and θ stays where one is not finite, whoever looks.
#[test]
fn every_stage_is_still_checked_once_before_theta_is_written() {
    let recipes = recipes().into_iter().step_by(5);
    let recipes: Vec<Ingredients> =
        recipes.flat_map(|r| [None, Some(1.0)].map(|clip| Ingredients { clip, ..r })).collect();
    for method in Method::all().into_iter().chain(awkward()) {
        for ingredients in &recipes {
            let plans = [0, 1].map(|checks| {
                let options = Options { checks, ..Options::default() };
                Plan::with_ingredients(&method, ingredients, options).unwrap()
            });
            let [with, without] = plans.each_ref().map(|plan| {
                let checks = plan.ops().iter().flat_map(Op::checks);
                let mut stages: Vec<u32> = checks.map(|(stage, _)| stage).collect();
                stages.sort_unstable();
                (stages, plan.ops().iter().filter(|op| op.norm().is_some()).count())
            });
            assert_eq!(with, without, "{method}\n{}{}", plans[0], plans[1]);
            // Of two stages nobody could tell whose fault it was.
            let mut open = 0;
            for op in plans[1].ops() {
                match op {
                    Op::Evaluate { check: Some(_), .. } => open += 1,
                    Op::Choose(Choice::Norm) => open = 0,
                    _ => {}
                }
                assert!(open < 2, "{method}\n{}", plans[1]);
            }
            for bad in 1..=plans[1].evaluations() as usize {
                let mut replay = Replay::new(&plans[1], &[1.0, 2.0]);
                let attempt = replay.attempt(0.1, &mut |stage, x| {
                    if stage == bad { vec![x[0], f64::INFINITY] } else { x.to_vec() }
                });
                assert!(!attempt.unwrap().accepted, "{method} stage {bad}\n{}", plans[1]);
                assert_eq!(replay.theta(), [1.0, 2.0], "{method} stage {bad}\n{}", plans[1]);
            }
        }
    }
}

/// Loss and norm at θ are asked of any source.
#[test]
fn a_measurement_has_its_guard() {
    let measured = planned("rk4", &Ingredients::default(), 1).measurement();
    assert!(matches!(measured[0], Op::Evaluate { check: None, .. }));
    assert!(matches!(measured[1], Op::Guard { norm: true, .. }));
}
