// dst = x₀ − h Σ aⱼ kⱼ, also = x₀ − h Σ bⱼ kⱼ or Σ bⱼ kⱼ
// Moves a word for each distinct input and two for the outputs.
// Recorded where a later operation would have to read the same gradients again.
override TERMS: u32 = 1u;
override ALSO_BASED: bool = false;
// Bit j: nobody has looked yet whether gradient j is finite.
override CHECK: u32 = 0u;
// 1 + the gradient whose squared norm is summed on the way; 0 for none.
override NORM: u32 = 0u;

struct CombineTwo {
    // Weights of gradient j at [j / 4][j % 4].
    weights: array<vec4<f32>, 2>,
    also: array<vec4<f32>, 2>,
    // The first stage whose gradient this kernel checks; 0 if it checks none.
    stage: u32,
    unused_0: u32,
    unused_1: u32,
    unused_2: u32,
    chunk: Chunk,
}

@group(0) @binding(0) var<uniform> control: Control;
@group(0) @binding(1) var<uniform> combine: CombineTwo;
@group(0) @binding(2) var<storage, read_write> dst: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> also: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> x0: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> k0: array<K0>;
@group(0) @binding(6) var<storage, read> k1: array<K1>;
@group(0) @binding(7) var<storage, read> k2: array<K2>;
@group(0) @binding(8) var<storage, read> k3: array<K3>;

struct Two {
    first: vec4<f32>,
    second: vec4<f32>,
    // Largest magnitude of the checked gradients, as bits.
    largest: vec4<u32>,
    squares: vec4<f32>,
}

fn take(two: ptr<function, Two>, j: u32, k: vec4<f32>, i: u32) {
    (*two).first += combine.weights[j / 4u][j % 4u] * k;
    (*two).second += combine.also[j / 4u][j % 4u] * k;
    if (CHECK & (1u << j)) != 0u || NORM == j + 1u {
        let inside = parameters_only(k, i, combine.chunk.elements);
        if (CHECK & (1u << j)) != 0u {
            (*two).largest = max((*two).largest, magnitude_bits(inside));
        }
        if NORM == j + 1u {
            (*two).squares += inside * inside;
        }
    }
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let mine = run_of(combine.chunk, workgroup.x, lane);
    let h = control.h * control.clip;
    var two: Two;
    for (var i = mine.first; i < mine.end; i += RUN) {
        two.first = vec4<f32>();
        two.second = vec4<f32>();
        let base = x0[i];
        take(&two, 0u, wide_k0(k0[i]), i);
        if TERMS > 1u {
            take(&two, 1u, wide_k1(k1[i]), i);
        }
        if TERMS > 2u {
            take(&two, 2u, wide_k2(k2[i]), i);
        }
        if TERMS > 3u {
            take(&two, 3u, wide_k3(k3[i]), i);
        }
        take_last(&two, i);
        dst[i] = base - h * two.first;
        also[i] = select(two.second, base - h * two.second, ALSO_BASED);
    }
    leave(two, workgroup.x, lane);
}
