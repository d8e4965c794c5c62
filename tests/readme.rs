//! What README.md says of the methods is what the code computes.

use kutta::plan::Options;
use kutta::{Adaptive, Ingredients, Method, Plan};

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
            let words = |adaptive| {
                let ingredients = Ingredients { adaptive, ..Ingredients::default() };
                let plan = Plan::with_ingredients(method, &ingredients, Options::default());
                plan.map_or("–".to_owned(), |plan| {
                    let (bare, guarded) = (plan.words_bare(), plan.words_guarded());
                    let vectors = plan.resident_vectors();
                    format!("{bare} / {guarded} / {}, {vectors}", plan.words_unfused())
                })
            };
            let embedded = tableau.embedded_order().map(|p| format!("({p})"));
            format!(
                "| `{method}` | {} | {}{} | {} | {} | {} |",
                method.stages(),
                tableau.order(),
                embedded.unwrap_or_default(),
                short(tableau.real_limit()),
                words(None),
                words(Some(Adaptive::new(1e-3, 1e-6))),
            )
        })
        .collect();
    assert_eq!(rows, expected, "it should be\n{}", expected.join("\n"));
}
