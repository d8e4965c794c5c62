//! The floors of the house: a room imports only from rooms below it, and no file takes part in
//! a circle. Read from the `crate::…` and `super::…` paths of `src`, without a compiler.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms from the ground up. A room may name those before it, and no others.
/// Every room's `error.rs` stands on the ground: `error` gathers them.
const FLOORS: [(usize, &str); 25] = [
    (0, "codes"),
    (0, "format"),
    (0, "layout"),
    (0, "tableau"),
    (0, "data"),
    (0, "frame_budget"),
    (1, "method"),
    (1, "ingredients"),
    (2, "device"),
    (2, "plan"),
    (2, "reference"),
    (2, "findings"),
    (3, "kernels"),
    (4, "source"),
    (4, "error"),
    (4, "params"),
    (4, "state"),
    (4, "reports"),
    (4, "profile"),
    (4, "recorder"),
    (5, "optimizer"),
    (5, "bench"),
    (5, "checkpoint"),
    (6, "models"),
    (6, "batching"),
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every file of the library but its tests and its root.
fn files() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "tests" {
                    walk(&path, found);
                }
            } else if path.extension().is_some_and(|e| e == "rs")
                && name != "tests"
                && !name.ends_with("_tests")
                && name != "lib"
            {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&source(), &mut found);
    found.sort();
    found
}

/// The modules of a file: `src/plan/sums.rs` is `plan`, `sums`.
fn modules(file: &Path) -> Vec<String> {
    let inside = file.strip_prefix(source()).unwrap().with_extension("");
    let mut names: Vec<String> =
        inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if names.last().is_some_and(|name| name == "mod") {
        names.pop();
    }
    names
}

/// Code alone: no comments, no unit tests, nothing compiled for tests only.
fn code(text: &str) -> Vec<(usize, &str)> {
    let mut lines = Vec::new();
    let mut all = text.lines().enumerate();
    while let Some((i, line)) = all.next() {
        if line.trim_start().starts_with("#[cfg(test)]") {
            let indent = &line[..line.len() - line.trim_start().len()];
            let ends = [format!("{indent}}}"), format!("{indent}}};")];
            let (_, item) = all.next().unwrap_or((0, ""));
            if item.trim_end().ends_with('{') {
                while all.next().is_some_and(|(_, inside)| !ends.iter().any(|end| end == inside)) {}
            }
        } else if !line.trim_start().starts_with("//") {
            lines.push((i + 1, line));
        }
    }
    lines
}

/// What follows each `prefix` in a text: the names of a path, once for each entry of its braces.
fn paths(text: &str, prefix: &str) -> Vec<Vec<String>> {
    fn entries(text: &str) -> Vec<&str> {
        let (mut depth, mut start, mut found) = (0, 0, Vec::new());
        for (i, c) in text.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => {
                    found.push(&text[start..i]);
                    return found;
                }
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    found.push(&text[start..i]);
                    start = i + 1;
                }
                _ => {}
            }
        }
        found
    }
    fn one(text: &str, before: &[String], found: &mut Vec<Vec<String>>) {
        let text = text.trim_start();
        if let Some(inside) = text.strip_prefix('{') {
            for entry in entries(inside) {
                one(entry, before, found);
            }
            return;
        }
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        let mut names = before.to_vec();
        names.push(text[..end].to_owned());
        match text[end..].strip_prefix("::") {
            Some(rest) => one(rest, &names, found),
            None => found.push(names),
        }
    }
    let mut found = Vec::new();
    for (at, _) in text.match_indices(prefix) {
        let before = text[..at].chars().next_back();
        if before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':') {
            one(&text[at + prefix.len()..], &[], &mut found);
        }
    }
    found.retain(|path| !path[0].is_empty());
    found
}

fn place(room: &str) -> Option<usize> {
    FLOORS.iter().position(|(_, name)| *name == room)
}

fn is_error_file(modules: &[String]) -> bool {
    modules.len() == 2 && modules[1] == "error"
}

