//! The roofline, what fusion gains, and how near each kernel is to a bare one.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::bars::{Bars, Row};
use super::schema::{Kind, Measurement, Run};
use crate::numbers::grouped;
use crate::plot::axis::Axis;
use crate::plot::canvas::{Outcome, Picture};
use crate::plot::panel::{Line, Panel};
use crate::plot::style::Style;

pub const WIDTH: i32 = 1200;
const TALL: i32 = 470;
/// Of the head: what surrounds its lines, one of them, and letters that one has room for.
pub const HEAD: i32 = 16;
pub const LINE: i32 = 20;
const LETTERS: usize = 150;
/// Rows of kernels that a picture has room for.
const MOST_ROWS: usize = 60;

pub struct Figure {
    heading: Vec<String>,
    panels: Vec<Panel>,
    x: Axis,
    y: Axis,
    fusion: Bars,
    kernels: Bars,
}

impl Figure {
    /// Of a run, and of others beside it.
    ///
    /// # Errors
    /// Runs without any figure.
    pub fn new(runs: &[Run]) -> Result<Self, String> {
        let first = runs.first().ok_or("there are no runs to draw")?;
        let mut panels = Vec::new();
        let mut ends = [f64::INFINITY, f64::NEG_INFINITY, f64::INFINITY, f64::NEG_INFINITY];
        for cold in [false, true] {
            let lines = lines(runs, cold, &mut ends);
            if lines.is_empty() {
                continue;
            }
            let title = if cold { "Cold: in no cache" } else { "Hot: the same buffers again" };
            let (title, behind) = (title.into(), Vec::new());
            panels.push(Panel { title, lines, behind, x_name: "parameters", y_name: "GB/s" });
        }
        let [mut left, mut right, low, high] = ends;
        if panels.is_empty() || !(left.is_finite() && low.is_finite()) {
            return Err("no run has a ceiling or a step to draw".into());
        }
        if left.ceil() > right {
            // No power of ten is among the sizes: one on either side, to tell them by.
            (left, right) = (left.floor(), right.ceil());
        }
        Ok(Self {
            heading: heading(first),
            panels,
            x: Axis::powers(left - 0.15, right + 0.15, 8),
            y: Axis::powers(low - 0.1, high + 0.1, 8),
            fusion: fusion(runs),
            kernels: kernels(runs),
        })
    }

    fn head(&self) -> i32 {
        HEAD + LINE * self.heading.len() as i32
    }

    fn lower(&self) -> i32 {
        self.fusion.height().max(self.kernels.height())
    }
}

/// The machine and the command of a run.
pub fn heading(run: &Run) -> Vec<String> {
    let machine = &run.machine;
    let heading = [
        format!("{} ({}), {}", machine.adapter, machine.backend, machine.driver),
        format!("{}, {}; {}", machine.library, run.date, run.command),
    ];
    heading.iter().flat_map(|text| broken(text)).collect()
}

/// In lines of so many letters, broken at spaces.
fn broken(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= LETTERS => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.into()),
        }
    }
    lines
}

/// What is said before a name of another run than the first.
fn prefix(runs: &[Run], i: usize) -> String {
    match runs {
        [first, ..] if i > 0 && first.source == runs[i].source => {
            format!("{}: ", runs[i].machine.adapter)
        }
        _ if i > 0 => format!("{}: ", runs[i].source),
        _ => String::new(),
    }
}

/// Ceilings and fused steps, as GB/s by size.
fn lines(runs: &[Run], cold: bool, ends: &mut [f64; 4]) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for (i, run) in runs.iter().enumerate() {
        let mut names: Vec<String> = Vec::new();
        let mut rows: Vec<Vec<&Measurement>> = Vec::new();
        for row in run.measurements.iter().filter(|row| row.cold == cold) {
            let name = match (row.kind, &row.case) {
                (Kind::Ceiling, _) => row.name.clone(),
                (Kind::Step, Some(case)) if case.is_fused() => {
                    let own = if row.name == "step" { String::new() } else { row.name.clone() };
                    match own.as_str() {
                        "" => format!("{}, {}", case.method, case.ingredients),
                        own => own.into(),
                    }
                }
                _ => continue,
            };
            match names.iter().position(|known| *known == name) {
                Some(at) => rows[at].push(row),
                None => {
                    names.push(name);
                    rows.push(vec![row]);
                }
            }
        }
        // Ceilings first: they are what the rest is held against.
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.sort_by_key(|&at| rows[at][0].kind != Kind::Ceiling);
        for at in order {
            let mut points: Vec<(f64, f64)> = Vec::new();
            for row in &rows[at] {
                let Some(speed) = row.speed() else { continue };
                let point = ((row.n as f64).log10(), speed.median.log10());
                // The best of all numbers of steps in a submit.
                match points.iter_mut().find(|known| known.0 == point.0) {
                    Some(known) => known.1 = known.1.max(point.1),
                    None => points.push(point),
                }
            }
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            for &(x, y) in &points {
                *ends = [ends[0].min(x), ends[1].max(x), ends[2].min(y), ends[3].max(y)];
            }
            if let [(x, y)] = points[..] {
                points = vec![(x - 0.05, y), (x + 0.05, y)];
            }
            let label = format!("{}{}", prefix(runs, i), names[at]);
            let width = if rows[at][0].kind == Kind::Ceiling { 4 } else { 2 };
            lines.push(Line { label, pieces: vec![points], areas: Vec::new(), width });
        }
    }
    lines
}

