//! Takes the times: everything of one method at one size in rounds, so that each
//! figure has its ceilings and its rivals right beside it.

use std::error::Error;
use std::time::Instant;

use kutta::bench::{Bench, Ceiling, Ceilings};
use kutta::plan::Options;
use kutta::{Fusion, Gpu, Ingredients, Method, Storage, wgpu};

use super::clock::{Clock, Sample};
use super::schema::{self, Case, Check, Kind, Measurement, Recording, Run, Skipped};
use super::statistics::{Summary, is_plateau};

/// A method with ingredients, under the name they have in the files.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub method: Method,
    pub ingredients: Ingredients,
    pub name: &'static str,
    /// Of the gradients, which a source would write so.
    pub storage: Storage,
}

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub samples: usize,
    /// Seconds that one sample may take.
    pub budget: f64,
    /// Seconds that kernels are repeated for.
    pub least: f64,
    /// Bytes that there are for buffers, if that is known.
    pub memory: Option<u64>,
    pub cache: u64,
}

/// The only storage there is so far, and its bytes a word.
const WORD: f64 = 4.0;

const PER_SUBMIT: [u32; 3] = [1, 10, 100];
const LEAST_ROUNDS: usize = 4;
const MOST_WARM_UP: usize = 12;
/// Kernels in one sample at most.
const MOST_REPEATS: u32 = 100;
/// Repeats in a sample that leave numbers in the range of f32.
const FEW: u32 = 8;
/// Sets of cold buffers at most: each has its own bind groups.
const MOST_SETS: usize = 512;
/// A cold set must be gone from the cache when its turn comes again.
const CACHES: u64 = 4;
/// Times that something hot runs before it is timed. Of vectors that fit in the last cache,
/// 16 MiB each, four passes were still faster each time.
const HEAT: u32 = 8;
/// And of whole steps, which go over their vectors several times each.
const HEAT_STEPS: u32 = 2;
/// Words of the smallest kernel that is measured cold.
const COLD_WORDS: u64 = 3;

/// One thing that is timed in every round.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Task {
    Ceiling(Ceiling),
    Own(usize),
    Bare(usize),
    Step { unfused: bool, per_submit: u32 },
}

impl Task {
    /// Its samples in one round.
    fn per_round(self) -> usize {
        if matches!(self, Self::Own(_) | Self::Bare(_)) { 2 } else { 1 }
    }
}

/// Its times, round by round.
struct Series {
    task: Task,
    repeats: u32,
    samples: Vec<Sample>,
}

impl Series {
    /// Seconds for one kernel or step, by the device's clock if that is wanted.
    fn seconds(&self, gpu: bool) -> impl Iterator<Item = Option<f64>> + '_ {
        let one = f64::from(self.repeats);
        self.samples.iter().map(move |sample| {
            let seconds = if gpu { sample.gpu } else { Some(sample.wall) };
            seconds.map(|seconds| seconds / one)
        })
    }

    /// Another's time over this one's, round by round, times a factor.
    fn ratio(&self, other: &Self, factor: f64, gpu: bool) -> Option<Summary> {
        let pairs = self.rounds(gpu).zip(other.rounds(gpu));
        Summary::of(pairs.filter_map(|(own, other)| Some(factor * other? / own?)))
    }

    /// Mean seconds of each round; `None` where one of its samples has no time.
    fn rounds(&self, gpu: bool) -> impl Iterator<Item = Option<f64>> + '_ {
        let all: Vec<Option<f64>> = self.seconds(gpu).collect();
        let per_round = self.task.per_round();
        (0..all.len() / per_round).map(move |round| {
            let round = &all[per_round * round..][..per_round];
            round.iter().copied().sum::<Option<f64>>().map(|sum| sum / per_round as f64)
        })
    }
}

/// Both plans of one method, on buffers of one size.
struct Subject<'w> {
    wanted: &'w Wanted,
    fused: Bench,
    unfused: Option<Bench>,
    /// Attempts that either can make without a refill.
    endurance: [u32; 2],
    used: [u32; 2],
    turn: usize,
}

pub struct Session {
    gpu: Gpu,
    clock: Clock,
    config: Config,
    pub run: Run,
}

impl Session {
    pub fn new(gpu: &Gpu, config: Config, run: Run) -> Self {
        Self { gpu: gpu.clone(), clock: Clock::new(gpu), config, run }
    }

