//! Tableaus as text, a line for each row of c | A, and one for b and b̂ each.
//! Coefficients stand there exactly, as fractions or with all known digits, so
//! that they can be read with more precision than f64 has.

/// The coefficients in such a text, in the numbers that the reader made of them.
pub(super) struct Table<T> {
    pub(super) c: Vec<T>,
    /// Row i has the i entries left of the diagonal.
    pub(super) rows: Vec<Vec<T>>,
    pub(super) b: Vec<T>,
    pub(super) b_hat: Option<Vec<T>>,
    pub(super) b_low: Option<Vec<T>>,
}

/// Reads a text that comes with kutta; `number` makes p/q of p and q, where q is
/// `1` for a whole or a decimal number.
pub(super) fn read<T>(text: &str, number: impl Fn(&str, &str) -> T) -> Table<T> {
    let number = fraction(number);
    let (mut c, mut rows, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    for line in text.lines() {
        let (at, entries) = line.split_once('|').unwrap_or(("", line));
        let entries = entries.split_whitespace().map(&number).collect();
        match at.trim() {
            "" => weights.push(entries),
            at => {
                c.push(number(at));
                rows.push(entries);
            }
        }
    }
    let mut weights = weights.into_iter();
    let b = weights.next().unwrap_or_default();
    Table { c, rows, b, b_hat: weights.next(), b_low: weights.next() }
}

/// Reads `p/q`, `p` and decimals.
fn fraction<T>(number: impl Fn(&str, &str) -> T) -> impl Fn(&str) -> T {
    move |word| {
        let (p, q) = word.split_once('/').unwrap_or((word, "1"));
        number(p, q)
    }
}

/// A text of nothing but numbers, line by line.
pub(super) fn lines<T>(text: &str, number: impl Fn(&str, &str) -> T) -> Vec<Vec<T>> {
    let number = fraction(number);
    text.lines().map(|line| line.split_whitespace().map(&number).collect()).collect()
}

/// p/q to the nearest f64, but for the last bit where p or q is beyond 2⁵³.
pub(super) fn quotient(p: &str, q: &str) -> f64 {
    let parse = |x: &str| x.parse().unwrap_or(f64::NAN);
    parse(p) / parse(q)
}

/// Text on one line that a terminal can bear: control characters, and those that turn the
/// direction of what follows, as escapes.
///
/// ```
/// use kutta::tableau::printable;
/// assert_eq!(printable("a\n\u{1b}[31mé"), r"a\n\u{1b}[31mé");
/// ```
pub fn printable(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        match c.is_control() || turns {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown
}
