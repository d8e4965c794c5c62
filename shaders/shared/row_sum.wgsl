// Sums the rows' losses and right answers in a fixed order, in one workgroup.
//: use batch
@group(0) @binding(0) var<storage, read> rows: BatchRows;
@group(0) @binding(1) var<storage, read> row_loss: array<vec2<f32>>;

var<workgroup> sums: array<vec2<f32>, 64>;

// The sum over all rows; only invocation 0 gets the whole of it.
fn row_sum(lane: u32) -> vec2<f32> {
    var sum = vec2<f32>(0.0);
    for (var row = lane; row < rows.present; row += 64u) {
        sum += row_loss[row];
    }
    sums[lane] = sum;
    workgroupBarrier();
    if (lane == 0u) {
        for (var i = 1u; i < 64u; i++) {
            sum += sums[i];
        }
    }
    return sum;
}
