//: use control settings partials scaled_sum

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
        add_root(&x, partials.roots[at], zero);
        if SUMS > 1u {
            add_root(&y, partials.roots[at + bank], zero);
        }
        if SUMS > 2u {
            add_root(&z, partials.roots[at + 2u * bank], zero);
        }
    }
    return workgroup_roots(lane, vec3<f32>(root_of(x), root_of(y), root_of(z)), zero);
}
