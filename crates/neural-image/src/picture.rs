//! Images in and out: any PNG or JPEG as RGB in [0, 1], and what bicubic interpolation
//! makes of fewer values.

use std::fmt;
use std::path::{Path, PathBuf};

use image::imageops::{FilterType, resize};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder as _, ImageReader, Limits, Rgb32FImage};
use kutta::models::Target;
use kutta::tableau::printable;

/// The photograph that comes with the program; `data/README.md` says whose it is.
const INCLUDED: &[u8] = include_bytes!("../data/photograph.png");

/// Decoders stop at images that would take more memory.
const MOST_BYTES: u64 = 1 << 30;
/// Most texels along a side: so many that decoding one row never hurts.
const MOST_SIDE: u32 = 1 << 16;
/// Fewest texels along a side.
pub const LEAST_SIDE: u32 = 8;

/// Why an image cannot be fitted.
#[derive(Debug)]
pub enum PictureError {
    Read {
        path: PathBuf,
        reason: String,
    },
    Empty {
        path: PathBuf,
    },
    Decode {
        path: PathBuf,
        reason: String,
    },
    TooLarge {
        path: PathBuf,
        reason: String,
    },
    /// Width and height as they are, and scaled down to a longest side.
    Shape {
        path: PathBuf,
        found: [u32; 2],
        scaled: [u32; 2],
    },
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
            Self::Shape { path, found, scaled } => {
                let (path, [w, h]) = (path.display(), *found);
                let least = LEAST_SIDE;
                write!(f, "`{path}` is {w} x {h} texels")?;
                if w.min(h) < least {
                    return write!(f, "; a side needs at least {least} to be fitted: enlarge it");
                }
                // That many leave the shorter side its texels.
                let most = (u64::from(least) * u64::from(w.max(h))).div_ceil(w.min(h).into());
                write!(
                    f,
                    ", and {} x {} scaled down; a side needs at least {least} to be fitted: take \
                     --most {most}, or cut it",
                    scaled[0], scaled[1]
                )
            }
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
    /// The included photograph, no longer side than `most`.
    pub fn included(most: u32) -> Result<Self, PictureError> {
        Self::decode(Path::new("photograph.png"), INCLUDED, most)
    }

    /// A PNG or JPEG of any depth: it is turned as its EXIF says, grey becomes RGB, what
    /// is transparent is laid over black, and longer sides than `most` are scaled down
    /// to it.
    pub fn open(path: &Path, most: u32) -> Result<Self, PictureError> {
        let fault =
            |e: std::io::Error| PictureError::Read { path: path.into(), reason: e.to_string() };
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
        reader.limits(limits.clone());
        let reader = reader.with_guessed_format().map_err(|e| decode(e.into()))?;
        let mut decoder = reader.into_decoder().map_err(decode)?;
        limits.reserve(decoder.total_bytes()).map_err(decode)?;
        // An EXIF that cannot be read turns nothing.
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let mut image = DynamicImage::from_decoder(decoder).map_err(decode)?;
        image.apply_orientation(orientation);
        let (width, height) = (image.width(), image.height());
        if image.color().has_alpha() {
            let bytes = u64::from(width) * u64::from(height) * 12;
            if bytes > MOST_BYTES {
                let reason = format!("{bytes} bytes as colours over black");
                return Err(PictureError::TooLarge { path: path.into(), reason });
            }
            // Before it is scaled: what hides behind alpha must not bleed into its neighbours.
            image = over_black(image).into();
        }
        let mut note = None;
        if width.max(height) > most {
            image = image.resize(most, most, FilterType::CatmullRom);
            let (w, h) = (image.width(), image.height());
            note = Some(format!("scaled from {width} x {height} to {w} x {h}"));
        }
        let scaled = [image.width(), image.height()];
        if scaled[0].min(scaled[1]) < LEAST_SIDE {
            let found = [width, height];
            return Err(PictureError::Shape { path: path.into(), found, scaled });
        }
        let mut image = image.into_rgb32f();
        // Bicubic filters overshoot at edges.
        image.iter_mut().for_each(|x| *x = x.clamp(0.0, 1.0));
        let name = path.file_name().map_or_else(String::new, |n| printable(&n.to_string_lossy()));
        Ok(Self { name, image, note })
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

/// Colours times alpha, without it, in [0, 1]. Sixteen bits hold every depth of a PNG.
fn over_black(image: DynamicImage) -> Rgb32FImage {
    let rgba = image.into_rgba16();
    Rgb32FImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let [r, g, b, a] = rgba.get_pixel(x, y).0.map(|x| f32::from(x) / 65_535.0);
        image::Rgb([r * a, g * a, b * a])
    })
}

