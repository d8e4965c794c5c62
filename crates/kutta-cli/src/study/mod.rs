//! Studies: optimizers that are tuned alike, chosen on held-out images and compared by
//! fresh seeds.
//!
//! ```sh
//! cargo run --release -p kutta-cli -- study docs/results/study/study.toml --dry-run
//! ```

mod file;
mod lines;
mod picture;
mod protocol;
mod report;
mod statistics;
mod work;

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::{HumanDuration, ProgressBar};
use sha2::{Digest, Sha256};

use self::file::{Knobs, Setting, Study, Text};
use self::lines::{Line, Lines};
use self::picture::Figure;
use self::protocol::{Numbers, Searched, Seen, State, Wanted};
use self::report::{Results, Row};
use self::work::{AllData, Data, Job};
use crate::numbers::{grouped, hex};
use crate::plot::canvas;
use crate::train::bar;
use kutta_cli::notice::Notice;
use kutta_cli::output::{Output, Outputs, usage};

/// Compares tuned optimizers: the same trials for each, chosen on held-out images, fresh
/// seeds, one test
///
/// The file of arms is a TOML file. It says `trials` (of each optimizer, drawn log-uniformly
/// from `seed`), `seeds` (final runs of each, 10), `held-out` (training images to choose by,
/// 5000), `extensions` (how often ranges may be extended, 3), `target-loss` (0.1), `against`
/// (optimizers that the others are compared with) and `drawn` (those in the figures).
///
/// Every [[arm]] has lists `data` (folders of IDX files), `batch` and `epochs`, and may have
/// `images` (only the first so many), `schedule` ("constant", "cosine"), `warm-up` (a part of
/// the steps) and `hidden` (lists of widths); every combination is a setting.
///
/// Every [[optimizer]] has a `name`, `options` as those of `kutta train`, and ranges of
/// knobs to `search`, such as h = [0.01, 1]. In the options {c} stands for the knob c, and
/// {1-b} for 1 minus the knob b. A knob h without an option `step-size` is the step size of
/// the arm's schedule; any other step size stays as it is under every schedule.
///
/// Runs are added to runs.jsonl in the folder of --out as they end. The same command goes on
/// where it stopped, also after the file of arms has grown. Settings are reported when all of
/// their runs have ended.
#[derive(Debug, Parser)]
pub struct Options {
    /// The file of arms
    #[arg(value_name = "FILE", required_unless_present = "quick")]
    file: Option<PathBuf>,
    /// Runs a short study of its own on the first images of data/mnist
    #[arg(long, conflicts_with = "file")]
    quick: bool,
    /// Checks everything, says how many runs and gradients there are, and ends
    #[arg(long)]
    dry_run: bool,
    /// Runs at a time; they share one adapter
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// Folder for runs.jsonl, study.md, the CSVs and the figures
    #[arg(long, value_name = "DIR", default_value = "target/study")]
    out: PathBuf,
}

/// What --quick studies.
const QUICK: &str = include_str!("quick.toml");

struct Files {
    table: Output,
    runs: Output,
    pairs: Output,
    figures: Vec<[Output; 2]>,
}

/// Names of the figures, without their endings.
const FIGURES: [&str; 3] = ["accuracy", "differences", "gradients"];

pub fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let path = options.file.clone().unwrap_or_else(|| "quick.toml".into());
    let text = match options.quick {
        true => QUICK.to_owned(),
        false => std::fs::read_to_string(&path)
            .map_err(|error| usage(format_args!("`{}` cannot be read: {error}", path.display())))?,
    };
    let file = Text { path: &path, text: &text };
    let study = Study::read(&file).map_err(usage)?;
    let settings = study.settings();
    let data = data(&study, &file)?;
    let plan = Plan { study: &study, settings: &settings, data: &data };
    if options.dry_run {
        return plan.dry(&file);
    }
    for setting in 0..settings.len() {
        plan.check(setting).map_err(usage)?;
    }
    let mut outputs = Outputs::default();
    let folder = outputs.folder("--out", &options.out)?;
    let drawn = |name: &str| -> Result<[Output; 2], Box<dyn Error>> {
        Ok([folder.file(format!("{name}.svg"))?, folder.file(format!("{name}.png"))?])
    };
    let files = Files {
        table: folder.file("study.md")?,
        runs: folder.file("runs.csv")?,
        pairs: folder.file("differences.csv")?,
        figures: FIGURES.iter().map(|name| drawn(name)).collect::<Result<_, _>>()?,
    };
    let path = folder.path().join("runs.jsonl");
    let cannot = |error| format!("--out: `{}` cannot be opened: {error}", path.display());
    let lines = Lines::open(&path).map_err(cannot)?;
    for line in &lines.cut {
        note!("{}:{line}: no whole run; it is made again", path.display());
    }
    let lines = RefCell::new(lines);
    let made = plan.make(&lines, usize::from(options.jobs));
    let results = plan.results(&lines.borrow());
    files.write(&study, &results);
    outputs.list();
    made.map_err(|error| {
        format!("{error}; what has ended is kept, the same command goes on").into()
    })
}

