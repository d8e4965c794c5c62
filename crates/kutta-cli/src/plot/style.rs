//! Colours, fonts and lengths.

use std::error::Error;

use plotters::coord::Shift;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font as register};

const FONT: &str = "sans-serif";
pub const INK: RGBColor = RGBColor(40, 40, 40);

/// Okabe and Ito's palette, told apart with any kind of colour vision; its
/// yellow is too pale on white.
const PALETTE: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 0, 0),
];

/// Gives the bitmap its letters, whether or not the system has fonts.
///
/// # Errors
/// If the font that comes with the program cannot be read.
pub fn register_font() -> Result<(), Box<dyn Error>> {
    register(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| "the built-in font cannot be read".into())
}

/// How large a length of the SVG is drawn: `k` times.
#[derive(Clone, Copy)]
pub struct Style {
    pub k: f64,
}

impl Style {
    pub fn length(self, pixels: i32) -> i32 {
        (f64::from(pixels) * self.k).round() as i32
    }

    pub fn text(self, size: i32) -> TextStyle<'static> {
        (FONT, self.length(size)).into_font().color(&INK)
    }

    /// The line of the i-th run; beyond the palette they are dashed, then dotted, then in
    /// long dashes.
    pub fn run(self, i: usize) -> Stroke {
        Stroke {
            colour: PALETTE[i % PALETTE.len()].to_rgba(),
            width: self.length(2) as u32,
            dash: [None, Some(5), Some(2), Some(11)][i / PALETTE.len() % 4]
                .map(|pixels| self.length(pixels) as u32),
        }
    }
}

/// How a line is drawn.
#[derive(Clone, Copy)]
pub struct Stroke {
    pub colour: RGBAColor,
    pub width: u32,
    /// Length of dashes and of the gaps between them.
    pub dash: Option<u32>,
}

impl Stroke {
    pub fn style(self) -> ShapeStyle {
        self.colour.stroke_width(self.width)
    }

    /// A line in pixels.
    pub fn draw<B: DrawingBackend>(
        self,
        area: &DrawingArea<B, Shift>,
        points: &[(i32, i32)],
    ) -> Result<(), Box<dyn Error>>
    where
        B::ErrorType: 'static,
    {
        match self.dash {
            None => area.draw(&PathElement::new(points.to_vec(), self.style()))?,
            Some(dash) => {
                let line = points.iter().copied();
                area.draw(&DashedPathElement::new(line, dash, dash, self.style()))?;
            }
        }
        Ok(())
    }
}
