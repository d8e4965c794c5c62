//! Where the results go.

use std::error::Error;

use super::cli::Args;
use super::summary::Summary;
use crate::plot::{canvas, curves::Figure};
use kutta_cli::output::{Output, Outputs};

pub struct Files {
    outputs: Outputs,
    svg: Output,
    png: Output,
    json: Option<Output>,
}

impl Files {
    /// Tries them all, and the folder of checkpoints: nobody wants to hear after the
    /// training that it cannot be saved.
    ///
    /// # Errors
    /// What cannot be written, by its option.
    pub fn prepare(args: &Args) -> Result<Self, Box<dyn Error>> {
        let mut outputs = Outputs::default();
        let json = args.json.as_ref().map(|path| outputs.file("--json", path)).transpose()?;
        if let Some(folder) = &args.checkpoint {
            outputs.folder("--checkpoint", folder)?;
        }
        let folder = outputs.folder("--out", &args.out)?;
        let (svg, png) = (folder.file("train.svg")?, folder.file("train.png")?);
        Ok(Self { outputs, svg, png, json })
    }

    /// Writes what can be written, and says what was and what was not.
    pub fn write(&self, figure: &Figure<'_>, summary: &Summary<'_>) {
        if let Some(json) = &self.json {
            json.write(|out| {
                serde_json::to_writer(&mut *out, summary)?;
                writeln!(out)
            });
        }
        self.svg.put_made(canvas::to_svg(figure));
        self.png.put_made(canvas::to_png(figure));
        self.outputs.list();
    }
}
