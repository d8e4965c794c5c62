// Blames k's stage for a NaN or an infinity; partials = Σ kᵢ² where NORM
// Moves one word: k.
// Recorded before the verdict for a gradient that no combine has read.
override NORM: bool = false;
// The squares become state: they must be finite too.
override SQUARES: bool = false;

struct Guard {
    // The gradient's.
    stage: u32,
    unused_0: u32,
    unused_1: u32,
    unused_2: u32,
    chunk: Chunk,
}

@group(0) @binding(0) var<uniform> guard: Guard;
@group(0) @binding(1) var<storage, read_write> partials: Partials;
@group(0) @binding(2) var<storage, read> k: array<K>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let mine = run_of(guard.chunk, workgroup.x, lane);
    var largest = 0u;
    var squares = vec4<f32>();
    for (var i = mine.first; i < mine.end; i += RUN) {
        let inside = parameters_only(wide_k(k[i]), i, guard.chunk.elements);
        largest = larger(largest, magnitude_bits(select(inside, inside * inside, SQUARES)));
        if NORM {
            squares += inside * inside;
        }
    }
    if not_finite(largest) {
        blame_stage(guard.stage);
    }
    if NORM {
        put_partial(guard.chunk, workgroup.x, lane, squares);
    }
}
