//! Checkpoints while it trains.

use kutta::checkpoint::{Checkpoint, CheckpointError, Checkpoints, Found};
use kutta::models::Mlp;
use kutta::{Error, Optimizer};

use crate::cli::Args;

/// The folder of `--checkpoint`, if it was asked for.
pub struct Saving {
    folder: Option<Checkpoints>,
    found: Option<Found>,
}

impl Saving {
    /// Looks for a checkpoint, if `--resume` says so, and says what it found.
    ///
    /// # Errors
    /// A folder that cannot be used; one that has checkpoints already and no `--resume`;
    /// a checkpoint of another network or other data.
    pub fn new(args: &Args, mlp: &Mlp) -> Result<Self, Error> {
        let Some(folder) = &args.checkpoint else {
            return Ok(Self { folder: None, found: None });
        };
        let mut made = Checkpoints::new(folder)?.every(args.every).keep(args.keep as usize);
        let found = if args.resume { made.newest()? } else { None };
        let fault = |fault: String| CheckpointError::Folder { folder: folder.clone(), fault };
        if !args.resume && !made.files()?.is_empty() {
            let words = "there are some already; add --resume to go on, or take another folder";
            return Err(fault(words.into()).into());
        }
        let notes = notes(args);
        if let Some(Found { path, checkpoint, passed_over, .. }) = &found {
            for (_, error) in passed_over {
                eprintln!("passed over: {error}");
            }
            if checkpoint.layout() != mlp.layout() {
                let words = format!("`{}` is of another network", path.display());
                return Err(fault(words).into());
            }
            for (key, value) in &notes {
                let saved = checkpoint.note(key).unwrap_or("something else");
                if saved != value {
                    let words =
                        format!("`{}` was made with --{key} {saved}, not {value}", path.display());
                    return Err(fault(words).into());
                }
            }
            eprintln!("going on from {}, {} steps", path.display(), checkpoint.attempts());
        }
        let folder = notes.into_iter().fold(made, |made, (key, value)| made.note(key, value));
        Ok(Self { folder: Some(folder), found })
    }

    pub fn found(&self) -> Option<&Checkpoint> {
        self.found.as_ref().map(|found| &found.checkpoint)
    }

    /// Nothing is left to do.
    pub fn at_the_end(&self) -> Error {
        let folder = self.folder.as_ref().map(|folder| folder.folder().to_owned());
        let fault = "the newest one is at the end of these --epochs; ask for more".into();
        CheckpointError::Folder { folder: folder.unwrap_or_default(), fault }.into()
    }

    pub fn due_in(&self, optimizer: &Optimizer) -> u64 {
        self.folder.as_ref().and_then(|folder| folder.due_in(optimizer)).unwrap_or(u64::MAX)
    }

    /// A disk that is full for a while is no reason to stop training.
    pub fn tick(&mut self, optimizer: &mut Optimizer) {
        if let Some(folder) = &mut self.folder
            && let Err(error) = folder.tick(optimizer)
        {
            eprintln!("no checkpoint: {error}");
        }
    }

    /// # Errors
    /// What kept the last checkpoint from being written.
    pub fn finish(&mut self, optimizer: &mut Optimizer) -> Result<(), Error> {
        match &mut self.folder {
            Some(folder) => folder.finish(optimizer).map(drop),
            None => Ok(()),
        }
    }
}

/// What the optimizer does not know, and a training must have the same of.
fn notes(args: &Args) -> [(&'static str, String); 5] {
    [
        ("seed", args.seed.to_string()),
        ("batch", args.batch.to_string()),
        ("accumulate", args.accumulate.to_string()),
        ("batch-per-stage", args.batch_per_stage.to_string()),
        ("activation", format!("{:?}", args.activation).to_lowercase()),
    ]
}
