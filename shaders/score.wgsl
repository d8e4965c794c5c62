// totals += (Σ_i loss[i], Σ_i right[i], rows).
// Reads two words per row, reads and writes three.
// Called after each batch of an evaluation, in order.
//: use row_sum
struct Totals {
    loss: f32,
    right: u32,
    samples: u32,
}

@group(0) @binding(2) var<storage, read_write> totals: Totals;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
    let sum = row_sum(lane);
    if (lane == 0u) {
        totals.loss += sum.x;
        totals.right += u32(sum.y);
        totals.samples += rows.present;
    }
}
