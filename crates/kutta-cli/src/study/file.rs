//! The file of arms.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kutta::Method;
use serde::{Deserialize, Serialize};
use toml::{Spanned, Value};

use crate::train::Args;
use kutta_cli::names;

/// Values of the knobs of an optimizer.
pub type Knobs = BTreeMap<String, f64>;

/// What is to be studied.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Study {
    /// Of the trials, and of their start; the final seeds follow it.
    #[serde(default = "one")]
    pub seed: u64,
    /// Of each optimizer, and again for each extension.
    pub trials: Spanned<usize>,
    /// Final runs of each optimizer.
    #[serde(default = "ten")]
    pub seeds: Spanned<usize>,
    /// Training images that nothing is trained with.
    #[serde(default = "five_thousand")]
    pub held_out: Spanned<usize>,
    /// How often ranges may be extended.
    #[serde(default = "three")]
    pub extensions: usize,
    /// What the gradients are counted to.
    #[serde(default = "tenth")]
    pub target_loss: f64,
    /// Optimizers that the others are compared with.
    #[serde(default)]
    pub against: Vec<Spanned<String>>,
    /// Optimizers that are drawn; all, if there are none.
    #[serde(default)]
    pub drawn: Vec<Spanned<String>>,
    #[serde(default)]
    pub arm: Vec<Arm>,
    #[serde(default)]
    pub optimizer: Vec<Recipe>,
}

fn one() -> u64 {
    1
}
fn three() -> usize {
    3
}
fn tenth() -> f64 {
    0.1
}
fn ten() -> Spanned<usize> {
    Spanned::new(0..0, 10)
}
fn five_thousand() -> Spanned<usize> {
    Spanned::new(0..0, 5000)
}

/// Settings: every data set with every batch size, number of epochs, schedule and width.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Arm {
    pub data: Spanned<Vec<PathBuf>>,
    /// Only the first training images, those held out among them.
    pub images: Option<usize>,
    pub batch: Spanned<Vec<usize>>,
    pub epochs: Spanned<Vec<u64>>,
    #[serde(default = "constant")]
    pub schedule: Spanned<Vec<Schedule>>,
    /// The part of the steps that a cosine warms up for.
    #[serde(default)]
    pub warm_up: f64,
    #[serde(default = "usual")]
    pub hidden: Spanned<Vec<Vec<usize>>>,
}

fn constant() -> Spanned<Vec<Schedule>> {
    Spanned::new(0..0, vec![Schedule::Constant])
}
fn usual() -> Spanned<Vec<Vec<usize>>> {
    Spanned::new(0..0, vec![vec![128]])
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    Constant,
    Cosine,
}

/// An optimizer by the options of `kutta train`, in which `{h}` stands for a knob and
/// `{1-b}` for what it lacks to 1.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recipe {
    pub name: Spanned<String>,
    #[serde(default)]
    pub options: BTreeMap<String, Value>,
    /// From and to, of every knob.
    pub search: BTreeMap<String, [f64; 2]>,
}

/// What is the same for all optimizers that are compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    pub data: PathBuf,
    pub images: Option<usize>,
    pub held_out: usize,
    pub batch: usize,
    pub epochs: u64,
    pub schedule: Schedule,
    pub warm_up: f64,
    pub hidden: Vec<usize>,
}

impl Setting {
    pub fn name(&self) -> String {
        let data = self.data.file_name().unwrap_or(self.data.as_os_str()).display();
        let images = self.images.map_or(String::new(), |n| format!(" (first {n})"));
        let schedule = match self.schedule {
            Schedule::Constant => "constant h",
            Schedule::Cosine => "cosine",
        };
        let hidden: Vec<_> = self.hidden.iter().map(usize::to_string).collect();
        let (batch, epochs, hidden) = (self.batch, self.epochs, hidden.join("-"));
        format!("{data}{images}, {hidden} hidden, batch {batch}, {epochs} epochs, {schedule}")
    }
}

/// Those options of `kutta train` that an optimizer has.
const OPTIONS: [&str; 14] = [
    "method",
    "step-size",
    "adaptive",
    "spectral-radius",
    "clip",
    "preconditioner",
    "momentum",
    "storage",
    "weight-decay",
    "l2",
    "accumulate",
    "batch-per-stage",
    "budget",
    "activation",
];

/// A file, for what is said of its lines.
pub struct Text<'a> {
    pub path: &'a Path,
    pub text: &'a str,
}

impl Text<'_> {
    fn line(&self, at: usize) -> usize {
        1 + self.text.bytes().take(at).filter(|&byte| byte == b'\n').count()
    }

    pub fn fault(&self, at: usize, words: impl std::fmt::Display) -> String {
        format!("{}:{}: {words}", self.path.display(), self.line(at))
    }
}

