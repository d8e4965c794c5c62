// What a guard looks at: whether k is finite, and ‖k‖ where TAKES_NORM. Wants the bindings `guard`
// and `k`.
//: use finite put_roots
override TAKES_NORM: bool = false;
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

// The part of a workgroup, with a lane's own root.
fn guard_group(workgroup: u32, lane: u32) -> f32 {
    let mine = run_of(guard.chunk, workgroup, lane);
    var bad = ALL_FINITE;
    let zero = zero_of(guard.chunk);
    var squares: ScaledSum;
    for (var i = mine.first; i < mine.end; i += RUN) {
        let inside = parameters_only(wide_k(k[i]), i, guard.chunk.elements);
        bad = first_not_finite(bad, i, magnitude_bits(select(inside, inside * inside, SQUARES)));
        if TAKES_NORM {
            add_products(&squares, inside, inside, zero);
        }
    }
    if bad != ALL_FINITE {
        blame_place(guard.stage, guard.chunk.first + bad);
    }
    if !TAKES_NORM {
        return 0.0;
    }
    return root_of(squares);
}
