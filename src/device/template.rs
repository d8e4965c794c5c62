//! The texts of shaders: what a `.wgsl` file includes by name, and lines of it that are
//! repeated for each input or output, or left out.
//!
//! A file says which shared texts it needs; each comes once, with what it needs itself:
//!
//! ```wgsl
//! //: use traversal partials
//! ```
//!
//! Which storage buffers a kernel may bind is a matter of its text, not of overrides: a
//! binding that is named anywhere in it counts. So a file that reads "any number of
//! gradients" says so:
//!
//! ```wgsl
//! //: for j in terms
//! sum += weights[{j}] * {terms[j]};
//! //: end
//! //: if state
//! let d = diagonal(i);
//! //: end
//! ```

use super::library::{LIBRARY, Library, NUMBERS};

/// A text with all that it uses.
pub(crate) fn expand(text: &[&str]) -> String {
    Table::default().expand(text)
}

/// The names that the lines of a template may use.
#[derive(Default)]
pub(crate) struct Table {
    /// Flags of `if`.
    pub(crate) flags: Vec<(&'static str, bool)>,
    /// Lists of `for`, and of `{list[j]}` in there. The name may hold a loop's number.
    pub(crate) lists: Vec<(String, Vec<String>)>,
}

impl Table {
    /// The text that a template stands for.
    pub(crate) fn expand(&self, text: &[&str]) -> String {
        // The tests expand every text there is.
        self.expanded(text, [LIBRARY, NUMBERS]).unwrap_or_else(|fault| unreachable!("{fault}"))
    }

    fn expanded(&self, text: &[&str], libraries: [Library; 2]) -> Result<String, String> {
        let mut writer = Writer {
            table: self,
            libraries,
            set: vec![],
            made: String::new(),
            used: vec![],
            under_way: vec![],
        };
        let lines: Vec<&str> = text.iter().flat_map(|part| part.lines()).collect();
        writer.block(&lines, &mut Vec::new())?;
        Ok(writer.made)
    }

    fn list(&self, name: &str) -> &[String] {
        let found = self.lists.iter().find(|(known, _)| known == name);
        found.map_or(&[], |(_, list)| list.as_slice())
    }

    fn line(&self, line: &str, loops: &[(String, usize)]) -> String {
        let mut line = line.to_owned();
        for (variable, i) in loops {
            line = line.replace(&format!("{{{variable}}}"), &i.to_string());
            for (name, list) in &self.lists {
                if let Some(value) = list.get(*i) {
                    line = line.replace(&format!("{{{name}[{variable}]}}"), value);
                }
            }
        }
        line
    }
}

/// A text being expanded.
struct Writer<'a> {
    table: &'a Table,
    libraries: [Library; 2],
    /// Flags that the text itself set.
    set: Vec<String>,
    made: String,
    /// Names that have had their turn.
    used: Vec<String>,
    /// Of those the ones that are not yet at their end, outermost first.
    under_way: Vec<String>,
}

impl Writer<'_> {
    fn flag(&self, name: &str) -> bool {
        let given = self.table.flags.iter().any(|&(known, set)| known == name && set);
        given || self.set.iter().any(|set| set == name)
    }

    fn block(&mut self, lines: &[&str], loops: &mut Vec<(String, usize)>) -> Result<(), String> {
        let mut at = 0;
        while at < lines.len() {
            let line = self.table.line(lines[at], loops);
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["//:", "for", variable, "in", list] => {
                    let inside = &lines[at + 1..at + 1 + inner(&lines[at + 1..])];
                    for i in 0..self.table.list(list).len() {
                        loops.push(((*variable).to_owned(), i));
                        self.block(inside, loops)?;
                        loops.pop();
                    }
                    at += inside.len() + 2;
                }
                ["//:", "if", flag] => {
                    let inside = &lines[at + 1..at + 1 + inner(&lines[at + 1..])];
                    if self.flag(flag) {
                        self.block(inside, loops)?;
                    }
                    at += inside.len() + 2;
                }
                ["//:", "use", names @ ..] => {
                    for name in names {
                        self.include(name)?;
                    }
                    at += 1;
                }
                ["//:", "set", flags @ ..] => {
                    self.set.extend(flags.iter().map(|&flag| flag.to_owned()));
                    at += 1;
                }
                ["//:", ..] => return Err(format!("a shader's line says `{line}`")),
                _ => {
                    self.made += &line;
                    self.made.push('\n');
                    at += 1;
                }
            }
        }
        Ok(())
    }

    fn include(&mut self, name: &str) -> Result<(), String> {
        if self.under_way.iter().any(|outer| outer == name) {
            let way = self.under_way.join(" uses ");
            return Err(format!("shader texts use each other in a circle: {way} uses {name}"));
        }
        if self.used.iter().any(|used| used == name) {
            return Ok(());
        }
        let mut all = self.libraries.into_iter().flatten();
        let Some((_, text)) = all.find(|(known, _)| *known == name) else {
            let by = self.under_way.last().map_or("a kernel", String::as_str);
            return Err(format!("{by} uses `{name}`, which is no shared text"));
        };
        self.used.push(name.to_owned());
        self.under_way.push(name.to_owned());
        self.block(&text.lines().collect::<Vec<_>>(), &mut Vec::new())?;
        self.under_way.pop();
        Ok(())
    }
}

