//! Training steps of several runs beside each other.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::table::{digits, what};
use crate::plot::canvas::{Outcome, Picture};
use crate::plot::style::Style;
use crate::roofline::bars::{Bars, Row};
use crate::roofline::picture::{HEAD, LINE, WIDTH, heading};
use crate::roofline::schema::{Run, Timed, Training};
use crate::roofline::statistics::Summary;

pub struct Figure {
    heading: Vec<String>,
    cases: Vec<Bars>,
}

impl Figure {
    /// For each case of the first run a bar for it and one for each rival: times as parts of
    /// its own. What is predicted on a large GPU stands below where this is one.
    ///
    /// # Errors
    /// A first run without any step.
    pub fn new(runs: &[Run]) -> Result<Self, String> {
        let first = runs.first().ok_or("there are no runs to draw")?;
        let steps = |run: &'_ Run| -> Vec<Training> {
            run.training.iter().filter(|row| row.kind == Timed::Step).cloned().collect()
        };
        let mut cases: Vec<Bars> = Vec::new();
        for own in steps(first) {
            let Some(time) = own.seconds() else { continue };
            let part = |summary: Summary| {
                let Summary { median, p10, p90, samples } = summary;
                let of = time.median;
                Summary { median: median / of, p10: p10 / of, p90: p90 / of, samples }
            };
            let large = first.machine.kind == "discrete";
            let expected = own.predicted.filter(|_| large).map(|p| p / time.median);
            let mut rows = vec![Row { label: own.name.clone(), measured: part(time), expected }];
            for run in runs {
                let rivals =
                    steps(run).into_iter().filter(|row| row.case == own.case && *row != own);
                rows.extend(rivals.filter_map(|row| {
                    Some(Row {
                        label: row.name.clone(),
                        measured: part(row.seconds()?),
                        expected: None,
                    })
                }));
            }
            let title = format!("{}: {} µs a step", what(&own.case), digits(1e6 * time.median));
            cases.push(Bars { title, rows, mark: Some(1.0) });
        }
        if cases.is_empty() {
            return Err("the run has no training step to draw".into());
        }
        Ok(Self { heading: heading(first), cases })
    }

    fn head(&self) -> i32 {
        HEAD + LINE * self.heading.len() as i32
    }
}

impl Picture for Figure {
    fn size(&self) -> (u32, u32) {
        let height = self.head() + self.cases.iter().map(Bars::height).sum::<i32>();
        (WIDTH as u32, height as u32)
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, k: f64) -> Outcome
    where
        B::ErrorType: 'static,
    {
        let style = Style { k };
        area.fill(&WHITE)?;
        let (head, mut rest) = area.split_vertically(style.length(self.head()));
        for (i, line) in self.heading.iter().enumerate() {
            let at = (style.length(16), style.length(12 + LINE * i as i32));
            head.draw(&Text::new(line.clone(), at, style.text(15)))?;
        }
        for case in &self.cases {
            let (upper, lower) = rest.split_vertically(style.length(case.height()));
            case.draw(&upper, style)?;
            rest = lower;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::canvas;
    use crate::roofline::schema::tests::training_run;

    #[test]
    fn rivals_are_drawn_as_multiples_of_the_first_runs_times() {
        let own = training_run("kutta", "mnist-128-b64", 2e-4);
        let rival = training_run("torch, eager", "mnist-128-b64", 1e-3);
        let figure = Figure::new(&[own.clone(), rival]).unwrap();
        let svg = String::from_utf8(canvas::to_svg(&figure).unwrap()).unwrap();
        for part in ["784-128-10, batch 64: 200 µs a step", "torch, eager", "5.00", "1.00"] {
            assert!(svg.contains(part), "{part}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        let nothing = Run { training: vec![], ..own };
        assert!(Figure::new(&[nothing]).is_err() && Figure::new(&[]).is_err());
    }
}
