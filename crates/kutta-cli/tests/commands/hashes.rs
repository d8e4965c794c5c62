//! `kutta hashes`.

use std::fs;

use super::{path, run, string, text};

const FILE: &str = "docs/results/hashes.txt";

/// On an adapter that is in the committed file the bits are those of the file, and a hash
/// that is not is told by name; on any other, a second run gives the bits of the first.
#[test]
fn the_bits_are_those_that_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("hashes.txt");
    let kept = fs::read_to_string(path(FILE)).unwrap();
    let adapter = kutta::Gpu::new().unwrap();
    if !kept.contains(&format!("[{},", adapter.info().name)) {
        assert!(run("hashes", &["--add", string(&own)]).status.success());
        let again = run("hashes", &["--against", string(&own)]);
        assert!(again.status.success(), "{}", text(&again.stderr));
        return;
    }
    let right = kept.lines().find(|line| line.starts_with("mlp-adam ")).unwrap();
    let wrong = format!("mlp-adam {}", "0".repeat(64));
    fs::write(&own, kept.replace(right, &wrong)).unwrap();
    let output = run("hashes", &["--against", string(&own)]);
    let said = text(&output.stderr);
    if text(&output.stdout).contains("no hashes of this adapter and driver") {
        // The same adapter under another driver.
        return;
    }
    assert_eq!(output.status.code(), Some(1), "{said}");
    let right = right.split_once(' ').unwrap().1;
    let lines = said.lines().filter(|line| line.contains(" became ")).collect::<Vec<_>>();
    assert_eq!(lines.len(), 1, "{said}");
    assert!(lines[0].ends_with(&format!("mlp-adam: {} became {right}", "0".repeat(64))), "{said}");
}

#[test]
fn a_file_that_is_none_of_hashes_is_refused_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hashes.txt");
    fs::write(&file, "mlp-adam 12\n").unwrap();
    for option in ["--against", "--add"] {
        let output = run("hashes", &[option, string(&file)]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("line 1: it stands below no [adapter]"));
        assert!(!text(&output.stdout).contains("mlp"), "nothing is trained before");
    }
    let missing = run("hashes", &["--against", "nowhere.txt"]);
    assert_eq!(missing.status.code(), Some(2));
}
