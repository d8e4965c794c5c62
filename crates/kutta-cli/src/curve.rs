//! What was measured in a training run, and how it is thinned out for drawing.

use serde::Serialize;

/// All that one method did.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    pub method: String,
    /// Of the checkpoint that it went on from, if it did.
    pub before: Before,
    /// Gradient evaluations, those before among them: one for each micro-batch.
    pub evaluations: u64,
    /// Time spent training, tests of the accuracy left out.
    pub seconds: f64,
    /// Samples drawn in this time; those of a batch count once for all gradients and
    /// retries.
    pub samples: f64,
    pub steps: Vec<Step>,
    pub tests: Vec<Test>,
    /// Accuracy of the averaged parameters, at the end.
    pub average: Option<f64>,
}

/// What other processes did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Before {
    /// Attempts.
    pub steps: u64,
    pub evaluations: u64,
}

/// One attempt.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Step {
    /// Attempts before it.
    pub step: u64,
    /// Gradient evaluations before it.
    pub evaluations: u64,
    pub h: f32,
    /// Of its batch, before it.
    pub loss: Option<f32>,
    pub grad_norm: Option<f32>,
    pub accepted: bool,
}

/// Loss and accuracy over the test set.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Test {
    /// Attempts so far.
    pub step: u64,
    /// Gradient evaluations so far.
    pub evaluations: u64,
    pub seconds: f64,
    pub loss: f64,
    pub accuracy: Option<f64>,
}

impl Run {
    /// Nothing yet.
    pub fn new(method: String) -> Self {
        Self {
            method,
            before: Before::default(),
            evaluations: 0,
            seconds: 0.0,
            samples: 0.0,
            steps: Vec::new(),
            tests: Vec::new(),
            average: None,
        }
    }

    /// Gradient evaluations of this process.
    pub fn own_evaluations(&self) -> u64 {
        self.evaluations - self.before.evaluations
    }

    pub fn last_test(&self) -> Option<&Test> {
        self.tests.last()
    }

    pub fn samples_per_second(&self) -> f64 {
        self.samples / self.seconds.max(1e-9)
    }

    pub fn evaluations_per_second(&self) -> f64 {
        self.own_evaluations() as f64 / self.seconds.max(1e-9)
    }

    /// Attempts that changed nothing.
    pub fn not_accepted(&self) -> usize {
        self.steps.iter().filter(|step| !step.accepted).count()
    }
}

/// A point of a drawn line.
pub type Point = (f64, f64);

/// The mean over a window around each of at most `most` points. The window is
/// a fiftieth of the line: wide enough to see the trend through the noise of
/// the batches, narrow enough to keep its shape. It shrinks towards the start,
/// where losses fall fast; at the end it looks back.
pub fn smoothed(line: &[Point], most: usize) -> Vec<Point> {
    let reach = line.len() / 100;
    let mut sums = vec![0.0; line.len() + 1];
    for (i, &(_, y)) in line.iter().enumerate() {
        sums[i + 1] = sums[i] + y;
    }
    let mean = |i: usize| {
        let reach = reach.min(i);
        let (start, end) = (i - reach, (i + reach + 1).min(line.len()));
        (sums[end] - sums[start]) / (end - start) as f64
    };
    picked(line.len(), most).map(|i| (line[i].0, mean(i))).collect()
}

/// The outline of the line's lowest and highest values in each of at most
/// `most` pieces: there along the highest, back along the lowest.
pub fn band(line: &[Point], most: usize) -> Vec<Point> {
    let piece = line.len().div_ceil(most.max(1)).max(1);
    let middle = |piece: &[Point]| piece[piece.len() / 2].0;
    let extreme = |piece: &[Point], pick: fn(f64, f64) -> f64| {
        (middle(piece), piece.iter().map(|point| point.1).fold(f64::NAN, pick))
    };
    let highest = line.chunks(piece).map(|piece| extreme(piece, f64::max));
    let lowest = line.chunks(piece).rev().map(|piece| extreme(piece, f64::min));
    highest.chain(lowest).collect()
}

/// Evenly spread indices of `0..len`, first and last among them.
fn picked(len: usize, most: usize) -> impl Iterator<Item = usize> {
    let count = len.min(most.max(2));
    (0..count).map(move |i| if count < 2 { 0 } else { i * (len - 1) / (count - 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(n: usize, y: impl Fn(usize) -> f64) -> Vec<Point> {
        (0..n).map(|i| (i as f64, y(i))).collect()
    }

    #[test]
    fn smoothing_keeps_straight_lines() {
        let straight = line(1000, |i| 3.0 - 0.5 * i as f64);
        let smooth = smoothed(&straight, 100);
        assert_eq!(smooth.len(), 100);
        assert_eq!(smooth[0], straight[0]);
        for &(x, y) in &smooth[..99] {
            assert!((y - (3.0 - 0.5 * x)).abs() < 1e-9, "{y} at {x}");
        }
        // The last window holds the last eleven points.
        assert_eq!(smooth[99], (999.0, straight[994].1));
    }

    #[test]
    fn smoothing_removes_noise() {
        let noisy = line(1000, |i| if i % 2 == 0 { 1.0 } else { -1.0 });
        let inner = &smoothed(&noisy, 1000)[20..980];
        assert!(inner.iter().all(|&(_, y)| y.abs() < 0.1));
    }

    #[test]
    fn short_lines_are_left_alone() {
        for n in 0..4 {
            let short = line(n, |i| i as f64);
            assert_eq!(smoothed(&short, 100), short);
            assert_eq!(band(&short, 100)[..n], short);
        }
    }

    #[test]
    fn a_spike_survives_in_the_band() {
        let spiked = line(10_000, |i| if i == 7777 { 9.0 } else { 1.0 });
        let outline = band(&spiked, 200);
        assert_eq!(outline.len(), 400);
        assert_eq!(outline.iter().filter(|point| point.1 == 9.0).count(), 1);
        let (there, back) = outline.split_at(200);
        assert!(there.iter().zip(back.iter().rev()).all(|(a, b)| a.0 == b.0 && a.1 >= b.1));
    }
}
