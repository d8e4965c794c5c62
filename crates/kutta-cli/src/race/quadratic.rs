//! L = ½ Σ λ x², with λ from 1 to κ, each power of ten as often as any other.

use kutta::models::Analytic;
use kutta::reference::Problem;
use kutta::{
    Adaptive, Error, Gpu, Ingredients, Method, Momentum, Optimizer, Preconditioner, SpectralRadius,
    StepSize,
};

use super::course::{Contender, Course, Fault, Point, Setting, reported};
use crate::numbers::grouped;

pub struct Quadratic {
    gpu: Gpu,
    source: Analytic,
    start: Vec<f32>,
    kappa: f64,
    first: f64,
    quick: bool,
}

/// Of the loss at the start.
const TARGET: f64 = 1e-6;
/// Gradients between looks.
const CHUNK: u64 = 256;

/// Even noise of variance 1: SplitMix64 of the index.
fn noise(i: u64) -> f32 {
    let mut z = (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    let unit = (z >> 40) as f64 / f64::from(1 << 24);
    ((2.0 * unit - 1.0) * 3f64.sqrt()) as f32
}

impl Quadratic {
    pub fn new(gpu: &Gpu, n: usize, quick: bool) -> Result<Self, Error> {
        let (n, kappa) = if quick { (10_000, 100.0) } else { (n, 1e4f64) };
        let lambda = |i: usize| kappa.powf(i as f64 / (n - 1) as f64);
        let eigenvalues: Vec<f64> = (0..n).map(lambda).collect();
        let problem = Problem::quadratic(&eigenvalues)?;
        let start: Vec<f32> = (0..n as u64).map(noise).collect();
        let at: Vec<f64> = start.iter().map(|&x| f64::from(x)).collect();
        Ok(Self {
            gpu: gpu.clone(),
            source: Analytic::new(gpu, &problem, n)?,
            start,
            kappa,
            first: problem.loss(&at),
            quick,
        })
    }

    pub fn title(&self) -> String {
        format!(
            "quadratic of condition {}, {} parameters, to {TARGET:e} of the first loss",
            grouped(self.kappa),
            grouped(self.start.len() as f64),
        )
    }
}

impl Course for Quadratic {
    fn target(&self) -> f64 {
        TARGET * self.first
    }

    fn most(&self) -> u64 {
        if self.quick { 2_000 } else { 20_000 }
    }

    fn contenders(&self) -> Vec<Contender> {
        let kappa = self.kappa;
        // All know the spectrum: ρ = κ.
        let plain = Ingredients { radius: SpectralRadius::Given(kappa), ..Ingredients::default() };
        let stable = |method: Method, fraction: f64| Setting {
            name: match &method {
                Method::Stabilised(_) => format!("{method}, stable:fraction={fraction}"),
                _ => format!("stable:fraction={fraction}"),
            },
            method,
            ingredients: plain,
            step_size: Some(StepSize::stable(fraction, 1e6)),
        };
        let constant = |name: String, ingredients: Ingredients, h: f64| Setting {
            name,
            method: Method::euler(),
            ingredients,
            step_size: Some(StepSize::constant(h as f32)),
        };
        let stages: &[u32] = if self.quick { &[8] } else { &[32, 16, 64, 76, 8] };
        let with_stages = |base: &Method| {
            let made = stages.iter().filter_map(|&s| base.clone().with_stages(s).ok());
            made.map(|method| stable(method, 0.99)).collect::<Vec<_>>()
        };
        let adaptive = |method: &Method| {
            let tolerances: &[(f64, f64)] =
                if self.quick { &[(0.1, 0.01)] } else { &[(0.1, 0.01), (0.01, 0.001)] };
            let make = |&(rtol, atol): &(f64, f64)| Setting {
                name: format!("rtol={rtol},atol={atol}"),
                method: method.clone(),
                ingredients: Ingredients { adaptive: Some(Adaptive::new(rtol, atol)), ..plain },
                step_size: None,
            };
            tolerances.iter().map(make).collect::<Vec<_>>()
        };
        let contender = |name: &str, settings| Contender { name: name.into(), settings };
        let rock2 = Method::from(kutta::tableau::Stabilised::rock2());
        let rkcd = Method::from(kutta::tableau::Stabilised::rkcd());
        let estimated = with_stages(&rkcd).into_iter().map(|setting| Setting {
            ingredients: Ingredients::default(),
            name: format!("{}, ρ estimated", setting.name),
            ..setting
        });
        let estimated = estimated.take(2).collect();
        let root = kappa.sqrt();
        let beta = ((root - 1.0) / (root + 1.0)).powi(2);
        let ball = |beta: f64, h: f64| {
            let ingredients = Ingredients { momentum: Momentum::heavy_ball(beta), ..plain };
            constant(format!("β = {beta:.4}, h = {h:.3e}"), ingredients, h)
        };
        let adam = |h: f64| {
            let ingredients = Ingredients {
                preconditioner: Preconditioner::adam(0.999, 1e-8),
                momentum: Momentum::ema(0.9),
                ..plain
            };
            constant(format!("h = {h}"), ingredients, h)
        };
        let best = 2.0 / (1.0 + kappa);
        vec![
            contender("RKCD", with_stages(&rkcd)),
            contender("RKCD, ρ estimated", estimated),
            contender("RKC2", with_stages(&Method::rkc2())),
            contender("RKC2, adaptive", adaptive(&Method::rkc2())),
            contender("ROCK2", with_stages(&rock2)),
            contender("ROCK2, adaptive", adaptive(&rock2)),
            contender("RK4", vec![stable(Method::rk4(), 0.98)]),
            contender("Heun", vec![stable(Method::heun(), 0.98)]),
            contender(
                "gradient descent",
                vec![
                    stable(Method::euler(), 0.98),
                    constant(format!("h = 2/(1 + κ) = {best:.3e}"), plain, best),
                ],
            ),
            contender(
                "momentum",
                vec![
                    ball(beta, 4.0 / (root + 1.0).powi(2)),
                    ball(0.9, 0.98 * 2.0 * 1.9 / kappa),
                    ball(0.9, 0.5 * 2.0 * 1.9 / kappa),
                ],
            ),
            contender("Adam", [0.1, 0.03, 0.01, 0.003, 0.3, 1.0].map(adam).into()),
        ]
    }

    fn build(&self, setting: &Setting) -> Result<Optimizer, Error> {
        let mut builder =
            Optimizer::builder(setting.method.clone()).ingredients(setting.ingredients);
        if let Some(step_size) = &setting.step_size {
            builder = builder.step_size(step_size.clone());
        }
        builder.build(&self.gpu, self.source.layout(), &self.start)
    }

    fn run(&mut self, optimizer: &mut Optimizer, spent: u64) -> Result<(Vec<Point>, u64), Fault> {
        let cost = u64::from(optimizer.plan().evaluations());
        optimizer.run(&mut self.source, (CHUNK / cost).max(1))?;
        optimizer.wait()?;
        reported(optimizer, spent)
    }
}
