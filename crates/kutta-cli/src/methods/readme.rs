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
    "<!-- The rows are computed: cargo run --release -p kutta-cli -- methods --readme -->\n";
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The pages as they are in the repository; a package has none of them.
    fn texts() -> [String; 2] {
        PAGES.map(|page| {
            let path = format!("{}/../../{}", env!("CARGO_MANIFEST_DIR"), page.path);
            std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
        })
    }

    #[test]
    fn the_tables_of_methods_are_computed() {
        let texts = texts();
        for (page, text) in PAGES.iter().zip(&texts) {
            let updated = page.updated(text).unwrap();
            assert!(
                updated == *text,
                "{}: run `cargo run --release -p kutta-cli -- methods --readme`; it should be\n{updated}",
                page.path
            );
        }
        let rows = |text: &str| text.lines().filter(|line| line.starts_with("| `")).count();
        let table = |text: &str| rows(text.split_once(START).unwrap().1.split_once(END).unwrap().0);
        assert_eq!(table(&texts[0]), 6);
        assert_eq!(table(&texts[1]), kutta::Method::all().len());
    }

    #[test]
    fn a_table_that_is_not_up_to_date_is_seen() {
        for (page, text) in PAGES.iter().zip(texts()) {
            for (right, wrong) in [
                ("| `rk4` | 4 | 4 | 2.7853 |", "| `rk4` | 4 | 4 | 2.785 |"),
                ("26 / 27 / 60, 6 | 32 / 34", "26 / 27 / 60, 6 | 33 / 34"),
                ("| `euler` | 1 |", "| `euler2` | 1 |"),
            ] {
                assert_eq!(text.matches(right).count(), 1, "{right}");
                let stale = text.replace(right, wrong);
                let updated = page.updated(&stale).unwrap();
                assert!(updated != stale && updated == text, "{wrong} went unseen");
            }
        }
        // What stands around the marks stays; and without one there is an error.
        let around = |text: &str| PAGES[0].updated(&format!("# A\n{text}# B\n"));
        let text = around(&format!("{START}old\n{END}")).unwrap();
        assert!(text.starts_with("# A\n<!--") && text.ends_with("-->\n# B\n"), "{text}");
        assert!(!text.contains("old") && text.contains("\n| `rk4` | 4 |"), "{text}");
        assert!(around(START).unwrap_err().contains(END.trim_end()));
        assert!(around(END).unwrap_err().contains(START.trim_end()));
        let unknown = Page { path: "README.md", names: &["rk5"] };
        assert!(unknown.updated(&format!("{START}{END}")).unwrap_err().contains("rk5"));
    }
}
