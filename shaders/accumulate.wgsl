// sum ← Σ w·part, over Σ w where LAST: w the samples of a part in units of the first one's
// Moves three words, or two.
// Recorded after each micro-batch; the last leaves loss and samples too.
//: use traversal account check_gradient
override LAST: bool = false;

@group(0) @binding(0) var<uniform> chunk: Chunk;
@group(0) @binding(1) var<storage, read_write> sum: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> part: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> account: Account;
@group(0) @binding(4) var<storage, read> part_loss: array<u32>;
@group(0) @binding(5) var<storage, read> part_samples: array<u32>;
@group(0) @binding(6) var<storage, read_write> loss: array<u32>;
@group(0) @binding(7) var<storage, read_write> samples: array<f32>;
@group(0) @binding(8) var<storage, read_write> checks: Checks;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let after = taken(account, part_samples[0], part_loss[0]);
    let n = samples_of(part_samples[0]);
    // What is not there yet, or is of no samples, may be anything, NaN too.
    let begun = account.weight != 0.0;
    let counts = n != 0.0;
    let weight = n / select(1.0, after.unit, counts);
    let mine = run_of(chunk, workgroup.x, lane);
    var seen: Seen;
    for (var i = mine.first; i < mine.end; i += RUN) {
        var total = vec4<f32>();
        if begun {
            total = sum[i];
        }
        if counts {
            total += weight * part[i];
        }
        if LAST && after.weight != 0.0 {
            total /= after.weight;
        }
        sum[i] = total;
        look(&seen, parameters_only(total, i, chunk.elements), chunk.first + i);
    }
    let here = chunk.first_partial == 0u && workgroup.x == 0u && lane == 0u;
    if LAST && here {
        samples[0] = after.samples;
        // A source that gives no loss leaves the mark that says so.
        if after.loss_weight != 0.0 {
            loss[0] = bitcast<u32>(after.loss / after.loss_weight);
        }
    }
    leave_walked(&seen, chunk, workgroup.x, lane);
}
