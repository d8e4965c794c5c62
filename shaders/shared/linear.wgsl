// What the combine kernels share: base + Σ wᵢ (pointᵢ − base), Σ aⱼ kⱼ, and the
// checks of gradients on the way. A kernel file binds `combine` and the inputs.
override IN_PLACE: bool = false;
override POINTS: u32 = 0u;
override TERMS: u32 = 1u;
override TIMES_H: bool = true;
override ADVANCE: bool = false;
// The distance of a probe takes the place of h.
override PROBE: bool = false;
// Bit i: nobody has looked yet whether input i, a gradient, is finite.
override CHECK: u32 = 0u;
// 1 + the input whose squared norm is summed on the way; 0 for none.
override NORM: u32 = 0u;
// 1 + the input that is k₁, where it becomes state; 0 for none.
override FIRST: u32 = 0u;

// Inputs in order: the base unless IN_PLACE, points, gradients.
override FIRST_POINT: u32 = select(1u, 0u, IN_PLACE);
override FIRST_TERM: u32 = FIRST_POINT + POINTS;
override INPUTS: u32 = FIRST_TERM + TERMS;

struct Combine {
    // Weight of input i at [i / 4][i % 4].
    weights: array<vec4<f32>, 2>,
    // The first stage whose gradient this kernel checks; 0 if it checks none.
    stage: u32,
    unused_0: u32,
    unused_1: u32,
    unused_2: u32,
    chunk: Chunk,
}

struct Sums {
    base: vec4<f32>,
    points: vec4<f32>,
    gradients: vec4<f32>,
    // Largest magnitude of the checked gradients, as bits: NaN and infinity
    // are the largest of all.
    largest: vec4<u32>,
    squares: vec4<f32>,
    // k₁, where FIRST says which input it is.
    first: vec4<f32>,
}

fn take(sums: ptr<function, Sums>, input: u32, x: vec4<f32>, i: u32) {
    let weight = combine.weights[input / 4u][input % 4u];
    if input >= FIRST_TERM {
        (*sums).gradients += weight * x;
    } else if input >= FIRST_POINT {
        (*sums).points += weight * (x - (*sums).base);
    } else {
        (*sums).base = x;
    }
    if (CHECK & (1u << input)) != 0u || NORM == input + 1u || FIRST == input + 1u {
        let inside = parameters_only(x, i, combine.chunk.elements);
        if (CHECK & (1u << input)) != 0u {
            (*sums).largest = max((*sums).largest, magnitude_bits(inside));
        }
        if NORM == input + 1u {
            (*sums).squares += inside * inside;
        }
        if FIRST == input + 1u {
            (*sums).first = inside;
        }
    }
}

