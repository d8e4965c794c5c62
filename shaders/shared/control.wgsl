// The control block: what the device decides and every kernel may read.
// Rust twin: src/kernels/control.rs. Bound as a uniform where it is only read.
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
    // The batch to see: attempts accepted or skipped so far, and in the blocks of wrappers
    // what follows from that.
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
    // The half of the ingredients' state that accepted attempts left.
    parity: u32,
    // The h that a controller proposes, before it is cut to the end of time.
    next_h: f32,
    // Errors of the last two accepted attempts, for controllers with a memory.
    error_1: f32,
    error_2: f32,
    // Attempts refused in a row.
    rejections: u32,
    // Why nothing moves any more: 0 no reason, 1 h fell below its least, 2 too
    // many attempts were refused in a row, 3 an accepted h did not move time.
    failure: u32,
    // The number of the last restart that the host asked for.
    restart: u32,
    // Attempts with a gradient, a loss or an error that was not finite.
    non_finite: u32,
    // What gradients are multiplied with in the attempt under way, to clip
    // them, and in the judged one.
    clip: f32,
    applied_clip: f32,
    // ‖Hv‖/‖v‖ along the direction v of the step.
    curvature: f32,
    // ‖k₁‖ where it is known before the stages, and ‖v‖.
    grad_norm: f32,
    field_norm: f32,
    // How far from θ along −v a probe lies.
    probe: f32,
    // The curvature that the attempt under way found for the next one.
    next_curvature: f32,
    // 1 once the first attempt of all has what it needs.
    opened: u32,
    // ρ of D·H as last estimated, and what was odd about it: 1 there is no
    // curvature, 2 it is negative, 4 it is not finite.
    radius: f32,
    radius_state: u32,
    // 1 while there is a vector to go on with; its norm, and how far along it the
    // next iteration looks.
    has_vector: u32,
    vector_norm: f32,
    reach: f32,
    // Stages of the attempt under way where their number varies, else 0; and all
    // its gradients.
    stages: u32,
    per_attempt: u32,
    // h before stability bounded it.
    wanted_h: f32,
    // Batches that stages drew in all attempts before, each one of its own; and from one
    // stage's batch to the next one's.
    cursor: u32,
    stride: u32,
}

