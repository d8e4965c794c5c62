//! The models that can be profiled, on samples that are made up.

use std::error::Error;
use std::ops::Range;

use kutta::data::{Batches, Idx, Inputs, Samples, Targets};
use kutta::models::{Loss, Mlp, NeuralField, Points, Target};
use kutta::{
    BatchesFrom, Draws, Evaluation, Gpu, GradientSource, ParamLayout, SourceError, Storage,
};

use super::{Args, PointsName};
use kutta_cli::output::usage;

/// Most numbers that are made up: a gigabyte of them.
const MOST: usize = 1 << 28;

/// Batches of made-up samples: several, so that a step does not find the last one's in a cache.
const BATCHES: usize = 4;

/// What a model is trained on, before there is a device.
pub enum Wanted {
    Network { batches: Batches, layers: Vec<usize> },
    Field { target: Target, points: Points, hidden: Vec<usize> },
}

pub enum Model {
    Network(Box<Mlp>, usize),
    Field(Box<NeuralField>),
}

/// Numbers of 0 to 255 that follow no rule: Steele, Lea, Flood 2014 (SplitMix).
fn noise(n: usize) -> impl Iterator<Item = u8> {
    let mut state = 0u64;
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z >> 56) as u8
    })
    .take(n)
}

fn product(factors: &[usize]) -> Option<usize> {
    factors.iter().try_fold(1usize, |all, &factor| all.checked_mul(factor))
}

impl Model {
    /// Reads or makes what to train on.
    ///
    /// # Errors
    /// Data that are not there, and what would be too many made-up numbers.
    pub fn check(args: &Args) -> Result<Wanted, Box<dyn Error>> {
        if args.field { Self::check_field(args) } else { Self::check_network(args) }
    }

    fn check_network(args: &Args) -> Result<Wanted, Box<dyn Error>> {
        let batch = args.batch.unwrap_or(64);
        let hidden = args.hidden.as_deref().unwrap_or(&[128]);
        let layers = |inputs, classes| [&[inputs], hidden, &[classes]].concat();
        if let Some(folder) = &args.data {
            let data = Idx::open(folder)?;
            let batches = data.train(batch).map_err(usage)?.seed(args.seed);
            let layers = layers(batches.samples().width(), data.classes());
            return Ok(Wanted::Network { batches, layers });
        }
        let classes = usize::from(args.classes);
        let numbers = product(&[BATCHES, batch, args.inputs]).filter(|&n| n <= MOST);
        let Some(numbers) = numbers else {
            return Err(usage(format_args!(
                "{BATCHES} batches of --batch {batch} samples of --inputs {} are more than {MOST} \
                 numbers; take fewer, or samples of your own by --data",
                args.inputs
            )));
        };
        let labels = (0..BATCHES * batch).map(|i| (i % classes) as u8).collect();
        let inputs = Inputs::Bytes(noise(numbers).collect());
        let samples = Samples::new(inputs, args.inputs, Targets::Labels { labels, classes })?;
        let batches = Batches::new(samples, batch)?.seed(args.seed);
        Ok(Wanted::Network { batches, layers: layers(args.inputs, classes) })
    }

