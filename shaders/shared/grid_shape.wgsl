// The levels of a hash grid, and the strides of its features.
//: use grid
struct GridShape {
    // Rows of a batch.
    size: u32,
    // Levels.
    count: u32,
    // f32 from one feature to the next in arrays by feature, and from one row to the
    // next in those by sample.
    feature_stride: u32,
    sample_stride: u32,
    levels: array<GridLevel, 32>,
}
