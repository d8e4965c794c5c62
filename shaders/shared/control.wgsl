// The control block: what the device decides and every kernel may read.
// Rust twin: src/gpu/control.rs. Bound as a uniform where it is only read.
struct Control {
    // Step size of the attempt under way.
    h: f32,
    // 1 while the attempt under way may change something; 0 makes it a no-op.
    alive: u32,
    // 1 if the verdict accepted the attempt, and the step size it was made with.
    accept: u32,
    applied_h: f32,
    // 1 if the attempt under way reaches the end of integration.
    last: u32,
    // Batch cursor: attempts accepted or skipped so far.
    batch: u32,
    attempts: u32,
    accepted: u32,
    skipped: u32,
    refused: u32,
    evaluations: u32,
    // Time integrated so far, as an unevaluated sum of two f32.
    time_high: f32,
    time_low: f32,
    // Always 0, which no compiler can know: keeps sums from being reordered.
    zero: u32,
    // 1 / (1 − β₂ᵗ) and 1 / (1 − β₁ᵗ) of the attempt under way and of the judged one.
    second_scale: f32,
    applied_second_scale: f32,
    mean_scale: f32,
    applied_mean_scale: f32,
    // The half of the preconditioner's state that accepted attempts left.
    parity: u32,
    unused: u32,
}

