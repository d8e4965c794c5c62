// samples[i] = σ_epoch(batch · size + i): the samples of the batch that the control block names.
// Writes one word per sample of the batch.
// Called once per batch, before `gather_bytes` or `gather_floats`.
//: use control shuffle batch
struct BatchSchedule {
    // Samples there are.
    count: u32,
    // Rows of a batch.
    size: u32,
    // Batches in an epoch; the last may be short.
    per_epoch: u32,
    // 1: shuffled anew every epoch; 0: in their own order.
    shuffled: u32,
    seed_low: u32,
    seed_high: u32,
}

@group(0) @binding(0) var<uniform> schedule: BatchSchedule;
@group(0) @binding(1) var<uniform> control: Control;
@group(0) @binding(2) var<storage, read_write> rows: BatchRows;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = id.y * groups.x * 64u + id.x;
    if (i >= schedule.size) {
        return;
    }
    let epoch = control.batch / schedule.per_epoch;
    let first = control.batch % schedule.per_epoch * schedule.size;
    let position = first + i;
    if (i == 0u) {
        rows.present = min(schedule.size, schedule.count - first);
    }
    if (position >= schedule.count) {
        rows.samples[i] = 0u;
        return;
    }
    var sample = position;
    if (schedule.shuffled != 0u) {
        let key = epoch_key(schedule.seed_low, schedule.seed_high, epoch);
        sample = shuffle_index(position, schedule.count, key);
    }
    rows.samples[i] = sample;
}
