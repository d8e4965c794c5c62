//! Methods, as a user asks for them by name.

#[cfg(feature = "checkpoint")]
mod saved;

use std::fmt;
use std::str::FromStr;

use crate::tableau::{LowStorage, Stabilised, Tableau, TableauError};

/// A method for the gradient flow.
///
/// ```
/// use kutta::Method;
/// let method: Method = "rk4".parse()?;
/// assert_eq!(method, Method::rk4());
/// assert_eq!(method.to_string(), "rk4");
/// let stabilised: Method = "rkc2:stages=8".parse()?;
/// assert_eq!(stabilised.stages(), 8);
/// # Ok::<(), kutta::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Method {
    /// An explicit Runge–Kutta method, by its Butcher tableau.
    Explicit(Tableau),
    /// One that needs two or three registers, whatever its stages are.
    LowStorage(LowStorage),
    /// One whose stages buy large steps.
    Stabilised(Stabilised),
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

    /// Runge–Kutta–Chebyshev of order 2: steps as long as its stages allow, and as
    /// many stages as the steps need.
    pub fn rkc2() -> Self {
        Stabilised::rkc2().into()
    }

    /// Every named method; the stabilised ones with as many stages as a step needs.
    pub fn all() -> Vec<Self> {
        let explicit = Tableau::all().into_iter().map(Self::from);
        let low_storage = LowStorage::all().into_iter().map(Self::from);
        explicit.chain(low_storage).chain(Stabilised::all().into_iter().map(Self::from)).collect()
    }

    /// The coefficients of the method, or of the tableau it is equivalent to: with
    /// the number of stages it has, or about ten where a step takes as many as it
    /// needs.
    pub fn tableau(&self) -> &Tableau {
        match self {
            Self::Explicit(tableau) => tableau,
            Self::LowStorage(method) => method.tableau(),
            Self::Stabilised(method) => method.tableau(),
        }
    }

    /// Gradient evaluations of one step, as [`Method::tableau`] has it; what an
    /// error estimate reads besides is not counted for stabilised methods.
    pub fn stages(&self) -> usize {
        match self {
            Self::Stabilised(method) => method.shown_stages() as usize,
            _ => self.tableau().stages(),
        }
    }

    /// A stabilised method with a fixed number of stages, the next admissible one
    /// from `stages` on; every other method as it is.
    ///
    /// # Errors
    /// More stages than there are.
    pub fn with_stages(self, stages: u32) -> Result<Self, TableauError> {
        match self {
            Self::Stabilised(method) => Ok(method.with_stages(stages)?.into()),
            other => Ok(other),
        }
    }
}

impl From<Tableau> for Method {
    fn from(tableau: Tableau) -> Self {
        Self::Explicit(tableau)
    }
}

impl From<LowStorage> for Method {
    fn from(method: LowStorage) -> Self {
        Self::LowStorage(method)
    }
}

impl From<Stabilised> for Method {
    fn from(method: Stabilised) -> Self {
        Self::Stabilised(method)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Explicit(tableau) => tableau.fmt(f),
            Self::LowStorage(method) => method.fmt(f),
            Self::Stabilised(method) => method.fmt(f),
        }
    }
}

/// Reads a name in any case; stabilised methods may have parameters: `rkc2:stages=8`.
impl FromStr for Method {
    type Err = TableauError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let family = name.split(':').next().unwrap_or(name).trim().to_lowercase();
        if Stabilised::names().any(|known| known == family) {
            return name.parse::<Stabilised>().map(Self::from);
        }
        if let Ok(method) = name.parse::<LowStorage>() {
            return Ok(method.into());
        }
        name.parse::<Tableau>().map(Self::from).map_err(|_| TableauError::Unknown {
            name: name.into(),
            known: Tableau::names()
                .chain(LowStorage::names())
                .chain(Stabilised::names())
                .collect::<Vec<_>>()
                .join(", "),
        })
    }
}

impl Method {
    /// The method of a name that is known, or one of your own from a file
    /// whose name ends in `.json`: its tableau, see `Tableau::from_json`.
    ///
    /// ```
    /// use kutta::Method;
    /// assert_eq!(Method::load("rk4")?, Method::rk4());
    /// let own = Method::load("examples/butcher5.json")?;
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

    /// Tells whether [`Method::load`] takes this for a file's name.
    ///
    /// ```
    /// use kutta::Method;
    /// assert!(Method::is_path("mine.json") && !Method::is_path("rk4"));
    /// ```
    pub fn is_path(name_or_path: &str) -> bool {
        name_or_path.to_lowercase().ends_with(".json")
    }
}
