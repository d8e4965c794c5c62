//! The formats of everything that may be stored narrow.

use std::fmt;

use crate::format::{Rounding, Storage};

/// The storage of everything that may be narrow. Parameters, stage points and partial
/// sums are always f32.
///
/// A narrow gradient is off by u|k| in each element, so a step of size h moves θ by up to
/// u h Σ|b k| more or less than in f32; that is no more than the error of batches, as long as
/// gradients are within the format's range. A narrow momentum is off by u|m|, D by no more than
/// u: in bf16 v itself is stored (D is then off by u/2), in f16 √v, which covers gradients down
/// to 6e-8 where g² would vanish below 2.4e-4.
///
/// Three kinds of gradients stay f32 all the same: those whose difference is taken (for
/// curvature or for ρ), as rounding would be larger than what they differ by; those
/// whose buffer a method of registers goes on with; and those to which the source adds.
///
/// ```
/// use kutta::{Storage, Stored};
/// let stored: Stored = "f32:gradients=f16,second=bf16,rounding=stochastic".parse()?;
/// assert_eq!((stored.gradients, stored.momentum), (Storage::F16, Storage::F32));
/// assert_eq!("bf16".parse::<Stored>()?, Stored::all(Storage::Bf16));
/// # Ok::<(), kutta::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub struct Stored {
    /// ∇L at the stages.
    pub gradients: Storage,
    pub momentum: Storage,
    /// The preconditioner's state.
    pub second: Storage,
    /// Rounding of momentum and second moment; gradients are rounded to nearest.
    pub rounding: Rounding,
}

impl Stored {
    /// All alike, rounded to nearest.
    pub fn all(storage: Storage) -> Self {
        let rounding = Rounding::Nearest;
        Self { gradients: storage, momentum: storage, second: storage, rounding }
    }

    /// Another rounding of momentum and second moment.
    pub fn rounding(self, rounding: Rounding) -> Self {
        Self { rounding, ..self }
    }
}

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts =
            [("gradients", self.gradients), ("momentum", self.momentum), ("second", self.second)];
        let alike = parts.iter().all(|(_, storage)| *storage == self.gradients);
        let base = if alike { self.gradients } else { Storage::F32 };
        let mut values: Vec<String> = parts
            .iter()
            .filter(|(_, storage)| *storage != base)
            .map(|(key, storage)| format!("{key}={storage}"))
            .collect();
        if self.rounding != Rounding::Nearest {
            values.push(format!("rounding={}", self.rounding));
        }
        match values.is_empty() {
            true => write!(f, "{base}"),
            false => write!(f, "{base}:{}", values.join(",")),
        }
    }
}
