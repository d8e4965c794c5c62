//! One pair of axes and the lines in it.

use std::error::Error;

use plotters::coord::Shift;
use plotters::coord::ranged1d::Ranged;
use plotters::prelude::*;

use super::scale::Scale;
use crate::curve::{self, Point};
use crate::plot::style::{INK, Stroke, Style};

/// Points of a line as wide as the panel, some two pixels apart. More could not
/// be told apart, and steep zigzags make corners of thick lines stick out.
const MOST_POINTS: f64 = 250.0;

pub struct Panel {
    name: &'static str,
    x_name: String,
    x: Scale,
    y: Scale,
    lines: Vec<Line>,
    /// What must find room between top and bottom.
    heights: Vec<f64>,
}

struct Line {
    points: Vec<Point>,
    stroke: Stroke,
    kind: Kind,
}

#[derive(PartialEq)]
enum Kind {
    /// An outline to be filled.
    Band,
    Line,
    Dotted,
}

impl Panel {
    pub fn new(name: &'static str, (x_name, x): (String, Scale)) -> Self {
        Self { name, x_name, x, y: Scale::log([]), lines: Vec::new(), heights: Vec::new() }
    }

    /// The mean of noisy values, and behind everything their range if `banded`.
    pub fn add_noisy(&mut self, line: &[Point], stroke: Stroke, banded: bool) {
        let width = line.last().map_or(0.0, |last| last.0 / self.x.range().end);
        let most = (MOST_POINTS * width).ceil() as usize;
        if banded {
            let band = Line { points: curve::band(line, most), stroke, kind: Kind::Band };
            self.lines.insert(0, band);
        }
        self.lines.push(Line { points: curve::smoothed(line, most), stroke, kind: Kind::Line });
        // Of a fixed number of points, so that panels of one run are alike.
        let means = curve::smoothed(line, MOST_POINTS as usize);
        self.heights.extend(means.iter().map(|point| point.1));
    }

    /// A few values, each with a dot.
    pub fn add_dotted(&mut self, points: Vec<Point>, stroke: Stroke) {
        self.heights.extend(points.iter().map(|point| point.1));
        self.lines.push(Line { points, stroke, kind: Kind::Dotted });
    }

    /// Makes the height of the panel fit its lines; bands may be cut off.
    pub fn scale_by(&mut self, scale: impl Fn(Vec<f64>) -> Scale) {
        self.y = scale(self.heights.clone());
    }

    pub fn draw<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
        style: Style,
    ) -> Result<(), Box<dyn Error>>
    where
        B::ErrorType: 'static,
    {
        let mut chart = ChartBuilder::on(area)
            .margin(style.length(10))
            .margin_right(style.length(30))
            .caption(self.name, style.text(17))
            .x_label_area_size(style.length(44))
            .y_label_area_size(style.length(58))
            .build_cartesian_2d(self.x.clone(), self.y.clone())?;
        chart
            .configure_mesh()
            .x_desc(self.x_name.as_str())
            .axis_desc_style(style.text(14))
            .label_style(style.text(14))
            .axis_style(INK.stroke_width(style.length(1) as u32))
            .bold_line_style(INK.mix(0.13).stroke_width(style.length(1) as u32))
            .light_line_style(TRANSPARENT)
            .set_all_tick_mark_size(style.length(4))
            .draw()?;
        // Many bands on top of each other only hide the lines.
        let bands = self.lines.iter().filter(|line| line.kind == Kind::Band).count();
        let faint = 0.16 * (3.0 / bands as f64).min(1.0);
        for line in &self.lines {
            let points = line.points.clone();
            if line.kind == Kind::Band {
                chart.draw_series([Polygon::new(points, line.stroke.colour.mix(faint))])?;
                continue;
            }
            if line.kind == Kind::Dotted {
                let dot = |&point| Circle::new(point, style.length(3), line.stroke.colour.filled());
                chart.draw_series(points.iter().map(dot))?;
            }
            match line.stroke.dash {
                None => chart.draw_series([PathElement::new(points, line.stroke.style())])?,
                Some(dash) => chart.draw_series(DashedLineSeries::new(
                    points,
                    dash,
                    dash,
                    line.stroke.style(),
                ))?,
            };
        }
        Ok(())
    }
}
