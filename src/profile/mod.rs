//! Where the time of an attempt goes: a table, and a trace to look at.

mod trace;

use std::fmt;

pub use crate::device::spans::Stamps;
use crate::device::spans::Taken;
use crate::tableau::printable;

/// Most attempts of a profile.
pub(crate) const MOST_ATTEMPTS: u64 = 1024;

/// The time that each dispatch of an attempt took on the device:
/// [`Optimizer::profile`](crate::Optimizer::profile).
///
/// Its `Display` prints the table, [`Profile::trace`] gives every single dispatch. Times are in
/// microseconds, each less [`Profile::cost`], what its timestamps cost by themselves.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    adapter: String,
    attempts: u64,
    stamps: Stamps,
    cost: f64,
    rows: Vec<Row>,
    tracks: trace::Tracks,
}

/// All dispatches of an attempt that have one label and as many workgroups.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Row {
    /// The kernel, or what a source calls its part: [`Evaluation::label`](crate::Evaluation::label).
    pub label: String,
    /// The workgroups of a dispatch along x, y and z. `None` for what a source recorded by
    /// itself: kutta does not see those dispatches.
    pub workgroups: Option<[u32; 3]>,
    /// How often an attempt has it, on average: `begin` runs once for all attempts of a submit.
    pub per_attempt: f64,
    /// The median of the times of one of them, in microseconds.
    pub median: f64,
    /// A tenth of the times are below this.
    pub p10: f64,
    /// A tenth of the times are above this.
    pub p90: f64,
    /// `per_attempt` times `median`, as a part of [`Profile::total`].
    pub share: f64,
}

impl Row {
    /// The time of all of them in an attempt, in microseconds: `per_attempt` times `median`.
    pub fn total(&self) -> f64 {
        self.per_attempt * self.median
    }
}

/// One submit of a profile: what was recorded, its timestamps in ticks, and when the host began
/// to submit it, in nanoseconds since the profile began.
pub(crate) struct Submit {
    pub(crate) taken: Taken,
    pub(crate) ticks: Vec<u64>,
    pub(crate) submitted: u64,
}

/// Something that the host did, in nanoseconds since the profile began.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HostSpan {
    pub(crate) what: &'static str,
    pub(crate) begin: u64,
    pub(crate) end: u64,
}

/// What a profile is made from.
pub(crate) struct Measured<'a> {
    pub(crate) adapter: &'a str,
    pub(crate) stamps: Stamps,
    pub(crate) labels: &'a [String],
    /// Nanoseconds of a tick.
    pub(crate) period: f64,
    /// Nanoseconds that timestamps add to a span.
    pub(crate) cost: f64,
    pub(crate) submits: &'a [Submit],
    pub(crate) host: Vec<HostSpan>,
}

/// The value below which a part of sorted values lies; of none, 0.
pub(crate) fn quantile(sorted: &[f64], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = part * last as f64;
    let value = |i: usize| sorted.get(i.min(last)).copied().unwrap_or(0.0);
    let (low, high) = (value(at.floor() as usize), value(at.ceil() as usize));
    low + (high - low) * at.fract()
}

impl Profile {
    pub(crate) fn new(measured: Measured<'_>) -> Self {
        let Measured { labels, period, submits, .. } = measured;
        let attempts = submits.iter().map(|submit| u64::from(submit.taken.attempts())).sum();
        type Key = (usize, Option<[u32; 3]>);
        let mut rows: Vec<(Key, u64, Vec<f64>)> = Vec::new();
        for Submit { taken, ticks, .. } in submits {
            for span in &taken.spans {
                let key = (span.label, span.workgroups);
                let at = match rows.iter().position(|(known, ..)| *known == key) {
                    Some(at) => at,
                    None => {
                        rows.push((key, 0, Vec::new()));
                        rows.len() - 1
                    }
                };
                rows[at].1 += 1;
                // Of a clock that went backwards there is no time.
                if let Some(took) = ticks[span.end].checked_sub(ticks[span.begin]) {
                    rows[at].2.push(took as f64 * period * 1e-3);
                }
            }
        }
        rows.iter_mut().for_each(|(.., times)| times.sort_by(f64::total_cmp));
        // No dispatch takes less than nothing: those that were quickest bound what timestamps
        // cost, where these were dearer when that was measured.
        let seen = rows.iter().filter(|((_, workgroups), ..)| workgroups.is_some());
        let cost =
            seen.map(|(.., times)| quantile(times, 0.1)).fold(measured.cost * 1e-3, f64::min);
        let mut rows: Vec<Row> = rows
            .into_iter()
            .map(|((label, workgroups), count, times)| {
                let of = |part| (quantile(&times, part) - cost).max(0.0);
                let [p10, median, p90] = [0.1, 0.5, 0.9].map(of);
                let per_attempt = count as f64 / (attempts as f64).max(1.0);
                let label = labels[label].clone();
                Row { label, workgroups, per_attempt, median, p10, p90, share: 0.0 }
            })
            .collect();
        let total: f64 = rows.iter().map(Row::total).sum();
        for row in &mut rows {
            row.share = if total > 0.0 { row.total() / total } else { 0.0 };
        }
        Self {
            adapter: measured.adapter.to_owned(),
            attempts,
            stamps: measured.stamps,
            cost,
            rows,
            tracks: trace::Tracks::new(labels, period, submits, measured.host),
        }
    }

