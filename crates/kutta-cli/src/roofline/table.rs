//! What a run found, as text of less than 80 columns.

use super::schema::{Kind, Measurement, Run, Skipped};
use super::statistics::Summary;
use crate::numbers::grouped;

/// The machine, before anything is measured.
pub fn head(run: &Run) -> String {
    let machine = &run.machine;
    let clock = if run.protocol.timestamps {
        "the device's timestamps"
    } else {
        "the wall: this device has no timestamps"
    };
    format!(
        "{} ({}), {}, {}\n{}, {} cores; cache {} MiB, {}; buffers up to {} MiB, bindings {} MiB\n\
         {}, {}; times by {clock}; medians of {}\n",
        machine.adapter,
        machine.kind,
        machine.backend,
        machine.driver,
        machine.os,
        machine.cores,
        machine.cache_bytes >> 20,
        machine.cache_source,
        machine.limits.max_buffer_size >> 20,
        machine.limits.max_storage_buffer_binding_size >> 20,
        machine.library,
        run.date,
        run.protocol.samples,
    )
}

/// Part of a bare kernel's speed below which a kernel is marked.
const ENOUGH: f64 = 0.95;

/// Figures of a narrow kernel beside a bare one mean little: see docs/roofline.md.
fn is_short(row: &Measurement) -> bool {
    row.storage == "f32" && row.of_bare.is_some_and(|part| part.median < ENOUGH)
}

const COLUMNS: &str = "words    GB/s     p10–p90  ns/param  of bare  of copy";

/// One method at one size: the measurements from `first` on.
pub fn case(run: &Run, first: usize) -> String {
    let rows = &run.measurements[first..];
    let Some(Measurement { case: Some(case), n, cold, .. }) = rows.first() else {
        return String::new();
    };
    let place = if *cold { ", cold" } else { "" };
    let title = format!("{}, {}, n = {}{place}", case.method, case.ingredients, grouped(*n as f64));
    let mut text = format!("\n{title}\n{:<26}{COLUMNS}\n", "");
    for row in rows.iter().filter(|row| row.kind != Kind::Bare) {
        text += &line(row);
    }
    let fusion = run.fusion.iter().filter(|fusion| {
        (&fusion.method, &fusion.ingredients, fusion.n) == (&case.method, &case.ingredients, *n)
            && !cold
    });
    for fusion in fusion {
        let Summary { median, p10, p90, .. } = fusion.measured;
        text += &format!(
            "  fused is {median:.2} times as fast ({p10:.2}–{p90:.2}) at {} a submit; words say {:.2}\n",
            fusion.per_submit, fusion.predicted
        );
    }
    text
}

fn line(row: &Measurement) -> String {
    let name = match (&row.case, row.kind) {
        (Some(case), Kind::Step) => {
            let unfused = if case.is_fused() { "" } else { "unfused " };
            format!("{unfused}{}, {} a submit", row.name, row.per_submit)
        }
        _ => row.name.clone(),
    };
    let (Some(speed), Some(time)) = (row.speed(), row.seconds()) else { return String::new() };
    let part = |summary: Option<Summary>| {
        summary.map_or("–".into(), |summary| format!("{:.2}", summary.median))
    };
    let range = format!("{}–{}", digits(speed.p10), digits(speed.p90));
    let mark = if row.kind == Kind::Kernel && is_short(row) { '*' } else { ' ' };
    format!(
        "{mark} {name:<24}{:>5}{:>8}{range:>12}{:>10.3}{:>9}{:>9}\n",
        row.words,
        digits(speed.median),
        time.median / row.n as f64 * 1e9,
        part(row.of_bare),
        part(row.of_copy),
    )
}

/// Three digits where there is room.
fn digits(x: f64) -> String {
    match x {
        x if x < 10.0 => format!("{x:.2}"),
        x if x < 100.0 => format!("{x:.1}"),
        x => format!("{x:.0}"),
    }
}

