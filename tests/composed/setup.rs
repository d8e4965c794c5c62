//! A case made real, twice: a source and an optimizer on the device, a model and a
//! specification for the oracle, from the same numbers.

use kutta::data::{Inputs, Samples, Targets};
use kutta::models::{
    Activation, Analytic, Encoding, HashGrid, Loss, Mlp, NeuralField, Points, Target,
};
use kutta::optimizer::Builder;
use kutta::reference::Problem;
use kutta::{
    Adaptive, Controller, Fusion, Gpu, GradientSource, Group, Guard, Init, Method, Optimizer, Pace,
    ParamLayout, Rejection, SpectralRadius, StepSize, Tableau,
};

use crate::common::{Able, noise};
use crate::oracle::batches::Cut;
use crate::oracle::models::{
    self, Features, Field, Formula, Function, Layers, Model, Perceptron, Rows, Wanted,
};
use crate::oracle::{Averaging, Choice, Diagonal, From, Schedule, Spec, Tolerance, Wrap};
use crate::own::Own;
use crate::recipe::{Case, Factor as F};

/// Texels of the image that fields are fitted to.
const EXTENT: [usize; 2] = [7, 6];
const GRID: HashGrid = HashGrid { levels: 3, features: 2, log2_table: 5, coarsest: 3, growth: 1.7 };
const OMEGA: f32 = 2.5;

/// Whatever gives gradients, and its twin.
pub struct Source {
    pub device: Box<dyn GradientSource>,
    pub model: Box<dyn Model>,
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

fn rows(x: &[f32], width: usize) -> Vec<Vec<f64>> {
    x.chunks(width).map(wide).collect()
}

impl Case {
    fn widths(&self, inputs: usize, outputs: usize) -> Vec<usize> {
        let hidden: &[usize] = match self.get(F::Widths) {
            "one-hidden" => &[9],
            "none" => &[],
            _ => &[13, 5],
        };
        [&[inputs], hidden, &[outputs]].concat()
    }

    fn function(&self) -> (Activation, Function) {
        match self.get(F::Activation) {
            "relu" => (Activation::Relu, Function::Relu),
            "tanh" => (Activation::Tanh, Function::Tanh),
            "gelu" => (Activation::Gelu, Function::Gelu),
            _ => (Activation::Sine { omega: OMEGA }, Function::Sine(f64::from(OMEGA))),
        }
    }

    /// The source with data number `which`; all have the same layout.
    pub fn source(&self, gpu: &Gpu, layout: &ParamLayout, which: u64) -> Source {
        let seed = self.seed ^ which << 20;
        match () {
            () if self.is_mlp() => self.perceptron(gpu, seed),
            () if self.is_field() => self.field(gpu, seed),
            () if self.is_own() => {
                let own = Own::new(gpu, layout, self, which).unwrap();
                let one = self.is(F::Batches, &["whole"]);
                let model = models::Own { weights: wide(own.weights()), one };
                Source { device: Box::new(own), model: Box::new(model) }
            }
            () => self.formula(gpu, which),
        }
    }

    fn formula(&self, gpu: &Gpu, which: u64) -> Source {
        let n = self.dimension();
        let (problem, formula) = match self.get(F::Source) {
            "quartic" => (Problem::Quartic, Formula::Quartic),
            "rosenbrock" => (Problem::Rosenbrock, Formula::Rosenbrock),
            _ => {
                let of = |i: usize| [0.5, 1.0, 4.0, 2.0][(i + which as usize) % 4];
                let values: Vec<f64> = (0..n).map(of).collect();
                (Problem::quadratic(&values).unwrap(), Formula::Quadratic(values))
            }
        };
        let device = Analytic::new(gpu, &problem, n).unwrap();
        Source { device: Box::new(device), model: Box::new(formula) }
    }

    /// Of formulas.
    fn dimension(&self) -> usize {
        [70, 6, 128, 257][(self.seed % 4) as usize] / 2 * 2
    }

