// PCG-RXS-M-XS, 32 bits: O'Neill 2014.
fn pcg(x: u32) -> u32 {
    let state = x * 747796405u + 2891336453u;
    let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
    return (word >> 22u) ^ word;
}

// Sixteen random bits for each of the four elements at vec4 i of a whole vector, in
// draw number `draw`.
fn noise_at(i: u32, draw: u32) -> vec4<u32> {
    let first = pcg(i ^ pcg(draw));
    let second = pcg(first);
    return vec4<u32>(first & 0xffffu, first >> 16u, second & 0xffffu, second >> 16u);
}
