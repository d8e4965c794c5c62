//! What is seen while it trains: a bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::curve::Test;
use crate::numbers::{grouped, per_cent, short};

pub struct Progress {
    method: String,
    total: u64,
    unit: &'static str,
    bar: Option<ProgressBar>,
}

/// A bar on the terminal, if there is one.
pub fn bar(template: &str, total: u64) -> Option<ProgressBar> {
    std::io::stderr().is_terminal().then(|| {
        let style = ProgressStyle::with_template(template);
        ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr())
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    })
}

impl Progress {
    /// `total` counts the given unit.
    pub fn new(method: &str, total: u64, unit: &'static str) -> Self {
        let bar = bar("{prefix} {wide_bar} {human_pos}/{human_len} {msg}, {eta} left", total)
            .map(|bar| bar.with_prefix(method.to_owned()));
        Self { method: method.into(), total, unit, bar }
    }

    /// Moves the bar.
    pub fn update(&self, done: u64, loss: Option<f64>, samples_per_second: f64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done.min(self.total));
            bar.set_message(format!(
                "{}, loss {}, {} samples/s",
                self.unit,
                loss.map_or("?".into(), short),
                grouped(samples_per_second)
            ));
        }
    }

    /// A line for a test of the accuracy.
    pub fn test(&self, done: u64, loss: Option<f64>, samples_per_second: f64, test: &Test) {
        let line = format!(
            "{}: {} of {} {}, loss {}, {} samples/s, test {}",
            self.method,
            grouped(done as f64),
            grouped(self.total as f64),
            self.unit,
            loss.map_or("?".into(), short),
            grouped(samples_per_second),
            verdict(test)
        );
        match &self.bar {
            Some(bar) => bar.suspend(|| note!("{line}")),
            None => note!("{line}"),
        }
    }

    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

fn verdict(test: &Test) -> String {
    match test.accuracy {
        Some(accuracy) => format!("accuracy {}", per_cent(accuracy)),
        None => format!("loss {}", short(test.loss)),
    }
}
