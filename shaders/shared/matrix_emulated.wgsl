// What matrix_half does, without matrix units: a product of two f16 is exact in f32, and sums
// are f32, step by step. An operand is where it lies in workgroup memory; of the sums of 16×16
// each of a subgroup's 32 lanes has half a row.
//: use half f16
const SCALED = true;
const PAD = 8u;

alias Left = u32;
alias Right = u32;

struct Sum {
    first: vec4<f32>,
    second: vec4<f32>,
}

// Two to a word.
var<workgroup> staged: array<u32, 2176>;
var<private> lane_of_32: u32;

fn begin(lane: u32) {
    lane_of_32 = lane % 32u;
}

fn stage(at: u32, x: vec4<f32>) {
    let words = to_f16(half(x));
    staged[at / 2u] = words.x;
    staged[at / 2u + 1u] = words.y;
}

fn left_matrix(at: u32) -> Left {
    return at;
}

fn right_matrix(at: u32) -> Right {
    return at;
}

fn no_sum(at: u32) -> Sum {
    return Sum();
}

fn four(at: u32) -> vec4<f32> {
    return from_f16(vec2<u32>(staged[at / 2u], staged[at / 2u + 1u]));
}

fn multiply(a: Left, b: Right, c: Sum) -> Sum {
    var sum = c;
    let p = a + lane_of_32 / 2u;
    let q = b + lane_of_32 % 2u * 8u;
    for (var k = 0u; k < 16u; k++) {
        let at = p + k * LEFT_STRIDE;
        let x = unpack2x16float(staged[at / 2u])[at % 2u];
        sum.first += x * four(q + k * RIGHT_STRIDE);
        sum.second += x * four(q + k * RIGHT_STRIDE + 4u);
    }
    return sum;
}

fn put_sum(c: Sum, at: u32) {
    let to = at + lane_of_32 / 2u * 16u + lane_of_32 % 2u * 8u;
    for (var i = 0u; i < 4u; i++) {
        sums_out[to + i] = c.first[i];
        sums_out[to + 4u + i] = c.second[i];
    }
}
