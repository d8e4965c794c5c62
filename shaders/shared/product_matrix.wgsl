// One workgroup of four subgroups computes a tile of ROWS × 128 by matrix units: a subgroup has
// half of the rows and half of the columns, in blocks of 16×16. Sixteen steps of both operands
// at a time are multiplied by the powers of two that bring each operand's largest element to
// 2¹⁴ or above, below 2¹⁵, are rounded to f16 and pass through workgroup memory; the next ones
// are fetched while these are multiplied. Sums are f32 and are divided by both powers at the end.
// The blocks are named one by one, for naga refuses arrays of matrices. What a unit is stands
// in matrix_half, matrix_full and matrix_emulated: `stage`, `left_matrix`, `right_matrix`,
// `no_sum`, `multiply`, `put_sum`.
//: use product_parts
//: if half
//: use matrix_half
//: end
//: if full
//: use matrix_full
//: end
//: if emulated
//: use matrix_emulated
//: end

// Rows of a tile: 64 or 128.
override ROWS: u32 = 64u;
// From one step to the next one's in workgroup memory. With the pad they begin in other banks.
override LEFT_STRIDE: u32 = ROWS + PAD;
const RIGHT_STRIDE: u32 = 128u + PAD;
override RIGHT_FIRST: u32 = 16u * LEFT_STRIDE;

// A block of sums of each subgroup, row by row.
var<workgroup> sums_out: array<f32, 1024>;

// The exponent of the power of two that brings what is in this slot in range. What holds NaN or
// infinity is left as it is, and is seen; so is what holds zeros alone.
fn exponent_of(slot: u32) -> i32 {
    let bits = largest[slot];
    if (!SCALED || bits == 0u || bits >= 0x7f800000u) {
        return 0;
    }
    return min(141 - i32(bits >> 23u), 126);
}

// 2^e for e from −126 to 127.
fn power_of_two(e: i32) -> f32 {
    return bitcast<f32>(u32(127 + e) << 23u);
}

fn fetch_left(part: Part, lane: u32, first: u32) -> mat4x4<f32> {
    let t = first + lane / (ROWS / 4u) * 4u;
    if (lane >= ROWS || t >= part.end) {
        return mat4x4<f32>();
    }
    return left_block(t, part.row + lane % (ROWS / 4u) * 4u);
}

// What lies beyond the last step meets zeros of the left operand, and is finite in f16 too.
fn fetch_right(part: Part, lane: u32, first: u32) -> mat4x4<f32> {
    let t = first + lane / 32u * 4u;
    if (t >= part.end) {
        return mat4x4<f32>();
    }
    return right_block(t, part.column + lane % 32u * 4u);
}

fn stage_block(at: u32, stride: u32, block: mat4x4<f32>, scale: f32) {
    stage(at, block[0] * scale);
    stage(at + stride, block[1] * scale);
    stage(at + 2u * stride, block[2] * scale);
    stage(at + 3u * stride, block[3] * scale);
}

fn row_of(at: u32) -> vec4<f32> {
    return vec4<f32>(sums_out[at], sums_out[at + 1u], sums_out[at + 2u], sums_out[at + 3u]);
}

// Finishes a block of 16×16 whose first element is at this row and column; sixteen lanes of a
// subgroup do 4×4 each. In two steps the scale stays in range wherever the result is.
fn give(sum: Sum, lane: u32, row: u32, column: u32, scale: vec2<f32>) {
    workgroupBarrier();
    put_sum(sum, lane / 32u * 256u);
    workgroupBarrier();
    let down = lane % 32u / 4u * 4u;
    let along = lane % 4u * 4u;
    if (down < 16u) {
        let at = lane / 32u * 256u + down * 16u + along;
        let block = mat4x4<f32>(row_of(at), row_of(at + 16u), row_of(at + 32u), row_of(at + 48u));
        finish(block * scale.x * scale.y, row + down, column + along);
    }
}

