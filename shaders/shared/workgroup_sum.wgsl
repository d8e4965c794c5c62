//: use traversal
var<workgroup> lane_sums: array<f32, LANES>;

// The sum over all lanes in a fixed order, complete in lane 0. For uniform
// control flow only. Two barriers instead of eight: sixteen lanes add sixteen
// values each, and one adds the rest.
fn workgroup_sum(lane: u32, value: f32) -> f32 {
    lane_sums[lane] = value;
    workgroupBarrier();
    if lane < 16u {
        var sum = 0.0;
        for (var i = 0u; i < 16u; i += 1u) {
            sum += lane_sums[lane * 16u + i];
        }
        lane_sums[lane * 16u] = sum;
    }
    workgroupBarrier();
    var total = 0.0;
    if lane == 0u {
        for (var i = 0u; i < 16u; i += 1u) {
            total += lane_sums[i * 16u];
        }
    }
    return total;
}
