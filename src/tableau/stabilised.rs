//! Explicit methods whose stages buy stability instead of order: with s of them
//! the stable step grows like s².
//!
//! For a gradient flow the Jacobian is −H, whose spectrum is real: that is the
//! interval along which these methods are long. All are three-term recurrences.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use super::registry::plain;
use super::{Tableau, TableauError, text};

/// A family of stabilised methods. β is the length of the real stability
/// interval: steps are stable while h ρ ≤ β for the spectral radius ρ.
///
/// | | order | β | stages |
/// |---|---|---|---|
/// | `Rkc1` | 1 | (1 + ω₀)/ω₁ ≈ (2 − 4η/3) s² | 1 and more |
/// | `Rkcd` | 1 | the same; η ≈ 1.17 makes all modes of condition κ ≤ 2s²/η decay alike | 1 and more |
/// | `Rkc2` | 2 | (1 + ω₀)/ω₁ ≈ 0.653 (s² − 1) | 2 and more |
/// | `Rkl1` | 1 | s² + s | odd |
/// | `Rkl2` | 2 | (s² + s − 2)/2 | odd, 3 and more |
/// | `Rock2` | 2 | ≈ 0.81 s² | tabulated, 3 to 200 |
///
/// ROCK2's two finishing stages magnify what the point before them is off by, in
/// the stiffest modes by about 0.28 (hρ)². At f32's 6e-8 that comes to 2e-3 of θ with twenty
/// stages, and all of it with a hundred. So it takes no more than twenty by itself.
///
/// Sources: van der Houwen, Sommeijer 1980 and Verwer 1996 (RKC1); Eftekhari,
/// Vandereycken, Vilmart, Zygalakis 2021 (RKCD); Sommeijer, Shampine, Verwer 1998
/// (RKC2); Meyer, Balsara, Aslam 2014 (RKL); Abdulle, Medovikov 2001 (ROCK2).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub enum Family {
    Rkc1 { damping: f64 },
    Rkcd { damping: f64 },
    Rkc2,
    Rkl1,
    Rkl2,
    Rock2,
}

/// The number of stages that a step takes: fixed, or chosen for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub enum Stages {
    /// Always so many; h is cut to what they can bear.
    Fixed(u32),
    /// A step takes as many as its h needs, up to `most`; beyond that h is cut.
    Auto { most: u32 },
}

/// A stabilised method.
///
/// ```
/// use kutta::tableau::Stabilised;
/// let rkc2: Stabilised = "rkc2".parse()?;
/// assert_eq!(rkc2.family().stages_for(100.0), Some(13));
/// assert!((rkc2.family().interval(13) / (0.653 * 168.0) - 1.0).abs() < 0.01);
/// let fixed: Stabilised = "rkc2:stages=8".parse()?;
/// assert_eq!((fixed.tableau().order(), fixed.tableau().embedded_order()), (2, Some(2)));
/// # Ok::<(), kutta::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Stabilised {
    family: Family,
    stages: Stages,
    tableau: Tableau,
}

/// One stage of a recurrence. With k_j the gradient at y_{j−1}, y_0 = θ:
///
/// ```text
/// y_j = θ + μ (y_{j−1} − θ) + ν (y_{j−2} − θ) − h D (now k_j + before k_{j−1} + first k_1)
/// ```
///
/// The last y is θ_{n+1}.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Recurrence {
    pub mu: f64,
    pub nu: f64,
    pub now: f64,
    pub before: f64,
    pub first: f64,
}

/// Most stages of all; ROCK2's table ends there too.
pub(crate) const MOST: u32 = 200;

/// The most stages that ROCK2 takes by itself.
const MOST_ROCK2: u32 = 20;

/// Stages for which an automatic method shows its tableau.
const SHOWN: u32 = 10;

/// η of RKC1 and of RKCD unless said otherwise.
const DAMPING: f64 = 0.05;
const DECAYING: f64 = 1.17;

/// A degree of ROCK2: σ and τ of its finish, μ and κ of its recurrence.
struct Degree {
    degree: u32,
    sigma: f64,
    tau: f64,
    recurrence: Vec<f64>,
    /// β
    interval: f64,
}

impl Degree {
    /// R(−x).
    fn factor(&self, x: f64) -> f64 {
        let mut before = 1.0;
        let mut now = 1.0 - x * self.recurrence[0];
        for pair in self.recurrence[1..].chunks_exact(2) {
            let [mu, kappa] = [pair[0], pair[1]];
            let next = (1.0 + kappa - mu * x) * now - kappa * before;
            (before, now) = (now, next);
        }
        let beside = now - self.sigma * x * now;
        beside - self.sigma * x * beside - self.tau * x * (beside - now)
    }

