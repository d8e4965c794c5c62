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

impl Method {
    /// The method of a name that is known, or one of your own from a file
    /// whose name ends in `.json`: its tableau, see `Tableau::from_json`.
    ///
    /// ```
    /// use kutta::Method;
    /// assert_eq!(Method::load("rk4")?, Method::rk4());
    /// let own = Method::load("examples/methods/butcher5.json")?;
    /// assert_eq!(own.to_string(), "butcher5");
    /// # Ok::<(), kutta::Error>(())
    /// ```
    ///
    /// # Errors
    /// A name that is neither; every fault of the file, a line for each; or a
    /// kutta without its feature `json`.
    pub fn load(name_or_path: &str) -> Result<Self, TableauError> {
        if !Self::is_path(name_or_path) {
            return name_or_path.parse();
        }
        #[cfg(feature = "json")]
        return Tableau::load(name_or_path).map(Self::from);
        #[cfg(not(feature = "json"))]
        Err(TableauError::NoJson { path: name_or_path.into() })
    }

    /// Whether [`Method::load`] takes this for a file's name.
    ///
    /// ```
    /// use kutta::Method;
    /// assert!(Method::is_path("mine.json") && !Method::is_path("rk4"));
    /// ```
    pub fn is_path(name_or_path: &str) -> bool {
        name_or_path.to_lowercase().ends_with(".json")
    }
}