/// Reads every data set once.
fn data(study: &Study, file: &Text<'_>) -> Result<AllData, Box<dyn Error>> {
    let mut all = AllData::new();
    let held_out = *study.held_out.get_ref();
    for arm in &study.arm {
        for folder in arm.data.get_ref() {
            let key = (folder.clone(), arm.images, held_out);
            if let std::collections::hash_map::Entry::Vacant(entry) = all.entry(key) {
                let read = Data::open(folder, arm.images, held_out);
                let fault = |words| usage(file.fault(arm.data.span().start, words));
                entry.insert(read.map_err(fault)?);
            }
        }
    }
    Ok(all)
}

struct Plan<'a> {
    study: &'a Study,
    settings: &'a [Setting],
    data: &'a AllData,
}

impl Plan<'_> {
    fn numbers(&self) -> Numbers {
        let Study { seed, extensions, .. } = *self.study;
        let (trials, seeds) = (*self.study.trials.get_ref(), *self.study.seeds.get_ref());
        Numbers { seed, trials, seeds, extensions }
    }

    fn optimizers(&self) -> Vec<Searched> {
        let recipes = self.study.optimizer.iter();
        let one = |recipe: &file::Recipe| Searched {
            name: recipe.name().to_owned(),
            ranges: recipe.search.clone(),
        };
        recipes.map(one).collect()
    }

    /// Batches of an epoch.
    fn batches(&self, setting: &Setting) -> u64 {
        let samples = work::of(self.data, setting).map_or(0, |data| data.training.len());
        (samples as u64).div_ceil(setting.batch as u64)
    }

    /// That there are enough images for a batch, and that all runs of the first round can be
    /// built.
    fn check(&self, setting: usize) -> Result<(), String> {
        let at = &self.settings[setting];
        let images = work::of(self.data, at).map_or(0, |data| data.training.len());
        if at.batch > images {
            return Err(format!(
                "{}: a batch of {} from {images} images; give a smaller `batch`",
                at.name(),
                at.batch
            ));
        }
        let state = protocol::follow(self.numbers(), &self.optimizers(), |_| None, |_, _| true);
        state.trials.iter().try_for_each(|one| self.job(setting, one).map(|_| ()))
    }

    /// A run with all that determines it.
    fn job(&self, setting: usize, wanted: &Wanted) -> Result<Job, String> {
        let at = &self.settings[setting];
        let recipe = &self.study.optimizer[wanted.optimizer];
        let Wanted { knobs, seed, is_final, .. } = wanted;
        let args = recipe.args(at, knobs, *seed, self.batches(at))?;
        let methods = args.methods()?;
        let data = work::of(self.data, at).map_or("", |data| &data.identity);
        // Not the folder, for the same samples may lie elsewhere.
        let mut all = serde_json::to_value(&args).map_err(|error| error.to_string())?;
        if let Some(all) = all.as_object_mut() {
            all.remove("data");
            all.remove("out");
        }
        let text = format!("1\n{all}\n{methods:?}\n{data}\n{is_final}");
        let hash = Sha256::digest(text);
        let id = hex(&hash[..16]);
        let (optimizer, knobs) = (recipe.name().to_owned(), knobs.clone());
        Ok(Job { id, setting, optimizer, knobs, args, is_final: *is_final })
    }

    fn line<'l>(&self, setting: usize, wanted: &Wanted, lines: &'l Lines) -> Option<&'l Line> {
        lines.ended.get(&self.job(setting, wanted).ok()?.id)
    }

    fn follow(&self, setting: usize, lines: &Lines) -> State {
        let seen = |wanted: &Wanted| {
            let line = self.line(setting, wanted, lines)?;
            // Where the loss is no number, nothing was learnt.
            Some(match line.loss {
                Some(loss) => Seen { accuracy: line.accuracy, loss },
                None => Seen { accuracy: 0.0, loss: f64::INFINITY },
            })
        };
        let is_valid = |optimizer: usize, knobs: &Knobs| {
            let wanted =
                Wanted { optimizer, knobs: knobs.clone(), seed: self.study.seed, is_final: false };
            self.job(setting, &wanted).is_ok()
        };
        protocol::follow(self.numbers(), &self.optimizers(), seen, is_valid)
    }

    /// Makes what is missing until nothing is.
    fn make(&self, lines: &RefCell<Lines>, threads: usize) -> Result<(), String> {
        let mut notice = Some(Notice::of_kernels());
        loop {
            let mut jobs: Vec<Job> = Vec::new();
            for setting in 0..self.settings.len() {
                let state = self.follow(setting, &lines.borrow());
                for wanted in state.trials.iter().chain(&state.finals) {
                    let job = self.job(setting, wanted)?;
                    let known = lines.borrow().ended.contains_key(&job.id);
                    if !known && jobs.iter().all(|other| other.id != job.id) {
                        jobs.push(job);
                    }
                }
            }
            if jobs.is_empty() {
                return Ok(());
            }
            // Runs of one seed share a network.
            jobs.sort_by_key(|job| (job.setting, job.args.seed));
            let progress = Progress::new(jobs.len());
            work::make(&jobs, threads, self.settings, self.data, |line| {
                notice = None;
                progress.ended(&line);
                lines.borrow_mut().add(line)
            })?;
        }
    }

    /// Of the settings whose runs have all ended.
    fn results(&self, lines: &Lines) -> Vec<Results> {
        let of = |(i, setting): (usize, &Setting)| {
            let state = self.follow(i, lines);
            let part = |optimizer: usize, all: &[Wanted]| -> Option<Vec<Line>> {
                let own = all.iter().filter(|one| one.optimizer == optimizer);
                own.map(|one| self.line(i, one, lines).cloned()).collect()
            };
            let row = |(o, recipe): (usize, &file::Recipe)| {
                Some(Row {
                    name: recipe.name().to_owned(),
                    trials: part(o, &state.trials)?,
                    finals: part(o, &state.finals).filter(|all| !all.is_empty())?,
                    chosen: state.chosen.get(o)?.clone(),
                    on_edge: state.on_edge.get(o)?.clone(),
                })
            };
            let rows = self.study.optimizer.iter().enumerate().map(row).collect::<Option<_>>()?;
            let family = setting.name().replace(&format!(" batch {},", setting.batch), "");
            Some(Results { setting: setting.name(), batch: setting.batch, family, rows })
        };
        self.settings.iter().enumerate().filter_map(of).collect()
    }

    /// Counts, and trains nothing.
    fn dry(&self, file: &Text<'_>) -> Result<(), Box<dyn Error>> {
        let Numbers { trials, seeds, .. } = self.numbers();
        let (mut runs, mut gradients) = (0, 0);
        for (i, setting) in self.settings.iter().enumerate() {
            self.check(i).map_err(usage)?;
            let each = (trials + seeds) as u64;
            let mut own = 0;
            for recipe in &self.study.optimizer {
                let steps = recipe.steps(setting, self.batches(setting)).map_err(usage)?;
                own += each * steps * recipe.stages().map_err(usage)?;
            }
            let count = each * self.study.optimizer.len() as u64;
            (runs, gradients) = (runs + count, gradients + own);
            let (count, own) = (grouped(count as f64), grouped(own as f64));
            say!("{}: {count} runs, {own} gradients", setting.name());
        }
        say!(
            "{}: {} runs, about {} gradients; each extension of a range adds {trials} trials of \
             every optimizer to its setting",
            file.path.display(),
            grouped(runs as f64),
            grouped(gradients as f64)
        );
        // What a gradient takes differs from machine to machine by a thousand.
        for micros in [20.0, 100.0, 1000.0] {
            let time = Duration::from_secs_f64(gradients as f64 * micros / 1e6);
            say!("at {micros} µs a gradient: {}", HumanDuration(time));
        }
        Ok(())
    }
}

