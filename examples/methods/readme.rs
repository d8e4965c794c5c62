//! The table of README.md.

use kutta::findings::{Cost, decimals};
use kutta::{Findings, Method};

pub const START: &str =
    "<!-- The rows are computed: cargo run --release --example methods -- --readme -->\n";
pub const END: &str = "<!-- End of the computed rows. -->\n";

const HEAD: &str = "\
| method | stages | order | real limit | words, vectors | with error estimate |
|---|---|---|---|---|---|
";

fn row(f: &Findings) -> String {
    let cost = |c: Cost| {
        format!("{} / {} / {}, {}", c.words_bare, c.words_guarded, c.words_unfused, c.vectors)
    };
    format!(
        "| `{}` | {} | {} | {} | {} | {} |\n",
        f.name,
        f.stages,
        f.orders(),
        decimals(f.real_limit),
        cost(f.fixed),
        f.adaptive.map_or("–".to_owned(), cost),
    )
}

/// The text with the rows between its two marks as they should be.
///
/// # Errors
/// A text without the marks, or a method that cannot be planned.
pub fn updated(text: &str) -> Result<String, String> {
    let missing = |mark: &str| format!("README.md has no line {}", mark.trim_end());
    let (before, rest) = text.split_once(START).ok_or_else(|| missing(START))?;
    let (_, after) = rest.split_once(END).ok_or_else(|| missing(END))?;
    let mut rows = String::from(HEAD);
    for method in Method::all() {
        rows += &row(&Findings::of(&method).map_err(|error| error.to_string())?);
    }
    // Markdown wants an empty line between a comment and a table.
    Ok(format!("{before}{START}\n{rows}\n{END}{after}"))
}
