//! The findings of a check of a gradient source.

use std::fmt;

/// The findings of [`Optimizer::check_source`](crate::Optimizer::check_source); as text, a table.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceCheck {
    pub(super) tests: Vec<SourceTest>,
    pub(super) tensors: Vec<TensorCheck>,
    pub(super) notes: Vec<String>,
}

/// One test of a gradient source.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SourceTest {
    /// Name of what was tested, for instance `differences`.
    pub name: &'static str,
    pub outcome: Outcome,
}

/// The outcome of one test.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Sound,
    /// At least one fault.
    Faulty(Vec<SourceFault>),
    /// It could not be made, for this reason.
    Skipped(String),
}

/// Something that a gradient source does wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceFault {
    /// The tensor it was found in, where it was in one.
    pub tensor: Option<String>,
    /// Describes what was found, what was expected, and what to do.
    pub message: String,
}

/// One tensor of the gradient.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TensorCheck {
    pub name: String,
    pub elements: usize,
    /// ‖∇L‖₂ of the tensor.
    pub norm: f64,
    /// The largest part by which ∇L and differences of the loss disagree, where they were
    /// compared and the loss tells enough.
    pub disagreement: Option<f64>,
}

impl SourceCheck {
    /// No test found a fault.
    pub fn is_sound(&self) -> bool {
        self.faults().next().is_none()
    }

    /// The tests, in the order they were made.
    pub fn tests(&self) -> &[SourceTest] {
        &self.tests
    }

    /// All faults, each with the name of the test that found it.
    pub fn faults(&self) -> impl Iterator<Item = (&'static str, &SourceFault)> {
        self.tests.iter().flat_map(|test| match &test.outcome {
            Outcome::Faulty(faults) => faults.iter().map(|fault| (test.name, fault)).collect(),
            Outcome::Sound | Outcome::Skipped(_) => Vec::new(),
        })
    }

    /// The tensors, in the layout's order.
    pub fn tensors(&self) -> &[TensorCheck] {
        &self.tensors
    }

    /// A remark on what is no fault, but worth a thought.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

impl fmt::Display for SourceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tensor {
            Some(tensor) => write!(f, "`{tensor}`: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl fmt::Display for SourceCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.tests.iter().map(|test| test.name.len()).max().unwrap_or(0);
        for SourceTest { name, outcome } in &self.tests {
            match outcome {
                Outcome::Sound => writeln!(f, "{name:width$}  sound")?,
                Outcome::Skipped(reason) => writeln!(f, "{name:width$}  not tested: {reason}")?,
                Outcome::Faulty(faults) => {
                    for (i, fault) in faults.iter().enumerate() {
                        let name = if i == 0 { name } else { "" };
                        writeln!(f, "{name:width$}  WRONG: {fault}")?;
                    }
                }
            }
        }
        if !self.tensors.is_empty() {
            let names = self.tensors.iter().map(|tensor| tensor.name.chars().count());
            let width = names.max().unwrap_or(0).max("tensor".len());
            writeln!(f, "\n{:width$}  elements      norm  disagreement", "tensor")?;
            for TensorCheck { name, elements, norm, disagreement } in &self.tensors {
                write!(f, "{name:width$}  {elements:8}  {norm:8.2e}  ")?;
                match disagreement {
                    Some(part) => writeln!(f, "{part:12.1e}")?,
                    None => writeln!(f, "{:>12}", "-")?,
                }
            }
        }
        for note in &self.notes {
            writeln!(f, "\nnote: {note}")?;
        }
        Ok(())
    }
}
