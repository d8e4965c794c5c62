// The preconditioner's state and its diagonal D. Source: METHODS in
// src/ingredients/preconditioner.rs, whose twin this is.
//: use control noise preconditioners
override PRECONDITIONER: u32 = 0u;
// Parameter groups have multipliers of D and of decay.
override GROUPED: bool = false;
override STATE: bool = PRECONDITIONER != NO_PRECONDITIONER || GROUPED;
// Halves of the state, and of the momentum: two where it is written before the
// verdict.
override HALVES: u32 = 1u;
override MEAN_HALVES: u32 = 1u;
override VECTORS: u32 = select(1u, 2u, PRECONDITIONER == AMSGRAD);
override WIDTH: u32 = select(0u, VECTORS * HALVES, PRECONDITIONER != NO_PRECONDITIONER);
// The square root of a value is what is stored: f16 holds no squares of small gradients.
override ROOT: bool = false;
// What noise is drawn for.
const VALUE = 0u;
const LARGEST_VALUE = 1u;
const MEAN = 2u;
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

// The part of the vector that a workgroup does, in vec4s.
struct Span {
    number: u32,
    length: u32,
    // Of the vector before this binding.
    first: u32,
}

struct State {
    value: vec4<f32>,
    // The largest value so far: AMSGrad's.
    largest: vec4<f32>,
    // The group's multipliers of D and of decay.
    group: vec2<f32>,
}

// The state's vectors and halves lie interleaved by the spans of workgroups, so
// that one binding holds all of them and each is walked without gaps. After
// those of a span comes one vec4 for each of its blocks, where GROUPED.
fn state_at(span: Span) -> u32 {
    return span.number * (WIDTH * span.length + select(0u, span.length / BLOCK, GROUPED));
}

fn within(i: u32, span: Span) -> u32 {
    return i - span.number * span.length;
}

fn second_at(i: u32, span: Span, vector: u32, half: u32) -> u32 {
    return within(i, span) + (state_at(span) + (vector * HALVES + half) * span.length);
}

fn mean_at(i: u32, span: Span, half: u32) -> u32 {
    if MEAN_HALVES == 1u {
        return i;
    }
    return within(i, span) + (span.number * MEAN_HALVES + half) * span.length;
}

//: if state
fn load_second(i: u32, span: Span, half: u32) -> State {
    var state: State;
    state.group = vec2<f32>(1.0);
    if GROUPED {
        state.group = pair_second(second[state_at(span) + WIDTH * span.length + within(i, span) / BLOCK]);
    }
    if PRECONDITIONER == NO_PRECONDITIONER {
        return state;
    }
    state.value = squared(wide_second(second[second_at(i, span, 0u, half)]));
    if PRECONDITIONER == AMSGRAD {
        state.largest = squared(wide_second(second[second_at(i, span, 1u, half)]));
    }
    return state;
}

// Stores the state. Gives what later kernels will read, so that D is the same for
// all stages.
fn kept_second(i: u32, span: Span, half: u32, state: State) -> State {
    if PRECONDITIONER == NO_PRECONDITIONER {
        return state;
    }
    var kept = state;
    let value = dithered_second(rooted(state.value), noise_of(i, span, VALUE));
    second[second_at(i, span, 0u, half)] = value;
    kept.value = squared(wide_second(value));
    if PRECONDITIONER == AMSGRAD {
        let largest = dithered_second(rooted(state.largest), noise_of(i, span, LARGEST_VALUE));
        second[second_at(i, span, 1u, half)] = largest;
        kept.largest = squared(wide_second(largest));
    }
    return kept;
}
//: end

fn rooted(value: vec4<f32>) -> vec4<f32> {
    if ROOT {
        return sqrt(value);
    }
    return value;
}

fn squared(root: vec4<f32>) -> vec4<f32> {
    if ROOT {
        return root * root;
    }
    return root;
}

// Drawn once for each accepted step, whatever was refused or measured in between.
fn noise_of(i: u32, span: Span, what: u32) -> vec4<u32> {
    return noise_at(span.first + i, 3u * control.accepted + what);
}

fn updated(old: State, g: vec4<f32>, by: Moments) -> State {
    var next: State;
    next.group = old.group;
    if PRECONDITIONER == ADAGRAD || PRECONDITIONER == ADAGRAD_RESCALED {
        next.value = old.value + g * g;
    } else {
        next.value = by.decay * old.value + by.rest * (g * g);
    }
    // Sums of finite squares stay finite.
    next.value = min(next.value, vec4<f32>(LARGEST));
    next.largest = max(old.largest, next.value);
    return next;
}

// factor · D: the division has a numerator anyway. bias: 1 / (1 − β₂ᵗ), or 1.
fn diagonal(factor: f32, state: State, bias: f32, epsilon: f32) -> vec4<f32> {
    if GROUPED {
        return preconditioned(factor * state.group.x, state, bias, epsilon);
    }
    return preconditioned(factor, state, bias, epsilon);
}

fn preconditioned(factor: f32, state: State, bias: f32, epsilon: f32) -> vec4<f32> {
    if PRECONDITIONER == NO_PRECONDITIONER {
        return vec4<f32>(factor);
    }
    if PRECONDITIONER == ADAGRAD_RESCALED {
        return factor / sqrt(1.0 + state.value);
    }
    let value = select(state.value, state.largest, PRECONDITIONER == AMSGRAD);
    return factor / (sqrt(value * bias) + epsilon);
}