    fn skip(&mut self, what: String, reason: impl ToString) {
        self.run.skipped.push(Skipped { what, reason: reason.to_string() });
    }

    /// Everything at one size. What does not fit is skipped, with the numbers.
    ///
    /// # Errors
    /// A lost device.
    pub fn measure(
        &mut self,
        wanted: &[Wanted],
        n: usize,
        done: &mut dyn FnMut(&Run, usize),
    ) -> Result<(), Box<dyn Error>> {
        for cold in [false, true] {
            let pairs = if cold { sets(2, n, self.config.cache) } else { 1 };
            let temperature = if cold { ", cold" } else { "" };
            let what = format!("n = {n}{temperature}");
            if cold && pairs == 1 {
                let reason = "two vectors are larger than four caches: what is hot is cold";
                self.skip(what, reason);
                continue;
            }
            let ceilings = match self.ceilings(n, pairs) {
                Ok(ceilings) => ceilings,
                Err(reason) => {
                    self.skip(what, reason);
                    continue;
                }
            };
            let mut kept = Vec::new();
            for wanted in wanted {
                let before = self.run.measurements.len();
                let what = format!("{}, {}, {what}", wanted.method, wanted.name);
                if let Err(reason) = self.case(wanted, n, cold, &ceilings, &mut kept) {
                    self.run.measurements.truncate(before);
                    self.skip(what, reason);
                    continue;
                }
                done(&self.run, before);
            }
            self.ceiling_figures(n, cold, &kept);
            self.run.protocol.discarded_timestamps = self.clock.discarded;
        }
        Ok(())
    }

    fn ceilings(&self, n: usize, sets: usize) -> Result<Ceilings, Box<dyn Error>> {
        if sets > MOST_SETS {
            return Err(too_many(sets));
        }
        self.check_size(n, Ceilings::bytes(n, sets))?;
        Ok(Ceilings::new(&self.gpu, n, sets)?)
    }

    /// Whether so many bytes in vectors of n can be had.
    fn check_size(&self, n: usize, bytes: u64) -> Result<(), Box<dyn Error>> {
        let (vector, most) = (4 * n as u64, self.gpu.limits().max_buffer_size);
        if vector > most {
            let limit = "the device's max_buffer_size";
            return Err(format!("a vector takes {vector} bytes; {limit} is {most}").into());
        }
        match self.config.memory {
            Some(memory) if bytes > memory => {
                Err(format!("buffers take {bytes} bytes; there are {memory} (--memory)").into())
            }
            _ => Ok(()),
        }
    }

    fn case(
        &mut self,
        wanted: &Wanted,
        n: usize,
        cold: bool,
        ceilings: &Ceilings,
        kept: &mut Vec<Series>,
    ) -> Result<(), Box<dyn Error>> {
        let mut subject = self.subject(wanted, n, cold)?;
        let mut series = self.tasks(&mut subject, n, cold, ceilings)?;
        let mut totals = Vec::new();
        let mut rounds = 0;
        while rounds < self.config.samples {
            let start = Instant::now();
            let warm = totals.len() >= MOST_WARM_UP
                || (totals.len() >= LEAST_ROUNDS && is_plateau(&totals));
            for i in 0..series.len() {
                // Own, bare, bare, own: either follows itself once and the other once.
                let group = match series[i].task {
                    Task::Bare(_) => continue,
                    Task::Own(_) => vec![i, i + 1, i + 1, i],
                    _ => vec![i],
                };
                if !cold {
                    let task = series[i].task;
                    let heat = if matches!(task, Task::Step { .. }) { HEAT_STEPS } else { HEAT };
                    self.sample(&mut subject, ceilings, task, heat)?;
                }
                for i in group {
                    let Series { task, repeats, .. } = series[i];
                    let sample = self.sample(&mut subject, ceilings, task, repeats)?;
                    if warm {
                        series[i].samples.push(sample);
                    }
                }
            }
            if warm {
                rounds += 1;
            } else {
                totals.push(start.elapsed().as_secs_f64());
            }
        }
        subject.fused.verify()?;
        subject.unfused.as_ref().map_or(Ok(()), Bench::verify)?;
        self.figures(&subject, n, cold, &series);
        kept.extend(series.into_iter().filter(|entry| matches!(entry.task, Task::Ceiling(_))));
        Ok(())
    }

