//! Tableaus as JSON: everything wrong with a file is said at once.
//!
//! serde_json finds the structure and leaves every key and entry as the text
//! it is, so that a fault can quote it and say where it stands.

mod document;

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::check::Parts;
use super::{Tableau, text};
use crate::tableau::TableauError;
use document::{Document, LIST, List, Place, ROWS, TEXT, masked, shown};

/// Four times what 64 stages with fractions of 60 characters need: a file that
/// was not meant is refused before it costs anything.
const MAX_BYTES: usize = 1 << 20;

impl Tableau {
    /// A method of your own from JSON:
    ///
    /// ```
    /// use kutta::Tableau;
    /// let text = r#"{
    ///     "name": "mine",
    ///     "source": "my thesis, table 2",
    ///     "a": [[], ["1/3"], [0, "2/3"]],
    ///     "b": [0.25, 0, 0.75]
    /// }"#;
    /// let mine = Tableau::from_json(text)?;
    /// assert_eq!((mine.name(), mine.stages(), mine.order()), ("mine", 3, 3));
    ///
    /// // Every fault has its line.
    /// let wrong = text.replace("0.25", "NaN").replace("[\"1/3\"]", "[\"1/0\"]");
    /// let message = Tableau::from_json(&wrong).unwrap_err().to_string();
    /// assert!(message.contains("row 2, column 1 of a in tableau `mine` is \"1/0\""));
    /// assert!(message.contains("row 1, column 1 of b in tableau `mine` is NaN"));
    /// assert_eq!(message.lines().count(), 2);
    /// # Ok::<(), kutta::Error>(())
    /// ```
    ///
    /// | field | | |
    /// |---|---|---|
    /// | `name` | needed | as `Display` prints it |
    /// | `source` | `"user-defined"` | where the method comes from |
    /// | `a` | needed | a row for each stage: the entries left of the diagonal, or all s |
    /// | `b` | needed | the weights, as many as stages |
    /// | `b_hat` | none | the embedded weights, for an error estimate |
    /// | `b_low` | none | embedded weights of lower order, for a second one |
    /// | `c` | the sums of the rows of `a` | where in the step the stages lie |
    ///
    /// An entry is a number, or a number or fraction in quotes: `0.2`, `"1/5"`,
    /// `"-2187/6784"`. A fraction is the nearest f64 if its two numbers are
    /// whole and below 2⁵³, and may miss it by the last bit beyond.
    ///
    /// # Errors
    /// [`TableauError::Json`], which lists every fault: those of
    /// [`Tableau::new`] and [`Tableau::with_embedded`] by row and column of the
    /// tableau; unknown, repeated and mistyped fields by line and column of the
    /// text; fields that are missing; and the first fault against JSON itself,
    /// after which nothing can be read. Bare `NaN` and `Infinity`, as Python
    /// writes them, count as entries.
    pub fn from_json(text: &str) -> Result<Self, TableauError> {
        read(text).map_err(|faults| TableauError::Json { file: None, faults })
    }

    /// Reads a tableau as [`Tableau::from_json`] does, from a file whose name heads every line.
    ///
    /// ```
    /// use kutta::Tableau;
    /// let mine = Tableau::load("examples/butcher5.json")?;
    /// assert_eq!((mine.stages(), mine.order()), (6, 5));
    ///
    /// let none = Tableau::load("none.json").unwrap_err().to_string();
    /// assert!(none.starts_with("none.json: the file cannot be read"));
    /// # Ok::<(), kutta::Error>(())
    /// ```
    ///
    /// # Errors
    /// A file that cannot be read or is larger than 1 MiB, and those of
    /// [`Tableau::from_json`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, TableauError> {
        let path = path.as_ref();
        let text = file_text(path).map_err(|fault| vec![fault]);
        text.and_then(|text| read(&text))
            .map_err(|faults| TableauError::Json { file: Some(path.into()), faults })
    }

    /// The tableau as JSON that [`Tableau::from_json`] reads back to the same
    /// bits, each number in the fewest digits that allow it.
    ///
    /// ```
    /// use kutta::Tableau;
    /// let text = Tableau::dp5().to_json();
    /// assert!(text.contains("\"b_hat\": [0.08991319444444444,"));
    /// assert_eq!(Tableau::from_json(&text)?, Tableau::dp5());
    /// # Ok::<(), kutta::Error>(())
    /// ```
    pub fn to_json(&self) -> String {
        let quoted = |text: &str| Value::from(text).to_string();
        let list = |numbers: &[f64]| {
            let numbers: Vec<String> =
                numbers.iter().map(|&x| Value::from(x).to_string()).collect();
            format!("[{}]", numbers.join(", "))
        };
        let rows: Vec<String> =
            self.rows.iter().map(|row| format!("\n    {}", list(row))).collect();
        let embedded = |field: &str, weights: &Option<Vec<f64>>| match weights {
            Some(weights) => format!("\n  \"{field}\": {},", list(weights)),
            None => String::new(),
        };
        let b_hat = embedded("b_hat", &self.b_hat) + &embedded("b_low", &self.b_low);
        format!(
            "{{\n  \"name\": {},\n  \"source\": {},\n  \"a\": [{}\n  ],\n  \"b\": {},{b_hat}\n  \
             \"c\": {}\n}}\n",
            quoted(&self.name),
            quoted(&self.source),
            rows.join(","),
            list(&self.b),
            list(&self.c),
        )
    }
}

