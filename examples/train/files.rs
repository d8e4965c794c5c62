//! Where the results go.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::plot::{Figure, canvas};
use crate::summary::Summary;

pub struct Outputs {
    svg: PathBuf,
    png: PathBuf,
    json: Option<PathBuf>,
}

impl Outputs {
    /// Makes the folders.
    ///
    /// # Errors
    /// A folder that cannot be made, or a file's name that is a folder's.
    pub fn prepare(out: &Path, json: Option<&Path>) -> Result<Self, String> {
        make_folder(out)?;
        if let Some(json) = json {
            if json.is_dir() {
                return Err(format!("--json {} is a folder; name a file", json.display()));
            }
            json.parent().filter(|parent| parent != &Path::new("")).map_or(Ok(()), make_folder)?;
        }
        Ok(Self {
            svg: out.join("train.svg"),
            png: out.join("train.png"),
            json: json.map(Path::to_path_buf),
        })
    }

    /// Writes the pictures and the JSON.
    ///
    /// # Errors
    /// What keeps a file from being written.
    pub fn write(&self, figure: &Figure<'_>, summary: &Summary<'_>) -> Result<(), String> {
        if let Some(json) = &self.json {
            write_json(json, summary).map_err(|e| cannot("write", json, &e))?;
        }
        canvas::svg(figure, &self.svg).map_err(|e| cannot("draw", &self.svg, &*e))?;
        canvas::png(figure, &self.png).map_err(|e| cannot("draw", &self.png, &*e))
    }
}

impl fmt::Display for Outputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wrote {} and {}", self.svg.display(), self.png.display())?;
        if let Some(json) = &self.json {
            write!(f, ", {}", json.display())?;
        }
        writeln!(f)
    }
}

fn make_folder(path: &Path) -> Result<(), String> {
    fs::create_dir_all(path).map_err(|e| cannot("make the folder", path, &e))
}

fn write_json(path: &Path, summary: &Summary<'_>) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    serde_json::to_writer(&mut file, summary)?;
    writeln!(file)?;
    file.flush()
}

fn cannot(what: &str, path: &Path, error: &dyn fmt::Display) -> String {
    format!("cannot {what} {}: {error}; choose another place with --out or --json", path.display())
}
