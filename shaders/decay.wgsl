// k ← k + λ y
// Moves three words.
// Recorded after each gradient where there is L2 decay: k becomes ∇(L + λ‖θ‖²/2) at y.
//: use traversal
struct Decay {
    lambda: f32,
    unused_0: u32,
    unused_1: u32,
    unused_2: u32,
    chunk: Chunk,
}

@group(0) @binding(0) var<uniform> decay: Decay;
@group(0) @binding(1) var<storage, read_write> k: array<K>;
@group(0) @binding(2) var<storage, read> y: array<vec4<f32>>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let mine = run_of(decay.chunk, workgroup.x, lane);
    for (var i = mine.first; i < mine.end; i += RUN) {
        k[i] = narrow_k(wide_k(k[i]) + decay.lambda * y[i]);
    }
}
