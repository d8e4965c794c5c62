// sum ← sum + w·part, or w·part where FIRST; and the same for the loss
// Moves three words, or two.
// Recorded after each micro-batch.
override FIRST: bool = false;

struct Accumulate {
    weight: f32,
    unused_0: u32,
    unused_1: u32,
    unused_2: u32,
    chunk: Chunk,
}

@group(0) @binding(0) var<uniform> accumulate: Accumulate;
@group(0) @binding(1) var<storage, read_write> sum: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> part: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> loss: array<u32>;
@group(0) @binding(4) var<storage, read> part_loss: array<u32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let mine = run_of(accumulate.chunk, workgroup.x, lane);
    for (var i = mine.first; i < mine.end; i += RUN) {
        if FIRST {
            sum[i] = accumulate.weight * part[i];
        } else {
            sum[i] += accumulate.weight * part[i];
        }
    }
    // A source that gives no loss leaves the mark that says so.
    let here = accumulate.chunk.first_partial == 0u && workgroup.x == 0u && lane == 0u;
    if here && part_loss[0] != NO_LOSS {
        let before = select(bitcast<f32>(loss[0]), 0.0, FIRST);
        loss[0] = bitcast<u32>(before + accumulate.weight * bitcast<f32>(part_loss[0]));
    }
}
