// Finite-checks on the bits: WGSL lets compilers assume that x == x.
fn magnitude_bits(x: vec4<f32>) -> vec4<u32> {
    return bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu);
}

fn not_finite(magnitude: vec4<u32>) -> bool {
    return any(magnitude >= vec4<u32>(0x7f800000u));
}

