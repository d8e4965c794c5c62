//! Axes: where a value is placed along one, and where its labels stand.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use crate::numbers::grouped;

/// A range of values, its map to a straight axis, and labelled places on it.
#[derive(Clone, Debug)]
pub struct Scale {
    kind: Kind,
    /// Values that are drawn; what lies outside is drawn at the edge.
    low: f64,
    high: f64,
    /// Values that get a label.
    ticks: Vec<f64>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Count,
    Log,
    /// −lg(1 − accuracy): as much room between 90 % and 99 % as between 0 %
    /// and 90 %, for that is where training is spent.
    Accuracy,
}

/// Most labels on an axis.
const MOST_TICKS: usize = 8;

impl Scale {
    /// From 0 to `end`, evenly.
    pub fn count(end: f64) -> Self {
        let end = if end.is_finite() { end.max(1.0) } else { 1.0 };
        let power = 10f64.powf((end / 6.0).log10().floor()).max(1.0);
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|factor| factor * power)
            .into_iter()
            .find(|step| end / step <= 6.0)
            .unwrap_or(10.0 * power);
        let ticks = (0..=(end / step) as u32).map(|i| f64::from(i) * step).collect();
        Self::new(Kind::Count, 0.0, end, ticks)
    }

    /// Logarithmic, around all values that are positive.
    pub fn log(values: impl IntoIterator<Item = f64>) -> Self {
        let values = values.into_iter().filter(|value| value.is_finite() && *value > 0.0);
        let (low, high) = extent(values).unwrap_or((0.1, 1.0));
        // Nothing is learnt from losses beyond this; a diverging run must not
        // press the others flat.
        let high = high.min(low * 1e6);
        // Room around the lines, and never less than a factor of two.
        let widen = (high / low).powf(0.06).max(if high / low < 2.0 { 1.45 } else { 1.0 });
        let (low, high) = (low / widen, high * widen);
        let sets: [&[f64]; 4] = [
            &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
            &[1.0, 2.0, 3.0, 5.0, 7.0],
            &[1.0, 2.0, 5.0],
            &[1.0],
        ];
        let ticks = sets
            .into_iter()
            .map(|set| log_ticks(set, low, high))
            .find(|ticks| ticks.len() <= MOST_TICKS)
            .unwrap_or_default();
        Self::new(Kind::Log, low, high, ticks)
    }

    /// For fractions, with more room towards 1.
    pub fn accuracy(values: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) =
            extent(values.into_iter().filter(|v| v.is_finite())).unwrap_or((0.0, 0.9));
        let low = (low - 0.05 * (1.0 - low)).clamp(0.0, 0.999);
        // A fifth of the errors less than the best, but never down to none.
        let high = (1.0 - 0.8 * (1.0 - high)).clamp(low + 0.0005, 0.9999);
        let mut scale = Self::new(Kind::Accuracy, low, high, vec![]);
        // The first come first; the others where there is room.
        let wanted = [
            0.9, 0.99, 0.999, 0.5, 0.95, 0.98, 0.995, 0.998, 0.0, 0.8, 0.97, 0.2, 0.7, 0.96, 0.985,
            0.3, 0.6, 0.93, 0.975, 0.965, 0.4, 0.85, 0.1, 0.92, 0.94, 0.91, 0.982, 0.978, 0.972,
        ];
        let apart = (scale.straight(high) - scale.straight(low)) / 13.0;
        for tick in wanted.into_iter().filter(|tick| (low..=high).contains(tick)) {
            let near = |other: &f64| (scale.straight(*other) - scale.straight(tick)).abs() < apart;
            if !scale.ticks.iter().any(near) {
                scale.ticks.push(tick);
            }
        }
        scale
    }

    fn new(kind: Kind, low: f64, high: f64, ticks: Vec<f64>) -> Self {
        Self { kind, low, high, ticks }
    }

    fn straight(&self, value: f64) -> f64 {
        match self.kind {
            Kind::Count => value,
            Kind::Log => value.log10(),
            Kind::Accuracy => -(1.0 - value).log10(),
        }
    }

    /// Where a value lies between the ends, 0 to 1; beyond them, at the end.
    fn place(&self, value: f64) -> f64 {
        // `max` before `min`, so that NaN is drawn as low as can be.
        let value = self.straight(value.max(self.low).min(self.high));
        let (low, high) = (self.straight(self.low), self.straight(self.high));
        (value - low) / (high - low)
    }

    fn label(&self, value: f64) -> String {
        match self.kind {
            Kind::Count => grouped(value),
            Kind::Log if (1e-4..1e5).contains(&value) => {
                // As many digits as the tick has: 0.05, 0.15, 2.
                let text = format!("{value:.6}");
                text.trim_end_matches('0').trim_end_matches('.').into()
            }
            Kind::Log => format!("{value:.0e}"),
            Kind::Accuracy => {
                let text = format!("{:.1}", 100.0 * value);
                format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
            }
        }
    }
}

