//! Runs that have ended, one a line.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::file::Knobs;

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// A hash of all that determines the run.
    pub id: String,
    pub setting: String,
    pub optimizer: String,
    pub seed: u64,
    pub knobs: Knobs,
    /// On the held-out training images; the loss is none where it is not finite.
    pub accuracy: f64,
    pub loss: Option<f64>,
    /// On the test images, of final runs alone.
    pub test_accuracy: Option<f64>,
    pub steps: u64,
    /// All evaluations, those of probes and of curvature among them.
    pub gradients: u64,
    pub samples: f64,
    pub seconds: f64,
    pub adapter: String,
    /// What ended the run early: steps that lead nowhere. It counts as one that learnt nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Gradients, and the loss on the held-out images after them.
    pub curve: Vec<(u64, Option<f64>)>,
}

/// The file of runs.
pub struct Lines {
    path: PathBuf,
    file: File,
    pub ended: HashMap<String, Line>,
    /// Lines that are no runs, such as one that was cut.
    pub cut: Vec<usize>,
    needs_end: bool,
}

impl Lines {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// What the disk says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (mut ended, mut cut) = (HashMap::new(), Vec::new());
        for (i, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
            match serde_json::from_slice::<Line>(line) {
                Ok(run) => {
                    ended.insert(run.id.clone(), run);
                }
                Err(_) if line.is_empty() => {}
                Err(_) => cut.push(i + 1),
            }
        }
        let needs_end = bytes.last().is_some_and(|&last| last != b'\n');
        Ok(Self { path: path.to_owned(), file, ended, cut, needs_end })
    }

    /// Adds a run; when this returns, it is on the disk.
    ///
    /// # Errors
    /// What the disk says.
    pub fn add(&mut self, line: Line) -> Result<(), String> {
        let mut text = serde_json::to_string(&line).map_err(|error| error.to_string())?;
        text.push('\n');
        if self.needs_end {
            // The cut line stays alone.
            text.insert(0, '\n');
        }
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|e| format!("`{}` cannot be written: {e}", self.path.display()))?;
        self.needs_end = false;
        self.ended.insert(line.id.clone(), line);
        Ok(())
    }
}
