//! The picture of a training: losses and accuracies of all runs, as SVG and as
//! PNG by the same drawing code.

mod panel;
mod scale;

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;

use self::panel::Panel;
use self::scale::Scale;
use super::canvas::{Outcome, Picture};
use super::style::Style;
use crate::curve::{Run, Step, Test};
use crate::numbers::{grouped, per_cent};

pub struct Figure<'a> {
    pub title: String,
    /// Where it is the same for all.
    pub steps_per_epoch: Option<u64>,
    pub runs: &'a [Run],
    /// One row of panels for each.
    pub against: &'static [Against],
}

/// One run alone, and several.
pub const ALONE: &[Against] = &[Against::Steps];
pub const TOGETHER: &[Against] = &[Against::Evaluations, Against::Steps];

/// What progress is measured in.
#[derive(Clone, Copy)]
pub enum Against {
    Evaluations,
    Steps,
    Seconds,
}

impl Against {
    fn step(self, run: &Run, step: &Step) -> f64 {
        match self {
            Against::Seconds => {
                let evaluations = step.evaluations - run.before.evaluations;
                evaluations as f64 / run.evaluations_per_second()
            }
            Against::Evaluations => step.evaluations as f64,
            Against::Steps => step.step as f64,
        }
    }

    fn test(self, test: &Test) -> f64 {
        match self {
            Against::Evaluations => test.evaluations as f64,
            Against::Seconds => test.seconds,
            Against::Steps => test.step as f64,
        }
    }
}

/// One line of the legend, by its upper left corner.
struct Entry {
    run: usize,
    label: String,
    at: (i32, i32),
}

/// Around the picture.
const MARGIN: i32 = 16;

impl Picture for Figure<'_> {
    fn size(&self) -> (u32, u32) {
        (1120, 90 + 370 * self.against.len() as u32)
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, k: f64) -> Outcome
    where
        B::ErrorType: 'static,
    {
        let style = Style { k };
        area.fill(&WHITE)?;
        let entries = self.legend(area, style)?;
        let end = entries.last().map_or(0, |entry| entry.at.1);
        let (head, body) = area.split_vertically(end + style.length(34));
        let title_at = (style.length(MARGIN), style.length(14));
        head.draw(&Text::new(self.title.clone(), title_at, style.text(20)))?;
        for Entry { run, label, at: (x, y) } in entries {
            let middle = y + style.length(5);
            style.run(run).draw(&head, &[(x, middle), (x + style.length(28), middle)])?;
            head.draw(&Text::new(label, (x + style.length(36), y), style.text(16)))?;
        }

        let rows = self.against;
        for (cells, against) in body.split_evenly((rows.len(), 2)).chunks(2).zip(rows) {
            if let [left, right] = cells {
                self.losses(*against, style).draw(left, style)?;
                self.accuracies(*against, style).draw(right, style)?;
            }
        }
        Ok(())
    }
}

impl Figure<'_> {
    /// The methods and how far they came, in rows above the panels.
    fn legend<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
        style: Style,
    ) -> Result<Vec<Entry>, Box<dyn Error>>
    where
        B::ErrorType: 'static,
    {
        let left = style.length(MARGIN);
        let right = area.dim_in_pixel().0 as i32 - left;
        let (mut x, mut y) = (left, style.length(48));
        let mut entries = Vec::new();
        for (run, Run { method, tests, .. }) in self.runs.iter().enumerate() {
            let label = match tests.last().and_then(|test| test.accuracy) {
                Some(accuracy) => format!("{method}  {}", per_cent(accuracy)),
                None => method.clone(),
            };
            let text = area.estimate_text_size(&label, &style.text(16))?.0 as i32;
            let width = style.length(36) + text;
            if x + width > right && x > left {
                (x, y) = (left, y + style.length(20));
            }
            entries.push(Entry { run, label, at: (x, y) });
            x += width + style.length(26);
        }
        Ok(entries)
    }

    fn x_axis(&self, against: Against) -> (String, Scale) {
        let last = |run: &Run| run.tests.last().map_or(0.0, |test| against.test(test));
        let end = self.runs.iter().map(last).fold(0.0, f64::max);
        let name = match against {
            Against::Evaluations => "gradient evaluations".into(),
            Against::Seconds => "seconds of training".into(),
            Against::Steps => match self.steps_per_epoch {
                Some(steps) => format!("steps ({} to an epoch)", grouped(steps as f64)),
                None => "steps".into(),
            },
        };
        (name, Scale::count(end))
    }

    fn losses(&self, against: Against, style: Style) -> Panel {
        // More bands than this only hide each other.
        let banded = self.runs.len() <= 6;
        let name = match banded {
            true => "training loss: mean and range of batches",
            false => "training loss: mean of batches",
        };
        let mut panel = Panel::new(name, self.x_axis(against));
        for (i, run) in self.runs.iter().enumerate() {
            let line: Vec<_> = run
                .steps
                .iter()
                .filter_map(|step| Some((against.step(run, step), f64::from(step.loss?))))
                .collect();
            panel.add_noisy(&line, style.run(i), banded);
        }
        panel.scale_by(Scale::log);
        panel
    }

    fn accuracies(&self, against: Against, style: Style) -> Panel {
        let mut panel = Panel::new("test accuracy", self.x_axis(against));
        for (i, run) in self.runs.iter().enumerate() {
            let line: Vec<_> = run
                .tests
                .iter()
                .filter_map(|test| Some((against.test(test), test.accuracy?)))
                .collect();
            panel.add_dotted(line, style.run(i));
        }
        panel.scale_by(Scale::accuracy);
        panel
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::canvas;

    fn run(method: &str, loss: impl Fn(u64) -> Option<f32>, accuracy: Option<f64>) -> Run {
        let step = |step| Step {
            step,
            evaluations: 4 * step,
            h: 0.5,
            loss: loss(step),
            grad_norm: None,
            accepted: true,
        };
        let test = |step| Test { step, evaluations: 4 * step, seconds: 0.0, loss: 1.0, accuracy };
        Run {
            evaluations: 4000,
            seconds: 1.0,
            samples: 1.0,
            steps: (0..1000).map(step).collect(),
            tests: vec![test(0), test(1000)],
            ..Run::new(method.into())
        }
    }

    /// Every odd curve gives two files that are pictures.
    #[test]
    fn odd_curves_are_drawn() {
        let curves = [
            vec![run("none", |_| None, None)],
            vec![run("constant", |_| Some(0.0), Some(1.0))],
            vec![Run { steps: vec![], tests: vec![], ..run("empty", |_| None, None) }],
            vec![
                run("<exploding>", |i| Some(1e-3 * 1.08f32.powi(i as i32)), Some(0.1)),
                run("negative", |i| Some(-(i as f32)), Some(0.0)),
            ],
            (0..20).map(|i| run(&format!("method{i}"), |_| Some(1.0), Some(0.9))).collect(),
        ];
        for runs in curves {
            let figure = Figure {
                title: "odd & <curves>".into(),
                steps_per_epoch: Some(938),
                runs: &runs,
                against: TOGETHER,
            };
            let text = String::from_utf8(canvas::to_svg(&figure).unwrap()).unwrap();
            assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"));
            assert!(!text.contains("NaN") && !text.contains("inf"), "{}", runs[0].method);
            assert!(canvas::to_png(&figure).unwrap().starts_with(b"\x89PNG"));
        }
    }
}
