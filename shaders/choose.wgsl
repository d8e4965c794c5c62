// α = min(1, clip/‖k₁‖); h by the rule, from the roots that `field` leaves
// Moves nothing of the parameters' size.
// Recorded before the stages, after each `guard` or `field` that it decides by.
//: use take_roots clip record prepare fallbacks
// The numbers come with src/kernels/choose.rs.
override CHOICE: u32 = 0u;

// The first bank that counts, and how many do.
override FIRST: u32 = select(1u, 0u, CHOICE == NORM);
override SUMS: u32 = select(2u, 1u, CHOICE == NORM || CHOICE == RADIUS_START);

// √u of f32: what a step along the eigenvector is of θ's norm.
const REACH = 0.000244140625;

// ε‖v‖ of a probe.
const PROBE = 0.01;

@group(0) @binding(0) var<storage, read_write> control: Control;
@group(0) @binding(1) var<uniform> settings: Settings;
@group(0) @binding(2) var<storage, read_write> partials: Partials;
@group(0) @binding(3) var<storage, read_write> loss: array<u32>;
@group(0) @binding(4) var<storage, read_write> checks: Checks;

// product: √⟨k₁, v⟩, for ⟨k₁, v⟩ may be beyond f32.
fn set_direction(norm: f32, product: f32) {
    control.field_norm = norm;
    if settings.rule == POLYAK {
        // A source without a loss cannot be followed.
        let value = bitcast<f32>(loss[0]);
        blame(value);
        // Divided twice, since ‖v‖² may be beyond f32: no compiler may make one of both.
        let h = opaque(value / product) / product;
        set_h(select(settings.rule_0, clamp(h, 0.0, settings.rule_0), product > 0.0));
    } else if settings.rule == SGD_G2 {
        control.probe = control.next_h * control.clip;
    } else {
        control.probe = select(0.0, PROBE / norm, norm > 0.0);
    }
}

fn probed_curvature(norm: f32) -> f32 {
    return select(0.0, norm / PROBE, control.field_norm > 0.0);
}

// Source: arXiv 2002.09304; u = ṽ − v, and ⟨v − ṽ, v⟩ = −(product |product|).
fn sgd_g2(norm: f32, product: f32) -> f32 {
    let h = control.next_h;
    let beta = settings.rule_1;
    let ratio = product / norm;
    let best = select(h, 2.0 * h * ratio * ratio, product < 0.0);
    return select((1.0 - beta) * best, beta * h + (1.0 - beta) * best, best >= h);
}

// Sommeijer, Shampine, Verwer 1998; a vector of ±1 where there is none yet.
fn start_radius(size: f32) {
    if control.has_vector == 0u {
        control.vector_norm = sqrt(settings.count);
    }
    control.has_vector = 1u;
    control.radius_state = 0u;
    control.reach = REACH * max(1.0, size);
    control.probe = control.reach / control.vector_norm;
}

fn iterate_radius(norm: f32, product: f32) {
    control.evaluations += 1u;
    // Nothing is left to go on with.
    if control.has_vector == 0u {
        return;
    }
    if !is_finite(norm) || !is_finite(norm / control.reach) {
        control.has_vector = 0u;
        control.radius_state = NOT_FINITE;
        return;
    }
    control.radius = norm / control.reach;
    control.vector_norm = norm;
    control.radius_state = select(0u, NEGATIVE, product < 0.0);
    // A norm whose reciprocal is beyond f32 is none.
    if norm == 0.0 || !is_finite(control.reach / norm) {
        control.radius = 0.0;
        control.has_vector = 0u;
        control.radius_state = FLAT;
        return;
    }
    control.probe = control.reach / norm;
}

// The first attempt may begin, if it knows all that it needs.
fn open(gradients: u32) -> bool {
    control.evaluations += gradients;
    if control.opened == 1u {
        return false;
    }
    if (control.radius_state & NOT_FINITE) == 0u || control.radius > 0.0 {
        control.opened = 1u;
    }
    return true;
}

// Hairer, Nørsett, Wanner I, II.4: the automatic first step.
fn first_probe(slope: f32, size: f32) -> f32 {
    let d1 = slope / sqrt(settings.count);
    let d0 = size / sqrt(settings.count);
    control.field_norm = d1;
    let h = select(0.01 * d0 / d1, 1e-6, d0 < 1e-5 || d1 < 1e-5 || !is_finite(d0 / d1));
    // Where a tolerance is almost nothing, d₁ is beyond f32 and h would be 0.
    return max(h, settings.h_min);
}

fn first_step(change: f32) -> f32 {
    let h = control.probe / control.clip;
    // log₂ d₂ and of the larger one: d₂ may be beyond f32 where h is not.
    let d2 = log2(max(change / sqrt(settings.count), LEAST_NORMAL)) - log2(h);
    let most = max(log2(max(control.field_norm, LEAST_NORMAL)), d2);
    var next = exp2(settings.first_exponent * (log2(0.01) - most));
    if most <= log2(1e-15) {
        next = max(1e-6, 1e-3 * h);
    }
    // A change beyond f32 allows no more than the probe did.
    let known = is_finite(change) && is_finite(control.field_norm);
    next = select(1e-2 * h, min(100.0 * h, next), known);
    return clamp(next, settings.h_min, settings.h_max);
}

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32) {
    let roots = take_roots(FIRST, lane);
    if lane != 0u {
        return;
    }
    let first = roots.x;
    let other = roots.y;
    if CHOICE == NORM {
        take_place(select(0u, 1u, RIDDEN));
        set_clip(first);
    } else if CHOICE == DIRECTION {
        set_direction(first, other);
    } else if CHOICE == PROBED {
        blame(first);
        blame(other);
        if settings.rule == SGD_G2 {
            // The verdict makes it the next h, if it accepts.
            let h = sgd_g2(first, other);
            control.probe = select(control.next_h, h, is_finite(h));
            set_h(control.probe);
        } else {
            control.curvature = probed_curvature(first);
            set_h(ruled(control.curvature));
        }
    } else if CHOICE == MULTIPLIED {
        blame(first);
        control.curvature =
            select(0.0, first / control.field_norm, control.field_norm > 0.0);
        set_h(ruled(control.curvature));
    } else if CHOICE == NEXT {
        let moved = control.h * control.clip * settings.rule_2;
        control.next_curvature = select(0.0, first / other / moved, other > 0.0);
    } else if CHOICE == RADIUS_START {
        start_radius(first);
    } else if CHOICE == RADIUS {
        iterate_radius(first, other);
    } else if CHOICE == FIRST_PROBE {
        control.probe = first_probe(first, other) * control.clip;
    } else {
        // An opening is recorded until the host knows that one has run.
        if open(select(2u, 1u, CHOICE == OPENED)) {
            if CHOICE == FIRST_STEP {
                // Unless the user gave one.
                if settings.first_h == 0.0 {
                    control.next_h = first_step(first);
                }
            } else if CHOICE == FIRST_CURVATURE {
                control.curvature = probed_curvature(first);
                control.next_curvature = control.curvature;
            }
        }
        forgive_stages();
        prepare();
    }
}
