// dW[p, q] = Σ_t x[t, p] dz[t, q]; t: sample, p: input feature, q: output feature, a multiple of 4.
// Moves x and dz once per tile, writes dW once, row-major.
// Called by the backward pass of a layer, with product_register or product_workgroup.
//: use product

// vec4s of other tensors that the binding begins with.
override FIRST: u32 = 0u;

@group(0) @binding(3) var<storage, read_write> gradient: array<Gradient>;

fn finish(block: mat4x4<f32>, row: u32, column: u32) {
    if (column >= product.columns) {
        return;
    }
    let at = FIRST + row * product.row_stride + column / 4u;
    if (row < product.rows) { gradient[at] = narrow_gradient(block[0]); }
    if (row + 1u < product.rows) { gradient[at + product.row_stride] = narrow_gradient(block[1]); }
    if (row + 2u < product.rows) { gradient[at + 2u * product.row_stride] = narrow_gradient(block[2]); }
    if (row + 3u < product.rows) { gradient[at + 3u * product.row_stride] = narrow_gradient(block[3]); }
}
