//! Checkpoints while it trains.

use std::error::Error;

use kutta::checkpoint::{Checkpoint, CheckpointError, Checkpoints, Found};
use kutta::data::{Inputs, Samples, Targets};
use kutta::{Method, Optimizer};
use sha2::{Digest, Sha256};

use super::cli::{Args, TRAINING};
use crate::numbers::hex;
use kutta_cli::output::{self, usage};

/// The note that tells the data apart.
const DATA: &str = "data-is";

/// The folder of `--checkpoint`, if it was asked for.
#[derive(Default)]
pub struct Saving {
    folder: Option<Checkpoints>,
    found: Option<Found>,
}

impl Saving {
    /// Looks for a checkpoint, if `--resume` says so, and takes from it what the command
    /// line leaves open.
    ///
    /// # Errors
    /// A folder that cannot be read, or none of whose files is whole; an option that a
    /// training cannot go on with.
    pub fn resumed(args: Args) -> Result<(Args, Self), Box<dyn Error>> {
        // A folder that is not there is made when all else has been looked at.
        let Some(folder) = args.checkpoint.as_ref().filter(|path| args.resume && path.exists())
        else {
            return Ok((args, Self::default()));
        };
        let mut folder = Checkpoints::new(folder)?;
        let Some(found) = folder.newest()? else {
            return Ok((args, Self { folder: Some(folder), found: None }));
        };
        let Found { path, checkpoint, passed_over, .. } = &found;
        for (_, error) in passed_over {
            note!("passed over: {error}");
        }
        let path = path.display();
        let resumed = args.resumed(|key| checkpoint.note(key));
        let (mut args, changes) = resumed.map_err(|fault| format!("`{path}`: {fault}"))?;
        let fixed: Vec<String> = changes
            .iter()
            .filter(|change| !change.option.may_change)
            .map(|change| {
                format!("--{} {}, not {}", change.option.name(), change.before, change.now)
            })
            .collect();
        if !fixed.is_empty() {
            return Err(usage(format_args!(
                "`{path}` was made with {}; leave that out, or take another folder for another \
                 training",
                fixed.join(", and with ")
            )));
        }
        note!("going on from {path}, {} steps", checkpoint.attempts());
        let before = checkpoint.method();
        if !args.is_given(&TRAINING[0]) {
            args.trained_with(before.clone());
        } else if let [method] = args.methods().map_err(usage)?.as_slice()
            && method != before
        {
            said_to_change("method", &of_its_kind(method), &of_its_kind(before));
        }
        for change in &changes {
            said_to_change(&change.option.name(), &change.now, &change.before);
        }
        Ok((args, Self { folder: Some(folder), found: Some(found) }))
    }

    /// Readies the folder for a training with these options on these samples.
    ///
    /// # Errors
    /// A folder that cannot be used, or has checkpoints already without `--resume`; one
    /// that a training on other samples was saved in.
    pub fn begin(&mut self, args: &Args, samples: &Samples) -> Result<(), Box<dyn Error>> {
        let Some(path) = &args.checkpoint else { return Ok(()) };
        let folder = match self.folder.take() {
            Some(folder) => folder,
            None => Checkpoints::new(path)?,
        };
        let fault = |fault: String| CheckpointError::Folder { folder: path.clone(), fault };
        if !args.resume && !folder.files()?.is_empty() {
            let words = "there are some already; add --resume to go on, or take another folder";
            return Err(fault(words.into()).into());
        }
        let data = identity(samples);
        if let Some(Found { path, checkpoint, .. }) = &self.found {
            let before = checkpoint.note(DATA).unwrap_or("unknown data");
            if before != data {
                let words = format!(
                    "`{}` was made on other data: {before}; in --data {} there are {data}",
                    path.display(),
                    args.data.display()
                );
                return Err(fault(words).into());
            }
        }
        let mut folder = folder.every(args.every).keep(args.keep as usize).note(DATA, data);
        for option in &TRAINING {
            folder = folder.note(option.name(), args.text(option));
        }
        self.folder = Some(folder);
        Ok(())
    }

    pub fn found(&self) -> Option<&Checkpoint> {
        self.found.as_ref().map(|found| &found.checkpoint)
    }

    /// Nothing is left to do.
    pub fn at_the_end(&self) -> kutta::Error {
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
            note!("no checkpoint: {error}");
        }
    }

    /// Says what kept the last checkpoint from being written.
    pub fn finish(&mut self, optimizer: &mut Optimizer) {
        if let Some(folder) = &mut self.folder
            && let Err(error) = folder.finish(optimizer)
        {
            output::fault(format_args!("no checkpoint: {error}"));
        }
    }
}

fn said_to_change(option: &str, now: &str, before: &str) {
    note!("--{option} is {now} from here on, and was {before}");
}

/// Two methods of one name are told apart by their coefficients alone.
fn of_its_kind(method: &Method) -> String {
    let named = method.to_string().parse::<Method>();
    let own = if named.as_ref() == Ok(method) { "" } else { " of a file" };
    format!("{method}{own}")
}

/// The same for the same samples, wherever their files are and however they are packed.
pub fn identity(samples: &Samples) -> String {
    let mut hash = Sha256::new();
    match samples.inputs() {
        Inputs::Bytes(values) => hash.update(values),
        Inputs::F32(values) => values.iter().for_each(|x| hash.update(x.to_le_bytes())),
    }
    match samples.targets() {
        Targets::Labels { labels, .. } => hash.update(labels),
        Targets::Dense { values, .. } => values.iter().for_each(|x| hash.update(x.to_le_bytes())),
    }
    let hash = hex(&hash.finalize());
    let [n, inputs, outputs] = [samples.len(), samples.width(), samples.targets().width()];
    format!("{n} samples of {inputs} inputs and {outputs} outputs, SHA-256 {hash}")
}
