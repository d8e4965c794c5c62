//! `profile` as people run it.

use std::fs;

use serde_json::Value;

use super::{run, string, text};

fn fine(options: &[&str]) -> String {
    let output = run("profile", options);
    assert!(output.status.success(), "{options:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// How often an attempt a kernel is there, by the table's column.
fn often(table: &str, kernel: &str) -> f64 {
    let lines = table.lines().filter(|line| line.split_whitespace().next() == Some(kernel));
    let count = |line: &str| {
        let after = line.split_once(']').unwrap().1;
        after.split_whitespace().next().unwrap().parse::<f64>().unwrap()
    };
    lines.map(count).sum()
}

#[test]
fn a_network_is_profiled_into_a_table_and_two_files() {
    let folder = tempfile::tempdir().unwrap();
    let [trace, json] = ["trace.json", "table.json"].map(|name| folder.path().join(name));
    let small = ["--inputs", "12", "--hidden", "16", "--batch", "8", "--attempts", "5"];
    let files = ["--trace", string(&trace), "--json", string(&json)];
    let said = fine(&[&small[..], &files].concat());
    assert!(said.starts_with("12-16-10, batch 8, rk4: "), "{said}");
    assert!(said.contains("\n5 attempts on "), "{said}");
    for (kernel, times) in [("batch_rows", 1.0), ("gather_bytes", 1.0), ("verdict", 1.0)] {
        assert_eq!(often(&said, kernel), times, "{kernel}: {said}");
    }
    assert!(said.contains("wrote ") && said.contains("trace.json"), "{said}");

    let read = |path| serde_json::from_str::<Value>(&fs::read_to_string(path).unwrap()).unwrap();
    let table = read(&json);
    let rows = table["rows"].as_array().unwrap();
    let of = |row: &Value, key: &str| row[key].as_f64().unwrap();
    let sum: f64 = rows.iter().map(|row| of(row, "per_attempt") * of(row, "median")).sum();
    assert!((sum - table["sum"].as_f64().unwrap()).abs() <= 1e-6 * sum, "{table}");
    assert_eq!((&table["attempts"], &table["parameters"]), (&5.into(), &378.into()));
    assert_eq!(table["options"]["step_size"], "0.5", "{table}");
    assert!(table["wall"].as_f64().unwrap() > 0.0);
    let events = read(&trace);
    assert!(events["traceEvents"].as_array().unwrap().len() > 5 * rows.len());
}

#[test]
fn fields_and_batches_of_every_kind_are_profiled() {
    let small = ["--attempts", "2", "--hidden", "8", "--method", "heun"];
    let field = [&small[..], &["--field", "--extent", "20,10"]].concat();
    let grid = "--encoding=hash-grid:levels=2,log2-table=6,coarsest=4";
    for (options, kernels) in [
        (&["--points", "anywhere", "--batch", "64", grid][..], &[("grid_gradient", 2.0)][..]),
        (&["--points", "all", "--encoding", "octaves:octaves=3", "--activation", "sine:3"], &[]),
        (
            &["--encoding", "coordinates", "--channels", "1", "--batch-per-stage"],
            &[("stage_batch", 2.0)],
        ),
    ] {
        let said = fine(&[&field[..], options].concat());
        assert!(said.starts_with("field "), "{said}");
        for (kernel, times) in kernels {
            assert_eq!(often(&said, kernel), *times, "{kernel}: {said}");
        }
    }
    let volume = ["--field", "--extent", "6,5,4", "--batch", "16"];
    fine(&[&small[..], &volume, &[grid]].concat());
    let parts = ["--inputs", "6", "--accumulate", "3", "--batch", "4", "--preconditioner", "adam"];
    let said = fine(&[&small[..], &parts, &["--batch-per-stage"]].concat());
    assert_eq!([often(&said, "share_batch"), often(&said, "accumulate")], [6.0; 2], "{said}");
}

#[test]
fn what_cannot_be_profiled_is_refused_before_work() {
    for (options, words) in [
        (&["--batch", "0"][..], &["0 is too small"][..]),
        (&["--hidden", "12,x"], &["`x` is no whole number"]),
        (&["--attempts", "0"], &["1..=1024"]),
        (&["--attempts", "1025"], &["1..=1024"]),
        (&["--method", "rk5"], &["rk5", "rk4"]),
        (&["--step-size", "-1"], &["-1"]),
        (&["--extent", "8,8"], &["--field"]),
        (&["--encoding", "octaves"], &["--field"]),
        (&["--field", "--data", "data/mnist"], &["--data", "--field"]),
        (&["--field", "--extent", "8"], &["--extent 8", "1 numbers"]),
        (&["--field", "--extent", "1,2,3,4"], &["--extent 1,2,3,4", "4 numbers"]),
        (&["--field", "--extent", "65536,65536"], &["65536,65536", "268435456"]),
        (&["--field", "--extent", "8,8", "--batch", "65"], &["65", "64 texels", "anywhere"]),
        (&["--field", "--points", "all", "--batch", "9"], &["leave --batch out"]),
        (&["--field", "--encoding", "grid"], &["grid", "hash-grid"]),
        (&["--batch", "1000000", "--inputs", "1000"], &["1000000", "268435456", "--data"]),
        (&["--classes", "257"], &["2..=256"]),
    ] {
        let output = run("profile", options);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{options:?}: {said}");
        assert_eq!(text(&output.stdout), "", "{options:?}");
        for word in words {
            assert!(said.contains(word), "{options:?}: {word:?} is not in {said:?}");
        }
    }
    let output = run("profile", &["--data", "tests/data/faults/nowhere"]);
    assert!(!output.status.success() && text(&output.stderr).contains("nowhere"));
    let output = run("profile", &["--trace", "nowhere/trace.json"]);
    assert!(!output.status.success() && text(&output.stderr).contains("--trace"));
}
