//! Words, bytes, buffers and bindings of plans.

use super::*;

#[test]
fn words_and_residents() {
    // (method, bare, guarded, unfused, resident vectors). An axpy moves three
    // words, a fused kernel one for each input and one for its output.
    let expected = [
        ("euler", 3, 4, 3, 2),
        ("midpoint", 6, 7, 6, 3),
        ("heun", 7, 8, 9, 3),
        ("ralston2", 7, 8, 9, 3),
        ("kutta3", 11, 12, 18, 4),
        ("heun3", 10, 11, 12, 4),
        ("ralston3", 11, 12, 15, 4),
        ("wray3", 11, 12, 15, 4),
        // The forms of Shu and Osher.
        ("ssprk33", 11, 12, 18, 3),
        ("ssprk43", 13, 14, 30, 3),
        ("rk4", 14, 15, 21, 5),
        ("rk38", 16, 17, 30, 5),
        ("ralston4", 16, 17, 30, 5),
        ("heun-euler", 7, 8, 9, 3),
        ("bs3", 11, 12, 15, 4),
        ("rkf45", 21, 22, 42, 5),
        ("cash-karp", 25, 26, 57, 6),
        ("dp5", 26, 27, 60, 6),
        ("tsit5", 26, 27, 63, 6),
        ("verner6", 36, 37, 87, 6),
        ("verner7", 42, 43, 111, 7),
        ("verner8", 59, 60, 174, 8),
        ("dop853", 59, 60, 174, 8),
        // A word to read and one to write r and y in each stage, and k.
        ("williamson3", 12, 13, 15, 4),
        ("carpenter-kennedy", 22, 23, 27, 4),
        ("rdpk3sp35", 25, 26, 48, 4),
        ("rdpk3sp49", 49, 50, 96, 4),
        ("rdpk3sp510", 55, 56, 108, 4),
        // Of ten or eleven stages; one vector is that of the power iteration.
        ("rkc1", 47, 48, 57, 5),
        ("rkcd", 47, 48, 57, 5),
        ("rkc2", 63, 64, 105, 6),
        ("rkl1", 52, 53, 63, 5),
        ("rkl2", 70, 71, 117, 6),
        ("rock2", 44, 45, 54, 5),
    ];
    assert_eq!(expected.len(), Method::all().len());
    for (name, bare, guarded, unfused, residents) in expected {
        let method = name.parse().unwrap();
        let fused = plan(&method, Fusion::Full);
        let found = (fused.words_bare(), fused.words_guarded(), fused.words_unfused());
        assert_eq!(
            (found, fused.resident_vectors()),
            ((bare, guarded, unfused), residents),
            "{name}"
        );
        // With one kernel per axpy, registers and recurrences are dense tableaus.
        if let Method::Explicit(_) = method {
            assert_eq!(plan(&method, Fusion::None).words_bare(), unfused, "{name}");
        }
    }
}

#[test]
fn registers_need_three_vectors_or_two() {
    let planned = |name: &str, guard, adds, ingredients: &Ingredients| {
        let options = Options { guard, adds, ..Options::default() };
        let plan = Plan::with_ingredients(&name.parse().unwrap(), ingredients, options).unwrap();
        (plan.words_guarded(), plan.resident_vectors())
    };
    let plain = Ingredients::default();
    for (name, words) in
        [("williamson3", [13, 12, 12, 11]), ("carpenter-kennedy", [23, 22, 20, 19])]
    {
        // A working point beside θ is what can be refused; the register takes k₁'s
        // place, and k's where the source adds to it.
        assert_eq!(planned(name, Guard::On, false, &plain), (words[0], 4));
        assert_eq!(planned(name, Guard::Off, false, &plain), (words[1], 3));
        assert_eq!(planned(name, Guard::On, true, &plain), (words[2], 3));
        assert_eq!(planned(name, Guard::Off, true, &plain), (words[3], 2));
    }
    let judged = Ingredients { adaptive: Some(Adaptive::new(1e-3, 1e-6)), ..plain };
    for name in ["rdpk3sp35", "rdpk3sp49", "rdpk3sp510"] {
        assert_eq!(planned(name, Guard::On, false, &judged).1, 5, "θ, y, r, k and Σ d k");
    }
}

#[test]
fn stabilised_methods_need_five_vectors_whatever_their_stages() {
    let given = Ingredients { radius: SpectralRadius::Given(1.0), ..Ingredients::default() };
    let judged = Ingredients { adaptive: Some(Adaptive::new(1e-3, 1e-6)), ..given };
    let vectors = |family: Family, stages, ingredients: &Ingredients| {
        let method = Stabilised::new(family, Stages::Fixed(stages)).unwrap().into();
        let plan = Plan::with_ingredients(&method, ingredients, Options::default()).unwrap();
        plan.resident_vectors()
    };
    for method in Stabilised::all() {
        let family = method.family();
        for stages in [3, 4, 12, 51, 199].map(|s| family.admissible(s).unwrap()) {
            // θ, y, r, k, and k₁ where all stages read it.
            let expected = if matches!(family, Family::Rkc2 | Family::Rkl2) { 5 } else { 4 };
            assert!(vectors(family, stages, &given) <= expected, "{method} {stages}");
            if method.tableau().b_hat().is_some() {
                assert!(vectors(family, stages, &judged) <= 5, "{method} {stages}");
            }
        }
    }
}

