//! Analytic problems: losses whose gradient, minima and flow are known.

use std::fmt;
use std::str::FromStr;

use super::ReferenceError;

/// A loss on ℝⁿ with its gradient, in f64.
///
/// | name | L(θ) | n | source |
/// |---|---|---|---|
/// | `quadratic` | ½ Σ λ_i θ_i² | number of eigenvalues λ | |
/// | `rosenbrock` | Σ (1−x)² + 100(y−x²)² over the pairs (x, y) of θ | even | Rosenbrock 1960 |
/// | `quartic` | ¼ Σ θ_i⁴ | any | |
/// | `himmelblau` | (x²+y−11)² + (x+y²−7)² | 2 | Himmelblau 1972 |
/// | `beale` | (1.5−x+xy)² + (2.25−x+xy²)² + (2.625−x+xy³)² | 2 | Beale 1958 |
///
/// ```
/// use kutta::reference::Problem;
/// let problem: Problem = "rosenbrock".parse()?;
/// assert_eq!(problem.loss(&[1.0, 1.0]), 0.0);
/// assert_eq!(problem.gradient(&[0.0, 1.0]), [-2.0, 200.0]);
/// # Ok::<(), kutta::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Problem {
    Quadratic { eigenvalues: Vec<f64> },
    Rosenbrock,
    Quartic,
    Himmelblau,
    Beale,
}

impl Problem {
    /// The names that [`FromStr`] knows.
    pub const NAMES: [&str; 5] = ["quadratic", "rosenbrock", "quartic", "himmelblau", "beale"];

    /// ½ Σ λ_i θ_i². The flow is θ_i(t) = θ_i(0) exp(−λ_i t).
    ///
    /// ```
    /// use kutta::reference::Problem;
    /// let problem = Problem::quadratic(&[1.0, 4.0])?;
    /// assert_eq!(problem.loss(&[2.0, 1.0]), 4.0);
    /// # Ok::<(), kutta::Error>(())
    /// ```
    ///
    /// # Errors
    /// No eigenvalues, or one that is not finite.
    pub fn quadratic(eigenvalues: &[f64]) -> Result<Self, ReferenceError> {
        let problem = Problem::Quadratic { eigenvalues: eigenvalues.to_vec() };
        problem.check_dimension(eigenvalues.len())?;
        match eigenvalues.iter().position(|x| !x.is_finite()) {
            Some(i) => Err(ReferenceError::Eigenvalue { index: i + 1, value: eigenvalues[i] }),
            None => Ok(problem),
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Problem::Quadratic { .. } => "quadratic",
            Problem::Rosenbrock => "rosenbrock",
            Problem::Quartic => "quartic",
            Problem::Himmelblau => "himmelblau",
            Problem::Beale => "beale",
        }
    }

    /// Checks that the loss is defined on ℝⁿ.
    ///
    /// ```
    /// use kutta::reference::Problem;
    /// assert!(Problem::Rosenbrock.check_dimension(6).is_ok());
    /// assert!(Problem::Rosenbrock.check_dimension(5).is_err());
    /// ```
    ///
    /// # Errors
    /// [`ReferenceError::Dimension`], which says what n can be.
    pub fn check_dimension(&self, n: usize) -> Result<(), ReferenceError> {
        let (fits, expected) = match self {
            Problem::Quadratic { eigenvalues } => (
                n == eigenvalues.len(),
                format!("as many as eigenvalues ({}) and at least 1", eigenvalues.len()),
            ),
            Problem::Rosenbrock => (n.is_multiple_of(2), "an even number of".into()),
            Problem::Quartic => (true, "1 or more".into()),
            Problem::Himmelblau | Problem::Beale => (n == 2, "2".into()),
        };
        if fits && n > 0 {
            Ok(())
        } else {
            Err(ReferenceError::Dimension { problem: self.name().into(), expected, found: n })
        }
    }

    /// The number of parameters if nobody says: as many as eigenvalues, else 2.
    pub fn default_dimension(&self) -> usize {
        match self {
            Problem::Quadratic { eigenvalues } => eigenvalues.len(),
            _ => 2,
        }
    }

