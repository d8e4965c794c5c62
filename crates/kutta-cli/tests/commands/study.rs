//! `study` as people run it: what is wrong is said before anything is trained, and a study
//! that was interrupted ends as one that was not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{idx, path, string, text};

/// Two settings of three optimizers on 40 images, of which 10 are held out.
fn arms(data: &Path) -> String {
    format!(
        r#"trials = 3
seeds = 2
held-out = 10
extensions = 1
against = ["SGD"]

[[arm]]
data = ["{}"]
batch = [4, 8]
epochs = [2]
hidden = [[5]]

[[optimizer]]
name = "SGD"
options = {{ method = "euler" }}
search = {{ h = [0.01, 1.0] }}

[[optimizer]]
name = "fresh"
options = {{ method = "heun", batch-per-stage = true, momentum = "heavy-ball:{{1-b}}" }}
search = {{ h = [0.01, 1.0], b = [0.05, 0.5] }}
"#,
        string(data)
    )
}

struct Place {
    data: tempfile::TempDir,
    out: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { data: idx(40, 0), out: tempfile::tempdir().unwrap() };
        place.write(&arms(place.data.path()));
        place
    }

    fn file(&self) -> PathBuf {
        self.out.path().join("arms.toml")
    }

    fn write(&self, text: &str) {
        fs::write(self.file(), text).unwrap();
    }

    fn command(&self, out: &str) -> std::process::Command {
        let mut command = super::command("study");
        command.arg(self.file()).arg("--out").arg(self.out.path().join(out));
        command
    }

    fn run(&self, out: &str) -> Output {
        self.command(out).output().unwrap()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.out.path().join(name)).unwrap()
    }
}

