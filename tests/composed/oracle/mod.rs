//! Training in f64, from the formulas of models, methods and ingredients: what an optimizer
//! should have done. It is told which h an attempt had and what became of it, and says what
//! both should have been.

pub mod batches;
pub mod methods;
pub mod models;

use kutta::Method;
use methods::Scheme;
use models::{Gradient, Model};

/// D's state and formula.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Diagonal {
    None,
    Rescaled,
    Adagrad { eps: f64 },
    RmsProp { rho: f64, eps: f64 },
    Adam { beta: f64, eps: f64 },
    AmsGrad { beta: f64, eps: f64 },
}

impl Diagonal {
    fn update(self, [v, most]: [f64; 2], g: f64) -> [f64; 2] {
        let v = match self {
            Self::None => return [v, most],
            Self::Rescaled | Self::Adagrad { .. } => v + g * g,
            Self::RmsProp { rho: decay, .. }
            | Self::Adam { beta: decay, .. }
            | Self::AmsGrad { beta: decay, .. } => decay * v + (1.0 - decay) * g * g,
        };
        [v, most.max(v)]
    }

    fn at(self, [v, most]: [f64; 2], t: i32) -> f64 {
        match self {
            Self::None => 1.0,
            Self::Rescaled => 1.0 / (1.0 + v).sqrt(),
            Self::Adagrad { eps } | Self::RmsProp { eps, .. } => 1.0 / (v.sqrt() + eps),
            Self::Adam { beta, eps } => 1.0 / ((v / (1.0 - beta.powi(t))).sqrt() + eps),
            Self::AmsGrad { beta, eps } => 1.0 / ((most / (1.0 - beta.powi(t))).sqrt() + eps),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Averaging {
    None,
    HeavyBall(f64),
    Nesterov(f64),
    Ema(f64),
}

/// h of step n.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    Constant(f64),
    /// A ramp of so many steps, and then half a cosine.
    WarmCosine {
        from: f64,
        to: f64,
        steps: f64,
        warm: f64,
    },
    Linear {
        from: f64,
        to: f64,
        steps: f64,
    },
    Exponential {
        h: f64,
        rate: f64,
        every: f64,
    },
    Stairs {
        h: f64,
        rate: f64,
        every: f64,
    },
    /// h, and from a step on another.
    Pieces {
        h: f64,
        at: f64,
        then: f64,
    },
}

impl Schedule {
    fn at(&self, n: u64) -> f64 {
        let n = n as f64;
        match *self {
            Self::Constant(h) => h,
            Self::WarmCosine { from, warm, .. } if n < warm => from * (n + 1.0) / warm,
            Self::WarmCosine { from, to, steps, warm } => {
                let turn = std::f64::consts::PI * ((n - warm) / steps).min(1.0);
                to + 0.5 * (from - to) * (1.0 + turn.cos())
            }
            Self::Linear { from, to, steps } => from + (to - from) * (n / steps).min(1.0),
            Self::Exponential { h, rate, every } => h * rate.powf(n / every),
            Self::Stairs { h, rate, every } => h * rate.powf((n / every).floor()),
            Self::Pieces { h, at, then } => {
                if n < at {
                    h
                } else {
                    then
                }
            }
        }
    }
}

/// Where a curvature comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum From {
    Probe,
    Stages,
    Product,
}

/// Tolerances and a controller.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    pub rtol: f64,
    pub atol: f64,
    /// β₁, β₂, β₃ times k, signed as in METHODS: γ e^−β₁ e₁^β₂ e₂^−β₃.
    pub betas: [f64; 3],
    pub smooth: bool,
    /// None: by the automatic first step.
    pub first: Option<f64>,
    pub most: f64,
    /// A refused batch is left behind.
    pub skips: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    Schedule(Schedule),
    Dal { p: f64, most: f64, from: From },
    Rescaled { c: f64, p: f64, from: From },
    Polyak { most: f64 },
    SgdG2 { h: f64, beta: f64 },
    Stable { fraction: f64, most: f64 },
    Adaptive(Tolerance),
}

