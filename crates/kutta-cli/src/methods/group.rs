//! Which methods share a panel.

use kutta::{Findings, Method, Tableau};

/// Panels in the order of the pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    First,
    Third,
    Fourth,
    Fifth,
    High,
    Stabilised,
}

/// A named method and what was found of it.
pub struct Entry {
    pub method: Method,
    pub findings: Findings,
}

impl Entry {
    /// # Errors
    /// A method that cannot be planned.
    pub fn new(method: Method) -> Result<Self, kutta::Error> {
        let findings = Findings::of(&method)?;
        Ok(Self { method, findings })
    }

    pub fn tableau(&self) -> &Tableau {
        self.method.tableau()
    }

    /// A new family is a new line here.
    pub fn group(&self) -> Group {
        // No order can be had for these: twice their stages is where Euler's
        // steps, one after another, end.
        let long = self.findings.real_limit > 2.0 * self.tableau().stages() as f64 + 1e-6;
        match self.findings.order {
            _ if long => Group::Stabilised,
            0..=2 => Group::First,
            3 => Group::Third,
            4 => Group::Fourth,
            5 => Group::Fifth,
            _ => Group::High,
        }
    }

    /// Gradients of one step of given size: those that only an error estimate
    /// reads are none of its.
    pub fn evaluations(&self) -> usize {
        self.tableau().b().iter().rposition(|&b| b != 0.0).map_or(1, |last| last + 1)
    }
}

impl Group {
    pub fn title(self) -> &'static str {
        match self {
            Group::First => "orders 1 and 2",
            Group::Third => "order 3",
            Group::Fourth => "order 4",
            Group::Fifth => "order 5",
            Group::High => "orders 6 and above",
            Group::Stabilised => "stabilised",
        }
    }
}

/// Every group that has members, in order, with the indices of its members.
pub fn groups(entries: &[Entry]) -> Vec<(Group, Vec<usize>)> {
    let mut groups: Vec<(Group, Vec<usize>)> = Vec::new();
    for (i, entry) in entries.iter().enumerate() {
        let group = entry.group();
        match groups.iter_mut().find(|(other, _)| *other == group) {
            Some((_, members)) => members.push(i),
            None => groups.push((group, vec![i])),
        }
    }
    groups.sort_by_key(|(group, _)| *group);
    groups
}
