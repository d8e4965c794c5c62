// θ' = θ − h (u + λ θ), m ← …, v ← …; u from ḡ = Σ b k by way of D and the momentum
// Moves a word for each gradient, two for θ, two for m, and the state's.
// Recorded after the verdict, in place of the advance; or, where an estimate judges it, before.
//: use finish_group
@group(0) @binding(0) var<uniform> control: Control;
@group(0) @binding(1) var<uniform> finish: Finish;
@group(0) @binding(2) var<uniform> moments: Moments;
//: for b in bindings
@group(0) @binding({numbers[b]}) {bindings[b]};
//: end

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    if !BEFORE && control.accept == 0u {
        return;
    }
    finish_group(workgroup.x, lane);
}
