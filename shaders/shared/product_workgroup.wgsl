// One workgroup computes a tile of 8·SIDE × 8·SIDE: an invocation has a block of 8×8 and
// one of SLICES slices of each step. A step of both operands, 16 deep for a tile of 128 and
// deeper for smaller ones, passes through workgroup memory (16 KiB), so each element is
// fetched once per tile. The slices' blocks are added through workgroup memory, in order.
// The next step is not fetched ahead and no loop is left in a step: the registers cost
// a second workgroup on the multiprocessor, and a short loop a tenth of the time.
//: use product_parts

// Invocations along a side of the tile: 4, 8 or 16.
override SIDE: u32 = 16u;
override QUADS: u32 = 2u * SIDE;
override BLOCKS: u32 = SIDE * SIDE;
override SLICES: u32 = 256u / BLOCKS;
override DEPTH: u32 = 256u / SIDE;

// The left operand's 512 vec4, then the right one's.
var<workgroup> tiles: array<vec4<f32>, 1024>;

// Four steps of four rows or columns, which invocation `lane` brings.
fn fetch(part: Part, lane: u32, first: u32) -> mat4x4<f32> {
    let t = first + lane % 128u / QUADS * 4u;
    let along = lane % QUADS * 4u;
    if (t >= part.end) {
        return mat4x4<f32>();
    }
    if (lane < 128u) {
        return left_block(t, part.row + along);
    }
    return right_block(t, part.column + along);
}

// The sum over all slices of the blocks that lie in `tiles`.
fn all_slices(own: u32) -> mat4x4<f32> {
    var block = mat4x4<f32>();
    for (var at = own; at < 256u; at += BLOCKS) {
        block += mat4x4<f32>(tiles[at], tiles[at + 256u], tiles[at + 512u], tiles[at + 768u]);
    }
    return block;
}

fn store(lane: u32, block: mat4x4<f32>) {
    tiles[lane] = block[0];
    tiles[lane + 256u] = block[1];
    tiles[lane + 512u] = block[2];
    tiles[lane + 768u] = block[3];
}

// A block of 8×8, in quarters.
struct Quarters {
    c00: mat4x4<f32>,
    c01: mat4x4<f32>,
    c10: mat4x4<f32>,
    c11: mat4x4<f32>,
}

// Adds the products of one step, whose operands lie at p and q.
fn one_step(c: ptr<function, Quarters>, p: u32, q: u32) {
    let p0 = tiles[p];
    let p1 = tiles[p + SIDE];
    let q0 = tiles[q];
    let q1 = tiles[q + SIDE];
    (*c).c00 += outer(p0, q0);
    (*c).c01 += outer(p0, q1);
    (*c).c10 += outer(p1, q0);
    (*c).c11 += outer(p1, q1);
}

fn four_steps(c: ptr<function, Quarters>, p: u32, q: u32) {
    one_step(c, p, q);
    one_step(c, p + QUADS, q + QUADS);
    one_step(c, p + 2u * QUADS, q + 2u * QUADS);
    one_step(c, p + 3u * QUADS, q + 3u * QUADS);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = part_of(group.y * groups.x + group.x, 8u * SIDE, 8u * SIDE);
    chunk = part.chunk;
    let own = lane % BLOCKS;
    let slice = lane / BLOCKS;
    let along_p = own / SIDE;
    let along_q = own % SIDE;
    let p = slice * (DEPTH / SLICES) * QUADS + along_p;
    let q = 512u + slice * (DEPTH / SLICES) * QUADS + along_q;
    let to = lane / 128u * 512u + lane % 128u / QUADS * 4u * QUADS + lane % QUADS;
    var c = Quarters();
    var sums = vec4<f32>();
    for (var t = part.first; t < part.end; t += DEPTH) {
        let next = fetch(part, lane, t);
        workgroupBarrier();
        tiles[to] = next[0];
        tiles[to + QUADS] = next[1];
        tiles[to + 2u * QUADS] = next[2];
        tiles[to + 3u * QUADS] = next[3];
        if (RIDES) {
            sums += (next[0] + next[1]) + (next[2] + next[3]);
        }
        workgroupBarrier();
        four_steps(&c, p, q);
        if (SLICES < 16u) {
            four_steps(&c, p + 4u * QUADS, q + 4u * QUADS);
        }
        if (SLICES == 1u) {
            four_steps(&c, p + 8u * QUADS, q + 8u * QUADS);
            four_steps(&c, p + 12u * QUADS, q + 12u * QUADS);
        }
    }
    let row = part.row + 4u * along_p;
    let column = part.column + 4u * along_q;
    let below = row + 4u * SIDE;
    let beside = column + 4u * SIDE;
    if (SLICES == 1u) {
        finish(c.c00, row, column);
        finish(c.c01, row, beside);
        finish(c.c10, below, column);
        finish(c.c11, below, beside);
    } else {
        // The first four slices finish a quarter of the tile each.
        var quarter = mat4x4<f32>();
        workgroupBarrier();
        store(lane, c.c00);
        workgroupBarrier();
        if (slice == 0u) { quarter = all_slices(own); }
        workgroupBarrier();
        store(lane, c.c01);
        workgroupBarrier();
        if (slice == 1u) { quarter = all_slices(own); }
        workgroupBarrier();
        store(lane, c.c10);
        workgroupBarrier();
        if (slice == 2u) { quarter = all_slices(own); }
        workgroupBarrier();
        store(lane, c.c11);
        workgroupBarrier();
        if (slice == 3u) { quarter = all_slices(own); }
        if (slice < 4u) {
            finish(quarter, select(row, below, slice >= 2u), select(column, beside, slice % 2u == 1u));
        }
    }
    if (RIDES) {
        workgroupBarrier();
        tiles[lane] = sums;
        workgroupBarrier();
        if (lane < QUADS && part.row == 0u) {
            var total = vec4<f32>();
            for (var at = 128u + lane; at < 256u; at += QUADS) {
                total += tiles[at];
            }
            finish_sums(total, part.column + 4u * lane);
        }
    }
}