fn mean_square(a: impl Iterator<Item = f32>, b: &[f32]) -> f64 {
    let sum: f64 = a.zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    sum / b.len() as f64
}

/// Peak signal-to-noise ratio of a mean square error of values in [0, 1]; infinite
/// where there is no error.
pub fn decibels(mean_square: f64) -> f64 {
    -10.0 * mean_square.log10()
}

/// Decibels as people read them.
pub fn said(decibels: f64) -> String {
    match decibels {
        x if x.is_finite() => format!("{x:.2} dB"),
        f64::INFINITY => "exact".into(),
        _ => "no number of dB".into(),
    }
}

/// How far one of them is above the other, where both have a number.
pub fn above(decibels: f64, other: f64) -> Option<String> {
    let difference = decibels - other;
    difference.is_finite().then(|| format!("{difference:+.2}"))
}

/// Bytes of values in [0, 1], rounded.
pub fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().map(|x| (255.0 * x.clamp(0.0, 1.0) + 0.5) as u8).collect()
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, Rgba};

    use super::*;

    fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn decoded(bytes: &[u8]) -> Result<Picture, PictureError> {
        Picture::decode(Path::new("some/image.png"), bytes, 512)
    }

    fn first(image: DynamicImage, format: ImageFormat) -> [f32; 3] {
        decoded(&encoded(&image, format)).unwrap().image.get_pixel(0, 0).0
    }

    #[test]
    fn every_depth_and_colour_becomes_rgb() {
        let near = |found: [f32; 3], wanted: [f32; 3], bound: f32| {
            let off = found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off < bound, "{found:?}, not {wanted:?}");
        };
        let grey8 = ImageBuffer::from_pixel(9, 8, Luma([51u8]));
        near(first(grey8.into(), ImageFormat::Png), [0.2; 3], 1e-6);
        // 16 bits: a value that 8 bits cannot tell from its neighbours.
        let grey16 = ImageBuffer::from_pixel(9, 8, Luma([13_141u16]));
        near(first(grey16.into(), ImageFormat::Png), [13_141.0 / 65_535.0; 3], 1e-6);
        let rgb16 = ImageBuffer::from_pixel(9, 8, Rgb([65_535u16, 0, 13_107]));
        near(first(rgb16.into(), ImageFormat::Png), [1.0, 0.0, 0.2], 1e-6);
        // Over black: colour times alpha.
        let rgba = ImageBuffer::from_pixel(9, 8, Rgba([255u8, 51, 0, 51]));
        near(first(rgba.into(), ImageFormat::Png), [0.2, 0.04, 0.0], 1e-6);
        let grey_alpha = ImageBuffer::from_pixel(9, 8, LumaA([255u8, 0]));
        near(first(grey_alpha.into(), ImageFormat::Png), [0.0; 3], 1e-6);
        let rgb8 = ImageBuffer::from_pixel(16, 16, Rgb([200u8, 100, 50]));
        let wanted = [200.0, 100.0, 50.0].map(|x: f32| x / 255.0);
        near(first(rgb8.into(), ImageFormat::Jpeg), wanted, 0.02);
    }

    #[test]
    fn what_is_no_image_is_refused_with_its_name() {
        let whole =
            encoded(&ImageBuffer::from_pixel(64, 64, Rgb([7u8; 3])).into(), ImageFormat::Png);
        let mut huge = whole.clone();
        // Width and height of the header, and its checksum.
        huge[16..24].copy_from_slice(&[0, 2, 0, 0, 0, 2, 0, 0]);
        let sum = crc32(&huge[12..29]);
        huge[29..33].copy_from_slice(&sum.to_be_bytes());
        let tiny = encoded(&ImageBuffer::from_pixel(7, 30, Rgb([7u8; 3])).into(), ImageFormat::Png);
        let faults: [(&[u8], &str); 6] = [
            (&[], "is empty: 0 bytes"),
            (b"no image at all, but a text", "PNG and JPEG can be"),
            (&whole[..whole.len() / 2], "PNG and JPEG can be"),
            (&[0xff, 0xd8, 0xff, 0xe0, 0, 0], "PNG and JPEG can be"),
            (&huge, "is too large"),
            (&tiny, "7 x 30"),
        ];
        for (bytes, words) in faults {
            let message = decoded(bytes).unwrap_err().to_string();
            assert!(message.contains(words), "{message:?} lacks {words:?}");
        }
        // What to do depends on what it is.
        let message = decoded(&tiny).unwrap_err().to_string();
        assert!(message.contains("`some/image.png`") && message.contains("enlarge"), "{message}");
        let message = Picture::open(Path::new("nowhere.png"), 512).unwrap_err().to_string();
        assert!(message.contains("`nowhere.png` cannot be read"), "{message}");
    }

    /// That of PNG chunks, bit by bit.
    fn crc32(bytes: &[u8]) -> u32 {
        let bit = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1));
        !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), bit))
    }

    #[test]
    fn a_large_image_is_scaled_down_and_says_so() {
        let large = ImageBuffer::from_fn(1500, 300, |x, _| Luma([(x % 251) as u8])).into();
        let picture = decoded(&encoded(&large, ImageFormat::Png)).unwrap();
        assert_eq!(picture.extent(), [512, 102]);
        assert_eq!(picture.note.as_deref(), Some("scaled from 1500 x 300 to 512 x 102"));
    }

    /// Of the folder of faults.
    const FAULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/faults");

    fn fault(name: &str, most: u32) -> Picture {
        Picture::open(&Path::new(FAULTS).join(name), most).unwrap()
    }

    #[test]
    fn a_picture_is_turned_as_its_exif_says() {
        // Stored as 64 x 32, with orientation 6: a quarter turn to the right.
        let stored = std::fs::read(Path::new(FAULTS).join("exif6.jpg")).unwrap();
        let lying = image::load_from_memory(&stored).unwrap().to_rgb32f();
        let standing = fault("exif6.jpg", 512).image;
        let (w, h) = lying.dimensions();
        assert!(w > h, "{w} x {h}");
        assert_eq!(standing.dimensions(), (h, w));
        for (x, y, texel) in lying.enumerate_pixels() {
            assert_eq!(standing.get_pixel(h - 1 - y, x), texel, "{x}, {y}");
        }
    }

    #[test]
    fn what_hides_behind_alpha_does_not_bleed() {
        // Red to the left; to the right white, and none of it is seen.
        for most in [512, 100, 33] {
            let picture = fault("halfred.png", most);
            assert_eq!(picture.extent(), [most as usize; 2]);
            let brightest = |channel: usize| {
                picture.image.pixels().map(|texel| texel.0[channel]).fold(0.0, f32::max)
            };
            assert_eq!([1, 2].map(brightest), [0.0; 2], "{most}");
            assert!(picture.image.get_pixel(1, 1).0[0] > 0.99);
            assert_eq!(picture.image.get_pixel(most - 2, 1).0, [0.0; 3]);
        }
    }

    #[test]
    fn a_picture_without_error_is_exact() {
        let (decibels, _) = fault("black.png", 512).bicubic(100);
        assert_eq!(said(decibels), "exact");
        assert_eq!((said(20.004), above(31.0, 20.5)), ("20.00 dB".into(), Some("+10.50".into())));
        assert_eq!(above(31.0, decibels), None);
    }

    #[test]
    fn bicubic_is_exact_where_nothing_is_left_out_and_worse_below() {
        let picture = Picture::included(512).unwrap();
        assert_eq!(picture.extent(), [256, 256]);
        let (all, size) = picture.bicubic(3 * 256 * 256);
        assert!(all > 100.0 && size == [256, 256], "{all} dB");
        let (some, size) = picture.bicubic(20_000);
        // Pillow's bicubic gives 26.5 dB.
        assert!((some - 26.5).abs() < 0.3 && size == [81, 81], "{some} dB from {size:?}");
    }
}
