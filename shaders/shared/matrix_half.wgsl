// Matrix units of 16×16×16: f16 operands, f32 sums.
//: use half
const SCALED = true;
const PAD = 8u;

alias Left = coop_mat16x16<f16, A>;
alias Right = coop_mat16x16<f16, B>;
alias Sum = coop_mat16x16<f32, C>;

var<workgroup> staged: array<f16, 4352>;

fn begin(lane: u32) {}

fn stage(at: u32, x: vec4<f32>) {
    let h = half(x);
    staged[at] = f16(h.x);
    staged[at + 1u] = f16(h.y);
    staged[at + 2u] = f16(h.z);
    staged[at + 3u] = f16(h.w);
}

// Column by column: a step of t is a column.
fn left_matrix(at: u32) -> Left {
    return coopLoad<Left>(&staged[at], LEFT_STRIDE);
}

// Row by row: a step of t is a row.
fn right_matrix(at: u32) -> Right {
    return coopLoadT<Right>(&staged[at], RIGHT_STRIDE);
}

fn no_sum(at: u32) -> Sum {
    return coopLoadT<Sum>(&sums_out[at], 16u);
}

fn multiply(a: Left, b: Right, c: Sum) -> Sum {
    return coopMultiplyAdd(a, b, c);
}

fn put_sum(c: Sum, at: u32) {
    coopStoreT(c, &sums_out[at], 16u);
}
