// θ' = θ − h (u + λ θ), u from ḡ by way of D and the momentum. A kernel file binds
// `mean`, where there is a momentum.
//: use moments momenta
override MOMENTUM: u32 = 0u;

// What a step needs besides ḡ and D.
struct Step {
    h: f32,
    // 1 / (1 − β₁ᵗ).
    mean_scale: f32,
    // Halves of the momentum that are read and written.
    old_mean: u32,
    new_mean: u32,
    by: Moments,
    span: Span,
}

// group: the multipliers of D and of decay.
fn stepped(
    at: vec4<f32>,
    g: vec4<f32>,
    d: vec4<f32>,
    group: vec2<f32>,
    i: u32,
    step: Step,
) -> vec4<f32> {
    var u = d * g;
    //: if mean
    if MOMENTUM == EMA {
        let m = step.by.beta * old_mean(i, step) + step.by.beta_rest * g;
        put_mean(i, step, m);
        u = d * (m * step.mean_scale);
    } else {
        let m = step.by.beta * old_mean(i, step) + u;
        put_mean(i, step, m);
        u = select(m, u + step.by.beta * m, MOMENTUM == NESTEROV);
    }
    //: end
    let decay = step.by.weight_decay * group.x * group.y;
    return at - step.h * (u + decay * at);
}

//: if mean
fn old_mean(i: u32, step: Step) -> vec4<f32> {
    return wide_mean(mean[mean_at(i, step.span, step.old_mean)]);
}

fn put_mean(i: u32, step: Step, m: vec4<f32>) {
    let kept = dithered_mean(m, noise_of(i, step.span, MEAN));
    mean[mean_at(i, step.span, step.new_mean)] = kept;
}
//: end
