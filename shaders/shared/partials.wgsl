// What kernels leave for the verdict and for `choose`.
struct Partials {
    // 2³² − 1 − i for the first stage i whose gradient held a NaN or an infinity;
    // 0 if none did.
    worst: atomic<u32>,
    // 2³² − 1 − i for the first vec4 i of that gradient that held one; 0 where nobody knows.
    place: atomic<u32>,
    // Roots of partial sums, one a workgroup or one a lane, in banks: ‖k₁‖ in the first,
    // then what `field`, `estimate` and `radius` say.
    roots: array<f32>,
}

// Stage 0 is nobody's.
fn blame_stage(stage: u32) {
    if stage != 0u {
        atomicMax(&partials.worst, 0xffffffffu - stage);
    }
}

// The same, for vec4 i of the whole vector. Stages are looked at one after the other, each
// by a dispatch of its own: whoever finds an earlier one blamed has no say.
fn blame_place(stage: u32, i: u32) {
    if stage == 0u {
        return;
    }
    let worst = 0xffffffffu - stage;
    if atomicMax(&partials.worst, worst) <= worst {
        atomicMax(&partials.place, 0xffffffffu - i);
    }
}

// 0 if all were finite.
fn first_blamed() -> u32 {
    let worst = atomicLoad(&partials.worst);
    return select(0u, 0xffffffffu - worst, worst != 0u);
}

fn forgive_stages() {
    atomicStore(&partials.worst, 0u);
    atomicStore(&partials.place, 0u);
}

