// Matrix units of 8×8×8 in f32, four to a block of 16×16: nothing is scaled or rounded. For
// tiles of 64 rows alone: 12 KiB hold no more.
const SCALED = false;
const PAD = 0u;

// By rows, then by columns.
struct Left {
    m00: coop_mat8x8<f32, A>,
    m01: coop_mat8x8<f32, A>,
    m10: coop_mat8x8<f32, A>,
    m11: coop_mat8x8<f32, A>,
}

struct Right {
    m00: coop_mat8x8<f32, B>,
    m01: coop_mat8x8<f32, B>,
    m10: coop_mat8x8<f32, B>,
    m11: coop_mat8x8<f32, B>,
}

struct Sum {
    m00: coop_mat8x8<f32, C>,
    m01: coop_mat8x8<f32, C>,
    m10: coop_mat8x8<f32, C>,
    m11: coop_mat8x8<f32, C>,
}

var<workgroup> staged: array<f32, 3072>;

fn begin(lane: u32) {}

fn stage(at: u32, x: vec4<f32>) {
    staged[at] = x.x;
    staged[at + 1u] = x.y;
    staged[at + 2u] = x.z;
    staged[at + 3u] = x.w;
}

// Column by column: a step of t is a column.
fn left_matrix(at: u32) -> Left {
    let beside = at + 8u * LEFT_STRIDE;
    return Left(
        coopLoad<coop_mat8x8<f32, A>>(&staged[at], LEFT_STRIDE),
        coopLoad<coop_mat8x8<f32, A>>(&staged[beside], LEFT_STRIDE),
        coopLoad<coop_mat8x8<f32, A>>(&staged[at + 8u], LEFT_STRIDE),
        coopLoad<coop_mat8x8<f32, A>>(&staged[beside + 8u], LEFT_STRIDE),
    );
}

// Row by row: a step of t is a row.
fn right_matrix(at: u32) -> Right {
    let below = at + 8u * RIGHT_STRIDE;
    return Right(
        coopLoadT<coop_mat8x8<f32, B>>(&staged[at], RIGHT_STRIDE),
        coopLoadT<coop_mat8x8<f32, B>>(&staged[at + 8u], RIGHT_STRIDE),
        coopLoadT<coop_mat8x8<f32, B>>(&staged[below], RIGHT_STRIDE),
        coopLoadT<coop_mat8x8<f32, B>>(&staged[below + 8u], RIGHT_STRIDE),
    );
}

fn no_sum(at: u32) -> Sum {
    return Sum(
        coopLoadT<coop_mat8x8<f32, C>>(&sums_out[at], 16u),
        coopLoadT<coop_mat8x8<f32, C>>(&sums_out[at + 8u], 16u),
        coopLoadT<coop_mat8x8<f32, C>>(&sums_out[at + 128u], 16u),
        coopLoadT<coop_mat8x8<f32, C>>(&sums_out[at + 136u], 16u),
    );
}

fn multiply(a: Left, b: Right, c: Sum) -> Sum {
    return Sum(
        coopMultiplyAdd(a.m01, b.m10, coopMultiplyAdd(a.m00, b.m00, c.m00)),
        coopMultiplyAdd(a.m01, b.m11, coopMultiplyAdd(a.m00, b.m01, c.m01)),
        coopMultiplyAdd(a.m11, b.m10, coopMultiplyAdd(a.m10, b.m00, c.m10)),
        coopMultiplyAdd(a.m11, b.m11, coopMultiplyAdd(a.m10, b.m01, c.m11)),
    );
}

fn put_sum(c: Sum, at: u32) {
    coopStoreT(c.m00, &sums_out[at], 16u);
    coopStoreT(c.m01, &sums_out[at + 8u], 16u);
    coopStoreT(c.m10, &sums_out[at + 128u], 16u);
    coopStoreT(c.m11, &sums_out[at + 136u], 16u);
}
