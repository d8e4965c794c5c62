// Blames k's stage for a NaN or an infinity; partials = ‖k‖ where TAKES_NORM
// Moves one word: k.
// Recorded before the verdict for a gradient that no combine has read.
//: use guard_group
const SUMS = 1u;

@group(0) @binding(0) var<uniform> guard: Guard;
@group(0) @binding(1) var<storage, read_write> partials: Partials;
@group(0) @binding(2) var<storage, read> k: array<K>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let root = guard_group(workgroup.x, lane);
    if TAKES_NORM {
        put_roots(guard.chunk, 0u, workgroup.x, lane, vec3<f32>(root, 0.0, 0.0));
    }
}
