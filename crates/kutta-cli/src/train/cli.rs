//! The options.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, FromArgMatches, Parser, ValueEnum};
use kutta::checkpoint::Every;
use kutta::models::{Activation, Products};
use kutta::optimizer::Builder;
use kutta::{Method, StepSize};
use serde::Serialize;

use super::recipe::{Recipe, as_debug, positive};
use kutta_cli::names::{self, Named};
use kutta_cli::output;

/// Trains a multilayer perceptron on a folder of IDX files with a Runge-Kutta
/// method, and draws its loss and test accuracy.
#[derive(Debug, Parser, Serialize)]
#[command(name = "kutta train")]
pub struct Args {
    /// Folder with {train,t10k}-{images-idx3,labels-idx1}-ubyte, plain or .gz
    #[arg(long, value_name = "DIR", default_value = "data/mnist")]
    pub data: PathBuf,

    /// Runge-Kutta method, by name, such as rk4, rdpk3sp35 or rkc2:stages=8, or a
    /// file of your own that ends in .json; an unknown name lists them all
    #[arg(long, value_name = "NAME|FILE", default_value = "rk4", conflicts_with = "compare")]
    pub method: String,

    /// Trains with several methods from the same start and draws them together
    #[arg(long, value_name = "NAME|FILE,...", value_delimiter = ',')]
    pub compare: Vec<String>,

    #[command(flatten)]
    #[serde(flatten)]
    pub recipe: Recipe,

    /// Samples in a batch, or in a micro-batch
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = positive)]
    pub batch: usize,

    /// How often to go through the training set: until its batches have been drawn so
    /// often, by whatever steps; a refused step draws no further ones
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub epochs: u64,

    /// What the epochs count for every method: epochs themselves, or as many
    /// gradient evaluations as those epochs have batches of --batch samples, so that
    /// a method of s stages takes 1/s of the steps, whatever batches they see
    #[arg(long, value_enum, default_value_t = Budget::Epochs)]
    pub budget: Budget,

    /// Widths of the hidden layers
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "128", value_parser = positive)]
    pub hidden: Vec<usize>,

    /// What a hidden layer does with its sums
    #[arg(long, value_enum, default_value_t = ActivationName::Relu)]
    pub activation: ActivationName,

    /// How matrix products are computed. matrix takes the GPU's matrix units (f16 operands,
    /// f32 sums) and is refused where there are none; matrix-or-auto does without; and
    /// emulated-matrix shows on any device what their roundings do, slowly
    #[arg(long, value_enum, default_value_t = ProductsName::Auto)]
    pub products: ProductsName,

    /// Seed of the initial parameters and of the order of the samples
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub seed: u64,

    /// Folder for train.svg and train.png, made if it is missing
    #[arg(long, value_name = "DIR", default_value = "target/train")]
    pub out: PathBuf,

    /// Saves the training in this folder as it goes on, and at its end
    #[arg(long, value_name = "DIR", conflicts_with = "compare")]
    pub checkpoint: Option<PathBuf>,

    /// How often: after so many steps, 500, or seconds, 30s
    #[arg(long, value_name = "N|Ns", default_value = "60s", requires = "checkpoint")]
    #[serde(serialize_with = "as_debug")]
    pub every: Every,

    /// Checkpoints to keep: the newest ones
    #[arg(long, value_name = "N", default_value_t = 3, requires = "checkpoint", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: u32,

    /// Goes on from the newest whole checkpoint in the folder, if there is one, with the
    /// options that it was made with where others are not given
    #[arg(long, requires = "checkpoint")]
    pub resume: bool,

    /// Also writes the options and the whole curve to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// What was read.
    #[arg(skip)]
    #[serde(skip)]
    line: Vec<OsString>,

    /// The options of [`TRAINING`], as they were written, and whether they were.
    #[arg(skip)]
    #[serde(skip)]
    texts: BTreeMap<&'static str, (String, bool)>,

    /// The method of a checkpoint, which no file need define any more.
    #[arg(skip)]
    #[serde(skip)]
    trained: Option<Method>,
}

/// An option that a training depends on.
#[derive(Debug)]
pub struct Trained {
    id: &'static str,
    /// Whether a training may go on with another value.
    pub may_change: bool,
}

