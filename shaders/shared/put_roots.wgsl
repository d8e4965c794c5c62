//: use traversal partials scaled_sum

// Always 0, for spans are below 2³¹; no compiler knows.
fn zero_of(chunk: Chunk) -> u32 {
    return chunk.span >> 31u;
}

// Leaves the roots of SUMS sums, `bank` roots apart.
fn put_roots(chunk: Chunk, bank: u32, workgroup: u32, lane: u32, own: vec3<f32>) {
    if LANE_PARTIALS {
        if lane < LANES {
            put_root(chunk.first_partial + workgroup * LANES + lane, bank, own);
        }
    } else {
        let all = workgroup_roots(lane, own, zero_of(chunk));
        if lane == 0u {
            put_root(chunk.first_partial + workgroup, bank, all);
        }
    }
}

fn put_root(at: u32, bank: u32, roots: vec3<f32>) {
    partials.roots[at] = roots.x;
    if SUMS > 1u {
        partials.roots[at + bank] = roots.y;
    }
    if SUMS > 2u {
        partials.roots[at + 2u * bank] = roots.z;
    }
}