/// What is trained how.
#[derive(Clone, Debug)]
pub struct Spec {
    pub method: Method,
    pub choice: Choice,
    pub diagonal: Diagonal,
    pub averaging: Averaging,
    pub decay: f64,
    pub l2: f64,
    pub clip: Option<f64>,
    pub average: Option<f64>,
    /// Multipliers of D and of decay, and whether it is a parameter at all.
    pub elements: Vec<([f64; 2], bool)>,
    /// ρ where it is given.
    pub radius: Option<f64>,
    /// Unit roundoffs of stored gradients, momentum and second moment.
    pub roundoff: [f64; 3],
}

/// How a source's batches are composed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wrap {
    None,
    PerStage,
    Accumulated(u64),
    /// Each stage the mean of so many batches of its own, whichever is over the other.
    Both(u64),
}

/// A model under a wrapper.
#[derive(Clone, Copy)]
pub struct Fed<'m> {
    pub model: &'m dyn Model,
    pub wrap: Wrap,
}

impl Fed<'_> {
    /// The batches that stage `stage` (from 0) of an attempt sees, before which `attempts`
    /// were done with, of `gradients` stages in all.
    fn batches(&self, attempts: u64, gradients: u64, stage: u64) -> Vec<u64> {
        let of = |first: u64, parts: u64| (0..parts).map(|p| first * parts + p).collect();
        match self.wrap {
            Wrap::None => vec![attempts],
            Wrap::PerStage => vec![gradients + stage],
            Wrap::Accumulated(parts) => of(attempts, parts),
            Wrap::Both(parts) => of(gradients + stage, parts),
        }
    }

    /// The mean over all samples of these batches.
    fn mean(&self, batches: &[u64], x: &[f64], kink: f64) -> Gradient {
        let parts: Vec<_> = batches.iter().map(|&b| self.model.gradient(b, x, kink)).collect();
        let samples: f64 = parts.iter().map(|p| p.samples).sum();
        let mut sum = Gradient { loss: 0.0, g: vec![0.0; x.len()], samples };
        for part in parts {
            let share = part.samples / samples;
            sum.loss += share * part.loss;
            sum.g.iter_mut().zip(&part.g).for_each(|(s, g)| *s += share * g);
        }
        sum
    }

    fn product(&self, batches: &[u64], x: &[f64], v: &[f64]) -> Vec<f64> {
        let share = 1.0 / batches.len() as f64;
        let mut sum = vec![0.0; x.len()];
        for &batch in batches {
            let part = self.model.product(batch, x, v);
            sum.iter_mut().zip(&part).for_each(|(s, g)| *s += share * g);
        }
        sum
    }
}

/// What an optimizer reported of an attempt.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    pub h: f64,
    pub accepted: bool,
    pub stages: u32,
    /// ρ as estimated, if it is, and the error, if attempts are judged by one.
    pub radius: Option<f64>,
    pub error: Option<f64>,
    /// Where time ends.
    pub end: Option<f64>,
    /// The stage whose gradient was not finite.
    pub lost: Option<u32>,
}

/// What the formulas make of it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub parameters: usize,
    pub h: f64,
    pub loss: f64,
    pub norm: f64,
    pub error: f64,
    pub curvature: f64,
    /// ρ of D·H, where a first estimate of it was told.
    pub radius: Option<f64>,
    /// The cursor that the attempt should have had, and its time.
    pub batch: u64,
    pub time: f64,
}

/// Roundings as f32 and narrow storages make them, in place of none.
#[derive(Clone, Debug)]
pub struct Shaking {
    state: u64,
    /// Rectifiers that stand this near their edge are taken to be beyond it.
    pub kink: f64,
}

impl Shaking {
    pub fn new(seed: u64, kink: f64) -> Self {
        Self { state: seed.wrapping_mul(0x9e3779b97f4a7c15) | 1, kink }
    }

