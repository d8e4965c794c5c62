//! 784-128-10 on MNIST.

use std::path::Path;

use kutta::data::Idx;
use kutta::models::{Mlp, Resident};
use kutta::tableau::Stabilised;
use kutta::{
    Adaptive, Error, Gpu, Ingredients, Method, Momentum, Optimizer, Preconditioner, StepSize,
};

use crate::samples::part;

use super::course::{Contender, Course, Fault, Point, Setting, reported};

pub struct Network {
    gpu: Gpu,
    mlp: Mlp,
    looked_at: Resident,
    quick: bool,
}

const BATCH: usize = 1024;
const SEED: u64 = 7;
/// Gradients between looks.
const CHUNK: u64 = 12;
/// Samples of a look, of the training set.
const SAMPLES: usize = 8192;

/// The data set, if it has enough for a batch.
pub fn data(folder: &Path) -> Result<Idx, Error> {
    let data = Idx::open(folder)?;
    data.train(BATCH)?;
    Ok(data)
}

impl Network {
    pub fn new(gpu: &Gpu, data: Idx, quick: bool) -> Result<Self, Error> {
        let batches = data.train(BATCH)?.seed(SEED);
        let shown = part(batches.samples(), 0..SAMPLES)?;
        let layers = [batches.samples().width(), 128, data.classes()];
        let mlp = Mlp::classifier(gpu, &layers, batches)?;
        let looked_at = mlp.upload(&shown)?;
        Ok(Self { gpu: gpu.clone(), mlp, looked_at, quick })
    }

    pub fn title(&self) -> String {
        let layers: Vec<_> = self.mlp.widths().iter().map(usize::to_string).collect();
        format!(
            "mnist: {}, batch {BATCH}, to a loss of {} over {} training samples, seen every {CHUNK} \
             gradients",
            layers.join("-"),
            self.target(),
            self.looked_at.len(),
        )
    }
}

impl Course for Network {
    fn target(&self) -> f64 {
        if self.quick { 1.0 } else { 0.2 }
    }

    fn most(&self) -> u64 {
        if self.quick { 60 } else { 800 }
    }

    fn contenders(&self) -> Vec<Contender> {
        let plain = Ingredients::default();
        let constant = |method: &Method, ingredients: Ingredients, h: f64| Setting {
            name: format!("h = {h}"),
            method: method.clone(),
            ingredients,
            step_size: Some(StepSize::constant(h as f32)),
        };
        let constants = |method: Method, ingredients: Ingredients, h: &[f64]| {
            h.iter().map(|&h| constant(&method, ingredients, h)).collect::<Vec<_>>()
        };
        let stable = |method: Method, fraction: f64| {
            let step_size = StepSize::stable(fraction, 100.0);
            let name = match &method {
                Method::Stabilised(_) => format!("{method}, stable:fraction={fraction}"),
                _ => format!("stable:fraction={fraction}"),
            };
            Setting { name, method, ingredients: plain, step_size: Some(step_size) }
        };
        let stages = |base: Stabilised, tried: &[(u32, f64)]| {
            let one = |&(s, fraction): &(u32, f64)| {
                let fixed = base.with_stages(s).ok();
                fixed.map(|method| stable(method.into(), fraction))
            };
            tried.iter().filter_map(one).collect::<Vec<_>>()
        };
        let adaptive = |method: Method, rtol: f64| Setting {
            name: format!("rtol={rtol},atol={}", 0.01 * rtol),
            method,
            ingredients: Ingredients { adaptive: Some(Adaptive::new(rtol, 0.01 * rtol)), ..plain },
            step_size: None,
        };
        let adam = Ingredients {
            preconditioner: Preconditioner::adam(0.999, 1e-8),
            momentum: Momentum::ema(0.9),
            ..plain
        };
        let ball = Ingredients { momentum: Momentum::heavy_ball(0.9), ..plain };
        let with = |mut settings: Vec<Setting>, more: Setting| {
            settings.push(more);
            settings
        };
        let rock2: Method = Stabilised::rock2().into();
        // What is likely to be fast comes first: the others stop there.
        let contenders = [
            ("RKCD", stages(Stabilised::rkcd(), &[(4, 1.0), (8, 1.0), (4, 0.5)])),
            ("RKC2", stages(Stabilised::rkc2(), &[(4, 1.0), (8, 1.0), (4, 0.5)])),
            ("RKC2, adaptive", vec![adaptive(Method::rkc2(), 0.1)]),
            ("ROCK2", stages(Stabilised::rock2(), &[(4, 1.0), (8, 1.0), (4, 0.5)])),
            ("ROCK2, adaptive", vec![adaptive(rock2, 0.1)]),
            ("RK4", with(constants(Method::rk4(), plain, &[1.5, 1.0]), stable(Method::rk4(), 1.0))),
            (
                "Heun",
                with(constants(Method::heun(), plain, &[1.5, 1.0]), stable(Method::heun(), 1.0)),
            ),
            (
                "gradient descent",
                with(constants(Method::euler(), plain, &[1.0, 0.5]), stable(Method::euler(), 1.0)),
            ),
            ("momentum", constants(Method::euler(), ball, &[0.2, 0.1])),
            ("Adam", constants(Method::euler(), adam, &[0.003, 0.01])),
        ];
        let kept = if self.quick { 1 } else { usize::MAX };
        let contender = |(name, settings): (&'static str, Vec<Setting>)| Contender {
            name: name.into(),
            settings: settings.into_iter().take(kept).collect(),
        };
        contenders.into_iter().map(contender).collect()
    }

    fn build(&self, setting: &Setting) -> Result<Optimizer, Error> {
        let mut builder =
            Optimizer::builder(setting.method.clone()).ingredients(setting.ingredients);
        if let Some(step_size) = &setting.step_size {
            builder = builder.step_size(step_size.clone());
        }
        builder.build(&self.gpu, self.mlp.layout(), &self.mlp.initial(SEED))
    }

    fn run(&mut self, optimizer: &mut Optimizer, spent: u64) -> Result<(Vec<Point>, u64), Fault> {
        let cost = u64::from(optimizer.plan().evaluations());
        let mut points = Vec::new();
        if spent == 0 {
            let loss = self.mlp.evaluate(optimizer.params(), &self.looked_at)?.loss;
            points.push((0, loss));
        }
        optimizer.run(&mut self.mlp, (CHUNK / cost).max(1))?;
        optimizer.wait()?;
        let (_, spent) = reported(optimizer, spent)?;
        let loss = self.mlp.evaluate(optimizer.params(), &self.looked_at)?.loss;
        points.push((spent, loss));
        Ok((points, spent))
    }
}
