//! Every plan can be measured, and what is measured is what the plan says.

use super::check::TOLERANCE;
use super::*;
use crate::format::Storage;
use crate::ingredients::{
    Adaptive, Curvature, Momentum, Preconditioner, Rule, SpectralRadius, Stored,
};
use crate::plan::{Fusion, Guard, Op};

/// Enough for several workgroups, and no multiple of anything.
const N: usize = 20_011;

fn plain() -> Ingredients {
    // No iteration for ρ: its kernels have a test of their own.
    Ingredients { radius: SpectralRadius::Given(1e-3), ..Ingredients::default() }
}

fn full(preconditioner: Preconditioner, momentum: Momentum) -> Ingredients {
    Ingredients { preconditioner, momentum, weight_decay: 0.01, ..plain() }
}

fn adaptive(ingredients: Ingredients) -> Ingredients {
    Ingredients { adaptive: Some(Adaptive::new(1e-3, 1e-6)), ..ingredients }
}

fn everything() -> Ingredients {
    let full = full(Preconditioner::amsgrad(0.999, 1e-8), Momentum::ema(0.9));
    let more = Ingredients { l2: 0.1, average: Some(0.9), clip: Some(1.0), grouped: true, ..full };
    adaptive(more)
}

/// Lists ingredients that may go with a method; not all of them go with every one.
fn ingredients() -> Vec<Ingredients> {
    let rule = |rule| Ingredients { rule: Some(rule), ..plain() };
    let dal = |from| rule(Rule::Dal { p: 1.0, h_max: 0.1, from });
    let rescaled = |from| rule(Rule::RescaledDal { c: 0.1, p: 1.0, from });
    let narrow = |gradients| {
        let stored = Stored { gradients, ..Stored::default() };
        Ingredients { stored, ..adaptive(plain()) }
    };
    vec![
        plain(),
        adaptive(plain()),
        narrow(Storage::F16),
        narrow(Storage::Bf16),
        full(Preconditioner::None, Momentum::heavy_ball(0.9)),
        full(Preconditioner::adam(0.999, 1e-8), Momentum::ema(0.9)),
        full(Preconditioner::adagrad_rescaled(), Momentum::None),
        adaptive(full(Preconditioner::rmsprop(0.99, 1e-8), Momentum::nesterov(0.9))),
        everything(),
        Ingredients { adaptive: None, ..everything() },
        Ingredients { l2: 0.1, average: Some(0.9), clip: Some(1.0), ..plain() },
        Ingredients { grouped: true, ..plain() },
        dal(Curvature::Probe),
        dal(Curvature::Product),
        rescaled(Curvature::Stages),
        rule(Rule::Polyak { h_max: 0.1 }),
        rule(Rule::SgdG2 { h: 0.1, beta: 0.9 }),
        rule(Rule::Stable { fraction: 0.9, h_max: 0.1 }),
        Ingredients { radius: SpectralRadius::Estimated, ..plain() },
        Ingredients { radius: SpectralRadius::Estimated, ..everything() },
    ]
}

fn bench(gpu: &Gpu, method: &Method, ingredients: &Ingredients, options: Options) -> Option<Bench> {
    // What cannot be planned cannot be measured either.
    Bench::plan_of(method, ingredients, options).ok()?;
    Some(Bench::new(gpu, method, ingredients, options, N, 1).unwrap())
}

fn attempts(bench: &Bench, count: u32) {
    bench.refill();
    bench.submit(|pass| {
        bench.begin(0).record(pass);
        for _ in 0..count {
            bench.step(0).record(pass);
        }
    });
}

fn named(names: &[&str]) -> Vec<Method> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// Checks every method, then makes as many attempts as are said to be accepted, or `most`.
fn checked_and_accepted(fusion: Fusion, most: u32) {
    let gpu = Gpu::new().unwrap();
    for method in Method::all() {
        for ingredients in [plain(), adaptive(plain()), everything()] {
            let options = Options { fusion, ..Options::default() };
            let Some(bench) = bench(&gpu, &method, &ingredients, options) else { continue };
            let what = || format!("{method}, {fusion:?}, {ingredients:?}");
            let checked = bench.check().unwrap_or_else(|e| panic!("{}: {e}", what()));
            assert!(checked.elements >= N as u64 && checked.worst < TOLERANCE);
            let endurance = bench.endurance().unwrap();
            assert!(endurance > 0, "{}", what());
            attempts(&bench, endurance.min(most));
            bench.verify().unwrap_or_else(|e| panic!("{}: {e}", what()));
        }
    }
}

#[test]
fn every_method_is_checked_and_stays_accepted() {
    checked_and_accepted(Fusion::Full, u32::MAX);
}