    /// Uniform in (−1, 1).
    fn next(&mut self) -> f64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

/// Half an ulp of f32.
const ROUNDING: f64 = 1.0 / (1 << 24) as f64;

#[derive(Clone, Debug)]
pub struct Oracle {
    spec: Spec,
    shaking: Option<Shaking>,
    pub theta: Vec<f64>,
    pub average: Vec<f64>,
    second: Vec<[f64; 2]>,
    mean: Vec<f64>,
    accepted: u64,
    cursor: u64,
    /// Gradients of stages, of attempts that are done with.
    gradients: u64,
    time: f64,
    /// The next h of a controller, or of SGD-G2.
    next: Option<f64>,
    curvature: Option<f64>,
    errors: [f64; 2],
    refused: bool,
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

fn norm(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}

impl Oracle {
    pub fn new(spec: &Spec, start: &[f64], shaking: Option<Shaking>) -> Self {
        let mut oracle = Self {
            spec: spec.clone(),
            shaking,
            theta: start.to_vec(),
            average: start.to_vec(),
            second: vec![[0.0; 2]; start.len()],
            mean: vec![0.0; start.len()],
            accepted: 0,
            cursor: 0,
            gradients: 0,
            time: 0.0,
            next: None,
            curvature: None,
            errors: [1.0; 2],
            refused: false,
        };
        let mut theta = oracle.theta.clone();
        oracle.round(&mut theta, ROUNDING);
        oracle.theta = theta;
        oracle
    }

    /// Another way to choose h, of the same kind, from here on.
    pub fn choose(&mut self, choice: Choice) {
        if matches!(choice, Choice::Adaptive(_) | Choice::SgdG2 { .. }) {
            self.next = None;
        }
        if let Choice::Adaptive(_) = choice {
            (self.errors, self.refused) = ([1.0; 2], false);
        }
        self.spec.choice = choice;
    }

    fn round(&mut self, x: &mut [f64], unit: f64) {
        if let Some(shaking) = &mut self.shaking {
            x.iter_mut().for_each(|x| *x *= 1.0 + unit * shaking.next());
        }
    }

    /// ∇L + λx at x, as a device would have it.
    fn gradient(&mut self, fed: &Fed<'_>, batches: &[u64], x: &[f64]) -> (f64, Vec<f64>) {
        let kink = self.shaking.as_ref().map_or(0.0, |s| s.kink);
        let Gradient { mut loss, mut g, .. } = fed.mean(batches, x, kink);
        let unit = self.spec.roundoff[0];
        if let Some(shaking) = &mut self.shaking {
            loss *= 1.0 + 8.0 * ROUNDING * shaking.next();
            let most = g.iter().fold(0.0, |m: f64, g| m.max(g.abs()));
            for g in &mut g {
                // A sum is off by its terms.
                *g += 2.0 * ROUNDING * (g.abs() + most) * shaking.next();
                *g *= 1.0 + unit * shaking.next();
            }
        }
        g.iter_mut().zip(x).for_each(|(g, x)| *g += self.spec.l2 * x);
        (loss, g)
    }

