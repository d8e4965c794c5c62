// accept = every gradient finite, and L(θ) too, and err = ‖partials‖ / √n ≤ 1
// Moves nothing of the parameters' size.
// Recorded once an attempt, after the last check and before θ is written.
//: use judge
@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32) {
    judge(lane);
}
