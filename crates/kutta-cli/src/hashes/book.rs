//! A file of hashes, by adapter and driver.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use kutta::wgpu;
use kutta_cli::names;

const HEAD: &str = "\
# SHA-256 of θ after each recipe of `kutta hashes`, by adapter and driver: [name, backend,
# driver], then `recipe hash` lines. Bits are promised for one adapter and driver alone.
# `kutta hashes --add FILE` writes this machine's block.
";

/// What of an adapter its bits may depend on.
pub fn adapter(info: &wgpu::AdapterInfo) -> String {
    format!("{}, {}, {}", info.name, info.backend, names::driver(info))
}

/// Hashes by recipe, by adapter.
#[derive(Debug, Default, PartialEq)]
pub struct Book(BTreeMap<String, BTreeMap<String, String>>);

impl Book {
    /// Replaces what it has of an adapter.
    pub fn insert(&mut self, adapter: &str, found: &[(String, String)]) {
        self.0.insert(adapter.to_owned(), found.iter().cloned().collect());
    }

    /// Says what is not as it was, a line each; none for an adapter that it does not know.
    pub fn differences(&self, adapter: &str, found: &[(String, String)]) -> Option<Vec<String>> {
        let kept = self.0.get(adapter)?;
        let mut lines: Vec<String> = found
            .iter()
            .filter_map(|(recipe, hash)| match kept.get(recipe) {
                Some(kept) if kept == hash => None,
                Some(kept) => Some(format!("{recipe}: {kept} became {hash}")),
                None => Some(format!("{recipe}: the file does not have it")),
            })
            .collect();
        let gone = |recipe: &String| found.iter().all(|(name, _)| name != recipe);
        lines.extend(
            kept.keys().filter(|recipe| gone(recipe)).map(|recipe| format!("{recipe}: gone")),
        );
        Some(lines)
    }
}

impl FromStr for Book {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut book = BTreeMap::<String, BTreeMap<String, String>>::new();
        let mut adapter = None;
        for (n, line) in (1..).zip(text.lines()) {
            let fault = |what: &str| Err(format!("line {n}: {what}: {line:?}"));
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                if book.insert(name.to_owned(), BTreeMap::new()).is_some() {
                    return fault("this adapter has a block above");
                }
                adapter = Some(name.to_owned());
                continue;
            }
            let Some(block) = adapter.as_ref().and_then(|name| book.get_mut(name)) else {
                return fault("it stands below no [adapter]");
            };
            let Some((recipe, hash)) = line.split_once(' ') else {
                return fault("a recipe and its hash were expected");
            };
            let is_hash = hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
            if !is_hash {
                return fault("a hash has 64 hexadecimal digits");
            }
            if block.insert(recipe.to_owned(), hash.to_owned()).is_some() {
                return fault("this recipe stands twice");
            }
        }
        Ok(Self(book))
    }
}

impl fmt::Display for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEAD)?;
        for (adapter, hashes) in &self.0 {
            writeln!(f, "\n[{adapter}]")?;
            for (recipe, hash) in hashes {
                writeln!(f, "{recipe} {hash}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[&str], digit: char) -> Vec<(String, String)> {
        names.iter().map(|name| ((*name).to_owned(), digit.to_string().repeat(64))).collect()
    }

    #[test]
    fn a_book_is_read_as_it_was_written_and_tells_what_differs() {
        let mut book = Book::default();
        book.insert("one, vulkan, driver 1", &found(&["a", "b"], '1'));
        book.insert("two, metal, driver 2", &found(&["a"], '2'));
        let mut read: Book = book.to_string().parse().unwrap();
        assert_eq!(read, book);
        assert_eq!(read.differences("three", &[]), None);
        let same = read.differences("one, vulkan, driver 1", &found(&["b", "a"], '1'));
        assert_eq!(same, Some(vec![]));
        let lines = read.differences("one, vulkan, driver 1", &found(&["a", "c"], '2')).unwrap();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].starts_with("a: 1111") && lines[0].contains("became 2222"), "{lines:?}");
        assert_eq!(lines[1..], ["c: the file does not have it", "b: gone"]);
        read.insert("one, vulkan, driver 1", &found(&["a"], '3'));
        assert_eq!(read.differences("two, metal, driver 2", &found(&["a"], '2')), Some(vec![]));
    }

    #[test]
    fn faults_of_a_file_name_the_line() {
        let hash = "0".repeat(64);
        for (text, expected) in [
            (format!("a {hash}"), "line 1: it stands below no [adapter]"),
            (format!("# head\n[x]\na {hash}\na {hash}"), "line 4: this recipe stands twice"),
            ("[x]\na".to_owned(), "line 2: a recipe and its hash were expected"),
            ("[x]\na 12".to_owned(), "line 2: a hash has 64 hexadecimal digits"),
            ("[x]\n[x]".to_owned(), "line 2: this adapter has a block above"),
        ] {
            let error = text.parse::<Book>().unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
