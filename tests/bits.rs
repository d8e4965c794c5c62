//! Trajectories keep their bits: the SHA-256 of θ after 40 attempts of some three dozen
//! recipes, every family of methods, ingredient, storage, source and wrapper among them, is
//! what `tests/data/bits.txt` says for this adapter.
//!
//! Only the same adapter and driver promise the same bits. On any other this test runs each
//! recipe twice, with bindings and submits of other sizes, and demands the same hash.
//! `KUTTA_BITS=write cargo test --release --test bits` writes the hashes of this adapter
//! into the file, for a change that is meant to change bits: say in its commit why.

mod common;
#[path = "bits/own.rs"]
mod own;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use common::{Planted, adding, gpu, noise, writing};
use kutta::batching::{Accumulated, PerStage};
use kutta::data::{Batches, Inputs, Samples, Targets};
use kutta::models::{
    Activation, Analytic, Encoding, HashGrid, Loss, Mlp, NeuralField, Points, Target,
};
use kutta::optimizer::Builder;
use kutta::reference::Problem;
use kutta::{
    Ending, Fusion, GradientSource, Group, Guard, Init, Method, Optimizer, ParamLayout, Report,
    SpectralRadius, Verdict,
};
use own::Chain;
use sha2::{Digest, Sha256};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/bits.txt");
const ATTEMPTS: u64 = 40;

/// A name, and what makes the recipe: a method, a source and options of the builder.
const RECIPES: &[(&str, &str)] = &[
    ("sgd", "method=euler source=rosenbrock h=0.001"),
    (
        "adam",
        "method=euler source=mlp h=cosine:from=0.02,to=0.001,steps=30,warm-up=5 preconditioner=adam momentum=ema:0.9",
    ),
    (
        "adamw-bf16",
        "method=euler source=mlp h=0.01 preconditioner=adam momentum=ema:0.9 decay=0.05 stored=bf16:rounding=stochastic",
    ),
    (
        "amsgrad",
        "method=midpoint source=mlp-gelu h=stairs:h=0.02,rate=0.5,every=10 preconditioner=amsgrad:beta2=0.9,eps=0.01",
    ),
    (
        "rmsprop-groups",
        "method=heun source=mlp h=exponential:h=0.01,rate=0.9,every=7 preconditioner=rmsprop:rho=0.9,eps=0.01 groups=2 average=0.9",
    ),
    (
        "adagrad-nesterov",
        "method=ralston2 source=groups h=linear:from=0.05,to=0.01,steps=30 preconditioner=adagrad:eps=0.1 momentum=nesterov:0.8 groups=3",
    ),
    ("heun-f16", "method=heun source=mlp h=0.1 stored=f16 writes=narrow"),
    ("ssp", "method=ssprk43 source=quartic h=one-cycle:peak=0.1,steps=40 clip=2"),
    ("kutta3-l2", "method=kutta3 source=quartic h=0.05 l2=0.1 momentum=heavy-ball:0.9"),
    ("wray3-planted", "method=wray3 source=planted h=0.05"),
    ("rk4", "method=rk4 source=mlp h=0.5"),
    (
        "rk4-everything",
        "method=rk4 source=mlp-tanh h=0.05 preconditioner=adagrad_rescaled momentum=heavy-ball:0.5 decay=0.01 l2=0.01 clip=1 average=0.95 groups=2 stored=f32:gradients=f16,momentum=bf16,second=bf16",
    ),
    ("rk4-stage", "method=rk4 source=long h=0.05 fusion=stage"),
    ("rk4-axpy", "method=rk4 source=long h=0.05 fusion=none"),
    ("rk4-unguarded", "method=rk38 source=quartic h=0.05 guard=off"),
    ("rk4-per-stage", "method=rk4 source=mlp h=0.2 wrapper=per-stage"),
    ("rk4-accumulated", "method=rk4 source=mlp h=0.2 wrapper=accumulated"),
    ("heun-both", "method=heun source=mlp h=0.1 wrapper=both stored=bf16"),
    ("own-tableau", "method=tests/data/own.json source=chain h=0.1"),
    ("bs3-retry", "method=bs3 source=rosenbrock adaptive=rtol=1e-3,atol=1e-6,controller=pid"),
    (
        "dp5-pi",
        "method=dp5 source=chain adaptive=rtol=1e-4,atol=1e-6,controller=pi preconditioner=adam momentum=ema:0.9",
    ),
    (
        "dp5-skip",
        "method=dp5 source=mlp h=8 adaptive=rtol=1e-2,atol=1e-3,rejection=skip,limiter=arctan decay=0.01",
    ),
    (
        "tsit5-theta-free",
        "method=tsit5 source=long adaptive=rtol=1e-4,atol=1e-5 free=true stored=f16",
    ),
    ("verner6-eight", "method=verner6 source=quartic h=0.1 bindings=8"),
    ("dop853", "method=dop853 source=rosenbrock adaptive=rtol=1e-5,atol=1e-7"),
    ("williamson3-adds", "method=williamson3 source=quartic h=0.1 writes=adds guard=off"),
    ("carpenter-kennedy", "method=carpenter-kennedy source=long h=0.1"),
    ("rdpk3sp35", "method=rdpk3sp35 source=chain adaptive=rtol=1e-4,atol=1e-6"),
    ("rkc1", "method=rkc1 source=ill h=0.5"),
    ("rkcd-own-rho", "method=rkcd:stages=5 source=ill h=0.05 radius=100"),
    ("rkc2-adaptive", "method=rkc2 source=ill adaptive=rtol=1e-3,atol=1e-5"),
    ("rkl2", "method=rkl2:stages=7 source=mlp h=0.2"),
    (
        "rock2-stable",
        "method=rock2:stages=5 source=ill h=stable:fraction=0.8,h-max=1 preconditioner=rmsprop:rho=0.9,eps=1",
    ),
    ("dal", "method=heun source=mlp h=dal:p=1,from=stages"),
    ("rescaled-dal", "method=rk4 source=mlp h=rescaled-dal:c=0.5,p=1,from=probe"),
    ("polyak", "method=euler source=quartic h=polyak:h-max=0.5 clip=1"),
    ("sgd-g2", "method=euler source=mlp h=sgd-g2:h=0.01,beta=0.9"),
    (
        "field-grid",
        "method=heun source=grid h=0.02 preconditioner=adam:beta2=0.99,eps=1e-6 momentum=ema:0.9",
    ),
    ("field-waves", "method=rk4 source=waves h=0.05 stored=f32:gradients=bf16 writes=narrow"),
    ("field-sines", "method=bs3 source=sines adaptive=rtol=1e-3,atol=1e-5"),
];

