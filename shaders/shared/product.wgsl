// The one product behind all three of a dense layer:
//   out[p, q] = Σ_t left[t, p] · right[t, q]
// The right operand lies with t outermost, so that four neighbours of q are one
// vec4. A kernel file adds what to do with a finished 4×4 block (`finish`), and
// product_register.wgsl, product_sliced.wgsl, product_workgroup.wgsl or
// product_matrix.wgsl how to compute it. Rust twin: src/models/dense/product.rs.
//: if half
enable f16;
enable wgpu_cooperative_matrix;
//: end
//: if full
enable wgpu_cooperative_matrix;
//: end
//: if register
//: use product_register
//: end
//: if sliced
//: use product_sliced
//: end
//: if workgroup
//: use product_workgroup
//: end
//: if matrix
//: use product_matrix
//: end
struct Product {
    // Extent of t.
    steps: u32,
    // Extent of p.
    rows: u32,
    // Extent of q.
    columns: u32,
    // vec4 from one t to the next.
    left_stride: u32,
    right_stride: u32,
    // Tiles side by side along q, and in all.
    tiles_across: u32,
    tiles: u32,
    // From one p to the next, and from one q to the next, in the outputs.
    row_stride: u32,
    column_stride: u32,
    // The sum over t in parts, each by workgroups of its own: how many, and steps of each.
    chunks: u32,
    chunk_steps: u32,
    // vec4 of the first output, and from one chunk's to the next one's.
    output_first: u32,
    chunk_stride: u32,
    // Where the largest element of each operand stands, for matrix units.
    left_slot: u32,
    right_slot: u32,
}

@group(0) @binding(0) var<uniform> product: Product;
@group(0) @binding(2) var<storage, read> right: array<vec4<f32>>;

// Four rows of p times four columns of q.
fn outer(p: vec4<f32>, q: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(p.x * q, p.y * q, p.z * q, p.w * q);
}
