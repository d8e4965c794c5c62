// dst = base + Σ wᵢ (pointᵢ − base) − scale · Σ aⱼ kⱼ, scale = h or 1
// Moves a word for each distinct input and one for dst; IN_PLACE makes dst itself the base.
// Recorded for every stage point and partial sum, and, as ADVANCE, for θ after the verdict.
override IN_PLACE: bool = false;
override POINTS: u32 = 0u;
override TERMS: u32 = 1u;
override TIMES_H: bool = true;
override ADVANCE: bool = false;
// Bit i: nobody has looked yet whether input i, a gradient, is finite.
override CHECK: u32 = 0u;
// 1 + the input whose squared norm is summed on the way; 0 for none.
override NORM: u32 = 0u;

// Inputs in order: the base unless IN_PLACE, points, gradients.
override FIRST_POINT: u32 = select(1u, 0u, IN_PLACE);
override FIRST_TERM: u32 = FIRST_POINT + POINTS;
override INPUTS: u32 = FIRST_TERM + TERMS;

struct Combine {
    // Weight of input i at [i / 4][i % 4].
    weights: array<vec4<f32>, 2>,
    // Stages whose gradients this kernel checks, as bits of Partials.flags.
    stages: vec2<u32>,
    unused_0: u32,
    unused_1: u32,
    chunk: Chunk,
}

@group(0) @binding(0) var<uniform> control: Control;
@group(0) @binding(1) var<uniform> combine: Combine;
@group(0) @binding(2) var<storage, read_write> dst: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> partials: Partials;
@group(0) @binding(4) var<storage, read> x0: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> x1: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> x2: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read> x3: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read> x4: array<vec4<f32>>;
@group(0) @binding(9) var<storage, read> x5: array<vec4<f32>>;

struct Sums {
    base: vec4<f32>,
    points: vec4<f32>,
    gradients: vec4<f32>,
    // Largest magnitude of the checked gradients, as bits: NaN and infinity
    // are the largest of all.
    largest: vec4<u32>,
    squares: vec4<f32>,
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
    if (CHECK & (1u << input)) != 0u || NORM == input + 1u {
        let inside = parameters_only(x, i, combine.chunk.elements);
        if (CHECK & (1u << input)) != 0u {
            (*sums).largest = max((*sums).largest, magnitude_bits(inside));
        }
        if NORM == input + 1u {
            (*sums).squares += inside * inside;
        }
    }
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    if ADVANCE && control.accept == 0u {
        return;
    }
    let mine = run_of(combine.chunk, workgroup.x, lane);
    // After the verdict control.h is already the next attempt's.
    let h = select(control.h, control.applied_h, ADVANCE);
    var sums: Sums;
    for (var i = mine.first; i < mine.end; i += RUN) {
        sums.points = vec4<f32>();
        sums.gradients = vec4<f32>();
        if IN_PLACE {
            sums.base = dst[i];
        }
        take(&sums, 0u, x0[i], i);
        if INPUTS > 1u {
            take(&sums, 1u, x1[i], i);
        }
        if INPUTS > 2u {
            take(&sums, 2u, x2[i], i);
        }
        if INPUTS > 3u {
            take(&sums, 3u, x3[i], i);
        }
        if INPUTS > 4u {
            take(&sums, 4u, x4[i], i);
        }
        if INPUTS > 5u {
            take(&sums, 5u, x5[i], i);
        }
        if TIMES_H {
            sums.gradients *= h;
        }
        dst[i] = sums.base + (sums.points - sums.gradients);
    }
    if CHECK != 0u && not_finite(sums.largest) {
        atomicOr(&partials.flags[0], combine.stages.x);
        atomicOr(&partials.flags[1], combine.stages.y);
    }
    if NORM != 0u {
        put_partial(combine.chunk, workgroup.x, lane, sums.squares);
    }
}
