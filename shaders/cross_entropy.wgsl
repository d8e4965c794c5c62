// L = mean_i (log Σ_j exp z[i, j] − z[i, label(i)]), dz[i, j] = (softmax(z)[i, j] − [j = label(i)]) / rows.
// Reads the outputs three times, writes their gradient twice and two words per row.
// Called after the forward pass of a batch.
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
    let label = label_of(row);
    let best = largest(row);
    var sum = 0.0;
    for (var j = 0u; j < width(); j++) {
        sum += exp(output(row, j) - best.value);
    }
    let weight = 1.0 / f32(rows.present);
    for (var j = 0u; j < width(); j++) {
        let p = exp(output(row, j) - best.value) / sum;
        store_gradient(row, j, (p - f32(j == label)) * weight);
    }
    let loss = log(sum) + best.value - output(row, label);
    row_loss[row] = vec2<f32>(loss, f32(best.index == label));
}
