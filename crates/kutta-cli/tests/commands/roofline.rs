//! `kutta roofline`: what it measures, writes and draws.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{command, path, run, string, text};

fn roofline(options: &[&str]) -> Output {
    run("roofline", options)
}

/// A tiny run of everything, and the folder it is in.
fn tiny(folder: &Path) -> (PathBuf, Value, String) {
    let json = folder.join("run.json");
    let options = [
        "--quick",
        "--sizes=5000",
        "--methods=rk4,dp5",
        "--ingredients=plain,error",
        "--cache=1",
        "--json",
        string(&json),
    ];
    let output = roofline(&options);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let run = serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
    (json, run, text(&output.stdout))
}

fn list<'v>(value: &'v Value, key: &str) -> &'v Vec<Value> {
    value[key].as_array().unwrap_or_else(|| panic!("{key} is a list"))
}

#[test]
fn a_run_has_every_figure_and_can_be_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let (json, run, printed) = tiny(folder.path());
    assert_eq!((&run["schema"], &run["version"]), (&"kutta-roofline".into(), &2.into()));
    for key in ["adapter", "driver", "backend", "library", "os"] {
        assert!(run["machine"][key].as_str().is_some_and(|text| !text.is_empty()), "{key}");
    }
    assert!(run["machine"]["limits"]["max_buffer_size"].as_u64().unwrap() > 0);
    assert_eq!(run["machine"]["cache_bytes"], 1 << 20);
    assert!(run["date"].as_str().unwrap().ends_with('Z'));
    let again = "cargo run --release -p kutta-cli -- roofline --quick --sizes=5000 ";
    assert!(run["command"].as_str().unwrap().starts_with(again), "{}", run["command"]);

    let measured = list(&run, "measurements");
    let of = |kind: &str, cold: bool| {
        measured.iter().filter(|row| row["kind"] == kind && row["cold"] == cold).count()
    };
    for cold in [false, true] {
        assert_eq!(of("ceiling", cold), 3);
        assert!(of("kernel", cold) > 0 && of("kernel", cold) == of("bare", cold));
    }
    assert!(of("step", false) >= 6 && of("step", true) >= 3, "{printed}");
    for row in measured {
        for clock in ["gpu", "wall"] {
            let time = &row[clock];
            if time.is_null() {
                // No timestamps on this device.
                assert!(clock == "gpu" && run["protocol"]["timestamps"] == false);
                continue;
            }
            let part = |key: &str| time[key].as_f64().unwrap();
            assert!(0.0 < part("p10") && part("p10") <= part("median"), "{row}");
            assert!(part("median") <= part("p90") && part("p90") < 10.0, "{row}");
            assert!(time["samples"].as_u64().unwrap() >= 20 || clock == "gpu", "{row}");
        }
        let words = row["words"].as_f64().unwrap();
        assert_eq!(row["bytes"].as_f64().unwrap(), 4.0 * words);
    }
    // Two methods, one of them with an estimate too, fused and not, and fused with
    // gradients in f16; all elements.
    assert_eq!(list(&run, "checks").len(), 9);
    for check in list(&run, "checks") {
        assert!(check["elements"].as_u64().unwrap() >= 5 * 5000, "{check}");
        assert!(check["worst"].as_f64().unwrap() < 1e-5, "{check}");
    }
    let fusion = list(&run, "fusion");
    assert!(fusion.len() >= 3);
    assert!(fusion.iter().all(|row| row["predicted"].as_f64().unwrap() > 1.0));
    for row in list(&run, "recording") {
        assert!(row["dispatches"].as_u64().unwrap() >= 5 && row["ratio"]["median"].is_number());
    }
    for part in ["rk4, plain, n = 5,000", "dp5, error, n = 5,000, cold", "words say 1.40"] {
        assert!(printed.contains(part), "{part}: {printed}");
    }

    // Drawn from the file, with itself as a rival.
    let (svg, mut rival) = (folder.path().join("run.svg"), run.clone());
    rival["source"] = "rival 7".into();
    let rival_path = folder.path().join("rival.json");
    fs::write(&rival_path, rival.to_string()).unwrap();
    let drawn = roofline(&[
        "--from",
        string(&json),
        "--svg",
        string(&svg),
        "--against",
        string(&rival_path),
    ]);
    assert!(drawn.status.success(), "{}", text(&drawn.stderr));
    let picture = fs::read_to_string(&svg).unwrap();
    assert!(picture.contains("rival 7: rk4, plain") && !picture.contains("NaN"));
    assert!(fs::read(svg.with_extension("png")).unwrap().starts_with(b"\x89PNG"));
}

