// One workgroup of 16×16 invocations computes a tile of 64×64, each invocation
// a block of 4×4; sixteen steps of both operands pass through workgroup memory
// at a time, so each element is fetched once per tile. For real GPUs.
var<workgroup> left_tile: array<array<vec4<f32>, 16>, 16>;
var<workgroup> right_tile: array<array<vec4<f32>, 16>, 16>;

@compute @workgroup_size(16, 16)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let tile = group.y * groups.x + group.x;
    let row = tile / product.tiles_across * 64u;
    let column = tile % product.tiles_across * 64u;
    var block = mat4x4<f32>();
    // Tiles beyond the last run along and store nothing: leaving early is not
    // allowed before a barrier.
    for (var first = 0u; first < product.steps; first += 16u) {
        let t = first + local.y;
        var p = vec4<f32>(0.0);
        var q = vec4<f32>(0.0);
        if (t < product.steps) {
            p = left[t * product.left_stride + row / 4u + local.x];
            q = right[t * product.right_stride + column / 4u + local.x];
        }
        left_tile[local.y][local.x] = p;
        right_tile[local.y][local.x] = q;
        workgroupBarrier();
        for (var i = 0u; i < 16u; i++) {
            block += outer(left_tile[i][local.y], right_tile[i][local.x]);
        }
        workgroupBarrier();
    }
    finish(block, row + local.y * 4u, column + local.x * 4u);
}