    fn subject<'w>(
        &mut self,
        wanted: &'w Wanted,
        n: usize,
        cold: bool,
    ) -> Result<Subject<'w>, Box<dyn Error>> {
        let Wanted { method, ingredients, name, storage } = wanted;
        let narrow = storage.is_narrow();
        let options = |fusion| Options { fusion, writes_narrow: narrow, ..Options::default() };
        let plan = |fusion| Bench::plan_of(method, ingredients, options(fusion));
        let sets = if cold { sets(COLD_WORDS, n, self.config.cache) } else { 1 };
        if sets > MOST_SETS {
            return Err(too_many(sets));
        }
        let mut bytes = Bench::bytes(&plan(Fusion::Full)?, n, sets);
        // What is narrow stands beside what is not: the baseline is the latter's.
        let baseline = !cold && !narrow;
        if baseline {
            bytes += Bench::bytes(&plan(Fusion::None)?, n, 1) + Ceilings::bytes(n, 1);
        }
        self.check_size(n, bytes)?;
        let bench =
            |fusion, sets| Bench::new(&self.gpu, method, ingredients, options(fusion), n, sets);
        let fused = bench(Fusion::Full, sets)?;
        let unfused = if baseline { Some(bench(Fusion::None, 1)?) } else { None };
        let mut endurance = [0; 2];
        for (bench, endurance) in std::iter::once(&fused).chain(&unfused).zip(&mut endurance) {
            let checked = bench.check()?;
            *endurance = bench.endurance()?;
            if !cold {
                self.run.checks.push(Check {
                    case: case(wanted, bench),
                    storage: storage.to_string(),
                    n: n as u64,
                    elements: checked.elements,
                    worst: checked.worst,
                });
            }
            if *endurance == 0 {
                let reason = "numbers leave the range of f32 within one attempt";
                return Err(format!("{method}, {name}: {reason}").into());
            }
        }
        // Nothing is known of what is in the buffers now.
        Ok(Subject { wanted, fused, unfused, endurance, used: endurance, turn: 0 })
    }

    /// What a round is made of, and how often each is repeated in a sample.
    fn tasks(
        &mut self,
        subject: &mut Subject<'_>,
        n: usize,
        cold: bool,
        ceilings: &Ceilings,
    ) -> Result<Vec<Series>, Box<dyn Error>> {
        let copy = Task::Ceiling(Ceiling::Copy);
        let mut tasks = vec![Task::Ceiling(Ceiling::Read), Task::Ceiling(Ceiling::Write)];
        let needed = CACHES * self.config.cache;
        for (i, kernel) in subject.fused.kernels().iter().enumerate() {
            let words = (kernel.words() * subject.fused.sets()) as u64;
            if cold && 4 * n as u64 * words < needed {
                let what = format!("{} of {}, n = {n}, cold", kernel.label, subject.wanted.method);
                self.run.skipped.push(Skipped {
                    what,
                    reason: format!("{} sets of it fit in four caches", subject.fused.sets()),
                });
                continue;
            }
            tasks.extend([copy, Task::Own(i), Task::Bare(i)]);
        }
        for per_submit in PER_SUBMIT {
            let mut steps = Vec::new();
            for unfused in [false, true] {
                let Some(bench) =
                    (if unfused { subject.unfused.as_ref() } else { Some(&subject.fused) })
                else {
                    continue;
                };
                let what = format!(
                    "{} {}, {}, n = {n}, {per_submit} a submit",
                    if unfused { "unfused" } else { "fused" },
                    subject.wanted.method,
                    subject.wanted.name
                );
                let endurance = subject.endurance[usize::from(unfused)];
                if per_submit > endurance * bench.sets() as u32 {
                    let reason = format!(
                        "without a gradient source numbers leave the range of f32 after {endurance} steps"
                    );
                    self.skip(what, reason);
                    continue;
                }
                // By the step before, a tenth as long: a submit has costs of its own.
                let tenth = (per_submit / 10).max(1);
                let one = Task::Step { unfused, per_submit: tenth };
                // The first has kernels to compile.
                self.sample(subject, ceilings, one, tenth)?;
                let seconds = self.sample(subject, ceilings, one, tenth)?.wall
                    * f64::from(per_submit / tenth);
                if seconds > self.config.budget && per_submit > 1 {
                    let budget = self.config.budget;
                    self.skip(
                        format!("{what} ({seconds:.1} s)"),
                        format!("a sample would take longer than --budget, {budget} s"),
                    );
                    continue;
                }
                steps.push(Task::Step { unfused, per_submit });
            }
            if !steps.is_empty() {
                tasks.push(copy);
                tasks.extend(steps);
            }
        }
        let mut series = Vec::new();
        for task in tasks {
            let repeats = match task {
                Task::Step { per_submit, .. } => per_submit,
                _ => {
                    self.sample(subject, ceilings, task, 1)?;
                    let sample = self.sample(subject, ceilings, task, 1)?;
                    let seconds = sample.gpu.unwrap_or(sample.wall);
                    ((self.config.least / seconds) as u32).clamp(1, MOST_REPEATS)
                }
            };
            series.push(Series { task, repeats, samples: Vec::new() });
        }
        Ok(series)
    }

    fn sample(
        &mut self,
        subject: &mut Subject<'_>,
        ceilings: &Ceilings,
        task: Task,
        repeats: u32,
    ) -> Result<Sample, Box<dyn Error>> {
        let first = subject.turn;
        subject.turn += repeats as usize;
        let sets = first..first + repeats as usize;
        match task {
            Task::Ceiling(ceiling) => self.clock.time(|pass| {
                sets.for_each(|set| ceilings.work(set, ceiling).record(pass));
            }),
            Task::Own(kernel) => {
                // A kernel that works in place may make its numbers grow each time: where
                // that is often, they begin anew, with an attempt behind them.
                if repeats > FEW && subject.fused.sets() == 1 {
                    subject.grown();
                    subject.ready(false, 1);
                    let bench = &subject.fused;
                    self.clock.time(|pass| steps(bench, 0..1, pass))?;
                }
                // And so they do before the next attempt.
                subject.grown();
                let bench = &subject.fused;
                self.clock.time(|pass| sets.for_each(|set| bench.own(set, kernel).record(pass)))
            }
            Task::Bare(kernel) => {
                let bench = &subject.fused;
                // What a bare kernel leaves is the largest of what is there.
                self.clock.time(|pass| sets.for_each(|set| bench.bare(set, kernel).record(pass)))
            }
            Task::Step { unfused, .. } => {
                subject.ready(unfused, repeats);
                let fused = &subject.fused;
                let bench = if unfused { subject.unfused.as_ref().unwrap_or(fused) } else { fused };
                self.clock.time(|pass| steps(bench, sets, pass))
            }
        }
    }

    fn figures(&mut self, subject: &Subject<'_>, n: usize, cold: bool, series: &[Series]) {
        let gpu = self.clock.has_timestamps();
        let mut copy = None;
        for (i, entry) in series.iter().enumerate() {
            let (kind, name, bench, bytes) = match entry.task {
                Task::Ceiling(ceiling) => {
                    if ceiling == Ceiling::Copy {
                        copy = Some(entry);
                    }
                    continue;
                }
                Task::Own(k) | Task::Bare(k) => {
                    let kernel = &subject.fused.kernels()[k];
                    let kind = if entry.task == Task::Own(k) { Kind::Kernel } else { Kind::Bare };
                    (kind, kernel.label.clone(), &subject.fused, kernel.bytes)
                }
                Task::Step { unfused, .. } => {
                    let bench = if unfused { subject.unfused.as_ref() } else { None };
                    let bench = bench.unwrap_or(&subject.fused);
                    (Kind::Step, "step".into(), bench, bench.moved())
                }
            };
            let of_bare = match (entry.task, series.get(i + 1)) {
                (Task::Own(_), Some(bare)) => entry.ratio(bare, 1.0, gpu),
                (Task::Step { unfused: false, .. }, _) => {
                    of_bares(&subject.fused, series, entry, gpu)
                }
                _ => None,
            };
            // In words of four bytes.
            let (words, storage) = (bytes as f64 / WORD, subject.wanted.storage);
            let of_copy = copy.and_then(|copy| entry.ratio(copy, words / 2.0, gpu));
            let case = Some(case(subject.wanted, bench));
            let measurement = measurement(entry, kind, name, case, (n, cold), (storage, words));
            self.run.measurements.push(Measurement { of_bare, of_copy, ..measurement });
            if let (Task::Step { unfused: true, per_submit }, Some(fused)) =
                (entry.task, series.get(i - 1))
                && fused.task == (Task::Step { unfused: false, per_submit })
                && let Some(measured) = fused.ratio(entry, 1.0, gpu)
            {
                self.run.fusion.push(schema::Fusion {
                    method: subject.wanted.method.to_string(),
                    ingredients: named(subject.wanted),
                    storage: subject.wanted.storage.to_string(),
                    n: n as u64,
                    per_submit,
                    predicted: words / subject.fused.words() as f64,
                    measured,
                });
            }
        }
    }

    /// From all rounds of all methods at this size.
    fn ceiling_figures(&mut self, n: usize, cold: bool, kept: &[Series]) {
        for ceiling in Ceiling::ALL {
            let task = Task::Ceiling(ceiling);
            let all = kept.iter().filter(|entry| entry.task == task);
            let Some(repeats) = all.clone().map(|entry| entry.repeats).max() else { continue };
            let one = |entry: &Series, sample: &Sample| {
                let repeats = f64::from(entry.repeats);
                Sample { gpu: sample.gpu.map(|t| t / repeats), wall: sample.wall / repeats }
            };
            let samples = all
                .flat_map(|entry| entry.samples.iter().map(move |sample| one(entry, sample)))
                .collect();
            let entry = Series { task, repeats: 1, samples };
            let words = ceiling.words() as f64;
            let name = ceiling.name().into();
            let figure =
                measurement(&entry, Kind::Ceiling, name, None, (n, cold), (Storage::F32, words));
            self.run.measurements.push(Measurement { per_submit: repeats, ..figure });
        }
    }

    /// What the host spends on an attempt, beside a plain loop over the same
    /// dispatches.
    ///
    /// # Errors
    /// A lost device.
    pub fn recording(&mut self, wanted: &[Wanted]) -> Result<(), Box<dyn Error>> {
        const ATTEMPTS: u32 = 32;
        const N: usize = 4096;
        for Wanted { method, ingredients, name, storage } in wanted {
            if storage.is_narrow() {
                continue;
            }
            let bench = Bench::new(&self.gpu, method, ingredients, Options::default(), N, 1)?;
            let mut seconds = [Vec::new(), Vec::new()];
            let mut ratios = Vec::new();
            for round in 0..self.config.samples + LEAST_ROUNDS {
                let own = self.record(|encoder| bench.record(encoder, ATTEMPTS))?;
                let by_hand = self.record(|encoder| {
                    bench.record_by_hand(encoder, ATTEMPTS);
                    Ok(())
                })?;
                if round >= LEAST_ROUNDS {
                    seconds[0].push(own / f64::from(ATTEMPTS));
                    seconds[1].push(by_hand / f64::from(ATTEMPTS));
                    ratios.push(own / by_hand);
                }
            }
            let [recorded, by_hand] = seconds.map(Summary::of);
            let (Some(recorded), Some(by_hand), Some(ratio)) =
                (recorded, by_hand, Summary::of(ratios))
            else {
                continue;
            };
            self.run.recording.push(Recording {
                method: method.to_string(),
                ingredients: (*name).into(),
                dispatches: bench.step(0).dispatches() as u32,
                recorded,
                by_hand,
                ratio,
            });
        }
        Ok(())
    }

    fn record(
        &self,
        record: impl FnOnce(&mut wgpu::CommandEncoder) -> Result<(), kutta::Error>,
    ) -> Result<f64, Box<dyn Error>> {
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        let start = Instant::now();
        record(&mut encoder)?;
        // wgpu does much of its work here.
        let recorded = encoder.finish();
        let seconds = start.elapsed().as_secs_f64();
        self.gpu.queue().submit([recorded]);
        self.gpu.device().poll(wgpu::PollType::wait_indefinitely())?;
        Ok(seconds)
    }
}