/// Lines before the end of a block that has begun.
fn inner(lines: &[&str]) -> usize {
    let mut depth = 1;
    for (i, line) in lines.iter().enumerate() {
        let mut words = line.split_whitespace();
        if words.next() == Some("//:") {
            match words.next() {
                Some("end") => depth -= 1,
                Some("use" | "set") => {}
                _ => depth += 1,
            }
        }
        if depth == 0 {
            return i;
        }
    }
    lines.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: Library = &[
        ("leaf", "leaf\n"),
        ("branch", "//: use leaf\nbranch\n"),
        ("tree", "//: use branch\n//: if state\n//: use twig\n//: end\ntree\n"),
        ("twig", "twig\n"),
        ("egg", "//: use leaf hen\n"),
        ("hen", "//: use egg\n"),
        ("lost", "//: use leave\n"),
    ];

    fn expanded(text: &[&str]) -> Result<String, String> {
        Table::default().expanded(text, [SHARED, &[]])
    }

    #[test]
    fn what_is_used_comes_once_with_what_it_uses_itself() {
        let text = "head\n//: use tree leaf\n//: use branch\nown\n";
        assert_eq!(expanded(&[text]).unwrap(), "head\nleaf\nbranch\ntree\nown\n");
        let set = expanded(&["//: set state", text]).unwrap();
        assert_eq!(set, "head\nleaf\nbranch\ntwig\ntree\nown\n");
        // What a part that is left out would have used still comes where it is used later.
        let text = "//: if state\n//: use twig\n//: end\n//: use twig\n";
        assert_eq!(expanded(&[text]).unwrap(), "twig\n");
    }

    #[test]
    fn a_name_that_is_missing_and_a_circle_are_told() {
        let fault = |text| expanded(&[text]).unwrap_err();
        assert_eq!(fault("//: use moment"), "a kernel uses `moment`, which is no shared text");
        assert_eq!(fault("//: use lost"), "lost uses `leave`, which is no shared text");
        let circle = "shader texts use each other in a circle: egg uses hen uses egg";
        assert_eq!(fault("//: use egg"), circle);
        assert_eq!(fault("//: us leaf"), "a shader's line says `//: us leaf`");
    }

    #[test]
    fn blocks_are_repeated_nested_and_left_out() {
        let table = Table {
            flags: vec![("state", true), ("other", false)],
            lists: vec![
                ("outputs".into(), vec!["dst".into(), "also".into()]),
                ("terms".into(), vec!["a".into(), "b".into(), "c".into()]),
                ("own1".into(), vec!["only".into()]),
            ],
        };
        let text = "//: for o in outputs\n//: for j in own{o}\n{o} {own{o}[j]}\n//: end\n//: end\nstart\n//: for o in outputs\n{outputs[o]} =\n  //: for j in terms\n  w[{o}][{j}] \
                    {terms[j]}\n  //: end\n//: end\n//: if state\nd\n//: end\n//: if \
                    other\nnever\n//: end\nend";
        let expected = "1 only\nstart\ndst =\n  w[0][0] a\n  w[0][1] b\n  w[0][2] c\nalso =\n  w[1][0] a\n  \
                        w[1][1] b\n  w[1][2] c\nd\nend\n";
        assert_eq!(table.expand(&[text]), expected);
    }
}