/// A trajectory from its beginning.
struct Run {
    builder: Builder,
    layout: ParamLayout,
    start: Vec<f32>,
    source: Source,
    /// As many stages as a step needs, by what earlier submits found.
    chooses_stages: bool,
}

/// Wrappers take any source that is known by reference; the tests' few never go.
type Source = &'static mut dyn GradientSource;

impl Run {
    fn new(text: &str) -> Self {
        let parts: BTreeMap<&str, &str> =
            text.split_whitespace().map(|part| part.split_once('=').unwrap()).collect();
        let method = Method::load(parts["method"]).unwrap();
        let fixed = parts["method"].contains("stages=");
        let chooses_stages = matches!(method, Method::Stabilised(_)) && !fixed;
        let (layout, start, source) = source(parts["source"]);
        let source = wrapped(source, &layout, parts.get("wrapper").copied());
        let builder = parts.iter().fold(Optimizer::builder(method), option);
        Self { builder, layout, start, source, chooses_stages }
    }

    /// SHA-256 of θ, and of its average if there is one.
    fn hash(self) -> String {
        self.hash_and_reports().0
    }

    fn hash_and_reports(mut self) -> (String, Vec<Report>) {
        let mut optimizer = self.builder.build(gpu(), &self.layout, &self.start).unwrap();
        optimizer.run(&mut self.source, ATTEMPTS).unwrap();
        optimizer.wait().unwrap();
        assert!(optimizer.accepted() >= 10, "{} accepted", optimizer.accepted());
        let theta = optimizer.params().read().unwrap();
        assert!(theta.iter().all(|x| x.is_finite()));
        assert_ne!(theta, self.start);
        let mut hash = Sha256::new();
        hash.update(bytemuck::cast_slice(&theta));
        if let Some(average) = optimizer.average() {
            hash.update(bytemuck::cast_slice(&average.read().unwrap()));
        }
        let hash = hash.finalize().iter().fold(String::new(), |all, b| all + &format!("{b:02x}"));
        (hash, optimizer.reports())
    }
}