    /// The point where |R| first passes one: the table's values lie between 0.81 s² − 2.6 and
    /// 0.81 s².
    fn limit(&self) -> f64 {
        let s = f64::from(self.degree + 2);
        let mut stable = 0.81 * s * s - 2.6;
        let mut unstable = stable;
        while self.factor(unstable).abs() <= 1.0 {
            stable = unstable;
            unstable *= 1.001;
        }
        for _ in 0..60 {
            let middle = 0.5 * (stable + unstable);
            if self.factor(middle).abs() <= 1.0 {
                stable = middle;
            } else {
                unstable = middle;
            }
        }
        stable
    }
}

static ROCK2: LazyLock<Vec<Degree>> = LazyLock::new(|| {
    let lines = text::lines(include_str!("tables/rock2.txt"), text::quotient);
    let degree = |line: Vec<f64>| {
        let (degree, recurrence) = (line[0] as u32, line[3..].to_vec());
        let (sigma, tau) = (line[1], line[2]);
        let degree = Degree { degree, sigma, tau, recurrence, interval: 0.0 };
        Degree { interval: degree.limit(), ..degree }
    };
    lines.into_iter().map(degree).collect()
});

/// T_j, T'_j and T''_j at x for j = 0 … s.
fn chebyshev(s: u32, x: f64) -> Vec<[f64; 3]> {
    let mut t = vec![[1.0, 0.0, 0.0], [x, 1.0, 0.0]];
    for j in 2..=s as usize {
        let ([a, b, c], [p, q, r]) = (t[j - 1], t[j - 2]);
        t.push([2.0 * x * a - p, 2.0 * a + 2.0 * x * b - q, 4.0 * b + 2.0 * x * c - r]);
    }
    t
}

