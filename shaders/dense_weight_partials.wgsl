// dW[p, q] = Σ_t x[t, p] dz[t, q] and db[q] = Σ_t dz[t, q], over a part of the samples t.
// Moves x and dz once per tile, writes (inputs + 1) × outputs once per part.
// Called by the backward pass of a layer on a GPU; `dense_gradient` adds the parts up.
//: use product
@group(0) @binding(3) var<storage, read_write> partials: array<vec4<f32>>;
//: if matrix
@group(0) @binding(4) var<storage, read> largest: array<u32>;
//: end

fn finish(block: mat4x4<f32>, row: u32, column: u32) {
    if (column >= product.columns) {
        return;
    }
    let first = product.output_first + chunk * product.chunk_stride;
    let at = first + row * product.row_stride + column / 4u;
    if (row < product.rows) { partials[at] = block[0]; }
    if (row + 1u < product.rows) { partials[at + product.row_stride] = block[1]; }
    if (row + 2u < product.rows) { partials[at + 2u * product.row_stride] = block[2]; }
    if (row + 3u < product.rows) { partials[at + 3u * product.row_stride] = block[3]; }
}

// The bias is the row after the last.
fn finish_sums(sums: vec4<f32>, column: u32) {
    if (column >= product.columns) {
        return;
    }
    let first = product.output_first + chunk * product.chunk_stride;
    partials[first + product.rows * product.row_stride + column / 4u] = sums;
}