impl Trained {
    const fn fixed(id: &'static str) -> Self {
        Self { id, may_change: false }
    }

    const fn free(id: &'static str) -> Self {
        Self { id, may_change: true }
    }

    /// As on the command line, without its dashes.
    pub fn name(&self) -> String {
        self.id.replace('_', "-")
    }
}

/// A checkpoint keeps them all. Where other values would ask for state that it has not,
/// the optimizer refuses; where they would mean other samples, they are fixed. Of the data
/// there is a hash beside their folder.
pub const TRAINING: [Trained; 21] = [
    Trained::free("method"),
    Trained::free("step_size"),
    Trained::free("adaptive"),
    Trained::free("spectral_radius"),
    Trained::free("clip"),
    Trained::free("preconditioner"),
    Trained::free("momentum"),
    Trained::free("storage"),
    Trained::free("weight_decay"),
    Trained::free("l2"),
    Trained::free("average"),
    Trained::fixed("accumulate"),
    Trained::fixed("batch_per_stage"),
    Trained::fixed("batch"),
    Trained::free("epochs"),
    Trained::free("budget"),
    Trained::fixed("hidden"),
    Trained::fixed("activation"),
    Trained::free("products"),
    Trained::fixed("seed"),
    Trained::free("data"),
];

/// An option that is not as in the checkpoint.
#[derive(Debug)]
pub struct Change {
    pub option: &'static Trained,
    pub now: String,
    pub before: String,
}

/// What is the same for all methods of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Budget {
    Epochs,
    Evaluations,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActivationName {
    Relu,
    Tanh,
    Gelu,
}

impl From<ActivationName> for Activation {
    fn from(name: ActivationName) -> Self {
        match name {
            ActivationName::Relu => Activation::Relu,
            ActivationName::Tanh => Activation::Tanh,
            ActivationName::Gelu => Activation::Gelu,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProductsName {
    Auto,
    Register,
    Sliced,
    Workgroup,
    Fused,
    Matrix,
    MatrixOrAuto,
    EmulatedMatrix,
}

impl ProductsName {
    /// Whether the device shall have its matrix units open, if there are any.
    pub fn wants_units(self) -> bool {
        matches!(self, ProductsName::Matrix | ProductsName::MatrixOrAuto)
    }
}

impl From<ProductsName> for Products {
    fn from(name: ProductsName) -> Self {
        match name {
            ProductsName::Auto => Products::Auto,
            ProductsName::Register => Products::Register,
            ProductsName::Sliced => Products::Sliced,
            ProductsName::Workgroup => Products::Workgroup,
            ProductsName::Fused => Products::Fused,
            ProductsName::Matrix => Products::Matrix,
            ProductsName::MatrixOrAuto => Products::MatrixOrAuto,
            ProductsName::EmulatedMatrix => Products::EmulatedMatrix,
        }
    }
}

impl Args {
    /// # Errors
    /// What clap says of a line.
    pub fn read(line: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let line: Vec<OsString> = line.into_iter().collect();
        let mut command = output::command::<Self>();
        let matches = command.try_get_matches_from_mut(&line)?;
        let mut args = Self::from_arg_matches(&matches).map_err(|e| e.format(&mut command))?;
        args.texts = TRAINING.iter().map(|option| (option.id, text(&matches, option.id))).collect();
        args.line = line;
        Ok(args)
    }

    /// As it was written, or its default; empty where it has none.
    pub fn text(&self, option: &Trained) -> &str {
        self.texts.get(option.id).map_or("", |(text, _)| text)
    }

    /// Whether it was written.
    pub fn is_given(&self, option: &Trained) -> bool {
        self.texts.get(option.id).is_some_and(|(_, given)| *given)
    }

    /// These options where they were given, and those of a checkpoint where not; with what
    /// that changes, but for folders of data and for methods, which files may define.
    ///
    /// # Errors
    /// An option that the checkpoint does not tell, or that cannot be read.
    pub fn resumed<'a>(
        &self,
        saved: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<(Self, Vec<Change>), String> {
        let (mut all, mut missing) = (vec![OsString::from("train")], self.line.clone());
        for option in &TRAINING {
            let name = option.name();
            // Files from before there was a choice do not tell it.
            let before = (option.id == "products").then_some("auto");
            let text = saved(&name).or(before).ok_or_else(|| {
                format!("it does not tell its --{name}, so that no `train` of this kind made it")
            })?;
            let argument = match (option.id, text) {
                (_, "") | ("batch_per_stage", "false") => continue,
                ("batch_per_stage", _) => format!("--{name}"),
                _ => format!("--{name}={text}"),
            };
            if !self.is_given(option) {
                missing.push((&argument).into());
            }
            all.push(argument.into());
        }
        let [theirs, merged] = [all, missing].map(|line| {
            Self::read(line).map_err(|error| format!("its options cannot be read: {error}"))
        });
        let (theirs, mut merged) = (theirs?, merged?);
        let changed = |option: &&'static Trained| {
            !["method", "data"].contains(&option.id) && merged.value(option) != theirs.value(option)
        };
        let said = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
        let changes = TRAINING.iter().filter(changed).map(|option| Change {
            option,
            now: said(merged.text(option)),
            before: said(theirs.text(option)),
        });
        let changes: Vec<Change> = changes.collect();
        for option in &TRAINING {
            // The checkpoint's words, unless others mean something else.
            let changes = changes.iter().any(|change| change.option.id == option.id);
            let folder = ["method", "data"].contains(&option.id);
            let given = self.is_given(option);
            let words = if changes || folder && given { &merged } else { &theirs };
            let words = words.text(option).to_owned();
            merged.texts.insert(option.id, (words, given));
        }
        Ok((merged, changes))
    }

    /// What an option means, however it was written.
    fn value(&self, option: &Trained) -> String {
        match (option.id, self.step_size()) {
            ("step_size", Ok(step_size)) => format!("{step_size:?}"),
            ("step_size", Err(_)) => self.recipe.step_size.clone(),
            (id, _) => serde_json::to_value(self)
                .ok()
                .and_then(|all| all.get(id).map(ToString::to_string))
                .unwrap_or_default(),
        }
    }

    /// What the methods to train with are asked for by.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = match self.compare.as_slice() {
            [] => std::slice::from_ref(&self.method),
            names => names,
        };
        names.iter().map(|name| name.trim())
    }

