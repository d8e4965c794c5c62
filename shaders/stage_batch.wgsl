// into ← control, with batch ← cursor + draw·stride
// Moves nothing of the parameters' size.
// Recorded before each evaluation of a source whose stages have batches of their own.
//: use control
struct Stage {
    // Stages of the attempt before this one.
    draw: u32,
    unused_0: u32,
    unused_1: u32,
    unused_2: u32,
}

@group(0) @binding(0) var<uniform> control: Control;
@group(0) @binding(1) var<uniform> stage: Stage;
@group(0) @binding(2) var<storage, read_write> into: Control;

@compute @workgroup_size(1)
fn main() {
    into = control;
    into.batch = control.cursor + stage.draw * control.stride;
}