#[test]
fn no_plan_moves_more_than_the_direct_form() {
    for tableau in Tableau::all() {
        let nonzero = |row: &[f64]| row.iter().filter(|&&a| a != 0.0).count();
        let direct: usize = tableau.rows()[1..].iter().map(|row| nonzero(row) + 2).sum::<usize>()
            + nonzero(tableau.b())
            + 2;
        let words = plan(&tableau.clone().into(), Fusion::Full).words_bare();
        assert!(words <= direct, "{}: {words} words, {direct} directly", tableau.name());
    }
}

#[test]
fn words_with_ingredients() {
    let adam = Ingredients {
        preconditioner: Preconditioner::adam(0.999, 1e-8),
        momentum: Momentum::ema(0.9),
        ..Ingredients::default()
    };
    let paper = Ingredients {
        preconditioner: Preconditioner::adagrad_rescaled(),
        momentum: Momentum::heavy_ball(0.9),
        ..Ingredients::default()
    };
    let only_d = Ingredients { momentum: Momentum::None, ..paper };
    let only_m = Ingredients { preconditioner: Preconditioner::None, ..paper };
    for (method, ingredients, words, residents) in [
        // θ, k, v, m.
        (Method::euler(), adam, (7, 8), 4),
        (Method::euler(), Ingredients { weight_decay: 0.1, ..adam }, (7, 8), 4),
        (Method::euler(), only_m, (5, 6), 3),
        (Method::euler(), only_d, (5, 6), 3),
        // θ, four gradients, a point, both halves of v, m.
        (Method::rk4(), paper, (22, 23), 9),
        (Method::rk4(), only_d, (19, 20), 7),
        (Method::rk4(), only_m, (17, 18), 7),
        (Method::heun(), paper, (12, 13), 7),
    ] {
        let plan = Plan::with_ingredients(&method, &ingredients, Options::default()).unwrap();
        let found = (plan.words_bare(), plan.words_guarded());
        assert_eq!((found, plan.resident_vectors()), (words, residents), "{ingredients:?}\n{plan}");
    }
}

#[test]
fn words_with_an_error_estimate() {
    let judged = Ingredients { adaptive: Some(Adaptive::new(1e-3, 1e-6)), ..Default::default() };
    // (method, bare, with the commit, unfused, resident vectors).
    for (method, words, residents) in [
        ("heun-euler", (7, 9, 15), 4),
        ("bs3", (15, 17, 27), 4),
        ("dp5", (32, 34, 78), 7),
        ("tsit5", (32, 34, 84), 7),
    ] {
        let method = method.parse().unwrap();
        let plan = Plan::with_ingredients(&method, &judged, Options::default()).unwrap();
        let found = (plan.words_bare(), plan.words_guarded(), plan.words_unfused());
        assert_eq!((found, plan.resident_vectors()), (words, residents), "{plan}");
    }
    let message = Plan::with_ingredients(&Method::rk4(), &judged, Options::default()).unwrap_err();
    assert!(message.to_string().contains("cash-karp, dp5, tsit5"), "{message}");
}

/// The counts that `docs/ARCHITECTURE.md` states.
#[test]
fn more_bindings_and_sums_without_theta() {
    let error = Some(Adaptive::new(1e-3, 1e-6));
    let full = |adaptive| Ingredients {
        adaptive,
        preconditioner: Preconditioner::adagrad_rescaled(),
        momentum: Momentum::heavy_ball(0.9),
        ..Ingredients::default()
    };
    let plain = |adaptive| Ingredients { adaptive, ..Ingredients::default() };
    for (name, ingredients, eight, sixteen, theta_free) in [
        ("rk4", plain(None), (14, 5), (14, 5), 15),
        ("bs3", plain(error), (15, 4), (15, 4), 16),
        ("bs3", full(error), (25, 9), (24, 10), 24),
        ("dp5", plain(None), (26, 6), (26, 6), 29),
        ("dp5", plain(error), (32, 7), (32, 7), 35),
        ("dp5", full(error), (45, 11), (44, 12), 47),
        ("tsit5", plain(None), (26, 6), (26, 6), 29),
        ("tsit5", plain(error), (32, 7), (32, 7), 35),
        ("tsit5", full(error), (46, 12), (45, 11), 47),
        ("verner8", plain(None), (59, 8), (59, 8), 66),
    ] {
        let method = name.parse().unwrap();
        let planned = |bindings, theta_free| {
            let options = Options { bindings, theta_free, ..Options::default() };
            let plan = Plan::with_ingredients(&method, &ingredients, options).unwrap();
            (plan.words_bare(), plan.resident_vectors())
        };
        let found = (planned(8, false), planned(16, false), planned(16, true).0);
        assert_eq!(found, (eight, sixteen, theta_free), "{name}");
        // Nothing is gained beyond that.
        assert_eq!(planned(64, false), sixteen, "{name}");
        let direct = Options { fusion: Fusion::Stage, ..Options::default() };
        let direct = Plan::with_ingredients(&method, &ingredients, direct).unwrap();
        assert!(direct.words_bare() >= eight.0 && direct.resident_vectors() >= 4, "{name}");
    }
    let few = Options { bindings: 7, ..Options::default() };
    let message = Plan::new(&Method::rk4(), few).unwrap_err().to_string();
    assert!(message.contains("eight"), "{message}");
}