    /// One attempt on what `fed` gives.
    pub fn attempt(&mut self, fed: &Fed<'_>, told: Told) -> Seen {
        let spec = self.spec.clone();
        let n = self.theta.len();
        let judged = matches!(spec.choice, Choice::Adaptive(_));
        let scheme = Scheme::of(&spec.method, told.stages);
        let stages = scheme.evaluations(judged);
        let batches = |stage: usize| fed.batches(self.cursor, self.gradients, stage as u64);
        let batches: Vec<Vec<u64>> = (0..stages).map(batches).collect();
        if let Some(stage) = told.lost {
            return self.lost(stage, stages, told);
        }

        let here = self.theta.clone();
        let (loss, first) = self.gradient(fed, &batches[0], &here);
        let size = norm(&first);
        let alpha = spec.clip.map_or(1.0, |most| (most / size).min(1.0));
        let t = self.accepted as i32 + 1;
        let unit = spec.roundoff[2];
        let mut second = Vec::with_capacity(n);
        let mut d = Vec::with_capacity(n);
        for (e, g) in first.iter().enumerate() {
            let mut state = spec.diagonal.update(self.second[e], alpha * g);
            if let Some(shaking) = &mut self.shaking {
                state = state.map(|v| v * (1.0 + 2.0 * unit * shaking.next()));
            }
            d.push(spec.elements[e].0[0] * spec.diagonal.at(state, t));
            second.push(state);
        }
        let (wanted, curvature) = self.wanted(fed, &batches[0], loss, [&first, &d], alpha);
        let estimated = told.radius.is_some() && self.accepted == 0 && self.shaking.is_none();
        let radius = estimated.then(|| self.radius(fed, &batches[0], &first, &d));
        let bounded = matches!(spec.method, Method::Stabilised(_))
            || matches!(spec.choice, Choice::Stable { .. });
        let mut h = wanted;
        if bounded {
            let fraction = match spec.choice {
                Choice::Stable { fraction, .. } => fraction,
                _ => 1.0,
            };
            // What an estimate may lack.
            let rho = spec.radius.or(told.radius.map(|rho| 1.2 * rho)).unwrap_or(0.0);
            let most = fraction * methods::interval(&spec.method, told.stages) / (rho * alpha);
            if rho > 0.0 {
                h = h.min(most);
            }
        }
        let last = told.end.is_some_and(|end| h >= (end - self.time) * (1.0 - 1e-6));
        if let Some(end) = told.end.filter(|_| last) {
            h = end - self.time;
        }

        // The stages, with the device's own h.
        let mut gradients = vec![first.clone()];
        for batches in &batches[1..] {
            let r = scheme.increment(&gradients, n);
            let at = |e: usize| here[e] - told.h * alpha * d[e] * r[e];
            let mut point: Vec<f64> = (0..n).map(at).collect();
            self.round(&mut point, ROUNDING);
            let (_, g) = self.gradient(fed, batches, &point);
            gradients.push(g);
        }
        let (mean, next) = self.stepped(&scheme, &gradients, &d, told.h, alpha, t);
        let error = self.error(&scheme, &gradients, [&d, &next], told.h * alpha);
        let seen = Seen {
            parameters: spec.elements.iter().filter(|e| e.1).count(),
            h,
            loss,
            norm: size,
            error,
            curvature: curvature.unwrap_or(0.0),
            radius,
            batch: self.cursor,
            time: self.time,
        };

        if let Choice::Adaptive(tolerance) = spec.choice {
            // The controller is held by itself: what an error is off by is seen elsewhere.
            let told_error = told.error.unwrap_or(error);
            let longer = last.then_some(wanted);
            self.next = Some(self.controlled(&tolerance, told_error, told, longer));
            self.refused = !told.accepted;
            if told.accepted {
                self.errors = [told_error.max(1e-4), self.errors[0]];
            }
        }
        if !told.accepted {
            if !matches!(spec.choice, Choice::Adaptive(Tolerance { skips: false, .. })) {
                self.cursor += 1;
                self.gradients += stages as u64;
            }
            return seen;
        }
        if let Choice::SgdG2 { .. } = spec.choice {
            // Neither time's end nor stability is the rule's.
            self.next = Some(if h < wanted { wanted } else { told.h });
        }
        self.curvature = curvature;
        if let (
            [a, b, ..],
            Choice::Dal { from: From::Stages, .. } | Choice::Rescaled { from: From::Stages, .. },
        ) = (gradients.as_slice(), &spec.choice)
        {
            let part = |e: usize| (d[e] * (b[e] - a[e]), d[e] * a[e]);
            let (u, v): (Vec<f64>, Vec<f64>) = (0..n).map(part).unzip();
            let moved = told.h * alpha * spec.method.tableau().a(1, 0).abs();
            self.curvature = Some(norm(&u) / (moved * norm(&v)));
        }
        (self.theta, self.mean, self.second) = (next, mean, second);
        let beta = spec.average.unwrap_or(0.0);
        for (average, theta) in self.average.iter_mut().zip(&self.theta) {
            *average = beta * *average + (1.0 - beta) * theta;
        }
        self.accepted += 1;
        self.cursor += 1;
        self.gradients += stages as u64;
        self.time = match told.end {
            Some(end) if last => end,
            _ => self.time + told.h,
        };
        seen
    }

    /// An attempt of which nothing stays: its batch is left behind, but where it is tried
    /// again with a fifth of its h, since h may have been at fault.
    fn lost(&mut self, stage: u32, stages: usize, told: Told) -> Seen {
        let seen = Seen {
            parameters: 0,
            h: told.h,
            loss: 0.0,
            norm: 0.0,
            error: 0.0,
            curvature: 0.0,
            radius: None,
            batch: self.cursor,
            time: self.time,
        };
        let mut skips = true;
        if let (Choice::Adaptive(by), 2..) = (&self.spec.choice, stage) {
            skips = by.skips;
            (self.next, self.refused) = (Some(0.2 * told.h), true);
        }
        if skips {
            self.cursor += 1;
            self.gradients += stages as u64;
        }
        seen
    }

