// L = mean_i (log Σ_j exp z[i, j] − z[i, label(i)]), dz[i, j] = (softmax(z)[i, j] − [j = label(i)]) / rows.
// Reads the outputs three times, writes their gradient twice and two words per row.
// Called after the forward pass of a batch.
//: use loss row_loss
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
    row_loss[row] = cross_entropy(row);
}
