//! One drawing as SVG and as PNG, by the same code.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::style;

pub type Outcome = Result<(), Box<dyn Error>>;

/// What can be drawn at any scale.
pub trait Picture {
    /// Width and height of the SVG, in pixels.
    fn size(&self) -> (u32, u32);

    /// Draws everything `k` times as large.
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, k: f64) -> Outcome
    where
        B::ErrorType: 'static;
}

/// The picture as the text of an SVG file.
///
/// # Errors
/// What cannot be drawn.
pub fn to_svg(picture: &impl Picture) -> Result<Vec<u8>, Box<dyn Error>> {
    style::register_font()?;
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, picture.size()).into_drawing_area();
        picture.draw(&area, 1.0)?;
        area.present()?;
    }
    Ok(text.into_bytes())
}

/// The picture as a PNG file, of twice the size of the SVG, for sharp screens.
///
/// # Errors
/// What cannot be drawn.
pub fn to_png(picture: &impl Picture) -> Result<Vec<u8>, Box<dyn Error>> {
    // Thick lines of a bitmap have hard edges: it is drawn twice as large
    // and averaged.
    const SCALE: u32 = 2;
    const OVER: u32 = 2;
    style::register_font()?;
    let (width, height) = picture.size();
    let (width, height) = (width * SCALE, height * SCALE);
    let large = (width * OVER, height * OVER);
    let mut pixels = vec![0; (large.0 * large.1 * 3) as usize];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, large).into_drawing_area();
        picture.draw(&area, f64::from(SCALE * OVER))?;
        area.present()?;
    }
    let pixels = averaged(&pixels, large.0 as usize, OVER as usize);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(file)
}

/// Means over squares of `over` x `over` RGB pixels.
fn averaged(pixels: &[u8], width: usize, over: usize) -> Vec<u8> {
    let area = (over * over) as u32;
    let mut small = Vec::with_capacity(pixels.len() / (over * over));
    for rows in pixels.chunks_exact(3 * width * over) {
        for x in (0..width).step_by(over) {
            for channel in 0..3 {
                let square = (0..over * over).map(|i| (i / over * width + x + i % over) * 3);
                let sum: u32 = square.map(|at| u32::from(rows[at + channel])).sum();
                small.push(((sum + area / 2) / area) as u8);
            }
        }
    }
    small
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_are_averaged() {
        let pixels: Vec<u8> = [10, 20, 30, 40, 1, 2, 3, 5].iter().flat_map(|&v| [v; 3]).collect();
        assert_eq!(averaged(&pixels, 4, 2), [8, 8, 8, 20, 20, 20]);
    }
}
