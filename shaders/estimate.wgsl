// e = drift (θ − θ') + h D ⊙ Σ dⱼ kⱼ, partials = Σ (e / (atol + rtol·max(|θ|, |θ'|)))²; MAKES: θ' = θ − h D ⊙ Σ bⱼ kⱼ
// Moves a word for each gradient, one for θ, one for θ', and one of state.
// Recorded before the verdict of methods with an embedded pair.
override TERMS: u32 = 1u;
override MAKES: bool = false;
// The second weights make an error too: partials of the next bank = Σ (e₂ / …)².
override TWO: bool = false;

const LEAST = 1e-30;

struct Estimate {
    // d and b of gradient j.
    errors: vec4<f32>,
    steps: vec4<f32>,
    // The last one: a candidate that is not finite is its fault.
    stage: u32,
    rtol: f32,
    atol: f32,
    drift: f32,
    // Partial sums of one kind.
    bank: u32,
    unused_0: u32,
    unused_1: u32,
    unused_2: u32,
    chunk: Chunk,
}

@group(0) @binding(0) var<uniform> control: Control;
@group(0) @binding(1) var<uniform> estimate: Estimate;
@group(0) @binding(2) var<uniform> moments: Moments;
@group(0) @binding(3) var<storage, read_write> candidate: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> partials: Partials;
@group(0) @binding(5) var<storage, read_write> second: array<Second>;
@group(0) @binding(6) var<storage, read> theta: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read> k0: array<K0>;
@group(0) @binding(8) var<storage, read> k1: array<K1>;
@group(0) @binding(9) var<storage, read> k2: array<K2>;
@group(0) @binding(10) var<storage, read> k3: array<K3>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let mine = run_of(estimate.chunk, workgroup.x, lane);
    let h = control.h * control.clip;
    var largest = vec4<u32>();
    var squares = vec4<f32>();
    var others = vec4<f32>();
    for (var i = mine.first; i < mine.end; i += RUN) {
        let g0 = wide_k0(k0[i]);
        var e = estimate.errors.x * g0;
        var step = estimate.steps.x * g0;
        if TERMS > 1u {
            let g = wide_k1(k1[i]);
            e += estimate.errors.y * g;
            step += estimate.steps.y * g;
        }
        if TERMS > 2u {
            let g = wide_k2(k2[i]);
            e += estimate.errors.z * g;
            step += estimate.steps.z * g;
        }
        if TERMS > 3u {
            let g = wide_k3(k3[i]);
            e += estimate.errors.w * g;
            step += estimate.steps.w * g;
        }
        var d = vec4<f32>(1.0);
        if STATE {
            let state = load_second(i, estimate.chunk.span, control.parity ^ 1u);
            d = diagonal(state, control.second_scale);
        }
        let at = theta[i];
        var next: vec4<f32>;
        if MAKES {
            next = at - h * (d * step);
            candidate[i] = next;
        } else {
            next = candidate[i];
        }
        e = h * (d * e) + estimate.drift * (at - next);
        next = parameters_only(next, i, estimate.chunk.elements);
        largest = max(largest, magnitude_bits(next));
        // With atol = 0, an element at zero has no scale, and no error either.
        let scale = max(estimate.atol + estimate.rtol * max(abs(at), abs(next)), vec4<f32>(LEAST));
        let scaled = parameters_only(e / scale, i, estimate.chunk.elements);
        squares += scaled * scaled;
        if TWO {
            let other = parameters_only(h * (d * step) / scale, i, estimate.chunk.elements);
            others += other * other;
        }
    }
    if not_finite(largest) {
        blame_stage(estimate.stage);
    }
    put_partial(estimate.chunk, workgroup.x, lane, squares);
    if TWO {
        // Between the two sums every lane must have read the first.
        workgroupBarrier();
        var next = estimate.chunk;
        next.first_partial += estimate.bank;
        put_partial(next, workgroup.x, lane, others);
    }
}
