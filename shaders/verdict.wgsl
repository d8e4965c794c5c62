// accept = every gradient finite, and L(θ) too, and err = ‖partials‖ / √n ≤ 1
// Moves nothing of the parameters' size.
// Recorded once an attempt, after the last check and before θ is written.
//: use take_roots record controller prepare
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

struct Recorded {
    // Gradients of stages, each of which may have had a batch of its own.
    draws: u32,
}

override SUMS: u32 = select(1u, select(2u, 3u, TWO), JUDGED);

@group(0) @binding(0) var<storage, read_write> control: Control;
@group(0) @binding(1) var<uniform> settings: Settings;
@group(0) @binding(2) var<storage, read_write> partials: Partials;
@group(0) @binding(3) var<storage, read_write> loss: array<u32>;
@group(0) @binding(4) var<storage, read_write> ring: array<Record>;
@group(0) @binding(5) var<storage, read_write> last_loss: array<u32>;
@group(0) @binding(6) var<uniform> recorded: Recorded;

fn first_bad_stage() -> u32 {
    let stage = first_blamed();
    let infinite = loss[0] != NO_LOSS && (loss[0] & 0x7fffffffu) >= 0x7f800000u;
    return select(stage, 1u, stage == 0u && infinite);
}

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32) {
    // ‖k₁‖, and the norms of one or two errors.
    let norms = take_roots(0u, lane);
    if lane != 0u {
        return;
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
    prepare();
}