    fn perceptron(&self, gpu: &Gpu, seed: u64) -> Source {
        // The last batch of an epoch is short, but for `exact`.
        let (count, size) = match self.get(F::Batches) {
            "partial" => (22, 8),
            "exact" => (24, 8),
            "in-order" => (19, 7),
            _ => (18, 18),
        };
        let shuffled = !self.is(F::Batches, &["in-order"]);
        let (width, outputs) = (5, 3);
        let bytes = seed.is_multiple_of(3);
        let drawn = noise(count * width, seed ^ 1);
        let (given, inputs) = if bytes {
            let bytes: Vec<u8> = drawn.iter().map(|x| ((x + 1.0) * 127.0) as u8).collect();
            let of = |row: &[u8]| row.iter().map(|&b| f64::from(b) / 255.0).collect();
            let inputs = bytes.chunks(width).map(of).collect();
            (Inputs::Bytes(bytes), inputs)
        } else {
            let inputs = rows(&drawn, width);
            (Inputs::F32(drawn), inputs)
        };
        let labels: Vec<u8> =
            noise(count, seed ^ 2).iter().map(|x| ((x + 1.0) * 1.5) as u8).collect();
        let dense = noise(count * outputs, seed ^ 3);
        let (targets, loss, wanted) = match self.get(F::Loss) {
            "cross-entropy" => {
                let classes = labels.iter().map(|&l| usize::from(l)).collect();
                let targets = Targets::Labels { labels, classes: outputs };
                (targets, Loss::CrossEntropy, Wanted::Classes(classes))
            }
            "square-labels" => {
                let hot = |&l: &u8| {
                    (0..outputs).map(|j| f64::from(u8::from(j == usize::from(l)))).collect()
                };
                let values = labels.iter().map(hot).collect();
                let targets = Targets::Labels { labels, classes: outputs };
                (targets, Loss::MeanSquare, Wanted::Values(values))
            }
            _ => {
                let values = rows(&dense, outputs);
                (
                    Targets::Dense { values: dense, width: outputs },
                    Loss::MeanSquare,
                    Wanted::Values(values),
                )
            }
        };
        let samples = Samples::new(given, width, targets).unwrap();
        let batches =
            kutta::data::Batches::new(samples, size).unwrap().seed(seed).shuffled(shuffled);
        let (activation, function) = self.function();
        let widths = self.widths(width, outputs);
        let mlp =
            Mlp::builder(&widths).activation(activation).loss(loss).build(gpu, batches).unwrap();
        let starts = starts(mlp.layout(), 0);
        let model = Perceptron {
            layers: Layers { widths, starts, function },
            inputs,
            wanted,
            cut: Cut { count, size, shuffled, seed },
        };
        Source { device: Box::new(mlp), model: Box::new(model) }
    }

    fn encoding(&self) -> Encoding {
        match self.get(F::Source) {
            "gaussian" => Encoding::Gaussian { waves: 3, sigma: 0.8, seed: 11 },
            "octaves" => Encoding::Octaves { octaves: 2 },
            "coordinates" => Encoding::Coordinates,
            _ => Encoding::HashGrid(GRID),
        }
    }

    fn field(&self, gpu: &Gpu, seed: u64) -> Source {
        let channels = 3;
        let [w, h] = EXTENT;
        let texels = noise(w * h * channels, seed ^ 4);
        let cut = |size, shuffled| Cut { count: w * h, size, shuffled, seed };
        let (points, lie) = match self.get(F::Batches) {
            // 42 texels: five batches, the last of two.
            "partial" => (Points::Texels(10), Rows::Texels(cut(10, true))),
            "exact" => (Points::Texels(14), Rows::Texels(cut(14, true))),
            "in-order" => (Points::Anywhere(11), Rows::Anywhere { rows: 11, seed }),
            _ => (Points::All, Rows::Texels(cut(w * h, false))),
        };
        let (activation, function) = self.function();
        let encoding = self.encoding();
        let target = Target::image(EXTENT, channels, texels.clone()).unwrap();
        let widths = self.widths(encoding.features(2), channels);
        let field = NeuralField::builder(encoding)
            .hidden(&widths[1..widths.len() - 1])
            .activation(activation)
            .points(points)
            .seed(seed)
            .build(gpu, &target)
            .unwrap();
        let layout = field.layout();
        let tables = layout.tensors().iter().filter(|t| t.name().starts_with("grid")).count();
        let features = match encoding {
            Encoding::Coordinates => Features::Coordinates,
            Encoding::Gaussian { waves, sigma, seed } => {
                Features::Waves(models::gaussian(waves as usize, f64::from(sigma), seed))
            }
            Encoding::Octaves { octaves } => Features::Waves(models::octaves(octaves as i32)),
            Encoding::HashGrid(grid) => {
                let level = |l: usize| {
                    let growth = f64::from(grid.growth).powi(l as i32);
                    let cells = (f64::from(grid.coarsest) * growth) as usize;
                    let entries = ((cells + 1) * (cells + 1)).min(1 << grid.log2_table);
                    [cells, entries, layout.tensors()[l].range().start]
                };
                let levels = (0..tables).map(level).collect();
                Features::Grid { levels, features: grid.features as usize }
            }
        };
        let model = Field {
            layers: Layers { widths, starts: starts(layout, tables), function },
            features,
            rows: lie,
            extent: EXTENT,
            texels: rows(&texels, channels),
        };
        Source { device: Box::new(field), model: Box::new(model) }
    }

