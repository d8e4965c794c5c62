//! A plan as a table.

use std::fmt;

use super::Plan;
use super::op::Op;
use super::touch::{Use, What};
use crate::ingredients::Ingredients;

impl Op {
    /// What is done, what is read, and what is written.
    fn row(&self, ingredients: &Ingredients) -> [String; 3] {
        let touches = self.touches(ingredients);
        let all = |of: fn(&Use) -> bool| {
            let touched = touches.iter().filter(|touch| of(&touch.by));
            touched.filter_map(|touch| touch.what.short()).collect::<Vec<_>>().join(" ")
        };
        [self.text(ingredients), all(|by| by.reads), all(|by| by.writes)]
    }
}

impl What {
    /// A vector and its buffer, or a part of the state that is of θ's length.
    fn short(self) -> Option<String> {
        Some(match self {
            What::Vector(operand) => format!("{}·{}", operand.name, operand.slot),
            What::Second => "v".into(),
            What::Momentum => "m".into(),
            What::Average => "x̄".into(),
            What::Partials
            | What::Checks
            | What::Control
            | What::Loss
            | What::LastLoss
            | What::Ring => {
                return None;
            }
        })
    }
}

/// Each operation, what it reads and writes as vector·buffer, and the words
/// per parameter it moves.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<_> = self
            .ops()
            .iter()
            .map(|op| (op.row(&self.ingredients), op.words(&self.ingredients)))
            .collect();
        let width = |i: usize, least: usize| {
            rows.iter().map(|(row, _)| row[i].chars().count()).fold(least, usize::max)
        };
        let (what, reads, writes) = (width(0, 9), width(1, 5), width(2, 6));
        writeln!(f, "{}: {} gradients a step", self.method(), self.evaluations())?;
        writeln!(f, " #  {:what$}  {:reads$}  {:writes$}  words", "operation", "reads", "writes")?;
        for (i, (row, words)) in rows.iter().enumerate() {
            let words = if *words == 0 { "–".to_owned() } else { words.to_string() };
            let [a, b, c] = row;
            writeln!(f, "{:2}  {a:what$}  {b:reads$}  {c:writes$}  {words:>5}", i + 1)?;
        }
        let (bare, guarded) = (self.words_bare(), self.words_guarded());
        writeln!(
            f,
            "words per parameter: {bare} bare, {guarded} guarded; {} unfused. resident vectors: {}",
            self.words_unfused(),
            self.resident_vectors()
        )?;
        let (bare, guarded) = (self.bytes_bare(), self.bytes_guarded());
        let resident = self.resident_bytes();
        write!(f, "bytes per parameter: {bare} bare, {guarded} guarded; {resident} resident")
    }
}
