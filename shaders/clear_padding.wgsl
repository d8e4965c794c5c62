// g = 0 in the padding between tensors
// Moves at most 64 elements a tensor, both ways.
// Recorded after each gradient of a source that does not say that it keeps padding at zero.

// Where each gap begins, in elements of this binding of g; it ends at the next multiple of 64.
@group(0) @binding(0) var<storage, read> gaps: array<u32>;
@group(0) @binding(1) var<storage, read_write> gradient: array<Gradient>;

// Four blocks of 64 elements, a vec4 a lane.
@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (group.y * groups.x + group.x) * 4u + lane / 16u;
    if index >= arrayLength(&gaps) {
        return;
    }
    let start = gaps[index];
    let at = start / 64u * 16u + lane % 16u;
    if 4u * at + 3u < start {
        return;
    }
    let kept = vec4<u32>(4u * at) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(start);
    gradient[at] = narrow_gradient(select(vec4<f32>(), wide_gradient(gradient[at]), kept));
}
