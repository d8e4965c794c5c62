//! What people run into with the commands other than `train`: pipes that close, paths that
//! cannot be written, options found wrong late, names as they come.

use std::fs;
use std::io::{self, BufRead as _, Read as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

use kutta_cli::notice;

use super::{BUTCHER5, command, path, run, string, text};

/// What was printed, if all went well.
fn fine(name: &str, options: &[&str]) -> String {
    let output = run(name, options);
    assert!(output.status.success(), "{name} {options:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// It ends with this code, and with an error that has all of these words; and it has not
/// begun to work, as far as standard output tells.
#[track_caller]
fn refused(name: &str, options: &[&str], code: i32, words: &[&str]) {
    let output = run(name, options);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{name} {options:?}: {said}");
    assert_eq!(text(&output.stdout), "", "{name} {options:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{name} {options:?}: {word:?} is not in {said:?}");
    }
}

/// A file of the folder of faults.
fn file(name: &str) -> String {
    format!("{}/{name}", super::FAULTS)
}

/// 64 images of 4 × 4, and 12 to test with.
const DATA: &str = "tests/data/faults/idx-good";

const ROSENBROCK: [&str; 4] = ["--problem", "rosenbrock", "--step-size", "0.001"];
/// `compare` with one row on little data.
const COMPARE: [&str; 8] =
    ["--data", DATA, "--batch", "8", "--evaluations", "8", "--only", "momentum"];

/// The cells of a line of a CSV, by RFC 4180.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut quoted) = (vec![String::new()], false);
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' if quoted && rest.peek() == Some(&'"') => {
                cells.last_mut().unwrap().extend(rest.next())
            }
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            c => cells.last_mut().unwrap().push(c),
        }
    }
    cells
}

#[test]
fn a_closed_pipe_ends_nothing_with_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let out = string(folder.path());
    let flow = [&ROSENBROCK[..], &["--steps", "5"]].concat();
    let compare = [&COMPARE[..], &["--out", out]].concat();
    let race = ["--quick", "--only", "quadratic", "--method", "heun", "--out", out];
    let commands: [(&str, &[&str]); 6] = [
        ("methods", &[]),
        ("adapters", &[]),
        ("flow", &flow),
        ("compare", &compare),
        ("race", &race),
        ("roofline", &["--help"]),
    ];
    for (name, options) in commands {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let output = command(name).args(options).stdout(writer).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{name}: {said}");
        assert!(!said.contains("panicked"), "{name}: {said}");
    }
    // The work went on.
    for name in ["compare-8.csv", "race-quadratic.csv"] {
        assert!(folder.path().join(name).exists(), "{name}");
    }
}

#[test]
fn files_are_tried_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("file");
    fs::write(&taken, "mine").unwrap();
    let missing = folder.path().join("no/such.csv");
    let (taken_name, missing_name) = (string(&taken), string(&missing));
    let no = format!("there is no folder `{}`", string(&folder.path().join("no")));

    let flow = [&ROSENBROCK[..], &["--steps", "5", "--csv", missing_name]].concat();
    refused("flow", &flow, 1, &["--csv", &no]);
    let flow = [&ROSENBROCK[..], &["--steps", "5", "--reference", "--csv", missing_name]].concat();
    refused("flow", &flow, 1, &["--csv", &no]);
    refused("roofline", &["--quick", "--json", missing_name], 1, &["--json", &no]);
    refused("roofline", &["--quick", "--svg", missing_name], 1, &["--svg", &no]);
    let is_a_file = format!("`{taken_name}` is a file");
    let compare = [&COMPARE[..], &["--out", taken_name]].concat();
    refused("compare", &compare, 1, &["--out", &is_a_file]);
    refused("methods", &["--out", taken_name], 1, &["--out", &is_a_file]);
    refused("race", &["--quick", "--only", "quadratic", "--out", taken_name], 1, &[&is_a_file]);
    assert_eq!(fs::read_to_string(&taken).unwrap(), "mine");
    // A picture's name that is a folder's.
    for (name, options, blocked) in [
        ("compare", &COMPARE[..], "compare-8.png"),
        ("race", &["--quick", "--only", "quadratic"], "race-quadratic-curves.csv"),
        ("methods", &[], "methods-precision.svg"),
    ] {
        let out = tempfile::tempdir().unwrap();
        fs::create_dir(out.path().join(blocked)).unwrap();
        refused(name, &[options, &["--out", string(out.path())]].concat(), 1, &[blocked]);
    }
}

