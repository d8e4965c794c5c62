//! Explicit Butcher tableaus: coefficients and their mathematics.
//!
//! Only coefficients are stored. Stage count, order, first-same-as-last and
//! stability limits are computed from them, so a wrong coefficient cannot hide
//! behind a right label.

mod check;
mod entry;
pub(crate) mod error;
#[cfg(feature = "json")]
mod json;
mod low_storage;
mod named;
mod order;
mod pairs;
#[cfg(test)]
mod precise_low_storage_tests;
#[cfg(test)]
mod precise_stabilised_tests;
#[cfg(test)]
mod precise_tests;
mod registry;
mod stabilised;
mod stability;
mod text;

pub use error::TableauError;

use check::Parts;

pub use low_storage::{LowStorage, LowStorageForm, Three};
pub use order::MAX_ORDER;
pub use stabilised::{Family, Recurrence, Stabilised, Stages};
pub use text::printable;

/// The most stages a tableau can have.
pub const MAX_STAGES: usize = 64;

/// The largest coefficient. Published methods stay below 10³; far beyond that,
/// the f32 of the device has no digits left for the sum of the terms.
pub const MAX_COEFFICIENT: f64 = 1e6;

/// An explicit Runge–Kutta method: (A, b, c), where an embedded second set of
/// weights b̂ is optional.
///
/// A step of size h along the gradient flow θ̇ = −g(θ) takes s stages:
///
/// ```text
/// θ_i     = θ_n − h Σ_{j<i} a_ij g(θ_j),   i = 1 … s
/// θ_{n+1} = θ_n − h Σ_i b_i g(θ_i)
/// error   =       h Σ_i (b_i − b̂_i) g(θ_i)
/// ```
///
/// Source: Butcher 1964; Hairer, Nørsett, Wanner, *Solving Ordinary
/// Differential Equations I*, II.1 and II.4.
///
/// ```
/// use kutta::Tableau;
/// let rk4: Tableau = "rk4".parse()?;
/// assert_eq!((rk4.stages(), rk4.order()), (4, 4));
/// assert!((rk4.real_limit() - 2.7853).abs() < 1e-4);
/// # Ok::<(), kutta::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Tableau {
    name: String,
    source: String,
    // Row i holds the i entries left of the diagonal.
    rows: Vec<Vec<f64>>,
    b: Vec<f64>,
    b_hat: Option<Vec<f64>>,
    b_low: Option<Vec<f64>>,
    c: Vec<f64>,
}

impl Tableau {
    /// A method of your own. `a` has a row per stage: either the entries left
    /// of the diagonal (none in the first row), or all s of them with zeros
    /// from the diagonal on. Without `c`, c_i = Σ_j a_ij.
    ///
    /// ```
    /// use kutta::Tableau;
    /// let third = 1.0 / 3.0;
    /// let a = [vec![], vec![third], vec![0.0, 2.0 * third]];
    /// let heun3 = Tableau::new("mine", &a, &[0.25, 0.0, 0.75], None)?;
    /// assert_eq!(heun3.order(), 3);
    ///
    /// let wrong = Tableau::new("mine", &a, &[0.25, 0.0, 0.75], Some(&[0.0, third, 0.5]));
    /// assert!(wrong.unwrap_err().to_string().starts_with("row 3 of a"));
    /// # Ok::<(), kutta::Error>(())
    /// ```
    ///
    /// # Errors
    /// 0 or more than [`MAX_STAGES`] stages, lengths that do not fit, a
    /// coefficient that is not finite or above [`MAX_COEFFICIENT`], an implicit
    /// row, a row whose sum is not c_i, or Σb ≠ 1 (both to 1e-12 of the sum of
    /// the sizes): the first fault of these. Every message names the row, counted
    /// from 1.
    pub fn new(
        name: impl Into<String>,
        a: &[impl AsRef<[f64]>],
        b: &[f64],
        c: Option<&[f64]>,
    ) -> Result<Self, TableauError> {
        let name = name.into();
        let rows: Vec<&[f64]> = a.iter().map(AsRef::as_ref).collect();
        let parts = Parts { name: &name, a: Some(&rows), b: Some(b), b_hat: None, b_low: None, c };
        if let Some(fault) = parts.faults().into_iter().next() {
            return Err(fault);
        }
        let rows = rows.iter().enumerate().map(|(i, row)| row[..i].to_vec()).collect::<Vec<_>>();
        let c = c.map_or_else(|| rows.iter().map(|row| check::sum(row)).collect(), <[f64]>::to_vec);
        Ok(Self {
            name,
            source: "user-defined".into(),
            rows,
            b: b.to_vec(),
            b_hat: None,
            b_low: None,
            c,
        })
    }

