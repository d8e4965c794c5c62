// L = mean_{i, j} (y[i, j] − target[i, j])², dz[i, j] = 2 (y[i, j] − target[i, j]) / (rows · outputs).
// Reads the outputs twice and the targets once, writes their gradient twice and two words per row.
// Called after the forward pass of a batch.

// 0: targets are labels, one-hot; 1: targets are f32 values.
override DENSE: u32 = 0u;

fn target_of(row: u32, j: u32, label: u32) -> f32 {
    if (DENSE == 0u) {
        return f32(j == label);
    }
    return bitcast<f32>(targets[rows.samples[row] * shape.outputs + j]);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = id.y * groups.x * 64u + id.x;
    if (row >= shape.feature_stride) {
        return;
    }
    if (row >= rows.present) {
        store_empty(row);
        return;
    }
    var label = 0u;
    var right = 0.0;
    if (DENSE == 0u) {
        label = label_of(row);
        right = f32(largest(row).index == label);
    }
    let outputs_inverse = 1.0 / f32(shape.outputs);
    let weight = 2.0 * outputs_inverse / f32(rows.present);
    var sum = 0.0;
    for (var j = 0u; j < width(); j++) {
        let difference = output(row, j) - target_of(row, j, label);
        sum += difference * difference;
        store_gradient(row, j, difference * weight);
    }
    row_loss[row] = vec2<f32>(sum * outputs_inverse, right);
}
