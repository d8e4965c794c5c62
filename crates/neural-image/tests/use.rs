//! `neural-image` without its window, as people run it: pictures as they come, options found
//! wrong before the work, files where the options say.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Output};

use kutta_cli::notice;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The least that can be fitted.
const SMALL: [&str; 9] =
    ["--headless", "--steps", "2", "--frames", "1", "--most", "16", "--batch", "64"];

fn command(options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_neural-image"));
    command.current_dir(ROOT).args(options);
    command
}

/// Runs with a folder for `--out`.
fn run(out: &tempfile::TempDir, options: &[&str]) -> Output {
    let mut command = command(options);
    command.arg("--out").arg(out.path()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn fitted(out: &tempfile::TempDir, options: &[&str]) -> String {
    let output = run(out, options);
    assert!(output.status.success(), "{options:?}: {}", text(&output.stderr));
    text(&output.stdout).to_owned()
}

/// An error before any work, with this code, that has all of these words.
#[track_caller]
fn refused(output: &Output, code: i32, words: &[&str]) {
    let said = text(&output.stderr);
    let missing: Vec<_> = words.iter().filter(|word| !said.contains(**word)).collect();
    assert!(missing.is_empty(), "{missing:?} are not in {said:?}");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(code), ""), "{said}");
}

fn fault(name: &str) -> String {
    format!("{ROOT}/tests/data/faults/{name}")
}

#[test]
fn a_closed_pipe_ends_nothing_with_a_panic() {
    let out = tempfile::tempdir().unwrap();
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let mut command = command(&[&SMALL[..], &[&fault("black.png")]].concat());
    let output = command.arg("--out").arg(out.path()).stdout(writer).output().unwrap();
    let said = text(&output.stderr);
    assert!(output.status.success() && !said.contains("panicked"), "{said}");
    // The work went on.
    for name in ["psnr.csv", "animation.png"] {
        assert!(out.path().join(name).exists(), "{name}");
    }
}

#[test]
fn files_are_tried_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("file");
    fs::write(&taken, "mine").unwrap();
    for kind in ["--headless", "--compare"] {
        let output = command(&[kind, "--out", taken.to_str().unwrap()]).output().unwrap();
        refused(&output, 1, &["--out", &format!("`{}` is a file", taken.display())]);
    }
    assert_eq!(fs::read_to_string(&taken).unwrap(), "mine");
    // A picture's name that is a folder's.
    let out = tempfile::tempdir().unwrap();
    fs::create_dir(out.path().join("frame-003.png")).unwrap();
    refused(&run(&out, &["--headless"]), 1, &["frame-003.png"]);
}

#[test]
fn options_are_checked_before_the_work() {
    let cases: [(&[&str], &[&str]); 12] = [
        (&["--headless", "--method", "rk5"], &["rk5"]),
        (
            &["--headless", "--encoding", "hash-grid:levels=4,levels=5"],
            &["`levels` is there twice"],
        ),
        (&["--headless", "--adaptive", "rtol=1e-3", "--method", "rk4"], &["rk4"]),
        // What would have no effect.
        (&["--adaptive", "rtol=1e-3"], &["--headless"]),
        (&["--compare", "--method", "rk4"], &["--method"]),
        (&["--headless", "--steps", "0"], &[]),
        (&["--headless", "--frames", "0"], &[]),
        (&["--headless", "--most", "0"], &[]),
        (&["--headless", "--steps", "-3"], &["invalid value '-3'"]),
        (
            &["--compare", "--evaluations", "7"],
            &["--evaluations 7", "RKC2, 8 stages", "8 gradients"],
        ),
        (&["--no-such-option"], &["--no-such-option"]),
        (&["--headless", "--method", "nowhere.json"], &["nowhere.json"]),
    ];
    for (options, words) in cases {
        refused(&command(options).output().unwrap(), 2, words);
    }
}

