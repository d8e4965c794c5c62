//! Training steps as text of less than 100 columns.

use std::collections::BTreeSet;

use super::cases::{CASES, Case};
use crate::roofline::schema::{Run, Timed, Training};
use crate::roofline::statistics::Summary;
use kutta::Plan;
use kutta::models::{PredictedDispatch, Prediction};

const HEAD: &str =
    "                             µs a step    p10–p90  gradient  dispatches  predicted\n";

/// Three digits where there is room.
pub fn digits(x: f64) -> String {
    match x {
        x if x < 10.0 => format!("{x:.2}"),
        x if x < 100.0 => format!("{x:.1}"),
        x if x < 9999.5 => format!("{x:.0}"),
        x => crate::numbers::grouped(x.round()),
    }
}

fn micros(summary: Summary) -> Summary {
    let Summary { median, p10, p90, samples } = summary;
    Summary { median: 1e6 * median, p10: 1e6 * p10, p90: 1e6 * p90, samples }
}

/// What a name of a case stands for; a rival's own cases stand for themselves.
pub fn what(name: &str) -> &str {
    CASES.iter().find(|case| case.name == name).map_or(name, |case| case.what)
}

/// One case in all runs: the first's rows, then those of rivals.
pub fn case(runs: &[&Run], name: &str) -> String {
    let mut text = format!("\n{} ({name})\n{HEAD}", what(name));
    for run in runs {
        let rows = || run.training.iter().filter(|row| row.case == name);
        let mut names: Vec<&str> = Vec::new();
        for row in rows() {
            if names.contains(&row.name.as_str()) {
                continue;
            }
            names.push(&row.name);
            let of = |kind| rows().find(|other| other.name == row.name && other.kind == kind);
            text += &line(&row.name, of(Timed::Step), of(Timed::Gradient));
        }
    }
    text
}

fn line(name: &str, step: Option<&Training>, gradient: Option<&Training>) -> String {
    let time = |row: Option<&Training>| row.and_then(Training::seconds).map(micros);
    let none = || "–".to_owned();
    let (median, range) = time(step).map_or((none(), none()), |summary| {
        let range = format!("{}–{}", digits(summary.p10), digits(summary.p90));
        (digits(summary.median), range)
    });
    let gradient = time(gradient).map_or(none(), |summary| digits(summary.median));
    let count = step.and_then(|row| row.dispatches).map_or(none(), |count| count.to_string());
    let predicted = step.and_then(|row| row.predicted).map_or(none(), |p| digits(1e6 * p));
    format!("  {name:<25}{median:>11}{range:>16}{gradient:>10}{count:>8}{predicted:>11}\n")
}

/// All cases of these runs.
pub fn all(runs: &[&Run]) -> String {
    let known = CASES.iter().map(|case| case.name);
    let found: BTreeSet<&str> =
        runs.iter().flat_map(|run| &run.training).map(|row| row.case.as_str()).collect();
    let others = found.iter().copied().filter(|name| known.clone().all(|case| case != *name));
    let order: Vec<&str> =
        known.clone().filter(|name| found.contains(name)).chain(others).collect();
    order.into_iter().map(|name| case(runs, name)).collect()
}

/// A step of an optimizer alone: what it was and shall be on an H100, in microseconds.
pub struct Own {
    pub what: &'static str,
    pub plan: Plan,
    pub parameters: usize,
    /// `docs/results/roofline-h100.json`
    pub measured: f64,
    pub target: f64,
}

/// Predictions: each dispatch of each case, and then a line a case.
pub fn predictions(cases: &[(&Case, Prediction)], plan: &Plan, own: &[Own]) -> String {
    let mut text = String::from(
        "predicted for a large GPU by a model fitted to an NVIDIA H100 (docs/roofline.md);\n\
         nothing was measured here\n",
    );
    for (case, predicted) in cases {
        text += &format!("\n{} ({})\n", case.what, case.name);
        for PredictedDispatch { kernel, form, microseconds } in predicted.step(plan) {
            let line = format!("  {kernel:<40}{:>9}  {form}", digits(microseconds));
            text += &format!("{}\n", line.trim_end());
        }
    }
    text += "\nµs a step, Euler with Adam            dispatches  gradient  predicted  before  measured  target\n";
    let mut row =
        |what: &str, count: usize, gradient: Option<f64>, step: f64, known: [Option<f64>; 3]| {
            let or = |x: Option<f64>| x.map_or("–".into(), digits);
            let [before, measured, target] = known.map(or);
            let (gradient, step) = (or(gradient), digits(step));
            text += &format!(
                "{what:<40}{count:>8}{gradient:>10}{step:>11}{before:>8}{measured:>10}{target:>8}\n"
            );
        };
    for (case, predicted) in cases {
        let (step, gradient) =
            (predicted.step_microseconds(plan), predicted.gradient_microseconds());
        let known = [case.before, case.measured, case.target];
        row(case.what, predicted.step(plan).len(), Some(gradient), step, known);
    }
    for Own { what, plan, parameters, measured, target } in own {
        let predicted = Prediction::without_gradients(*parameters);
        let known = [None, Some(*measured), Some(*target)];
        row(what, predicted.step(plan).len(), None, predicted.step_microseconds(plan), known);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roofline::schema::tests::training_run;

    #[test]
    fn rivals_stand_below_kutta_and_lines_fit() {
        let own = training_run("kutta", "mnist-128-b64", 2e-4);
        let rival = training_run("torch, eager", "mnist-128-b64", 1.07e-3);
        let other = training_run("torch, eager", "theirs", 1.0);
        let text = all(&[&own, &rival, &other]);
        for part in ["784-128-10, batch 64 (mnist-128-b64)", "kutta", "200", "1070", "1,000,000"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(text.find("kutta") < text.find("torch, eager"), "{text}");
        assert!(text.find("784-128-10") < text.find("theirs (theirs)"), "{text}");
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 90, "{widest}\n{text}");
    }
}