    /// The usual start: (−1.2, 1) in each pair for Rosenbrock, the origin for
    /// Himmelblau, ones for the others.
    ///
    /// ```
    /// use kutta::reference::Problem;
    /// assert_eq!(Problem::Rosenbrock.default_start(4)?, [-1.2, 1.0, -1.2, 1.0]);
    /// # Ok::<(), kutta::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`check_dimension`](Self::check_dimension).
    pub fn default_start(&self, n: usize) -> Result<Vec<f64>, ReferenceError> {
        self.check_dimension(n)?;
        Ok(match self {
            Problem::Rosenbrock => [-1.2, 1.0].into_iter().cycle().take(n).collect(),
            Problem::Himmelblau => vec![0.0; n],
            Problem::Quadratic { .. } | Problem::Quartic | Problem::Beale => vec![1.0; n],
        })
    }

    /// L(θ); NaN where [`check_dimension`](Self::check_dimension) refuses n.
    pub fn loss(&self, theta: &[f64]) -> f64 {
        if self.check_dimension(theta.len()).is_err() {
            return f64::NAN;
        }
        match self {
            Problem::Quadratic { eigenvalues } => {
                0.5 * theta.iter().zip(eigenvalues).map(|(x, l)| l * x * x).sum::<f64>()
            }
            Problem::Rosenbrock => theta
                .chunks_exact(2)
                .map(|p| (1.0 - p[0]).powi(2) + 100.0 * (p[1] - p[0] * p[0]).powi(2))
                .sum(),
            Problem::Quartic => 0.25 * theta.iter().map(|x| x.powi(4)).sum::<f64>(),
            Problem::Himmelblau => {
                let (u, v) = himmelblau_residuals(theta[0], theta[1]);
                u * u + v * v
            }
            Problem::Beale => {
                beale_residuals(theta[0], theta[1]).iter().map(|u| u * u).sum::<f64>()
            }
        }
    }

    /// ∇L(θ); NaN where [`check_dimension`](Self::check_dimension) refuses n.
    pub fn gradient(&self, theta: &[f64]) -> Vec<f64> {
        if self.check_dimension(theta.len()).is_err() {
            return vec![f64::NAN; theta.len()];
        }
        match self {
            Problem::Quadratic { eigenvalues } => {
                theta.iter().zip(eigenvalues).map(|(x, l)| l * x).collect()
            }
            Problem::Rosenbrock => theta
                .chunks_exact(2)
                .flat_map(|p| {
                    let u = p[1] - p[0] * p[0];
                    [-2.0 * (1.0 - p[0]) - 400.0 * p[0] * u, 200.0 * u]
                })
                .collect(),
            Problem::Quartic => theta.iter().map(|x| x.powi(3)).collect(),
            Problem::Himmelblau => {
                let (x, y) = (theta[0], theta[1]);
                let (u, v) = himmelblau_residuals(x, y);
                vec![4.0 * x * u + 2.0 * v, 2.0 * u + 4.0 * y * v]
            }
            Problem::Beale => {
                let (x, y) = (theta[0], theta[1]);
                let [u1, u2, u3] = beale_residuals(x, y);
                // Of u_k = const − x + x y^k.
                let dx = 2.0 * (u1 * (y - 1.0) + u2 * (y * y - 1.0) + u3 * (y.powi(3) - 1.0));
                let dy = 2.0 * x * (u1 + 2.0 * y * u2 + 3.0 * y * y * u3);
                vec![dx, dy]
            }
        }
    }
}

fn himmelblau_residuals(x: f64, y: f64) -> (f64, f64) {
    (x * x + y - 11.0, x + y * y - 7.0)
}

fn beale_residuals(x: f64, y: f64) -> [f64; 3] {
    [1.5 - x + x * y, 2.25 - x + x * y * y, 2.625 - x + x * y.powi(3)]
}

/// The name.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Reads a name in any case; `quadratic` has the eigenvalues 1, 10 and 100.
///
/// ```
/// use kutta::reference::Problem;
/// assert_eq!("Quadratic".parse::<Problem>()?, Problem::quadratic(&[1.0, 10.0, 100.0])?);
/// assert!("ackley".parse::<Problem>().unwrap_err().to_string().contains("himmelblau, beale"));
/// # Ok::<(), kutta::Error>(())
/// ```
impl FromStr for Problem {
    type Err = ReferenceError;

