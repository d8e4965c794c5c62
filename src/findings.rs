//! Findings: what can be said of a method before it is ever run.

use std::fmt;

use crate::ingredients::{Adaptive, Ingredients};
use crate::method::Method;
use crate::plan::{Options, Plan, PlanError};
use crate::tableau::printable;

/// The order, limits and costs of a method, all computed from its coefficients
/// and from its plans.
///
/// ```
/// use kutta::{Findings, Method};
/// let findings = Findings::of(&Method::load("dp5")?)?;
/// assert_eq!((findings.order, findings.embedded_order), (5, Some(4)));
/// // In a fixed step the seventh stage, which only the estimate needs, is left out.
/// assert_eq!((findings.stages, findings.fixed.evaluations), (7, 6));
/// assert_eq!((findings.fixed.words_bare, findings.fixed.vectors), (26, 6));
/// println!("{findings}");
/// # Ok::<(), kutta::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Findings {
    pub name: String,
    /// The publication, or whatever the method's author says.
    pub source: String,
    pub stages: usize,
    pub order: usize,
    /// Order of the embedded weights, if there are any.
    pub embedded_order: Option<usize>,
    /// The largest hλ at which a decay with rate λ does not grow: see
    /// [`Tableau::real_limit`](crate::Tableau::real_limit).
    pub real_limit: f64,
    /// The largest hω at which an oscillation does not grow.
    pub imaginary_limit: f64,
    /// The last stage is the next step's first.
    pub first_same_as_last: bool,
    /// Steps of given size.
    pub fixed: Cost,
    /// Steps whose size follows an error estimate, where the method has one.
    pub adaptive: Option<Cost>,
}

/// The cost of an attempt besides the gradients themselves, without ingredients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cost {
    /// Gradients that an attempt evaluates.
    pub evaluations: u32,
    /// Words per parameter that the method itself moves.
    pub words_bare: usize,
    /// Words with the guard's pass or the commit.
    pub words_guarded: usize,
    /// Words with one kernel per axpy, bare.
    pub words_unfused: usize,
    /// Vectors of the parameters' length that live at once.
    pub vectors: usize,
}

impl Findings {
    /// Looks at a method.
    ///
    /// # Errors
    /// A method that this version cannot plan.
    pub fn of(method: &Method) -> Result<Self, PlanError> {
        let tableau = method.tableau();
        // Which tolerances, no count depends on.
        let adaptive = Some(Adaptive::new(1e-3, 1e-6));
        let adaptive = match Cost::of(method, adaptive) {
            Ok(cost) => Some(cost),
            Err(PlanError::NoPair { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(Self {
            name: method.to_string(),
            source: tableau.source().to_owned(),
            stages: method.stages(),
            order: tableau.order(),
            embedded_order: tableau.embedded_order(),
            real_limit: tableau.real_limit(),
            imaginary_limit: tableau.imaginary_limit(),
            first_same_as_last: tableau.first_same_as_last(),
            fixed: Cost::of(method, None)?,
            adaptive,
        })
    }

    /// The order, with that of the embedded weights as the field writes it:
    /// `5(4)`.
    ///
    /// ```
    /// use kutta::{Findings, Method};
    /// assert_eq!(Findings::of(&Method::load("bs3")?)?.orders(), "3(2)");
    /// assert_eq!(Findings::of(&Method::rk4())?.orders(), "4");
    /// # Ok::<(), kutta::Error>(())
    /// ```
    pub fn orders(&self) -> String {
        let embedded = self.embedded_order.map(|p| format!("({p})"));
        format!("{}{}", self.order, embedded.unwrap_or_default())
    }
}

impl Cost {
    fn of(method: &Method, adaptive: Option<Adaptive>) -> Result<Self, PlanError> {
        let ingredients = Ingredients { adaptive, ..Ingredients::default() };
        let plan = Plan::with_ingredients(method, &ingredients, Options::default())?;
        Ok(Self {
            evaluations: plan.evaluations(),
            words_bare: plan.words_bare(),
            words_guarded: plan.words_guarded(),
            words_unfused: plan.words_unfused(),
            vectors: plan.resident_vectors(),
        })
    }
}

/// A block of lines, the numbers in columns.
impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = if self.first_same_as_last { ", the last is the next step's first" } else { "" };
        let embedded = self.embedded_order.map(|p| format!(", embedded {p}")).unwrap_or_default();
        let limits = [self.real_limit, self.imaginary_limit].map(decimals);
        writeln!(f, "method     {}", printable(&self.name))?;
        writeln!(f, "source     {}", printable(&self.source))?;
        writeln!(f, "stages     {}{last}", self.stages)?;
        writeln!(f, "order      {}{embedded}", self.order)?;
        writeln!(f, "stable to  {} on the real axis, {} on the imaginary", limits[0], limits[1])?;
        writeln!(f, "                             words per parameter  resident")?;
        writeln!(f, "per step          gradients  bare guarded unfused  vectors")?;
        let costs = [("given size", Some(self.fixed)), ("error estimate", self.adaptive)];
        for (label, cost) in costs {
            let Some(Cost { evaluations, words_bare, words_guarded, words_unfused, vectors }) =
                cost
            else {
                continue;
            };
            writeln!(
                f,
                "{label:<17} {evaluations:>9} {words_bare:>5} {words_guarded:>7} \
                 {words_unfused:>7}  {vectors:>7}"
            )?;
        }
        Ok(())
    }
}

/// Writes a number in as few digits as say it to four decimals.
///
/// ```
/// use kutta::findings::decimals;
/// assert_eq!([2.0, 2.51274533, 8f64.sqrt()].map(decimals), ["2", "2.5127", "2.8284"]);
/// ```
pub fn decimals(x: f64) -> String {
    let text = format!("{x:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_is_aligned() {
        let text = Findings::of(&"bs3".parse().unwrap()).unwrap().to_string();
        let expected = "\
method     bs3
source     Bogacki, Shampine, Appl. Math. Lett. 2, 1989
stages     4, the last is the next step's first
order      3, embedded 2
stable to  2.5127 on the real axis, 1.7321 on the imaginary
                             words per parameter  resident
per step          gradients  bare guarded unfused  vectors
given size                3    11      12      15        4
error estimate            4    15      17      27        4
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_method_without_a_pair_has_one_cost() {
        let findings = Findings::of(&Method::rk4()).unwrap();
        assert_eq!((findings.adaptive, findings.embedded_order), (None, None));
        assert!(!findings.first_same_as_last && !findings.to_string().contains("estimate"));
    }
}
