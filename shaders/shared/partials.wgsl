// What kernels leave for the verdict. Host side: src/gpu/partials.rs.
struct Partials {
    // Bit i − 1: the gradient of stage i held a NaN or an infinity.
    flags: array<atomic<u32>, 2>,
    // Partial sums of ‖k₁‖²: one a workgroup, or one a lane.
    sums: array<f32>,
}

