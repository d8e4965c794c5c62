//! The tables.

use super::file::Knobs;
use super::lines::Line;
use super::statistics::{Difference, holm};
use crate::numbers::{grouped, per_cent, short};
use kutta_cli::names::cell;

/// What one setting came to.
pub struct Results {
    pub setting: String,
    pub batch: usize,
    /// All but the batch, by which settings are drawn together.
    pub family: String,
    pub rows: Vec<Row>,
}

/// One optimizer.
pub struct Row {
    pub name: String,
    pub trials: Vec<Line>,
    pub finals: Vec<Line>,
    pub chosen: Knobs,
    pub on_edge: Vec<String>,
}

/// One optimizer minus another.
pub struct Pair {
    pub name: String,
    pub minus: String,
    pub difference: Difference,
    /// Holm's, over all pairs of the setting.
    pub p: f64,
    pub p_unequal: f64,
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0), |(sum, n), value| (sum + value, n + 1));
    sum / f64::from(n)
}

pub fn knobs(knobs: &Knobs) -> String {
    let each: Vec<_> = knobs.iter().map(|(knob, value)| format!("{knob} = {value}")).collect();
    each.join(", ")
}

impl Row {
    pub fn accuracies(&self) -> Vec<f64> {
        self.finals.iter().filter_map(|run| run.test_accuracy).collect()
    }

    /// How many seeds stand behind the accuracy, and how many runs led nowhere.
    fn seeds(&self) -> String {
        let (all, good) = (self.finals.len(), self.accuracies().len());
        if good == all { all.to_string() } else { format!("{good}, and {} failed", all - good) }
    }

    fn mean(&self, of: impl Fn(&Line) -> f64) -> f64 {
        mean(self.finals.iter().map(of))
    }

    /// The mean, and the standard deviation in points.
    fn accuracy(&self) -> String {
        let all = self.accuracies();
        let mean = mean(all.iter().copied());
        let squares: f64 = all.iter().map(|a| (a - mean).powi(2)).sum();
        match all.len() {
            0 => "none".into(),
            1 => per_cent(mean),
            n => {
                let spread = (squares / (n as f64 - 1.0)).sqrt();
                format!("{} ± {:.2}", per_cent(mean), 100.0 * spread)
            }
        }
    }

    /// Decades between the smallest and the largest h, around the best, whose trials are
    /// all within a quarter of a point of it.
    pub fn decades(&self) -> Option<f64> {
        let mut trials: Vec<(f64, f64)> = self
            .trials
            .iter()
            .filter_map(|run| Some((*run.knobs.get("h")?, run.loss.map_or(0.0, |_| run.accuracy))))
            .collect();
        trials.sort_by(|a, b| a.0.total_cmp(&b.0));
        let best = trials.iter().map(|one| one.1).fold(f64::NAN, f64::max);
        let at = trials.iter().position(|one| one.1 == best)?;
        let near = |one: &&(f64, f64)| one.1 >= best - 0.0025;
        let low = trials[..=at].iter().rev().take_while(near).last()?.0;
        let high = trials[at..].iter().take_while(near).last()?.0;
        Some((high / low).log10())
    }
}

impl Results {
    /// Every optimizer minus those that are to be compared with.
    pub fn pairs(&self, against: &[&str]) -> Vec<Pair> {
        let mut pairs: Vec<Pair> = Vec::new();
        for other in against.iter().filter_map(|name| self.rows.iter().find(|r| r.name == *name)) {
            for row in self.rows.iter().filter(|row| row.name != other.name) {
                let known = pairs.iter().any(|p| p.name == other.name && p.minus == row.name);
                let differences: Vec<f64> = row
                    .finals
                    .iter()
                    .filter_map(|run| {
                        let twin = other.finals.iter().find(|twin| twin.seed == run.seed)?;
                        Some(run.test_accuracy? - twin.test_accuracy?)
                    })
                    .collect();
                if let Some(difference) = Difference::of(&differences).filter(|_| !known) {
                    let (name, minus) = (row.name.clone(), other.name.clone());
                    let Difference { p, p_unequal, .. } = difference;
                    pairs.push(Pair { name, minus, difference, p, p_unequal });
                }
            }
        }
        let p = holm(&pairs.iter().map(|pair| pair.p).collect::<Vec<_>>());
        let unequal = holm(&pairs.iter().map(|pair| pair.p_unequal).collect::<Vec<_>>());
        for (i, pair) in pairs.iter_mut().enumerate() {
            (pair.p, pair.p_unequal) = (p[i], unequal[i]);
        }
        pairs
    }
}

impl Pair {
    fn verdict(&self) -> &'static str {
        match (self.p < 0.05, self.p_unequal < 0.05) {
            (true, true) => "differs, by less than 0.15 points",
            (true, false) if self.difference.mean > 0.0 => "better",
            (true, false) => "worse",
            (false, true) => "equal",
            (false, false) => "open",
        }
    }
}

