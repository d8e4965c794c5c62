//! Step sizes from the loss and its curvature.

use std::fmt;

use super::{IngredientError, check_open, check_positive};

/// A rule computes h from what an attempt sees, where no schedule does. With v the
/// direction of the step, v = D g, and r = ‖Jv‖/‖v‖ where J = D H:
///
/// | | h |
/// |---|---|
/// | DAL-p | min(2/rᵖ, h_max) |
/// | rescaled DAL-p | c / (1 + (c/2) rᵖ) |
/// | Polyak | min(L/⟨g, v⟩, h_max) |
/// | stable | min(fraction β/ρ, h_max), β the method's real stability limit |
/// | SGD-G2 | from ⟨v − ṽ, v⟩ and ‖v − ṽ‖², ṽ at θ − hv |
///
/// Sources: Rosca et al., arXiv 2302.01952 (DAL); Dherin et al., arXiv
/// 2505.13397 (rescaled); Dherin, Rosca, arXiv 2402.08818 (Polyak, CLR); Ayadi,
/// Turinici, arXiv 2002.09304 (SGD-G2). That v stands in place of g where there
/// is a preconditioner is kutta's own choice.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub enum Rule {
    Dal { p: f64, h_max: f64, from: Curvature },
    RescaledDal { c: f64, p: f64, from: Curvature },
    Polyak { h_max: f64 },
    SgdG2 { h: f64, beta: f64 },
    Stable { fraction: f64, h_max: f64 },
}

/// The source of the curvature r = ‖Jv‖/‖v‖.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub enum Curvature {
    /// One gradient more, at θ + εv with ε = 0.01/‖v‖.
    #[default]
    Probe,
    /// The first two stages of this step, for the h of the next one. The first
    /// h comes from a probe.
    Stages,
    /// A Hessian-vector product of the source's own:
    /// [`GradientSource::products`](crate::GradientSource::products). Without
    /// preconditioner only.
    Product,
}

/// ε‖v‖ of a probe.
pub(crate) const PROBE: f64 = 0.01;

impl Rule {
    /// h for r, where the rule follows curvature.
    ///
    /// ```
    /// use kutta::ingredients::{Curvature, Rule};
    /// let rule = Rule::RescaledDal { c: 0.1, p: 1.0, from: Curvature::Probe };
    /// assert_eq!(rule.at_curvature(0.0), 0.1);
    /// assert!((rule.at_curvature(20.0) - 0.05).abs() < 1e-12);
    /// ```
    pub fn at_curvature(&self, r: f64) -> f64 {
        let power = |p: f64| if p == 0.0 { 1.0 } else { r.powf(p) };
        match *self {
            Self::Dal { p, h_max, .. } => (2.0 / power(p)).min(h_max),
            Self::RescaledDal { c, p, .. } => c / (1.0 + 0.5 * c * power(p)),
            Self::Polyak { h_max } | Self::Stable { h_max, .. } => h_max,
            Self::SgdG2 { h, .. } => h,
        }
    }

    /// SGD-G2's next h, from ⟨v − ṽ, v⟩ and ‖v − ṽ‖².
    pub fn sgd_g2(beta: f64, h: f64, product: f64, squares: f64) -> f64 {
        let best = if product > 0.0 { 2.0 * h * product / squares } else { h };
        if best >= h { beta * h + (1.0 - beta) * best } else { (1.0 - beta) * best }
    }

    /// The source of the curvature, if the rule follows it.
    pub fn curvature(&self) -> Option<Curvature> {
        match *self {
            Self::Dal { from, .. } | Self::RescaledDal { from, .. } => Some(from),
            Self::Polyak { .. } | Self::SgdG2 { .. } | Self::Stable { .. } => None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), IngredientError> {
        let power = |ingredient: &'static str, p: f64| {
            if (0.0..=8.0).contains(&p) {
                return Ok(());
            }
            let range = "between 0 and 8";
            Err(IngredientError::OutOfRange { ingredient, key: "p", found: p, range })
        };
        match *self {
            Self::Dal { p, h_max, .. } => {
                power("DAL", p)?;
                check_positive("DAL", "h_max", h_max)
            }
            Self::RescaledDal { c, p, .. } => {
                power("rescaled DAL", p)?;
                check_positive("rescaled DAL", "c", c)
            }
            Self::Polyak { h_max } => check_positive("Polyak's step size", "h_max", h_max),
            Self::Stable { fraction, h_max } => {
                if !(fraction as f32 > 0.0 && fraction <= 1.0) {
                    let (key, range) = ("fraction", "above 0 and at most 1");
                    let ingredient = "the stable step size";
                    let found = fraction;
                    return Err(IngredientError::OutOfRange { ingredient, key, found, range });
                }
                check_positive("the stable step size", "h_max", h_max)
            }
            Self::SgdG2 { h, beta } => {
                check_positive("SGD-G2", "h", h)?;
                check_open("SGD-G2", "beta", beta)
            }
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |from: Curvature| match from {
            Curvature::Probe => "probe",
            Curvature::Stages => "stages",
            Curvature::Product => "product",
        };
        match *self {
            Self::Dal { p, h_max, from } => {
                write!(f, "dal:p={p},h-max={h_max},from={}", name(from))
            }
            Self::RescaledDal { c, p, from } => {
                write!(f, "rescaled-dal:c={c},p={p},from={}", name(from))
            }
            Self::Polyak { h_max } => write!(f, "polyak:h-max={h_max}"),
            Self::Stable { fraction, h_max } => {
                write!(f, "stable:fraction={fraction},h-max={h_max}")
            }
            Self::SgdG2 { h, beta } => write!(f, "sgd-g2:h={h},beta={beta}"),
        }
    }
}
