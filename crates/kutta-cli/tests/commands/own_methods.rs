//! `--method file.json` and `--checkpoint` in all commands.

use std::fs;
use std::path::Path;
use std::process::Output;

use kutta::checkpoint::Checkpoint;
use kutta::{Findings, Method};

use super::{BUTCHER5 as FILE, idx, path, run, string, text};

fn findings() -> String {
    Findings::of(&Method::load(string(&path(FILE))).unwrap()).unwrap().to_string()
}

/// A folder of IDX files with 48 images of 2 × 2, and 16 to test with.
fn data() -> tempfile::TempDir {
    idx(48, 0)
}

#[test]
fn flow_runs_a_file() {
    let options = |method: &'static str| {
        ["--problem", "beale", "--step-size", "0.002", "--steps", "40", "--method", method]
    };
    let own = run("flow", &options(FILE));
    assert!(own.status.success(), "{}", text(&own.stderr));
    // A Vulkan loader may have something to say after it.
    assert!(text(&own.stderr).starts_with(&findings()), "{}", text(&own.stderr));
    let last = |output: &Output| -> Vec<f64> {
        let line = text(&output.stdout).lines().last().unwrap().to_owned();
        line.split(',').map(|cell| cell.parse().unwrap()).collect()
    };
    // A method of order 5 as well, so that only rounding is between the two; and
    // Euler is elsewhere.
    let (own, dp5, euler) =
        (last(&own), last(&run("flow", &options("dp5"))), last(&run("flow", &options("euler"))));
    for i in [6, 7] {
        assert!((own[i] - dp5[i]).abs() < 1e-5, "{own:?} {dp5:?}");
        assert!((own[i] - euler[i]).abs() > 1e-4, "{own:?} {euler:?}");
    }
    let reference = run("flow", &[&options(FILE)[..], &["--reference"]].concat());
    assert_eq!(text(&reference.stderr), findings());
    assert!((last(&reference)[6] - own[6]).abs() < 1e-5);
    let named = run("flow", &options("rk4"));
    assert!(!text(&named.stderr).contains("stable to"), "{}", text(&named.stderr));
}