    fn from_str(name: &str) -> Result<Self, ReferenceError> {
        match name.trim().to_lowercase().as_str() {
            "quadratic" => Problem::quadratic(&[1.0, 10.0, 100.0]),
            "rosenbrock" => Ok(Problem::Rosenbrock),
            "quartic" => Ok(Problem::Quartic),
            "himmelblau" => Ok(Problem::Himmelblau),
            "beale" => Ok(Problem::Beale),
            _ => Err(ReferenceError::UnknownProblem {
                name: name.into(),
                known: Problem::NAMES.join(", "),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = Problem> {
        Problem::NAMES.into_iter().map(|name| name.parse().unwrap())
    }

    #[test]
    fn gradients_are_the_differences_of_the_loss() {
        for problem in all() {
            let many = [2, 3, 6].into_iter().filter(|&n| problem.check_dimension(n).is_ok());
            for n in many {
                for seed in 1..20 {
                    // Points in ±2.5, irregular enough to leave no term out.
                    let theta: Vec<f64> = (0..n)
                        .map(|i| 2.5 * (1.7 * f64::from(seed) + 2.3 * i as f64).sin())
                        .collect();
                    let gradient = problem.gradient(&theta);
                    let size = gradient.iter().fold(1.0, |max: f64, g| max.max(g.abs()));
                    for i in 0..n {
                        let at = |offset: f64| {
                            let mut moved = theta.clone();
                            moved[i] += offset;
                            problem.loss(&moved)
                        };
                        // Fourth-order central difference.
                        let e = 1e-3;
                        let slope =
                            (8.0 * (at(e) - at(-e)) - (at(2.0 * e) - at(-2.0 * e))) / (12.0 * e);
                        assert!(
                            (slope - gradient[i]).abs() < 1e-8 * size,
                            "{problem} at {theta:?}, element {i}: {slope} for {}",
                            gradient[i]
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn known_minima_are_minima() {
        let minima = [
            (Problem::Rosenbrock, vec![1.0; 6]),
            (Problem::Quartic, vec![0.0; 3]),
            (Problem::Himmelblau, vec![3.0, 2.0]),
            (Problem::Beale, vec![3.0, 0.5]),
            (Problem::quadratic(&[2.0, 5.0]).unwrap(), vec![0.0; 2]),
        ];
        for (problem, theta) in minima {
            assert_eq!(problem.loss(&theta), 0.0, "{problem}");
            assert!(problem.gradient(&theta).iter().all(|&g| g == 0.0), "{problem}");
        }
    }

    #[test]
    fn names_round_trip_and_defaults_fit() {
        for problem in all() {
            assert_eq!(problem.to_string().parse::<Problem>().unwrap(), problem);
            let start = problem.default_start(problem.default_dimension()).unwrap();
            assert!(problem.loss(&start) > 0.0);
        }
    }

    #[test]
    fn faults_are_named() {
        for (problem, n, words) in [
            (Problem::Rosenbrock, 3, "an even number of parameters, not 3"),
            (Problem::Rosenbrock, 0, "not 0"),
            (Problem::Quartic, 0, "1 or more"),
            (Problem::Beale, 3, "`beale` has 2 parameters, not 3"),
            (Problem::quadratic(&[1.0, 2.0]).unwrap(), 3, "eigenvalues (2)"),
        ] {
            let message = problem.default_start(n).unwrap_err().to_string();
            assert!(message.contains(words), "{message:?} lacks {words:?}");
            assert!(problem.loss(&vec![1.0; n]).is_nan());
            assert!(problem.gradient(&vec![1.0; n]).iter().all(|g| g.is_nan()));
        }
        assert!(Problem::quadratic(&[]).is_err());
        let message = Problem::quadratic(&[1.0, f64::NAN]).unwrap_err().to_string();
        assert!(message.contains("eigenvalue 2") && message.contains("NaN"), "{message}");
    }
}
