// Finite-checks on the bits: WGSL lets compilers assume that x == x.
fn magnitude_bits(x: vec4<f32>) -> vec4<u32> {
    return bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu);
}

fn not_finite(magnitude: u32) -> bool {
    return magnitude >= 0x7f800000u;
}

const ALL_FINITE: u32 = 0xffffffffu;

// The first vec4 of which an element is not finite; one register, which software adapters
// mask at each turn.
fn first_not_finite(first: u32, i: u32, magnitudes: vec4<u32>) -> u32 {
    let pair = max(magnitudes.xy, magnitudes.zw);
    return min(first, select(ALL_FINITE, i, not_finite(max(pair.x, pair.y))));
}

fn is_finite(x: f32) -> bool {
    return !not_finite(bitcast<u32>(x) & 0x7fffffffu);
}

