// What the host sets between submits. Rust twin: src/kernels/settings.rs.
//: use limits pieces

// A piece of the schedule of h, from accepted step `start` on.
struct Piece {
    start: u32,
    // As in curves: src/codes.rs.
    curve: u32,
    // Steps of the piece, or steps for one factor.
    span: f32,
    initial: f32,
    // Value at the end, or log₂ of the factor.
    end: f32,
    unused_0: u32,
    unused_1: u32,
    unused_2: u32,
}

struct Settings {
    // End of integration, as an unevaluated sum of two f32.
    end_high: f32,
    end_low: f32,
    // No attempt changes anything once this many were accepted, if it is not NO_LIMIT.
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
    // Tolerances of the error estimate; rtol and atol are both 0 without one.
    rtol: f32,
    atol: f32,
    // γ, and the exponents of the last three errors.
    safety: f32,
    exponent_0: f32,
    exponent_1: f32,
    exponent_2: f32,
    h_min: f32,
    h_max: f32,
    // Refused attempts in a row that end the run.
    most_rejections: u32,
    // 1: a refused attempt leaves its batch behind.
    skip_refused: u32,
    // Counts up when the controller is to start anew, with h = first_h.
    restart: u32,
    first_h: f32,
    // Parameters, padding left out.
    count: f32,
    // Largest ‖k₁‖; 0 for any.
    clip: f32,
    // Numbers of the rule for h: c or h_max; p, β or a fraction; |a₂₁|.
    rule_0: f32,
    rule_1: f32,
    rule_2: f32,
    // What h follows: 0 the schedule, else as in rules: src/codes.rs.
    rule: u32,
    // 1/k of the automatic first step.
    first_exponent: f32,
    // 1: factors are limited smoothly.
    arctan: u32,
    // Pieces that are not there begin at the last of all steps.
    schedule: array<Piece, PIECES>,
}