#[test]
fn a_short_length_works() {
    let out = tempfile::tempdir().unwrap();
    let small = ["--most", "16", "--batch", "64"];
    let headless = ["--headless", "--steps", "3", "--frames", "2"];
    let printed = fitted(&out, &[&headless[..], &small].concat());
    assert!(printed.contains("\nstep     3 "), "{printed}");
    // Three small steps lead nowhere far.
    let last = printed.lines().last().unwrap();
    assert!(last.split(' ').next().unwrap().parse::<f64>().unwrap() > 3.0, "{last}");
    for evaluations in ["8", "40"] {
        let compare = ["--compare", "--evaluations", evaluations];
        let rows = fitted(&out, &[&compare[..], &small].concat());
        // Head, rule, and five optimizers.
        assert_eq!(rows.lines().filter(|line| line.starts_with("| ")).count(), 1 + 5, "{rows}");
    }
}

#[test]
fn pictures_are_fitted_as_people_see_them() {
    let out = tempfile::tempdir().unwrap();
    let whole = |name: &str| {
        let options = ["--headless", "--steps", "1", "--frames", "1", "--batch", "64"];
        fitted(&out, &[&options[..], &["--most", "512", &fault(name)]].concat())
    };
    // It lies down, and its EXIF says that it stands.
    let printed = whole("exif6.jpg");
    let size = size(&out.path().join("frame-000.png"));
    assert!(size[0] < size[1], "{size:?}");
    assert!(printed.contains(&format!(": {} x {}, ", size[0], size[1])), "{printed}");
    // Nothing of it is lost, and no number of decibels says so.
    let printed = whole("black.png");
    assert!(printed.contains("exact") && !printed.contains("inf"), "{printed}");
    let csv = fs::read_to_string(out.path().join("psnr.csv")).unwrap();
    assert!(!csv.contains("inf") && !csv.contains("NaN"), "{csv}");
    let wide = fault("thin.png");
    let words = [&wide[..], "2000 x 10", "512 x 3", "--most 1600"];
    refused(&run(&out, &["--headless", &wide]), 1, &words);
}

/// Width and height of a PNG file.
fn size(path: &Path) -> [u32; 2] {
    let bytes = fs::read(path).unwrap();
    [16, 20].map(|at| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()))
}

#[test]
fn a_method_of_a_file_runs() {
    let out = tempfile::tempdir().unwrap();
    let longer = ["--headless", "--steps", "8", "--frames", "2", "--most", "16", "--batch", "64"];
    let plain = ["--preconditioner", "none", "--momentum", "none", "--step-size", "0.01"];
    let method = ["--method", "examples/butcher5.json"];
    let printed = fitted(&out, &[&longer[..], &plain, &method].concat());
    assert!(printed.contains("\nbutcher5 on "), "{printed}");
    // Six gradients a step.
    let csv = fs::read_to_string(out.path().join("psnr.csv")).unwrap();
    assert!(csv.lines().last().unwrap().starts_with("8,48,"), "{csv}");
}

#[test]
fn adaptive_steps_of_nothing_are_no_training() {
    let out = tempfile::tempdir().unwrap();
    let options = ["--headless", "--steps", "8", "--frames", "1", "--most", "16", "--batch", "64"];
    let adaptive = ["--method", "dp5", "--adaptive", "rtol=1e-2,atol=0"];
    let output = run(&out, &[&options[..], &adaptive].concat());
    let csv = fs::read_to_string(out.path().join("psnr.csv")).unwrap_or_default();
    let h = |line: &str| line.split(',').nth(3).unwrap().parse::<f64>().unwrap();
    assert!(csv.lines().skip(1).all(|line| h(line) > 0.0), "{csv}");
    let said = text(&output.stderr);
    assert!(output.status.success() || said.contains("atol") || said.contains("h"), "{said}");
}

/// The notice waits for no time here, so that a fast machine tells of the wait too.
#[test]
fn whoever_waits_for_kernels_is_told() {
    let out = tempfile::tempdir().unwrap();
    for (patience, told) in [("0", true), ("3600", false)] {
        let mut command = command(&[&SMALL[..], &[&fault("black.png")]].concat());
        command.arg("--out").arg(out.path()).env(notice::PATIENCE, patience);
        let output = command.output().unwrap();
        let said = text(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert_eq!(said.contains("compiling kernels"), told, "{said}");
    }
}