    /// ρ of D·H by a long power iteration, w ← D (g(θ + εw) − g(θ)), with ε‖w‖ as on a device.
    fn radius(&mut self, fed: &Fed<'_>, batches: &[u64], g: &[f64], d: &[f64]) -> f64 {
        let reach = norm(&self.theta).max(1.0) / f64::from(1 << 12);
        let of = |i: usize| if (i * i + i / 3) % 5 < 2 { -1.0 } else { 1.0 };
        let mut w: Vec<f64> = (0..d.len()).map(of).collect();
        let mut rho = 0.0;
        for _ in 0..80 {
            let scale = reach / norm(&w);
            let beside = self.theta.iter().zip(&w).map(|(x, w)| x + scale * w);
            let beside: Vec<f64> = beside.collect();
            let (_, there) = self.gradient(fed, batches, &beside);
            w = (0..d.len()).map(|e| d[e] * (there[e] - g[e])).collect();
            rho = norm(&w) / reach;
            if rho == 0.0 {
                break;
            }
        }
        rho
    }

    /// The h that the rule wants, and the curvature it goes by.
    fn wanted(
        &mut self,
        fed: &Fed<'_>,
        batches: &[u64],
        loss: f64,
        [g, d]: [&[f64]; 2],
        alpha: f64,
    ) -> (f64, Option<f64>) {
        let times = |x: &[f64]| x.iter().zip(d).map(|(x, d)| x * d).collect::<Vec<_>>();
        let v = times(g);
        let here = self.theta.clone();
        // D (g at θ + εv) − v.
        let change = |this: &mut Self, epsilon: f64| {
            let mut beside: Vec<f64> = here.iter().zip(&v).map(|(t, v)| t + epsilon * v).collect();
            this.round(&mut beside, ROUNDING);
            let (_, g) = this.gradient(fed, batches, &beside);
            times(&g).iter().zip(&v).map(|(a, b)| a - b).collect::<Vec<_>>()
        };
        let choice = self.spec.choice.clone();
        let count = self.spec.elements.iter().filter(|e| e.1).count() as f64;
        let scaled = |by: &Tolerance, x: &[f64]| {
            let of = |(x, t): (&f64, &f64)| (x / (by.atol + by.rtol * t.abs())).powi(2);
            (x.iter().zip(&here).map(of).sum::<f64>() / count).sqrt()
        };
        let curvature = |this: &mut Self, from: From| match (from, this.curvature) {
            (From::Stages, Some(r)) => r,
            (From::Product, _) => {
                let hv = fed.product(batches, &here, g);
                let l2 = this.spec.l2;
                let hv: Vec<f64> = hv.iter().zip(g).map(|(h, g)| h + l2 * g).collect();
                norm(&hv) / norm(g)
            }
            _ => norm(&change(this, 0.01 / norm(&v))) / 0.01,
        };
        match choice {
            Choice::Schedule(schedule) => (schedule.at(self.accepted), None),
            Choice::Dal { p, most, from } => {
                let r = curvature(self, from);
                ((2.0 / r.powf(p)).min(most), Some(r))
            }
            Choice::Rescaled { c, p, from } => {
                let r = curvature(self, from);
                (c / (1.0 + 0.5 * c * r.powf(p)), Some(r))
            }
            Choice::Polyak { most } => ((loss / dot(g, &v)).clamp(0.0, most), None),
            Choice::SgdG2 { h, beta } => {
                let h = self.next.unwrap_or(h);
                let u = change(self, -h * alpha);
                let product = -dot(&u, &v);
                let best = if product > 0.0 { 2.0 * h * product / dot(&u, &u) } else { h };
                let next =
                    if best >= h { beta * h + (1.0 - beta) * best } else { (1.0 - beta) * best };
                (next, None)
            }
            Choice::Stable { most, .. } => (most, None),
            Choice::Adaptive(tolerance) => match self.next.or(tolerance.first) {
                Some(h) => (h, None),
                None => {
                    let (d0, d1) = (scaled(&tolerance, &here), scaled(&tolerance, &v));
                    let h0 = if d0 < 1e-5 || d1 < 1e-5 { 1e-6 } else { 0.01 * d0 / d1 };
                    let u = change(self, -h0 * alpha);
                    let most = d1.max(scaled(&tolerance, &u) / h0);
                    let k = self.order();
                    let h1 = match most <= 1e-15 {
                        true => (1e-3 * h0).max(1e-6),
                        false => (0.01 / most).powf(1.0 / k),
                    };
                    ((100.0 * h0).min(h1).min(tolerance.most), None)
                }
            },
        }
    }

