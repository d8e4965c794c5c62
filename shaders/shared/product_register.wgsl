// One invocation computes a tile of 32 rows by 16 columns in registers, with no
// workgroup memory: for adapters that are programs on the CPU. There a load
// costs as much as 50 multiply-adds (llvmpipe runs it lane by lane), whether
// its address is uniform or not, so the tile is as large as the instruction
// cache bears, and the loop is not unrolled further for the same reason.
// The accumulators are named by constants because a computed index would move
// them out of registers.
@group(0) @binding(1) var<storage, read> left: array<vec4<f32>>;

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = (group.y * groups.x + group.x) * 8u + lane;
    if (tile >= product.tiles) {
        return;
    }
    let row = tile / product.tiles_across * 32u;
    let column = tile % product.tiles_across * 16u;
    var c: array<mat4x4<f32>, 32>;
    var p = row / 4u;
    var q = column / 4u;
    for (var t = 0u; t < product.steps; t++) {
        let p0 = left[p + 0u];
        let p1 = left[p + 1u];
        let p2 = left[p + 2u];
        let p3 = left[p + 3u];
        let p4 = left[p + 4u];
        let p5 = left[p + 5u];
        let p6 = left[p + 6u];
        let p7 = left[p + 7u];
        let q0 = right[q + 0u];
        let q1 = right[q + 1u];
        let q2 = right[q + 2u];
        let q3 = right[q + 3u];
        c[0u] += outer(p0, q0); c[1u] += outer(p0, q1); c[2u] += outer(p0, q2); c[3u] += outer(p0, q3);
        c[4u] += outer(p1, q0); c[5u] += outer(p1, q1); c[6u] += outer(p1, q2); c[7u] += outer(p1, q3);
        c[8u] += outer(p2, q0); c[9u] += outer(p2, q1); c[10u] += outer(p2, q2); c[11u] += outer(p2, q3);
        c[12u] += outer(p3, q0); c[13u] += outer(p3, q1); c[14u] += outer(p3, q2); c[15u] += outer(p3, q3);
        c[16u] += outer(p4, q0); c[17u] += outer(p4, q1); c[18u] += outer(p4, q2); c[19u] += outer(p4, q3);
        c[20u] += outer(p5, q0); c[21u] += outer(p5, q1); c[22u] += outer(p5, q2); c[23u] += outer(p5, q3);
        c[24u] += outer(p6, q0); c[25u] += outer(p6, q1); c[26u] += outer(p6, q2); c[27u] += outer(p6, q3);
        c[28u] += outer(p7, q0); c[29u] += outer(p7, q1); c[30u] += outer(p7, q2); c[31u] += outer(p7, q3);
        p += product.left_stride;
        q += product.right_stride;
    }
    finish(c[0u], row + 0u, column + 0u);
    finish(c[1u], row + 0u, column + 4u);
    finish(c[2u], row + 0u, column + 8u);
    finish(c[3u], row + 0u, column + 12u);
    finish(c[4u], row + 4u, column + 0u);
    finish(c[5u], row + 4u, column + 4u);
    finish(c[6u], row + 4u, column + 8u);
    finish(c[7u], row + 4u, column + 12u);
    finish(c[8u], row + 8u, column + 0u);
    finish(c[9u], row + 8u, column + 4u);
    finish(c[10u], row + 8u, column + 8u);
    finish(c[11u], row + 8u, column + 12u);
    finish(c[12u], row + 12u, column + 0u);
    finish(c[13u], row + 12u, column + 4u);
    finish(c[14u], row + 12u, column + 8u);
    finish(c[15u], row + 12u, column + 12u);
    finish(c[16u], row + 16u, column + 0u);
    finish(c[17u], row + 16u, column + 4u);
    finish(c[18u], row + 16u, column + 8u);
    finish(c[19u], row + 16u, column + 12u);
    finish(c[20u], row + 20u, column + 0u);
    finish(c[21u], row + 20u, column + 4u);
    finish(c[22u], row + 20u, column + 8u);
    finish(c[23u], row + 20u, column + 12u);
    finish(c[24u], row + 24u, column + 0u);
    finish(c[25u], row + 24u, column + 4u);
    finish(c[26u], row + 24u, column + 8u);
    finish(c[27u], row + 24u, column + 12u);
    finish(c[28u], row + 28u, column + 0u);
    finish(c[29u], row + 28u, column + 4u);
    finish(c[30u], row + 28u, column + 8u);
    finish(c[31u], row + 28u, column + 12u);
}
