//! Refuses what cannot be planned, and says why.

use super::PlanError;
use super::options::{Fusion, Options, WEBGPU_BINDINGS};
use crate::ingredients::{Curvature, Ingredients, Preconditioner, Rule};
use crate::method::Method;
use crate::tableau::{LowStorageForm, Stages};

/// Refuses what cannot be planned.
pub(super) fn check(
    method: &Method,
    ingredients: &Ingredients,
    options: Options,
) -> Result<(), PlanError> {
    let tableau = method.tableau();
    let unsupported = |reason| Err(PlanError::Unsupported { method: method.to_string(), reason });
    if ingredients.adaptive.is_some() && tableau.b_hat().is_none() {
        let pairs: Vec<_> = Method::all()
            .into_iter()
            .filter(|method| method.tableau().b_hat().is_some())
            .map(|method| method.to_string())
            .collect();
        let (method, pairs) = (method.to_string(), pairs.join(", "));
        return Err(PlanError::NoPair { method, pairs });
    }
    if options.bindings < WEBGPU_BINDINGS {
        return unsupported("kernels bind eight storage buffers, as WebGPU promises; allow those");
    }
    let from = ingredients.rule.and_then(|rule| rule.curvature());
    if from == Some(Curvature::Stages) && tableau.a(1, 0) == 0.0 {
        return unsupported(
            "its curvature is to come from the first two stages, which are not two points; take \
             it from a probe",
        );
    }
    if let Method::Stabilised(stabilised) = method {
        if from == Some(Curvature::Stages) {
            return unsupported(
                "its first two stages lie together the closer the more stages there are; take the \
                 curvature from a probe",
            );
        }
        let stable = matches!(ingredients.rule, Some(Rule::Stable { .. }));
        if stable && matches!(stabilised.stages(), Stages::Auto { .. }) {
            return unsupported(
                "the largest stable step depends on the number of stages; give it: \
                 NAME:stages=8",
            );
        }
    }
    let two =
        matches!(method, Method::LowStorage(m) if matches!(m.form(), LowStorageForm::Two { .. }));
    if options.adds && (!two || options.fusion == Fusion::None) {
        return unsupported(
            "gradients can be added up by the source only in the two registers of williamson3 \
             and carpenter-kennedy, fused",
        );
    }
    if options.adds && from == Some(Curvature::Stages) {
        return unsupported(
            "where the source adds gradients up, those of the first two stages are not there to \
             take a curvature from; take it from a probe",
        );
    }
    let preconditioned = ingredients.preconditioner != Preconditioner::None || ingredients.grouped;
    if from == Some(Curvature::Product) && preconditioned {
        return unsupported(
            "curvature by products knows of no preconditioner and no parameter groups; take it \
             from a probe",
        );
    }
    Ok(())
}
