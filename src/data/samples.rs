//! Inputs and targets of a data set, checked once and then shared.

use std::sync::Arc;

use super::DataError;

/// The inputs of all samples, one after the other.
#[derive(Clone, Debug, PartialEq)]
pub enum Inputs {
    /// Each byte stands for value / 255, and stays a byte on the device.
    Bytes(Vec<u8>),
    F32(Vec<f32>),
}

impl Inputs {
    /// Number of values, over all samples.
    pub fn len(&self) -> usize {
        match self {
            Inputs::Bytes(values) => values.len(),
            Inputs::F32(values) => values.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The answers that the model shall learn, for all samples one after the other.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// One class of `0..classes` for each sample.
    Labels { labels: Vec<u8>, classes: usize },
    /// `width` values for each sample.
    Dense { values: Vec<f32>, width: usize },
}

impl Targets {
    /// The number of outputs that a model has for a sample: the classes, or the dense width.
    pub fn width(&self) -> usize {
        match self {
            Targets::Labels { classes, .. } => *classes,
            Targets::Dense { width, .. } => *width,
        }
    }
}

/// A data set in memory: as many inputs as targets, all of them valid. Cheap
/// to clone.
///
/// ```
/// use kutta::data::{Inputs, Samples, Targets};
/// let xor = Samples::new(
///     Inputs::F32(vec![0., 0., 0., 1., 1., 0., 1., 1.]),
///     2,
///     Targets::Labels { labels: vec![0, 1, 1, 0], classes: 2 },
/// )?;
/// assert_eq!(xor.len(), 4);
/// # Ok::<(), kutta::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Samples {
    inner: Arc<Inner>,
}

#[derive(Debug, PartialEq)]
struct Inner {
    inputs: Inputs,
    width: usize,
    targets: Targets,
    len: usize,
}

impl Samples {
    /// Most samples of a set: the device counts them in `u32`.
    pub const MOST: usize = 1 << 31;

    /// Samples of `width` inputs each.
    ///
    /// # Errors
    /// No samples, or more than [`Samples::MOST`]; a width of zero; inputs
    /// that are not a multiple of it; targets for another number of samples; a
    /// label that is not below `classes`; a value that is not finite.
    pub fn new(inputs: Inputs, width: usize, targets: Targets) -> Result<Self, DataError> {
        if width == 0 || !inputs.len().is_multiple_of(width) {
            return Err(DataError::InputWidth { values: inputs.len(), width });
        }
        let len = inputs.len() / width;
        if len == 0 {
            return Err(DataError::NoSamples { what: "the data set".into() });
        }
        if len > Self::MOST {
            return Err(DataError::TooManySamples { samples: len, most: Self::MOST });
        }
        if let Inputs::F32(values) = &inputs {
            check_finite("input", values, width)?;
        }
        match &targets {
            Targets::Labels { labels, classes } => {
                if labels.len() != len {
                    return Err(DataError::TargetCount { samples: len, targets: labels.len() });
                }
                check_labels("label", labels, *classes)?;
            }
            Targets::Dense { values, width } => {
                if *width == 0 || !values.len().is_multiple_of(*width) {
                    return Err(DataError::TargetWidth { values: values.len(), width: *width });
                }
                if values.len() / width != len {
                    let targets = values.len() / width;
                    return Err(DataError::TargetCount { samples: len, targets });
                }
                check_finite("target", values, *width)?;
            }
        }
        Ok(Self { inner: Arc::new(Inner { inputs, width, targets, len }) })
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.inner.len
    }

    /// Never true: `new` refuses an empty set.
    pub fn is_empty(&self) -> bool {
        self.inner.len == 0
    }

    /// Inputs of one sample.
    pub fn width(&self) -> usize {
        self.inner.width
    }

    pub fn inputs(&self) -> &Inputs {
        &self.inner.inputs
    }

    pub fn targets(&self) -> &Targets {
        &self.inner.targets
    }
}

/// `what` names the labels in the error.
pub(super) fn check_labels(what: &str, labels: &[u8], classes: usize) -> Result<(), DataError> {
    match labels.iter().position(|&label| usize::from(label) >= classes) {
        None => Ok(()),
        Some(index) => {
            Err(DataError::Label { what: what.into(), index, label: labels[index], classes })
        }
    }
}

fn check_finite(what: &'static str, values: &[f32], width: usize) -> Result<(), DataError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(i) => Err(DataError::NotFinite {
            what,
            sample: i / width,
            element: i % width,
            value: values[i],
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(labels: &[u8], classes: usize) -> Targets {
        Targets::Labels { labels: labels.to_vec(), classes }
    }

    #[test]
    fn a_valid_set_is_what_was_given() {
        let inputs = Inputs::Bytes(vec![1, 2, 3, 4, 5, 6]);
        let samples = Samples::new(inputs.clone(), 3, labels(&[0, 4], 5)).unwrap();
        assert_eq!((samples.len(), samples.width()), (2, 3));
        assert_eq!(samples.inputs(), &inputs);
        assert_eq!(samples.targets(), &labels(&[0, 4], 5));
        assert_eq!(samples.targets().width(), 5);
        assert!(Arc::ptr_eq(&samples.inner, &samples.clone().inner), "clones share");
    }

    #[test]
    fn faults_are_named() {
        let bytes = |n: usize| Inputs::Bytes(vec![0; n]);
        let dense = |n: usize, width| Targets::Dense { values: vec![0.5; n], width };
        let faults = [
            (bytes(0), 3, labels(&[], 2), vec!["no samples"]),
            (bytes(6), 0, labels(&[], 2), vec!["6", "width 0"]),
            (bytes(7), 3, labels(&[0, 0], 2), vec!["7", "width 3"]),
            (bytes(6), 3, labels(&[0, 0, 0], 2), vec!["2 samples", "3 targets"]),
            (bytes(6), 3, labels(&[0, 2], 2), vec!["label 1", "is 2", "2 classes"]),
            (bytes(6), 3, labels(&[0, 0], 0), vec!["label 0", "0 classes"]),
            (bytes(6), 3, dense(9, 4), vec!["9", "width 4"]),
            (bytes(6), 3, dense(9, 0), vec!["9", "width 0"]),
            (bytes(6), 3, dense(9, 3), vec!["2 samples", "3 targets"]),
            (
                Inputs::F32(vec![0.0, 1.0, 2.0, f32::NAN]),
                2,
                labels(&[0, 0], 2),
                vec!["input", "sample 1", "element 1", "NaN"],
            ),
            (
                bytes(2),
                1,
                Targets::Dense { values: vec![f32::INFINITY, 0.0], width: 1 },
                vec!["target", "sample 0", "inf"],
            ),
        ];
        for (inputs, width, targets, words) in faults {
            let message = Samples::new(inputs, width, targets).unwrap_err().to_string();
            for word in words {
                assert!(message.contains(word), "{message:?} lacks {word:?}");
            }
        }
    }
}
