// loss = Σ_i loss[i] / rows, and samples = rows.
// Reads one word per row, writes two.
// Called at the end of a gradient evaluation.
//: use row_sum
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;
@group(0) @binding(3) var<storage, read_write> samples: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
    let sum = row_sum(lane);
    if (lane == 0u) {
        loss[0] = sum.x / f32(rows.present);
        samples[0] = f32(rows.present);
    }
}
