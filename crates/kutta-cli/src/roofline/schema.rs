//! The file that a run leaves: documented in docs/roofline.md, written by this
//! program and by scripts/rivals, read by `--against` and `--from`.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::machine::Machine;
use super::statistics::Summary;

pub const SCHEMA: &str = "kutta-roofline";
/// Grows when a field changes its meaning or goes, or when files have one that older programs
/// refuse. Version 1 had no `training`.
pub const VERSION: u32 = 2;
const OLDEST: u32 = 1;

/// One run on one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    pub schema: String,
    pub version: u32,
    /// What was measured: kutta and its version, or a rival's.
    pub source: String,
    pub date: String,
    pub command: String,
    pub machine: Machine,
    pub protocol: Protocol,
    pub measurements: Vec<Measurement>,
    #[serde(default)]
    pub fusion: Vec<Fusion>,
    #[serde(default)]
    pub recording: Vec<Recording>,
    #[serde(default)]
    pub checks: Vec<Check>,
    #[serde(default)]
    pub training: Vec<Training>,
    #[serde(default)]
    pub skipped: Vec<Skipped>,
}

/// How it was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    pub samples: u32,
    /// The device has timestamps.
    pub timestamps: bool,
    /// Zero, negative or absurd ones, left out.
    pub discarded_timestamps: u64,
}

/// Times of one thing at one size. Seconds are for one kernel or one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    pub kind: Kind,
    /// `copy`, `combine y₂`, `step`; a rival's own name.
    pub name: String,
    /// None for ceilings.
    pub case: Option<Case>,
    pub storage: String,
    pub n: u64,
    /// Buffers are in no cache.
    pub cold: bool,
    /// Kernels or steps in one submit.
    pub per_submit: u32,
    /// Moved per parameter.
    pub words: f64,
    pub bytes: f64,
    /// By timestamps.
    pub gpu: Option<Summary>,
    /// On the wall, recording included.
    pub wall: Option<Summary>,
    /// Speed as a part of that of the bare kernel taken with it in turns.
    #[serde(default)]
    pub of_bare: Option<Summary>,
    /// The same of a copy.
    #[serde(default)]
    pub of_copy: Option<Summary>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Ceiling,
    Kernel,
    /// The bare kernel beside the one of its name.
    Bare,
    Step,
}

/// A method with its ingredients.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub method: String,
    /// `plain`, `error` or `full`; a rival may have other words.
    pub ingredients: String,
    /// `full` or `none`.
    pub fusion: String,
}

/// Time unfused over time fused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fusion {
    pub method: String,
    pub ingredients: String,
    pub storage: String,
    pub n: u64,
    pub per_submit: u32,
    /// By words.
    pub predicted: f64,
    pub measured: Summary,
}

/// What the host spends on recording one attempt, in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    pub method: String,
    pub ingredients: String,
    pub dispatches: u32,
    pub recorded: Summary,
    pub by_hand: Summary,
    pub ratio: Summary,
}

/// Every element was compared with f64.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    pub case: Case,
    pub storage: String,
    pub n: u64,
    pub elements: u64,
    pub worst: f64,
}

/// Times of training steps, or of gradients alone, of one network with one batch. Seconds are
/// for one of them, its batch drawn on the device included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// `mnist-128-b64`, …: docs/roofline.md says which network that is.
    pub case: String,
    pub kind: Timed,
    /// `kutta`; a rival's own name.
    pub name: String,
    pub parameters: u64,
    /// Samples of a batch.
    pub batch: u64,
    /// Steps or gradients in one submit.
    pub per_submit: u32,
    /// Of one step or gradient, where that is known.
    #[serde(default)]
    pub dispatches: Option<u32>,
    /// What was chosen for each product, where that is known.
    #[serde(default)]
    pub form: Vec<String>,
    /// By timestamps.
    pub gpu: Option<Summary>,
    /// On the wall, recording included.
    pub wall: Option<Summary>,
    /// Seconds that are predicted on a large GPU, whatever this was measured on.
    #[serde(default)]
    pub predicted: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Timed {
    /// Gradient and optimizer: Euler with Adam.
    Step,
    /// Forward and backward alone.
    Gradient,
}

impl Training {
    /// By timestamps where there are any.
    pub fn seconds(&self) -> Option<Summary> {
        self.gpu.or(self.wall)
    }

