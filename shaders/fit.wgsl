// h ← min(h, f β/(ρ α)), β the stability interval of so many stages, α what clips, f a fraction
// Moves nothing of the parameters' size.
// Recorded before the stages where stability bounds h.
//: use partials prepare
struct Fit {
    // β, less what an estimate of ρ is enlarged by.
    interval: f32,
    // ρ, where it is known; else 0.
    given: f32,
    stages: u32,
    // Gradients of an attempt.
    evaluations: u32,
}

@group(0) @binding(0) var<storage, read_write> control: Control;
@group(0) @binding(1) var<uniform> settings: Settings;
@group(0) @binding(2) var<uniform> fit: Fit;
@group(0) @binding(3) var<storage, read_write> partials: Partials;

@compute @workgroup_size(1)
fn main() {
    control.stages = fit.stages;
    control.per_attempt = fit.evaluations;
    var radius = control.radius;
    if fit.given > 0.0 {
        radius = fit.given;
    } else if control.opened == 0u {
        // Nothing is known of ρ: the batch is to blame, as at stage 1.
        blame_stage(1u);
        return;
    }
    control.wanted_h = control.h;
    let fraction = select(1.0, settings.rule_1, settings.rule == STABLE);
    let most = fraction * fit.interval / (radius * control.clip);
    // Without curvature nothing bounds h.
    if radius > 0.0 && most < control.h {
        set_h(most);
    }
}
