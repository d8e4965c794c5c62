//! What a plan's operations declare, held against what their kernels bind, without a GPU.

use std::collections::BTreeSet;

use crate::device::kernel::{Access, Kernel};
use crate::device::traversal::Traversal;
use crate::format::Storage;
use crate::ingredients::{
    Adaptive, Curvature, Ingredients, Momentum, Preconditioner, Rule, SpectralRadius, Stored,
};
use crate::kernels::launch::Setting;
use crate::kernels::operations;
use crate::kernels::verdict::Kind;
use crate::method::Method;
use crate::plan::{Fusion, Guard, Makes, Op, Options, Plan, Touch, Use, What};

/// Tells whether a kernel's text has bindings that some operations have no use for: they are
/// spare buffers then.
fn has_spare(kernel: &Kernel) -> bool {
    ["dots", "radius", "registers"].contains(&kernel.name)
}

/// Methods of every family.
const METHODS: [&str; 12] = [
    "euler",
    "midpoint",
    "rk4",
    "ssprk43",
    "bs3",
    "tsit5",
    "dop853",
    "williamson3",
    "rdpk3sp35",
    "rkc2:stages=5",
    "rkl1:stages=3",
    "rock2:stages=5",
];

/// Those methods with ingredients that change what their operations are.
fn plans() -> Vec<Plan> {
    let plain = Ingredients::default();
    let adam = Ingredients {
        preconditioner: Preconditioner::adam(0.9, 1e-8),
        momentum: Momentum::ema(0.9),
        ..plain
    };
    let only_d = Ingredients { momentum: Momentum::None, ..adam };
    let more = Ingredients { l2: 0.1, average: Some(0.9), clip: Some(1.0), grouped: true, ..adam };
    let given = Ingredients { radius: SpectralRadius::Given(1.0), ..plain };
    let rule = |rule| Ingredients { rule: Some(rule), ..plain };
    let dal = |from| rule(Rule::Dal { p: 1.0, h_max: 5.0, from });
    let all = [
        plain,
        adam,
        only_d,
        more,
        given,
        dal(Curvature::Probe),
        dal(Curvature::Product),
        dal(Curvature::Stages),
        rule(Rule::Stable { fraction: 0.9, h_max: 1.0 }),
    ];
    let adaptive = Some(Adaptive::new(1e-3, 1e-6));
    let judged = all.map(|ingredients| Ingredients { adaptive, rule: None, ..ingredients });
    let all: Vec<Ingredients> = all.into_iter().chain(judged).collect();
    let mut plans = Vec::new();
    for method in METHODS {
        let method: Method = method.parse().unwrap();
        for ingredients in &all {
            for storage in [Storage::F32, Storage::F16] {
                let ingredients = Ingredients { stored: Stored::all(storage), ..*ingredients };
                for (fusion, guard, adds) in [
                    (Fusion::None, Guard::On, false),
                    (Fusion::Stage, Guard::On, false),
                    (Fusion::Full, Guard::On, false),
                    (Fusion::Full, Guard::Off, true),
                ] {
                    let options = Options { fusion, guard, adds, ..Options::default() };
                    plans.extend(Plan::with_ingredients(&method, &ingredients, options));
                }
            }
        }
    }
    plans
}

/// What a binding holds that is not one of the plan's vectors.
fn part(op: &Op, name: &str) -> Option<What> {
    Some(match name {
        "partials" => What::Partials,
        "checks" => What::Checks,
        "control" | "block" => What::Control,
        "loss" => What::Loss,
        "last_loss" => What::LastLoss,
        "ring" => What::Ring,
        "second" => What::Second,
        "mean" if matches!(op, Op::Average) => What::Average,
        "mean" => What::Momentum,
        _ => return None,
    })
}

#[test]
fn kernels_bind_what_operations_declare() {
    let (mut seen, mut kinds_of_op) = (0, BTreeSet::new());
    for plan in plans() {
        let setting = Setting::new(&plan, Traversal::new(1, true));
        let measured = plan.measurement();
        let ops = plan.opening().iter().chain(plan.ops()).chain(plan.renewing());
        for op in ops.chain(&measured) {
            let Some(launch) = operations::launch(op, setting, Kind::default()) else { continue };
            // Each of its bindings is given by its name, and nothing else.
            assert_eq!(launch.resources().count(), launch.bindings.len());
            let (kernel, has_spare) = (launch.kernel, has_spare(launch.kernel));
            let what = || format!("{}: {op:?}\n{:?}\n{plan}", kernel.name, kernel.bindings);
            let buffers = op.buffers(plan.ingredients());
            let is_vector = |touch: &&Touch| matches!(touch.what, What::Vector(_));
            let storage = kernel.bindings.iter().filter(|(_, access)| *access != Access::Uniform);
            // Each part of the state once, and for writing: one text serves all who use it.
            let mut bound: Vec<What> =
                storage.clone().filter_map(|(name, _)| part(op, name)).collect();
            let mut declared: Vec<What> =
                buffers.iter().filter(|t| !is_vector(t)).map(|touch| touch.what).collect();
            for parts in [&mut bound, &mut declared] {
                parts.sort_by_key(|what| format!("{what:?}"));
            }
            match has_spare {
                true => assert!(declared.iter().all(|what| bound.contains(what)), "{}", what()),
                false => assert_eq!(bound, declared, "{}", what()),
            }
            for (name, access) in storage.clone().filter(|(name, _)| part(op, name).is_some()) {
                assert_eq!(*access, Access::Write, "{name}: {}", what());
            }
            // The control block is a uniform where it is only read.
            let control = op.touches(plan.ingredients()).into_iter();
            let control: Vec<Use> =
                control.filter(|touch| touch.what == What::Control).map(|t| t.by).collect();
            let uniform = kernel.bindings.contains(&("control", Access::Uniform));
            assert_eq!(uniform, control.iter().any(|by| !by.writes), "{}", what());
            // Vectors by what is done to them, and by whether they may be narrow.
            let count = |access: Access| {
                let vectors = storage.clone().filter(|(name, _)| part(op, name).is_none());
                vectors.filter(|(_, own)| *own == access).count()
            };
            let (reads, writes) = (count(Access::Read), count(Access::Write));
            let vectors: Vec<&Touch> = buffers.iter().filter(is_vector).collect();
            // One text makes the candidate or only judges it, and binds it for both.
            let judges = matches!(op, Op::Estimate(estimate) if estimate.makes == Makes::Nothing);
            let written = vectors.iter().filter(|touch| touch.by.writes).count();
            let written = written + usize::from(judges);
            let narrow = kernel.vectors.iter().filter(|name| part(op, name).is_none()).count();
            let may_be_narrow = vectors.iter().filter(|touch| !touch.by.wide).count();
            if has_spare {
                assert!(written <= writes, "{}", what());
                assert!(vectors.len() <= reads + writes, "{}", what());
                assert!(may_be_narrow <= narrow, "{}", what());
            } else {
                assert_eq!((vectors.len() - written, written), (reads, writes), "{}", what());
                assert_eq!(may_be_narrow, narrow, "{}", what());
            }
            assert!(buffers.len() <= plan.options().bindings as usize, "{}", what());
            seen += 1;
            kinds_of_op.insert(kernel.name.split('.').next());
        }
    }
    assert!(seen > 10_000, "{seen}");
    assert_eq!(kinds_of_op.len(), 14, "{kinds_of_op:?}");
}