fn option(builder: Builder, (key, value): (&&str, &&str)) -> Builder {
    let number = || value.parse::<f64>().unwrap();
    match (*key, *value) {
        ("method" | "source" | "wrapper", _) => builder,
        ("h", _) => builder.step_size(value.parse().unwrap()),
        ("adaptive", _) => builder.adaptive(value.parse().unwrap()),
        ("preconditioner", _) => builder.preconditioner(value.parse().unwrap()),
        ("momentum", _) => builder.momentum(value.parse().unwrap()),
        ("decay", _) => builder.weight_decay(number()),
        ("l2", _) => builder.l2(number()),
        ("clip", _) => builder.clip(number()),
        ("average", _) => builder.average(number()),
        ("stored", _) => builder.storage(value.parse().unwrap()),
        ("writes", "narrow") => builder.source(&writing(true)),
        ("writes", "adds") => builder.source(&adding(true)),
        ("radius", _) => builder.spectral_radius(SpectralRadius::Given(number())),
        ("bindings", _) => builder.bindings(value.parse().unwrap()),
        ("free", "true") => builder.theta_free(true),
        ("guard", "off") => builder.guard(Guard::Off),
        ("fusion", "stage") => builder.fusion(Fusion::Stage),
        ("fusion", "none") => builder.fusion(Fusion::None),
        ("groups", _) => {
            let rates = [Group::default(), Group::default().rate(0.5).decay(2.0), Group::frozen()];
            builder.groups(&rates[..value.parse().unwrap()])
        }
        other => panic!("no option is {other:?}"),
    }
}

fn wrapped(source: Source, layout: &ParamLayout, wrapper: Option<&str>) -> Source {
    match wrapper {
        None => source,
        Some("per-stage") => leaked(PerStage::new(gpu(), source).unwrap()),
        Some("accumulated") => leaked(Accumulated::new(gpu(), source, layout, 3).unwrap()),
        Some("both") => {
            let inner = Accumulated::new(gpu(), source, layout, 2).unwrap();
            leaked(PerStage::new(gpu(), inner).unwrap())
        }
        Some(other) => panic!("no wrapper is {other}"),
    }
}

fn leaked(source: impl GradientSource + 'static) -> Source {
    Box::leak(Box::new(source))
}