    /// # Errors
    /// The first number that cannot be.
    fn check(&self, i: usize) -> Result<(), String> {
        let at = |field: &str| format!("training[{i}].{field}");
        for (field, value) in [
            ("parameters", self.parameters),
            ("batch", self.batch),
            ("per_submit", self.per_submit.into()),
        ] {
            if value == 0 {
                return Err(format!("{} is 0; it must be 1 or more", at(field)));
            }
        }
        if self.seconds().is_none() {
            return Err(format!("training[{i}] has neither `gpu` nor `wall`"));
        }
        for (field, summary) in [("gpu", &self.gpu), ("wall", &self.wall)] {
            summary.iter().try_for_each(|summary| ordered(summary, || at(field)))?;
        }
        self.predicted.iter().try_for_each(|&value| positive(value, || at("predicted")))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skipped {
    pub what: String,
    pub reason: String,
}

impl Measurement {
    /// By timestamps where there are any.
    pub fn seconds(&self) -> Option<Summary> {
        self.gpu.or(self.wall)
    }

    /// Useful GB/s.
    pub fn speed(&self) -> Option<Summary> {
        Some(self.seconds()?.inverted(self.bytes * self.n as f64 * 1e-9))
    }
}

impl Case {
    pub fn is_fused(&self) -> bool {
        self.fusion == "full"
    }
}

impl Run {
    /// # Errors
    /// A file that cannot be read, is no JSON, or no run of this version; with the
    /// file's name and what is wrong where.
    pub fn load(path: &Path) -> Result<Self, String> {
        let named = |e: String| format!("{}: {e}", path.display());
        let text = fs::read_to_string(path).map_err(|e| named(e.to_string()))?;
        Self::parse(&text).map_err(named)
    }

    fn parse(text: &str) -> Result<Self, String> {
        // Other JSON is told from a run before anything else is asked of it.
        let value: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let found = |key: &str| value.get(key).map_or("none".into(), Value::to_string);
        if value.get("schema").and_then(Value::as_str) != Some(SCHEMA) {
            let found = found("schema");
            return Err(format!("not a run: its `schema` must be \"{SCHEMA}\"; there is {found}"));
        }
        let versions = u64::from(OLDEST)..=u64::from(VERSION);
        if !value.get("version").and_then(Value::as_u64).is_some_and(|v| versions.contains(&v)) {
            let found = found("version");
            return Err(format!(
                "`version` {OLDEST} to {VERSION} of `{SCHEMA}` is read here; this is {found}"
            ));
        }
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let run: Self = serde_path_to_error::deserialize(&mut deserializer)
            .map_err(|e| format!("{}: {}", e.path(), e.inner()))?;
        run.check()?;
        Ok(run)
    }

    /// # Errors
    /// The first number that cannot be.
    pub fn check(&self) -> Result<(), String> {
        for (i, measured) in self.measurements.iter().enumerate() {
            let at = |field: &str| format!("measurements[{i}].{field}");
            if measured.n == 0 {
                return Err(format!("{} is 0; there must be elements", at("n")));
            }
            if measured.per_submit == 0 {
                return Err(format!("{} is 0; it must be 1 or more", at("per_submit")));
            }
            for (field, value) in [("words", measured.words), ("bytes", measured.bytes)] {
                positive(value, || at(field))?;
            }
            let Measurement { gpu, wall, of_bare, of_copy, .. } = measured;
            if gpu.is_none() && wall.is_none() {
                return Err(format!("measurements[{i}] has neither `gpu` nor `wall`"));
            }
            let all = [("gpu", gpu), ("wall", wall), ("of_bare", of_bare), ("of_copy", of_copy)];
            for (field, summary) in all {
                if let Some(summary) = summary {
                    ordered(summary, || at(field))?;
                }
            }
        }
        for (i, training) in self.training.iter().enumerate() {
            training.check(i)?;
        }
        for (i, fusion) in self.fusion.iter().enumerate() {
            positive(fusion.predicted, || format!("fusion[{i}].predicted"))?;
            ordered(&fusion.measured, || format!("fusion[{i}].measured"))?;
        }
        for (i, Recording { recorded, by_hand, ratio, .. }) in self.recording.iter().enumerate() {
            for (field, summary) in [("recorded", recorded), ("by_hand", by_hand), ("ratio", ratio)]
            {
                ordered(summary, || format!("recording[{i}].{field}"))?;
            }
        }
        Ok(())
    }

    /// The file's text.
    pub fn text(&self) -> String {
        // Names and finite numbers alone: nothing of it can fail.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

fn positive(value: f64, at: impl Fn() -> String) -> Result<(), String> {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(format!("{} is {value}; it must be positive and finite", at()))
}

fn ordered(summary: &Summary, at: impl Fn() -> String) -> Result<(), String> {
    let Summary { median, p10, p90, samples } = *summary;
    for (part, value) in [("median", median), ("p10", p10), ("p90", p90)] {
        positive(value, || format!("{}.{part}", at()))?;
    }
    if p10 > median || median > p90 || samples == 0 {
        return Err(format!(
            "{}: p10 {p10}, median {median} and p90 {p90} of {samples} samples are not in order",
            at()
        ));
    }
    Ok(())
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::roofline::machine::Limits;

    pub fn run() -> Run {
        let summary = Summary { median: 2e-3, p10: 1e-3, p90: 3e-3, samples: 21 };
        let ratio = Summary { median: 0.9, p10: 0.8, p90: 1.0, samples: 21 };
        let case =
            Case { method: "rk4".into(), ingredients: "plain".into(), fusion: "full".into() };
        let step = Measurement {
            kind: Kind::Step,
            name: "step".into(),
            case: Some(case.clone()),
            storage: "f32".into(),
            n: 1_000_000,
            cold: false,
            per_submit: 10,
            words: 15.0,
            bytes: 60.0,
            gpu: Some(summary),
            wall: Some(summary),
            of_bare: None,
            of_copy: Some(ratio),
        };
        let copy = Measurement {
            kind: Kind::Ceiling,
            name: "copy".into(),
            case: None,
            words: 2.0,
            bytes: 8.0,
            gpu: None,
            of_copy: None,
            ..step.clone()
        };
        Run {
            schema: SCHEMA.into(),
            version: VERSION,
            source: "kutta 0.1.0".into(),
            date: "2026-11-25T00:00:00Z".into(),
            command: "roofline --quick".into(),
            machine: Machine {
                adapter: "llvmpipe".into(),
                driver: "Mesa".into(),
                backend: "Vulkan".into(),
                kind: "software".into(),
                library: "wgpu 30".into(),
                os: "linux x86_64".into(),
                cores: 2,
                cache_bytes: 32 << 20,
                cache_source: "given".into(),
                limits: Limits::default(),
            },
            protocol: Protocol { samples: 21, timestamps: true, discarded_timestamps: 0 },
            measurements: vec![step, copy],
            fusion: vec![Fusion {
                method: "rk4".into(),
                ingredients: "plain".into(),
                storage: "f32".into(),
                n: 1_000_000,
                per_submit: 1,
                predicted: 1.4,
                measured: Summary { median: 1.5, p10: 1.4, p90: 1.6, samples: 21 },
            }],
            recording: vec![Recording {
                method: "rk4".into(),
                ingredients: "plain".into(),
                dispatches: 6,
                recorded: summary,
                by_hand: summary,
                ratio: Summary { median: 1.0, p10: 0.9, p90: 1.1, samples: 21 },
            }],
            checks: vec![Check {
                case,
                storage: "f32".into(),
                n: 1_000_000,
                elements: 5_000_000,
                worst: 1e-7,
            }],
            training: Vec::new(),
            skipped: vec![Skipped { what: "1e9".into(), reason: "no memory".into() }],
        }
    }

    /// A run of one training step that took so many seconds, and a gradient half as many.
    pub fn training_run(name: &str, case: &str, seconds: f64) -> Run {
        let summary = |x: f64| Summary { median: x, p10: 0.9 * x, p90: 1.1 * x, samples: 21 };
        let step = Training {
            case: case.into(),
            kind: Timed::Step,
            name: name.into(),
            parameters: 101_770,
            batch: 64,
            per_submit: 10,
            dispatches: Some(9),
            form: vec!["layer0 forward".into()],
            gpu: Some(summary(seconds)),
            wall: None,
            predicted: Some(5e-5),
        };
        let gradient =
            Training { kind: Timed::Gradient, gpu: Some(summary(seconds / 2.0)), ..step.clone() };
        let training = vec![step, gradient];
        Run { source: name.into(), measurements: Vec::new(), training, ..run() }
    }

    #[test]
    fn a_run_comes_back_as_it_was() {
        for run in [run(), training_run("kutta", "mnist-128-b64", 2e-4)] {
            let text = serde_json::to_string_pretty(&run).unwrap();
            assert_eq!(Run::parse(&text), Ok(run));
        }
    }

    #[test]
    fn files_of_version_1_are_still_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/results");
        for name in ["roofline-h100.json", "rivals-h100.json", "rivals-cpu.json"] {
            let old = Run::load(&folder.join(name)).unwrap();
            assert_eq!(old.version, 1, "{name}");
            assert!(!old.measurements.is_empty() && old.training.is_empty(), "{name}");
        }
    }

    #[test]
    fn training_that_cannot_be_is_refused_by_name() {
        use serde_json::json;
        let whole = serde_json::to_value(training_run("kutta", "a", 1.0)).unwrap();
        for (field, value, expected) in [
            ("batch", json!(0), "training[1].batch is 0"),
            ("parameters", json!(0), "training[1].parameters is 0"),
            ("per_submit", json!(0), "training[1].per_submit is 0"),
            ("gpu", json!(null), "training[1] has neither"),
            ("wall", json!({"median": 1, "p10": 2, "p90": 3, "samples": 1}), "training[1].wall"),
            ("predicted", json!(-1), "training[1].predicted is -1"),
            ("kind", json!("leap"), "training[1].kind: unknown variant"),
            ("more", json!(1), "unknown field `more`"),
        ] {
            let mut run = whole.clone();
            run["training"][1][field] = value;
            let error = Run::parse(&run.to_string()).unwrap_err();
            assert!(error.contains(expected), "{expected} is not in: {error}");
        }
    }

    #[test]
    fn speeds_are_bytes_by_time() {
        let run = run();
        let speed = run.measurements[0].speed().unwrap();
        assert!((speed.median - 30.0).abs() < 1e-9 && (speed.p10 - 20.0).abs() < 1e-9);
        // Without timestamps by the wall.
        assert!((run.measurements[1].speed().unwrap().median - 4.0).abs() < 1e-9);
    }

    /// The run with one value replaced, by its path of keys.
    fn with(path: &[&str], value: serde_json::Value) -> String {
        let mut whole = serde_json::to_value(run()).unwrap();
        let mut at = &mut whole;
        for key in path {
            at = match key.parse::<usize>() {
                Ok(index) => &mut at[index],
                Err(_) => &mut at[*key],
            };
        }
        *at = value;
        whole.to_string()
    }

    #[test]
    fn what_is_no_run_is_refused_by_name() {
        use serde_json::json;
        let cases = [
            ("".into(), "EOF while parsing"),
            ("not json".into(), "expected"),
            ("[1, 2]".into(), "there is none"),
            ("{}".into(), "`schema` must be \"kutta-roofline\"; there is none"),
            ("{\"schema\": \"other\"}".into(), "there is \"other\""),
            (with(&["schema"], json!(7)), "there is 7"),
            (with(&["version"], json!(0)), "this is 0"),
            (with(&["version"], json!(3)), "this is 3"),
            (with(&["version"], json!(null)), "this is null"),
            (with(&["measurements"], json!({})), "measurements: invalid type: map"),
            (with(&["measurements", "0", "n"], json!(-1)), "measurements[0].n: invalid value"),
            (with(&["measurements", "0", "n"], json!(0)), "measurements[0].n is 0"),
            (with(&["measurements", "1", "per_submit"], json!(0)), "[1].per_submit is 0"),
            (with(&["measurements", "0", "words"], json!(0.0)), "[0].words is 0"),
            (with(&["measurements", "0", "kind"], json!("walk")), "[0].kind: unknown variant"),
            (with(&["measurements", "0", "gpu", "p10"], json!(9)), "[0].gpu: p10 9, median 0.002"),
            (with(&["measurements", "0", "gpu", "p90"], json!(-1)), "[0].gpu.p90 is -1"),
            (with(&["measurements", "1", "wall"], json!(null)), "measurements[1] has neither"),
            (with(&["measurements", "0", "more"], json!(1)), "unknown field `more`"),
            (with(&["fusion", "0", "predicted"], json!(0)), "fusion[0].predicted is 0"),
            (with(&["recording", "0", "ratio", "samples"], json!(0)), "recording[0].ratio"),
            (with(&["machine"], json!({"adapter": "x"})), "machine: missing field `driver`"),
        ];
        for (text, expected) in cases {
            let error = Run::parse(&text).unwrap_err();
            assert!(error.contains(expected), "{expected} is not in: {error}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Run::load(Path::new("nowhere/run.json")).unwrap_err();
        assert!(error.starts_with("nowhere/run.json: "), "{error}");
    }
}