    /// Where parameters lie, in three groups where there are groups.
    pub fn layout(&self) -> ParamLayout {
        let dense = |mut layout: kutta::layout::ParamLayoutBuilder, widths: &[usize]| {
            for (l, pair) in widths.windows(2).enumerate() {
                layout = layout.tensor(format!("layer{l}.weight"), pair, Init::Zeros).tensor(
                    format!("layer{l}.bias"),
                    &pair[1..],
                    Init::Zeros,
                );
            }
            layout
        };
        let layout = match () {
            () if self.is_mlp() => dense(ParamLayout::builder(), &self.widths(5, 3)),
            () if self.is_field() => {
                let mut layout = ParamLayout::builder();
                if let Encoding::HashGrid(grid) = self.encoding() {
                    for (l, cells) in grid.resolutions().unwrap().into_iter().enumerate() {
                        let entries = ((cells + 1) * (cells + 1)).min(1 << grid.log2_table);
                        let shape = [entries as usize, grid.features as usize];
                        layout = layout.tensor(format!("grid.level{l}"), &shape, Init::Zeros);
                    }
                }
                dense(layout, &self.widths(self.encoding().features(2), 3))
            }
            () if self.is_own() => ParamLayout::builder()
                .tensor("a", &[37], Init::Zeros)
                .tensor("b", &[7, 10], Init::Zeros)
                .tensor("c", &[5], Init::Zeros),
            () => ParamLayout::builder().tensor("theta", &[self.dimension()], Init::Zeros),
        };
        let layout = layout.build().unwrap();
        if self.is(F::Groups, &["none"]) {
            return layout;
        }
        let names: Vec<String> = layout.tensors().iter().map(|t| t.name().to_owned()).collect();
        let of = |g: usize| names.iter().skip(g).step_by(3).map(String::as_str).collect::<Vec<_>>();
        let groups = [of(0), of(1), of(2)];
        layout.regrouped(&[&groups[0], &groups[1], &groups[2]]).unwrap()
    }

    pub fn start(&self, layout: &ParamLayout, which: u64) -> Vec<f32> {
        let mut flat = noise(layout.len(), self.seed ^ 77 ^ which << 9);
        let scale = if self.is_mlp() || self.is_field() { 0.6 } else { 1.0 };
        for (i, x) in flat.iter_mut().enumerate() {
            *x *= if layout.locate(i).is_some() { scale } else { 0.0 };
        }
        flat
    }

    pub fn method(&self) -> Method {
        match self.get(F::Method) {
            "own" => {
                let rows = [vec![], vec![0.75], vec![-0.25, 0.5]];
                let own = Tableau::new("own", &rows, &[0.25, 0.25, 0.5], None).unwrap();
                own.with_embedded(&[0.5, 0.5, 0.0]).unwrap().into()
            }
            name => name.parse().unwrap(),
        }
    }

    pub fn wrap(&self) -> Wrap {
        match self.get(F::Wrapper) {
            "none" => Wrap::None,
            "per-stage" => Wrap::PerStage,
            "accumulated-2" => Wrap::Accumulated(2),
            "accumulated-3" => Wrap::Accumulated(3),
            _ => Wrap::Both(2),
        }
    }

