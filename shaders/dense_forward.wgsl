// a = f(z), z[p, q] = Σ_t W[t, p] x[t, q] + bias[p]; p: feature, q: sample. Slope f'(z) is kept.
// Moves W and x once per tile; writes a twice (by feature and by sample) and f'(z) once.
// Called by the forward pass of a layer, with any form of product.
//: use product activation
//: if parts
// Column sums do not ride with it.
fn finish_sums(sums: vec4<f32>, column: u32) {}
//: end

@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> by_feature: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> by_sample: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> slope: array<vec4<f32>>;
//: if matrix
@group(0) @binding(7) var<storage, read> largest: array<u32>;
//: end

// Features and samples are padded to multiples of four in the outputs, so a
// block that starts inside may be written whole.
fn finish(block: mat4x4<f32>, row: u32, column: u32) {
    if (row >= product.rows || column >= product.columns) {
        return;
    }
    let z0 = block[0] + bias[row];
    let z1 = block[1] + bias[row + 1u];
    let z2 = block[2] + bias[row + 2u];
    let z3 = block[3] + bias[row + 3u];
    let at = row * product.row_stride + column / 4u;
    let a = mat4x4<f32>(activate(z0), activate(z1), activate(z2), activate(z3));
    by_feature[at] = a[0];
    by_feature[at + product.row_stride] = a[1];
    by_feature[at + 2u * product.row_stride] = a[2];
    by_feature[at + 3u * product.row_stride] = a[3];
    // The last layer has no activation, and nobody asks for its slope or for
    // its samples one by one.
    if (ACTIVATION == IDENTITY) {
        return;
    }
    slope[at] = slope_at(z0);
    slope[at + product.row_stride] = slope_at(z1);
    slope[at + 2u * product.row_stride] = slope_at(z2);
    slope[at + 3u * product.row_stride] = slope_at(z3);
    let b = transpose(a);
    let to = column * product.column_stride + row / 4u;
    by_sample[to] = b[0];
    by_sample[to + product.column_stride] = b[1];
    by_sample[to + 2u * product.column_stride] = b[2];
    by_sample[to + 3u * product.column_stride] = b[3];
}
