
// The build of combine_two that reads a fifth gradient in place of checking.
@group(0) @binding(9) var<storage, read> k4: array<K4>;

fn take_last(two: ptr<function, Two>, i: u32) {
    if TERMS > 4u {
        take(two, 4u, wide_k4(k4[i]), i);
    }
}

fn leave(two: Two, workgroup: u32, lane: u32) {}