fn points(fraction: f64) -> String {
    format!("{:+.2}", 100.0 * fraction)
}

/// The tables as Markdown. No time is in them, so that they are the same on every machine
/// that computes the same runs.
pub fn markdown(all: &[Results], against: &[&str]) -> String {
    let mut text = String::from("# Study\n");
    for results in all {
        text += &format!(
            "\n## {}\n\n| optimizer | chosen | test accuracy | seeds | steps | gradients | samples \
             | decades of h |\n|---|---|---:|---:|---:|---:|---:|---:|\n",
            results.setting
        );
        for row in &results.rows {
            let edge = match row.on_edge.as_slice() {
                [] => String::new(),
                edges => format!(" (on the edge: {})", edges.join(", ")),
            };
            text += &format!(
                "| {} | {}{edge} | {} | {} | {} | {} | {} | {} |\n",
                row.name,
                knobs(&row.chosen),
                row.accuracy(),
                row.seeds(),
                grouped(row.mean(|run| run.steps as f64)),
                grouped(row.mean(|run| run.gradients as f64)),
                grouped(row.mean(|run| run.samples)),
                row.decades().map_or("-".into(), |decades| format!("{decades:.2}")),
            );
        }
        let pairs = results.pairs(against);
        if !pairs.is_empty() {
            text += "\n| difference | points, 95 % interval | p (Holm) | p of unequal (Holm) | |\n\
                     |---|---:|---:|---:|---|\n";
        }
        for pair in pairs {
            let Difference { mean, reach, .. } = pair.difference;
            text += &format!(
                "| {} − {} | {} [{}, {}] | {} | {} | {} |\n",
                pair.name,
                pair.minus,
                points(mean),
                points(mean - reach),
                points(mean + reach),
                short(pair.p),
                short(pair.p_unequal),
                pair.verdict()
            );
        }
    }
    text
}

/// The table of one setting for a terminal: accuracies, what they took on average, and the time.
pub fn terminal(results: &Results) -> String {
    let wide = results.rows.iter().map(|row| row.name.chars().count()).fold(10, usize::max);
    let mut text = format!(
        "{}\n{:wide$} {:>16} {:>10} {:>10} {:>12} {:>9}  chosen\n",
        results.setting, "", "test accuracy", "steps", "gradients", "samples", "seconds"
    );
    for row in &results.rows {
        text += &format!(
            "{:wide$} {:>16} {:>10} {:>10} {:>12} {:>9.1}  {}{}\n",
            row.name,
            row.accuracy(),
            grouped(row.mean(|run| run.steps as f64)),
            grouped(row.mean(|run| run.gradients as f64)),
            grouped(row.mean(|run| run.samples)),
            row.mean(|run| run.seconds),
            knobs(&row.chosen),
            match (row.on_edge.is_empty(), row.accuracies().len() == row.finals.len()) {
                (true, true) => String::new(),
                (false, true) => " (on the edge)".into(),
                (_, false) => format!(" ({} seeds)", row.seeds()),
            },
        );
    }
    text
}

/// Every run, with its time.
pub fn runs_csv(all: &[Results]) -> String {
    let mut text = String::from(
        "setting,optimizer,part,seed,knobs,held_out_accuracy,held_out_loss,test_accuracy,steps,\
         gradients,samples,seconds,microseconds_per_step,microseconds_per_gradient,\
         microseconds_per_sample,failure\n",
    );
    let some = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    for results in all {
        for row in &results.rows {
            let parts = [("trial", &row.trials), ("final", &row.finals)];
            for (part, run) in parts.iter().flat_map(|(p, runs)| runs.iter().map(move |r| (p, r))) {
                let each = |count: f64| 1e6 * run.seconds / count.max(1.0);
                text += &format!(
                    "{},{},{part},{},{},{},{},{},{},{},{},{:.3},{:.3},{:.3},{:.3},{}\n",
                    cell(&results.setting),
                    cell(&row.name),
                    run.seed,
                    cell(&knobs(&run.knobs)),
                    run.accuracy,
                    some(run.loss),
                    some(run.test_accuracy),
                    run.steps,
                    run.gradients,
                    run.samples,
                    run.seconds,
                    each(run.steps as f64),
                    each(run.gradients as f64),
                    each(run.samples),
                    cell(run.failure.as_deref().unwrap_or_default()),
                );
            }
        }
    }
    text
}

pub fn pairs_csv(all: &[Results], against: &[&str]) -> String {
    let mut text =
        String::from("setting,optimizer,minus,mean,low,high,p_holm,p_unequal_holm,verdict\n");
    for results in all {
        for pair in results.pairs(against) {
            let Difference { mean, reach, .. } = pair.difference;
            text += &format!(
                "{},{},{},{mean},{},{},{},{},{}\n",
                cell(&results.setting),
                cell(&pair.name),
                cell(&pair.minus),
                mean - reach,
                mean + reach,
                pair.p,
                pair.p_unequal,
                cell(pair.verdict())
            );
        }
    }
    text
}
