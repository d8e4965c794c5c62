// One attempt's record in the ring. Rust twin: src/kernels/verdict.rs.
//: use verdicts
struct Record {
    attempt: u32,
    verdict: u32,
    // First stage whose gradient was not finite; 0 if all were.
    stage: u32,
    batch: u32,
    h: f32,
    // Time at which the attempt began.
    time_high: f32,
    time_low: f32,
    // Bits of L(θ), or NO_LOSS.
    loss: u32,
    grad_norm: f32,
    error: f32,
    accepted: u32,
    skipped: u32,
    refused: u32,
    evaluations: u32,
    // ‖Hv‖/‖v‖; 0 where nothing measures it.
    curvature: f32,
    non_finite: u32,
    // As in the control block.
    stages: u32,
    radius: f32,
    radius_state: u32,
    // As in the control block, and how many batches stages drew from there.
    cursor: u32,
    draws: u32,
    // 1 where an accepted h was too small to move time.
    stood: u32,
    // As in Partials.
    place: u32,
}
