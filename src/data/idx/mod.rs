//! Folders of IDX files: MNIST and the sets made in its image.

mod file;
mod gzip;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use self::file::Array;
use super::samples::check_labels;
use super::{Batches, Inputs, Samples, Targets};
use crate::data::DataError;

const TRAIN: [&str; 2] = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"];
const TEST: [&str; 2] = ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// A data set of images and labels, split into training and test.
///
/// ```no_run
/// let data = kutta::data::Idx::open("data/mnist")?;
/// let batches = data.train(64)?.seed(7);
/// assert_eq!((batches.per_epoch(), data.test().len()), (938, 10_000));
/// # Ok::<(), kutta::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Idx {
    train: Samples,
    test: Samples,
    image_shape: [usize; 2],
    classes: usize,
}

impl Idx {
    /// Reads `{train,t10k}-images-idx3-ubyte` and `…-labels-idx1-ubyte` of a
    /// folder. Each may end in `.gz`, which is taken if both are there: it is
    /// the published form and carries a checksum. Whether a file is gzip is
    /// told by its content, since browsers unpack `.gz` and keep the name. Zero bytes
    /// behind a gzip stream, which fill up a block, are passed over.
    ///
    /// There are as many classes as the largest training label says.
    ///
    /// # Errors
    /// A file that is missing, unreadable, truncated or longer than its header
    /// says; a wrong magic number or element type; damaged gzip; images and
    /// labels, or training and test images, that do not fit each other; no
    /// images; a test label that training has not seen.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, DataError> {
        let folder = folder.as_ref();
        if let Err(error) = std::fs::read_dir(folder) {
            return Err(DataError::Folder {
                folder: folder.into(),
                reason: error.to_string(),
                wanted: wanted(),
            });
        }
        Self::of(Split::read(folder, TRAIN)?, Split::read(folder, TEST)?)
    }

    /// Reads the contents of the four files, where there is no folder: images and
    /// labels to train with, images and labels to test with, each plain or gzip.
    ///
    /// ```
    /// use kutta::data::Idx;
    /// let images = [0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 10, 20];
    /// let labels = [0, 0, 8, 1, 0, 0, 0, 1, 0];
    /// let data = Idx::from_bytes([&images, &labels, &images, &labels])?;
    /// assert_eq!((data.image_shape(), data.classes()), ([1, 2], 1));
    /// # Ok::<(), kutta::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Idx::open`], with the published names of the files.
    pub fn from_bytes(files: [&[u8]; 4]) -> Result<Self, DataError> {
        let [train_images, train_labels, test_images, test_labels] = files;
        let split = |names: [&str; 2], [images, labels]: [&[u8]; 2]| {
            Split::parse((names[0].into(), images), (names[1].into(), labels))
        };
        Self::of(
            split(TRAIN, [train_images, train_labels])?,
            split(TEST, [test_images, test_labels])?,
        )
    }

    fn of(train: Split, test: Split) -> Result<Self, DataError> {
        if train.shape != test.shape {
            let ([train_height, train_width], [test_height, test_width]) =
                (train.shape, test.shape);
            return Err(DataError::Shape { train_height, train_width, test_height, test_width });
        }
        let classes = train.labels.iter().max().map_or(0, |&label| usize::from(label) + 1);
        let image_shape = train.shape;
        Ok(Self {
            train: train.samples(classes)?,
            test: test.samples(classes)?,
            image_shape,
            classes,
        })
    }

    /// Shuffled batches of the training set.
    ///
    /// # Errors
    /// As [`Batches::new`].
    pub fn train(&self, batch: usize) -> Result<Batches, DataError> {
        Batches::new(self.train.clone(), batch)
    }

    /// The training set.
    pub fn train_samples(&self) -> Samples {
        self.train.clone()
    }

    /// The test set.
    pub fn test(&self) -> Samples {
        self.test.clone()
    }

    /// Number of classes: the largest training label, plus one.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Height and width of an image in pixels; rows lie one after the other.
    pub fn image_shape(&self) -> [usize; 2] {
        self.image_shape
    }
}

/// Images and labels that belong together.
struct Split {
    labels_file: PathBuf,
    shape: [usize; 2],
    images: Vec<u8>,
    labels: Vec<u8>,
}

impl Split {
    fn read(folder: &Path, [images, labels]: [&'static str; 2]) -> Result<Self, DataError> {
        // Both are opened before either is read: a missing file shows at once.
        let (images, labels) = (open(folder, images)?, open(folder, labels)?);
        Self::parse(images, labels)
    }

    fn parse(
        (images_file, images): (PathBuf, impl Read),
        (labels_file, labels): (PathBuf, impl Read),
    ) -> Result<Self, DataError> {
        let images = Array::<3>::read(&images_file, images)?;
        let labels = Array::<1>::read(&labels_file, labels)?;
        let [count, height, width] = images.dimensions;
        if count == 0 || height * width == 0 {
            let what = format!("`{}`: {count} images of {height} x {width}", images_file.display());
            return Err(DataError::NoSamples { what });
        }
        if count != labels.dimensions[0] {
            return Err(DataError::ImagesAndLabels {
                images_file,
                images: count,
                labels_file,
                labels: labels.dimensions[0],
            });
        }
        let shape = [height, width];
        Ok(Self { labels_file, shape, images: images.bytes, labels: labels.bytes })
    }

    fn samples(self, classes: usize) -> Result<Samples, DataError> {
        let what = format!("`{}`: label", self.labels_file.display());
        check_labels(&what, &self.labels, classes)?;
        let targets = Targets::Labels { labels: self.labels, classes };
        Samples::new(Inputs::Bytes(self.images), self.shape.iter().product(), targets)
    }
}

fn open(folder: &Path, name: &'static str) -> Result<(PathBuf, File), DataError> {
    for path in [folder.join(format!("{name}.gz")), folder.join(name)] {
        match File::open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let reason = error.to_string();
                return Err(DataError::Read { file: path, after: 0, reason });
            }
        }
    }
    Err(DataError::MissingFile { folder: folder.into(), name, wanted: wanted() })
}

fn wanted() -> String {
    let [[a, b], [c, d]] = [TRAIN, TEST];
    format!("{a}, {b}, {c} and {d}, each plain or with .gz")
}