fn fine(output: &Output) {
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// How many whole lines are there.
fn lines(file: &Path) -> usize {
    fs::read_to_string(file).map_or(0, |text| text.matches('\n').count())
}

#[test]
fn ten_interruptions_change_no_table() {
    let place = Place::new();
    fine(&place.run("whole"));
    let total = lines(&place.out.path().join("whole/runs.jsonl"));
    assert!(total >= 20, "{total} runs");
    // Killed at ten moments, each some milliseconds after some further run has ended.
    let runs = place.out.path().join("cut/runs.jsonl");
    let mut killed = 0;
    for moment in 0..10 {
        let mut child = place.command("cut").stderr(Stdio::null()).spawn().unwrap();
        let goal = lines(&runs) + moment % 3;
        let start = Instant::now();
        while lines(&runs) < goal.min(total - 1) && start.elapsed() < Duration::from_secs(60) {
            thread::sleep(Duration::from_millis(2));
        }
        thread::sleep(Duration::from_millis((moment as u64 * 7919) % 97));
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(killed >= 8, "only {killed} were interrupted");
    let before = lines(&runs);
    assert!(before < total, "nothing was left to go on with");
    fine(&place.command("cut").args(["--jobs", "2"]).output().unwrap());
    assert_eq!(lines(&runs), total, "a run was made twice");
    for name in ["study.md", "differences.csv"] {
        assert_eq!(place.read(&format!("cut/{name}")), place.read(&format!("whole/{name}")));
    }
}

#[test]
fn a_cut_line_is_made_again_and_an_arm_may_be_added() {
    let place = Place::new();
    fine(&place.run("out"));
    let (table, runs) = (place.read("out/study.md"), place.read("out/runs.jsonl"));
    let file = place.out.path().join("out/runs.jsonl");
    fs::write(&file, &runs[..runs.len() - 40]).unwrap();
    let again = place.run("out");
    fine(&again);
    let said = text(&again.stderr);
    let cut = format!("runs.jsonl:{}: no whole run", runs.matches('\n').count());
    assert!(said.contains(&cut) && said.contains("1 of 1 runs"), "{said}");
    assert_eq!(place.read("out/study.md"), table);
    // What has ended is not made again, nor what was made in the place of the cut line.
    let third = place.run("out");
    fine(&third);
    assert!(!text(&third.stderr).contains(" of 1 runs"), "{}", text(&third.stderr));
    place.write(&arms(place.data.path()).replace("epochs = [2]", "epochs = [2, 1]"));
    let grown = place.run("out");
    fine(&grown);
    assert!(place.read("out/study.md").contains(table.trim_start_matches("# Study").trim_end()));
    let kept = place.read("out/runs.jsonl");
    assert!(runs.lines().take(5).all(|line| kept.matches(line).count() == 1));
}

/// Trials, as far as selection may know of them.
fn trials(runs: &str) -> Vec<String> {
    let line = |line: &str| -> Option<String> {
        let run: serde_json::Value = serde_json::from_str(line).unwrap();
        let of = |key: &str| run[key].to_string();
        let keys = ["setting", "optimizer", "knobs", "seed", "accuracy", "loss", "curve"];
        run["test_accuracy"].is_null().then(|| keys.map(of).join(" "))
    };
    runs.lines().filter_map(line).collect()
}

#[test]
fn what_is_chosen_does_not_depend_on_test_images() {
    let place = Place::new();
    fine(&place.run("out"));
    let test = place.data.path().join("t10k-images-idx3-ubyte");
    let bytes = fs::read(&test).unwrap();
    let others: Vec<u8> =
        bytes.iter().enumerate().map(|(i, b)| b ^ (7 * u8::from(i >= 16))).collect();
    fs::write(&test, others).unwrap();
    // The runs are other ones, since some of them are tested on other images.
    let again = place.run("out");
    fine(&again);
    assert!(text(&again.stderr).contains(" runs, "), "{}", text(&again.stderr));
    let runs = place.read("out/runs.jsonl");
    let all = trials(&runs);
    assert!(all.len() >= 24, "{} trials", all.len());
    let (before, after) = all.split_at(all.len() / 2);
    assert_eq!(before, after);
}

#[test]
fn a_run_that_leads_nowhere_is_a_result() {
    let place = Place::new();
    let stuck = r#"
[[optimizer]]
name = "stuck"
options = { method = "bs3", adaptive = "rtol={r},atol=1e-6,h-min=100" }
search = { r = [0.0001, 0.01] }
"#;
    place.write(&(arms(place.data.path()) + stuck));
    let output = place.run("out");
    fine(&output);
    let said = text(&output.stderr);
    assert!(said.contains("failed: ") && said.contains("h_min"), "{said}");
    let table = place.read("out/study.md");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| stuck |")).collect();
    assert_eq!(rows.len(), 2, "{table}");
    assert!(rows.iter().all(|row| row.contains("| none | 0, and 2 failed |")), "{table}");
    assert!(!table.contains("stuck − SGD") && table.contains("fresh − SGD"), "{table}");
    // It would end the same way again.
    let total = lines(&place.out.path().join("out/runs.jsonl"));
    fine(&place.run("out"));
    assert_eq!(lines(&place.out.path().join("out/runs.jsonl")), total);
}

#[test]
fn what_is_wrong_is_said_by_file_and_line_before_anything_is_trained() {
    let place = Place::new();
    let good = arms(place.data.path());
    for (from, to, words) in [
        ("trials = 3", "trails = 3", &["arms.toml:1:", "trails", "--help"][..]),
        ("epochs = [2]", "epochs = []", &["arms.toml:10:", "epochs", "empty grid", "give"]),
        ("batch = [4, 8]", "batch = [4, 0]", &["arms.toml:9:", "batch", "0"]),
        ("batch = [4, 8]", "batch = [31]", &["batch", "31", "30 images", "smaller"]),
        ("held-out = 10", "held-out = 0", &["arms.toml:3:", "held-out", "give"]),
        ("held-out = 10", "held-out = 40", &["arms.toml:8:", "40 training images", "held-out"]),
        ("method = \"euler\"", "method = \"eula\"", &["arms.toml:14:", "SGD", "eula"]),
        ("method = \"euler\"", "seed = 3", &["arms.toml:14:", "seed", "batch-per-stage"]),
        ("name = \"fresh\"", "name = \"SGD\"", &["arms.toml:19:", "twice"]),
        ("search = { h = [0.01, 1.0] }", "search = {}", &["arms.toml:14:", "empty grid"]),
        ("search = { h = [0.01, 1.0] }", "search = { h = [1, 0.1] }", &["SGD", "no range"]),
        ("search = { h = [0.01, 1.0] }", "search = { h = [0.1, 1] }", &["decades", "fresh"]),
        ("{1-b}", "0.9", &["arms.toml:19:", "`b` is searched", "{b}"]),
        ("against = [\"SGD\"]", "against = [\"Adam\"]", &["arms.toml:5:", "Adam", "SGD"]),
    ] {
        assert!(good.contains(from), "{from}");
        place.write(&good.replacen(from, to, 1));
        let output = place.run("never");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{to}: {said}");
        for word in words {
            assert!(said.contains(word), "{to}: {said} lacks {word}");
        }
        assert!(!place.out.path().join("never").exists(), "{to}");
    }
    place.write(&good);
    fs::write(place.out.path().join("taken"), "").unwrap();
    let output = place.run("taken");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    fs::remove_file(place.file()).unwrap();
    assert_eq!(place.run("never").status.code(), Some(2));
}

#[test]
fn the_committed_file_of_arms_can_be_read() {
    // Its data need not be there: the same arms over a few images of this test.
    let place = Place::new();
    let file = fs::read_to_string(path("docs/results/study/study.toml")).unwrap();
    let data = format!("\"{}\"", string(place.data.path()));
    let file = file
        .replace("\"data/mnist\"", &data)
        .replace("\"data/fashion-mnist\"", &data)
        .replace("held-out = 5000", "held-out = 10")
        .replace("1024]", "20]");
    place.write(&file);
    let output = place.command("never").arg("--dry-run").output().unwrap();
    fine(&output);
    let said = text(&output.stdout);
    assert!(said.contains("batch 16, 20 epochs, constant h") && said.contains("runs"), "{said}");
}
