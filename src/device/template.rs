//! Shaders whose number of bindings depends on the operation: lines of a `.wgsl` file
//! that are repeated for each input or output, or left out.
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

/// The names that the lines of a template may use.
#[derive(Default)]
pub(crate) struct Table {
    /// Flags of `if`.
    pub(crate) flags: Vec<(&'static str, bool)>,
    /// Lists of `for`, and of `{list[j]}` in there. The name may hold a loop's number.
    pub(crate) lists: Vec<(String, Vec<String>)>,
}

impl Table {
    fn list(&self, name: &str) -> &[String] {
        let found = self.lists.iter().find(|(known, _)| known == name);
        found.map_or(&[], |(_, list)| list.as_slice())
    }

    fn flag(&self, name: &str) -> bool {
        self.flags.iter().any(|&(known, set)| known == name && set)
    }

    /// The text that `template` stands for.
    pub(crate) fn expand(&self, template: &str) -> String {
        let lines: Vec<&str> = template.lines().collect();
        let mut text = String::new();
        self.block(&lines, &mut Vec::new(), &mut text);
        text
    }

    fn block(&self, lines: &[&str], loops: &mut Vec<(String, usize)>, text: &mut String) {
        let mut at = 0;
        while at < lines.len() {
            let line = self.line(lines[at], loops);
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["//:", "for", variable, "in", list] => {
                    let inside = &lines[at + 1..at + 1 + inner(&lines[at + 1..])];
                    for i in 0..self.list(list).len() {
                        loops.push(((*variable).to_owned(), i));
                        self.block(inside, loops, text);
                        loops.pop();
                    }
                    at += inside.len() + 2;
                }
                ["//:", "if", flag] => {
                    let inside = &lines[at + 1..at + 1 + inner(&lines[at + 1..])];
                    if self.flag(flag) {
                        self.block(inside, loops, text);
                    }
                    at += inside.len() + 2;
                }
                _ => {
                    *text += &line;
                    text.push('\n');
                    at += 1;
                }
            }
        }
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

/// Lines before the end of a block that has begun.
fn inner(lines: &[&str]) -> usize {
    let mut depth = 1;
    for (i, line) in lines.iter().enumerate() {
        let mut words = line.split_whitespace();
        if words.next() == Some("//:") {
            match words.next() {
                Some("end") => depth -= 1,
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
        assert_eq!(table.expand(text), expected);
    }
}
