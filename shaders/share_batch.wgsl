// into ← control, with batch ← batch·count + index
// Moves nothing of the parameters' size.
// Recorded before each evaluation of a source that gets several batches a step.
struct Share {
    count: u32,
    index: u32,
    unused_0: u32,
    unused_1: u32,
}

@group(0) @binding(0) var<uniform> control: Control;
@group(0) @binding(1) var<uniform> share: Share;
@group(0) @binding(2) var<storage, read_write> into: Control;

@compute @workgroup_size(1)
fn main() {
    into = control;
    into.batch = control.batch * share.count + share.index;
}
