//! Lists everything that keeps coefficients from being a tableau.

use super::{MAX_COEFFICIENT, MAX_STAGES, TableauError};

/// The relative error that a sum may have, by the sum of its terms' sizes: room for
/// the rounding of 64 terms in f64, and none for a wrong digit.
const SUM_TOLERANCE: f64 = 1e-12;

/// Coefficients before anybody has looked at them. What could not be read at
/// all is `None`, and no check that would need it is made.
pub(super) struct Parts<'p> {
    pub(super) name: &'p str,
    pub(super) a: Option<&'p [&'p [f64]]>,
    pub(super) b: Option<&'p [f64]>,
    pub(super) b_hat: Option<&'p [f64]>,
    pub(super) b_low: Option<&'p [f64]>,
    pub(super) c: Option<&'p [f64]>,
}

impl Parts<'_> {
    /// One error for each fault, from the top of the tableau to the bottom. A
    /// sum is looked at only if all of its terms are good, and so is a length.
    pub(super) fn faults(&self) -> Vec<TableauError> {
        let mut faults = Vec::new();
        // As many as b says; without a b that counts, no length can be wrong.
        let mut stages = self.b.map(<[f64]>::len);
        if let Some(found) = stages.filter(|s| !(1..=MAX_STAGES).contains(s)) {
            faults.push(TableauError::Stages { tableau: self.name(), found, max: MAX_STAGES });
            stages = None;
        }
        let rows = self.a.unwrap_or_default();
        if let (Some(a), Some(expected)) = (self.a, stages)
            && a.len() != expected
        {
            faults.push(TableauError::Rows { tableau: self.name(), expected, found: a.len() });
        }
        // Bounds the list, whatever is in a file.
        let rows = &rows[..rows.len().min(MAX_STAGES)];
        let good: Vec<bool> = rows
            .iter()
            .enumerate()
            .map(|(i, entries)| {
                let before = faults.len();
                self.row(i, entries, stages, &mut faults);
                faults.len() == before
            })
            .collect();
        for (vector, weights) in [("b", self.b), ("b_hat", self.b_hat), ("b_low", self.b_low)] {
            if let Some(weights) = weights {
                self.weights(vector, weights, stages, &mut faults);
            }
        }
        if let Some(c) = self.c
            && self.vector("c", c, stages, &mut faults)
            && (stages.is_some() || self.a.is_some_and(|a| a.len() == c.len()))
        {
            for (i, (row, &c)) in rows.iter().zip(c).enumerate() {
                let sum = sum(row);
                if good[i] && usable(c) && !agrees(sum, c, row) {
                    faults.push(TableauError::RowSum { tableau: self.name(), row: i + 1, sum, c });
                }
            }
        }
        if self.b.is_some() && self.b == self.b_hat {
            faults.push(TableauError::EmbeddedEqual { tableau: self.name() });
        }
        if self.b_low.is_some() && self.b_hat.is_none() {
            faults.push(TableauError::LowerAlone { tableau: self.name() });
        }
        faults
    }

    fn name(&self) -> String {
        self.name.to_owned()
    }

    /// Row i, from 0.
    fn row(
        &self,
        i: usize,
        entries: &[f64],
        stages: Option<usize>,
        faults: &mut Vec<TableauError>,
    ) {
        let found = entries.len();
        // A lower triangle with its diagonal is how implicit methods are
        // written: the diagonal is the fault there, and not the length.
        let diagonal = found == i + 1 && entries[i] != 0.0;
        if let Some(stages) = stages
            && found != i
            && found != stages
            && !diagonal
        {
            let (tableau, row) = (self.name(), i + 1);
            faults.push(TableauError::RowLength { tableau, row, stages, found });
        }
        let fits = stages.is_none_or(|stages| found == stages) || diagonal;
        for (j, &value) in entries.iter().take(MAX_STAGES).enumerate() {
            if !usable(value) {
                faults.push(self.coefficient("a", i, j, value));
            } else if fits && j >= i && value != 0.0 {
                let (tableau, row, column) = (self.name(), i + 1, j + 1);
                faults.push(TableauError::Implicit { tableau, row, column, value });
            }
        }
    }

    fn weights(
        &self,
        vector: &'static str,
        weights: &[f64],
        stages: Option<usize>,
        faults: &mut Vec<TableauError>,
    ) {
        let good = self.vector(vector, weights, stages, faults);
        if good && stages.is_some() && weights.iter().all(|&x| usable(x)) {
            let sum = sum(weights);
            if !agrees(sum, 1.0, weights) {
                faults.push(TableauError::WeightSum { tableau: self.name(), vector, sum });
            }
        }
    }

    /// Looks at the entries; whether there are as many as stages.
    fn vector(
        &self,
        vector: &'static str,
        entries: &[f64],
        stages: Option<usize>,
        faults: &mut Vec<TableauError>,
    ) -> bool {
        let found = entries.len();
        let wrong = stages.filter(|&stages| stages != found);
        if let Some(expected) = wrong {
            faults.push(TableauError::Length { tableau: self.name(), vector, expected, found });
        }
        for (i, &value) in entries.iter().take(MAX_STAGES).enumerate() {
            if !usable(value) {
                // c is a column of the tableau, weights are rows.
                let (row, column) = if vector == "c" { (i, 0) } else { (0, i) };
                faults.push(self.coefficient(vector, row, column, value));
            }
        }
        wrong.is_none()
    }

    fn coefficient(&self, vector: &'static str, row: usize, column: usize, x: f64) -> TableauError {
        TableauError::Coefficient {
            tableau: self.name(),
            vector,
            row: row + 1,
            column: column + 1,
            value: format!("{x:?}"),
            max: MAX_COEFFICIENT,
        }
    }
}

/// Adds from +0.0 up: an empty `sum()` is −0.0.
pub(super) fn sum(terms: &[f64]) -> f64 {
    terms.iter().fold(0.0, |sum, x| sum + x)
}

fn usable(coefficient: f64) -> bool {
    coefficient.abs() <= MAX_COEFFICIENT // false for NaN
}

/// Tells whether the sum of `terms` is `expected` up to rounding.
fn agrees(sum: f64, expected: f64, terms: &[f64]) -> bool {
    let size = terms.iter().map(|x| x.abs()).sum::<f64>();
    (sum - expected).abs() <= SUM_TOLERANCE * size.max(1.0)
}