#[test]
fn bytes_with_narrow_storage() {
    let adam = Ingredients {
        preconditioner: Preconditioner::adam(0.999, 1e-8),
        momentum: Momentum::ema(0.9),
        ..Ingredients::default()
    };
    let judged = Ingredients { adaptive: Some(Adaptive::new(1e-3, 1e-6)), ..Default::default() };
    let plain = Ingredients::default();
    let radius = SpectralRadius::Given(1.0);
    let decayed = Ingredients { l2: 0.1, weight_decay: 0.1, radius, ..plain };
    let both = Ingredients { adaptive: judged.adaptive, ..adam };
    // (method, bare, guarded, resident): as f32, as f16 by the source, and packed, where
    // each gradient moves 6 bytes more and needs a vector beside it.
    for (method, ingredients, wide, narrow, packed) in [
        ("rk4", plain, (56, 60, 20), (46, 48, 16), (70, 72, 20)),
        ("euler", plain, (12, 16, 8), (10, 12, 6), (16, 18, 10)),
        // θ twice and k; m and v twice each, of two bytes.
        ("euler", adam, (28, 32, 16), (18, 20, 10), (24, 26, 14)),
        ("dp5", judged, (128, 136, 28), (100, 108, 26), (142, 150, 26)),
        // Three registers, one of them k₁'s, and k with two bytes.
        ("williamson3", plain, (48, 52, 16), (44, 46, 14), (56, 58, 18)),
        // r and q are only read in the last stage but one, where r is k₁.
        ("rkc2:stages=5", decayed, (176, 176, 24), (138, 138, 20), (168, 168, 24)),
        // The last kernel makes θ' and its error, and moves m.
        ("bs3", both, (100, 108, 36), (74, 82, 30), (98, 106, 34)),
    ] {
        let method = method.parse().unwrap();
        let found = |stored, writes_narrow| {
            let ingredients = Ingredients { stored, ..ingredients };
            let options = Options { writes_narrow, ..Options::default() };
            let plan = Plan::with_ingredients(&method, &ingredients, options).unwrap();
            let last = plan.to_string().lines().last().unwrap().to_owned();
            let counts = (plan.bytes_bare(), plan.bytes_guarded(), plan.resident_bytes());
            let (bare, guarded, resident) = counts;
            assert_eq!(
                last,
                format!("bytes per parameter: {bare} bare, {guarded} guarded; {resident} resident")
            );
            counts
        };
        let f16 = Stored::all(Storage::F16);
        assert_eq!(found(Stored::default(), false), wide, "{method}");
        assert_eq!(found(f16, true), narrow, "{method}");
        assert_eq!(found(f16, false), packed, "{method}");
    }
}

#[test]
fn kernels_bind_no_more_than_they_may() {
    let (mut fullest, mut looked) = (0, 0);
    for method in Method::all().into_iter().chain(awkward()).chain([awkward_pair()]) {
        for recipe in recipes() {
            for adaptive in [None, Some(Adaptive::new(1e-3, 1e-6))] {
                let ingredients = Ingredients { adaptive, ..recipe };
                for (fusion, bindings) in
                    [(Fusion::Stage, 8), (Fusion::Full, 8), (Fusion::Full, 16)]
                {
                    let options = Options { fusion, bindings, ..Options::default() };
                    let plan = Plan::with_ingredients(&method, &ingredients, options);
                    let Ok(plan) = plan else { continue };
                    for op in plan.opening().iter().chain(plan.ops()).chain(plan.renewing()) {
                        let bound = op.buffers(&ingredients).len();
                        assert!(bound <= bindings as usize, "{bound}: {op:?}\n{plan}");
                        fullest = fullest.max(bound);
                        looked += 1;
                    }
                }
            }
        }
    }
    assert!(fullest > 8 && looked > 50_000, "{fullest} {looked}");
}