/// It ends with an error that has all of these parts, and no panic.
fn refuses(options: &[&str], parts: &[&str]) {
    let output = roofline(options);
    let printed = text(&output.stderr) + &text(&output.stdout);
    assert!(!output.status.success(), "{options:?}: {printed}");
    assert!(!printed.contains("panicked"), "{options:?}: {printed}");
    for part in parts {
        assert!(printed.contains(part), "{options:?}: {part} is not in {printed}");
    }
}

#[test]
fn what_is_no_run_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.json");
    let file = string(&path);
    for (content, part) in [
        ("", "EOF"),
        ("{\"schema\": \"x\"}", "`schema` must be \"kutta-roofline\"; there is \"x\""),
        ("{\"schema\": \"kutta-roofline\", \"version\": 99}", "this is 99"),
        ("{\"schema\": \"kutta-roofline\", \"version\": 1, \"source\": 3}", "source: invalid type"),
        ("{\"schema\": \"kutta-roofline\", \"version\": 1}", "missing field `source`"),
        ("\u{0}\u{1}", "expected value"),
    ] {
        fs::write(&path, content).unwrap();
        for option in ["--against", "--from"] {
            refuses(&["--quick", option, file][usize::from(option == "--from")..], &[file, part]);
        }
    }
    refuses(&["--from", "nowhere.json"], &["nowhere.json"]);
}

#[test]
fn sizes_beyond_the_device_are_refused_with_numbers() {
    // 16 GiB a vector, beyond any device or what it may take; and little memory.
    let large = ["--quick", "--methods=rk4", "--sizes=4294967295", "--memory=4"];
    refuses(&large, &["n = 4294967295: ", " bytes; ", "nothing was measured"]);
    let memory = ["--quick", "--methods=rk4", "--sizes=1e7", "--memory=0.01"];
    refuses(&memory, &["10737418", "--memory", "nothing was measured"]);
    for bad in ["--sizes=0", "--sizes=1.5", "--samples=3", "--cache=0", "--methods=rk5"] {
        refuses(&["--quick", bad], &[]);
    }
}