    fn check_field(args: &Args) -> Result<Wanted, Box<dyn Error>> {
        let channels = usize::from(args.channels);
        let extent = &args.extent;
        let said = || extent.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        let texels = product(extent).filter(|&n| n <= MOST / channels);
        let Some(texels) = texels else {
            return Err(usage(format_args!(
                "--extent {} with --channels {channels} is more than {MOST} numbers; take fewer \
                 texels",
                said()
            )));
        };
        let values = noise(texels * channels).map(|x| f32::from(x) / 255.0).collect();
        let target = match extent[..] {
            [width, height] => Target::image([width, height], channels, values)?,
            [width, height, depth] => Target::volume([width, height, depth], channels, values)?,
            _ => {
                return Err(usage(format_args!(
                    "--extent {} has {} numbers; an image has two, a volume three",
                    said(),
                    extent.len()
                )));
            }
        };
        let batch = args.batch.unwrap_or(8192);
        let points = match args.points {
            PointsName::Texels if batch > texels && args.batch.is_some() => {
                return Err(usage(format_args!(
                    "--batch {batch} is more than the {texels} texels of --extent {}; take fewer, \
                     or --points anywhere or all",
                    said()
                )));
            }
            PointsName::Texels => Points::Texels(batch.min(texels)),
            PointsName::Anywhere => Points::Anywhere(batch),
            PointsName::All if args.batch.is_some() => {
                return Err(usage("--points all has one batch of all texels; leave --batch out"));
            }
            PointsName::All => Points::All,
        };
        let hidden = args.hidden.clone().unwrap_or_else(|| vec![32]);
        Ok(Wanted::Field { target, points, hidden })
    }

    /// What it is, in a line.
    pub fn describe(&self) -> String {
        let widths =
            |widths: &[usize]| widths.iter().map(usize::to_string).collect::<Vec<_>>().join("-");
        match self {
            Self::Network(mlp, batch) => format!("{}, batch {batch}", widths(mlp.widths())),
            Self::Field(field) => {
                let points = match field.points() {
                    Points::Texels(n) => format!("batch {n}"),
                    Points::Anywhere(n) => format!("batch {n} anywhere"),
                    Points::All => "all texels".into(),
                };
                let encoding = kutta_cli::network::EncodingName(field.encoding());
                format!("field {encoding} {}, {points}", widths(field.widths()))
            }
        }
    }

    pub fn layout(&self) -> &ParamLayout {
        match self {
            Self::Network(mlp, _) => mlp.layout(),
            Self::Field(field) => field.layout(),
        }
    }

    pub fn initial(&self, seed: u64) -> Vec<f32> {
        match self {
            Self::Network(mlp, _) => mlp.initial(seed),
            Self::Field(field) => field.initial(seed),
        }
    }

    fn source(&self) -> &dyn GradientSource {
        match self {
            Self::Network(mlp, _) => &**mlp,
            Self::Field(field) => &**field,
        }
    }
}

impl Wanted {
    /// # Errors
    /// A network or an encoding that there cannot be, or a device too small for it.
    pub fn build(self, gpu: &Gpu, args: &Args) -> Result<Model, Box<dyn Error>> {
        let activation = args.activation.0;
        Ok(match self {
            Self::Network { batches, layers } => {
                let batch = batches.batch();
                let builder = Mlp::builder(&layers).activation(activation);
                let mlp = builder.loss(Loss::CrossEntropy).build(gpu, batches)?;
                Model::Network(Box::new(mlp), batch)
            }
            Self::Field { target, points, hidden } => {
                let builder = NeuralField::builder(args.encoding.0).hidden(&hidden);
                let builder = builder.activation(activation).points(points).seed(args.seed);
                Model::Field(Box::new(builder.build(gpu, &target)?))
            }
        })
    }
}

impl GradientSource for Model {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        match self {
            Self::Network(mlp, _) => GradientSource::evaluate(&mut **mlp, at),
            Self::Field(field) => GradientSource::evaluate(&mut **field, at),
        }
    }

    fn batches(&self) -> BatchesFrom {
        self.source().batches()
    }

    fn drawn(&self, attempt: Draws) -> Range<u64> {
        self.source().drawn(attempt)
    }

    fn writes(&self, storage: Storage) -> bool {
        self.source().writes(storage)
    }

    fn checks(&self) -> u32 {
        self.source().checks()
    }

    fn gpu(&self) -> Option<&Gpu> {
        self.source().gpu()
    }

    fn layout(&self) -> Option<&ParamLayout> {
        GradientSource::layout(self.source())
    }

    fn keeps_padding(&self) -> bool {
        self.source().keeps_padding()
    }
}
