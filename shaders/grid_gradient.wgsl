// g_l[entry, f] = sums_l[entry, f] 2^−k, four at a time, and sums of zero for the next time.
// Reads and writes the sums once, writes the gradient once.
// Called at every stage, after `grid_scatter`.
//: use traversal grid_shape check_gradient
override DIMENSIONS: u32 = 2u;
override FEATURES: u32 = 2u;

@group(0) @binding(0) var<uniform> shape: GridShape;
@group(0) @binding(1) var<storage, read> scales: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read_write> sums: array<vec4<i32>>;
@group(0) @binding(3) var<storage, read_write> gradient: array<Gradient>;
@group(0) @binding(4) var<storage, read_write> checks: Checks;

// y of the grid is the level; x may be folded into z.
@compute @workgroup_size(256)
fn main(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = id.z * groups.x * 256u + id.x;
    let level = shape.levels[min(id.y, shape.count - 1u)];
    let elements = level.entries * FEATURES;
    var seen: Seen;
    if (4u * i < elements) {
        let at = level.first / 4u + i;
        // What comes after the last feature is padding, and stays zero.
        let here = vec4<f32>(sums[at]) * scales[id.y].y;
        let stored = narrow_gradient(parameters_only(here, i, elements));
        gradient[at] = stored;
        sums[at] = vec4<i32>();
        look(&seen, wide_gradient(stored), at);
    }
    leave(&seen, (group.z * groups.y + group.y) * groups.x + group.x, lane);
}
