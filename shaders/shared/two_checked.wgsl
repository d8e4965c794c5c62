
// The build of combine_two that checks what it reads: its eighth storage buffer
// holds the findings.
@group(0) @binding(9) var<storage, read_write> partials: Partials;

fn take_last(two: ptr<function, Two>, i: u32) {}

fn leave(two: Two, workgroup: u32, lane: u32) {
    if CHECK != 0u && not_finite(two.largest) {
        blame_stage(combine.stage);
    }
    if NORM != 0u {
        put_partial(combine.chunk, workgroup, lane, two.squares);
    }
}