impl Family {
    /// Its name, without parameters.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Rkc1 { .. } => "rkc1",
            Self::Rkcd { .. } => "rkcd",
            Self::Rkc2 => "rkc2",
            Self::Rkl1 => "rkl1",
            Self::Rkl2 => "rkl2",
            Self::Rock2 => "rock2",
        }
    }

    /// The most stages that the family takes unless told otherwise.
    fn usual_most(&self) -> u32 {
        if *self == Self::Rock2 { MOST_ROCK2 } else { MOST }
    }

    fn source(&self) -> &'static str {
        match self {
            Self::Rkc1 { .. } => "van der Houwen, Sommeijer, ZAMM 60, 1980; Verwer 1996",
            Self::Rkcd { .. } => {
                "Eftekhari, Vandereycken, Vilmart, Zygalakis, SIAM J. Sci. Comput. 43, 2021"
            }
            Self::Rkc2 => "Sommeijer, Shampine, Verwer, J. Comput. Appl. Math. 88, 1998",
            Self::Rkl1 | Self::Rkl2 => "Meyer, Balsara, Aslam, J. Comput. Phys. 257, 2014",
            Self::Rock2 => "Abdulle, Medovikov, Numer. Math. 90, 2001",
        }
    }

    /// The least number of stages, of those that there are, that is no smaller than
    /// `stages`; `None` beyond the most.
    pub fn admissible(&self, stages: u32) -> Option<u32> {
        let found = match self {
            Self::Rkc1 { .. } | Self::Rkcd { .. } => stages.max(1),
            Self::Rkc2 => stages.max(2),
            Self::Rkl1 => stages | 1,
            Self::Rkl2 => stages.max(3) | 1,
            Self::Rock2 => {
                ROCK2.iter().map(|d| d.degree + 2).find(|&s| s >= stages).unwrap_or(u32::MAX)
            }
        };
        (found <= MOST).then_some(found)
    }

    /// β for s stages.
    pub fn interval(&self, stages: u32) -> f64 {
        let s = f64::from(stages);
        match self {
            Self::Rkc1 { .. } | Self::Rkcd { .. } => {
                let [w0, w1] = self.omega(stages);
                (1.0 + w0) / w1
            }
            Self::Rkc2 => {
                let [w0, w1] = self.omega(stages);
                (1.0 + w0) / w1
            }
            Self::Rkl1 => s * s + s,
            Self::Rkl2 => (s * s + s - 2.0) / 2.0,
            Self::Rock2 => rock2_degree(stages).interval,
        }
    }

    /// The least number of stages that h ρ needs; `None` if no number that there
    /// is suffices.
    pub fn stages_for(&self, h_rho: f64) -> Option<u32> {
        // NaN is below nothing.
        (1..=MOST).find(|&s| self.admissible(s) == Some(s) && h_rho <= self.interval(s))
    }

    /// ω₀ and ω₁.
    fn omega(&self, stages: u32) -> [f64; 2] {
        let s = f64::from(stages);
        let w0 = 1.0
            + match self {
                Self::Rkc1 { damping } | Self::Rkcd { damping } => damping / (s * s),
                _ => 2.0 / (13.0 * s * s),
            };
        let [t, first, second] = chebyshev(stages, w0)[stages as usize];
        match self {
            Self::Rkc2 => [w0, first / second],
            _ => [w0, t / first],
        }
    }

    /// The stages of a step of so many, which must be [admissible](Self::admissible).
    pub fn recurrence(&self, stages: u32) -> Vec<Recurrence> {
        match self {
            Self::Rkc1 { .. } | Self::Rkcd { .. } => self.rkc1(stages),
            Self::Rkc2 => self.rkc2(stages),
            Self::Rkl1 => rkl1(stages),
            Self::Rkl2 => rkl2(stages),
            Self::Rock2 => rock2(stages),
        }
    }

    fn rkc1(&self, stages: u32) -> Vec<Recurrence> {
        let [w0, w1] = self.omega(stages);
        let t = chebyshev(stages, w0);
        let first = Recurrence { now: w1 / w0, mu: 1.0, ..Recurrence::default() };
        let rest = (2..=stages as usize).map(|j| {
            let ratio = t[j - 1][0] / t[j][0];
            let mu = 2.0 * w0 * ratio;
            Recurrence { mu, nu: 1.0 - mu, now: 2.0 * w1 * ratio, ..Recurrence::default() }
        });
        std::iter::once(first).chain(rest).collect()
    }

    fn rkc2(&self, stages: u32) -> Vec<Recurrence> {
        let [w0, w1] = self.omega(stages);
        let t = chebyshev(stages, w0);
        let b = |j: usize| {
            let [_, first, second] = t[j.max(2)];
            second / (first * first)
        };
        let first = Recurrence { now: b(1) * w1, mu: 1.0, ..Recurrence::default() };
        let rest = (2..=stages as usize).map(|j| {
            let now = 2.0 * w1 * b(j) / b(j - 1);
            Recurrence {
                mu: 2.0 * w0 * b(j) / b(j - 1),
                nu: -b(j) / b(j - 2),
                now,
                before: 0.0,
                first: -now * (1.0 - b(j - 1) * t[j - 1][0]),
            }
        });
        std::iter::once(first).chain(rest).collect()
    }

    /// One more than the order of the error estimate; 0 where there is none.
    pub fn error_order(&self) -> usize {
        match self {
            Self::Rkc1 { .. } | Self::Rkcd { .. } | Self::Rkl1 => 0,
            Self::Rkc2 | Self::Rkl2 => 3,
            Self::Rock2 => 2,
        }
    }

    /// b̂ of the error estimate, by the weights b of the step.
    fn embedded(&self, stages: u32, b: &[f64]) -> Option<Vec<f64>> {
        let s = stages as usize;
        match self {
            Self::Rkc1 { .. } | Self::Rkcd { .. } | Self::Rkl1 => None,
            // e = (4 (θ − θ') − 2h (k_1 + k(θ')))/5, which is O(h³).
            Self::Rkc2 | Self::Rkl2 => {
                let mut b_hat: Vec<f64> = b.iter().map(|b| b - 0.8 * b).collect();
                b_hat.push(0.4);
                b_hat[0] += 0.4;
                Some(b_hat)
            }
            // e = h τ (k_s − k_{s−1}), which is O(h²).
            Self::Rock2 => {
                let tau = rock2_degree(stages).tau;
                let mut b_hat = b.to_vec();
                b_hat[s - 1] -= tau;
                b_hat[s - 2] += tau;
                Some(b_hat)
            }
        }
    }

    /// The equivalent tableau of so many stages, which must be
    /// [admissible](Self::admissible). Where the error estimate reads the gradient
    /// at θ_{n+1}, that is one more stage.
    pub fn tableau(&self, stages: u32) -> Tableau {
        let s = stages as usize;
        let (mut before, mut now) = (vec![0.0; s], vec![0.0; s]);
        let mut follow = Vec::with_capacity(s);
        for (j, stage) in self.recurrence(stages).iter().enumerate() {
            let next = now.iter().zip(&before).map(|(y, x)| stage.mu * y + stage.nu * x);
            let mut next: Vec<f64> = next.collect();
            next[j] += stage.now;
            next[0] += stage.first;
            if j > 0 {
                next[j - 1] += stage.before;
            }
            (before, now) = (now, next);
            follow.push(now.clone());
        }
        let b_hat = self.embedded(stages, &now);
        Tableau::from_increments(self.name(), self.source(), follow, b_hat)
    }
}