impl Subject<'_> {
    /// The fused plan's gradients may be out of range.
    fn grown(&mut self) {
        self.used[0] = self.endurance[0];
    }

    /// Sees to it that so many attempts will be accepted.
    fn ready(&mut self, unfused: bool, attempts: u32) {
        let i = usize::from(unfused);
        let fused = &self.fused;
        let bench = if unfused { self.unfused.as_ref().unwrap_or(fused) } else { fused };
        let each = attempts.div_ceil(bench.sets() as u32);
        if self.used[i] + each > self.endurance[i] {
            bench.refill();
            self.used[i] = 0;
        }
        self.used[i] += each;
    }
}

/// Attempts on sets in turn, each of which begins once.
fn steps(bench: &Bench, sets: std::ops::Range<usize>, pass: &mut wgpu::ComputePass<'_>) {
    for (i, set) in sets.enumerate() {
        if i < bench.sets() {
            bench.begin(set).record(pass);
        }
        bench.step(set).record(pass);
    }
}

/// Time of the bare kernels of all that a step moves over the step's.
fn of_bares(bench: &Bench, series: &[Series], step: &Series, gpu: bool) -> Option<Summary> {
    let bare = |entry: &&Series| matches!(entry.task, Task::Bare(_));
    let mut bares: Vec<_> = series.iter().filter(bare).map(|bare| bare.rounds(gpu)).collect();
    // Not where some were left out, nor where an attempt moves more than others.
    let bytes: usize = bench.kernels().iter().map(|kernel| kernel.bytes).sum();
    if bares.len() < bench.kernels().len() || bytes != bench.moved() {
        return None;
    }
    let pairs = step.rounds(gpu).map(|step| {
        let bare: Option<f64> = bares.iter_mut().map(|rounds| rounds.next().flatten()).sum();
        Some(bare? / step?)
    });
    Summary::of(pairs.flatten())
}