/// The layout, where θ begins, and the source.
fn source(name: &str) -> (ParamLayout, Vec<f32>, Source) {
    let flat = |n: usize, source: Source| (ParamLayout::flat(n).unwrap(), noise(n, 3), source);
    let analytic = |n: usize, problem: Problem| -> Source {
        leaked(Analytic::new(gpu(), &problem, n).unwrap())
    };
    match name {
        "rosenbrock" => flat(66, analytic(66, Problem::Rosenbrock)),
        "quartic" => flat(257, analytic(257, Problem::Quartic)),
        // Several workgroups, and with small bindings several chunks.
        "long" => flat(20_001, analytic(20_001, Problem::Quartic)),
        "ill" => {
            let of = |i: usize| 100f64.powf(i as f64 / 129.0);
            let problem = Problem::quadratic(&(0..130).map(of).collect::<Vec<_>>()).unwrap();
            flat(130, analytic(130, problem))
        }
        "planted" => {
            let inner = Analytic::new(gpu(), &Problem::Quartic, 257).unwrap();
            let (attempt, stage, element, value) = (7, 1, 100, f32::NAN);
            let planted = Planted { inner, attempt, stage, element, value, in_loss: false };
            flat(257, leaked(planted))
        }
        // What only a guard sees, in the last span of several.
        "planted-last" => {
            let inner = Analytic::new(gpu(), &Problem::Quartic, 9_001).unwrap();
            let (attempt, stage, element, value) = (7, 4, 9_000, f32::INFINITY);
            let planted = Planted { inner, attempt, stage, element, value, in_loss: false };
            flat(9_001, leaked(planted))
        }
        "groups" => {
            let tensor = |layout: kutta::layout::ParamLayoutBuilder, group: u32| {
                layout.tensor_in_group(group, format!("t{group}"), &[70], Init::Zeros)
            };
            let layout = (0..3).fold(ParamLayout::builder(), tensor).build().unwrap();
            let problem = Analytic::new(gpu(), &Problem::Quartic, layout.len()).unwrap();
            let problem = problem.with_layout(&layout).unwrap();
            let mut start = noise(layout.len(), 4);
            for (i, x) in start.iter_mut().enumerate() {
                *x = layout.locate(i).map_or(0.0, |_| *x);
            }
            (layout, start, leaked(problem))
        }
        "chain" => flat(128, leaked(Chain::new(gpu()))),
        "mlp" => perceptron(Activation::Relu, Loss::CrossEntropy),
        "mlp-tanh" => perceptron(Activation::Tanh, Loss::MeanSquare),
        "mlp-gelu" => perceptron(Activation::Gelu, Loss::CrossEntropy),
        "grid" => {
            let levels =
                HashGrid { levels: 3, features: 2, log2_table: 5, coarsest: 3, growth: 1.7 };
            field(Encoding::HashGrid(levels), Activation::Relu, Points::Texels(16))
        }
        "waves" => {
            let waves = Encoding::Gaussian { waves: 8, sigma: 1.5, seed: 2 };
            field(waves, Activation::Relu, Points::Anywhere(16))
        }
        "sines" => field(Encoding::Coordinates, Activation::Sine { omega: 2.5 }, Points::All),
        other => panic!("no source is {other}"),
    }
}

/// 22 samples in batches of 8: the last of an epoch is short.
fn perceptron(activation: Activation, loss: Loss) -> (ParamLayout, Vec<f32>, Source) {
    let labels = noise(22, 2).iter().map(|x| ((x + 1.0) * 1.5) as u8).collect();
    let targets = Targets::Labels { labels, classes: 3 };
    let samples = Samples::new(Inputs::F32(noise(22 * 5, 1)), 5, targets).unwrap();
    let builder = Mlp::builder(&[5, 13, 7, 3]).activation(activation).loss(loss);
    let mlp = builder.build(gpu(), Batches::new(samples, 8).unwrap().seed(9)).unwrap();
    (mlp.layout().clone(), mlp.initial(5), leaked(mlp))
}

fn field(
    encoding: Encoding,
    activation: Activation,
    points: Points,
) -> (ParamLayout, Vec<f32>, Source) {
    let values = noise(7 * 6 * 3, 6).iter().map(|x| 0.5 + 0.5 * x).collect();
    let target = Target::image([7, 6], 3, values).unwrap();
    let builder = NeuralField::builder(encoding).hidden(&[9, 8]).activation(activation);
    let field = builder.points(points).seed(4).build(gpu(), &target).unwrap();
    (field.layout().clone(), field.initial(5), leaked(field))
}

/// What of an adapter its bits may depend on.
fn adapter() -> String {
    let info = gpu().info();
    let driver = [info.driver.as_str(), info.driver_info.as_str()].join(" ");
    format!("{}, {}, {}", info.name, info.backend, driver.trim())
}

/// The file's comment, and hash by recipe for every adapter.
fn read() -> (String, BTreeMap<String, BTreeMap<String, String>>) {
    let text = std::fs::read_to_string(FILE).unwrap();
    let (mut head, mut blocks) = (String::new(), BTreeMap::<_, BTreeMap<_, _>>::new());
    let mut block = None;
    for line in text.lines().filter(|line| !line.is_empty()) {
        if line.starts_with('#') {
            head.push_str(line);
            head.push('\n');
        } else if let Some(adapter) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            block = Some(blocks.entry(adapter.to_owned()).or_default());
        } else {
            let (recipe, hash) = line.split_once(' ').unwrap();
            let block = block.as_mut().expect("hashes stand below their adapter");
            assert!(block.insert(recipe.to_owned(), hash.to_owned()).is_none(), "{recipe} twice");
        }
    }
    (head, blocks)
}

