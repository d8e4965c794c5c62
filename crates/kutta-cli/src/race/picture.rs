//! The way of the best setting of each method.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::Results;
use super::course::thinned;
use crate::numbers::grouped;
use crate::plot::axis::Axis;
use crate::plot::canvas::{Outcome, Picture};
use crate::plot::panel::{Line, Panel};
use crate::plot::style::Style;

const WIDTH: i32 = 1200;
const TALL: i32 = 560;
const HEAD: i32 = 20;

pub struct Figure {
    panel: Panel,
    x: Axis,
    y: Axis,
}

impl Figure {
    pub fn new(results: &Results) -> Self {
        let (panel, x, y) = panel(results);
        Self { panel, x, y }
    }
}

/// Losses as logarithms; and gradients, where the fastest needs far fewer.
fn panel(results: &Results) -> (Panel, Axis, Axis) {
    let log = results.name == "quadratic";
    let place = |count: u64| if log { (count as f64).log10() } else { count as f64 };
    let mut ends = [f64::INFINITY, 0.0, results.target.log10(), f64::NEG_INFINITY];
    let mut lines = Vec::new();
    for row in &results.rows {
        let won = row.winner();
        let points: Vec<(f64, f64)> = thinned(&won.curve, 400)
            .into_iter()
            .filter(|(count, loss)| !(log && *count == 0) && loss.is_finite() && *loss > 0.0)
            .map(|(count, loss)| (place(count), loss.log10()))
            .collect();
        for &(x, y) in &points {
            ends = [ends[0].min(x), ends[1].max(x), ends[2].min(y), ends[3].max(y)];
        }
        let label = match won.reached {
            Some(count) => format!("{}: {}", row.name, grouped(count as f64)),
            None => format!("{}: not reached", row.name),
        };
        lines.push(Line { label, pieces: vec![points], areas: Vec::new(), width: 2 });
    }
    let target = results.target.log10();
    let behind = vec![vec![(ends[0], target), (ends[1], target)]];
    let title = results.title.split(", seen").next().unwrap_or_default().into();
    let [left, right, low, high] = ends;
    let x = match log {
        true => Axis::powers(left - 0.05, right + 0.05, 8),
        false => Axis::linear(0.0, 1.02 * right, 12),
    };
    let panel = Panel { title, lines, behind, x_name: "gradients", y_name: "loss" };
    (panel, x, Axis::powers(low - 0.1, high + 0.1, 10))
}

impl Picture for Figure {
    fn size(&self) -> (u32, u32) {
        (WIDTH as u32, (HEAD + TALL) as u32)
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, k: f64) -> Outcome
    where
        B::ErrorType: 'static,
    {
        let style = Style { k };
        area.fill(&WHITE)?;
        let (_, body) = area.split_vertically(style.length(HEAD));
        let axes = (self.x.clone(), self.y.clone());
        self.panel.draw(&body, style, self.panel.legend_height(WIDTH), axes)
    }
}