impl Ranged for Scale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (start, end): (i32, i32)) -> i32 {
        start + (self.place(*value) * f64::from(end - start)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Scale {
    fn format_ext(&self, value: &f64) -> String {
        self.label(*value)
    }
}

fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |extent, value| match extent {
        None => Some((value, value)),
        Some((low, high)) => Some((value.min(low), value.max(high))),
    })
}

/// The multiples of powers of ten within the range.
fn log_ticks(multiples: &[f64], low: f64, high: f64) -> Vec<f64> {
    let powers = low.log10().floor() as i32..=high.log10().ceil() as i32;
    powers
        .flat_map(|power| multiples.iter().map(move |multiple| multiple * 10f64.powi(power)))
        .filter(|tick| (low..=high).contains(tick))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale) -> Vec<String> {
        scale.ticks.iter().map(|&tick| scale.label(tick)).collect()
    }

    #[test]
    fn counts_are_labelled_at_round_numbers() {
        assert_eq!(labels(&Scale::count(2814.0)), ["0", "500", "1,000", "1,500", "2,000", "2,500"]);
        assert_eq!(labels(&Scale::count(3.0)), ["0", "1", "2", "3"]);
        for end in [0.0, f64::NAN, f64::INFINITY, 1e300] {
            assert!((1..=7).contains(&Scale::count(end).ticks.len()), "{end}");
        }
    }

    #[test]
    fn every_log_axis_has_some_labels_and_not_too_many() {
        let range = |low: f64, high: f64| Scale::log([low, high]);
        assert_eq!(labels(&range(0.06, 2.2)), ["0.05", "0.1", "0.2", "0.5", "1", "2"]);
        for low in [1e-30, 3e-5, 0.11, 1.0, 2.302, 9e9] {
            for factor in [1.0, 1.001, 1.9, 7.0, 400.0, 1e5, 1e20] {
                let ticks = labels(&range(low, low * factor));
                assert!((2..=MOST_TICKS).contains(&ticks.len()), "{low} x {factor}: {ticks:?}");
            }
        }
    }

    #[test]
    fn odd_losses_stay_on_the_axis() {
        for values in [vec![], vec![0.0, -1.0, f64::NAN], vec![0.1, f64::INFINITY]] {
            let scale = Scale::log(values);
            for value in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-300, 1e300] {
                let place = scale.map(&value, (100, 0));
                assert!((0..=100).contains(&place), "{value} at {place}");
            }
        }
    }

    #[test]
    fn accuracies_have_room_near_one() {
        let scale = Scale::accuracy([0.1, 0.91, 0.975]);
        let room = |a, b| scale.place(b) - scale.place(a);
        assert!(room(0.9, 0.975) > 0.5 * room(0.1, 0.9));
        let labels = labels(&scale);
        for label in ["50 %", "90 %", "95 %"] {
            assert!(labels.iter().any(|l| l == label), "{labels:?} lacks {label}");
        }
        for (low, high) in [(0.0, 0.0), (0.1, 0.1), (0.97, 0.9701), (1.0, 1.0), (0.0, 1.0)] {
            let scale = Scale::accuracy([low, high]);
            assert!(scale.low < scale.high && scale.straight(scale.high).is_finite());
            assert!((0.0..=1.0).contains(&scale.place(high)), "{low} {high}");
        }
    }
}