/// Ceilings, recording, and what was left out.
pub fn rest(run: &Run) -> String {
    let mut text = String::new();
    let ceilings = run.measurements.iter().filter(|row| row.kind == Kind::Ceiling);
    let mut last = None;
    for row in ceilings {
        if last != Some((row.n, row.cold)) {
            let place = if row.cold { ", cold" } else { "" };
            text +=
                &format!("\nceilings, n = {}{place}\n{:<26}{COLUMNS}\n", grouped(row.n as f64), "");
            last = Some((row.n, row.cold));
        }
        text += &line(row);
    }
    if !run.recording.is_empty() {
        text +=
            "\nrecording an attempt        dispatches    µs    by hand, µs    ratio (p10–p90)\n";
    }
    for row in &run.recording {
        let Summary { median, p10, p90, .. } = row.ratio;
        text += &format!(
            "  {:<28}{:>8}{:>8.2}{:>13.2}{median:>10.2} ({p10:.2}–{p90:.2})\n",
            format!("{}, {}", row.method, row.ingredients),
            row.dispatches,
            row.recorded.median * 1e6,
            row.by_hand.median * 1e6,
        );
    }
    if run.protocol.discarded_timestamps > 0 {
        text += &format!("\n{} timestamps discarded\n", run.protocol.discarded_timestamps);
    }
    if !run.checks.is_empty() {
        let elements: u64 = run.checks.iter().map(|check| check.elements).sum();
        let worst = run.checks.iter().map(|check| check.worst).fold(0.0, f64::max);
        text += &format!(
            "\n{} elements compared with f64, the worst {worst:.1e} off\n",
            grouped(elements as f64)
        );
    }
    let kernels = run.measurements.iter().filter(|row| row.kind == Kind::Kernel);
    let (all, short) = (kernels.clone().count(), kernels.filter(|row| is_short(row)).count());
    if short > 0 {
        text += &format!("\n* {short} of {all} kernels are below {ENOUGH} of a bare one\n");
    }
    text + &skipped(&run.skipped)
}

/// A line for each reason.
fn skipped(all: &[Skipped]) -> String {
    let mut text = String::new();
    let mut reasons: Vec<&str> = Vec::new();
    for Skipped { reason, .. } in all {
        if reasons.contains(&reason.as_str()) {
            continue;
        }
        reasons.push(reason);
        let mut same = all.iter().filter(|other| other.reason == *reason);
        let first = same.next().map_or("", |first| &first.what);
        let others = match same.count() {
            0 => String::new(),
            1 => " and another".into(),
            others => format!(" and {others} others"),
        };
        text += &format!("  {first}{others}: {reason}\n");
    }
    if text.is_empty() { text } else { format!("\nskipped\n{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roofline::schema::tests::run;

    #[test]
    fn what_was_left_out_is_a_line_a_reason() {
        let skip = |what: &str, reason: &str| Skipped { what: what.into(), reason: reason.into() };
        let all = [skip("a", "small"), skip("b", "big"), skip("c", "small"), skip("d", "small")];
        assert_eq!(skipped(&all), "\nskipped\n  a and 2 others: small\n  b: big\n");
        assert_eq!(skipped(&[]), "");
    }

    #[test]
    fn a_kernel_short_of_its_bare_one_is_marked() {
        let mut run = run();
        let summary = |median| Summary { median, p10: median, p90: median, samples: 21 };
        for row in &mut run.measurements {
            row.kind = Kind::Kernel;
            row.of_bare = Some(summary(0.949));
        }
        run.measurements[0].of_bare = Some(summary(0.951));
        let all = run.measurements.len();
        let text = case(&run, 0);
        assert_eq!(text.lines().filter(|line| line.starts_with("* ")).count(), all - 1, "{text}");
        let line = format!("* {} of {all} kernels are below 0.95", all - 1);
        assert!(rest(&run).contains(&line), "{}", rest(&run));
    }

    #[test]
    fn a_table_has_every_figure_and_fits_a_terminal() {
        let run = run();
        let text = head(&run) + &case(&run, 0) + &rest(&run);
        for part in [
            "rk4, plain, n = 1,000,000",
            "step, 10 a submit",
            "30.0",
            "20.0–60.0",
            "fused is 1.50 times as fast (1.40–1.60) at 1 a submit; words say 1.40",
            "ceilings, n = 1,000,000",
            "1e9: no memory",
            "5,000,000 elements compared with f64, the worst 1.0e-7 off",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        let own = case(&run, 0);
        let widest = own.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 80, "{widest}\n{own}");
    }
}