fn rkl1(stages: u32) -> Vec<Recurrence> {
    let w = 2.0 / f64::from(stages * stages + stages);
    let stage = |j: u32| {
        let mu = f64::from(2 * j - 1) / f64::from(j);
        Recurrence { mu, nu: 1.0 - mu, now: mu * w, ..Recurrence::default() }
    };
    (1..=stages).map(stage).collect()
}

fn rkl2(stages: u32) -> Vec<Recurrence> {
    let w = 4.0 / f64::from(stages * stages + stages - 2);
    let b = |j: u32| {
        let x = f64::from(j);
        if j <= 2 { 1.0 / 3.0 } else { (x * x + x - 2.0) / (2.0 * x * (x + 1.0)) }
    };
    let first = Recurrence { now: w / 3.0, mu: 1.0, ..Recurrence::default() };
    let rest = (2..=stages).map(|j| {
        let x = f64::from(j);
        let mu = (2.0 * x - 1.0) / x * b(j) / b(j - 1);
        Recurrence {
            mu,
            nu: -(x - 1.0) / x * b(j) / b(j - 2),
            now: mu * w,
            before: 0.0,
            // a_{j−1} = 1 − b_{j−1}
            first: -mu * w * (1.0 - b(j - 1)),
        }
    });
    std::iter::once(first).chain(rest).collect()
}

fn rock2_degree(stages: u32) -> &'static Degree {
    let at = ROCK2.iter().position(|d| d.degree + 2 >= stages).unwrap_or(ROCK2.len() - 1);
    &ROCK2[at]
}

fn rock2(stages: u32) -> Vec<Recurrence> {
    let Degree { sigma, tau, recurrence, .. } = rock2_degree(stages);
    let (lead, rest) = (recurrence[0], recurrence[1..].chunks_exact(2));
    let first = Recurrence { now: lead, mu: 1.0, ..Recurrence::default() };
    let middle = rest.map(|pair| {
        let [mu, kappa] = [pair[0], pair[1]];
        Recurrence { mu: 1.0 + kappa, nu: -kappa, now: mu, ..Recurrence::default() }
    });
    let finish = [
        Recurrence { mu: 1.0, now: *sigma, ..Recurrence::default() },
        Recurrence { mu: 1.0, now: sigma + tau, before: -tau, ..Recurrence::default() },
    ];
    std::iter::once(first).chain(middle).chain(finish).collect()
}

impl Stabilised {
    /// # Errors
    /// A number of stages that the family does not have, or a damping that is not
    /// positive and at most 100.
    pub fn new(family: Family, stages: Stages) -> Result<Self, TableauError> {
        if let Family::Rkc1 { damping } | Family::Rkcd { damping } = family
            && !(damping > 0.0 && damping <= 100.0)
        {
            return Err(TableauError::Damping { family: family.name(), damping });
        }
        let (asked, shown) = match stages {
            Stages::Fixed(s) => (s, s),
            Stages::Auto { most } => (most, SHOWN.min(most)),
        };
        let missing = || {
            let next = family.admissible(asked.min(MOST)).or(family.admissible(0));
            let next = next.unwrap_or_default();
            TableauError::StageCount { family: family.name(), found: asked, next, most: MOST }
        };
        // A bound may lie between two numbers that there are.
        let least = family.admissible(0).ok_or_else(missing)?;
        let fits = match stages {
            Stages::Fixed(s) => s > 0 && family.admissible(s) == Some(s),
            Stages::Auto { most } => (least..=MOST).contains(&most),
        };
        if !fits {
            return Err(missing());
        }
        let shown = family.admissible(shown).filter(|&s| s <= asked).unwrap_or(least);
        let mut tableau = family.tableau(shown);
        let made = Self { family, stages, tableau: tableau.clone() };
        tableau.name = made.to_string();
        Ok(Self { tableau, ..made })
    }

