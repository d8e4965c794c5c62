//! Explicit methods that need two or three registers whatever their stages are.
//!
//! Their tableaus have no zeros to spare memory with; what they have is structure:
//! every stage point follows from the one before and from a register.

use std::fmt;
use std::str::FromStr;

use super::registry::plain;
use super::{Tableau, TableauError, text};

/// A low-storage Runge–Kutta method, with the tableau it is equivalent to.
///
/// ```
/// use kutta::tableau::LowStorage;
/// let method = LowStorage::carpenter_kennedy();
/// assert_eq!((method.tableau().stages(), method.tableau().order()), (5, 4));
/// # Ok::<(), kutta::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LowStorage {
    form: LowStorageForm,
    tableau: Tableau,
    controller: Option<[f64; 3]>,
}

/// The registers that pass from stage to stage. With k_i the gradient at y_i, and y_1 = θ:
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub enum LowStorageForm {
    /// r_i = A_i r_{i−1} + k_i, y_{i+1} = y_i − h B_i r_i: Williamson's 2N form.
    /// A₁ = 0.
    Two { a: Vec<f64>, b: Vec<f64> },
    /// r_i = r_{i−1} + δ_i (y_i − θ),
    /// y_{i+1} = θ + γ₁ (y_i − θ) + γ₂ r_i − h β_i k_i: Ketcheson's 3S* form, in
    /// differences from θ, whose published weights add up to one. r_1 = 0.
    Three(Vec<Three>),
}

/// One stage of [`LowStorageForm::Three`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub struct Three {
    pub gamma: [f64; 2],
    pub beta: f64,
    pub delta: f64,
}

struct Entry {
    name: &'static str,
    aliases: &'static [&'static str],
    source: &'static str,
    text: &'static str,
    controller: Option<[f64; 3]>,
}

const RANOCHA: &str = "Ranocha, Dalcin, Parsani, Ketcheson, arXiv 2104.06836, 2021";

static ENTRIES: &[Entry] = &[
    Entry {
        name: "williamson3",
        aliases: &["williamson"],
        source: "Williamson, J. Comput. Phys. 35, 1980",
        text: include_str!("tables/williamson3.txt"),
        controller: None,
    },
    Entry {
        name: "carpenter-kennedy",
        aliases: &["carpenterkennedy54", "ck54", "carpenterkennedy2n54"],
        source: "Carpenter, Kennedy, NASA TM 109112, 1994",
        text: include_str!("tables/carpenter-kennedy.txt"),
        controller: None,
    },
    Entry {
        name: "rdpk3sp35",
        aliases: &[],
        source: RANOCHA,
        text: include_str!("tables/rdpk3sp35.txt"),
        controller: Some([0.64, -0.31, 0.04]),
    },
    Entry {
        name: "rdpk3sp49",
        aliases: &[],
        source: RANOCHA,
        text: include_str!("tables/rdpk3sp49.txt"),
        controller: Some([0.25, -0.12, 0.0]),
    },
    Entry {
        name: "rdpk3sp510",
        aliases: &[],
        source: RANOCHA,
        text: include_str!("tables/rdpk3sp510.txt"),
        controller: Some([0.47, -0.20, 0.06]),
    },
];

impl Entry {
    fn method(&self) -> LowStorage {
        let lines = text::lines(self.text, text::quotient);
        let (form, rows, b_hat) = if lines[0].len() == 2 {
            let a = lines.iter().map(|line| line[0]).collect();
            let b = lines.iter().map(|line| line[1]).collect();
            let rows = two(&lines);
            (LowStorageForm::Two { a, b }, rows, None)
        } else {
            let stage = |l: &Vec<f64>| Three { gamma: [l[0], l[1]], beta: l[3], delta: l[4] };
            let stages: Vec<Three> = lines.iter().map(stage).collect();
            let rows = three(&stages);
            let b_hat = lines.iter().map(|line| line[6]).collect();
            (LowStorageForm::Three(stages), rows, Some(b_hat))
        };
        let tableau = Tableau::from_increments(self.name, self.source, rows, b_hat);
        LowStorage { form, tableau, controller: self.controller }
    }
}

/// Gives the point after each stage, as coefficients of k_1 … k_s.
fn two(lines: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let stages = lines.len();
    let (mut register, mut point) = (vec![0.0; stages], vec![0.0; stages]);
    let follow = |(i, line): (usize, &Vec<f64>)| {
        register.iter_mut().for_each(|r| *r *= line[0]);
        register[i] += 1.0;
        point.iter_mut().zip(&register).for_each(|(y, r)| *y += line[1] * r);
        point.clone()
    };
    lines.iter().enumerate().map(follow).collect()
}

fn three(lines: &[Three]) -> Vec<Vec<f64>> {
    let stages = lines.len();
    let (mut register, mut point) = (vec![0.0; stages], vec![0.0; stages]);
    let follow = |(i, stage): (usize, &Three)| {
        for (r, y) in register.iter_mut().zip(&mut point) {
            *r += stage.delta * *y;
            *y = stage.gamma[0] * *y + stage.gamma[1] * *r;
        }
        point[i] += stage.beta;
        point.clone()
    };
    lines.iter().enumerate().map(follow).collect()
}