/// Another order of the same sums: what it endures differs by rounding.
#[test]
fn every_method_in_single_kernels_is_checked_and_accepted() {
    checked_and_accepted(Fusion::None, 10);
}

#[test]
fn every_ingredient_can_be_measured() {
    let gpu = Gpu::new().unwrap();
    let mut seen = 0;
    for method in named(&["euler", "heun", "rk4", "dp5", "carpenter-kennedy", "rkc2:stages=5"]) {
        for ingredients in ingredients() {
            for guard in [Guard::On, Guard::Off] {
                // What is packed would be packed from what another kernel left.
                let writes_narrow = ingredients.stored.gradients.is_narrow();
                let options = Options { guard, writes_narrow, ..Options::default() };
                let Some(bench) = bench(&gpu, &method, &ingredients, options) else { continue };
                let what = || format!("{method}, {ingredients:?}, {guard:?}");
                let ops = moving(bench.plan());
                for (op, kernel) in ops.zip(bench.kernels()) {
                    let words = op.words(&ingredients);
                    assert_eq!(kernel.words(), words, "{}: {}", what(), kernel.label);
                    assert_ne!(kernel.label, "decide");
                }
                bench.check().unwrap_or_else(|e| panic!("{}: {e}", what()));
                attempts(&bench, bench.endurance().unwrap().min(10));
                bench.verify().unwrap_or_else(|e| panic!("{}: {e}", what()));
                seen += 1;
            }
        }
    }
    assert!(seen > 120, "{seen}");
}

#[test]
fn sources_that_add_can_be_measured() {
    let gpu = Gpu::new().unwrap();
    for guard in [Guard::On, Guard::Off] {
        for method in named(&["williamson3", "carpenter-kennedy"]) {
            let options = Options { adds: true, guard, ..Options::default() };
            let bench = bench(&gpu, &method, &plain(), options).unwrap();
            bench.check().unwrap();
            attempts(&bench, 10);
            bench.verify().unwrap();
        }
    }
}

#[test]
fn an_element_that_is_off_is_found() {
    let gpu = Gpu::new().unwrap();
    let mut bench = bench(&gpu, &Method::rk4(), &plain(), Options::default()).unwrap();
    // Another plan of as many buffers, whose last weights are not RK4's.
    let other: Method = "rk38".parse().unwrap();
    let other = Plan::with_ingredients(&other, &plain(), Options::default()).unwrap();
    assert_eq!(other.slots(), bench.plan.slots());
    bench.plan = other;
    let error = bench.check().unwrap_err();
    assert!(matches!(error, Error::Bench(BenchError::Differs { .. })), "{error}");
}

#[test]
fn a_refused_attempt_is_no_measurement() {
    let gpu = Gpu::new().unwrap();
    let bench = bench(&gpu, &Method::rk4(), &plain(), Options::default()).unwrap();
    bench.verify().unwrap();
    attempts(&bench, 1);
    bench.verify().unwrap();
    // Not a number in what the guard looks at.
    let Some(Op::Guard { gradient, .. }) =
        bench.plan.ops().iter().find(|op| matches!(op, Op::Guard { .. }))
    else {
        panic!("RK4 has a guard");
    };
    upload(&gpu, &bench.sets[0].state.vectors[gradient.slot], &|_| f32::NAN).unwrap();
    bench.submit(|pass| {
        bench.begin(0).record(pass);
        bench.step(0).record(pass);
    });
    let error = bench.verify().unwrap_err().to_string();
    assert!(error.starts_with("1 of 2 attempts were accepted (1 skipped"), "{error}");
}

/// DP5's sums hold θ and lie where gradients were, so that θ grows at every attempt, and
/// kernels that work in place make more of it, until moments are as large.
#[test]
fn a_refilled_bench_is_as_good_as_new() {
    let gpu = Gpu::new().unwrap();
    let adam = adaptive(full(Preconditioner::adam(0.999, 1e-8), Momentum::ema(0.9)));
    for (ingredients, kernels) in [(plain(), false), (adam, true)] {
        let bench = bench(&gpu, &"dp5".parse().unwrap(), &ingredients, Options::default()).unwrap();
        let endurance = bench.endurance().unwrap();
        let (rounds, each) = if kernels { (4, 3) } else { (40, endurance) };
        for _ in 0..rounds {
            for kernel in (0..bench.kernels().len()).filter(|_| kernels) {
                let (own, bare) = (bench.own(0, kernel), bench.bare(0, kernel));
                bench.submit(|pass| {
                    for work in [own, bare, bare, own] {
                        (0..20).for_each(|_| work.record(pass));
                    }
                });
            }
            attempts(&bench, each.min(endurance));
        }
        bench.verify().unwrap_or_else(|error| panic!("{ingredients:?}: {error}"));
    }
}

