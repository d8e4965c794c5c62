//! One named method in a list of them.

use super::{Tableau, text};

/// A method that can be asked for by name.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) aliases: &'static [&'static str],
    pub(super) source: &'static str,
    /// c | A over b and b̂.
    pub(super) text: &'static str,
}

impl Entry {
    /// A test passes the coefficients through the checks of [`Tableau::new`]
    /// and [`Tableau::with_embedded`].
    pub(super) fn tableau(&self) -> Tableau {
        let text::Table { c, rows, b, b_hat, b_low } = text::read(self.text, text::quotient);
        Tableau { name: self.name.into(), source: self.source.into(), rows, b, b_hat, b_low, c }
    }
}

/// The method of exactly this name among `entries`.
pub(super) fn known(entries: &[Entry], name: &str) -> Tableau {
    let entry = entries.iter().find(|entry| entry.name == name);
    entry.unwrap_or_else(|| unreachable!("no method `{name}`")).tableau()
}