#[cfg(feature = "checkpoint")]
impl LowStorage {
    /// The method of these registers, which come from elsewhere: nothing is taken for
    /// granted.
    pub(crate) fn from_form(
        [name, source]: [String; 2],
        form: LowStorageForm,
        b_hat: Option<Vec<f64>>,
        controller: Option<[f64; 3]>,
    ) -> Result<Self, TableauError> {
        let usable = |x: f64| x.abs() <= super::MAX_COEFFICIENT;
        let (stages, good) = match &form {
            LowStorageForm::Two { a, b } => (
                b.len(),
                a.len() == b.len()
                    && a.first() == Some(&0.0)
                    && a.iter().chain(b).copied().all(usable),
            ),
            LowStorageForm::Three(stages) => (
                stages.len(),
                stages
                    .iter()
                    .all(|s| [s.gamma[0], s.gamma[1], s.beta, s.delta].iter().all(|&x| usable(x))),
            ),
        };
        let good = good && controller.is_none_or(|c| c.iter().all(|x| x.is_finite()));
        let weights = b_hat.as_ref().map_or(stages, Vec::len);
        if !good
            || !(1..=super::MAX_STAGES).contains(&stages)
            || !(stages..=stages + 1).contains(&weights)
        {
            return Err(TableauError::Registers { method: name, stages, weights });
        }
        let rows = match &form {
            LowStorageForm::Two { a, b } => {
                let lines: Vec<Vec<f64>> = a.iter().zip(b).map(|(&a, &b)| vec![a, b]).collect();
                two(&lines)
            }
            LowStorageForm::Three(stages) => three(stages),
        };
        let tableau = Tableau::from_increments(name, source, rows, b_hat);
        let rows: Vec<&[f64]> = tableau.rows.iter().map(Vec::as_slice).collect();
        let parts = super::Parts {
            name: &tableau.name,
            a: Some(&rows),
            b: Some(&tableau.b),
            b_hat: tableau.b_hat.as_deref(),
            b_low: None,
            c: None,
        };
        if let Some(fault) = parts.faults().into_iter().next() {
            return Err(fault);
        }
        Ok(Self { form, tableau, controller })
    }
}

impl LowStorage {
    /// Williamson's method of order 3 in three stages, 2N form.
    pub fn williamson3() -> Self {
        ENTRIES[0].method()
    }

    /// Carpenter and Kennedy's method of order 4 in five stages, 2N form.
    pub fn carpenter_kennedy() -> Self {
        ENTRIES[1].method()
    }

    /// The pair 3(2) in five stages of Ranocha et al., 3S*+ form.
    pub fn rdpk3sp35() -> Self {
        ENTRIES[2].method()
    }

    /// The pair 4(3) in nine stages of Ranocha et al., 3S*+ form.
    pub fn rdpk3sp49() -> Self {
        ENTRIES[3].method()
    }

    /// The pair 5(4) in ten stages of Ranocha et al., 3S*+ form.
    pub fn rdpk3sp510() -> Self {
        ENTRIES[4].method()
    }

    /// Every one of them.
    pub fn all() -> Vec<Self> {
        ENTRIES.iter().map(Entry::method).collect()
    }

    /// The method as a Butcher tableau.
    pub fn tableau(&self) -> &Tableau {
        &self.tableau
    }

    /// The registers that pass from stage to stage.
    pub fn form(&self) -> &LowStorageForm {
        &self.form
    }

    /// β of the controller that its authors optimised for it, of the errors of
    /// this step and the two before: what
    /// [`Adaptive`](crate::Adaptive) takes where no other was asked for.
    pub fn controller(&self) -> Option<[f64; 3]> {
        self.controller
    }

    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        ENTRIES.iter().map(|entry| entry.name)
    }
}

impl fmt::Display for LowStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tableau.fmt(f)
    }
}

/// Reads a name in any case, with or without its hyphens.
impl FromStr for LowStorage {
    type Err = TableauError;

    fn from_str(name: &str) -> Result<Self, TableauError> {
        let wanted = plain(name);
        let named = |entry: &&Entry| {
            plain(entry.name) == wanted || entry.aliases.iter().any(|a| plain(a) == wanted)
        };
        ENTRIES.iter().find(named).map(Entry::method).ok_or_else(|| TableauError::Unknown {
            name: name.into(),
            known: Self::names().collect::<Vec<_>>().join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_those_of_the_literature() {
        let found = LowStorage::all().into_iter().map(|method| {
            let t = method.tableau();
            (t.name().to_owned(), t.stages(), t.order(), t.embedded_order())
        });
        let expected = [
            ("williamson3", 3, 3, None),
            ("carpenter-kennedy", 5, 4, None),
            ("rdpk3sp35", 5, 3, Some(2)),
            ("rdpk3sp49", 9, 4, Some(3)),
            ("rdpk3sp510", 10, 5, Some(4)),
        ];
        let expected = expected.map(|(name, s, p, q)| (name.to_owned(), s, p, q));
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn names_round_trip() {
        for method in LowStorage::all() {
            assert_eq!(method.to_string().parse(), Ok(method));
        }
        assert!("rdpk".parse::<LowStorage>().unwrap_err().to_string().contains("rdpk3sp510"));
    }
}
