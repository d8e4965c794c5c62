// θ' = θ − h (u + λ θ), m ← …, v ← …; u from ḡ = Σ bⱼ kⱼ by way of D and the momentum
// Moves a word for each gradient, two for θ, two for m, and the state's.
// Recorded after the verdict, in place of the advance; or, where an estimate judges it, before.
override TERMS: u32 = 1u;
// k₁ goes into the state first: with one stage, where nothing did so before.
override UPDATE: bool = false;
override MOMENTUM: u32 = 0u;
// Before the verdict: θ is the last input, and what is written does not count yet.
override JUDGED: bool = false;
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
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> mean: array<Mean>;
@group(0) @binding(5) var<storage, read_write> second: array<Second>;
@group(0) @binding(6) var<storage, read> k0: array<K0>;
@group(0) @binding(7) var<storage, read> k1: array<K1>;
@group(0) @binding(8) var<storage, read> k2: array<K2>;
@group(0) @binding(9) var<storage, read> k3: array<K3>;
@group(0) @binding(10) var<storage, read> k4: array<K4>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    if !JUDGED && control.accept == 0u {
        return;
    }
    let mine = run_of(finish.chunk, workgroup.x, lane);
    let span = finish.chunk.span;
    // After the verdict the control block is already the next attempt's.
    let h = select(control.applied_h, control.h, JUDGED);
    let clip = select(control.applied_clip, control.clip, JUDGED);
    let bias = select(control.applied_second_scale, control.second_scale, JUDGED);
    let mean_scale = select(control.applied_mean_scale, control.mean_scale, JUDGED);
    // The attempt's half: the verdict makes it the current one.
    let half = select(control.parity, control.parity ^ 1u, JUDGED);
    let old_mean = select(0u, control.parity, MEAN_HALVES == 2u);
    let new_mean = select(0u, half, MEAN_HALVES == 2u);
    for (var i = mine.first; i < mine.end; i += RUN) {
        var g = finish.weights[0].x * wide_k0(k0[i]);
        if TERMS > 1u {
            g += finish.weights[0].y * wide_k1(k1[i]);
        }
        if TERMS > 2u {
            g += finish.weights[0].z * wide_k2(k2[i]);
        }
        if TERMS > 3u {
            g += finish.weights[0].w * wide_k3(k3[i]);
        }
        if TERMS > 4u {
            g += finish.weights[1].x * wide_k4(k4[i]);
        }
        g *= clip;
        var d = vec4<f32>(1.0);
        var decay = moments.weight_decay;
        if STATE {
            let at = select(0u, half, HALVES == 2u);
            var state = load_second(i, span, at);
            if UPDATE {
                state = updated(state, g);
                state = kept_second(i, finish.chunk, at, state);
            }
            d = diagonal(state, bias);
            decay *= state.group.x * state.group.y;
        }
        var u = d * g;
        if MOMENTUM == AVERAGE {
            let m = moments.beta * wide_mean(mean[mean_at(i, span, old_mean)]) + moments.beta_rest * g;
            mean[mean_at(i, span, new_mean)] = dithered_mean(m, noise_of(i, finish.chunk, MEAN));
            u = d * (m * mean_scale);
        } else if MOMENTUM != 0u {
            let m = moments.beta * wide_mean(mean[mean_at(i, span, old_mean)]) + u;
            mean[mean_at(i, span, new_mean)] = dithered_mean(m, noise_of(i, finish.chunk, MEAN));
            u = select(m, u + moments.beta * m, MOMENTUM == NESTEROV);
        }
        var at: vec4<f32>;
        if JUDGED {
            at = wide_k4(k4[i]);
        } else {
            at = dst[i];
        }
        dst[i] = at - h * (u + decay * at);
    }
}
