// dst ← src, if the verdict accepted
// Moves two words, or none.
// Recorded after the verdict: θ ← the candidate, and k₁ ← k_s where the batch stays.
//: use control commit_group
@group(0) @binding(0) var<uniform> control: Control;
@group(0) @binding(1) var<uniform> commit: Commit;
@group(0) @binding(2) var<storage, read_write> dst: array<Dst>;
@group(0) @binding(3) var<storage, read> src: array<Src>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    if control.accept == 0u {
        return;
    }
    commit_group(workgroup.x, lane);
}
