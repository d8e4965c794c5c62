//! Tableaus of many zeros and repeated rows, by the hundred, against the textbook.

use super::*;
use proptest::prelude::*;

/// Entries that are often zero and often alike, and rows that are often those of
/// an earlier stage, or the step's weights.
fn tableau() -> impl Strategy<Value = Tableau> {
    let entry = prop_oneof![3 => Just(0.0), 2 => Just(0.25), 3 => -0.5f64..0.75];
    let rows = prop::collection::vec(prop::collection::vec(entry.clone(), 9), 9);
    let weights = prop::collection::vec(entry, 9);
    let like = prop::collection::vec(prop::option::weighted(0.25, 0usize..9), 9);
    (2usize..=9, rows, weights.clone(), weights, like, prop::option::of(0usize..9)).prop_map(
        |(s, mut rows, mut b, mut b_hat, like, same)| {
            for (i, like) in like.into_iter().enumerate() {
                if let Some(other) = like.filter(|&other| other < i) {
                    rows[i] = rows[other][..=other].to_vec();
                    rows[i].resize(9, 0.0);
                }
            }
            // Σ = 1 with the weight of the first stage, or the row's own of a stage
            // that the step ends at.
            let complete = |x: &mut Vec<f64>| {
                x.truncate(s);
                x[0] += 1.0 - x.iter().sum::<f64>();
            };
            complete(&mut b);
            complete(&mut b_hat);
            if let Some(stage) = same.filter(|&stage| stage > 0 && stage < s) {
                b = rows[stage][..stage].to_vec();
                b.resize(s, 0.0);
                complete(&mut b);
                rows[stage] = b.clone();
                b_hat[s - 1] += 0.5;
                b_hat[0] -= 0.5;
                b[stage..].fill(0.0);
            }
            if b == b_hat {
                b_hat[s - 1] += 0.25;
                b_hat[0] -= 0.25;
            }
            let rows: Vec<_> = (0..s).map(|i| rows[i][..i].to_vec()).collect();
            let tableau = Tableau::new("sparse", &rows, &b, None).unwrap();
            tableau.with_embedded(&b_hat).unwrap()
        },
    )
}

proptest! {
    // Other ones every time; PROPTEST_CASES asks for more.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_is_the_textbook(tableau in tableau(), kind in 0usize..4) {
        let problem = Problem::Rosenbrock;
        let start = [-1.2, 1.0, 0.7, 0.4];
        let ingredients = Ingredients {
            adaptive: (kind & 1 != 0).then(|| Adaptive::new(1e6, 1e6)),
            momentum: if kind == 2 { Momentum::heavy_ball(0.9) } else { Momentum::None },
            preconditioner: if kind == 3 {
                Preconditioner::adagrad_rescaled()
            } else {
                Preconditioner::None
            },
            ..Ingredients::default()
        };
        let method = tableau.clone().into();
        for fusion in [Fusion::Full, Fusion::None] {
            let options = Options { fusion, ..Options::default() };
            let plan = Plan::with_ingredients(&method, &ingredients, options).unwrap();
            prop_assert!(copies_nothing_in_place(&plan), "{plan}");
            let mut replay = Replay::new(&plan, &start);
            let mut book = textbook::Trainer::new(&tableau, ingredients, &start);
            let mut gradient = |_: usize, x: &[f64]| problem.gradient(x);
            for _ in 0..3 {
                let attempt = replay.attempt(1e-4, &mut gradient).unwrap();
                prop_assert!(attempt.accepted);
                let error = book.attempt(1e-4, &mut gradient).unwrap();
                if let Some(found) = attempt.error {
                    prop_assert!((found - error).abs() <= 1e-12 * error.max(1e-6), "{plan}");
                }
                for (a, b) in replay.theta().iter().zip(book.theta()) {
                    prop_assert!((a - b).abs() < 1e-12, "{a}, not {b}\n{tableau:?}\n{plan}");
                }
            }
        }
    }
}
