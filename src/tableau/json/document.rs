//! The structure of a text, and where things stand in it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::tableau::{MAX_STAGES, TableauError, printable};

const FIELDS: [&str; 7] = ["name", "source", "a", "b", "b_hat", "b_low", "c"];
pub(super) const LIST: &str = "a list of numbers or fractions, such as [0.5, \"1/3\"]";
pub(super) const ROWS: &str = "a list of rows, such as [[], [\"1/2\"]]";
pub(super) const TEXT: &str = "text in double quotes";

/// The entries of a list, as they are written.
pub(super) type List<'t> = Vec<&'t str>;

/// The text, and the same with what JSON has no words for masked.
pub(super) struct Document<'t> {
    pub(super) text: &'t str,
    pub(super) masked: &'t str,
}

/// A value by its text, and where it begins.
pub(super) struct Spot<'t> {
    pub(super) text: &'t str,
    place: Place,
}

/// The values of [`FIELDS`].
pub(super) struct Fields<'t>(pub(super) [Option<Spot<'t>>; 7]);

impl<'t> Document<'t> {
    pub(super) fn fields(
        &self,
        faults: &mut Vec<TableauError>,
    ) -> Result<Fields<'t>, TableauError> {
        let pairs: Pairs = serde_json::from_str(self.masked).map_err(|e| self.syntax(&e))?;
        let mut fields = Fields(Default::default());
        let mut seen = [0; 7];
        let mut place = Place::START;
        for (key, value) in pairs.0 {
            let key = self.spot(key, place);
            let value = self.spot(value, key.place);
            place = value.place;
            let Place { line, column, .. } = key.place;
            let name: Option<Cow<str>> = serde_json::from_str(key.text).ok();
            match FIELDS.iter().position(|field| name.as_deref() == Some(field)) {
                Some(i) if seen[i] > 0 => faults.push(TableauError::DuplicateField {
                    line,
                    column,
                    field: FIELDS[i],
                    first: seen[i],
                }),
                Some(i) => (seen[i], fields.0[i]) = (line, Some(value)),
                None => faults.push(TableauError::UnknownField {
                    line,
                    column,
                    field: shown(name.as_deref().unwrap_or(key.text)),
                    known: FIELDS.join(", "),
                }),
            }
        }
        Ok(fields)
    }

    fn syntax(&self, error: &serde_json::Error) -> TableauError {
        // serde_json counts bytes, people and editors characters.
        let (line, bytes) = (error.line().max(1), error.column().max(1));
        let before = self.text.split('\n').nth(line - 1).unwrap_or_default();
        let column = 1 + before.char_indices().take_while(|(at, _)| at + 1 < bytes).count();
        let reason = error.to_string();
        let reason = reason.rsplit_once(" at line ").map_or(reason.as_str(), |(head, _)| head);
        TableauError::Syntax { line, column, reason: reason.into() }
    }

    /// Finds the text that serde_json left as it is, at or after `from`.
    fn spot(&self, raw: &RawValue, from: Place) -> Spot<'t> {
        let start = raw.get().as_ptr() as usize - self.masked.as_ptr() as usize;
        let text = &self.text[start..start + raw.get().len()];
        Spot { text, place: from.ahead(self.text, start) }
    }

    fn kind(&self, spot: &Spot, field: &str, wanted: &'static str) -> TableauError {
        let Place { line, column, .. } = spot.place;
        let (field, found) = (field.to_owned(), shown(spot.text));
        TableauError::FieldKind { line, column, field, found, wanted }
    }

    pub(super) fn string(
        &self,
        spot: &Spot,
        field: &str,
        faults: &mut Vec<TableauError>,
    ) -> Option<String> {
        let string = serde_json::from_str(spot.text).ok();
        if string.is_none() {
            faults.push(self.kind(spot, field, TEXT));
        }
        string
    }

    fn entries(&self, spot: &Spot) -> Option<Vec<&'t RawValue>> {
        let start = spot.place.offset;
        serde_json::from_str(&self.masked[start..start + spot.text.len()]).ok()
    }

    pub(super) fn list(
        &self,
        spot: &Spot,
        field: &str,
        faults: &mut Vec<TableauError>,
    ) -> Option<List<'t>> {
        let Some(entries) = self.entries(spot) else {
            faults.push(self.kind(spot, field, LIST));
            return None;
        };
        Some(entries.into_iter().map(|raw| self.written(raw)).collect())
    }

    fn written(&self, raw: &RawValue) -> &'t str {
        let start = raw.get().as_ptr() as usize - self.masked.as_ptr() as usize;
        &self.text[start..start + raw.get().len()]
    }

    /// Rows that are no lists are empty, and counted from 1 in `broken`.
    pub(super) fn rows(
        &self,
        spot: &Spot,
        broken: &mut Vec<usize>,
        faults: &mut Vec<TableauError>,
    ) -> Option<Vec<List<'t>>> {
        let Some(rows) = self.entries(spot) else {
            faults.push(self.kind(spot, "`a`", ROWS));
            return None;
        };
        let row = |(i, raw): (usize, &RawValue)| {
            // Beyond these only their number is of interest.
            if i >= MAX_STAGES {
                return List::new();
            }
            let field = format!("row {} of `a`", i + 1);
            self.list(&self.spot(raw, spot.place), &field, faults).unwrap_or_else(|| {
                broken.push(i + 1);
                List::new()
            })
        };
        Some(rows.into_iter().enumerate().map(row).collect())
    }
}

