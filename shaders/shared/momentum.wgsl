// θ' = θ − h (u + λ θ), u from ḡ by way of D and the momentum. A kernel file binds
// `mean`, where there is a momentum.
override MOMENTUM: u32 = 0u;
const HEAVY_BALL = 1u;
const NESTEROV = 2u;
const AVERAGE = 3u;

// What a step needs besides ḡ and D.
struct Step {
    h: f32,
    // 1 / (1 − β₁ᵗ).
    mean_scale: f32,
    // Halves of the momentum that are read and written.
    old_mean: u32,
    new_mean: u32,
}

// group: the multipliers of D and of decay.
fn stepped(
    at: vec4<f32>,
    g: vec4<f32>,
    d: vec4<f32>,
    group: vec2<f32>,
    i: u32,
    chunk: Chunk,
    step: Step,
) -> vec4<f32> {
    var u = d * g;
    //: if mean
    if MOMENTUM == AVERAGE {
        let m = moments.beta * old_mean(i, chunk, step) + moments.beta_rest * g;
        put_mean(i, chunk, step, m);
        u = d * (m * step.mean_scale);
    } else {
        let m = moments.beta * old_mean(i, chunk, step) + u;
        put_mean(i, chunk, step, m);
        u = select(m, u + moments.beta * m, MOMENTUM == NESTEROV);
    }
    //: end
    let decay = moments.weight_decay * group.x * group.y;
    return at - step.h * (u + decay * at);
}

//: if mean
fn old_mean(i: u32, chunk: Chunk, step: Step) -> vec4<f32> {
    return wide_mean(mean[mean_at(i, chunk.span, step.old_mean)]);
}

fn put_mean(i: u32, chunk: Chunk, step: Step, m: vec4<f32>) {
    let kept = dithered_mean(m, noise_of(i, chunk, MEAN));
    mean[mean_at(i, chunk.span, step.new_mean)] = kept;
}
//: end