@compute @workgroup_size(128)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = part_of(group.y * groups.x + group.x, ROWS, 128u);
    chunk = part.chunk;
    begin(lane);
    let left_exponent = exponent_of(product.left_slot);
    let right_exponent = exponent_of(product.right_slot);
    let left_scale = power_of_two(left_exponent);
    let right_scale = power_of_two(right_exponent);
    let left_to = lane / (ROWS / 4u) * 4u * LEFT_STRIDE + lane % (ROWS / 4u) * 4u;
    let right_to = RIGHT_FIRST + lane / 32u * 4u * RIGHT_STRIDE + lane % 32u * 4u;
    let p = lane / 64u * (ROWS / 2u);
    let q = lane / 32u % 2u * 64u;
    for (var i = lane; i < 1024u; i += 128u) {
        sums_out[i] = 0.0;
    }
    workgroupBarrier();
    let own = lane / 32u * 256u;
    var c00 = no_sum(own);
    var c01 = no_sum(own);
    var c02 = no_sum(own);
    var c03 = no_sum(own);
    var c10 = no_sum(own);
    var c11 = no_sum(own);
    var c12 = no_sum(own);
    var c13 = no_sum(own);
    var c20 = no_sum(own);
    var c21 = no_sum(own);
    var c22 = no_sum(own);
    var c23 = no_sum(own);
    var c30 = no_sum(own);
    var c31 = no_sum(own);
    var c32 = no_sum(own);
    var c33 = no_sum(own);
    var next_left = fetch_left(part, lane, part.first);
    var next_right = fetch_right(part, lane, part.first);
    var sums = vec4<f32>();
    for (var t = part.first; t < part.end; t += 16u) {
        workgroupBarrier();
        if (lane < ROWS) {
            stage_block(left_to, LEFT_STRIDE, next_left, left_scale);
        }
        stage_block(right_to, RIGHT_STRIDE, next_right, right_scale);
        if (RIDES) {
            sums += (next_right[0] + next_right[1]) + (next_right[2] + next_right[3]);
        }
        workgroupBarrier();
        next_left = fetch_left(part, lane, t + 16u);
        next_right = fetch_right(part, lane, t + 16u);
        let b0 = right_matrix(RIGHT_FIRST + q);
        let b1 = right_matrix(RIGHT_FIRST + q + 16u);
        let b2 = right_matrix(RIGHT_FIRST + q + 32u);
        let b3 = right_matrix(RIGHT_FIRST + q + 48u);
        let a0 = left_matrix(p);
        c00 = multiply(a0, b0, c00);
        c01 = multiply(a0, b1, c01);
        c02 = multiply(a0, b2, c02);
        c03 = multiply(a0, b3, c03);
        let a1 = left_matrix(p + 16u);
        c10 = multiply(a1, b0, c10);
        c11 = multiply(a1, b1, c11);
        c12 = multiply(a1, b2, c12);
        c13 = multiply(a1, b3, c13);
        if (ROWS == 128u) {
            let a2 = left_matrix(p + 32u);
            c20 = multiply(a2, b0, c20);
            c21 = multiply(a2, b1, c21);
            c22 = multiply(a2, b2, c22);
            c23 = multiply(a2, b3, c23);
            let a3 = left_matrix(p + 48u);
            c30 = multiply(a3, b0, c30);
            c31 = multiply(a3, b1, c31);
            c32 = multiply(a3, b2, c32);
            c33 = multiply(a3, b3, c33);
        }
    }
    let exponent = -(left_exponent + right_exponent);
    let scale = vec2<f32>(power_of_two(exponent / 2), power_of_two(exponent - exponent / 2));
    let row = part.row + p;
    let column = part.column + q;
    give(c00, lane, row, column, scale);
    give(c01, lane, row, column + 16u, scale);
    give(c02, lane, row, column + 32u, scale);
    give(c03, lane, row, column + 48u, scale);
    give(c10, lane, row + 16u, column, scale);
    give(c11, lane, row + 16u, column + 16u, scale);
    give(c12, lane, row + 16u, column + 32u, scale);
    give(c13, lane, row + 16u, column + 48u, scale);
    if (ROWS == 128u) {
        give(c20, lane, row + 32u, column, scale);
        give(c21, lane, row + 32u, column + 16u, scale);
        give(c22, lane, row + 32u, column + 32u, scale);
        give(c23, lane, row + 32u, column + 48u, scale);
        give(c30, lane, row + 48u, column, scale);
        give(c31, lane, row + 48u, column + 16u, scale);
        give(c32, lane, row + 48u, column + 32u, scale);
        give(c33, lane, row + 48u, column + 48u, scale);
    }
    if (RIDES) {
        workgroupBarrier();
        sums_out[4u * lane] = sums.x;
        sums_out[4u * lane + 1u] = sums.y;
        sums_out[4u * lane + 2u] = sums.z;
        sums_out[4u * lane + 3u] = sums.w;
        workgroupBarrier();
        if (lane < 32u && part.row == 0u) {
            let total = (row_of(4u * lane) + row_of(128u + 4u * lane))
                + (row_of(256u + 4u * lane) + row_of(384u + 4u * lane));
            finish_sums(total, part.column + 4u * lane);
        }
    }
}
