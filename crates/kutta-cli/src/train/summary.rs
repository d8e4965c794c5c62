//! The end of a training: a table to read, and JSON for other programs.

use std::fmt;

use kutta::{Momentum, Preconditioner, Stored};
use serde::Serialize;

use super::cli::Args;
use super::training::Epoch;
use crate::curve::{Before, Run};
use crate::numbers::{grouped, per_cent, short};

#[derive(Serialize)]
pub struct Summary<'a> {
    pub options: &'a Args,
    pub layers: &'a [usize],
    pub adapter: &'a str,
    pub epoch: Epoch,
    pub runs: &'a [Run],
}

impl Summary<'_> {
    /// What was trained, in one line.
    pub fn title(&self) -> String {
        let name = self.options.data.file_name().map_or("data".into(), |n| n.to_string_lossy());
        let layers: Vec<_> = self.layers.iter().map(usize::to_string).collect();
        let mut title = format!(
            "{name}: {} {:?}, batch {}, step size {}",
            layers.join("-"),
            self.options.activation,
            self.options.batch,
            self.options.recipe.step_size
        )
        .to_lowercase();
        if self.options.recipe.preconditioner != Preconditioner::None {
            title += &format!(", {}", self.options.recipe.preconditioner);
        }
        if self.options.recipe.momentum != Momentum::None {
            title += &format!(", {}", self.options.recipe.momentum);
        }
        if self.options.recipe.storage != Stored::default() {
            title += &format!(", {}", self.options.recipe.storage);
        }
        if self.options.recipe.weight_decay != 0.0 {
            title += &format!(", decay {}", self.options.recipe.weight_decay);
        }
        if self.options.recipe.l2 != 0.0 {
            title += &format!(", l2 {}", self.options.recipe.l2);
        }
        if let Some(clip) = self.options.recipe.clip {
            title += &format!(", clip {clip}");
        }
        if self.options.recipe.adaptive.is_some() {
            title += ", adaptive";
        }
        if self.options.recipe.accumulate > 1 {
            title += &format!(", {} micro-batches", self.options.recipe.accumulate);
        }
        if self.options.recipe.batch_per_stage {
            title += ", a batch for each stage";
        }
        title
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = [
            "method",
            "steps",
            "gradients",
            "time",
            "samples/s",
            "gradients/s",
            "loss",
            "accuracy",
        ];
        let mut table = vec![head.map(String::from)];
        for run in self.runs {
            let test = run.last_test();
            let accuracy = test.and_then(|test| test.accuracy);
            table.push([
                run.method.clone(),
                grouped(run.steps.len() as f64),
                grouped(run.own_evaluations() as f64),
                format!("{:.1} s", run.seconds),
                grouped(run.samples_per_second()),
                grouped(run.evaluations_per_second()),
                test.map_or("-".into(), |test| short(test.loss)),
                accuracy.map_or("-".into(), per_cent),
            ]);
        }
        let width = |column: usize| table.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths: [usize; 8] = std::array::from_fn(width);
        writeln!(f, "{} on {}", self.title(), self.adapter)?;
        writeln!(f, "loss and accuracy are of the test set")?;
        for row in &table {
            let [first, others @ ..] = row;
            write!(f, "{first:<0$}", widths[0])?;
            for (cell, width) in others.iter().zip(&widths[1..]) {
                write!(f, "  {cell:>width$}")?;
            }
            writeln!(f)?;
        }
        for run in self.runs.iter().filter(|run| run.before != Before::default()) {
            let Before { steps, evaluations } = run.before;
            let [steps, gradients] = [steps, evaluations].map(|n| grouped(n as f64));
            writeln!(
                f,
                "{}: went on from {steps} steps and {gradients} gradients, which the table leaves out",
                run.method
            )?;
        }
        for run in self.runs.iter().filter(|run| run.not_accepted() > 0) {
            let (lost, all) = (run.not_accepted(), run.steps.len());
            writeln!(
                f,
                "{}: {lost} of {all} steps were not taken, since {}",
                run.method,
                match self.options.recipe.adaptive {
                    Some(_) => "their error was too large or something was not finite",
                    None => {
                        "their loss or gradient was not finite; try a smaller --step-size"
                    }
                }
            )?;
        }
        for run in self.runs {
            if let Some(accuracy) = run.average {
                writeln!(f, "{}: averaged parameters have {}", run.method, per_cent(accuracy))?;
            }
        }
        if let [run] = self.runs
            && let Some(accuracy) = run.last_test().and_then(|test| test.accuracy)
        {
            writeln!(f, "test accuracy {}", per_cent(accuracy))?;
        }
        Ok(())
    }
}
