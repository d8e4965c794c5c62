//! `train` as people run it: what is asked for is checked first, what is counted is what
//! was done, nothing is lost at the end, and a training goes on as it was.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use kutta::checkpoint::Checkpoint;
use kutta::data::Idx;
use serde_json::Value;

use super::{BUTCHER5, idx, path, string, text};

fn command() -> std::process::Command {
    super::command("train")
}

fn run(options: &[&str]) -> Output {
    super::run("train", options)
}

fn fine(output: &Output) {
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// Samples of the training set; twelve batches of [`BATCH`], the last of them short.
const SAMPLES: u64 = 46;
const BATCH: &str = "4";
const BATCHES: u64 = 12;

fn data(seed: u32) -> tempfile::TempDir {
    idx(SAMPLES as u8, seed)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A folder for data and all outputs.
struct Place {
    data: tempfile::TempDir,
    out: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { data: data(0), out: tempfile::tempdir().unwrap() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.out.path().join(name)
    }

    fn options<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let usual = ["--data", string(self.data.path()), "--batch", BATCH, "--hidden", "6"];
        let out = ["--out", string(self.out.path())];
        let plain = |name| !more.contains(&name);
        let usual = usual.chunks(2).chain([&out[..]]).filter(|pair| plain(pair[0]));
        usual.flatten().chain(more).copied().collect()
    }

    fn run(&self, more: &[&str]) -> Output {
        run(&self.options(more))
    }

    /// What `--json` tells of the only run.
    fn told(&self, more: &[&str]) -> Value {
        let json = self.at("run.json");
        fine(&self.run(&[&["--json", string(&json)], more].concat()));
        let all: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
        all["runs"][0].clone()
    }
}

fn count(run: &Value, key: &str) -> u64 {
    run[key].as_f64().unwrap() as u64
}

fn steps(run: &Value) -> u64 {
    run["steps"].as_array().unwrap().len() as u64
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_read() {
    let place = Place::new();
    for (more, words) in [
        (&["--compare", "dp5,rk4", "--adaptive", "rtol=1e-3"][..], &["rk4", "embedded"][..]),
        (&["--compare", "rk4,euler,rk4"], &["twice"]),
        (&["--method", "rk5"], &["rk5", "ssprk33"]),
        (&["--step-size", "0,5"], &["0,5"]),
        (&["--step-size=-1"], &["-1"]),
        (
            &["--adaptive", "rtol=1e-3", "--method", "dp5", "--step-size", "polyak"],
            &["error estimate"],
        ),
        (&["--clip=-2"], &["-2"]),
        (&["--batch", "0"], &["--batch", "at least 1"]),
        (&["--hidden", "4,0"], &["--hidden", "at least 1"]),
        (&["--epochs", "0"], &["--epochs"]),
        (&["--nonsense"], &["--nonsense"]),
        (&["--json", string(&place.at("train.svg"))], &["--out and --json", "train.svg"]),
    ] {
        let output = place.run(more);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{more:?}: {said}");
        for part in words {
            assert!(said.contains(part), "{more:?}: {said} lacks {part}");
        }
        assert!(!said.contains("reading") && output.stdout.is_empty(), "{more:?}: {said}");
    }
    assert_eq!(names(place.out.path()), [""; 0]);
    assert_eq!(run(&["--help"]).status.code(), Some(0));
    let missing = place.run(&["--data", "nowhere"]);
    assert_eq!(missing.status.code(), Some(1));
    // What it is about is said before it is waited for.
    let said = text(&missing.stderr);
    assert!(said.starts_with("reading nowhere\n") && said.contains("nowhere`"), "{said}");
}

#[test]
fn outputs_are_tried_before_anything_is_read() {
    let place = Place::new();
    let file = place.at("file");
    fs::write(&file, "kept").unwrap();
    let taken = tempfile::tempdir().unwrap();
    fs::create_dir(taken.path().join("train.svg")).unwrap();
    let [below, missing] = [file.join("deeper"), place.at("missing/run.json")];
    for (option, path, words) in [
        ("--out", file.as_path(), "is a file"),
        ("--out", &below, "is a file"),
        ("--out", taken.path(), "is a folder"),
        ("--json", place.out.path(), "is a folder"),
        ("--json", &missing, "there is no folder"),
        ("--checkpoint", &file, "is a file"),
        #[cfg(unix)]
        ("--json", Path::new("/dev/null"), "is a device"),
    ] {
        let output = place.run(&[option, string(path)]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{option} {}: {said}", path.display());
        assert!(said.contains(words) && said.contains(option), "{said}");
        assert!(said.contains(string(path)) && !said.contains("reading"), "{said}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
}

/// Long enough to be disturbed.
const LONG: [&str; 2] = ["--epochs", "100"];

#[test]
fn whatever_fails_at_the_end_the_rest_is_kept() {
    let place = Place::new();
    let [out, moved, json] = ["pictures", "moved", "run.json"].map(|name| place.at(name));
    let checkpoints = place.at("run");
    let more = ["--out", string(&out), "--json", string(&json), "--checkpoint"];
    let options = place.options(&[&more[..], &[string(&checkpoints)], &LONG].concat());
    let mut train =
        command().args(options).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(train.stderr.take().unwrap()).lines();
    while !said.next().unwrap().unwrap().contains("test accuracy") {}
    // A file in the folder's place: that stops root, too.
    fs::rename(&out, &moved).unwrap();
    fs::write(&out, "").unwrap();
    let said: Vec<String> = said.map(Result::unwrap).collect();
    let output = train.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    for name in ["train.svg", "train.png"] {
        let about = |line: &&String| line.contains(name) && line.contains("is no folder");
        assert_eq!(said.iter().filter(about).count(), 1, "{said:?}");
    }
    let printed = text(&output.stdout);
    assert!(printed.contains("test accuracy") && printed.contains("wrote"), "{printed}");
    assert!(printed.contains("run.json") && !printed.contains("train.svg"), "{printed}");
    let all: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    assert_eq!(steps(&all["runs"][0]), 100 * BATCHES);
    assert!(checkpoints.join(format!("attempt-{:012}.safetensors", 100 * BATCHES)).exists());
}

#[cfg(unix)]
#[test]
fn closed_pipes_end_nothing() {
    let place = Place::new();
    let checkpoints = place.at("run");
    let more = ["--checkpoint", string(&checkpoints), "--every", "500"];
    let mut train = command()
        .args(place.options(&[&more[..], &LONG].concat()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(train.stdout.take());
    let mut said = BufReader::new(train.stderr.take().unwrap());
    let mut first = String::new();
    said.read_line(&mut first).unwrap();
    assert!(first.starts_with("reading "), "{first}");
    drop(said);
    assert_eq!(train.wait().unwrap().code(), Some(0));
    assert!(place.at("train.svg").exists() && place.at("train.png").exists());
    assert!(checkpoints.join(format!("attempt-{:012}.safetensors", 100 * BATCHES)).exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_standard_output_is_told() {
    let place = Place::new();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let options = place.options(&["--epochs", "1"]);
    let output = command().args(options).stdout(full).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("standard output cannot be written"), "{said}");
    assert!(place.at("train.svg").exists());
}

/// Steps, gradients and samples of one training, by formulas of the options alone.
#[test]
fn what_is_counted_is_what_was_done() {
    let place = Place::new();
    let check = |what: &str, more: &[&str], expected: [u64; 3]| {
        let run = place.told(&[&["--step-size", "0.05"], more].concat());
        let found = [steps(&run), count(&run, "evaluations"), count(&run, "samples")];
        assert_eq!(found, expected, "{what}");
    };
    let rk4 = ["--method", "rk4"];
    let with = |more: &[&'static str]| [&rk4[..], more].concat();
    check("rk4", &with(&["--epochs", "2"]), [24, 96, 92]);
    let budget = ["--epochs", "20", "--budget", "evaluations"];
    // 240 gradients: 60 steps, which draw 60 batches, or four times as many.
    check("a budget", &with(&budget), [60, 240, 5 * SAMPLES]);
    let fresh = [&budget[..], &["--batch-per-stage"]].concat();
    check("a budget, a batch for each stage", &with(&fresh), [60, 240, 20 * SAMPLES]);
    check("a batch for each stage", &with(&["--epochs", "2", "--batch-per-stage"]), [6, 24, 92]);
    // Stages that are another step's first draw none of their own: three of bs3's four, six
    // of dp5's seven.
    let fresh = |method| ["--method", method, "--epochs", "3", "--batch-per-stage"];
    check("bs3", &fresh("bs3"), [12, 36, 3 * SAMPLES]);
    check("dp5", &fresh("dp5"), [6, 36, 3 * SAMPLES]);
    // Twelve batches by five are three steps, which draw three more.
    let more = |more| SAMPLES + u64::from(BATCH.parse::<u32>().unwrap()) * more;
    check("micro-batches", &with(&["--epochs", "1", "--accumulate", "5"]), [3, 60, more(3)]);
    // A step draws four times two: two steps draw four beyond the twelve.
    let both = with(&["--epochs", "1", "--accumulate", "2", "--batch-per-stage"]);
    check("micro-batches for each stage", &both, [2, 16, more(4)]);
    let both = with(&["--epochs", "2", "--accumulate", "3", "--budget", "evaluations"]);
    check("a budget of micro-batches", &both, [2, 24, 6 * 4]);
}

/// Refused attempts cost gradients, and draw nothing further; a resumed training draws on.
#[test]
fn refusals_take_no_samples() {
    let place = Place::new();
    let folder = place.at("run");
    let options = ["--method", "bs3", "--adaptive", "rtol=1e-2,atol=1e-4", "--step-size", "4"];
    let run = place.told(&[&options[..], &["--epochs", "2"]].concat());
    let accepted = |run: &Value| {
        let all = run["steps"].as_array().unwrap();
        all.iter().filter(|step| step["accepted"] == true).count() as u64
    };
    assert!(steps(&run) > accepted(&run), "nothing was refused");
    assert_eq!([accepted(&run), count(&run, "samples")], [2 * BATCHES, 2 * SAMPLES]);
    // Once more in two processes.
    let saving = ["--checkpoint", string(&folder), "--resume"];
    let parts = ["1", "2"].map(|epochs| {
        let run = place.told(&[&options[..], &saving, &["--epochs", epochs]].concat());
        assert_eq!([accepted(&run), count(&run, "samples")], [BATCHES, SAMPLES]);
        run
    });
    assert_eq!(steps(&parts[0]) + steps(&parts[1]), steps(&run));
    assert_eq!(count(&parts[1], "evaluations"), count(&run, "evaluations"));
    // A batch for each of the four stages that an estimate takes, refused or not.
    let run = place.told(&[&options[..], &["--epochs", "2", "--batch-per-stage"]].concat());
    assert_eq!(accepted(&run), 2 * BATCHES / 4);
    assert_eq!(count(&run, "samples"), 2 * SAMPLES);
}

/// Methods of different costs side by side: each goes through the epochs.
#[test]
fn methods_compared_with_a_batch_for_each_stage_see_as_many() {
    let place = Place::new();
    let json = place.at("run.json");
    let options = ["--compare", "euler,rk4", "--batch-per-stage", "--epochs", "2"];
    fine(&place.run(&[&options[..], &["--json", string(&json)]].concat()));
    let all: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    for (run, expected) in [(&all["runs"][0], 2 * BATCHES), (&all["runs"][1], 2 * BATCHES / 4)] {
        assert_eq!([steps(run), count(run, "samples")], [expected, 2 * SAMPLES]);
    }
}

#[test]
fn a_training_goes_on_as_it_was() {
    let place = Place::new();
    let [whole, parts] = ["whole", "parts"].map(|name| place.at(name));
    let euler = ["--method", "euler", "--step-size", "0.1", "--momentum", "heavy-ball:0.8"];
    let recipe = [&euler[..], &["--clip", "2", "--average", "0.9", "--seed", "3"]].concat();
    let saving = |folder, epochs| ["--checkpoint", string(folder), "--epochs", epochs];
    fine(&place.run(&[&recipe[..], &saving(&whole, "4")].concat()));
    fine(&place.run(&[&recipe[..], &saving(&parts, "2")].concat()));
    let last = |folder: &Path| {
        let name = names(folder).into_iter().rfind(|name| name.ends_with(".safetensors"));
        Checkpoint::open(folder.join(name.unwrap())).unwrap()
    };
    let resume = |more: &[&str]| {
        // Neither data nor network nor batch is said again.
        let folder = ["--out", string(place.out.path()), "--checkpoint", string(&parts)];
        run(&[&folder[..], &["--resume"], more].concat())
    };
    // Everything else is the checkpoint's; what is said again in other words is no change.
    let resumed = resume(&["--epochs", "3"]);
    fine(&resumed);
    let said = text(&resumed.stderr);
    assert!(said.contains("--epochs is 3 from here on, and was 2\n"), "{said}");
    assert_eq!(said.matches("from here on").count(), 1, "{said}");
    let resumed = resume(&["--epochs", "4", "--step-size", ".10", "--method", "Euler", "--seed=3"]);
    fine(&resumed);
    assert_eq!(text(&resumed.stderr).matches("from here on").count(), 1);
    let (a, b) = (last(&whole), last(&parts));
    assert_eq!((a.attempts(), b.attempts()), (4 * BATCHES, 4 * BATCHES));
    assert_eq!(a.tensors_differing(&b), Vec::<String>::new());

    // Data by what is in it, not by where it lies.
    let same = data(0);
    fine(&resume(&["--data", string(same.path()), "--epochs", "5"]));
    let other = data(1);
    let refused = resume(&["--data", string(other.path()), "--epochs", "6"]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("other data: 46 samples of 4 inputs") && said.contains("SHA"), "{said}");

    // What cannot change is refused, all of it at once.
    let fixed = ["--seed", "8", "--batch", "5", "--hidden", "7", "--activation", "tanh"];
    let refused = resume(&[&fixed[..], &["--accumulate", "2", "--batch-per-stage"]].concat());
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    for part in [
        "--seed 3, not 8",
        "--batch 4, not 5",
        "--hidden 6, not 7",
        "--activation relu, not tanh",
        "--accumulate 1, not 2",
        "--batch-per-stage false, not true",
    ] {
        assert!(said.contains(part), "{said} lacks {part}");
    }
    assert!(!said.contains("reading"), "{said}");
    let refused = resume(&["--momentum", "none", "--epochs", "6"]);
    let said = text(&refused.stderr);
    assert!(!refused.status.success() && said.contains("heavy-ball:0.8"), "{said}");

    // What can is said, option by option, and holds.
    let new = ["--step-size", "0.2", "--method", "rk4", "--momentum", "heavy-ball:0.5"];
    let resumed = resume(&[&new[..], &["--epochs", "6"]].concat());
    fine(&resumed);
    let said = text(&resumed.stderr);
    for part in [
        "--method is rk4 from here on, and was euler\n",
        "--step-size is 0.2 from here on, and was 0.1\n",
        "--momentum is heavy-ball:0.5 from here on, and was heavy-ball:0.8\n",
        "--epochs is 6 from here on, and was 5\n",
    ] {
        assert!(said.contains(part), "{said} lacks {part}");
    }
    let last = last(&parts);
    let notes: BTreeMap<_, _> = ["method", "step-size", "momentum", "clip"]
        .map(|key| (key, last.note(key).unwrap()))
        .into();
    let values = ["2", "rk4", "heavy-ball:0.5", "0.2"];
    assert_eq!(notes.into_values().collect::<Vec<_>>(), values);
    assert_eq!((last.method(), last.control().h), (&kutta::Method::rk4(), 0.2));
}

/// A method of a file is the checkpoint's own once there is one.
#[test]
fn a_method_of_a_file_goes_on_without_the_file() {
    let place = Place::new();
    let [folder, file] = ["run", "mine.json"].map(|name| place.at(name));
    fs::copy(path(BUTCHER5), &file).unwrap();
    let saving = ["--checkpoint", string(&folder), "--step-size", "0.05"];
    let fresh = ["--epochs", "1", "--method", string(&file)];
    fine(&place.run(&[&saving[..], &fresh].concat()));
    fs::remove_file(&file).unwrap();
    let again = |epochs, more: &[&str]| {
        place.run(&[&saving[..], &["--resume", "--epochs", epochs], more].concat())
    };
    fine(&again("2", &[]));
    // The same coefficients elsewhere are the same method; others are not.
    let other = again("3", &["--method", BUTCHER5]);
    fine(&other);
    assert!(!text(&other.stderr).contains("--method is"), "{}", text(&other.stderr));
    let method = fs::read_to_string(path(BUTCHER5)).unwrap();
    let tableau = kutta::Tableau::from_json(&method).unwrap();
    assert_eq!(tableau.name(), "butcher5");
    fs::write(&file, r#"{"name": "butcher5", "a": [[], [0.5]], "b": [0, 1]}"#).unwrap();
    let other = again("4", &["--method", string(&file)]);
    fine(&other);
    assert!(text(&other.stderr).contains("--method is butcher5"), "{}", text(&other.stderr));
}

#[test]
fn damaged_checkpoints_are_never_trained_over() {
    let place = Place::new();
    let folder = place.at("run");
    let options = ["--checkpoint", string(&folder), "--every", "5", "--step-size", "0.05"];
    fine(&place.run(&[&options[..], &["--epochs", "1"]].concat()));
    let files = names(&folder);
    assert_eq!(files.len(), 3, "{files:?}");
    for file in &files {
        fs::write(folder.join(file), "").unwrap();
    }
    for _ in 0..3 {
        let output = place.run(&[&options[..], &["--epochs", "2", "--resume"]].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        for file in &files {
            assert!(said.contains(file.as_str()), "{said} lacks {file}");
        }
        assert_eq!(names(&folder), files);
    }
}

/// What one process did is set against its own time.
#[test]
fn rates_are_those_of_this_process() {
    let place = Place::new();
    let folder = place.at("run");
    let options = ["--checkpoint", string(&folder), "--method", "heun", "--step-size", "0.05"];
    fine(&place.run(&[&options[..], &["--epochs", "50"]].concat()));
    let more = ["--epochs", "51", "--resume"];
    let json = place.at("run.json");
    let output = place.run(&[&options[..], &more, &["--json", string(&json)]].concat());
    fine(&output);
    let all: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    let run = &all["runs"][0];
    assert_eq!([steps(run), count(run, "samples")], [BATCHES, SAMPLES]);
    assert_eq!(count(run, "evaluations"), 51 * 2 * BATCHES);
    assert_eq!(run["before"]["steps"].as_u64(), Some(50 * BATCHES));
    assert_eq!(run["before"]["evaluations"].as_u64(), Some(100 * BATCHES));
    // The row: method, steps, gradients, time, unit, samples and gradients a second.
    let printed = text(&output.stdout);
    let row: Vec<&str> = printed
        .lines()
        .find(|line| line.starts_with("heun "))
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(row[1..3], ["12", "24"], "{printed}");
    let rate = |at: usize| row[at].replace(',', "").parse::<f64>().unwrap();
    let seconds = run["seconds"].as_f64().unwrap();
    assert!((rate(5) - SAMPLES as f64 / seconds).abs() <= 1.0, "{printed}");
    assert!((rate(6) - 24.0 / seconds).abs() <= 1.0, "{printed}");
    assert!(printed.contains("went on from 600 steps and 1,200 gradients"), "{printed}");
}

/// Samples of the data are what the counts above go by.
#[test]
fn the_data_have_a_short_last_batch() {
    let batches = Idx::open(data(0).path()).unwrap().train(BATCH.parse().unwrap()).unwrap();
    assert_eq!(u64::from(batches.per_epoch()), BATCHES);
    assert_eq!(batches.samples().len() as u64, SAMPLES);
}
