// Blames k's stage for a NaN or an infinity; partials = ‖k‖ where NORM
// Moves one word: k.
// Recorded before the verdict for a gradient that no combine has read.
//: use finite put_roots
override NORM: bool = false;
// The squares become state: they must be finite too.
override SQUARES: bool = false;

const SUMS = 1u;

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
    var bad = ALL_FINITE;
    let zero = zero_of(guard.chunk);
    var squares: ScaledSum;
    for (var i = mine.first; i < mine.end; i += RUN) {
        let inside = parameters_only(wide_k(k[i]), i, guard.chunk.elements);
        bad = first_not_finite(bad, i, magnitude_bits(select(inside, inside * inside, SQUARES)));
        if NORM {
            add_products(&squares, inside, inside, zero);
        }
    }
    if bad != ALL_FINITE {
        blame_place(guard.stage, guard.chunk.first + bad);
    }
    if NORM {
        put_roots(guard.chunk, 0u, workgroup.x, lane, vec3<f32>(root_of(squares), 0.0, 0.0));
    }
}
