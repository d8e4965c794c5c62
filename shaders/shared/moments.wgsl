// The preconditioner's state and its diagonal D. Source: METHODS in
// src/ingredients/preconditioner.rs, whose twin this is.
override PRECONDITIONER: u32 = 0u;
// Parameter groups have multipliers of D and of decay.
override GROUPED: bool = false;
override STATE: bool = PRECONDITIONER != 0u || GROUPED;
const ADAGRAD_RESCALED = 1u;
const ADAGRAD = 2u;
const RMSPROP = 3u;
const ADAM = 4u;
const AMSGRAD = 5u;
// Halves of the state, and of the momentum: two where it is written before the
// verdict.
override HALVES: u32 = 1u;
override MEAN_HALVES: u32 = 1u;
override VECTORS: u32 = select(1u, 2u, PRECONDITIONER == AMSGRAD);
override WIDTH: u32 = select(0u, VECTORS * HALVES, PRECONDITIONER != 0u);
// vec4s of a block of 64 elements, which has one group.
const BLOCK: u32 = 16u;

const LARGEST = 3.4028234e38;

struct Moments {
    // ρ or β₂, and what is left of 1: from f64, for 1 − 0.999 is off by 1e-5 in f32.
    decay: f32,
    rest: f32,
    epsilon: f32,
    // β of the momentum, and what is left of 1.
    beta: f32,
    beta_rest: f32,
    // λ of decoupled weight decay.
    weight_decay: f32,
    unused_0: u32,
    unused_1: u32,
}

struct Second {
    value: vec4<f32>,
    // The largest value so far: AMSGrad's.
    largest: vec4<f32>,
    // The group's multipliers of D and of decay.
    group: vec2<f32>,
}

// The state's vectors and halves lie interleaved by the spans of workgroups, so
// that one binding holds all of them and each is walked without gaps. After
// those of a span comes one vec4 for each of its blocks, where GROUPED.
fn span_at(i: u32, span: u32) -> u32 {
    return i / span * (WIDTH * span + select(0u, span / BLOCK, GROUPED));
}

fn second_at(i: u32, span: u32, vector: u32, half: u32) -> u32 {
    return span_at(i, span) + (vector * HALVES + half) * span + i % span;
}

fn mean_at(i: u32, span: u32, half: u32) -> u32 {
    if MEAN_HALVES == 1u {
        return i;
    }
    return (i / span * MEAN_HALVES + half) * span + i % span;
}

fn load_second(i: u32, span: u32, half: u32) -> Second {
    var state: Second;
    state.group = vec2<f32>(1.0);
    if GROUPED {
        state.group = second[span_at(i, span) + WIDTH * span + i % span / BLOCK].xy;
    }
    if PRECONDITIONER == 0u {
        return state;
    }
    state.value = second[second_at(i, span, 0u, half)];
    if PRECONDITIONER == AMSGRAD {
        state.largest = second[second_at(i, span, 1u, half)];
    }
    return state;
}

fn store_second(i: u32, span: u32, half: u32, state: Second) {
    if PRECONDITIONER == 0u {
        return;
    }
    second[second_at(i, span, 0u, half)] = state.value;
    if PRECONDITIONER == AMSGRAD {
        second[second_at(i, span, 1u, half)] = state.largest;
    }
}

fn updated(old: Second, g: vec4<f32>) -> Second {
    var next: Second;
    next.group = old.group;
    if PRECONDITIONER == ADAGRAD || PRECONDITIONER == ADAGRAD_RESCALED {
        next.value = old.value + g * g;
    } else {
        next.value = moments.decay * old.value + moments.rest * (g * g);
    }
    // Sums of finite squares stay finite.
    next.value = min(next.value, vec4<f32>(LARGEST));
    next.largest = max(old.largest, next.value);
    return next;
}

// bias: 1 / (1 − β₂ᵗ), or 1.
fn diagonal(state: Second, bias: f32) -> vec4<f32> {
    if GROUPED {
        return state.group.x * preconditioned(state, bias);
    }
    return preconditioned(state, bias);
}

fn preconditioned(state: Second, bias: f32) -> vec4<f32> {
    if PRECONDITIONER == 0u {
        return vec4<f32>(1.0);
    }
    if PRECONDITIONER == ADAGRAD_RESCALED {
        return 1.0 / sqrt(1.0 + state.value);
    }
    let value = select(state.value, state.largest, PRECONDITIONER == AMSGRAD);
    return 1.0 / (sqrt(value * bias) + moments.epsilon);
}
