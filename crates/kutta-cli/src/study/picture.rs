//! The figures.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::report::Results;
use crate::numbers::short;
use crate::plot::axis::Axis;
use crate::plot::canvas::{Outcome, Picture};
use crate::plot::panel::{Line, Panel};
use crate::plot::style::Style;

const WIDTH: i32 = 900;
const TALL: i32 = 480;

/// One panel below the other.
pub struct Figure {
    panels: Vec<(Panel, Axis, Axis)>,
}

type Points = Vec<(f64, f64)>;

impl Figure {
    /// Accuracy on the held-out images against h, setting by setting.
    pub fn accuracy(all: &[Results], drawn: &[&str]) -> Self {
        let of = |results: &Results| {
            lines(results, drawn, |run| {
                let h = run.knobs.get("h")?;
                Some((h.log10(), 100.0 * run.loss.map_or(0.0, |_| run.accuracy)))
            })
        };
        let panel = |results: &Results| {
            let lines = of(results);
            let best = extent(&lines, |point| point.1)?.1;
            // Where nothing is learnt no difference can be seen.
            let low = extent(&lines, |point| point.1)?.0.max(best - 20.0);
            let y = Axis::linear(low - 0.05 * (best - low), best + 0.1 * (best - low).max(0.1), 8);
            let lines = marked(clip(lines, low), &y);
            Some(panel(results.setting.clone(), lines, "h", "held-out accuracy, %", y))
        };
        Self { panels: all.iter().filter_map(panel).collect() }
    }

    /// Gradients to a loss against h, setting by setting.
    pub fn gradients(all: &[Results], drawn: &[&str], target: f64) -> Self {
        let panel = |results: &Results| {
            let lines = lines(results, drawn, |run| {
                let reached = |&&(_, loss): &&(u64, Option<f64>)| loss.is_some_and(|l| l <= target);
                let (count, _) = run.curve.iter().find(reached)?;
                Some((run.knobs.get("h")?.log10(), (*count as f64).max(1.0).log10()))
            });
            let (low, high) = extent(&lines, |point| point.1)?;
            let title = format!("{}, to a loss of {}", results.setting, short(target));
            let y = Axis::powers(low - 0.1, high + 0.1, 8);
            let lines = marked(lines, &y);
            Some(panel(title, lines, "h", "gradients", y))
        };
        Self { panels: all.iter().filter_map(panel).collect() }
    }

    /// Differences against the batch size, with their intervals.
    pub fn differences(all: &[Results], drawn: &[&str], minus: &str) -> Self {
        let mut families: Vec<&str> = all.iter().map(|results| results.family.as_str()).collect();
        families.dedup();
        let panel = |family: &&str| {
            let of = |results: &&Results| results.family == **family;
            let mut lines = Vec::new();
            for (i, name) in drawn.iter().filter(|name| **name != minus).enumerate() {
                let mut middle = Points::new();
                let mut pieces = Vec::new();
                for results in all.iter().filter(of) {
                    let pairs = results.pairs(&[minus]);
                    let Some(pair) = pairs.iter().find(|pair| pair.name == *name) else { continue };
                    // Beside each other, so that intervals can be told apart.
                    let x = (results.batch as f64).log10() + 0.025 * i as f64;
                    let (y, reach) = (100.0 * pair.difference.mean, 100.0 * pair.difference.reach);
                    middle.push((x, y));
                    pieces.push(vec![(x, y - reach), (x, y + reach)]);
                    for end in [y - reach, y + reach, y] {
                        pieces.push(vec![(x - 0.008, end), (x + 0.008, end)]);
                    }
                }
                middle.sort_by(|a, b| a.0.total_cmp(&b.0));
                pieces.push(middle);
                let label = format!("{name} − {minus}");
                lines.push(Line { label, pieces, areas: Vec::new(), width: 2 });
            }
            let (low, high) = extent(&lines, |point| point.1)?;
            let (low, high) = (low.min(-0.2), high.max(0.2));
            let y = Axis::linear(1.1 * low, 1.1 * high, 8);
            let mut made = panel((*family).into(), lines, "batch", "difference, points", y);
            let mut batches: Vec<usize> = all.iter().filter(of).map(|one| one.batch).collect();
            batches.sort_unstable();
            batches.dedup();
            made.1 = Axis::at(&batches);
            let (left, right) = (made.1.low, made.1.high);
            made.0.behind = [-0.15, 0.0, 0.15].map(|y| vec![(left, y), (right, y)]).to_vec();
            Some(made)
        };
        Self { panels: families.iter().filter_map(panel).collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.panels.is_empty()
    }
}

fn lines(
    results: &Results,
    drawn: &[&str],
    point: impl Fn(&super::lines::Line) -> Option<(f64, f64)>,
) -> Vec<Line> {
    let rows = results.rows.iter().filter(|row| drawn.contains(&row.name.as_str()));
    rows.map(|row| {
        let mut points: Points = row.trials.iter().filter_map(&point).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Line { label: row.name.clone(), pieces: vec![points], areas: Vec::new(), width: 2 }
    })
    .filter(|line| !line.pieces[0].is_empty())
    .collect()
}

/// A mark at every trial.
fn marked(mut lines: Vec<Line>, y: &Axis) -> Vec<Line> {
    let reach = 0.012 * (y.high - y.low);
    for line in &mut lines {
        let points: Points = line.pieces.iter().flatten().copied().collect();
        line.pieces.extend(points.iter().map(|&(x, y)| vec![(x, y - reach), (x, y + reach)]));
    }
    lines
}

/// Points below are drawn at the foot.
fn clip(mut lines: Vec<Line>, low: f64) -> Vec<Line> {
    let points = lines.iter_mut().flat_map(|line| line.pieces.iter_mut().flatten());
    points.for_each(|point| point.1 = point.1.max(low));
    lines
}

fn extent(lines: &[Line], of: impl Fn(&(f64, f64)) -> f64) -> Option<(f64, f64)> {
    let values = lines.iter().flat_map(|line| line.pieces.iter().flatten()).map(of);
    values.fold(None, |ends: Option<(f64, f64)>, v| {
        Some(ends.map_or((v, v), |(low, high)| (low.min(v), high.max(v))))
    })
}

fn panel(
    title: String,
    lines: Vec<Line>,
    x_name: &'static str,
    y_name: &'static str,
    y: Axis,
) -> (Panel, Axis, Axis) {
    let (low, high) = extent(&lines, |point| point.0).unwrap_or((0.0, 1.0));
    // At least one power of ten gets a label.
    let x = Axis::powers((low - 0.1).min(high.floor()), (high + 0.1).max(low.ceil()), 8);
    (Panel { title, lines, behind: Vec::new(), x_name, y_name }, x, y)
}

impl Picture for Figure {
    fn size(&self) -> (u32, u32) {
        (WIDTH as u32, (TALL * self.panels.len().max(1) as i32) as u32)
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, k: f64) -> Outcome
    where
        B::ErrorType: 'static,
    {
        area.fill(&WHITE)?;
        let parts = area.split_evenly((self.panels.len().max(1), 1));
        for ((panel, x, y), part) in self.panels.iter().zip(&parts) {
            let axes = (x.clone(), y.clone());
            panel.draw(part, Style { k }, panel.legend_height(WIDTH), axes)?;
        }
        Ok(())
    }
}
