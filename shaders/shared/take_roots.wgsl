//: use control settings partials checks scaled_sum
// The gradient source left ‖k₁‖ in `checks`: the first bank is not read.
override RIDDEN: bool = false;

// The roots of SUMS sums over what kernels left in the banks from `first` on; complete
// in lane 0.
fn take_roots(first: u32, lane: u32) -> vec3<f32> {
    let bank = settings.partials;
    let zero = control.zero;
    var x: ScaledSum;
    var y: ScaledSum;
    var z: ScaledSum;
    for (var i = lane; i < bank; i += LANES) {
        let at = first * bank + i;
        if !RIDDEN {
            add_root(&x, partials.roots[at], zero);
        }
        if SUMS > 1u {
            add_root(&y, partials.roots[at + bank], zero);
        }
        if SUMS > 2u {
            add_root(&z, partials.roots[at + 2u * bank], zero);
        }
    }
    if RIDDEN {
        for (var i = lane; i < arrayLength(&checks.roots); i += LANES) {
            add_root(&x, checks.roots[i], zero);
        }
    }
    return workgroup_roots(lane, vec3<f32>(root_of(x), root_of(y), root_of(z)), zero);
}

// Blames what a source found in the gradient of a stage; for one lane. Stage 0: it was not
// asked.
fn take_place(stage: u32) {
    let place = atomicLoad(&checks.place);
    if stage != 0u && place != 0u {
        blame_place(stage, 0xffffffffu - place);
        atomicStore(&checks.place, 0u);
    }
}
