// The check of a gradient by whoever writes it. A kernel of workgroups of 256 has
//   @group(0) @binding(…) var<storage, read_write> checks: Checks;
// begins with `var seen: Seen;`, calls `look` with every four elements as they are stored,
// and ends, in uniform control flow, with `leave`.
//: use checks finite scaled_sum
// Somebody asks; else nothing here does anything.
override CHECKS: bool = false;
// ‖k‖ is wanted too.
override NORM: bool = false;
// The squares become state: they must be finite like the elements.
override SQUARES: bool = false;

const SUMS = 1u;

struct Seen {
    // As `Checks::place`.
    place: u32,
    squares: ScaledSum,
}

// Always 0, for buffers are below 2³³ bytes; no compiler knows.
fn check_zero() -> u32 {
    return arrayLength(&checks.roots) >> 31u;
}

// k: elements 4i to 4i + 3 of the whole gradient, zeros where there is padding.
fn look(seen: ptr<function, Seen>, k: vec4<f32>, i: u32) {
    if CHECKS {
        let first = first_not_finite(ALL_FINITE, i, magnitude_bits(select(k, k * k, SQUARES)));
        (*seen).place = max((*seen).place, 0xffffffffu - first);
        if NORM {
            // WGSL passes whole variables on, and no part of one.
            var squares = (*seen).squares;
            add_products(&squares, k, k, check_zero());
            (*seen).squares = squares;
        }
    }
}

fn leave_place(seen: ptr<function, Seen>) {
    if CHECKS && (*seen).place != 0u {
        atomicMax(&checks.place, (*seen).place);
    }
}

// One root, in a slot that nobody else writes.
fn leave(seen: ptr<function, Seen>, slot: u32, lane: u32) {
    leave_place(seen);
    if CHECKS && NORM {
        let own = root_of((*seen).squares);
        let all = workgroup_roots(lane, vec3<f32>(own, 0.0, 0.0), check_zero());
        if lane == 0u {
            checks.roots[slot] = all.x;
        }
    }
}

// One root of each lane, without a barrier: for software adapters.
fn leave_alone(seen: ptr<function, Seen>, slot: u32) {
    leave_place(seen);
    if CHECKS && NORM {
        checks.roots[slot] = root_of((*seen).squares);
    }
}

// As a kernel that walks leaves its sums: `leave_alone` or `leave`.
fn leave_walked(seen: ptr<function, Seen>, chunk: Chunk, workgroup: u32, lane: u32) {
    if LANE_PARTIALS {
        leave_alone(seen, chunk.first_partial + workgroup * LANES + lane);
    } else {
        leave(seen, chunk.first_partial + workgroup, lane);
    }
}