    /// Adds embedded weights b̂: the error estimate of a step is then
    /// h Σ (b_i − b̂_i) k_i.
    ///
    /// ```
    /// use kutta::Tableau;
    /// let pair = Tableau::heun2().with_embedded(&[1.0, 0.0])?; // Heun–Euler 2(1)
    /// assert_eq!((pair.order(), pair.embedded_order()), (2, Some(1)));
    /// # Ok::<(), kutta::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not one weight per stage, a weight that is not finite or above
    /// [`MAX_COEFFICIENT`], Σb̂ ≠ 1, or b̂ = b.
    pub fn with_embedded(mut self, b_hat: &[f64]) -> Result<Self, TableauError> {
        let b = Some(self.b.as_slice());
        let parts =
            Parts { name: &self.name, a: None, b, b_hat: Some(b_hat), b_low: None, c: None };
        if let Some(fault) = parts.faults().into_iter().next() {
            return Err(fault);
        }
        self.b_hat = Some(b_hat.to_vec());
        Ok(self)
    }

    /// Adds embedded weights of lower order to those that are there. With n elements,
    /// the sums E = Σ (h Σ (b − b̂) k / scale)² and E_low likewise give the error
    ///
    /// ```text
    /// err = E / √((E + 0.01 E_low) n)
    /// ```
    ///
    /// which is of the order of the step, for E_low is large where E is small by
    /// chance. Source: Hairer, Nørsett, Wanner I, II.10.
    ///
    /// ```
    /// let pair = kutta::Tableau::dop853();
    /// assert_eq!((pair.embedded_order(), pair.lower_order()), (Some(5), Some(3)));
    /// ```
    ///
    /// # Errors
    /// As [`Tableau::with_embedded`]; and where there is no b̂ yet.
    pub fn with_lower(mut self, b_low: &[f64]) -> Result<Self, TableauError> {
        let (b, b_hat) = (Some(self.b.as_slice()), self.b_hat.as_deref());
        let parts = Parts { name: &self.name, a: None, b, b_hat, b_low: Some(b_low), c: None };
        if let Some(fault) = parts.faults().into_iter().next() {
            return Err(fault);
        }
        self.b_low = Some(b_low.to_vec());
        Ok(self)
    }

    /// Says where the method comes from.
    ///
    /// ```
    /// let tableau = kutta::Tableau::new("mine", &[[]], &[1.0], None)?.with_source("my thesis");
    /// assert_eq!(tableau.source(), "my thesis");
    /// # Ok::<(), kutta::Error>(())
    /// ```
    pub fn with_source(mut self, source: impl Into<String>) -> Self {
        self.source = source.into();
        self
    }

    /// The name, as `Display` prints it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The publication the method is from; `user-defined` if nobody said.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Number of stages s, which is the number of gradients a step takes
    /// (one less in a row of steps where
    /// [`first_same_as_last`](Self::first_same_as_last) holds).
    pub fn stages(&self) -> usize {
        self.b.len()
    }

    /// a_ij with i and j counted from 0; zero wherever nothing is stored.
    pub fn a(&self, i: usize, j: usize) -> f64 {
        self.rows.get(i).and_then(|row| row.get(j)).copied().unwrap_or(0.0)
    }

    /// The rows of A; row i, counted from 0, has the i entries left of the
    /// diagonal.
    pub fn rows(&self) -> &[Vec<f64>] {
        &self.rows
    }

    /// The weights of the step.
    pub fn b(&self) -> &[f64] {
        &self.b
    }

    /// The weights of the embedded method, if there is one.
    pub fn b_hat(&self) -> Option<&[f64]> {
        self.b_hat.as_deref()
    }

    /// The embedded weights of lower order, if there are any.
    pub fn b_low(&self) -> Option<&[f64]> {
        self.b_low.as_deref()
    }

    /// One more than the order of the error estimate; 0 without one. Two estimates
    /// together have that of the step.
    pub fn error_order(&self) -> usize {
        match self.embedded_order() {
            None => 0,
            Some(_) if self.b_low.is_some() => self.order(),
            Some(embedded) => embedded.min(self.order()) + 1,
        }
    }

    /// The place c of each stage in the step, as a fraction of h.
    pub fn c(&self) -> &[f64] {
        &self.c
    }

