//! Faults of coefficients and of the files that they come in.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// Faults of a [`Tableau`](crate::Tableau). Rows and columns count from 1.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum TableauError {
    #[error(
        "tableau `{tableau}` has {found} stages (weights in b); it can have 1 to {max}. \
         Larger step sizes come from stabilised methods, not from longer tableaus"
    )]
    Stages { tableau: String, found: usize, max: usize },
    #[error(
        "tableau `{tableau}` has {found} rows in a for {expected} stages (weights in b); \
         give one row per stage, the first one empty"
    )]
    Rows { tableau: String, expected: usize, found: usize },
    #[error(
        "row {row} of a in tableau `{tableau}` has {found} entries; give the {} left of the \
         diagonal, or all {stages} with zeros from the diagonal on", .row - 1
    )]
    RowLength { tableau: String, row: usize, stages: usize, found: usize },
    #[error("{vector} of tableau `{tableau}` has {found} entries for {expected} stages")]
    Length { tableau: String, vector: &'static str, expected: usize, found: usize },
    #[error(
        "row {row}, column {column} of a in tableau `{tableau}` is {value:?}; it must be zero on \
         and above the diagonal, for only explicit methods can be run"
    )]
    Implicit { tableau: String, row: usize, column: usize, value: f64 },
    /// b and b_hat are rows of a tableau, c is a column.
    #[error(
        "row {row}, column {column} of {vector} in tableau `{tableau}` is {value}; coefficients \
         are numbers, finite and at most {max:?} in size. Look for a missing digit or a division \
         by zero"
    )]
    Coefficient {
        tableau: String,
        vector: &'static str,
        row: usize,
        column: usize,
        /// As it is written, where it comes from a file.
        value: String,
        max: f64,
    },
    #[error(
        "row {row} of a in tableau `{tableau}` sums to {sum:?}, but c_{row} = {c:?}; correct one \
         of the two (fractions in full f64 precision), or leave c out to have it derived"
    )]
    RowSum { tableau: String, row: usize, sum: f64, c: f64 },
    #[error(
        "{vector} of tableau `{tableau}` sums to {sum:?}, not to 1: the method would not even \
         follow a constant slope. Give the weights in full f64 precision"
    )]
    WeightSum { tableau: String, vector: &'static str, sum: f64 },
    #[error(
        "the embedded weights b_hat of tableau `{tableau}` equal b: the error estimate would \
         always be zero. Give the weights of another method on the same stages"
    )]
    EmbeddedEqual { tableau: String },
    #[error(
        "`{path}` names a file, and this kutta was built without its feature `json`, which reads it"
    )]
    NoJson { path: PathBuf },
    /// Everything that is wrong with a tableau in JSON, a line for each.
    #[error("{}", listed(.file.as_deref(), .faults))]
    Json { file: Option<PathBuf>, faults: Vec<TableauError> },
    #[error("the file cannot be read: {reason}")]
    Unreadable { reason: String },
    #[error("{found} bytes and more; a tableau of 64 stages fits into {max}")]
    TooLong { found: usize, max: usize },
    #[error(
        "line {line}, column {column}: {reason}. JSON wants double quotes, a comma between entries \
         and none after the last, and no comments"
    )]
    Syntax { line: usize, column: usize, reason: String },
    #[error("line {line}, column {column}: there is no field `{field}`; there are: {known}")]
    UnknownField { line: usize, column: usize, field: String, known: String },
    #[error(
        "line {line}, column {column}: field `{field}` is there already, in line {first}; keep one \
         of the two"
    )]
    DuplicateField { line: usize, column: usize, field: &'static str, first: usize },
    #[error("line {line}, column {column}: {field} is {found}; it must be {wanted}")]
    FieldKind { line: usize, column: usize, field: String, found: String, wanted: &'static str },
    #[error("field `{field}` is missing; add {wanted}")]
    MissingField { field: &'static str, wanted: &'static str },
    #[error(
        "tableau `{tableau}` has weights of lower order, b_low, and no b_hat that they would go \
         with; give b_hat too, or b_low as b_hat"
    )]
    LowerAlone { tableau: String },
    #[error(
        "the registers of method `{method}` make no method: {stages} stages with coefficients that \
         are finite and at most 1e6, and as many embedded weights ({weights} here) or one more, \
         are wanted"
    )]
    Registers { method: String, stages: usize, weights: usize },
    #[error("no method `{name}`; there are: {known}")]
    Unknown { name: String, known: String },
    #[error(
        "{family} has no form of {found} stages; the next number that it has is {next}, the most \
         is {most}"
    )]
    StageCount { family: &'static str, found: u32, next: u32, most: u32 },
    #[error("the damping of {family} must be above 0 and at most 100; this one is {damping:?}")]
    Damping { family: &'static str, damping: f64 },
    #[error(
        "`{part}` in `{method}` is not understood; write NAME:stages=N or NAME:most=N, and for \
         rkc1 and rkcd damping=X"
    )]
    Parameter { method: String, part: String },
}

/// One fault a line, each after the name of the file that it is in.
fn listed(file: Option<&Path>, faults: &[TableauError]) -> String {
    let file = file.map_or(String::new(), |file| format!("{}: ", file.display()));
    let lines: Vec<String> = faults.iter().map(|fault| format!("{file}{fault}")).collect();
    lines.join("\n")
}
