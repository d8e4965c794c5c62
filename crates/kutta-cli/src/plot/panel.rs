//! One pair of axes with its own legend above.

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::plot::axis::Axis;
use crate::plot::canvas::Outcome;
use crate::plot::style::{INK, Stroke, Style};

pub type Point = (f64, f64);

/// Something with one entry in the legend.
pub struct Line {
    pub label: String,
    /// Any number of pieces.
    pub pieces: Vec<Vec<Point>>,
    /// Outlines to be filled faintly.
    pub areas: Vec<Vec<Point>>,
    /// In pixels.
    pub width: i32,
}

pub struct Panel {
    pub title: String,
    pub lines: Vec<Line>,
    /// Drawn behind the lines in grey, to compare with.
    pub behind: Vec<Vec<Point>>,
    pub x_name: &'static str,
    pub y_name: &'static str,
}

/// Lengths in pixels of the SVG.
const LEFT: i32 = 62;
const BELOW: i32 = 44;
/// Left of what is written along the upright axis.
const GAP: i32 = 6;
const MARGIN: i32 = 12;
const TITLE: i32 = 28;
const ROW: i32 = 18;
const TEXT: i32 = 14;

impl Panel {
    /// Places of the legend's entries, and where it ends.
    fn legend(&self, width: i32) -> (Vec<(i32, i32)>, i32) {
        // Letters of this font are about half as wide as they are tall; the
        // same at every scale, so that all pictures are alike.
        let wide = |line: &Line| 34 + line.label.chars().count() as i32 * 7;
        let title = if self.title.is_empty() { GAP } else { TITLE };
        let (mut x, mut y) = (LEFT + GAP, title);
        let mut places = Vec::new();
        for line in &self.lines {
            if x + wide(line) > width && x > LEFT + GAP {
                (x, y) = (LEFT + GAP, y + ROW);
            }
            places.push((x, y));
            x += wide(line) + 12;
        }
        (places, y + ROW + 4)
    }

    /// Width and height that are left for the axes in so large an area.
    pub fn room(&self, (width, height): (i32, i32), legend: i32) -> (f64, f64) {
        let room = (width - LEFT - 2 * MARGIN, height - legend - BELOW - MARGIN);
        (f64::from(room.0.max(1)), f64::from(room.1.max(1)))
    }

    /// Height of the whole panel with axes of this height.
    pub fn height(axes: i32, legend: i32) -> i32 {
        axes + legend + BELOW + MARGIN
    }

    pub fn legend_height(&self, width: i32) -> i32 {
        self.legend(width).1
    }

    /// Legends end at `legend`, so that panels beside each other have their
    /// axes at one height.
    pub fn draw<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
        style: Style,
        legend: i32,
        (x, y): (Axis, Axis),
    ) -> Outcome
    where
        B::ErrorType: 'static,
    {
        let width = (f64::from(area.dim_in_pixel().0) / style.k) as i32;
        let (head, body) = area.split_vertically(style.length(legend));
        let at = |x, y| (style.length(x), style.length(y));
        head.draw(&Text::new(self.title.clone(), at(LEFT + GAP, 6), style.text(17)))?;
        for (i, (line, (x, y))) in self.lines.iter().zip(self.legend(width).0).enumerate() {
            style.run(i).draw(&head, &[at(x, y + 6), at(x + 24, y + 6)])?;
            head.draw(&Text::new(line.label.clone(), at(x + 30, y), style.text(TEXT)))?;
        }

        let mut chart = ChartBuilder::on(&body)
            .margin_left(style.length(GAP))
            .margin_right(style.length(2 * MARGIN - GAP))
            .margin_bottom(style.length(MARGIN))
            .x_label_area_size(style.length(BELOW))
            .y_label_area_size(style.length(LEFT))
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .x_desc(self.x_name)
            .y_desc(self.y_name)
            .axis_desc_style(style.text(TEXT))
            .label_style(style.text(TEXT))
            .axis_style(INK.stroke_width(style.length(1) as u32))
            .bold_line_style(INK.mix(0.13).stroke_width(style.length(1) as u32))
            .light_line_style(TRANSPARENT)
            .set_all_tick_mark_size(style.length(4))
            .draw()?;
        let grey = INK.mix(0.16).stroke_width(style.length(1) as u32);
        for points in &self.behind {
            chart.draw_series([PathElement::new(points.clone(), grey)])?;
        }
        for (i, line) in self.lines.iter().enumerate() {
            let Stroke { colour, dash, .. } = style.run(i);
            let fill = colour.mix(0.07);
            chart.draw_series(line.areas.iter().map(|a| Polygon::new(a.clone(), fill)))?;
            let stroke = colour.stroke_width(style.length(line.width) as u32);
            for points in line.pieces.iter().cloned() {
                match dash {
                    None => chart.draw_series([PathElement::new(points, stroke)])?,
                    Some(dash) => {
                        chart.draw_series(DashedLineSeries::new(points, dash, dash, stroke))?
                    }
                };
            }
        }
        Ok(())
    }
}