    /// Tells whether the last stage point is θ_{n+1}, so that its gradient can serve
    /// as the first one of the next step: a_sj = b_j for j < s, and b_s = 0.
    /// Exactly so: a point that is only close is another point.
    ///
    /// ```
    /// use kutta::Tableau;
    /// assert!(!Tableau::rk4().first_same_as_last());
    /// // The stages of Heun's method, and its result as a third one.
    /// let a = [vec![], vec![1.0], vec![0.5, 0.5]];
    /// let longer = Tableau::new("longer", &a, &[0.5, 0.5, 0.0], None)?;
    /// assert!(longer.first_same_as_last());
    /// # Ok::<(), kutta::Error>(())
    /// ```
    pub fn first_same_as_last(&self) -> bool {
        let (last, before) = (self.stages() - 1, &self.b[..self.stages() - 1]);
        last > 0 && self.b[last] == 0.0 && self.rows[last] == before
    }

    /// The tableau of a method that is known by what follows each stage:
    /// `follow[i]` has the coefficients of stage i + 2's point, the last one those
    /// of the step. One weight more in b̂ than there are stages is that of the
    /// gradient at the end of the step.
    pub(crate) fn from_increments(
        name: impl Into<String>,
        source: impl Into<String>,
        follow: Vec<Vec<f64>>,
        b_hat: Option<Vec<f64>>,
    ) -> Self {
        let (mut rows, mut b) = (vec![vec![]], follow[follow.len() - 1].clone());
        rows.extend(follow.iter().zip(1..).map(|(row, i)| row[..i].to_vec()));
        if b_hat.as_ref().is_some_and(|b_hat| b_hat.len() == rows.len()) {
            b.push(0.0);
        } else {
            rows.pop();
        }
        let c = rows.iter().map(|row| row.iter().fold(0.0, |sum, x| sum + x)).collect();
        Self { name: name.into(), source: source.into(), rows, b, b_hat, b_low: None, c }
    }

    /// Gives the same step without the stages that only the error estimate reads,
    /// and without b̂.
    pub(crate) fn without_estimate(&self) -> Self {
        let stages = self.b.iter().rposition(|&b| b != 0.0).map_or(1, |last| last + 1);
        Self {
            rows: self.rows[..stages].to_vec(),
            b: self.b[..stages].to_vec(),
            b_hat: None,
            b_low: None,
            c: self.c[..stages].to_vec(),
            ..self.clone()
        }
    }
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_full_rows_are_the_same_tableau() {
        let short =
            Tableau::new("t", &[vec![], vec![0.5]], &[0.0, 1.0], Some(&[0.0, 0.5])).unwrap();
        let full = Tableau::new("t", &[[0.0, 0.0], [0.5, 0.0]], &[0.0, 1.0], None).unwrap();
        assert_eq!(short, full);
        assert_eq!(full.rows(), [vec![], vec![0.5]]);
        assert_eq!([full.a(1, 0), full.a(0, 1), full.a(1, 1), full.a(9, 9)], [0.5, 0.0, 0.0, 0.0]);
        assert_eq!(short.c(), [0.0, 0.5]);
    }

    #[test]
    fn sums_may_be_off_by_rounding_and_no_more() {
        let with = |x: f64| Tableau::new("t", &[vec![], vec![1.0]], &[0.5, x], Some(&[0.0, 1.0]));
        assert!(with(0.5 + 1e-13).is_ok());
        assert!(with(0.5 + 1e-11).is_err());
        assert!(with(0.5 - 1e-11).is_err());
        let with = |c: f64| Tableau::new("t", &[vec![], vec![1.0]], &[0.5, 0.5], Some(&[0.0, c]));
        assert!(with(1.0 - 1e-13).is_ok());
        assert!(with(1.0 - 1e-11).is_err());
    }

    #[test]
    fn up_to_64_stages() {
        let equal = |s: usize| {
            let a: Vec<_> = (0..s).map(|i| vec![1.0 / s as f64; i]).collect();
            Tableau::new("chain", &a, &vec![1.0 / s as f64; s], None)
        };
        assert_eq!(equal(1).unwrap().stages(), 1);
        assert_eq!(equal(MAX_STAGES).unwrap().order(), 1);
        assert!(equal(0).unwrap_err().to_string().contains("0 stages"));
        assert!(equal(MAX_STAGES + 1).unwrap_err().to_string().contains("65 stages"));
    }
}
