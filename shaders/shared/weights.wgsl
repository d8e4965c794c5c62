// Extents of a weight matrix and its copies. Rust twin: src/models/dense/kernels.rs.
struct WeightShape {
    // Rows of W: inputs of the layer.
    rows: u32,
    // Columns of W: outputs of the layer.
    columns: u32,
    // vec4 from one row to the next: of W or its padded copy, and of Wᵀ.
    stride: u32,
    transposed_stride: u32,
}