/// At most one byte more than is allowed, so that a file without an end is
/// refused too.
fn file_text(path: &Path) -> Result<String, TableauError> {
    let unreadable = |e: std::io::Error| TableauError::Unreadable { reason: e.to_string() };
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(unreadable)?.take(MAX_BYTES as u64 + 1);
    file.read_to_end(&mut bytes).map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..good]);
        // A cut at the limit may have gone through a character.
        if error.as_bytes().len() > MAX_BYTES {
            return TableauError::TooLong { found: error.as_bytes().len(), max: MAX_BYTES };
        }
        let Place { line, column, .. } = Place::START.ahead(&before, good);
        TableauError::Syntax { line, column, reason: "this byte is no UTF-8".into() }
    })
}

fn read(text: &str) -> Result<Tableau, Vec<TableauError>> {
    if text.len() > MAX_BYTES {
        return Err(vec![TableauError::TooLong { found: text.len(), max: MAX_BYTES }]);
    }
    // Some editors begin a file with a mark of its byte order.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let masked = masked(text);
    let document = Document { text, masked: &masked };
    let mut faults = Vec::new();
    let fields = document.fields(&mut faults).map_err(|fault| vec![fault])?;

    let missing = |field, wanted| TableauError::MissingField { field, wanted };
    let [name, source, a, b, b_hat, b_low, c] = fields.0;
    // What need not be there may also be null.
    let [source, b_hat, b_low, c] =
        [source, b_hat, b_low, c].map(|spot| spot.filter(|s| s.text != "null"));
    let name = match &name {
        Some(spot) => document.string(spot, "`name`", &mut faults),
        None => {
            faults.push(missing("name", TEXT));
            None
        }
    };
    let source = source.and_then(|spot| document.string(&spot, "`source`", &mut faults));
    if a.is_none() {
        faults.push(missing("a", ROWS));
    }
    if b.is_none() {
        faults.push(missing("b", LIST));
    }
    let mut broken = Vec::new();
    let a = a.and_then(|spot| document.rows(&spot, &mut broken, &mut faults));
    let [b, b_hat, b_low, c] = [("`b`", b), ("`b_hat`", b_hat), ("`b_low`", b_low), ("`c`", c)]
        .map(|(field, spot)| document.list(&spot?, field, &mut faults));

    let numbers = |list: &List| list.iter().map(|text| number(text)).collect::<Vec<f64>>();
    let [b_numbers, b_hat_numbers, b_low_numbers, c_numbers] =
        [&b, &b_hat, &b_low, &c].map(|v| v.as_ref().map(numbers));
    let rows: Option<Vec<Vec<f64>>> = a.as_ref().map(|a| a.iter().map(numbers).collect());
    let rows: Option<Vec<&[f64]>> =
        rows.as_ref().map(|rows| rows.iter().map(Vec::as_slice).collect());
    let parts = Parts {
        name: &shown(name.as_deref().unwrap_or("unnamed")),
        a: rows.as_deref(),
        b: b_numbers.as_deref(),
        b_hat: b_hat_numbers.as_deref(),
        b_low: b_low_numbers.as_deref(),
        c: c_numbers.as_deref(),
    };
    for mut fault in parts.faults() {
        match &mut fault {
            TableauError::RowLength { row, .. } | TableauError::RowSum { row, .. }
                if broken.contains(row) =>
            {
                continue; // It is no row, which has been said.
            }
            TableauError::Coefficient { vector, row, column, value, .. } => {
                let (i, j) = (*row - 1, *column - 1);
                let of =
                    |list: &Option<List<'_>>, at: usize| Some(list.as_ref()?.get(at)?.to_string());
                let written = match *vector {
                    "a" => a.as_ref().and_then(|a| Some(a.get(i)?.get(j)?.to_string())),
                    "b" => of(&b, j),
                    "b_hat" => of(&b_hat, j),
                    "b_low" => of(&b_low, j),
                    _ => of(&c, i),
                };
                if let Some(written) = written {
                    *value = shown(&written);
                }
            }
            _ => {}
        }
        faults.push(fault);
    }
    let (Some(name), Some(rows), Some(b), true) = (name, rows, b_numbers, faults.is_empty()) else {
        return Err(faults);
    };
    let one = |fault| vec![fault];
    let mut tableau = Tableau::new(name, &rows, &b, c_numbers.as_deref()).map_err(one)?;
    if let Some(b_hat) = b_hat_numbers {
        tableau = tableau.with_embedded(&b_hat).map_err(one)?;
    }
    if let Some(b_low) = b_low_numbers {
        tableau = tableau.with_lower(&b_low).map_err(one)?;
    }
    Ok(match source {
        Some(source) => tableau.with_source(source),
        None => tableau,
    })
}

/// An entry: a number, or a number or fraction in quotes; NaN for anything
/// else.
fn number(entry: &str) -> f64 {
    let quoted: Option<Cow<str>> = serde_json::from_str(entry).ok();
    let entry = quoted.as_deref().unwrap_or(entry);
    let (p, q) = entry.split_once('/').unwrap_or((entry, "1"));
    let (p, q) = (p.trim(), q.trim());
    // 1/inf would be 0.
    if q.parse().is_ok_and(f64::is_finite) { text::quotient(p, q) } else { f64::NAN }
}