impl Study {
    /// Reads and checks all that can be without the data.
    ///
    /// # Errors
    /// What is wrong, by its file and line.
    pub fn read(file: &Text<'_>) -> Result<Self, String> {
        let study: Self = toml::from_str(file.text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let words = error.message().trim().replace('\n', "; ");
            file.fault(at, format_args!("{words}; `kutta study --help` says what may stand here"))
        })?;
        study.check(file)?;
        Ok(study)
    }

    fn check(&self, file: &Text<'_>) -> Result<(), String> {
        let empty = |at: usize, what: &str, remedy: &str| {
            Err(file.fault(at, format_args!("{what}; {remedy}")))
        };
        let Self { trials, seeds, held_out, .. } = self;
        if *trials.get_ref() == 0 {
            return empty(trials.span().start, "no trials", "give `trials` 1 or more");
        }
        if *seeds.get_ref() < 2 {
            let at = seeds.span().start;
            return empty(at, "too few seeds for an interval", "give `seeds` 2 or more");
        }
        if *held_out.get_ref() == 0 {
            let words = "no held-out part, so nothing to choose by";
            return empty(held_out.span().start, words, "give `held-out` 1 or more images");
        }
        if self.arm.is_empty() {
            return empty(0, "no arm", "add an [[arm]] with data, batch and epochs");
        }
        if self.optimizer.is_empty() {
            return empty(0, "no optimizer", "add an [[optimizer]] with name and search");
        }
        for arm in &self.arm {
            for (name, span, is_empty, zero) in [
                ("data", arm.data.span(), arm.data.get_ref().is_empty(), false),
                (
                    "batch",
                    arm.batch.span(),
                    arm.batch.get_ref().is_empty(),
                    arm.batch.get_ref().contains(&0),
                ),
                (
                    "epochs",
                    arm.epochs.span(),
                    arm.epochs.get_ref().is_empty(),
                    arm.epochs.get_ref().contains(&0),
                ),
                ("schedule", arm.schedule.span(), arm.schedule.get_ref().is_empty(), false),
                ("hidden", arm.hidden.span(), arm.hidden.get_ref().is_empty(), false),
            ] {
                if is_empty {
                    let words = format!("`{name}` is an empty grid");
                    return empty(span.start, &words, "give it one value or more");
                }
                if zero {
                    let words = format!("`{name}` has a 0");
                    return empty(span.start, &words, "give it whole numbers of 1 or more");
                }
            }
            if !(0.0..1.0).contains(&arm.warm_up) {
                let words = format!("warm-up = {} is no part of the steps", arm.warm_up);
                return empty(arm.data.span().start, &words, "give it at least 0 and below 1");
            }
        }
        let names: Vec<&str> = self.optimizer.iter().map(Recipe::name).collect();
        let mut decades: BTreeMap<&str, (f64, &str)> = BTreeMap::new();
        for (i, recipe) in self.optimizer.iter().enumerate() {
            let (name, at) = (recipe.name(), recipe.name.span().start);
            let fault = |words: String| Err(file.fault(at, format_args!("`{name}`: {words}")));
            if names[..i].contains(&name) {
                return fault("this name is there twice; give each optimizer its own".into());
            }
            if recipe.search.is_empty() {
                return fault("an empty grid; give `search` a range, such as h = [0.01, 1]".into());
            }
            for (knob, [low, high]) in &recipe.search {
                if !(*low > 0.0 && low < high && high.is_finite()) {
                    return fault(format!(
                        "{knob} = [{low}, {high}] is no range; give two numbers above 0, the \
                         smaller one first"
                    ));
                }
                let wide = (high / low).log10();
                let (first, whose) = *decades.entry(knob).or_insert((wide, name));
                if (first - wide).abs() > 1e-6 {
                    return fault(format!(
                        "{knob} is searched over {wide:.3} decades, and over {first:.3} for \
                         `{whose}`; give all the same number"
                    ));
                }
            }
            if let Some(other) = recipe.options.keys().find(|key| !OPTIONS.contains(&key.as_str()))
            {
                let known = OPTIONS.join(", ");
                return fault(format!("`{other}` is no option of an optimizer; there are {known}"));
            }
            // Both ends of all ranges, in every setting.
            for setting in self.settings() {
                for end in [0, 1] {
                    let knobs = recipe.search.iter().map(|(k, ends)| (k.clone(), ends[end]));
                    let knobs = knobs.collect();
                    if let Err(words) = recipe.args(&setting, &knobs, self.seed, 1) {
                        return fault(words);
                    }
                }
            }
        }
        for name in self.against.iter().chain(&self.drawn) {
            if !names.contains(&name.get_ref().as_str()) {
                let (name, all) = (name.get_ref(), names.join(", "));
                let at = self.against.iter().chain(&self.drawn);
                let at = at.into_iter().find(|n| n.get_ref() == name).map_or(0, |n| n.span().start);
                return empty(
                    at,
                    &format!("`{name}` is no optimizer's name"),
                    &format!("there are {all}"),
                );
            }
        }
        Ok(())
    }

    /// All settings of all arms, each once.
    pub fn settings(&self) -> Vec<Setting> {
        let mut all: Vec<Setting> = Vec::new();
        for arm in &self.arm {
            let mut made = vec![Setting {
                data: PathBuf::new(),
                images: arm.images,
                held_out: *self.held_out.get_ref(),
                batch: 0,
                epochs: 0,
                schedule: Schedule::Constant,
                warm_up: arm.warm_up,
                hidden: Vec::new(),
            }];
            made = times(&made, &arm.data, |made, data| made.data.clone_from(data));
            made = times(&made, &arm.schedule, |made, schedule| made.schedule = *schedule);
            made = times(&made, &arm.epochs, |made, epochs| made.epochs = *epochs);
            made = times(&made, &arm.hidden, |made, hidden| made.hidden.clone_from(hidden));
            made = times(&made, &arm.batch, |made, batch| made.batch = *batch);
            for setting in made {
                if !all.contains(&setting) {
                    all.push(setting);
                }
            }
        }
        all
    }
}

