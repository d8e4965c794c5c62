//! What README.md says of the methods is what the code computes.

use kutta::plan::Options;
use kutta::{Method, Plan};

/// As few digits as say it to four decimals.
fn short(x: f64) -> String {
    let text = format!("{x:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[test]
fn the_table_of_methods_is_computed() {
    let readme = include_str!("../README.md");
    let rows: Vec<&str> = readme.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<String> = Method::all()
        .iter()
        .map(|method| {
            let Method::Explicit(tableau) = method else { panic!("{method} has no tableau") };
            let plan = Plan::new(method, Options::default()).unwrap();
            format!(
                "| `{method}` | {} | {} | {} | {} / {} / {} | {} |",
                method.stages(),
                tableau.order(),
                short(tableau.real_limit()),
                plan.words_bare(),
                plan.words_guarded(),
                plan.words_unfused(),
                plan.resident_vectors(),
            )
        })
        .collect();
    assert_eq!(rows, expected);
}
