//! What a user asks for by name.

use std::fmt;
use std::str::FromStr;

use crate::error::TableauError;
use crate::tableau::Tableau;

/// A method for the gradient flow.
///
/// ```
/// use kutta::Method;
/// let method: Method = "rk4".parse()?;
/// assert_eq!(method, Method::rk4());
/// assert_eq!(method.to_string(), "rk4");
/// # Ok::<(), kutta::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Method {
    /// An explicit Runge–Kutta method, by its Butcher tableau.
    Explicit(Tableau),
}

impl Method {
    /// Euler's method: plain gradient descent.
    pub fn euler() -> Self {
        Tableau::euler().into()
    }

    /// Heun's second-order method, the trapezoidal rule.
    pub fn heun() -> Self {
        Tableau::heun2().into()
    }

    /// The classical fourth-order method of Kutta 1901.
    pub fn rk4() -> Self {
        Tableau::rk4().into()
    }

    /// Every named method.
    pub fn all() -> Vec<Self> {
        Tableau::all().into_iter().map(Self::from).collect()
    }

    /// The coefficients of an explicit method.
    pub fn tableau(&self) -> &Tableau {
        let Self::Explicit(tableau) = self;
        tableau
    }

    /// Gradient evaluations of one step.
    pub fn stages(&self) -> usize {
        let Self::Explicit(tableau) = self;
        tableau.stages()
    }
}

impl From<Tableau> for Method {
    fn from(tableau: Tableau) -> Self {
        Self::Explicit(tableau)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Explicit(tableau) = self;
        tableau.fmt(f)
    }
}

impl FromStr for Method {
    type Err = TableauError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        name.parse::<Tableau>().map(Self::from)
    }
}