/// A folder takes the place of a picture while the training is on: the table and the other
/// files are there, and the code tells.
#[test]
fn one_failure_leaves_the_rest() {
    let out = tempfile::tempdir().unwrap();
    let options = [&COMPARE[..], &["--out", string(out.path())]].concat();
    let mut child = command("compare");
    child.args(options).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut printed = String::new();
    let mut stdout = io::BufReader::new(child.stdout.take().unwrap());
    // The paths have been tried.
    stdout.read_line(&mut printed).unwrap();
    fs::create_dir(out.path().join("compare-8.svg")).unwrap();
    stdout.read_to_string(&mut printed).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("compare-8.svg"), "{said}");
    assert!(printed.contains("\nmomentum "), "{printed}");
    let wrote = printed.lines().last().unwrap();
    assert!(wrote.contains("compare-8.csv") && wrote.contains("compare-8.png"), "{printed}");
    assert!(!wrote.contains("svg"), "{printed}");
    assert!(out.path().join("compare-8.csv").exists());
}

#[test]
fn options_are_checked_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let out = ["--out", string(folder.path())];
    let compare = |more: &[&str], words: &[&str]| {
        let options = [&["--data", DATA, "--evaluations", "8"][..], &out, more].concat();
        refused("compare", &options, 2, words);
    };
    compare(&["--batch", "8", "--only", "nobody"], &["nobody", "AdamW", "adaptive DP5"]);
    compare(&["--batch", "8,1000"], &["1000", "64"]);
    compare(&["--batch", "8", "--scale", "-1"], &["--scale", "-1"]);
    compare(&["--batch", "8", "--scale", "NaN"], &["--scale", "NaN"]);
    compare(&["--batch", "8,8"], &["compare-8"]);
    compare(&["--batch", "8", "--method", "rk5"], &["rk5", "ssprk33"]);
    // The second course's data, before the first is run.
    refused("race", &[&["--quick", "--data", "nowhere"][..], &out].concat(), 1, &["nowhere"]);
    refused("race", &[&["--quick", "--method", "rk5"][..], &out].concat(), 2, &["rk5"]);
    refused("roofline", &["--quick", "--methods", "rk4,rk5"], 2, &["rk5"]);
    refused("roofline", &["--quick", "--methods", "rk4,rk4"], 2, &["--methods", "already"]);
    refused("methods", &["--method", "rk5"], 2, &["rk5"]);
}

#[test]
fn a_length_of_zero_is_refused() {
    for (name, options) in [
        ("race", &["--parameters", "0"][..]),
        ("race", &["--parameters", "1"]),
        ("compare", &["--data", DATA, "--evaluations", "0"]),
        ("compare", &["--data", DATA, "--batch", "0"]),
    ] {
        refused(name, options, 2, &[]);
    }
}

#[test]
fn numbers_may_be_negative_and_usage_errors_are_two_everywhere() {
    let steps = [&ROSENBROCK[..], &["--steps", "-1"]].concat();
    refused("flow", &steps, 2, &["invalid value '-1' for '--steps"]);
    refused("race", &["--parameters", "-1"], 2, &["invalid value '-1'"]);
    refused("train", &["--epochs", "-3"], 2, &["invalid value '-3'"]);
    for name in ["flow", "compare", "race", "roofline", "methods", "adapters", "train"] {
        refused(name, &["--no-such-option"], 2, &["--no-such-option"]);
    }
}

/// No character but a line's end controls a terminal.
fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c == '\n' || !c.is_control())
}

#[test]
fn names_of_files_are_shown_on_one_line() {
    let out = tempfile::tempdir().unwrap();
    let folder = string(out.path());
    let control = file("ctrlname.json");
    let printed = fine("methods", &["--method", &control, "--out", folder]);
    assert!(is_plain(&printed) && printed.contains(r"a\n\u{1b}[31mred"), "{printed}");
    for name in ["stability", "precision"] {
        let svg = fs::read_to_string(out.path().join(format!("methods-{name}.svg"))).unwrap();
        assert!(is_plain(&svg), "{name}");
    }
    let flow = [&ROSENBROCK[..], &["--steps", "2", "--method", &control]].concat();
    let output = run("flow", &flow);
    assert!(output.status.success() && is_plain(&text(&output.stderr)), "{output:?}");
    let printed =
        fine("compare", &[&COMPARE[..], &["--method", &control, "--out", folder]].concat());
    assert!(is_plain(&printed), "{printed}");
}

