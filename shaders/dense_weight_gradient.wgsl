// dW[p, q] = Σ_t x[t, p] dz[t, q]; t: sample, p: input feature, q: output feature, a multiple of 4.
// Moves x and dz once per tile, writes dW once, row-major.
// Called by the backward pass of a layer, with product_register or product_workgroup.
@group(0) @binding(3) var<storage, read_write> gradient: array<vec4<f32>>;

fn finish(block: mat4x4<f32>, row: u32, column: u32) {
    if (column >= product.columns) {
        return;
    }
    let at = row * product.row_stride + column / 4u;
    if (row < product.rows) { gradient[at] = block[0]; }
    if (row + 1u < product.rows) { gradient[at + product.row_stride] = block[1]; }
    if (row + 2u < product.rows) { gradient[at + 2u * product.row_stride] = block[2]; }
    if (row + 3u < product.rows) { gradient[at + 3u * product.row_stride] = block[3]; }
}