fn hashes() -> BTreeMap<String, String> {
    let hash = |(name, text): &(&str, &str)| {
        println!("{name}");
        ((*name).to_owned(), Run::new(text).hash())
    };
    RECIPES.iter().map(hash).collect()
}

/// What differs, a line each.
fn differences(wanted: &BTreeMap<String, String>, found: &BTreeMap<String, String>) -> String {
    let mut lines = String::new();
    for (recipe, hash) in wanted {
        match found.get(recipe) {
            Some(found) if found == hash => {}
            Some(found) => writeln!(lines, "{recipe}: {hash} became {found}").unwrap(),
            None => writeln!(lines, "{recipe} is gone").unwrap(),
        }
    }
    let new = found.keys().filter(|recipe| !wanted.contains_key(*recipe));
    new.for_each(|recipe| writeln!(lines, "{recipe} is not in the file").unwrap());
    lines
}

/// Of three kinds of advance, with a guard and without, with norms and without.
#[test]
fn an_end_in_one_dispatch_is_the_same_to_the_bit() {
    let mut ended = Vec::new();
    let planted = ("rk4-planted-last", "method=rk4 source=planted-last h=0.05");
    for (name, text) in RECIPES.iter().chain([&planted]) {
        let fused = |run: Run| Run { builder: run.builder.ending(Ending::Fused), ..run };
        let run = fused(Run::new(text));
        if let Err(error) = run.builder.clone().build(gpu(), &run.layout, &run.start) {
            assert!(error.to_string().contains("end in no one dispatch"), "{name}: {error}");
            continue;
        }
        let separate = Run::new(text);
        let separate = Run { builder: separate.builder.ending(Ending::Separate), ..separate };
        let (run, separate) = (run.hash_and_reports(), separate.hash_and_reports());
        assert_eq!(run.1.len(), ATTEMPTS as usize, "{name}");
        // A NaN is not itself.
        assert_eq!(format!("{run:?}"), format!("{separate:?}"), "{name}");
        let skipped =
            separate.1.iter().any(|report| report.verdict == Verdict::Skipped { stage: 4 });
        assert_eq!(skipped, *name == planted.0, "{name}");
        ended.push(*name);
    }
    assert!(ended.len() > 24, "{ended:?}");
}

#[test]
fn trajectories_keep_their_bits() {
    let (head, mut blocks) = read();
    let found = hashes();
    assert_eq!(found.len(), RECIPES.len(), "two recipes have one name");
    if std::env::var("KUTTA_BITS").is_ok_and(|value| value == "write") {
        blocks.insert(adapter(), found);
        let mut text = head;
        for (adapter, hashes) in &blocks {
            writeln!(text, "\n[{adapter}]").unwrap();
            hashes.iter().for_each(|(recipe, hash)| writeln!(text, "{recipe} {hash}").unwrap());
        }
        std::fs::write(FILE, text).unwrap();
        return;
    }
    if let Some(wanted) = blocks.get(&adapter()) {
        let lines = differences(wanted, &found);
        assert!(lines.is_empty(), "on {} θ has other bits:\n{lines}", adapter());
        return;
    }
    println!("{} is not in tests/data/bits.txt: everything runs twice", adapter());
    for (name, text) in RECIPES {
        let mut run = Run::new(text);
        run.builder = run.builder.elements_per_binding(4096);
        if !run.chooses_stages {
            run.builder = run.builder.attempts_per_submit(3);
        }
        assert_eq!(run.hash(), found[*name], "{name}: another run, other bits");
    }
}

/// No two recipes come to the same: each option does something.
#[test]
fn each_recipe_has_bits_of_its_own() {
    let (_, blocks) = read();
    for (adapter, hashes) in blocks {
        let mut all: Vec<&String> = hashes.values().collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), hashes.len(), "{adapter}");
    }
}
