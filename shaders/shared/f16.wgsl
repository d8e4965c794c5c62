// Four elements of a vector that is stored as f16, in two words; read and written
// through the functions that src/device/kernel.rs declares for each binding.
// Rounding is done in integers: WGSL leaves open which way pack2x16float rounds.
// What is finite stays finite (the largest value there is), and nothing else does.

fn from_f16(x: vec2<u32>) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(x.x), unpack2x16float(x.y));
}

fn to_f16(x: vec4<f32>) -> vec2<u32> {
    let kept = f16_fraction(x);
    let tie_to_even = (kept.bits >> kept.shift) & vec4<u32>(1u);
    let below_half = (vec4<u32>(1u) << (kept.shift - vec4<u32>(1u))) - vec4<u32>(1u);
    return f16_words(x, kept, below_half + tie_to_even);
}

// noise: sixteen random bits each, which round up as often as makes the mean right.
fn dithered_f16(x: vec4<f32>, noise: vec4<u32>) -> vec2<u32> {
    let kept = f16_fraction(x);
    return f16_words(x, kept, (noise << (kept.shift - vec4<u32>(13u))) >> vec4<u32>(3u));
}

// |x| is bits · 2^shift, in units of the last place of its f16, times some power of two.
struct Fraction {
    bits: vec4<u32>,
    shift: vec4<u32>,
}

// Bits beneath those of 2⁻²⁵ are lost, which no rounding would notice.
fn f16_fraction(x: vec4<f32>) -> Fraction {
    let magnitude = bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu);
    let exponent = magnitude >> vec4<u32>(23u);
    // Below 2⁻¹⁴, whose exponent is 113, the last place stays at 2⁻²⁴.
    let below = exponent < vec4<u32>(113u);
    let beneath = min(vec4<u32>(101u) - min(exponent, vec4<u32>(101u)), vec4<u32>(31u));
    let fraction = ((magnitude & vec4<u32>(0x7fffffu)) | vec4<u32>(0x800000u)) >> beneath;
    let shift = vec4<u32>(126u) - clamp(exponent, vec4<u32>(101u), vec4<u32>(113u));
    return Fraction(select(magnitude - vec4<u32>(112u << 23u), fraction, below), shift);
}

fn f16_words(x: vec4<f32>, kept: Fraction, up: vec4<u32>) -> vec2<u32> {
    let bits = bitcast<vec4<u32>>(x);
    let magnitude = bits & vec4<u32>(0x7fffffffu);
    var half = min((kept.bits + up) >> kept.shift, vec4<u32>(0x7bffu));
    half = select(half, vec4<u32>(0x7c00u), magnitude >= vec4<u32>(0x7f800000u));
    half = select(half, vec4<u32>(0x7e00u), magnitude > vec4<u32>(0x7f800000u));
    half |= (bits >> vec4<u32>(16u)) & vec4<u32>(0x8000u);
    return half.xz | (half.yw << vec2<u32>(16u));
}
