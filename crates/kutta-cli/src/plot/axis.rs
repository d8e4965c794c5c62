//! An axis with labels at round numbers, or at powers of ten.

use std::ops::Range;

use kutta::findings::decimals;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use crate::numbers::grouped;

#[derive(Clone, Debug)]
pub struct Axis {
    pub low: f64,
    pub high: f64,
    /// Between labels.
    step: f64,
    /// Values are logarithms to the base of ten.
    powers: bool,
    /// Where labels stand, if not at round numbers.
    at: Vec<f64>,
}

impl Axis {
    /// With about `most` labels and no more.
    pub fn linear(low: f64, high: f64, most: usize) -> Self {
        Self { low, high, step: step((high - low) / most as f64), powers: false, at: Vec::new() }
    }

    /// The same for logarithms, labelled at whole ones alone; where there are
    /// hardly any, at those of 1, 2 and 5 times them.
    pub fn powers(low: f64, high: f64, most: usize) -> Self {
        let step = step((high - low) / most as f64).max(1.0);
        Self { low, high, step, powers: true, at: Vec::new() }
    }

    /// Logarithms of few whole numbers, which are labelled themselves.
    pub fn at(numbers: &[usize]) -> Self {
        let at: Vec<f64> = numbers.iter().map(|&n| (n as f64).log10()).collect();
        let ends = at.iter().fold((f64::MAX, f64::MIN), |(l, h), &x| (l.min(x), h.max(x)));
        let room = 0.1 * (ends.1 - ends.0).max(1.0);
        Self { low: ends.0 - room, high: ends.1 + room, step: 1.0, powers: true, at }
    }

    fn is_short(&self) -> bool {
        self.powers && self.low > -3.5 && self.high < 4.0 && self.high - self.low < 2.0
    }

    fn label(&self, value: f64) -> String {
        let value = if value == 0.0 { 0.0 } else { value }; // no −0
        match self.powers {
            _ if !self.at.is_empty() => grouped(10f64.powf(value)),
            false => decimals(value),
            true if self.is_short() => {
                let text = format!("{:.4}", 10f64.powf(value));
                text.trim_end_matches('0').trim_end_matches('.').into()
            }
            true if (0.0..6.0).contains(&value) => grouped(10f64.powf(value)),
            true => format!("1e{value:.0}"),
        }
    }
}

/// The next of 1, 2, 5, 10 …
fn step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    steps.into_iter().find(|step| *step >= least * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (start, end): (i32, i32)) -> i32 {
        let place = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        start + (place * f64::from(end - start)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        if !self.at.is_empty() {
            return self.at.clone();
        }
        let (first, last) = (self.low / self.step, self.high / self.step);
        if self.is_short() {
            let powers = self.low.floor() as i32..=self.high.ceil() as i32;
            let ticks = powers.flat_map(|p| [1.0, 2.0, 5.0].map(|m: f64| m.log10() + f64::from(p)));
            return ticks.filter(|tick| (self.low..=self.high).contains(tick)).collect();
        }
        let ticks = (first - 1e-9).ceil() as i64..=(last + 1e-9).floor() as i64;
        ticks.map(|i| i as f64 * self.step).collect()
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        self.label(*value)
    }
}

#[cfg(test)]
mod tests {
    use plotters::coord::ranged1d::BoldPoints;

    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.key_points(BoldPoints(10)).into_iter().map(|tick| axis.label(tick)).collect()
    }

    #[test]
    fn labels_stand_at_round_numbers() {
        assert_eq!(
            labels(&Axis::linear(-6.4, 1.0, 8)),
            ["-6", "-5", "-4", "-3", "-2", "-1", "0", "1"]
        );
        assert_eq!(labels(&Axis::linear(-2.2, 0.3, 6)), ["-2", "-1.5", "-1", "-0.5", "0"]);
        assert_eq!(labels(&Axis::linear(-200.0, 5.0, 6)), ["-200", "-150", "-100", "-50", "0"]);
        assert_eq!(labels(&Axis::powers(1.2, 4.3, 8)), ["100", "1,000", "10,000"]);
        assert_eq!(labels(&Axis::powers(-1.1, 0.4, 8)), ["0.1", "0.2", "0.5", "1", "2"]);
        assert_eq!(labels(&Axis::powers(-13.5, 0.5, 8)).first().unwrap(), "1e-12");
        assert_eq!(labels(&Axis::at(&[16, 1024])), ["16", "1,024"]);
    }
}
