//! Images in and out: any PNG or JPEG as RGB in [0, 1], and what bicubic interpolation
//! makes of fewer values.

use std::fmt;
use std::path::{Path, PathBuf};

use image::imageops::{FilterType, resize};
use image::{DynamicImage, ImageReader, Limits, Rgb32FImage};
use kutta::models::Target;

/// The photograph that comes with the example; `data/README.md` says whose it is.
const INCLUDED: &[u8] = include_bytes!("data/photograph.png");

/// Decoders stop at images that would take more memory.
const MOST_BYTES: u64 = 1 << 30;
/// Most texels along a side: so many that decoding one row never hurts.
const MOST_SIDE: u32 = 1 << 16;

/// Why an image cannot be fitted.
#[derive(Debug)]
pub enum PictureError {
    Read { path: PathBuf, reason: String },
    Empty { path: PathBuf },
    Decode { path: PathBuf, reason: String },
    TooLarge { path: PathBuf, reason: String },
    Shape { width: u32, height: u32 },
}

impl fmt::Display for PictureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, reason } => {
                write!(f, "`{}` cannot be read: {reason}", path.display())
            }
            Self::Empty { path } => {
                write!(f, "`{}` is empty: 0 bytes, where an image begins", path.display())
            }
            Self::Decode { path, reason } => write!(
                f,
                "`{}` is no image that can be read: {reason}. PNG and JPEG can be",
                path.display()
            ),
            Self::TooLarge { path, reason } => write!(
                f,
                "`{}` is too large: {reason}; images of up to {MOST_SIDE} texels a side and \
                 {MOST_BYTES} bytes decoded are read, and then scaled down",
                path.display()
            ),
            Self::Shape { width, height } => write!(
                f,
                "the image is {width} x {height} texels; a side needs at least 8 to be fitted"
            ),
        }
    }
}

impl std::error::Error for PictureError {}

/// An image to fit.
#[derive(Clone, Debug)]
pub struct Picture {
    pub name: String,
    pub image: Rgb32FImage,
    /// What was done to it, to be said.
    pub note: Option<String>,
}

impl Picture {
    /// The included photograph.
    pub fn included() -> Result<Self, PictureError> {
        Self::decode(Path::new("photograph.png"), INCLUDED, u32::MAX)
    }

    /// A PNG or JPEG of any depth: grey becomes RGB, what is transparent is laid over
    /// black, and longer sides than `most` are scaled down to it.
    pub fn open(path: &Path, most: u32) -> Result<Self, PictureError> {
        let fault = |e: std::io::Error| PictureError::Read {
            path: path.into(),
            reason: e.to_string(),
        };
        let bytes = std::fs::read(path).map_err(fault)?;
        Self::decode(path, &bytes, most)
    }

    fn decode(path: &Path, bytes: &[u8], most: u32) -> Result<Self, PictureError> {
        if bytes.is_empty() {
            return Err(PictureError::Empty { path: path.into() });
        }
        let decode = |e: image::ImageError| match e {
            image::ImageError::Limits(e) => {
                PictureError::TooLarge { path: path.into(), reason: e.to_string() }
            }
            e => PictureError::Decode { path: path.into(), reason: e.to_string() },
        };
        let mut reader = ImageReader::new(std::io::Cursor::new(bytes));
        let mut limits = Limits::default();
        limits.max_image_width = Some(MOST_SIDE);
        limits.max_image_height = Some(MOST_SIDE);
        limits.max_alloc = Some(MOST_BYTES);
        reader.limits(limits);
        let reader = reader.with_guessed_format().map_err(|e| decode(e.into()))?;
        let mut image = reader.decode().map_err(decode)?;
        let (width, height) = (image.width(), image.height());
        let mut note = None;
        if width.max(height) > most {
            image = image.resize(most, most, FilterType::CatmullRom);
            let (w, h) = (image.width(), image.height());
            note = Some(format!("scaled from {width} x {height} to {w} x {h}"));
        }
        if image.width().min(image.height()) < 8 {
            return Err(PictureError::Shape { width: image.width(), height: image.height() });
        }
        let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into());
        Ok(Self { name, image: over_black(&image), note })
    }

    pub fn extent(&self) -> [usize; 2] {
        [self.image.width() as usize, self.image.height() as usize]
    }

    pub fn target(&self) -> Result<Target, kutta::error::DataError> {
        Target::image(self.extent(), 3, self.image.as_raw().clone())
    }

    /// Decibels of the image scaled down to `values` numbers and up again, both
    /// bicubically (Catmull-Rom, prefiltered where it shrinks), and its size in between.
    pub fn bicubic(&self, values: usize) -> (f64, [u32; 2]) {
        let (width, height) = self.image.dimensions();
        let scale = (values as f64 / (3.0 * f64::from(width) * f64::from(height))).sqrt().min(1.0);
        let side = |n: u32| ((f64::from(n) * scale) as u32).max(1);
        let small = [side(width), side(height)];
        let down = resize(&self.image, small[0], small[1], FilterType::CatmullRom);
        let up = resize(&down, width, height, FilterType::CatmullRom);
        let clamped = up.as_raw().iter().map(|x| x.clamp(0.0, 1.0));
        (decibels(mean_square(clamped, self.image.as_raw())), small)
    }
}

/// Colours times alpha, without it. `image` gives them in [0, 1], whatever their depth.
fn over_black(image: &DynamicImage) -> Rgb32FImage {
    let rgba = image.to_rgba32f();
    Rgb32FImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let [r, g, b, a] = rgba.get_pixel(x, y).0;
        image::Rgb([r * a, g * a, b * a])
    })
}

fn mean_square(a: impl Iterator<Item = f32>, b: &[f32]) -> f64 {
    let sum: f64 = a.zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    sum / b.len() as f64
}

/// Peak signal-to-noise ratio of a mean square error of values in [0, 1].
pub fn decibels(mean_square: f64) -> f64 {
    -10.0 * mean_square.log10()
}

/// Bytes of values in [0, 1], rounded.
pub fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().map(|x| (255.0 * x.clamp(0.0, 1.0) + 0.5) as u8).collect()
}