    fn auto(family: Family) -> Self {
        let made = Self::new(family, Stages::Auto { most: family.usual_most() });
        made.unwrap_or_else(|_| unreachable!("the usual most is within a family's bounds"))
    }

    /// Runge–Kutta–Chebyshev of order 1, slightly damped.
    pub fn rkc1() -> Self {
        Self::auto(Family::Rkc1 { damping: DAMPING })
    }

    /// RKC1 damped so far that all modes of an ill-conditioned quadratic decay
    /// alike: a descent method as fast as conjugate gradients to within a factor.
    pub fn rkcd() -> Self {
        Self::auto(Family::Rkcd { damping: DECAYING })
    }

    /// Runge–Kutta–Chebyshev of order 2.
    pub fn rkc2() -> Self {
        Self::auto(Family::Rkc2)
    }

    /// Runge–Kutta–Legendre of order 1.
    pub fn rkl1() -> Self {
        Self::auto(Family::Rkl1)
    }

    /// Runge–Kutta–Legendre of order 2.
    pub fn rkl2() -> Self {
        Self::auto(Family::Rkl2)
    }

    /// Orthogonal Runge–Kutta–Chebyshev of order 2.
    pub fn rock2() -> Self {
        Self::auto(Family::Rock2)
    }

    /// Every one of them.
    pub fn all() -> Vec<Self> {
        use Stabilised as S;
        vec![S::rkc1(), S::rkcd(), S::rkc2(), S::rkl1(), S::rkl2(), S::rock2()]
    }

    /// Fixes the number of stages: the next admissible one from `stages` on.
    ///
    /// # Errors
    /// More stages than there are.
    pub fn with_stages(&self, stages: u32) -> Result<Self, TableauError> {
        let found = self.family.admissible(stages).unwrap_or(stages);
        Self::new(self.family, Stages::Fixed(found))
    }

    pub fn family(&self) -> Family {
        self.family
    }

    pub fn stages(&self) -> Stages {
        self.stages
    }

    /// Those of [`Stabilised::tableau`], without the one that only an error
    /// estimate reads.
    pub fn shown_stages(&self) -> u32 {
        self.tableau.without_estimate().stages() as u32
    }

    /// The equivalent tableau: of the fixed number of stages, or of about ten.
    pub fn tableau(&self) -> &Tableau {
        &self.tableau
    }

    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        ["rkc1", "rkcd", "rkc2", "rkl1", "rkl2", "rock2"].into_iter()
    }
}

/// The name, and the parameters that are not as usual.
impl fmt::Display for Stabilised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = match self.stages {
            Stages::Fixed(stages) => vec![format!("stages={stages}")],
            Stages::Auto { most } if most == self.family.usual_most() => vec![],
            Stages::Auto { most } => vec![format!("most={most}")],
        };
        match self.family {
            Family::Rkc1 { damping } if damping != DAMPING => {
                parts.push(format!("damping={damping}"));
            }
            Family::Rkcd { damping } if damping != DECAYING => {
                parts.push(format!("damping={damping}"));
            }
            _ => {}
        }
        let colon = if parts.is_empty() { "" } else { ":" };
        f.pad(&format!("{}{colon}{}", self.family.name(), parts.join(",")))
    }
}

/// `NAME`, or `NAME:stages=8`, `NAME:most=50`, `rkc1:damping=0.1`.
impl FromStr for Stabilised {
    type Err = TableauError;