#[test]
fn both_recordings_have_the_same_dispatches() {
    let gpu = Gpu::new().unwrap();
    let theta = |by_hand: bool| {
        let bench = bench(&gpu, &Method::rk4(), &plain(), Options::default()).unwrap();
        bench.refill();
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        if by_hand {
            bench.record_by_hand(&mut encoder, 3);
        } else {
            bench.record(&mut encoder, 3).unwrap();
        }
        gpu.queue().submit([encoder.finish()]);
        bench.verify().unwrap();
        bench.sets[0].state.vectors[0].read(&gpu).unwrap()
    };
    let own = theta(false);
    assert_eq!(own, theta(true));
    assert!(own.iter().enumerate().all(|(i, &x)| x != value(POOL, i)));
}

#[test]
fn a_length_of_none_is_refused() {
    let gpu = Gpu::new().unwrap();
    let none = Bench::new(&gpu, &Method::rk4(), &plain(), Options::default(), 0, 1).unwrap_err();
    assert!(none.to_string().contains("0 elements"), "{none}");
    let none = Ceilings::new(&gpu, 0, 1).unwrap_err();
    assert!(none.to_string().contains("0 elements"), "{none}");
}

#[test]
fn the_estimate_of_memory_holds() {
    let gpu = Gpu::new().unwrap();
    for ingredients in [plain(), everything()] {
        let method: Method = "dp5".parse().unwrap();
        let bench = bench(&gpu, &method, &ingredients, Options::default()).unwrap();
        let state = &bench.sets[0].state;
        let all = state.vectors.iter().chain([&state.second, &state.mean, &state.average]);
        let most = all.map(|vector| vector.buffer().size()).sum::<u64>() + Vector::bytes(N);
        let estimate = Bench::bytes(bench.plan(), N, 1);
        let off = estimate as f64 / most as f64;
        assert!((0.75..1.3).contains(&off), "{estimate} for {most}");
    }
}

#[test]
fn numbers_are_never_small_and_of_both_signs() {
    let values: Vec<f32> = (0..10_000).map(|i| value(POOL, i)).collect();
    assert!(values.iter().all(|x| (0.5..1.5).contains(&x.abs())));
    let negative = values.iter().filter(|x| **x < 0.0).count();
    assert!((4_500..5_500).contains(&negative), "{negative}");
    let other: Vec<f32> = (0..10_000).map(|i| value(THETA, i)).collect();
    assert_ne!(values, other);
}

#[test]
fn the_baseline_moves_what_optimizers_without_kernels_of_their_own_do() {
    let gpu = Gpu::new().unwrap();
    let adam = full(Preconditioner::adam(0.999, 1e-8), Momentum::ema(0.9));
    let adam = Ingredients { weight_decay: 0.0, l2: 0.0, ..adam };
    let options = Options { fusion: Fusion::None, ..Options::default() };
    for (name, words) in [("euler", ADAM_BY_FOREACH), ("rk4", RK4_BY_FOREACH)] {
        let bench = Bench::new(&gpu, &name.parse().unwrap(), &adam, options, N, 1).unwrap();
        assert_eq!(bench.words(), words, "{name}");
        attempts(&bench, 20);
        bench.verify().unwrap();
    }
}

/// g; v: decayed, with g², √, divided, + ε; m; θ.
const ADAM_BY_FOREACH: usize = 1 + (2 + 3 + 2 + 2 + 2) + 3 + 4;
/// v and √v + ε; three points from θ, k, √v + ε; three sums of two; m; θ.
const RK4_BY_FOREACH: usize = (2 + 3 + 2 + 2 + 2) + 3 * 4 + 3 * 3 + 3 + 4;

#[test]
fn what_does_not_fit_is_refused_before_it_is_allocated() {
    let gpu = Gpu::new().unwrap();
    // Where nobody knows the memory, nothing can be refused, and 2⁴⁰ sets never end.
    let Some(available) = gpu.available_memory() else { return };
    let options = Options::default();
    let sets = 1 << 40;
    let bench = Bench::new(&gpu, &Method::rk4(), &plain(), options, 1000, sets).map(drop);
    for found in [bench, Ceilings::new(&gpu, 1000, sets).map(drop)] {
        let error = found.unwrap_err().to_string();
        assert!(error.contains("1099511627776 sets"), "{error}");
        let known = error.split("there are ").nth(1).and_then(|rest| rest.split('.').next());
        let known: f64 = known.unwrap().parse().unwrap();
        // Others allocate meanwhile.
        assert!((known / available as f64 - 1.0).abs() < 0.5, "{error}; {available}");
    }
}