    /// The methods, in the order asked for.
    ///
    /// # Errors
    /// A name that is unknown or there twice, or a file that holds no method.
    pub fn methods(&self) -> Result<Vec<Method>, String> {
        if let Some(method) = &self.trained {
            return Ok(vec![method.clone()]);
        }
        Ok(self.named()?.into_iter().map(|named| named.method).collect())
    }

    /// What to call the methods, each by a name of its own.
    ///
    /// # Errors
    /// As [`Args::methods`].
    pub fn labels(&self) -> Result<Vec<String>, String> {
        match &self.trained {
            Some(method) => Ok(vec![method.to_string()]),
            None => Ok(self.named()?.into_iter().map(|named| named.name).collect()),
        }
    }

    fn named(&self) -> Result<Vec<Named>, String> {
        let mut all: Vec<Named> = Vec::new();
        for name in self.names() {
            let named = names::load(name).map_err(|e| e.to_string())?;
            // Aliases of one method are one method.
            if all.iter().any(|other| other.name == named.name) {
                let name = named.name;
                return Err(format!("--compare has `{name}` twice; name each method once"));
            }
            all.push(named);
        }
        Ok(all)
    }

    /// Trains with this method, whatever `--method` names.
    pub fn trained_with(&mut self, method: Method) {
        self.trained = Some(method);
    }

    /// Those of the methods that files of their own define.
    pub fn own<'a>(&self, methods: &'a [Method]) -> impl Iterator<Item = &'a Method> {
        let named = self.trained.is_none();
        let files: Vec<bool> = self.names().map(|name| named && Method::is_path(name)).collect();
        methods.iter().zip(files).filter_map(|(method, own)| own.then_some(method))
    }

    /// # Errors
    /// As [`Recipe::step_size`].
    pub fn step_size(&self) -> Result<StepSize, kutta::Error> {
        self.recipe.step_size()
    }

    /// How to build an optimizer of one of the methods.
    ///
    /// # Errors
    /// As [`Recipe::builder`].
    pub fn builder(&self, method: &Method) -> Result<Builder, kutta::Error> {
        self.recipe.builder(method)
    }

    /// Widths of all layers, from inputs to classes.
    pub fn layers(&self, inputs: usize, classes: usize) -> Vec<usize> {
        let mut layers = vec![inputs];
        layers.extend(&self.hidden);
        layers.push(classes);
        layers
    }
}