/// Every setting with every value.
fn times<T>(
    made: &[Setting],
    values: &Spanned<Vec<T>>,
    put: impl Fn(&mut Setting, &T),
) -> Vec<Setting> {
    let with = |setting: &Setting, value: &T| {
        let mut setting = setting.clone();
        put(&mut setting, value);
        setting
    };
    let all = |setting| values.get_ref().iter().map(move |value| (setting, value));
    made.iter().flat_map(all).map(|(setting, value)| with(setting, value)).collect()
}

impl Recipe {
    pub fn name(&self) -> &str {
        self.name.get_ref()
    }

    /// The options of `kutta train` for a run of so many batches an epoch.
    ///
    /// # Errors
    /// Options that cannot be read, or that do not go together.
    pub fn args(
        &self,
        setting: &Setting,
        knobs: &Knobs,
        seed: u64,
        batches: u64,
    ) -> Result<Args, String> {
        let mut line = vec!["train".to_owned()];
        let mut used = Vec::new();
        let mut fill = |text: &str| {
            let mut text = text.to_owned();
            for (knob, value) in knobs {
                // A step size of 0 is none: a cosine ends at a thousandth.
                for (hole, value) in [
                    (format!("{{{knob}}}"), *value),
                    (format!("{{1-{knob}}}"), 1.0 - value),
                    (format!("{{{knob}/1000}}"), value / 1000.0),
                ] {
                    if text.contains(&hole) {
                        used.push(knob.clone());
                        text = text.replace(&hole, &value.to_string());
                    }
                }
            }
            text
        };
        for (name, value) in &self.options {
            match value {
                Value::Boolean(false) => {}
                Value::Boolean(true) => line.push(format!("--{name}")),
                Value::String(text) => line.push(format!("--{name}={}", fill(text))),
                Value::Integer(value) => line.push(format!("--{name}={value}")),
                Value::Float(value) => line.push(format!("--{name}={value}")),
                _ => return Err(format!("`{name}` is neither text, number nor yes or no")),
            }
        }
        if knobs.contains_key("h") && !self.options.contains_key("step-size") {
            let text = match setting.schedule {
                Schedule::Constant => "{h}".to_owned(),
                Schedule::Cosine => self.cosine(setting, batches)?,
            };
            line.push(format!("--step-size={}", fill(&text)));
        }
        if let Some(knob) = knobs.keys().find(|knob| !used.contains(*knob)) {
            return Err(format!(
                "`{knob}` is searched and stands in no option; write {{{knob}}} into one"
            ));
        }
        let hidden: Vec<_> = setting.hidden.iter().map(usize::to_string).collect();
        line.push(format!("--hidden={}", hidden.join(",")));
        line.push(format!("--batch={}", setting.batch));
        line.push(format!("--epochs={}", setting.epochs));
        line.push(format!("--seed={seed}"));
        let args = Args::read(line.into_iter().map(Into::into))
            .map_err(|error| error.to_string().trim().replace("error: ", ""))?;
        for method in args.methods()? {
            args.builder(&method).map_err(|error| error.to_string())?;
        }
        Ok(args)
    }

    fn method(&self) -> Result<Method, String> {
        let name = self.options.get("method").and_then(Value::as_str).unwrap_or("rk4");
        names::load(name).map(|named| named.method).map_err(|error| error.to_string())
    }

    /// Gradients of a step, about.
    pub fn stages(&self) -> Result<u64, String> {
        Ok(self.method()?.stages().max(1) as u64)
    }

    /// Steps of a run, about: methods that choose their stages or refuse steps differ.
    pub fn steps(&self, setting: &Setting, batches: u64) -> Result<u64, String> {
        let fresh = self.options.get("batch-per-stage").and_then(Value::as_bool) == Some(true);
        let gradients = self.options.get("budget").and_then(Value::as_str) == Some("evaluations");
        let each = if fresh || gradients { self.stages()? } else { 1 };
        Ok((setting.epochs * batches).div_ceil(each).max(1))
    }

    fn cosine(&self, setting: &Setting, batches: u64) -> Result<String, String> {
        let steps = self.steps(setting, batches)?;
        let warm = (setting.warm_up * steps as f64).round() as u64;
        let rest = steps.saturating_sub(warm).max(1);
        let warm = if warm > 0 { format!(",warm-up={warm}") } else { String::new() };
        Ok(format!("cosine:from={{h}},to={{h/1000}},steps={rest}{warm}"))
    }
}