    /// k: one more than the order of the error estimate.
    fn order(&self) -> f64 {
        match &self.spec.method {
            Method::Stabilised(s) => s.family().error_order() as f64,
            method => method.tableau().error_order() as f64,
        }
    }

    fn controlled(&self, by: &Tolerance, error: f64, told: Told, longer: Option<f64>) -> f64 {
        let betas = by.betas.map(|beta| beta / self.order());
        let [e1, e2] = self.errors;
        let raw = 0.9 * error.powf(-betas[0]) * e1.powf(betas[1]) * e2.powf(-betas[2]);
        let factor = match () {
            () if error == 0.0 => 10.0,
            () if by.smooth => 1.0 + (raw - 1.0).atan(),
            () => raw.clamp(0.2, 10.0),
        };
        if !told.accepted {
            return told.h * factor.min(0.9);
        }
        let h = told.h * factor.min(if self.refused { 1.0 } else { 10.0 });
        h.max(longer.unwrap_or(0.0)).min(by.most)
    }

    /// m and θ after a step.
    fn stepped(
        &mut self,
        scheme: &Scheme,
        gradients: &[Vec<f64>],
        d: &[f64],
        h: f64,
        alpha: f64,
        t: i32,
    ) -> (Vec<f64>, Vec<f64>) {
        let step = scheme.step(gradients, d.len());
        let mut mean = self.mean.clone();
        let mut next = Vec::with_capacity(d.len());
        for (e, d) in d.iter().enumerate() {
            let g = alpha * step[e];
            let m = &mut mean[e];
            let u = match self.spec.averaging {
                Averaging::None => d * g,
                Averaging::HeavyBall(beta) => {
                    *m = beta * *m + d * g;
                    *m
                }
                Averaging::Nesterov(beta) => {
                    *m = beta * *m + d * g;
                    d * g + beta * *m
                }
                Averaging::Ema(beta) => {
                    *m = beta * *m + (1.0 - beta) * g;
                    d * *m / (1.0 - beta.powi(t))
                }
            };
            let [rate, decay] = self.spec.elements[e].0;
            next.push(self.theta[e] - h * (u + rate * decay * self.spec.decay * self.theta[e]));
        }
        let unit = self.spec.roundoff[1].max(ROUNDING);
        self.round(&mut mean, unit);
        self.round(&mut next, ROUNDING);
        (mean, next)
    }

    /// The norm of what is off, in units of the tolerance.
    fn error(
        &self,
        scheme: &Scheme,
        gradients: &[Vec<f64>],
        [d, next]: [&[f64]; 2],
        h: f64,
    ) -> f64 {
        let Choice::Adaptive(by) = &self.spec.choice else { return 0.0 };
        let count = self.spec.elements.iter().filter(|e| e.1).count() as f64;
        let squares = |e: &Vec<f64>| {
            let of = |i: usize| {
                let size = self.theta[i].abs().max(next[i].abs());
                (h * d[i] * e[i] / (by.atol + by.rtol * size)).powi(2)
            };
            (0..e.len()).map(of).sum::<f64>()
        };
        match scheme.errors(gradients, d.len()).iter().map(squares).collect::<Vec<_>>()[..] {
            [one] => (one / count).sqrt(),
            [one, low] if one > 0.0 => one / ((one + 0.01 * low) * count).sqrt(),
            _ => 0.0,
        }
    }
}
