// What the host sets between submits. Rust twin: src/gpu/settings.rs.
struct Settings {
    // Nominal step size.
    h: f32,
    // End of integration, as an unevaluated sum of two f32.
    end_high: f32,
    end_low: f32,
    // No attempt changes anything once this many were accepted.
    accepted_limit: u32,
    // Gradient evaluations of one attempt.
    stages: u32,
    // Partial sums to add for ‖k₁‖²; 0 where the plan sums none.
    partials: u32,
    // Records in the ring, a power of two.
    ring: u32,
    // ln β₂ and ln β₁ where a bias is divided out, else 0.
    log_second: f32,
    log_mean: f32,
    unused_0: u32,
    unused_1: u32,
    unused_2: u32,
}

