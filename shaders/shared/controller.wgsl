// Step sizes from an error estimate. Twin: src/ingredients/adaptive.rs.
//: use control settings rules failures controllers

// What h is multiplied with, for an error that is finite.
fn factor(error: f32) -> f32 {
    if error == 0.0 {
        return GROW;
    }
    let now = power(error, -settings.exponent_0);
    let past = power(control.error_1, settings.exponent_1)
        * power(control.error_2, -settings.exponent_2);
    let x = min(settings.safety * now * past, 1e6);
    return select(clamp(x, SHRINK, GROW), 1.0 + atan(x - 1.0), settings.arctan == 1u);
}

// After an accepted attempt.
fn grow(error: f32) {
    let most = select(GROW, 1.0, control.rejections > 0u);
    var h = control.h * min(factor(error), most);
    if control.last == 1u {
        // It was shorter than the controller had wanted it.
        h = max(h, control.next_h);
    }
    control.next_h = min(h, settings.h_max);
    control.error_2 = control.error_1;
    control.error_1 = max(error, FLOOR);
    control.rejections = 0u;
    if control.next_h < settings.h_min {
        control.failure = TOO_SMALL;
    }
}

// After a refused one.
fn shrink(error: f32, finite: bool) {
    control.rejections += 1u;
    control.next_h = control.h * select(SHRINK, min(factor(error), 0.9), finite);
    if control.next_h < settings.h_min {
        control.failure = TOO_SMALL;
    } else if control.rejections > settings.most_rejections {
        control.failure = TOO_MANY_REFUSED;
    }
}
