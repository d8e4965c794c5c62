// dW[p, q] = Σ_t x[t, p] dz[t, q]; t: sample, p: input feature, q: output feature, of any number.
// Moves x and dz once per tile, writes dW once, row-major, element by element.
// Called by the backward pass of a layer whose width is no multiple of 4.
//: use product
@group(0) @binding(3) var<storage, read_write> gradient: array<f32>;

fn store_row(values: vec4<f32>, row: u32, column: u32) {
    if (row >= product.rows) {
        return;
    }
    let at = row * product.row_stride + column;
    if (column < product.columns) { gradient[at] = values.x; }
    if (column + 1u < product.columns) { gradient[at + 1u] = values.y; }
    if (column + 2u < product.columns) { gradient[at + 2u] = values.z; }
    if (column + 3u < product.columns) { gradient[at + 3u] = values.w; }
}

fn finish(block: mat4x4<f32>, row: u32, column: u32) {
    store_row(block[0], row, column);
    store_row(block[1], row + 1u, column);
    store_row(block[2], row + 2u, column);
    store_row(block[3], row + 3u, column);
}
