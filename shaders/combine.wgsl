// out = base + Σ w (point − base) − scale · D ⊙ Σ a k, scale = h or 1, or Σ a k where it has no base
// Moves a word for each distinct input and each output, and the state's where there is D; UPDATE writes its other half.
// Recorded for every stage point and partial sum, and, as AFTER, for θ after the verdict.
//: use combine_group
const SUMS = 1u;

@group(0) @binding(0) var<uniform> control: Control;
@group(0) @binding(1) var<uniform> combine: Combine;
//: for b in bindings
@group(0) @binding({numbers[b]}) {bindings[b]};
//: end

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    if AFTER && control.accept == 0u {
        return;
    }
    combine_group(workgroup.x, lane);
}