#[test]
fn training_steps_are_measured_beside_predictions() {
    let folder = tempfile::tempdir().unwrap();
    let (json, svg) = (folder.path().join("steps.json"), folder.path().join("steps.svg"));
    let output = roofline(&[
        "--training",
        "--quick",
        "--cases=mnist-128-b64",
        "--limit=1",
        "--json",
        string(&json),
        "--svg",
        string(&svg),
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    let run: Value = serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!((&run["schema"], &run["version"]), (&"kutta-roofline".into(), &2.into()));
    let rows = list(&run, "training");
    assert_eq!(rows.len(), 2);
    let time = |i: usize| rows[i]["wall"]["median"].as_f64().unwrap();
    for (row, kind) in rows.iter().zip(["step", "gradient"]) {
        assert_eq!((&row["case"], &row["kind"]), (&"mnist-128-b64".into(), &kind.into()));
        assert_eq!((&row["parameters"], &row["batch"]), (&101_770.into(), &64.into()));
        assert!(row["wall"]["samples"].as_u64().unwrap() >= 3, "{row}");
        let predicted = row["predicted"].as_f64().unwrap();
        assert!((10e-6..100e-6).contains(&predicted), "{row}");
    }
    assert!(time(0) < 10.0 && time(1) < 10.0);
    assert!(rows[0]["dispatches"].as_u64() > rows[1]["dispatches"].as_u64());
    for part in ["784-128-10, batch 64 (mnist-128-b64)", "predicted", "kutta"] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    assert!(fs::read_to_string(&svg).unwrap().contains("784-128-10, batch 64: "));

    // A rival's file beside it, as scripts/rivals/training.py leaves one.
    let mut rival = run.clone();
    rival["source"] = "rivals".into();
    for row in rival["training"].as_array_mut().unwrap() {
        row["name"] = "torch, eager".into();
    }
    let other = folder.path().join("rival.json");
    fs::write(&other, rival.to_string()).unwrap();
    let both = roofline(&["--from", string(&json), "--against", string(&other)]);
    assert!(both.status.success(), "{}", text(&both.stderr));
    let both = text(&both.stdout);
    assert!(both.contains("kutta") && both.contains("torch, eager"), "{both}");
}

#[test]
fn predictions_need_no_device() {
    let output = command("roofline")
        .args(["--training", "--predict"])
        // No driver is there to be opened.
        .env("WGPU_BACKEND", "none")
        .env("VK_DRIVER_FILES", "/nowhere.json")
        .env("VK_ICD_FILENAMES", "/nowhere.json")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    for part in [
        "784-4096-4096-10, batch 4,096 (mnist-4096x2-b4096)",
        "hash grid 16x2, 64-64, batch 262,144",
        "dense_tail",
        "verdict",
        "target",
        "RK4, 10,000 parameters",
    ] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    refuses(&["--training", "--predict", "--cases=mnist"], &["`mnist` is none of mnist-128-b64"]);
    refuses(&["--predict"], &["--training"]);
    refuses(&["--training", "--cases=mnist-128-b64,mnist-128-b64"], &["--cases"]);
}

/// Starts it, waits until its file has `part`, and kills it some milliseconds later. The file
/// must be whole.
fn killed(options: &[&str], json: &Path, part: &str, milliseconds: u64) -> Value {
    let mut child = command("roofline")
        .args(options)
        .arg("--json")
        .arg(json)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let there = || fs::read_to_string(json).is_ok_and(|text| text.contains(part));
    while !there() && start.elapsed() < Duration::from_secs(120) {
        thread::sleep(Duration::from_millis(2));
    }
    thread::sleep(Duration::from_millis(milliseconds));
    assert!(child.try_wait().unwrap().is_none(), "it had ended");
    child.kill().unwrap();
    child.wait().unwrap();
    let drawn = roofline(&["--from", string(json)]);
    assert!(drawn.status.success(), "{}", text(&drawn.stderr));
    serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap()
}

#[test]
fn a_run_that_is_killed_leaves_what_it_measured() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("run.json");
    // After the first method, long before the last.
    let options = ["--quick", "--sizes=5000", "--methods=rk4,bs3,dp5,tsit5", "--cache=1"];
    let run = killed(&options, &json, "\"rk4\"", 5);
    let measured = list(&run, "measurements");
    assert!(measured.iter().any(|row| row["kind"] == "step" && row["case"]["method"] == "rk4"));
    assert!(!measured.iter().any(|row| row["case"]["method"] == "tsit5"));
    let cases = "--cases=mnist-128-b64,mnist-128-b1024,grid-32-b8192,mnist-1024x2-b1024";
    fs::remove_file(&json).unwrap();
    let run = killed(&["--training", "--quick", "--limit=1", cases], &json, "mnist-128-b64", 30);
    let rows = list(&run, "training");
    assert!(rows.len() >= 2 && rows.len().is_multiple_of(2) && rows.len() < 8, "{rows:?}");
}

/// The cases of scripts/rivals/training.py are kutta's, and a file that it writes is read.
#[test]
fn rivals_have_the_same_cases() {
    let python = |script: &str| {
        Command::new("python3")
            .arg(path(script))
            .current_dir(path(""))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg("--list")
            .output()
    };
    let Ok(listed) = python("scripts/rivals/training.py") else {
        eprintln!("left out: there is no python3");
        return;
    };
    assert!(listed.status.success(), "{}", text(&listed.stderr));
    let listed = text(&listed.stdout);
    let predicted = text(&roofline(&["--training", "--predict"]).stdout);
    let cases: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(_, rest)| rest.contains("parameters"))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(cases.len(), 7);
    for case in cases {
        assert!(predicted.contains(&format!("({case})")), "{case}: {predicted}");
    }
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("rivals.json");
    let tested = Command::new("python3")
        .arg(path("scripts/rivals/test_training.py"))
        .arg(&json)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert!(tested.status.success(), "{}", text(&tested.stderr));
    let shown = roofline(&["--from", string(&json)]);
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    let shown = text(&shown.stdout);
    for part in ["784-128-10, batch 64", "sleeper", "nobody"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}