    /// A step that is long for this source, and stable.
    fn long(&self) -> f64 {
        let h: f64 = match self.get(F::Source) {
            "mlp" => 0.3,
            "quartic" => 0.2,
            "quadratic" => 0.12,
            "rosenbrock" => 3e-4,
            "own" | "own-cached" | "own-host" => 0.06,
            _ => 0.2,
        };
        // Weights of hundreds, between stages of different batches.
        let wild = self.is(F::Method, &["dop853"]) && self.get(F::Wrapper).contains("per-stage");
        let h = if wild { 0.02 * h } else { h };
        let bold = self.is(F::Activation, &["sine"]) && (self.is_mlp() || self.is_field());
        let h = if bold { 0.3 * h } else { h };
        // D is at most ten, and near one for the paper's.
        match self.get(F::Diagonal) {
            "none" | "adagrad_rescaled" => h,
            _ => h.min(0.04) * if self.is(F::Source, &["rosenbrock"]) { 0.5 } else { 1.0 },
        }
    }

    /// How h is chosen, for the device and for the oracle; `other` is another of the same kind.
    pub fn choice(&self, other: bool) -> (Option<StepSize>, Choice) {
        let h = f64::from((self.long() * if other { 0.7 } else { 1.0 }) as f32);
        let text = |text: String, choice| (Some(text.parse().unwrap()), choice);
        let schedule = |text: String, s| (Some(text.parse().unwrap()), Choice::Schedule(s));
        match self.get(F::Rule) {
            "constant" => schedule(format!("{h:?}"), Schedule::Constant(h)),
            "cosine" => {
                let to = 0.2 * h;
                schedule(
                    format!("cosine:from={h:?},to={to:?},steps=9,warm-up=3"),
                    Schedule::WarmCosine { from: h, to, steps: 9.0, warm: 3.0 },
                )
            }
            "exponential" => schedule(
                format!("exponential:h={h:?},rate=0.7,every=4"),
                Schedule::Exponential { h, rate: 0.7, every: 4.0 },
            ),
            "linear" => {
                let to = 0.4 * h;
                schedule(
                    format!("linear:from={h:?},to={to:?},steps=7"),
                    Schedule::Linear { from: h, to, steps: 7.0 },
                )
            }
            "stairs" => schedule(
                format!("stairs:h={h:?},rate=0.8,every=3"),
                Schedule::Stairs { h, rate: 0.8, every: 3.0 },
            ),
            "piecewise" => {
                let then = 0.6 * h;
                let step_size = StepSize::piecewise(h, &[(4, then)]);
                (Some(step_size), Choice::Schedule(Schedule::Pieces { h, at: 4.0, then }))
            }
            "dal" => text(
                format!("dal:p=1,h-max={h:?},from=probe"),
                Choice::Dal { p: 1.0, most: h, from: From::Probe },
            ),
            "dal-stages" => text(
                format!("dal:p=0.5,h-max={h:?},from=stages"),
                Choice::Dal { p: 0.5, most: h, from: From::Stages },
            ),
            "rescaled-dal" => text(
                format!("rescaled-dal:c={h:?},p=1,from=probe"),
                Choice::Rescaled { c: h, p: 1.0, from: From::Probe },
            ),
            "rescaled-dal-stages" => {
                // Between stages of different batches r is no curvature but about 1/h: with
                // p = 2 each h would be the square of the last.
                let p = if self.get(F::Wrapper).contains("per-stage") { 0.5 } else { 2.0 };
                text(
                    format!("rescaled-dal:c={h:?},p={p},from=stages"),
                    Choice::Rescaled { c: h, p, from: From::Stages },
                )
            }
            "rescaled-dal-product" => text(
                format!("rescaled-dal:c={h:?},p=1,from=product"),
                Choice::Rescaled { c: h, p: 1.0, from: From::Product },
            ),
            "polyak" => text(format!("polyak:h-max={h:?}"), Choice::Polyak { most: h }),
            "sgd-g2" => {
                let h = 0.3 * h;
                text(format!("sgd-g2:h={h:?},beta=0.9"), Choice::SgdG2 { h, beta: 0.9 })
            }
            "stable" => text(
                format!("stable:fraction={},h-max={h:?}", if other { 0.3 } else { 0.5 }),
                Choice::Stable { fraction: if other { 0.3 } else { 0.5 }, most: h },
            ),
            rule => self.adaptive(rule, h),
        }
    }