#[test]
fn no_line_climbs() {
    let mut faults = Vec::new();
    for file in files() {
        let own = modules(&file);
        let shown = file.strip_prefix(source()).unwrap().display().to_string();
        let Some(here) = place(&own[0]) else {
            faults.push(format!("src/{shown}: `{}` is on no floor", own[0]));
            continue;
        };
        let text = fs::read_to_string(&file).unwrap();
        let lines = code(&text);
        let joined: String = lines.iter().flat_map(|(_, line)| [*line, "\n"]).collect();
        for path in paths(&joined, "crate::") {
            let room = &path[0];
            let (line, what) = lines
                .iter()
                .find(|(_, line)| line.contains(&format!("crate::{room}")))
                .map_or((0, ""), |(number, line)| (*number, line.trim()));
            match place(room) {
                None => faults.push(format!(
                    "src/{shown}:{line}: `{what}` names no room; say where `{room}` is"
                )),
                // Of other rooms an error's file names their errors alone, and so does `error`.
                Some(_)
                    if path.get(1).is_some_and(|name| name == "error")
                        && (own[0] == "error" || is_error_file(&own)) => {}
                Some(there) if is_error_file(&own) && FLOORS[there].0 > 0 => faults.push(format!(
                    "src/{shown}:{line}: `{what}` climbs: an error stands on the ground"
                )),
                Some(there) if there > here => faults.push(format!(
                    "src/{shown}:{line}: `{what}` climbs from `{}` to `{room}`",
                    own[0]
                )),
                Some(_) => {}
            }
        }
    }
    assert!(faults.is_empty(), "{} lines climb:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn no_file_is_in_a_circle() {
    let all: BTreeMap<Vec<String>, PathBuf> =
        files().into_iter().map(|file| (modules(&file), file)).collect();
    // The longest beginning of a path that is a file.
    let file_of = |path: &[String]| {
        (1..=path.len()).rev().find_map(|n| all.get_key_value(&path[..n])).map(|(key, _)| key)
    };
    let mut imports: BTreeMap<&Vec<String>, BTreeSet<&Vec<String>>> = BTreeMap::new();
    for (own, file) in &all {
        let text = fs::read_to_string(file).unwrap();
        let joined: String = code(&text).iter().flat_map(|(_, line)| [*line, "\n"]).collect();
        let is_folder = file.file_stem().is_some_and(|name| name == "mod");
        let parent = &own[..own.len() - 1];
        let beside = paths(&joined, "super::").into_iter().map(|path| [parent, &path].concat());
        let named = paths(&joined, "crate::").into_iter().chain(beside);
        for path in named {
            let Some(other) = file_of(&path) else { continue };
            // A folder's face hands on what is inside; what is inside may name it.
            let face = |a: &[String], b: &[String]| a.len() < b.len() && b.starts_with(a);
            if other != own && !face(other, own) && !(is_folder && face(own, other)) {
                imports.entry(own).or_default().insert(other);
            }
        }
    }
    // What nobody imports, and what imports nothing, is in no circle.
    loop {
        let left: BTreeSet<_> = imports.keys().copied().collect();
        for others in imports.values_mut() {
            others.retain(|other| left.contains(other));
        }
        let named: BTreeSet<_> = imports.values().flatten().copied().collect();
        let before = imports.len();
        imports.retain(|own, others| !others.is_empty() && named.contains(own));
        if imports.len() == before {
            break;
        }
    }
    let shown: Vec<String> = imports
        .iter()
        .flat_map(|(own, others)| others.iter().map(move |other| (own, other)))
        .map(|(own, other)| format!("{} -> {}", own.join("::"), other.join("::")))
        .collect();
    assert!(shown.is_empty(), "files that import each other in a circle:\n{}", shown.join("\n"));
}

#[test]
fn paths_are_read_as_rust_reads_them() {
    let text =
        "use crate::plan::{Op, passes::{Assembly, Bound}};\nlet x = crate::layout::ALIGNMENT;";
    let found: Vec<String> = paths(text, "crate::").iter().map(|path| path.join("/")).collect();
    assert_eq!(found, ["plan/Op", "plan/passes/Assembly", "plan/passes/Bound", "layout/ALIGNMENT"]);
    assert!(paths("$crate::device::x", "super::").is_empty());
}