    fn from_str(text: &str) -> Result<Self, TableauError> {
        let (name, values) = text.split_once(':').unwrap_or((text, ""));
        let unknown = || TableauError::Unknown {
            name: text.into(),
            known: Self::names().collect::<Vec<_>>().join(", "),
        };
        let wanted = plain(name);
        let made = Self::all().into_iter().find(|m| m.family.name() == wanted);
        let Self { mut family, mut stages, .. } = made.ok_or_else(unknown)?;
        for part in values.split(',').filter(|part| !part.trim().is_empty()) {
            let fault = || TableauError::Parameter { method: text.into(), part: part.into() };
            let (key, value) = part.split_once('=').ok_or_else(fault)?;
            match (key.trim(), &mut family) {
                ("stages", _) => {
                    stages = Stages::Fixed(value.trim().parse().map_err(|_| fault())?);
                }
                ("most", _) => {
                    stages = Stages::Auto { most: value.trim().parse().map_err(|_| fault())? };
                }
                ("damping", Family::Rkc1 { damping } | Family::Rkcd { damping }) => {
                    *damping = value.trim().parse().map_err(|_| fault())?;
                }
                _ => return Err(fault()),
            }
        }
        Self::new(family, stages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_those_of_the_literature() {
        for (family, order, embedded) in [
            (Family::Rkc1 { damping: 0.05 }, 1, None),
            (Family::Rkcd { damping: 1.17 }, 1, None),
            (Family::Rkc2, 2, Some(2)),
            (Family::Rkl1, 1, None),
            (Family::Rkl2, 2, Some(2)),
            (Family::Rock2, 2, Some(1)),
        ] {
            for s in [1, 2, 3, 4, 5, 12, 13, 51, 64, 200] {
                let Some(s) = family.admissible(s) else { continue };
                let tableau = family.tableau(s);
                // Euler has no more.
                let order = if s == 1 { 1 } else { order };
                // ROCK2's coefficients have 15 digits, and 200 stages lose some.
                let off: Vec<f64> =
                    (1..=order).map(|p| tableau.order_residual(p).unwrap()).collect();
                assert!(off.iter().all(|&x| x < 1e-11), "{} {s}: {off:?}", family.name());
                let beyond = tableau.order_residual(order + 1).unwrap();
                assert!(beyond > 1e-3, "{} {s}: {beyond}", family.name());
                let Some(embedded) = embedded else {
                    assert_eq!(tableau.b_hat(), None);
                    continue;
                };
                for p in 1..=embedded {
                    let off = tableau.embedded_order_residual(p).unwrap();
                    assert!(off < 1e-11, "{} {s}: {off}", family.name());
                }
                assert!(tableau.embedded_order_residual(embedded + 1).unwrap() > 1e-3);
            }
        }
    }

    #[test]
    fn intervals_are_known_numbers() {
        let rkc1 = Family::Rkc1 { damping: 0.05 };
        for (s, length) in [(2, 7.76), (5, 48.4), (10, 193.6)] {
            assert!((rkc1.interval(s) / length - 1.0).abs() < 1e-3, "{}", rkc1.interval(s));
        }
        for s in [3, 5, 10, 24] {
            let limit = Family::Rock2.tableau(s).real_limit();
            assert!((Family::Rock2.interval(s) / limit - 1.0).abs() < 1e-5, "{s}: {limit}");
        }
        for s in [10, 102, 200].map(|s| Family::Rock2.admissible(s).unwrap()) {
            let about = 0.811 * f64::from(s * s) - 1.5;
            assert!((Family::Rock2.interval(s) / about - 1.0).abs() < 3e-3);
        }
        assert!((Family::Rkc2.interval(2) - 1.963).abs() < 1e-3);
        assert!((Family::Rkc2.interval(100) / 0.653 / 9999.0 - 1.0).abs() < 5e-3);
    }

    #[test]
    fn stages_suffice_and_none_is_wasted() {
        for family in Stabilised::all().iter().map(Stabilised::family) {
            let mut least = family.admissible(0).unwrap();
            for h_rho in [0.0, 1.0, 3.0, 17.5, 100.0, 1e3, 1e4] {
                let s = family.stages_for(h_rho).unwrap();
                assert!(family.interval(s) >= h_rho && s >= least);
                assert_eq!(family.admissible(s), Some(s));
                let fewer = (1..s).rev().find(|&f| family.admissible(f) == Some(f));
                assert!(fewer.is_none_or(|f| family.interval(f) < h_rho));
                least = s;
            }
            assert_eq!(family.stages_for(1e6), None);
            assert_eq!(family.stages_for(f64::NAN), None);
        }
    }

    #[test]
    fn names_round_trip_and_faults_are_named() {
        for text in ["rkc1", "rkc2:stages=7", "rkcd:stages=8,damping=1.3", "rock2:most=60"] {
            assert_eq!(text.parse::<Stabilised>().unwrap().to_string(), text);
        }
        for (text, words) in [
            ("rkc3", "rkl2"),
            ("rkc2:stages=1", "2"),
            ("rkl1:stages=4", "5"),
            ("rock2:stages=23", "24"),
            ("rkc1:stages=0", "1"),
            ("rkc1:stages=201", "200"),
            ("rkl2:most=2", "3"),
            ("rkc2:damping=0.1", "damping"),
            ("rkc1:damping=-1", "-1"),
            ("rkc1:stages=x", "stages=x"),
        ] {
            let message = text.parse::<Stabilised>().unwrap_err().to_string();
            assert!(message.contains(words), "{text}: {message}");
        }
    }
}
