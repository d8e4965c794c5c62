//! What is left of many samples.

use serde::{Deserialize, Serialize};

/// Median, and the tenth and ninetieth percentiles.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    pub median: f64,
    pub p10: f64,
    pub p90: f64,
    pub samples: u32,
}

impl Summary {
    /// None without samples.
    pub fn of(samples: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = samples.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        if sorted.is_empty() {
            return None;
        }
        let at = |p| percentile(&sorted, p);
        let samples = sorted.len() as u32;
        Some(Self { median: at(0.5), p10: at(0.1), p90: at(0.9), samples })
    }

    /// Of c/x: a time as a speed, say.
    pub fn inverted(&self, c: f64) -> Self {
        let Self { median, p10, p90, samples } = *self;
        Self { median: c / median, p10: c / p90, p90: c / p10, samples }
    }
}

/// Between the two samples next to it, by how far it is from each.
fn percentile(sorted: &[f64], p: f64) -> f64 {
    let place = p * (sorted.len() - 1) as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * (place - low as f64)
}

/// Whether the last of so many totals are no longer better or worse than those
/// before: within 5 %, by means of two.
pub fn is_plateau(totals: &[f64]) -> bool {
    let [.., a, b, c, d] = totals else { return false };
    let (before, now) = (a + b, c + d);
    (now / before - 1.0).abs() < 0.05
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_lie_between_samples() {
        let of = |samples: &[f64]| Summary::of(samples.iter().copied());
        let Summary { median, p10, p90, samples } = of(&[5.0, 1.0, 3.0, 2.0, 4.0]).unwrap();
        assert_eq!((median, samples), (3.0, 5));
        assert!((p10 - 1.4).abs() < 1e-12 && (p90 - 4.6).abs() < 1e-12, "{p10} {p90}");
        assert_eq!(of(&[1.0, 2.0]).unwrap().median, 1.5);
        let one = of(&[7.0]).unwrap();
        assert_eq!((one.median, one.p10, one.p90), (7.0, 7.0, 7.0));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_speed_is_a_time_turned_over() {
        let time = Summary { median: 2.0, p10: 1.0, p90: 4.0, samples: 21 };
        let speed = time.inverted(8.0);
        assert_eq!((speed.median, speed.p10, speed.p90, speed.samples), (4.0, 2.0, 8.0, 21));
    }

    #[test]
    fn a_plateau_neither_falls_nor_rises() {
        assert!(is_plateau(&[9.0, 1.0, 1.02, 0.99, 1.01]));
        assert!(!is_plateau(&[1.2, 1.15, 1.0, 1.0]));
        assert!(!is_plateau(&[1.0, 1.0, 1.1, 1.1]));
        assert!(!is_plateau(&[1.0, 1.0, 1.0]));
    }
}
