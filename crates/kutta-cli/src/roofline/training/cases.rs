//! The networks whose training steps are measured.

use std::error::Error;

use kutta::data::{Batches, Inputs, Samples, Targets};
use kutta::models::{Encoding, HashGrid, Mlp, NeuralField, Points, Prediction, Target};
use kutta::{Gpu, GradientSource, Ingredients, Momentum, ParamLayout, Preconditioner};
use kutta_cli::output;

/// A network, its batch, and what a step was and shall be on an H100, in microseconds.
#[derive(Debug)]
pub struct Case {
    /// For `--cases` and in files.
    pub name: &'static str,
    pub what: &'static str,
    network: Network,
    pub batch: usize,
    /// `docs/results/training-h100.txt`
    pub before: Option<f64>,
    /// `docs/results/training-products-h100.txt`
    pub measured: Option<f64>,
    pub target: Option<f64>,
    /// A step takes seconds on a software adapter.
    pub is_large: bool,
}

#[derive(Debug)]
enum Network {
    /// A classifier of images in bytes.
    Mlp(&'static [usize]),
    /// A field of an image of three channels.
    Field { grid: HashGrid, hidden: &'static [usize], anywhere: bool },
}

const fn mlp(widths: &'static [usize]) -> Network {
    Network::Mlp(widths)
}

const fn grid(levels: u32, log2_table: u32, hidden: &'static [usize]) -> Network {
    let grid = HashGrid { levels, features: 2, log2_table, coarsest: 8, growth: 1.6 };
    Network::Field { grid, hidden, anywhere: false }
}

/// The six cases of docs/roofline.md, and one like tiny-cuda-nn's `config_hash.json` with the
/// batch of its `mlp_learning_an_image`.
pub const CASES: [Case; 7] = [
    Case {
        name: "mnist-128-b64",
        what: "784-128-10, batch 64",
        network: mlp(&[784, 128, 10]),
        batch: 64,
        before: Some(167.3),
        measured: Some(57.0),
        target: Some(45.0),
        is_large: false,
    },
    Case {
        name: "mnist-128-b1024",
        what: "784-128-10, batch 1,024",
        network: mlp(&[784, 128, 10]),
        batch: 1024,
        before: Some(394.4),
        measured: Some(83.7),
        target: Some(80.0),
        is_large: false,
    },
    Case {
        name: "mnist-1024x2-b1024",
        what: "784-1024-1024-10, batch 1,024",
        network: mlp(&[784, 1024, 1024, 10]),
        batch: 1024,
        before: Some(980.2),
        measured: Some(464.2),
        target: Some(420.0),
        is_large: false,
    },
    Case {
        name: "mnist-4096x2-b4096",
        what: "784-4096-4096-10, batch 4,096",
        network: mlp(&[784, 4096, 4096, 10]),
        batch: 4096,
        before: Some(21887.5),
        measured: Some(12715.0),
        target: Some(12000.0),
        is_large: true,
    },
    Case {
        name: "grid-32-b8192",
        what: "hash grid 8x2, 32 wide, batch 8,192",
        network: grid(8, 11, &[32]),
        batch: 8192,
        before: Some(1972.1),
        measured: Some(92.5),
        target: Some(60.0),
        is_large: false,
    },
    Case {
        name: "grid-64x2-b65536",
        what: "hash grid 16x2, 64-64, batch 65,536",
        network: grid(16, 15, &[64, 64]),
        batch: 65536,
        before: Some(26338.4),
        measured: Some(692.0),
        target: Some(900.0),
        is_large: true,
    },
    Case {
        name: "image-64x2-b262144",
        what: "hash grid 16x2, 64-64, batch 262,144",
        network: Network::Field {
            grid: HashGrid { levels: 16, features: 2, log2_table: 15, coarsest: 16, growth: 1.5 },
            hidden: &[64, 64],
            anywhere: true,
        },
        batch: 1 << 18,
        before: None,
        measured: None,
        target: None,
        is_large: true,
    },
];

/// Images of a data set such as MNIST.
const IMAGES: usize = 60_000;
/// Texels along each side of an image that a field is fitted to.
const SIDE: usize = 512;

/// A network on the device.
#[derive(Debug)]
pub enum Model {
    Mlp(Box<Mlp>),
    Field(Box<NeuralField>),
}

impl Model {
    pub fn source(&mut self) -> &mut dyn GradientSource {
        match self {
            Self::Mlp(mlp) => &mut **mlp,
            Self::Field(field) => &mut **field,
        }
    }

    pub fn layout(&self) -> &ParamLayout {
        match self {
            Self::Mlp(mlp) => mlp.layout(),
            Self::Field(field) => field.layout(),
        }
    }

    pub fn initial(&self) -> Vec<f32> {
        match self {
            Self::Mlp(mlp) => mlp.initial(7),
            Self::Field(field) => field.initial(7),
        }
    }

    /// The form of each product, a line each.
    pub fn products(&self) -> Vec<String> {
        let text = match self {
            Self::Mlp(mlp) => mlp.products(),
            Self::Field(field) => field.products(),
        };
        text.lines().map(str::to_owned).collect()
    }

    /// Dispatches of the gradient that was recorded last, batch and all.
    pub fn dispatches(&self) -> Option<usize> {
        match self {
            Self::Mlp(mlp) => mlp.dispatches(),
            Self::Field(field) => field.dispatches(),
        }
    }
}

impl Case {
    /// The cases of these names, in the order of the list; all without any.
    ///
    /// # Errors
    /// A name that is none, with those that are.
    pub fn chosen(names: &[String]) -> Result<Vec<&'static Self>, Box<dyn Error>> {
        if let Some(name) = names.iter().find(|name| CASES.iter().all(|case| case.name != **name)) {
            let all: Vec<&str> = CASES.iter().map(|case| case.name).collect();
            let all = all.join(", ");
            return Err(output::usage(format!("--cases: `{name}` is none of {all}")));
        }
        let asked = |case: &&Case| names.is_empty() || names.iter().any(|name| name == case.name);
        Ok(CASES.iter().filter(asked).collect())
    }

    /// What it is predicted to take on a large GPU.
    pub fn predicted(&self) -> Result<Prediction, Box<dyn Error>> {
        Ok(match &self.network {
            Network::Mlp(widths) => Mlp::builder(widths).predicted(self.batch)?,
            Network::Field { grid, hidden, anywhere } => {
                self.field(*grid, hidden, *anywhere).predicted(&image()?)?
            }
        })
    }

    /// The network on this device, with its data.
    pub fn model(&self, gpu: &Gpu) -> Result<Model, Box<dyn Error>> {
        Ok(match &self.network {
            Network::Mlp(widths) => {
                let inputs = widths[0];
                let pixels = (0..IMAGES * inputs).map(|i| (i * 37 % 251) as u8).collect();
                let labels = (0..IMAGES).map(|i| (i % 10) as u8).collect();
                let targets = Targets::Labels { labels, classes: 10 };
                let samples = Samples::new(Inputs::Bytes(pixels), inputs, targets)?;
                let batches = Batches::new(samples, self.batch)?;
                Model::Mlp(Box::new(Mlp::classifier(gpu, widths, batches)?))
            }
            Network::Field { grid, hidden, anywhere } => {
                let field = self.field(*grid, hidden, *anywhere).build(gpu, &image()?)?;
                Model::Field(Box::new(field))
            }
        })
    }

    fn field(
        &self,
        grid: HashGrid,
        hidden: &[usize],
        anywhere: bool,
    ) -> kutta::models::FieldBuilder {
        let points = if anywhere { Points::Anywhere } else { Points::Texels };
        NeuralField::builder(Encoding::HashGrid(grid)).hidden(hidden).points(points(self.batch))
    }
}

fn image() -> Result<Target, Box<dyn Error>> {
    let values = (0..SIDE * SIDE * 3).map(|i| (i * 37 % 251) as f32 / 251.0).collect();
    Ok(Target::image([SIDE, SIDE], 3, values)?)
}

/// Those of Euler with Adam, in which all steps are measured.
pub fn adam() -> Ingredients {
    Ingredients {
        preconditioner: Preconditioner::adam(0.999, 1e-8),
        momentum: Momentum::ema(0.9),
        ..Ingredients::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_chosen_by_name_in_their_own_order() {
        let chosen = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.into()).collect();
            Case::chosen(&names).map(|all| all.iter().map(|case| case.name).collect::<Vec<_>>())
        };
        assert_eq!(chosen(&[]).unwrap().len(), CASES.len());
        let two = ["grid-32-b8192", "mnist-128-b64"];
        assert_eq!(chosen(&two).unwrap(), ["mnist-128-b64", "grid-32-b8192"]);
        let error = chosen(&["grid-32-b8192", "mnist"]).unwrap_err().to_string();
        assert!(error.contains("`mnist` is none of mnist-128-b64, "), "{error}");
    }

    /// As docs/roofline.md says of each.
    #[test]
    fn each_case_has_as_many_parameters_as_its_network() {
        let found: Vec<usize> =
            CASES.iter().map(|case| case.predicted().unwrap().parameters()).collect();
        assert_eq!(found, [101_770, 101_770, 1_863_690, 20_037_642, 20_587, 656_031, 715_659]);
    }
}
