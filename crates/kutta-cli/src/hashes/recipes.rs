//! A dozen fixed trainings: networks, fields, analytic problems, and every kind of step.
//! Data come from whole numbers, so that they are the same everywhere.

use std::error::Error;

use kutta::batching::PerStage;
use kutta::data::{Batches, Inputs, Samples, Targets};
use kutta::models::{
    Activation, Analytic, Encoding, HashGrid, Loss, Mlp, NeuralField, Points, Target,
};
use kutta::optimizer::Builder;
use kutta::reference::Problem;
use kutta::{Gpu, GradientSource, Method, Optimizer, ParamLayout};
use sha2::{Digest, Sha256};

use crate::numbers::hex;

pub const ATTEMPTS: u64 = 100;

/// One training, by the words that `kutta train` and `kutta flow` know.
pub struct Recipe {
    pub name: &'static str,
    model: Model,
    method: &'static str,
    options: &'static [(&'static str, &'static str)],
}

#[derive(Clone, Copy)]
enum Model {
    /// 64-48-10, cross-entropy, batches of 32 of 500 samples.
    Mlp(Activation),
    /// The same, a batch for every stage.
    Fresh,
    /// A picture of 24 by 20 texels, on a hash grid.
    Grid,
    /// The same picture whole, by sines of its coordinates.
    Sines,
    Rosenbrock,
    /// A quadratic of condition 10⁴.
    Stiff,
}

const fn recipe(
    name: &'static str,
    model: Model,
    method: &'static str,
    options: &'static [(&'static str, &'static str)],
) -> Recipe {
    Recipe { name, model, method, options }
}

const RELU: Model = Model::Mlp(Activation::Relu);

pub const RECIPES: &[Recipe] = &[
    recipe("mlp-sgd", RELU, "euler", &[("h", "0.1")]),
    recipe(
        "mlp-adam",
        RELU,
        "euler",
        &[("h", "0.01"), ("preconditioner", "adam"), ("momentum", "ema:0.9")],
    ),
    recipe("mlp-rk4-fresh", Model::Fresh, "rk4", &[("h", "0.3")]),
    recipe(
        "mlp-gelu-nesterov",
        Model::Mlp(Activation::Gelu),
        "heun",
        &[("h", "cosine:from=0.05,to=0.001,steps=100"), ("momentum", "nesterov:0.9")],
    ),
    recipe(
        "mlp-tanh-dp5",
        Model::Mlp(Activation::Tanh),
        "dp5",
        &[("adaptive", "rtol=1e-2,atol=1e-3")],
    ),
    recipe(
        "mlp-bf16",
        RELU,
        "rk4",
        &[("h", "0.1"), ("momentum", "heavy-ball:0.5"), ("storage", "bf16:rounding=stochastic")],
    ),
    recipe("mlp-rdpk3sp35", RELU, "rdpk3sp35", &[("h", "0.1")]),
    recipe("mlp-dal", RELU, "heun", &[("h", "dal:p=1,from=stages")]),
    recipe(
        "grid-adam",
        Model::Grid,
        "euler",
        &[("h", "0.01"), ("preconditioner", "adam:beta2=0.99,eps=1e-8"), ("momentum", "ema:0.9")],
    ),
    recipe("sines-bs3", Model::Sines, "bs3", &[("adaptive", "rtol=1e-3,atol=1e-5")]),
    recipe("rosenbrock-tsit5", Model::Rosenbrock, "tsit5", &[("adaptive", "rtol=1e-4,atol=1e-6")]),
    recipe("stiff-rkc2", Model::Stiff, "rkc2", &[("adaptive", "rtol=1e-3,atol=1e-5")]),
    recipe("stiff-rkcd", Model::Stiff, "rkcd", &[("h", "0.05")]),
];

impl Recipe {
    /// SHA-256 of θ at the end, in hexadecimal digits.
    pub fn hash(&self, gpu: &Gpu) -> Result<String, Box<dyn Error>> {
        let in_this = |e: Box<dyn Error>| format!("{}: {e}", self.name);
        let theta = self.theta(gpu).map_err(in_this)?;
        let digest = Sha256::digest(theta.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>());
        Ok(hex(&digest))
    }

