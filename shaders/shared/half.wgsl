// The nearest f16 of each element, ties to even, as an f32: what an f16 then is without rounding,
// for WGSL leaves open which way f16() rounds. Below 2⁻¹⁴, where f16 is subnormal and devices
// differ, it is zero. What is finite stays finite (65504 at most), and nothing else does.
fn half(x: vec4<f32>) -> vec4<f32> {
    let bits = bitcast<vec4<u32>>(x);
    let magnitude = bits & vec4<u32>(0x7fffffffu);
    let odd = (magnitude >> vec4<u32>(13u)) & vec4<u32>(1u);
    var kept = (magnitude + vec4<u32>(0xfffu) + odd) & vec4<u32>(0xffffe000u);
    kept = min(kept, vec4<u32>(0x477fe000u));
    kept = select(kept, vec4<u32>(0u), magnitude < vec4<u32>(0x38800000u));
    kept = select(kept, vec4<u32>(0x7f800000u), magnitude >= vec4<u32>(0x7f800000u));
    kept = select(kept, vec4<u32>(0x7fc00000u), magnitude > vec4<u32>(0x7f800000u));
    return bitcast<vec4<f32>>(kept | (bits & vec4<u32>(0x80000000u)));
}