#[test]
fn names_of_files_are_cells_of_a_csv() {
    let out = tempfile::tempdir().unwrap();
    let method = file("sspname.json");
    fine("compare", &[&COMPARE[..], &["--method", &method, "--out", string(out.path())]].concat());
    let csv = fs::read_to_string(out.path().join("compare-8.csv")).unwrap();
    let rows: Vec<Vec<String>> = csv.lines().map(cells).collect();
    assert!(rows.iter().all(|row| row.len() == 6), "{csv}");
    assert!(rows.iter().any(|row| row[0].starts_with("SSPRK(2,2)")), "{csv}");
    let race = ["--quick", "--only", "quadratic", "--method", &method];
    fine("race", &[&race[..], &["--out", string(out.path())]].concat());
    for (name, columns) in [("race-quadratic.csv", 5), ("race-quadratic-curves.csv", 4)] {
        let csv = fs::read_to_string(out.path().join(name)).unwrap();
        assert!(csv.lines().all(|line| cells(line).len() == columns), "{name}: {csv}");
        assert!(csv.contains("SSPRK(2,2)"), "{name}: {csv}");
    }
}

#[test]
fn a_file_with_the_name_of_a_built_in_method_is_told_from_it() {
    let out = tempfile::tempdir().unwrap();
    let method = file("rk4named.json");
    let label = "rk4 (rk4named.json)";
    let printed = fine("methods", &["--method", &method]);
    let rows = |start: &str| printed.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!((rows("rk4  "), rows(label)), (1, 1), "{printed}");
    // Two files of one name, too.
    let copy = out.path().join("other.json");
    fs::write(&copy, fs::read_to_string(path(BUTCHER5)).unwrap()).unwrap();
    let both = ["--method", BUTCHER5, "--method", string(&copy)];
    let printed = fine("methods", &both);
    let second = format!("butcher5 ({})", string(&copy));
    assert!(printed.contains("\nbutcher5  ") && printed.contains(&second), "{printed}");

    let out = ["--out", string(out.path())];
    let printed = fine("compare", &[&COMPARE[..], &["--method", &method], &out].concat());
    assert!(printed.contains(label), "{printed}");
    let train = ["--data", DATA, "--batch", "8", "--epochs", "1", "--hidden", "4"];
    let both = format!("rk4,{method}");
    let printed = fine("train", &[&train[..], &["--compare", &both], &out].concat());
    let rows = |start: &str| printed.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!((rows("rk4  "), rows(label)), (1, 1), "{printed}");
}

#[test]
fn a_backend_that_is_none_is_named() {
    let flow = [&ROSENBROCK[..], &["--steps", "2"]].concat();
    for (name, options, code) in [("flow", &flow[..], 1), ("adapters", &[], 2)] {
        let output = command(name).args(options).env("WGPU_BACKEND", "vulcan").output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains("WGPU_BACKEND") && said.contains("`vulcan`"), "{said}");
        assert!(!said.contains("Backends(") && !said.contains("nstall"), "{said}");
    }
}

/// Whoever looks finds whole rows of what has been done.
#[test]
fn flow_leaves_its_rows_when_it_is_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flow.csv");
    for extra in [&[][..], &["--reference"]] {
        let _ = fs::remove_file(&path);
        let options = ["--problem", "rosenbrock", "--step-size", "1e-7", "--t-end", "1000"];
        let mut child = command("flow")
            .args(options)
            .args(["--csv", string(&path)])
            .args(extra)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        let rows = || fs::read_to_string(&path).unwrap_or_default();
        while rows().lines().count() < 5 && begun.elapsed() < Duration::from_secs(120) {
            std::thread::sleep(Duration::from_millis(20));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let text = rows();
        assert!(text.starts_with("step,h,accepted,loss,grad_norm,error,theta_0,theta_1\n0,"));
        let rows: Vec<&str> = text.lines().collect();
        assert!(rows.len() >= 5 && rows.iter().all(|row| row.split(',').count() == 8), "{text}");
    }
}

/// The notice waits for no time here, so that a fast machine tells of the wait too.
#[test]
fn whoever_waits_for_kernels_is_told() {
    let options = ["--problem", "rosenbrock", "--step-size", "0.001", "--steps", "1"];
    for (patience, told) in [("0", true), ("3600", false)] {
        let output =
            command("flow").args(options).env(notice::PATIENCE, patience).output().unwrap();
        let said = text(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert_eq!(said.contains("compiling kernels"), told, "{said}");
    }
}
