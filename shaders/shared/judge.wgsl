// The verdict on an attempt, by one lane, and what it binds.
//: use take_roots clip record controller prepare
// MEASURE: only looks; the attempt counts for nothing.
override MEASURE: bool = false;
// There is an error estimate, and a controller that follows it.
override JUDGED: bool = false;
// Two estimates together are the error.
override TWO: bool = false;
// k_s and its loss will be the next attempt's k₁ and loss, if this is accepted.
override REUSE: bool = false;
// k₁ was the attempt before's k_s.
override REUSED: bool = false;
// ‖k₁‖ clips, and nobody took it before.
override CLIPS: bool = false;

struct Recorded {
    // Gradients of stages, each of which may have had a batch of its own.
    draws: u32,
    // The stage whose gradient the source checked as it wrote it, if nobody asked what it
    // found; else 0.
    ridden: u32,
}

override SUMS: u32 = select(1u, select(2u, 3u, TWO), JUDGED);

@group(0) @binding(0) var<storage, read_write> block: Control;
@group(0) @binding(1) var<uniform> settings: Settings;
@group(0) @binding(2) var<storage, read_write> partials: Partials;
@group(0) @binding(3) var<storage, read_write> loss: array<u32>;
@group(0) @binding(4) var<storage, read_write> ring: array<Record>;
@group(0) @binding(5) var<storage, read_write> last_loss: array<u32>;
@group(0) @binding(6) var<storage, read_write> checks: Checks;
@group(0) @binding(7) var<uniform> recorded: Recorded;

// The control block while a verdict is made: its words are loaded together, once, and not one
// after the other as they are wanted.
var<private> control: Control;

// 1 / (1 − β₂ᵗ), 1 / (1 − β₁ᵗ) and the schedule's h as they are if the attempt is not
// accepted, and if it is.
var<workgroup> scales: array<f32, 4>;
var<workgroup> steps: array<f32, 2>;

// What neither norms nor verdict change is found beside the sums, each by lanes of a subgroup
// of its own. Before a barrier.
fn foresee(lane: u32) {
    let accepted = block.accepted;
    if lane >= 32u && lane < 36u {
        let t = f32(accepted + 1u + (lane - 32u) / 2u);
        let log_beta = select(settings.log_mean, settings.log_second, lane % 2u == 0u);
        scales[lane - 32u] = bias_scale(log_beta * t);
    }
    if lane >= 64u && lane < 66u {
        steps[lane - 64u] = scheduled(accepted + lane - 64u);
    }
}

fn first_bad_stage() -> u32 {
    let stage = first_blamed();
    let infinite = loss[0] != NO_LOSS && (loss[0] & 0x7fffffffu) >= 0x7f800000u;
    return select(stage, 1u, stage == 0u && infinite);
}

// The whole of it: for uniform control flow. Lane 0 leaves the control block.
fn judge(lane: u32) {
    control.zero = block.zero;
    if lane == 0u {
        control = block;
    }
    foresee(lane);
    // ‖k₁‖, and the norms of one or two errors.
    let norms = take_roots(0u, lane);
    if lane == 0u {
        decide(norms);
        block = control;
    }
}

fn decide(norms: vec3<f32>) {
    take_place(recorded.ridden);
    if CLIPS {
        set_clip(norms.x);
    }

    var record: Record;
    record.attempt = control.attempts;
    record.batch = control.batch;
    record.cursor = control.cursor;
    record.draws = recorded.draws;
    record.stage = first_bad_stage();
    record.place = atomicLoad(&partials.place);
    record.h = control.h;
    record.time_high = control.time_high;
    record.time_low = control.time_low;
    record.loss = loss[0];
    record.grad_norm = norms.x;
    record.error = norms.y / sqrt(settings.count);
    if TWO && norms.y > 0.0 {
        // Hairer, Nørsett, Wanner I, II.10; by a ratio: √(1 + (0.1 x)²) is 0.1 x where its
        // square is beyond f32.
        let ratio = 0.1 * (norms.z / norms.y);
        record.error *= select(inverseSqrt(1.0 + ratio * ratio), 1.0 / ratio, ratio > 1e15);
    }
    record.curvature = control.curvature;
    record.stages = control.stages;
    record.radius = control.radius;
    record.radius_state = control.radius_state;

    control.attempts += 1u;
    control.accept = 0u;
    record.verdict = IDLE;
    if !MEASURE {
        // An idle attempt evaluates too.
        control.evaluations += control.per_attempt - select(0u, 1u, REUSED);
    }
    if MEASURE {
        record.verdict = MEASURED;
        control.evaluations += 1u;
    } else if control.alive == 1u {
        let finite = record.stage == 0u && is_finite(record.error);
        if !finite {
            control.non_finite += 1u;
        }
        if finite && record.error <= 1.0 {
            record.verdict = ACCEPTED;
            control.accept = 1u;
            control.accepted += 1u;
            control.batch += 1u;
        } else if JUDGED && record.stage != 1u {
            record.verdict = REFUSED;
            control.refused += 1u;
            control.batch += settings.skip_refused;
        } else {
            record.verdict = SKIPPED;
            control.skipped += 1u;
            control.batch += 1u;
        }
        if JUDGED {
            if record.verdict == ACCEPTED {
                grow(record.error);
            } else if record.verdict == REFUSED {
                shrink(record.error, finite);
            }
        }
    }
    control.cursor += recorded.draws * (control.batch - record.batch);
    control.applied_h = control.h;
    control.applied_clip = control.clip;
    control.applied_second_scale = control.second_scale;
    control.applied_mean_scale = control.mean_scale;
    control.parity ^= control.accept;
    if control.accept == 1u {
        if settings.rule == SGD_G2 {
            control.next_h = control.probe;
        }
        if is_finite(control.next_curvature) {
            control.curvature = control.next_curvature;
        }
    }
    control.next_curvature = control.curvature;
    if control.accept == 1u {
        if control.last == 1u {
            control.time_high = settings.end_high;
            control.time_low = settings.end_low;
        } else if !add_time(control.h) {
            record.stood = 1u;
            if JUDGED {
                control.failure = STANDS;
            }
        }
    }
    record.accepted = control.accepted;
    record.skipped = control.skipped;
    record.refused = control.refused;
    record.evaluations = control.evaluations;
    record.non_finite = control.non_finite;
    ring[record.attempt % settings.ring] = record;

    forgive_stages();
    if !REUSE {
        loss[0] = NO_LOSS;
    } else if control.accept == 1u {
        loss[0] = last_loss[0];
    }
    last_loss[0] = NO_LOSS;
    let next = control.accept;
    prepare_with(vec2(scales[2u * next], scales[2u * next + 1u]), steps[next]);
}
