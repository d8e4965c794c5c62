// accept = every gradient finite, and L(θ) too; ‖k₁‖ = √Σ partials
// Moves nothing of the parameters' size.
// Recorded once an attempt, after the last check and before θ is written.
// MEASURE: only looks; the attempt counts for nothing.
override MEASURE: bool = false;

@group(0) @binding(0) var<storage, read_write> control: Control;
@group(0) @binding(1) var<uniform> settings: Settings;
@group(0) @binding(2) var<storage, read_write> partials: Partials;
@group(0) @binding(3) var<storage, read_write> loss: array<u32>;
@group(0) @binding(4) var<storage, read_write> ring: array<Record>;

fn first_bad_stage() -> u32 {
    let low = atomicLoad(&partials.flags[0]);
    let high = atomicLoad(&partials.flags[1]);
    if low != 0u {
        return 1u + firstTrailingBit(low);
    }
    if high != 0u {
        return 33u + firstTrailingBit(high);
    }
    return select(0u, 1u, loss[0] != NO_LOSS && (loss[0] & 0x7fffffffu) >= 0x7f800000u);
}

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32) {
    var own = 0.0;
    for (var i = lane; i < settings.partials; i += LANES) {
        own += partials.sums[i];
    }
    let squares = workgroup_sum(lane, own);
    if lane != 0u {
        return;
    }

    var record: Record;
    record.attempt = control.attempts;
    record.batch = control.batch;
    record.stage = first_bad_stage();
    record.h = control.h;
    record.time_high = control.time_high;
    record.time_low = control.time_low;
    record.loss = loss[0];
    record.grad_norm = sqrt(squares);
    record.error = 0.0;

    control.attempts += 1u;
    control.accept = 0u;
    record.verdict = IDLE;
    if MEASURE {
        record.verdict = MEASURED;
        control.evaluations += 1u;
    } else if control.alive == 1u {
        control.evaluations += settings.stages;
        control.batch += 1u;
        if record.stage == 0u {
            record.verdict = ACCEPTED;
            control.accept = 1u;
            control.accepted += 1u;
        } else {
            record.verdict = SKIPPED;
            control.skipped += 1u;
        }
    }
    control.applied_h = control.h;
    control.applied_second_scale = control.second_scale;
    control.applied_mean_scale = control.mean_scale;
    control.parity ^= control.accept;
    if control.accept == 1u {
        if control.last == 1u {
            control.time_high = settings.end_high;
            control.time_low = settings.end_low;
        } else {
            add_time(control.h);
        }
    }
    record.accepted = control.accepted;
    record.skipped = control.skipped;
    record.refused = control.refused;
    record.evaluations = control.evaluations;
    ring[record.attempt % settings.ring] = record;

    atomicStore(&partials.flags[0], 0u);
    atomicStore(&partials.flags[1], 0u);
    loss[0] = NO_LOSS;
    prepare();
}
