// accept = every gradient finite, and L(θ) too, and err = ‖partials‖ / √n ≤ 1
// Moves nothing of the parameters' size.
// Recorded once an attempt, after the last check and before θ is written.
//: use judge
@group(0) @binding(0) var<storage, read_write> block: Control;
@group(0) @binding(1) var<uniform> settings: Settings;
@group(0) @binding(2) var<storage, read_write> partials: Partials;
@group(0) @binding(3) var<storage, read_write> loss: array<u32>;
@group(0) @binding(4) var<storage, read_write> ring: array<Record>;
@group(0) @binding(5) var<storage, read_write> last_loss: array<u32>;
@group(0) @binding(6) var<storage, read_write> checks: Checks;
@group(0) @binding(7) var<uniform> recorded: Recorded;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32) {
    judge(lane);
}
