//! Names to methods and back.

use std::fmt;
use std::str::FromStr;

use super::entry::Entry;
use super::{Tableau, TableauError, named, pairs, text};

/// Every family of named methods; a new one is a new line here.
static FAMILIES: [&[Entry]; 2] = [named::ENTRIES, pairs::ENTRIES];

pub(super) fn entries() -> impl Iterator<Item = &'static Entry> {
    FAMILIES.into_iter().flatten()
}

/// `SSPRK(3,3)` and `ssprk-33` are the same name.
pub(super) fn plain(name: &str) -> String {
    let separator = |c: char| c.is_whitespace() || "-_(),".contains(c);
    name.to_lowercase().replace(separator, "")
}

impl Tableau {
    /// Every named method.
    ///
    /// ```
    /// use kutta::Tableau;
    /// for tableau in Tableau::all() {
    ///     println!("{tableau}: order {}, {}", tableau.order(), tableau.source());
    ///     assert_eq!(tableau.name().parse::<Tableau>()?, tableau);
    /// }
    /// # Ok::<(), kutta::Error>(())
    /// ```
    pub fn all() -> Vec<Tableau> {
        entries().map(Entry::tableau).collect()
    }

    /// The names that [`FromStr`] knows, aliases left out.
    ///
    /// ```
    /// assert!(kutta::Tableau::names().any(|name| name == "rk4"));
    /// ```
    pub fn names() -> impl Iterator<Item = &'static str> {
        entries().map(|entry| entry.name)
    }
}

/// The name alone, so that what is printed can be parsed; on one line, whatever the file
/// of a method of one's own says.
impl fmt::Display for Tableau {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&text::printable(&self.name))
    }
}

/// Reads a name or an alias; case, spaces and the characters `-_(),` do not matter.
///
/// ```
/// use kutta::Tableau;
/// assert_eq!("Heun2".parse::<Tableau>()?.to_string(), "heun");
/// assert_eq!("3/8".parse::<Tableau>()?, Tableau::rk38());
/// assert!("rk5".parse::<Tableau>().unwrap_err().to_string().contains("euler, midpoint"));
/// # Ok::<(), kutta::Error>(())
/// ```
impl FromStr for Tableau {
    type Err = TableauError;

    fn from_str(name: &str) -> Result<Self, TableauError> {
        let wanted = plain(name);
        entries()
            .find(|e| plain(e.name) == wanted || e.aliases.iter().any(|a| plain(a) == wanted))
            .map(Entry::tableau)
            .ok_or_else(|| TableauError::Unknown {
                name: name.into(),
                known: Self::names().collect::<Vec<_>>().join(", "),
            })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_and_aliases_lead_back_to_one_method_each() {
        let mut seen = HashSet::new();
        for entry in entries() {
            let tableau = entry.tableau();
            assert_eq!(tableau.name(), entry.name);
            for name in entry.aliases.iter().chain([&entry.name]) {
                assert!(seen.insert(plain(name)), "`{name}` is there twice");
                assert_eq!(name.parse::<Tableau>().unwrap(), tableau);
                assert_eq!(name.to_uppercase().parse::<Tableau>().unwrap(), tableau);
            }
        }
    }

    #[test]
    fn every_named_method_passes_the_checks_of_a_users_own() {
        for named in Tableau::all() {
            let checked = Tableau::new(named.name(), named.rows(), named.b(), Some(named.c()))
                .unwrap()
                .with_source(named.source());
            let checked = match named.b_hat() {
                Some(b_hat) => checked.with_embedded(b_hat).unwrap(),
                None => checked,
            };
            let checked = match named.b_low() {
                Some(b_low) => checked.with_lower(b_low).unwrap(),
                None => checked,
            };
            assert_eq!(checked, named);
            assert!(named.source().len() > 5, "{named} has no source");
        }
    }
}
