//! A folder of checkpoints: one every so often, the newest few kept.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::whole::{TEMPORARY, make_folder};
use super::write::io_error;
use super::{Checkpoint, CheckpointError, Snapshot};
use crate::error::Error;
use crate::optimizer::Optimizer;
use crate::source::GradientSource;

const BEFORE: &str = "attempt-";
const AFTER: &str = ".safetensors";
/// Appended to the name of a file that was found to be damaged.
const ASIDE: &str = ".damaged";
/// Appended to the name of another file that was passed over, when its place is wanted.
const PASSED_OVER: &str = ".passed-over";

/// Checkpoints that [`Checkpoints`] keeps unless told otherwise.
const KEPT: usize = 3;

/// The interval between checkpoints.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Every {
    /// Attempts.
    Steps(u64),
    Time(Duration),
}

/// `100`, or `30s`.
///
/// ```
/// use kutta::checkpoint::Every;
/// use std::time::Duration;
/// assert_eq!("100".parse(), Ok(Every::Steps(100)));
/// assert_eq!("30s".parse(), Ok(Every::Time(Duration::from_secs(30))));
/// assert!("0".parse::<Every>().unwrap_err().contains("`0`"));
/// ```
impl FromStr for Every {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault =
            || format!("`{text}` is no interval: a number of steps, 500, or of seconds, 30s");
        let time = |seconds: &str| {
            let seconds: f64 = seconds.trim().parse().ok()?;
            let time = Duration::try_from_secs_f64(seconds).ok()?;
            (!time.is_zero()).then_some(Self::Time(time))
        };
        let steps = |steps: &str| {
            let steps: u64 = steps.parse().ok()?;
            (steps > 0).then_some(Self::Steps(steps))
        };
        let text = text.trim();
        let found = match text.strip_suffix('s') {
            Some(seconds) => time(seconds),
            None => steps(text),
        };
        found.ok_or_else(fault)
    }
}

/// The newest whole checkpoint of a folder.
#[derive(Debug)]
#[non_exhaustive]
pub struct Found {
    pub path: PathBuf,
    pub checkpoint: Checkpoint,
    /// Newer files that cannot be resumed from, with what is wrong with each; damaged
    /// ones have been set aside under a name that ends in `.damaged`.
    pub passed_over: Vec<(PathBuf, Error)>,
}

/// Saves an optimizer every so often while it trains: the device copies its state out, a
/// thread writes it. Files are named by the attempts made, `attempt-000000001000.safetensors`,
/// and the newest three are kept.
///
/// ```no_run
/// use kutta::{Gpu, Method, Optimizer, StepSize, models::Analytic};
/// use kutta::checkpoint::{Checkpoints, Every};
/// let gpu = Gpu::new()?;
/// let mut problem = Analytic::rosenbrock(&gpu, 2)?;
/// let mut checkpoints = Checkpoints::new("run")?.every(Every::Steps(500));
/// let mut optimizer = match checkpoints.newest()? {
///     Some(found) => found.checkpoint.resume(&gpu)?,
///     None => Optimizer::builder(Method::rk4())
///         .step_size(StepSize::constant(1e-3))
///         .build(&gpu, problem.layout(), &[-1.2, 1.0])?,
/// };
/// checkpoints.run(&mut optimizer, &mut problem, 10_000)?;
/// checkpoints.finish(&mut optimizer)?;
/// # Ok::<(), kutta::Error>(())
/// ```
///
/// One process at a time may use a folder.
#[derive(Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    every: Option<Every>,
    keep: usize,
    notes: BTreeMap<String, String>,
    /// When the last snapshot was made.
    last: Option<(u64, Instant)>,
    /// Made, and not yet here.
    coming: Option<Snapshot>,
    writer: Option<JoinHandle<Result<(u64, PathBuf), Error>>>,
    /// The attempts of the newest file, as far as it is known to be on the disk.
    saved: Option<u64>,
    /// Whole or not, they could not be read here: another kutta may.
    passed_over: Vec<PathBuf>,
}

