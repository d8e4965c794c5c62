// One workgroup computes a tile of 4·SIDE × 4·SIDE: an invocation has a block of 4×4 and
// one of SLICES slices of t, which it reads straight from memory, four steps of both
// operands at a time. The slices' blocks are added through workgroup memory, in order. For
// products too small to fill a GPU with tiles: how long they take is how long one slice is.
//: use product_parts

// Blocks along a side of the tile: 2, 4 or 8.
override SIDE: u32 = 4u;
override BLOCKS: u32 = SIDE * SIDE;
override SLICES: u32 = 256u / BLOCKS;

var<workgroup> slices: array<vec4<f32>, 1024>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = part_of(group.y * groups.x + group.x, 4u * SIDE, 4u * SIDE);
    chunk = part.chunk;
    let own = lane % BLOCKS;
    let row = part.row + own / SIDE * 4u;
    let column = part.column + own % SIDE * 4u;
    var block = mat4x4<f32>();
    var sums = vec4<f32>();
    for (var t = part.first + lane / BLOCKS * 4u; t < part.end; t += 4u * SLICES) {
        let p = left_block(t, row);
        let q = right_block(t, column);
        block += outer(p[0], q[0]);
        block += outer(p[1], q[1]);
        block += outer(p[2], q[2]);
        block += outer(p[3], q[3]);
        if (RIDES) {
            sums += (q[0] + q[1]) + (q[2] + q[3]);
        }
    }
    slices[lane] = block[0];
    slices[256u + lane] = block[1];
    slices[512u + lane] = block[2];
    slices[768u + lane] = block[3];
    workgroupBarrier();
    // Each invocation adds four slices of one row of a block; then one adds what they have.
    let offset = lane / BLOCKS % 4u * 256u + own;
    let quarter = lane / BLOCKS / 4u;
    let first = offset + quarter * 4u * BLOCKS;
    var added = vec4<f32>();
    added = slices[first];
    added += slices[first + BLOCKS];
    added += slices[first + 2u * BLOCKS];
    added += slices[first + 3u * BLOCKS];
    workgroupBarrier();
    slices[lane] = added;
    workgroupBarrier();
    if (lane < BLOCKS) {
        block = added_up(lane);
        finish(block, row, column);
    }
    if (RIDES) {
        workgroupBarrier();
        slices[lane] = sums;
        workgroupBarrier();
        if (lane < SIDE && part.row == 0u) {
            var total = slices[lane];
            for (var slice = 1u; slice < SLICES; slice++) {
                total += slices[slice * BLOCKS + lane];
            }
            finish_sums(total, column);
        }
    }
}

// The block whose quarters' rows lie at `own`, `own` + BLOCKS, and so on.
fn added_up(own: u32) -> mat4x4<f32> {
    var block = mat4x4<f32>();
    for (var at = own; at < 256u; at += 4u * BLOCKS) {
        block += mat4x4<f32>(
            slices[at],
            slices[at + BLOCKS],
            slices[at + 2u * BLOCKS],
            slices[at + 3u * BLOCKS],
        );
    }
    return block;
}
