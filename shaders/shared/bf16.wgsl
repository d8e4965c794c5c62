// Four elements of a vector that is stored as bf16, in two words; read and written
// through the functions that src/device/kernel.rs declares for each binding.
// Rounding is done in integers.
// What is finite stays finite (the largest value there is), and nothing else does.

fn from_bf16(x: vec2<u32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(vec4<u32>(
        x.x << 16u,
        x.x & 0xffff0000u,
        x.y << 16u,
        x.y & 0xffff0000u,
    ));
}

fn to_bf16(x: vec4<f32>) -> vec2<u32> {
    let bits = bitcast<vec4<u32>>(x);
    return bf16_words(bits, vec4<u32>(0x7fffu) + ((bits >> vec4<u32>(16u)) & vec4<u32>(1u)));
}

fn dithered_bf16(x: vec4<f32>, noise: vec4<u32>) -> vec2<u32> {
    return bf16_words(bitcast<vec4<u32>>(x), noise);
}

fn bf16_words(bits: vec4<u32>, up: vec4<u32>) -> vec2<u32> {
    let magnitude = bits & vec4<u32>(0x7fffffffu);
    var half = min((magnitude + up) >> vec4<u32>(16u), vec4<u32>(0x7f7fu));
    half = select(half, vec4<u32>(0x7f80u), magnitude >= vec4<u32>(0x7f800000u));
    half = select(half, vec4<u32>(0x7fc0u), magnitude > vec4<u32>(0x7f800000u));
    half |= (bits >> vec4<u32>(16u)) & vec4<u32>(0x8000u);
    return half.xz | (half.yw << vec2<u32>(16u));
}