#[test]
fn train_runs_a_file_alone_and_in_comparison() {
    let data = data();
    let out = tempfile::tempdir().unwrap();
    let (folder, out) = (string(data.path()), string(out.path()));
    let options = ["--data", folder, "--out", out, "--batch", "16", "--epochs", "1"];
    let alone = run("train", &[&options[..], &["--method", FILE]].concat());
    assert!(alone.status.success(), "{}", text(&alone.stderr));
    assert!(text(&alone.stdout).starts_with(&findings()), "{}", text(&alone.stdout));
    let compare = format!("euler,{FILE}");
    let both = run("train", &[&options[..], &["--compare", &compare]].concat());
    let printed = text(&both.stdout);
    assert!(printed.starts_with(&findings()), "{printed}{}", text(&both.stderr));
    // Three steps of six gradients.
    let row = |name: &str| -> Vec<String> {
        let line = printed.lines().rfind(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(row("butcher5")[1..3], ["3", "18"]);
    assert_eq!(row("euler")[1..3], ["3", "3"]);
}

#[test]
fn compare_adds_a_row() {
    let data = data();
    let out = tempfile::tempdir().unwrap();
    let output = run(
        "compare",
        &[
            "--data",
            string(data.path()),
            "--out",
            string(out.path()),
            "--batch=16",
            "--evaluations=24",
            "--only=SGD",
            "--step-size=0.25",
            "--method",
            FILE,
        ],
    );
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(printed.starts_with(&findings()), "{printed}");
    let csv = fs::read_to_string(out.path().join("compare-16.csv")).unwrap();
    let last = csv.lines().last().unwrap();
    assert!(last.starts_with("butcher5,"), "{csv}");
    assert!(printed.contains("butcher5             0.250"), "{printed}");
    assert!(csv.lines().any(|line| line.starts_with("SGD,")), "{csv}");
    assert!(!csv.contains("momentum"), "{csv}");
}

#[test]
fn methods_prints_and_draws_a_file_beside_the_named_ones() {
    let out = tempfile::tempdir().unwrap();
    let output = run("methods", &["--method", FILE, "--out", string(out.path())]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    let rows: Vec<&str> = printed.lines().collect();
    // Two lines of heading, and where the pictures are.
    assert_eq!(rows.len(), 2 + Method::all().len() + 1 + 1, "{printed}");
    let f = Findings::of(&Method::load(string(&path(FILE))).unwrap()).unwrap();
    let row = rows[rows.len() - 2].split_whitespace().collect::<Vec<_>>();
    let words = [f.fixed.words_bare, f.fixed.words_guarded, f.fixed.words_unfused, f.fixed.vectors];
    assert_eq!(row[..3], ["butcher5", "6", "5"]);
    assert_eq!(row[5..9], words.map(|n| n.to_string()));
    assert!(printed.trim_end().ends_with("methods-precision.png"), "{printed}");
    for name in ["stability", "precision"] {
        let svg = fs::read_to_string(out.path().join(format!("methods-{name}.svg"))).unwrap();
        assert!(svg.contains("butcher5") && svg.contains("verner8") && !svg.contains("NaN"));
        let png = fs::read(out.path().join(format!("methods-{name}.png"))).unwrap();
        assert!(png.starts_with(b"\x89PNG"));
    }
}

#[test]
fn all_faults_of_a_file_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.json");
    fs::write(&path, r#"{"name": "bad", "a": [[], [NaN]], "b": [0.5, 1e9], "d": []}"#).unwrap();
    let file = string(&path);
    let problem = ["--problem", "beale", "--step-size", "0.1", "--steps", "1"];
    let nowhere = ["--data", "nowhere"];
    for (name, options) in [
        ("flow", [&problem[..], &["--method", file]].concat()),
        ("train", [&nowhere[..], &["--method", file]].concat()),
        ("train", [&nowhere[..], &["--compare", &format!("rk4,{file}")]].concat()),
        ("compare", [&nowhere[..], &["--method", file]].concat()),
        ("methods", vec!["--method", file]),
    ] {
        let output = run(name, &options);
        let printed = text(&output.stderr);
        assert!(!output.status.success() && output.stdout.is_empty(), "{name}");
        for fault in ["line 1, column 52: there is no field `d`", "row 2, column 1 of a", "is 1e9;"]
        {
            let lines = printed.lines().filter(|line| line.contains(fault));
            let found: Vec<&str> = lines.collect();
            assert!(found.len() == 1 && found[0].contains(file), "{name}: {fault} in {printed}");
        }
        assert_eq!(printed.lines().count(), 3, "{name}: {printed}");
    }
    for name in ["flow", "train", "compare"] {
        let options = if name == "flow" { &problem[..] } else { &nowhere };
        let output = run(name, &[options, &["--method", "rk5"]].concat());
        assert!(!output.status.success() && text(&output.stderr).contains("ssprk33"), "{name}");
    }
}

/// A folder of IDX files is enough: `train` saves, goes on, and ends as if it had never
/// stopped; and says what it will not do.
#[test]
fn train_goes_on_from_its_checkpoints() {
    let data = data();
    let out = tempfile::tempdir().unwrap();
    let [whole, parts] = ["whole", "parts"].map(|name| out.path().join(name));
    let run = |folder: &Path, epochs: &str, more: &[&str]| {
        let common = ["--data", string(data.path()), "--hidden", "6", "--batch", "8", "--method"];
        let method = ["bs3", "--adaptive", "rtol=1e-2,atol=1e-3", "--momentum", "heavy-ball:0.9"];
        let saving = ["--checkpoint", string(folder), "--every", "7", "--epochs", epochs];
        let plots = ["--out", string(out.path())];
        let options = [&common[..], &method, &saving, &plots, more].concat();
        run("train", &options)
    };
    let fine = |output: &Output| assert!(output.status.success(), "{}", text(&output.stderr));
    fine(&run(&whole, "9", &[]));
    fine(&run(&parts, "4", &["--resume"]));
    let names = |folder: &Path| {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    // Six batches make an epoch, and refused attempts draw none.
    let at = |n: u64| format!("attempt-{n:012}.safetensors");
    let open = |folder: &Path, name: &str| Checkpoint::open(folder.join(name)).unwrap();
    let newest = names(&parts).pop().unwrap();
    let end = open(&parts, &newest);
    assert_eq!(end.batch(), 4 * 6);
    let before = (end.attempts() - 1) / 7 * 7;
    assert_eq!(names(&parts), [at(before - 7), at(before), at(end.attempts())]);
    // A damaged newest one: it says so, and goes on from the one before.
    let newest = parts.join(newest);
    let mut bytes = fs::read(&newest).unwrap();
    let last = bytes.len() - 40;
    bytes[last] ^= 1;
    fs::write(&newest, bytes).unwrap();
    let resumed = run(&parts, "9", &["--resume"]);
    fine(&resumed);
    let said = text(&resumed.stderr);
    assert!(said.contains("SHA-256") && said.contains(&format!("{before} steps")), "{said}");
    let last = |folder: &Path| {
        let whole = |name: &String| name.ends_with(".safetensors");
        open(folder, &names(folder).into_iter().rfind(whole).unwrap())
    };
    let (a, b) = (last(&whole), last(&parts));
    assert_eq!((a.batch(), a.attempts()), (9 * 6, b.attempts()));
    let differing = a.tensors_differing(&b);
    assert!(differing.iter().all(|name| name == "kutta.control"), "{differing:?}");
    assert_eq!(a.evaluations(), b.evaluations());

    for (folder, more, words) in [
        (&whole, &[][..], "--resume"),
        (&whole, &["--resume", "--seed", "8"], "--seed 7, not 8"),
        (&whole, &["--resume", "--hidden", "5"], "--hidden 6, not 6,5"),
        (&whole, &["--resume"], "ask for more"),
    ] {
        let options: Vec<&str> = more.to_vec();
        let output = run(folder, "9", &options);
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains(words), "{more:?}: {said}");
    }
}
