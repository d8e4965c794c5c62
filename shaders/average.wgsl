// x̄ ← β x̄ + (1 − β) θ, if the verdict accepted
// Moves three words, or none.
// Recorded last in an attempt where an average of θ is kept.
//: use control traversal
struct Average {
    beta: f32,
    // 1 − β from f64.
    rest: f32,
    unused_0: u32,
    unused_1: u32,
    chunk: Chunk,
}

@group(0) @binding(0) var<uniform> control: Control;
@group(0) @binding(1) var<uniform> average: Average;
@group(0) @binding(2) var<storage, read_write> mean: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> theta: array<vec4<f32>>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    if control.accept == 0u {
        return;
    }
    let mine = run_of(average.chunk, workgroup.x, lane);
    for (var i = mine.first; i < mine.end; i += RUN) {
        mean[i] = average.beta * mean[i] + average.rest * theta[i];
    }
}
