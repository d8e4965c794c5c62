//! Settings under which every attempt of a bench is accepted.

use crate::device::traversal::Traversal;
use crate::ingredients::{Adaptive, Ingredients, StepSize};
use crate::kernels::settings::Settings;
use crate::method::Method;
use crate::plan::Plan;

/// h of the attempts, where no rule chooses it: large enough that an increment shows.
const H: f64 = 0.25;

/// Tames ingredients so that every attempt is accepted.
pub(super) fn tame(ingredients: &Ingredients) -> Ingredients {
    let adaptive = ingredients.adaptive.map(|adaptive| Adaptive {
        rtol: 1.0,
        atol: 1e6,
        h_min: 1e-30,
        h_max: H,
        ..adaptive
    });
    let clip = ingredients.clip.map(|_| f64::from(f32::MAX));
    Ingredients { adaptive, clip, ..*ingredients }
}

/// Gives the settings of a plan with such ingredients.
pub(super) fn settings(plan: &Plan, method: &Method, walk: &Traversal, n: usize) -> Settings {
    Settings::of(plan, method, walk, n, &StepSize::constant(H as f32), false)
}
