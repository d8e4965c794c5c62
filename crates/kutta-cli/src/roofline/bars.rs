//! Rows of bars with a name before each.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::statistics::Summary;
use crate::plot::canvas::Outcome;
use crate::plot::style::{INK, Style};

/// One row: what was measured and, where there is one, what was expected.
pub struct Row {
    pub label: String,
    pub measured: Summary,
    pub expected: Option<f64>,
}

pub struct Bars {
    pub title: String,
    pub rows: Vec<Row>,
    /// A line across all rows.
    pub mark: Option<f64>,
}

/// Lengths in pixels of the SVG.
const ROW: i32 = 22;
const HEAD: i32 = 40;
const FOOT: i32 = 12;
const LEFT: i32 = 16;
const LABEL: i32 = 236;
const VALUE: i32 = 96;
const TEXT: i32 = 14;

impl Bars {
    pub fn height(&self) -> i32 {
        HEAD + FOOT + ROW * self.rows.len() as i32
    }

    /// What the whole width stands for.
    fn most(&self) -> f64 {
        let ends = self.rows.iter().flat_map(|row| [Some(row.measured.p90), row.expected]);
        ends.flatten().chain(self.mark).fold(1e-9, f64::max)
    }

    pub fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, style: Style) -> Outcome
    where
        B::ErrorType: 'static,
    {
        let width = (f64::from(area.dim_in_pixel().0) / style.k) as i32;
        let at = |x: i32, y: i32| (style.length(x), style.length(y));
        let from = LEFT + LABEL;
        let room = f64::from(width - from - VALUE) / self.most();
        let x = |value: f64| from + (value * room).round() as i32;
        area.draw(&Text::new(self.title.clone(), at(LEFT, 8), style.text(17)))?;
        let bar = |low: (i32, i32), high: (i32, i32), colour: RGBAColor| {
            Rectangle::new([at(low.0, low.1), at(high.0, high.1)], colour.filled())
        };
        let line = |a: (i32, i32), b: (i32, i32), colour: RGBAColor| {
            PathElement::new(
                vec![at(a.0, a.1), at(b.0, b.1)],
                colour.stroke_width(style.length(1) as u32),
            )
        };
        let stroke = style.run(0).colour;
        for (i, row) in self.rows.iter().enumerate() {
            let y = HEAD + ROW * i as i32;
            let Summary { median, p10, p90, .. } = row.measured;
            area.draw(&Text::new(row.label.clone(), at(LEFT, y + 1), style.text(TEXT)))?;
            area.draw(&bar((from, y + 1), (x(median), y + 12), stroke.mix(0.75)))?;
            if let Some(expected) = row.expected {
                area.draw(&bar((from, y + 13), (x(expected), y + 17), INK.mix(0.35)))?;
            }
            // From the tenth percentile to the ninetieth.
            area.draw(&line((x(p10), y + 6), (x(p90), y + 6), INK.to_rgba()))?;
            for end in [p10, p90] {
                area.draw(&line((x(end), y + 3), (x(end), y + 9), INK.to_rgba()))?;
            }
            let value = match row.expected {
                Some(expected) => format!("{median:.2} ({expected:.2})"),
                None => format!("{median:.2}"),
            };
            let end = x(p90.max(row.expected.unwrap_or(0.0))) + 6;
            area.draw(&Text::new(value, at(end, y + 1), style.text(TEXT)))?;
        }
        if let Some(mark) = self.mark {
            let bottom = HEAD + ROW * self.rows.len() as i32;
            area.draw(&line((x(mark), HEAD - 4), (x(mark), bottom), INK.mix(0.6)))?;
        }
        Ok(())
    }
}