    fn adaptive(&self, rule: &str, h: f64) -> (Option<StepSize>, Choice) {
        let (tolerance, _) = self.tolerance();
        let own = rule == "adaptive-own";
        let low = match self.method() {
            Method::LowStorage(low) if own => low.controller(),
            _ => None,
        };
        let betas = match rule {
            "adaptive-pi" => [0.7, 0.4, 0.0],
            // p + i + d, p + 2d, d
            "adaptive-pid" => [0.49, 0.34, 0.1],
            // β₁, β₂, β₃ as they are published, β₂ negative: factors e^−β₁ e₁^−β₂ e₂^−β₃.
            _ => low.map_or([1.0, 0.0, 0.0], |[a, b, c]| [a, -b, c]),
        };
        // Hairer's first step is for the method's own controller here.
        let first = (!own).then(|| f64::from((2.0 * h) as f32));
        let choice = Tolerance {
            rtol: tolerance,
            atol: tolerance,
            betas,
            smooth: low.is_some(),
            first,
            most: 4.0 * self.long(),
            skips: rule == "adaptive-skip",
        };
        (first.map(|h| StepSize::constant(h as f32)), Choice::Adaptive(choice))
    }

    /// rtol = atol, and the controller where it is not the method's.
    fn tolerance(&self) -> (f64, Option<Controller>) {
        let narrow = !self.is(F::Stored, &["f32"]);
        let tolerance = if narrow { 2e-2 } else { 1e-3 };
        let controller = match self.get(F::Rule) {
            "adaptive-i" | "adaptive-skip" => Some(Controller::I),
            "adaptive-pi" => Some(Controller::Pi),
            "adaptive-pid" => Some(Controller::pid()),
            _ => None,
        };
        (tolerance, controller)
    }

    const RATES: [[f64; 2]; 3] = [[1.0, 1.0], [0.5, 0.0], [1.5, 2.0]];

    /// Never near what kutta might take as default.
    pub fn builder(&self) -> Builder {
        let mut builder = Optimizer::builder(self.method())
            .preconditioner(self.get(F::Diagonal).parse().unwrap())
            .momentum(self.get(F::Momentum).parse().unwrap())
            .storage(self.get(F::Stored).parse().unwrap())
            .source(&Able {
                adds: self.is(F::Writes, &["adds"]),
                narrow: self.is(F::Writes, &["narrow"]),
                ..Able::default()
            });
        if self.is(F::Decay, &["weight", "both"]) {
            builder = builder.weight_decay(0.05);
        }
        if self.is(F::Decay, &["l2", "both"]) {
            builder = builder.l2(0.03);
        }
        if let Some(clip) = self.clip() {
            builder = builder.clip(clip);
        }
        if self.is(F::Groups, &["three"]) {
            let group = |[rate, decay]: [f64; 2]| Group::default().rate(rate).decay(decay);
            builder = builder.groups(&Self::RATES.map(group));
        }
        if self.is(F::Average, &["kept"]) {
            builder = builder.average(0.7);
        }
        if let Some(radius) = self.radius() {
            builder = builder.spectral_radius(SpectralRadius::Given(radius));
        }
        if self.is_adaptive() {
            let (tolerance, controller) = self.tolerance();
            let Choice::Adaptive(by) = self.choice(false).1 else { unreachable!() };
            let mut adaptive = Adaptive::new(by.rtol, by.atol).bounds(1e-12, by.most);
            assert_eq!(tolerance, by.rtol);
            if let Some(controller) = controller {
                adaptive = adaptive.controller(controller);
            }
            if controller.is_some() {
                adaptive = adaptive.limiter(kutta::ingredients::Limiter::Clamp);
            }
            if by.skips {
                adaptive = adaptive.rejection(Rejection::Skip);
            }
            builder = builder.adaptive(adaptive);
        }
        if let Some(step_size) = self.choice(false).0 {
            builder = builder.step_size(step_size);
        }
        builder = match self.get(F::Submit) {
            "wait" => builder.pace(Pace::Wait),
            n => builder.attempts_per_submit(n.parse().unwrap()),
        };
        let (fusion, bindings, free, guard) = match self.get(F::Plan) {
            "full" => (Fusion::Full, 16, false, Guard::On),
            "full-8" => (Fusion::Full, 8, false, Guard::On),
            "full-free" => (Fusion::Full, 16, true, Guard::On),
            "stage" => (Fusion::Stage, 16, false, Guard::On),
            "stage-8" => (Fusion::Stage, 8, false, Guard::On),
            "stage-free" => (Fusion::Stage, 16, true, Guard::On),
            "off" => (Fusion::Full, 16, false, Guard::Off),
            _ => (Fusion::None, 16, false, Guard::On),
        };
        builder.fusion(fusion).bindings(bindings).theta_free(free).guard(guard)
    }

