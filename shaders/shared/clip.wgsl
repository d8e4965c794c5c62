//: use control settings partials finite
const LEAST_NORMAL = 0x1p-126;

// What is not finite before the stages is the batch's fault, as at stage 1.
fn blame(x: f32) {
    if !is_finite(x) {
        blame_stage(1u);
    }
}

// α = min(1, clip/‖k₁‖).
fn set_clip(norm: f32) {
    blame(norm);
    control.grad_norm = norm;
    if settings.clip > 0.0 && norm > settings.clip {
        let clip = settings.clip / norm;
        // Below f32's least normal it may be 0, and θ would stand still without a word.
        if clip < LEAST_NORMAL {
            blame_stage(1u);
        } else {
            control.clip = clip;
        }
    }
}