impl Files {
    fn write(&self, study: &Study, all: &[Results]) {
        if all.is_empty() {
            return;
        }
        let text = |names: &[toml::Spanned<String>]| -> Vec<String> {
            names.iter().map(|name| name.get_ref().clone()).collect()
        };
        let (against, mut drawn) = (text(&study.against), text(&study.drawn));
        if drawn.is_empty() {
            drawn = study.optimizer.iter().map(|recipe| recipe.name().to_owned()).collect();
        }
        let against: Vec<&str> = against.iter().map(String::as_str).collect();
        let drawn: Vec<&str> = drawn.iter().map(String::as_str).collect();
        for results in all {
            say!("{}", report::terminal(results));
        }
        self.table.put(report::markdown(all, &against));
        self.runs.put(report::runs_csv(all));
        self.pairs.put(report::pairs_csv(all, &against));
        let minus = against.first().copied().unwrap_or_default();
        let figures = [
            Figure::accuracy(all, &drawn),
            Figure::differences(all, &drawn, minus),
            Figure::gradients(all, &drawn, study.target_loss),
        ];
        for (figure, [svg, png]) in figures.iter().zip(&self.figures) {
            if !figure.is_empty() {
                svg.put_made(canvas::to_svg(figure));
                png.put_made(canvas::to_png(figure));
            }
        }
    }
}

/// How far the runs that are known to be needed have come.
struct Progress {
    all: u64,
    done: Cell<u64>,
    bar: Option<ProgressBar>,
    start: Instant,
}

impl Progress {
    fn new(runs: usize) -> Self {
        let (all, done) = (runs as u64, Cell::new(0));
        let bar = bar("{wide_bar} {pos}/{len} runs, {eta} left, {msg}", all);
        Self { all, done, bar, start: Instant::now() }
    }

    fn ended(&self, line: &Line) {
        let (done, all) = (self.done.get() + 1, self.all);
        self.done.set(done);
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(line.optimizer.clone());
            return;
        }
        let left = self.start.elapsed().mul_f64((all - done) as f64 / done as f64);
        let (who, knobs) = (&line.optimizer, report::knobs(&line.knobs));
        let left = HumanDuration(left);
        let failed = line.failure.as_ref().map_or(String::new(), |why| format!("; failed: {why}"));
        note!("{done} of {all} runs, {left} left: {who}, {knobs}, seed {}{failed}", line.seed);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