    fn clip(&self) -> Option<f64> {
        let size = if self.is(F::Source, &["rosenbrock"]) { 100.0 } else { 1.0 };
        match self.get(F::Clip) {
            "none" => None,
            "tight" => Some(0.2 * size),
            _ => Some(50.0 * size),
        }
    }

    /// ρ where it is given: such that it binds for some.
    fn radius(&self) -> Option<f64> {
        let bounded = self.is_stabilised() || self.is(F::Rule, &["stable"]);
        (bounded && self.is(F::Radius, &["given"])).then(|| 1.5 / self.long())
    }

    pub fn spec(&self, layout: &ParamLayout) -> Spec {
        let parts: Vec<f64> =
            self.get(F::Diagonal).split(['=', ',']).filter_map(|part| part.parse().ok()).collect();
        let diagonal = match (self.get(F::Diagonal).split(':').next().unwrap(), &parts[..]) {
            ("none", _) => Diagonal::None,
            ("adagrad_rescaled", _) => Diagonal::Rescaled,
            ("adagrad", [eps]) => Diagonal::Adagrad { eps: *eps },
            ("rmsprop", [rho, eps]) => Diagonal::RmsProp { rho: *rho, eps: *eps },
            ("adam", [beta, eps]) => Diagonal::Adam { beta: *beta, eps: *eps },
            ("amsgrad", [beta, eps]) => Diagonal::AmsGrad { beta: *beta, eps: *eps },
            other => unreachable!("{other:?}"),
        };
        let averaging = match self.get(F::Momentum).split_once(':') {
            Some(("heavy-ball", beta)) => Averaging::HeavyBall(beta.parse().unwrap()),
            Some(("nesterov", beta)) => Averaging::Nesterov(beta.parse().unwrap()),
            Some(("ema", beta)) => Averaging::Ema(beta.parse().unwrap()),
            _ => Averaging::None,
        };
        let [half, brain] = [2f64.powi(-11), 2f64.powi(-8)];
        let roundoff = match self.get(F::Stored) {
            "f32" => [0.0; 3],
            "f32:gradients=f16" => [half, 0.0, 0.0],
            "f32:gradients=bf16" => [brain, 0.0, 0.0],
            "f16" => [half; 3],
            "bf16" => [brain; 3],
            "f32:momentum=f16,second=bf16" => [0.0, half, brain],
            _ => [brain, 2.0 * brain, 2.0 * brain],
        };
        let element = |i: usize| {
            let tensor = layout.locate(i);
            let group = tensor.map_or(0, |t| t.group() as usize);
            let grouped = self.is(F::Groups, &["three"]);
            (if grouped { Self::RATES[group] } else { [1.0; 2] }, tensor.is_some())
        };
        Spec {
            method: self.method(),
            choice: self.choice(false).1,
            diagonal,
            averaging,
            decay: if self.is(F::Decay, &["weight", "both"]) { 0.05 } else { 0.0 },
            l2: if self.is(F::Decay, &["l2", "both"]) { 0.03 } else { 0.0 },
            clip: self.clip(),
            average: self.is(F::Average, &["kept"]).then_some(0.7),
            elements: (0..layout.len()).map(element).collect(),
            radius: self.radius(),
            roundoff,
        }
    }
}

/// Where weights and biases begin.
fn starts(layout: &ParamLayout, first: usize) -> Vec<[usize; 2]> {
    let tensors = &layout.tensors()[first..];
    tensors.chunks(2).map(|pair| [pair[0].range().start, pair[1].range().start]).collect()
}
