//! The spans of a profile as trace events.

use std::fmt::Write as _;

use super::{HostSpan, Submit};

/// One event on the device, in nanoseconds since the profile began.
#[derive(Clone, Debug, PartialEq)]
struct Event {
    name: String,
    kind: &'static str,
    begin: u64,
    end: u64,
    workgroups: Option<[u32; 3]>,
}

/// What the host did, and what the device did.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tracks {
    host: Vec<HostSpan>,
    device: Vec<Event>,
}

const HOST: u32 = 1;
const DEVICE: u32 = 2;

impl Event {
    /// A name for what lies from the first to the last of some spans.
    fn around(name: String, kind: &'static str, (begin, end): (u64, u64)) -> Self {
        Self { name, kind, begin, end, workgroups: None }
    }
}

/// Begin and end of all that lies in a group, by the group's number.
fn extend(groups: &mut Vec<Option<(u64, u64)>>, at: usize, (begin, end): (u64, u64)) {
    if groups.len() <= at {
        groups.resize(at + 1, None);
    }
    let (first, last) = groups[at].unwrap_or((begin, end));
    groups[at] = Some((first.min(begin), last.max(end)));
}

impl Tracks {
    pub(super) fn new(
        labels: &[String],
        period: f64,
        submits: &[Submit],
        host: Vec<HostSpan>,
    ) -> Self {
        // Ticks since the first one, in whole nanoseconds, so that what nests in ticks does so
        // in a text too.
        let all = submits.iter().flat_map(|submit| &submit.ticks);
        let origin = all.min().copied().unwrap_or(0);
        let since = |ticks: u64| ((ticks - origin) as f64 * period) as u64;
        // The least shift of the device's clock for which nothing begins before its submit.
        let shifts = submits.iter().filter_map(|submit| {
            let first = since(*submit.ticks.iter().min()?);
            Some(submit.submitted as i64 - first as i64)
        });
        let shift = shifts.max().unwrap_or(0);
        let place = |ticks| since(ticks).saturating_add_signed(shift);
        let mut device = Vec::new();
        let mut attempts_before = 0;
        for Submit { taken, ticks, .. } in submits {
            let (mut attempts, mut evaluations) = (Vec::new(), Vec::new());
            let mut dispatches = Vec::new();
            for span in &taken.spans {
                let begin = place(ticks[span.begin]);
                let extent = (begin, place(ticks[span.end]).max(begin));
                if span.attempt > 0 {
                    extend(&mut attempts, span.attempt as usize - 1, extent);
                }
                if let Some(evaluation) = span.evaluation {
                    extend(&mut evaluations, evaluation, extent);
                }
                dispatches.push(Event {
                    workgroups: span.workgroups,
                    ..Event::around(labels[span.label].clone(), "dispatch", extent)
                });
            }
            let of = |name: &dyn Fn(usize) -> String, kind, groups: Vec<Option<(u64, u64)>>| {
                let event =
                    |(i, extent): (usize, Option<_>)| Some(Event::around(name(i), kind, extent?));
                groups.into_iter().enumerate().filter_map(event).collect::<Vec<_>>()
            };
            let attempt = |i| format!("attempt {}", attempts_before + i);
            device.extend(of(&attempt, "attempt", attempts));
            let evaluation = |i: usize| labels[taken.evaluations[i]].clone();
            device.extend(of(&evaluation, "evaluation", evaluations));
            device.extend(dispatches);
            attempts_before += taken.attempts() as usize;
        }
        Self { host, device }
    }

    /// The events in the trace event format: metadata, then complete events.
    pub(super) fn json(&self, adapter: &str) -> String {
        let mut text = String::from("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n");
        for (process, name, thread) in [(HOST, "host", "kutta"), (DEVICE, adapter, "queue")] {
            for (what, name) in [("process_name", name), ("thread_name", thread)] {
                // Writing to a String cannot fail.
                let _ = writeln!(
                    text,
                    "{{\"name\":\"{what}\",\"ph\":\"M\",\"pid\":{process},\"tid\":1,\
                     \"args\":{{\"name\":{}}}}},",
                    quoted(name)
                );
            }
        }
        for HostSpan { what, begin, end } in &self.host {
            event(&mut text, HOST, (what, "host"), (*begin, *end), "");
        }
        for Event { name, kind, begin, end, workgroups } in &self.device {
            let args = workgroups.map_or(String::new(), |groups| {
                format!(",\"args\":{{\"workgroups\":\"{groups:?}\"}}")
            });
            event(&mut text, DEVICE, (name, kind), (*begin, *end), &args);
        }
        // JSON allows no comma after the last one.
        text.truncate(text.trim_end().trim_end_matches(',').len());
        text + "\n]}\n"
    }
}

/// A complete event. The format counts in microseconds.
fn event(
    text: &mut String,
    process: u32,
    (name, kind): (&str, &str),
    (begin, end): (u64, u64),
    args: &str,
) {
    let micros = |nanos: u64| format!("{}.{:03}", nanos / 1000, nanos % 1000);
    let (ts, dur) = (micros(begin), micros(end.saturating_sub(begin)));
    let name = quoted(name);
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{{\"name\":{name},\"cat\":\"{kind}\",\"ph\":\"X\",\"ts\":{ts},\"dur\":{dur},\
         \"pid\":{process},\"tid\":1{args}}},"
    );
}

/// A string of JSON.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted + "\""
}
