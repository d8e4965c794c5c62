//! Makes runs, several at a time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use kutta::data::{Batches, Idx, Samples};
use kutta::models::{Loss, Mlp, Resident};
use kutta::{Error, Gpu};

use super::file::Setting;
use super::lines::Line;
use crate::curve::Run;
use crate::samples::part;
use crate::train::{Args, Epoch, Saving, Trainer, identity};

/// The parts of a data set.
pub struct Data {
    pub training: Samples,
    pub held_out: Samples,
    pub test: Samples,
    pub classes: usize,
    /// A hash of all three.
    pub identity: String,
}

impl Data {
    /// Those images that a setting trains with, and after them those that it holds out.
    ///
    /// # Errors
    /// Files that cannot be read; too few images.
    pub fn open(folder: &Path, images: Option<usize>, held_out: usize) -> Result<Self, String> {
        let idx = Idx::open(folder).map_err(|error| error.to_string())?;
        let (all, test) = (idx.train_samples(), idx.test());
        let images = images.unwrap_or(all.len());
        if images > all.len() || held_out >= images {
            return Err(format!(
                "`{}` has {} training images; of the first {images} no {held_out} can be held \
                 out; give a smaller `held-out`, and at most as many `images` as there are",
                folder.display(),
                all.len()
            ));
        }
        let split = images - held_out;
        let parts = part(&all, 0..split).and_then(|a| Ok((a, part(&all, split..images)?)));
        let (training, held_out) = parts.map_err(|error| error.to_string())?;
        let identity = [&training, &held_out, &test].map(identity).join("; ");
        Ok(Self { training, held_out, test, classes: idx.classes(), identity })
    }
}

/// All data sets, by folder, images and how many are held out.
pub type AllData = HashMap<(PathBuf, Option<usize>, usize), Data>;

pub fn of<'a>(all: &'a AllData, setting: &Setting) -> Option<&'a Data> {
    all.get(&(setting.data.clone(), setting.images, setting.held_out))
}

/// A run that is ready to be made.
pub struct Job {
    pub id: String,
    pub setting: usize,
    pub optimizer: String,
    pub knobs: super::file::Knobs,
    pub args: Args,
    pub is_final: bool,
}

/// Makes all runs and hands over each as it ends, until one of them fails.
///
/// # Errors
/// What ended a run, or what `ended` says.
pub fn make(
    jobs: &[Job],
    threads: usize,
    settings: &[Setting],
    data: &AllData,
    mut ended: impl FnMut(Line) -> Result<(), String>,
) -> Result<(), String> {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (send, lines) = mpsc::channel();
    // One is asked for at a time.
    let opening = Mutex::new(());
    std::thread::scope(|scope| {
        for _ in 0..threads.min(jobs.len()) {
            let send = send.clone();
            let (next, stop, opening) = (&next, &stop, &opening);
            scope.spawn(move || {
                let opened = {
                    let _alone = opening.lock();
                    Gpu::new()
                };
                let mut worker = match opened {
                    Ok(gpu) => Worker { gpu, network: None },
                    Err(error) => {
                        let _ = send.send(Err(error.to_string()));
                        return;
                    }
                };
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let setting = &settings[job.setting];
                    let made = match of(data, setting) {
                        Some(data) => worker.run(job, setting, data).map_err(|e| e.to_string()),
                        None => Err("its data were not read".into()),
                    };
                    let made = made.map_err(|error| {
                        let (who, at) = (&job.optimizer, setting.name());
                        format!("{who} {:?}, seed {}, {at}: {error}", job.knobs, job.args.seed)
                    });
                    if send.send(made).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let mut outcome = Ok(());
        for made in lines {
            // What ends after a failure is kept too.
            if let Err(error) = made.and_then(&mut ended) {
                stop.store(true, Ordering::Relaxed);
                outcome = outcome.and(Err(error));
            }
        }
        outcome
    })
}

struct Worker {
    gpu: Gpu,
    /// That of the run before, which serves runs of the same order of batches.
    network: Option<Network>,
}

struct Network {
    key: (usize, u64, String),
    mlp: Mlp,
    held_out: Resident,
    test: Resident,
    epoch: Epoch,
}

impl Worker {
    fn run(
        &mut self,
        job: &Job,
        setting: &Setting,
        data: &Data,
    ) -> Result<Line, Box<dyn std::error::Error>> {
        let args = &job.args;
        let key = (job.setting, args.seed, format!("{:?}", args.activation));
        let network = match self.network.take().filter(|network| network.key == key) {
            Some(network) => network,
            None => self.network(key, args, data)?,
        };
        let Network { mlp, held_out, test, epoch, .. } = self.network.insert(network);
        let method = match args.methods()?.pop() {
            Some(method) => method,
            None => return Err("no method".into()),
        };
        let mut run = Run::new(job.optimizer.clone());
        let mut trainer =
            Trainer { gpu: &self.gpu, mlp, test: held_out, args, epoch: *epoch, quiet: true };
        let unseen = job.is_final.then_some(&*test);
        let trained = trainer.train_then(&method, &mut Saving::default(), &mut run, unseen);
        let (tested, failure) = match trained {
            Ok(tested) => (tested, None),
            // Another try would end the same way.
            Err(Error::Optimizer(error)) => (None, Some(error.to_string())),
            Err(error) => return Err(error.into()),
        };
        let finite = |loss: f64| Some(loss).filter(|loss| loss.is_finite());
        let last = run.last_test().filter(|_| failure.is_none());
        Ok(Line {
            id: job.id.clone(),
            setting: setting.name(),
            optimizer: job.optimizer.clone(),
            seed: args.seed,
            knobs: job.knobs.clone(),
            accuracy: last.and_then(|last| last.accuracy).unwrap_or(0.0),
            loss: last.and_then(|last| finite(last.loss)),
            test_accuracy: tested.and_then(|tested| tested.accuracy),
            steps: run.steps.len() as u64,
            gradients: run.evaluations,
            samples: run.samples,
            seconds: run.seconds,
            adapter: self.gpu.info().name.clone(),
            failure,
            curve: run.tests.iter().map(|test| (test.evaluations, finite(test.loss))).collect(),
        })
    }

    fn network(
        &self,
        key: (usize, u64, String),
        args: &Args,
        data: &Data,
    ) -> Result<Network, Error> {
        let batches = Batches::new(data.training.clone(), args.batch)?.seed(args.seed);
        let epoch = Epoch {
            batches: u64::from(batches.per_epoch()),
            samples: batches.samples().len() as u64,
        };
        let layers = args.layers(batches.samples().width(), data.classes);
        let mlp = Mlp::builder(&layers)
            .activation(args.activation.into())
            .loss(Loss::CrossEntropy)
            .build(&self.gpu, batches)?;
        let (held_out, test) = (mlp.upload(&data.held_out)?, mlp.upload(&data.test)?);
        Ok(Network { key, mlp, held_out, test, epoch })
    }
}
