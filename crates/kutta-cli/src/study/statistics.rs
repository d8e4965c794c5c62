//! Differences of runs that were paired by their seeds.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// Accuracies that differ by less than this count as equal: 0.15 points.
pub const EQUAL: f64 = 0.0015;

/// A mean of differences, and what can be said of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    pub mean: f64,
    /// Half the width of the 95 % interval.
    pub reach: f64,
    /// That there is no difference, by a two-sided t test.
    pub p: f64,
    /// That they differ by [`EQUAL`] or more, by two one-sided t tests.
    pub p_unequal: f64,
}

impl Difference {
    /// Compares pairs; none with fewer than two of them.
    pub fn of(differences: &[f64]) -> Option<Self> {
        let n = differences.len() as f64;
        if n < 2.0 {
            return None;
        }
        let mean = differences.iter().sum::<f64>() / n;
        let squares: f64 = differences.iter().map(|d| (d - mean).powi(2)).sum();
        let error = (squares / (n - 1.0) / n).sqrt();
        let law = StudentsT::new(0.0, 1.0, n - 1.0).ok()?;
        // Without any spread a test is sure of itself.
        let above = |distance: f64| match error {
            0.0 if distance == 0.0 => 0.5,
            0.0 => f64::from(u8::from(distance < 0.0)),
            error => law.sf(distance / error),
        };
        Some(Self {
            mean,
            reach: law.inverse_cdf(0.975) * error,
            p: (2.0 * above(mean.abs())).min(1.0),
            p_unequal: above(EQUAL - mean.abs()),
        })
    }
}

/// Holm's correction: p values of a family of tests, in their order.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut corrected = vec![0.0; p.len()];
    let mut largest = 0.0_f64;
    for (rank, at) in order.into_iter().enumerate() {
        largest = largest.max((p.len() - rank) as f64 * p[at]).min(1.0);
        corrected[at] = largest;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: f64, expected: f64) {
        assert!((value / expected - 1.0).abs() < 1e-8, "{value}, not {expected}");
    }

    #[test]
    fn students_t_is_the_textbooks() {
        // Quantiles to ten digits from tables; with four degrees of freedom the law has a
        // closed form, F(t) = 1/2 + t(t² + 6) / 2(t² + 4)^(3/2).
        let law = |n| StudentsT::new(0.0, 1.0, n).unwrap();
        near(law(4.0).inverse_cdf(0.975), 2.776_445_105);
        near(law(9.0).inverse_cdf(0.975), 2.262_157_163);
        for t in [0.3, 1.0, 2.5, 7.0_f64] {
            let f = 0.5 + t * (t * t + 6.0) / (2.0 * (t * t + 4.0).powf(1.5));
            near(law(4.0).cdf(t), f);
        }
    }

    #[test]
    fn pairs_give_an_interval_and_two_tests() {
        let differences = [0.001, 0.002, 0.003, 0.004, 0.005];
        let found = Difference::of(&differences).unwrap();
        // The standard error is √(2.5e-6/5); by the closed form above.
        let error = 0.5e-6_f64.sqrt();
        let sf = |t: f64| 0.5 - t * (t * t + 6.0) / (2.0 * (t * t + 4.0).powf(1.5));
        near(found.mean, 0.003);
        near(found.reach, 2.776_445_105 * error);
        near(found.p, 2.0 * sf(0.003 / error));
        near(found.p_unequal, sf((EQUAL - 0.003) / error));
        assert!(Difference::of(&[0.1]).is_none());
        let alike = Difference::of(&[0.0; 3]).unwrap();
        assert_eq!((alike.reach, alike.p, alike.p_unequal), (0.0, 1.0, 0.0));
    }

    #[test]
    fn holm_steps_down() {
        let corrected = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (value, expected) in corrected.into_iter().zip([0.03, 0.06, 0.06, 0.02]) {
            near(value, expected);
        }
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
    }
}
