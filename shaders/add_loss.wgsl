// loss = Σ sums
// Moves one word for each partial sum.
// Recorded by models::Analytic after the gradient's last chunk.
//: use workgroup_sum
struct AddLoss {
    count: u32,
    unused_0: u32,
    unused_1: u32,
    unused_2: u32,
}

@group(0) @binding(0) var<uniform> add: AddLoss;
@group(0) @binding(1) var<storage, read> sums: array<f32>;
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32) {
    var own = 0.0;
    for (var i = lane; i < add.count; i += LANES) {
        own += sums[i];
    }
    let total = workgroup_sum(lane, own);
    if lane == 0u {
        loss[0] = total;
    }
}
