//! Cuts a data set into batches.

use super::{DataError, Samples};

/// Samples, a batch size, and the seed of the order they come in.
///
/// Every epoch visits every sample once; its last batch holds what is left.
/// Unless told otherwise each epoch has an order of its own, which the device
/// computes by [`shuffle`](super::shuffle) from the seed and the epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Batches {
    samples: Samples,
    batch: usize,
    seed: u64,
    shuffled: bool,
}

impl Batches {
    /// Batches of `batch` samples, shuffled with seed 0.
    ///
    /// # Errors
    /// A batch of none, or of more samples than there are.
    pub fn new(samples: Samples, batch: usize) -> Result<Self, DataError> {
        if batch == 0 || batch > samples.len() {
            return Err(DataError::Batch { batch, samples: samples.len() });
        }
        Ok(Self { samples, batch, seed: 0, shuffled: true })
    }

    /// Equal seeds, equal order.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// `false`: every epoch goes through the samples as they stand.
    pub fn shuffled(self, shuffled: bool) -> Self {
        Self { shuffled, ..self }
    }

    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// Samples in a batch, the last of an epoch excepted.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Batches in an epoch: ⌈samples / batch⌉.
    pub fn per_epoch(&self) -> u32 {
        // At most `Samples::MOST` = 2³¹.
        self.samples.len().div_ceil(self.batch) as u32
    }

    pub fn is_shuffled(&self) -> bool {
        self.shuffled
    }

    pub fn shuffle_seed(&self) -> u64 {
        self.seed
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Inputs, Targets};
    use super::*;

    fn samples(n: usize) -> Samples {
        let targets = Targets::Labels { labels: vec![0; n], classes: 1 };
        Samples::new(Inputs::Bytes(vec![0; n]), 1, targets).unwrap()
    }

    #[test]
    fn an_epoch_ends_with_what_is_left() {
        for (n, batch, per_epoch) in [(10, 1, 10), (10, 5, 2), (10, 4, 3), (10, 10, 1), (1, 1, 1)] {
            assert_eq!(Batches::new(samples(n), batch).unwrap().per_epoch(), per_epoch);
        }
    }

    #[test]
    fn options_are_kept() {
        let batches = Batches::new(samples(4), 2).unwrap();
        assert!(batches.is_shuffled());
        let batches = batches.seed(u64::MAX).shuffled(false);
        assert_eq!((batches.is_shuffled(), batches.shuffle_seed()), (false, u64::MAX));
        assert_eq!((batches.batch(), batches.samples().len()), (2, 4));
    }

    #[test]
    fn a_batch_beyond_the_data_is_refused_with_both_numbers() {
        for batch in [0, 5, usize::MAX] {
            let error = Batches::new(samples(4), batch).unwrap_err();
            assert_eq!(error, DataError::Batch { batch, samples: 4 });
            let message = error.to_string();
            assert!(message.contains(&batch.to_string()) && message.contains("4 samples"));
        }
    }
}