/// The ingredients, with the storage where it is not f32.
fn named(wanted: &Wanted) -> String {
    match wanted.storage {
        Storage::F32 => wanted.name.into(),
        storage => format!("{} in {storage}", wanted.name),
    }
}

fn case(wanted: &Wanted, bench: &Bench) -> Case {
    Case {
        method: wanted.method.to_string(),
        ingredients: named(wanted),
        fusion: match bench.plan().options().fusion {
            Fusion::None => "none".into(),
            _ => "full".into(),
        },
    }
}

fn measurement(
    entry: &Series,
    kind: Kind,
    name: String,
    case: Option<Case>,
    (n, cold): (usize, bool),
    (storage, words): (Storage, f64),
) -> Measurement {
    Measurement {
        kind,
        name,
        case,
        storage: storage.to_string(),
        n: n as u64,
        cold,
        per_submit: entry.repeats,
        words,
        bytes: WORD * words,
        gpu: Summary::of(entry.seconds(true).flatten()),
        wall: Summary::of(entry.seconds(false).flatten()),
        of_bare: None,
        of_copy: None,
    }
}

/// Sets of buffers of which so many words of n each are more than four caches.
fn sets(words: u64, n: usize, cache: u64) -> usize {
    (CACHES * cache).div_ceil(4 * words * n as u64).max(1) as usize
}

