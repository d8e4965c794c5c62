//! The tables of README.md and docs/methods.md.

use kutta::findings::{Cost, decimals};
use kutta::{Findings, Method};

/// A file with a table of methods between its marks.
pub struct Page {
    pub path: &'static str,
    /// The methods of its rows; none: all that have a name.
    pub names: &'static [&'static str],
}

pub const PAGES: [Page; 2] = [
    Page { path: "README.md", names: &["euler", "heun", "rk4", "dp5", "rdpk3sp35", "rkc2"] },
    Page { path: "docs/methods.md", names: &[] },
];

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

impl Page {
    /// The text with the rows between its two marks as they should be.
    ///
    /// # Errors
    /// A text without the marks, a name of no method, or a method that cannot be planned.
    pub fn updated(&self, text: &str) -> Result<String, String> {
        let missing = |mark: &str| format!("{} has no line {}", self.path, mark.trim_end());
        let (before, rest) = text.split_once(START).ok_or_else(|| missing(START))?;
        let (_, after) = rest.split_once(END).ok_or_else(|| missing(END))?;
        let mut rows = String::from(HEAD);
        for method in self.methods()? {
            rows += &row(&Findings::of(&method).map_err(|error| error.to_string())?);
        }
        // Markdown wants an empty line between a comment and a table.
        Ok(format!("{before}{START}\n{rows}\n{END}{after}"))
    }

    fn methods(&self) -> Result<Vec<Method>, String> {
        if self.names.is_empty() {
            return Ok(Method::all());
        }
        let named = |name: &&str| name.parse::<Method>().map_err(|error| error.to_string());
        self.names.iter().map(named).collect()
    }
}