/// At the largest size of each run, with as many steps in a submit as there were.
fn fusion(runs: &[Run]) -> Bars {
    let mut rows = Vec::new();
    for (i, run) in runs.iter().enumerate() {
        let n = run.fusion.iter().map(|fusion| fusion.n).max().unwrap_or(0);
        let mut cases: Vec<String> = Vec::new();
        for fusion in run.fusion.iter().rev().filter(|fusion| fusion.n == n) {
            let case = format!("{}, {}", fusion.method, fusion.ingredients);
            if cases.contains(&case) {
                continue;
            }
            let label = format!("{}{case}", prefix(runs, i));
            rows.push(Row { label, measured: fusion.measured, expected: Some(fusion.predicted) });
            cases.push(case);
        }
    }
    rows.reverse();
    let n = runs.iter().flat_map(|run| &run.fusion).map(|fusion| fusion.n).max().unwrap_or(0);
    let n = grouped(n as f64);
    let title = format!("Fused over unfused speed, n = {n} (grey: by words)");
    Bars { title, rows, mark: Some(1.0) }
}

/// Of the first run, at its largest size.
fn kernels(runs: &[Run]) -> Bars {
    let kernels = || {
        let all = runs[0].measurements.iter();
        all.filter(|row| row.kind == Kind::Kernel && !row.cold && row.of_bare.is_some())
    };
    let n = kernels().map(|row| row.n).max().unwrap_or(0);
    let mut all: Vec<_> = kernels().filter(|row| row.n == n).collect();
    // Where not all have room, those that a bare one tells something about come first.
    all.sort_by_key(|row| row.storage != "f32");
    let rows = all.iter().take(MOST_ROWS).filter_map(|row| {
        let case = row.case.as_ref()?;
        let label = format!("{}, {}: {}", case.method, case.ingredients, row.name);
        Some(Row { label, measured: row.of_bare?, expected: None })
    });
    let shown = match all.len() {
        found if found > MOST_ROWS => format!(", {MOST_ROWS} of {found}"),
        _ => String::new(),
    };
    let n = grouped(n as f64);
    let title = format!("Kernels: part of a bare one's speed, n = {n}{shown}");
    Bars { title, rows: rows.collect(), mark: Some(1.0) }
}

impl Picture for Figure {
    fn size(&self) -> (u32, u32) {
        (WIDTH as u32, (self.head() + TALL + self.lower()) as u32)
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, k: f64) -> Outcome
    where
        B::ErrorType: 'static,
    {
        let style = Style { k };
        area.fill(&WHITE)?;
        let (head, body) = area.split_vertically(style.length(self.head()));
        for (i, line) in self.heading.iter().enumerate() {
            let at = (style.length(16), style.length(12 + LINE * i as i32));
            head.draw(&Text::new(line.clone(), at, style.text(15)))?;
        }
        let (upper, lower) = body.split_vertically(style.length(TALL));
        let wide = WIDTH / self.panels.len() as i32;
        let legend = self.panels.iter().map(|panel| panel.legend_height(wide)).max().unwrap_or(0);
        let areas = upper.split_evenly((1, self.panels.len()));
        for (panel, area) in self.panels.iter().zip(&areas) {
            panel.draw(area, style, legend, (self.x.clone(), self.y.clone()))?;
        }
        let (left, right) = lower.split_horizontally(style.length(WIDTH / 2));
        self.fusion.draw(&left, style)?;
        self.kernels.draw(&right, style)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::canvas;
    use crate::roofline::schema::tests::run;

    #[test]
    fn a_long_command_takes_lines_and_loses_nothing() {
        let mut long = run();
        long.command = vec!["--methods"; 60].join(" ");
        let one = Figure::new(&[run()]).unwrap();
        let more = Figure::new(&[long.clone()]).unwrap();
        assert!(more.heading.iter().all(|line| line.len() <= LETTERS), "{:?}", more.heading);
        assert!(more.heading[1..].join(" ").ends_with(&long.command));
        assert!(more.size().1 > one.size().1);
    }

    #[test]
    fn a_picture_shows_both_runs() {
        let mut rival = run();
        rival.source = "torch 2".into();
        let figure = Figure::new(&[run(), rival]).unwrap();
        let svg = String::from_utf8(canvas::to_svg(&figure).unwrap()).unwrap();
        for part in
            ["rk4, plain", "torch 2: rk4, plain", "torch 2: copy", "llvmpipe", "1.50 (1.40)"]
        {
            assert!(svg.contains(part), "{part}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn runs_without_figures_cannot_be_drawn() {
        let nothing = Run { measurements: vec![], ..run() };
        assert!(Figure::new(&[nothing]).is_err() && Figure::new(&[]).is_err());
    }
}