/// An object's keys and values in order, repeated ones too.
struct Pairs<'t>(Vec<(&'t RawValue, &'t RawValue)>);

impl<'de: 't, 't> Deserialize<'de> for Pairs<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object with the fields name, a and b")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Lines and columns count from 1, in characters.
#[derive(Clone, Copy)]
pub(super) struct Place {
    offset: usize,
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Place {
    pub(super) const START: Self = Self { offset: 0, line: 1, column: 1 };

    /// The place of a later offset.
    pub(super) fn ahead(mut self, text: &str, offset: usize) -> Self {
        for c in text[self.offset..offset].chars() {
            (self.line, self.column) =
                if c == '\n' { (self.line + 1, 1) } else { (self.line, self.column + 1) };
        }
        Self { offset, ..self }
    }
}

/// Python and JavaScript write NaN and Infinity bare, which would end the
/// reading. Here a string as long stands in their place; they are told apart
/// by the text as it was.
pub(super) fn masked(text: &str) -> Cow<'_, str> {
    const WORDS: [&str; 3] = ["infinity", "inf", "nan"];
    let mut masked: Option<Vec<u8>> = None;
    let bytes = text.as_bytes();
    let letter = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_alphanumeric);
    let (mut at, mut quoted) = (0, false);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            _ if quoted || (at > 0 && letter(at - 1)) => {}
            first => {
                let sign = usize::from(matches!(first, b'-' | b'+'));
                let is = |word: &&&str| {
                    let end = at + sign + word.len();
                    let found = bytes.get(at + sign..end);
                    found.is_some_and(|found| found.eq_ignore_ascii_case(word.as_bytes()))
                        && !letter(end)
                };
                if let Some(word) = WORDS.iter().find(is) {
                    let end = at + sign + word.len();
                    let masked = masked.get_or_insert_with(|| bytes.to_vec());
                    masked[at..end].fill(b'~');
                    (masked[at], masked[end - 1]) = (b'"', b'"');
                    at = end - 1;
                }
            }
        }
        at += 1;
    }
    match masked.map(String::from_utf8) {
        Some(Ok(masked)) => masked.into(),
        _ => text.into(),
    }
}

/// Shows a text on one line, cut to what a message can bear.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 48;
    let mut shown = printable(&text.chars().take(MOST).collect::<String>());
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}
