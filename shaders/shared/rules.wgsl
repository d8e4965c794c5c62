// Step sizes from loss and curvature. Twin: src/ingredients/rule.rs.
//: use control settings rule_kinds

fn power(x: f32, y: f32) -> f32 {
    return select(exp2(y * log2(x)), 1.0, y == 0.0);
}

// h for a curvature r; the h that stands in for it where the rule needs more.
fn ruled(r: f32) -> f32 {
    if settings.rule == POLYAK || settings.rule == STABLE {
        return settings.rule_0;
    }
    if settings.rule == SGD_G2 {
        return control.next_h;
    }
    // r⁰ = 1, at r = 0 too.
    var x = power(r, settings.rule_1);
    if r == 0.0 && settings.rule_1 != 0.0 {
        x = 0.0;
    }
    if settings.rule == DAL {
        return select(min(2.0 / x, settings.rule_0), settings.rule_0, x == 0.0);
    }
    return settings.rule_0 / (1.0 + 0.5 * settings.rule_0 * x);
}