/// Values that were split at commas are put together again.
fn text(matches: &ArgMatches, id: &str) -> (String, bool) {
    let values = matches.get_raw(id).into_iter().flatten();
    let values: Vec<_> = values.map(|value| value.to_string_lossy()).collect();
    let given = matches.value_source(id) == Some(ValueSource::CommandLine);
    (values.join(","), given)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::read(std::iter::once("train").chain(line.split_whitespace()).map(Into::into))
    }

    fn notes(args: &Args) -> BTreeMap<String, String> {
        TRAINING.iter().map(|option| (option.name(), args.text(option).to_owned())).collect()
    }

    #[test]
    fn a_checkpoints_options_hold_where_none_are_given() {
        let line = "--method mine.json --step-size cosine:from=0.5,to=0.01,steps=40 --hidden 6,7 \
                    --adaptive rtol=1e-2,atol=1e-3 --batch-per-stage --clip 2.50 --seed 8 \
                    --preconditioner adam:beta2=0.99 --budget evaluations";
        let saved = parse(line).unwrap();
        let notes = notes(&saved);
        let saved = |key: &str| notes.get(key).map(String::as_str);
        let resumed = |line: &str| parse(line).unwrap().resumed(saved).unwrap();
        let (all, changes) = resumed("--checkpoint x --resume");
        assert_eq!(self::notes(&all), notes);
        assert!(changes.is_empty() && all.resume && all.recipe.batch_per_stage);
        assert!(TRAINING.iter().all(|option| !all.is_given(option)));
        assert_eq!((all.recipe.clip, all.hidden.as_slice()), (Some(2.5), &[6, 7][..]));

        // The same in other words is no change; others are, in the order of the table.
        let (_, changes) = resumed(
            "--checkpoint x --resume --clip 2.5 --hidden 6,7 --seed 8 --step-size \
             cosine:from=.5,to=.01,steps=40 --adaptive rtol=0.01,atol=0.001",
        );
        assert_eq!(changes.len(), 0);
        let (all, changes) = resumed("--checkpoint x --resume --seed 9 --l2 0.1 --average 0.9");
        let said: Vec<_> = changes
            .iter()
            .map(|change| (change.option.name(), &*change.now, &*change.before))
            .collect();
        let expected = [("l2", "0.1", "0"), ("average", "0.9", "none"), ("seed", "9", "8")];
        assert_eq!(said, expected.map(|(name, now, before)| (name.to_owned(), now, before)));
        let may: Vec<bool> = changes.iter().map(|change| change.option.may_change).collect();
        assert_eq!(may, [true, true, false]);
        assert_eq!(all.seed, 9);
        let missing = |key: &str| notes.get(key).filter(|_| key != "clip").map(String::as_str);
        let message = parse("--checkpoint x --resume").unwrap().resumed(missing).unwrap_err();
        assert!(message.contains("--clip"), "{message}");
    }

    #[test]
    fn lists_are_split_at_commas() {
        let args = parse("--hidden 128,64 --compare euler,heun,rk4").unwrap();
        assert_eq!(args.layers(784, 10), [784, 128, 64, 10]);
        let names: Vec<_> = args.methods().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), 3);
        assert_eq!(names[2], "rk4");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in ["--epochs 0", "--hidden 12,x", "--method rk4 --compare euler", "--budget time"]
            .into_iter()
            .chain([
                "--resume",
                "--every 10",
                "--checkpoint x --every 0",
                "--checkpoint x --keep 0",
            ])
            .chain(["--checkpoint x --compare euler,rk4", "--checkpoint x --every 2h"])
            .chain(["--batch 0", "--hidden 0", "--hidden 4,0", "--accumulate 0"])
        {
            assert!(parse(line).is_err(), "{line}");
        }
        let message = parse("--compare rk4,euler,rk4").unwrap().methods().unwrap_err();
        assert!(message.contains("rk4") && message.contains("twice"), "{message}");
        let message = parse("--method rk5").unwrap().methods().unwrap_err();
        assert!(message.contains("rk5") && message.contains("rk4"), "{message}");
    }
}