fn too_many(sets: usize) -> Box<dyn Error> {
    format!("four caches are {sets} sets of buffers; more than {MOST_SETS} are not made").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(task: Task, repeats: u32, gpu: &[Option<f64>]) -> Series {
        let samples = gpu.iter().map(|&gpu| Sample { gpu, wall: 10.0 }).collect();
        Series { task, repeats, samples }
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        // Two of each a round; the third round has one that is no time.
        let times = |all: [f64; 5]| all.map(Some);
        let own = [&times([1.0, 3.0, 5.0, 3.0, 8.0])[..], &[None]].concat();
        let own = series(Task::Own(0), 2, &own);
        let bare = [&times([0.7, 0.3, 1.5, 0.5, 9.0])[..], &[Some(9.0)]].concat();
        let bare = series(Task::Bare(0), 1, &bare);
        let ratio = own.ratio(&bare, 1.0, true).unwrap();
        assert_eq!((ratio.median, ratio.p10, ratio.p90, ratio.samples), (0.5, 0.5, 0.5, 2));
        // By the wall, where one is half as long.
        assert_eq!(own.ratio(&bare, 1.0, false).unwrap().median, 2.0);
    }

    #[test]
    fn sets_hold_four_caches() {
        assert_eq!(sets(3, 1_000_000, 480 << 20), 168);
        assert_eq!(sets(3, 1 << 30, 480 << 20), 1);
        for (n, cache) in [(10_000, 32 << 20), (77_777, 1 << 20)] {
            let sets = sets(3, n, cache) as u64;
            assert!(sets * 12 * n as u64 >= 4 * cache && (sets - 1) * 12 * (n as u64) < 4 * cache);
        }
    }
}
