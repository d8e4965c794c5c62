//! Settings under which every attempt of a bench is accepted.

use crate::device::traversal::Traversal;
use crate::ingredients::{Adaptive, Ingredients, StepSize};
use crate::kernels::settings::Settings;
use crate::method::Method;
use crate::plan::Plan;
use crate::state::RING;

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
    let ingredients = plan.ingredients();
    let mut settings = Settings {
        accepted_limit: u32::MAX,
        stages: plan.evaluations(),
        partials: walk.partials() as u32,
        ring: RING,
        log_second: ingredients.log_second() as f32,
        log_mean: ingredients.log_mean() as f32,
        count: n as f32,
        clip: ingredients.clip.unwrap_or(0.0) as f32,
        first_h: H as f32,
        restart: 1,
        ..Settings::default()
    };
    settings.set_end(None);
    settings.set_step_size(&StepSize::constant(H as f32));
    if let Some(adaptive) = &ingredients.adaptive {
        settings.set_adaptive(adaptive, plan.error_order());
    }
    if let Some(rule) = &ingredients.rule {
        settings.set_rule(rule, method.tableau().a(1, 0));
        settings.first_h = rule.at_curvature(0.0) as f32;
    }
    settings
}