    fn theta(&self, gpu: &Gpu) -> Result<Vec<f32>, Box<dyn Error>> {
        let (layout, start, mut source) = self.model.source(gpu)?;
        let builder = Optimizer::builder(self.method.parse::<Method>()?);
        let builder = self.options.iter().try_fold(builder, option)?;
        let mut optimizer = builder.source(&*source).build(gpu, &layout, &start)?;
        optimizer.run(&mut &mut *source, ATTEMPTS)?;
        optimizer.wait()?;
        let theta = optimizer.params().read()?;
        match theta.iter().all(|x| x.is_finite()) && theta != start {
            true => Ok(theta),
            false => {
                Err("θ is where it began, or not finite: this adapter computes wrongly".into())
            }
        }
    }
}

fn option(builder: Builder, (key, value): &(&str, &str)) -> Result<Builder, Box<dyn Error>> {
    Ok(match *key {
        "h" => builder.step_size(value.parse()?),
        "adaptive" => builder.adaptive(value.parse()?),
        "preconditioner" => builder.preconditioner(value.parse()?),
        "momentum" => builder.momentum(value.parse()?),
        "storage" => builder.storage(value.parse()?),
        other => unreachable!("no recipe has {other}"),
    })
}

type Start = (ParamLayout, Vec<f32>, Box<dyn GradientSource>);

impl Model {
    fn source(self, gpu: &Gpu) -> Result<Start, Box<dyn Error>> {
        Ok(match self {
            Self::Mlp(activation) => {
                let mlp = perceptron(gpu, activation)?;
                (mlp.layout().clone(), mlp.initial(1), Box::new(mlp))
            }
            Self::Fresh => {
                let mlp = perceptron(gpu, Activation::Relu)?;
                let (layout, start) = (mlp.layout().clone(), mlp.initial(1));
                (layout, start, Box::new(PerStage::new(gpu, mlp)?))
            }
            Self::Grid => {
                let grid =
                    HashGrid { levels: 4, features: 2, log2_table: 8, coarsest: 4, growth: 1.6 };
                field(gpu, Encoding::HashGrid(grid), Activation::Relu, Points::Texels(128))?
            }
            Self::Sines => {
                field(gpu, Encoding::Coordinates, Activation::Sine { omega: 3.0 }, Points::All)?
            }
            Self::Rosenbrock => analytic(gpu, &Problem::Rosenbrock, 66)?,
            Self::Stiff => {
                let n = 512;
                let of = |i: usize| 1e4f64.powf(i as f64 / (n - 1) as f64);
                let curvatures: Vec<f64> = (0..n).map(of).collect();
                analytic(gpu, &Problem::quadratic(&curvatures)?, n)?
            }
        })
    }
}

/// Numbers between −1 and 1, multiples of 2⁻²³: Steele, Lea, Flood 2014 (SplitMix).
fn noise(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// Classes are those of the largest of ten inputs, so that there is something to learn.
fn perceptron(gpu: &Gpu, activation: Activation) -> Result<Mlp, Box<dyn Error>> {
    const INPUTS: usize = 64;
    const SAMPLES: usize = 500;
    let inputs = noise(SAMPLES * INPUTS, 1);
    let largest =
        |row: &[f32]| (0..10).fold(0, |best, i| if row[i] > row[best] { i } else { best });
    let labels = inputs.chunks(INPUTS).map(|row| largest(row) as u8).collect();
    let targets = Targets::Labels { labels, classes: 10 };
    let samples = Samples::new(Inputs::F32(inputs), INPUTS, targets)?;
    let builder = Mlp::builder(&[INPUTS, 48, 10]).activation(activation).loss(Loss::CrossEntropy);
    Ok(builder.build(gpu, Batches::new(samples, 32)?.seed(2))?)
}

fn field(
    gpu: &Gpu,
    encoding: Encoding,
    activation: Activation,
    points: Points,
) -> Result<Start, Box<dyn Error>> {
    let values = noise(24 * 20 * 3, 3).iter().map(|x| 0.5 + 0.5 * x).collect();
    let target = Target::image([24, 20], 3, values)?;
    let builder = NeuralField::builder(encoding).hidden(&[32, 32]).activation(activation);
    let field = builder.points(points).seed(4).build(gpu, &target)?;
    Ok((field.layout().clone(), field.initial(5), Box::new(field)))
}

fn analytic(gpu: &Gpu, problem: &Problem, n: usize) -> Result<Start, Box<dyn Error>> {
    let source = Analytic::new(gpu, problem, n)?;
    Ok((source.layout().clone(), noise(n, 6), Box::new(source)))
}
