// θ ← θ − h (u + λ θ), m ← …, v ← …; u from ḡ = Σ bⱼ kⱼ by way of D and the momentum
// Moves a word for each gradient, two for θ, two for m, and the state's.
// Recorded after the verdict, in place of the advance.
override TERMS: u32 = 1u;
// k₁ goes into the state first: with one stage, where nothing did so before.
override UPDATE: bool = false;
override MOMENTUM: u32 = 0u;
const HEAVY_BALL = 1u;
const NESTEROV = 2u;
const AVERAGE = 3u;

struct Finish {
    // Weight of gradient j at [j / 4][j % 4].
    weights: array<vec4<f32>, 2>,
    chunk: Chunk,
}

@group(0) @binding(0) var<uniform> control: Control;
@group(0) @binding(1) var<uniform> finish: Finish;
@group(0) @binding(2) var<uniform> moments: Moments;
@group(0) @binding(3) var<storage, read_write> theta: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> mean: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> second: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> k0: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read> k1: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read> k2: array<vec4<f32>>;
@group(0) @binding(9) var<storage, read> k3: array<vec4<f32>>;
@group(0) @binding(10) var<storage, read> k4: array<vec4<f32>>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    if control.accept == 0u {
        return;
    }
    let mine = run_of(finish.chunk, workgroup.x, lane);
    let h = control.applied_h;
    for (var i = mine.first; i < mine.end; i += RUN) {
        var g = finish.weights[0].x * k0[i];
        if TERMS > 1u {
            g += finish.weights[0].y * k1[i];
        }
        if TERMS > 2u {
            g += finish.weights[0].z * k2[i];
        }
        if TERMS > 3u {
            g += finish.weights[0].w * k3[i];
        }
        if TERMS > 4u {
            g += finish.weights[1].x * k4[i];
        }
        var d = vec4<f32>(1.0);
        if PRECONDITIONER != 0u {
            // The verdict has made the attempt's half the current one.
            let half = select(0u, control.parity, HALVES == 2u);
            var state = load_second(i, finish.chunk.span, half);
            if UPDATE {
                state = updated(state, g);
                store_second(i, finish.chunk.span, half, state);
            }
            d = diagonal(state, control.applied_second_scale);
        }
        var u = d * g;
        if MOMENTUM == AVERAGE {
            let m = moments.beta * mean[i] + moments.beta_rest * g;
            mean[i] = m;
            u = d * (m * control.applied_mean_scale);
        } else if MOMENTUM != 0u {
            let m = moments.beta * mean[i] + u;
            mean[i] = m;
            u = select(m, u + moments.beta * m, MOMENTUM == NESTEROV);
        }
        let at = theta[i];
        theta[i] = at - h * (u + moments.weight_decay * at);
    }
}