impl Checkpoints {
    /// Keeps checkpoints in this folder, which is made if it is not there. One is made only when
    /// asked for, unless [`Checkpoints::every`] says more.
    ///
    /// # Errors
    /// A folder that cannot be made or read.
    pub fn new(folder: impl Into<PathBuf>) -> Result<Self, Error> {
        let folder = folder.into();
        make_folder(&folder).map_err(|error| io_error(&folder, "made", &error))?;
        let made = Self {
            folder,
            every: None,
            keep: KEPT,
            notes: BTreeMap::new(),
            last: None,
            coming: None,
            writer: None,
            saved: None,
            passed_over: Vec::new(),
        };
        // What a process left that was killed while it wrote.
        for path in made.entries()? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(&format!(".{BEFORE}")) && name.ends_with(TEMPORARY) {
                // A folder that cannot be written to will say so when it must be.
                let _ = fs::remove_file(&path);
            }
        }
        Ok(made)
    }

    /// Sets how often a checkpoint is made. An interval of no attempts counts as one.
    pub fn every(mut self, every: Every) -> Self {
        self.every = Some(every);
        self
    }

    /// Sets how many files to keep: the newest ones, at least one. Default: 3.
    pub fn keep(mut self, keep: usize) -> Self {
        self.keep = keep.max(1);
        self
    }

    /// Keeps a note in every file, as [`Snapshot::note`] does in one.
    pub fn note(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.notes.insert(key.into(), value.into());
        self
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn entries(&self) -> Result<Vec<PathBuf>, Error> {
        let unreadable = |error: std::io::Error| io_error(&self.folder, "read", &error);
        let entries = fs::read_dir(&self.folder).map_err(unreadable)?;
        let paths = entries.map(|entry| entry.map(|entry| entry.path()));
        Ok(paths.collect::<Result<_, _>>().map_err(unreadable)?)
    }

    /// The files there are, oldest first.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn files(&self) -> Result<Vec<PathBuf>, Error> {
        Ok(self.numbered()?.into_iter().map(|(_, path)| path).collect())
    }

    fn numbered(&self) -> Result<Vec<(u64, PathBuf)>, Error> {
        let number = |path: &PathBuf| {
            let name = path.file_name()?.to_str()?;
            name.strip_prefix(BEFORE)?.strip_suffix(AFTER)?.parse::<u64>().ok()
        };
        let paths = self.entries()?.into_iter();
        let mut found: Vec<_> = paths.filter_map(|path| Some((number(&path)?, path))).collect();
        found.sort();
        Ok(found)
    }

    /// The newest file that is whole, or `None` in a folder without any. Damaged ones that
    /// are newer are passed over, set aside and listed.
    ///
    /// # Errors
    /// A folder that cannot be read; or one with files of which none is whole, with what
    /// is wrong with each: they stay where they are, and the error comes again each time,
    /// for training anew over them is for the caller to decide.
    pub fn newest(&mut self) -> Result<Option<Found>, Error> {
        let mut passed_over: Vec<(PathBuf, Error)> = Vec::new();
        for (number, path) in self.numbered()?.into_iter().rev() {
            let found = Checkpoint::open(&path).and_then(|checkpoint| {
                // By its name it would be taken for newer, or older, than it is.
                match checkpoint.attempts() {
                    made if made == number => Ok(checkpoint),
                    made => Err(self.fault(format!(
                        "`{}` is named as if {number} attempts had led to it, and {made} did; \
                         name it as it was",
                        path.display()
                    ))),
                }
            });
            match found {
                Ok(checkpoint) => {
                    for (path, error) in &passed_over {
                        match error {
                            Error::Checkpoint(CheckpointError::Damaged { .. }) => {
                                set_aside(path, ASIDE);
                            }
                            _ => self.passed_over.push(path.clone()),
                        }
                    }
                    self.saved = Some(number);
                    self.last = Some((checkpoint.attempts(), Instant::now()));
                    return Ok(Some(Found { path, checkpoint, passed_over }));
                }
                Err(error) => passed_over.push((path, error)),
            }
        }
        let mut faults: Vec<String> = passed_over.iter().map(|(_, e)| e.to_string()).collect();
        if faults.is_empty() {
            // Somebody took the whole ones away that these were passed over for.
            let aside = |path: &PathBuf| path.to_string_lossy().ends_with(ASIDE);
            let left = self.entries()?.into_iter().filter(aside);
            faults = left.map(|path| format!("`{}` was damaged", path.display())).collect();
        }
        if faults.is_empty() {
            return Ok(None);
        }
        faults.sort();
        let remedy = "none of them can be resumed from; move them away, or take another folder, \
                      to begin anew";
        Err(self.fault(format!("{}; {remedy}", faults.join("; "))))
    }

    fn fault(&self, fault: String) -> Error {
        CheckpointError::Folder { folder: self.folder.clone(), fault }.into()
    }

    /// n attempts, as [`Optimizer::run`] makes them, with a checkpoint whenever one is due:
    /// for an interval in steps, at multiples of it.
    ///
    /// # Errors
    /// As [`Optimizer::run`]; and what kept an earlier checkpoint from being written.
    pub fn run(
        &mut self,
        optimizer: &mut Optimizer,
        source: &mut impl GradientSource,
        n: u64,
    ) -> Result<(), Error> {
        let mut left = n;
        while left > 0 {
            let now = match self.every {
                Some(Every::Time(_)) => optimizer.attempts_in_a_submit(),
                _ => self.due_in(optimizer).unwrap_or(left),
            };
            let now = now.min(left);
            optimizer.run(source, now)?;
            left -= now;
            self.tick(optimizer)?;
        }
        Ok(())
    }

    /// Attempts until a checkpoint is due, where they are what the interval counts.
    pub fn due_in(&self, optimizer: &Optimizer) -> Option<u64> {
        match self.every {
            Some(Every::Steps(steps)) => {
                let steps = steps.max(1);
                Some(steps - optimizer.attempts_asked() % steps)
            }
            _ => None,
        }
    }

    /// Does what is due, between runs of a loop of one's own: makes a snapshot if one is due,
    /// hands one that has arrived to the thread that writes, and says which files have been
    /// written. Never waits, unless the file before is still being written when another
    /// one is due.
    ///
    /// # Errors
    /// What kept a checkpoint from being written: training can go on, and the next one is
    /// tried when it is due.
    pub fn tick(&mut self, optimizer: &mut Optimizer) -> Result<Vec<PathBuf>, Error> {
        let mut written = Vec::new();
        self.collect(false, &mut written)?;
        if self.is_due(optimizer) {
            self.collect(true, &mut written)?;
            self.take(optimizer)?;
        }
        Ok(written)
    }

    fn is_due(&mut self, optimizer: &Optimizer) -> bool {
        let attempts = optimizer.attempts_asked();
        let (then, at) = *self.last.get_or_insert_with(|| (attempts, Instant::now()));
        match self.every {
            None => false,
            Some(Every::Steps(steps)) => attempts / steps.max(1) > then / steps.max(1),
            Some(Every::Time(time)) => attempts > then && at.elapsed() >= time,
        }
    }

    fn take(&mut self, optimizer: &mut Optimizer) -> Result<(), Error> {
        self.last = Some((optimizer.attempts_asked(), Instant::now()));
        let snapshot = optimizer.snapshot()?;
        let notes = self.notes.iter();
        self.coming =
            Some(notes.fold(snapshot, |snapshot, (key, value)| snapshot.note(key, value)));
        Ok(())
    }

    /// Moves what is coming to the writer, and takes in what it wrote.
    fn collect(&mut self, waits: bool, written: &mut Vec<PathBuf>) -> Result<(), Error> {
        if waits || self.writer.as_ref().is_some_and(JoinHandle::is_finished) {
            self.join(written)?;
        }
        if self.writer.is_none()
            && let Some(snapshot) = self.coming.take_if(|snapshot| waits || snapshot.is_here())
        {
            let attempts = snapshot.attempts()?;
            let path = self.folder.join(format!("{BEFORE}{attempts:012}{AFTER}"));
            if let Some(at) = self.passed_over.iter().position(|other| *other == path) {
                set_aside(&self.passed_over.swap_remove(at), PASSED_OVER);
            }
            self.writer = Some(std::thread::spawn(move || {
                snapshot.write(&path)?;
                Ok((attempts, path))
            }));
        }
        if waits { self.join(written) } else { Ok(()) }
    }

    fn join(&mut self, written: &mut Vec<PathBuf>) -> Result<(), Error> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let (attempts, path) = writer.join().map_err(|_| CheckpointError::Writer)??;
        self.saved = Some(attempts);
        written.push(path);
        self.rotate()
    }

    /// Removes files older than the newest few, up to the one just written: what is newer
    /// than that is nobody's to judge here, nor is what could not be read.
    fn rotate(&self) -> Result<(), Error> {
        let newest = self.saved.unwrap_or(u64::MAX);
        let files = self.numbered()?;
        let own = |path| !self.passed_over.contains(path);
        let known: Vec<_> =
            files.iter().filter(|(number, path)| *number <= newest && own(path)).collect();
        for (_, path) in known.iter().rev().skip(self.keep) {
            match fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(io_error(path, "removed", &error).into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Saves now, unless there is a file of this very attempt already, and waits until it
    /// is on the disk, and those on their way before it. One of those that failed matters no
    /// more once this one is there.
    ///
    /// # Errors
    /// What kept this checkpoint from being written.
    pub fn finish(&mut self, optimizer: &mut Optimizer) -> Result<Vec<PathBuf>, Error> {
        let mut written = Vec::new();
        let before = self.collect(true, &mut written);
        if self.saved == Some(optimizer.attempts_asked()) {
            before?;
            return Ok(written);
        }
        self.take(optimizer)?;
        self.collect(true, &mut written)?;
        Ok(written)
    }
}

/// Renames a damaged file; in a folder that cannot be written to it stays where it is.
fn set_aside(path: &Path, ending: &str) {
    let named = |number: u32| {
        let mut aside = path.to_owned().into_os_string();
        if number > 1 {
            aside.push(format!(".{number}"));
        }
        aside.push(ending);
        PathBuf::from(aside)
    };
    // One that was set aside before under this name stays, too.
    let free = (1..).map(named).find(|aside| fs::symlink_metadata(aside).is_err());
    if let Some(aside) = free {
        let _ = fs::rename(path, aside);
    }
}

/// What is on its way is written all the same; what goes wrong then is lost, and
/// [`Checkpoints::finish`] tells.
impl Drop for Checkpoints {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = self.collect(true, &mut Vec::new());
        }
    }
}