    /// The adapter it was taken on.
    pub fn adapter(&self) -> &str {
        &self.adapter
    }

    /// Attempts that were taken, refused ones among them.
    pub fn attempts(&self) -> u64 {
        self.attempts
    }

    /// Where its timestamps were written.
    pub fn stamps(&self) -> Stamps {
        self.stamps
    }

    /// What timestamps add to the time of a dispatch, in microseconds: the difference between
    /// dispatches of one workgroup with and without them, measured before the profile; and no
    /// more than the quickest dispatches took with theirs. It is subtracted from all times, and
    /// no time is less than 0.
    pub fn cost(&self) -> f64 {
        self.cost
    }

    /// What an attempt dispatches, in the order in which it was first seen.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The sum of all rows, in microseconds an attempt. A step without a profile takes less
    /// where its dispatches overlap, and more where the host cannot keep up.
    pub fn total(&self) -> f64 {
        self.rows.iter().map(Row::total).sum()
    }

    /// Every single span as JSON in the [trace event
    /// format](https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU):
    /// <https://ui.perfetto.dev> and `chrome://tracing` open it.
    ///
    /// One process is the host: what it recorded, submitted and waited for. The other is the
    /// device: attempts, the evaluations in them, and their dispatches. The two clocks are laid
    /// side by side as well as can be known: no submit's work begins before the host submitted
    /// it, and for one of them at just that time. Times are as measured, with the
    /// cost of timestamps.
    pub fn trace(&self) -> String {
        self.tracks.json(&self.adapter)
    }
}

/// A number in few digits: how often an attempt.
fn often(times: f64) -> String {
    match times.fract() == 0.0 {
        true => format!("{times}"),
        false => format!("{times:.2}"),
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { adapter, attempts, stamps, cost, rows, .. } = self;
        writeln!(f, "{attempts} attempts on {}", printable(adapter))?;
        writeln!(f, "by {stamps}, less the {cost:.1} µs that they cost a dispatch")?;
        let labels: Vec<String> = rows.iter().map(|row| printable(&row.label)).collect();
        let groups: Vec<String> = rows
            .iter()
            .map(|row| row.workgroups.map_or("–".to_owned(), |groups| format!("{groups:?}")))
            .collect();
        let widest = |texts: &[String], least: usize| {
            texts.iter().map(|text| text.chars().count()).fold(least, usize::max)
        };
        let (wide, groups_wide) = (widest(&labels, 6), widest(&groups, 10));
        writeln!(
            f,
            "{:wide$}  {:>groups_wide$}  {:>10}  {:>9}  {:>9}  {:>9}  {:>7}",
            "kernel", "workgroups", "an attempt", "median µs", "p10", "p90", "share"
        )?;
        for ((row, label), groups) in rows.iter().zip(&labels).zip(&groups) {
            writeln!(
                f,
                "{label:wide$}  {groups:>groups_wide$}  {:>10}  {:>9.1}  {:>9.1}  {:>9.1}  {:>5.1} %",
                often(row.per_attempt),
                row.median,
                row.p10,
                row.p90,
                100.0 * row.share
            )?;
        }
        let dispatches: f64 = rows.iter().map(|row| row.per_attempt).sum();
        writeln!(
            f,
            "{:wide$}  {:>groups_wide$}  {:>10}  {:>9.1}",
            "sum",
            "",
            often(dispatches),
            self.total()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_values() {
        assert_eq!(quantile(&[], 0.5), 0.0);
        assert_eq!(quantile(&[3.0], 0.9), 3.0);
        let ten: Vec<f64> = (0..=10).map(f64::from).collect();
        assert_eq!([0.0, 0.1, 0.5, 1.0].map(|part| quantile(&ten, part)), [0.0, 1.0, 5.0, 10.0]);
        assert_eq!(quantile(&[1.0, 2.0], 0.5), 1.5);
    }

    #[test]
    fn how_often_is_said_in_few_digits() {
        assert_eq!([4.0, 0.03125, 1.5, 15.0].map(often), ["4", "0.03", "1.50", "15"]);
    }
}
