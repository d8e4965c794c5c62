//: use control settings finite rules curves failures

// Hides a value's origin: no compiler can know that control.zero is 0, so
// none may reorder sums across this, fast-math or not.
fn opaque(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) ^ control.zero);
}

// Time left until the end of integration.
fn time_left() -> f32 {
    return opaque(settings.end_high - control.time_high)
        + opaque(settings.end_low - control.time_low);
}

// time += h, with the rounding error kept in time_low (Knuth's two-sum). Whether that is
// another time: an h below some 2⁻⁴⁸ of it is lost.
fn add_time(h: f32) -> bool {
    let before = vec2(control.time_high, control.time_low);
    let sum = opaque(control.time_high + h);
    let part = opaque(sum - control.time_high);
    let error = opaque(control.time_high - opaque(sum - part)) + opaque(h - part);
    let low = opaque(control.time_low + error);
    let high = opaque(sum + low);
    control.time_low = opaque(low - opaque(high - sum));
    control.time_high = high;
    return any(before != vec2(control.time_high, control.time_low));
}

// Whether fewer were accepted than the host wants, as far as it says; the counter wraps.
fn is_wanted() -> bool {
    return settings.accepted_limit == NO_LIMIT
        || i32(settings.accepted_limit - control.accepted) > 0;
}

// 1 / (1 − exp(x)) for x < 0, and 1 for x = 0; near 0 by the series, for the
// difference would cancel.
fn bias_scale(x: f32) -> f32 {
    if x == 0.0 {
        return 1.0;
    }
    if x < -0.5 {
        return 1.0 / (1.0 - exp(x));
    }
    var sum = 1.0;
    for (var n = 10.0; n > 1.5; n -= 1.0) {
        sum = 1.0 + x / n * sum;
    }
    return -1.0 / (x * sum);
}

// (1 + cos(πx))/2 for x in [0, 1], by the series of sin(π(1/2 − x)): the cosine
// of some drivers is good to 2⁻¹¹ only.
fn half_cosine(x: f32) -> f32 {
    let z = 3.14159265 * (0.5 - x);
    let q = z * z;
    var sum = 1.0;
    for (var n = 12.0; n > 1.5; n -= 2.0) {
        sum = 1.0 - q / (n * (n + 1.0)) * sum;
    }
    return 0.5 + 0.5 * z * sum;
}

// The schedule's h of the step that comes after so many accepted ones.
fn scheduled(accepted: u32) -> f32 {
    var now = 0u;
    for (var i = 1u; i < PIECES; i += 1u) {
        if settings.schedule[i].start <= accepted {
            now = i;
        }
    }
    let piece = settings.schedule[now];
    let x = f32(accepted - piece.start) / piece.span;
    switch piece.curve {
        case LINEAR: { return piece.initial + (piece.end - piece.initial) * min(x, 1.0); }
        case COSINE: { return piece.end + (piece.initial - piece.end) * half_cosine(min(x, 1.0)); }
        case EXPONENTIAL: { return piece.initial * exp2(x * piece.end); }
        default: { return piece.initial * exp2(floor(x) * piece.end); }
    }
}

// The attempt's h, cut to the end of time.
fn set_h(h: f32) {
    // The verdict skips what led to this.
    if !is_finite(h) {
        return;
    }
    let left = time_left();
    // A last step of up to 2⁻²⁰ more than h spares one of almost nothing.
    control.last = select(0u, 1u, left <= h * (1.0 + 1.0 / 1048576.0));
    control.h = select(h, left, control.last == 1u);
}

// Sets up the next attempt: its step size, and whether it may do anything.
fn prepare() {
    let step = f32(control.accepted + 1u);
    let scales = vec2(bias_scale(settings.log_second * step), bias_scale(settings.log_mean * step));
    prepare_with(scales, scheduled(control.accepted));
}

// The same, where 1 / (1 − β₂ᵗ), 1 / (1 − β₁ᵗ) and the schedule's h are known.
fn prepare_with(scales: vec2<f32>, h: f32) {
    control.second_scale = scales.x;
    control.mean_scale = scales.y;
    let left = time_left();
    let going = left > 0.0 && is_wanted() && control.failure == NO_FAILURE;
    control.alive = select(0u, 1u, going);
    if settings.rtol + settings.atol > 0.0 {
        set_h(control.next_h);
    } else if settings.rule != NO_RULE {
        set_h(ruled(control.curvature));
    } else {
        set_h(h);
    }
    control.clip = 1.0;
}
