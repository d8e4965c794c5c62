// scales[l] = (2^k, 2^−k) with rows · max |dx_l| · 2^k in (2²⁸, 2³⁰]: what makes dx of level l
// integers whose sums cannot overflow.
// Reads dx once, writes two words per level.
// Called at every stage after the layers' backward pass; one workgroup a level.
//: use grid_shape
override DIMENSIONS: u32 = 2u;
override FEATURES: u32 = 2u;

@group(0) @binding(0) var<uniform> shape: GridShape;
@group(0) @binding(1) var<storage, read> dx: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> scales: array<vec2<f32>>;

var<workgroup> lanes: array<u32, 256>;

fn bits_of(at: u32) -> vec4<u32> {
    return bitcast<vec4<u32>>(dx[at]) & vec4<u32>(0x7fffffffu);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    // A length of a buffer, for the reason in shaders/shared/loss.wgsl.
    let quads = min(shape.feature_stride / 4u * FEATURES, arrayLength(&dx));
    let first = group.x * quads;
    // As bits |x| is in order, and NaN is above infinity above all else.
    var most = vec4<u32>(0u);
    var i = lane;
    // Eight loads under way at a time.
    for (; i + 1792u < quads; i += 2048u) {
        let a = max(max(bits_of(first + i), bits_of(first + i + 256u)),
            max(bits_of(first + i + 512u), bits_of(first + i + 768u)));
        let b = max(max(bits_of(first + i + 1024u), bits_of(first + i + 1280u)),
            max(bits_of(first + i + 1536u), bits_of(first + i + 1792u)));
        most = max(most, max(a, b));
    }
    for (; i < quads; i += 256u) {
        most = max(most, bits_of(first + i));
    }
    lanes[lane] = max(max(most.x, most.y), max(most.z, most.w));
    workgroupBarrier();
    var bits = 0u;
    if (lane < 16u) {
        for (var j = 0u; j < 16u; j++) {
            bits = max(bits, lanes[16u * lane + j]);
        }
        lanes[16u * lane] = bits;
    }
    workgroupBarrier();
    if (lane != 0u) {
        return;
    }
    for (var j = 1u; j < 16u; j++) {
        bits = max(bits, lanes[16u * j]);
    }
    if (bits >= 0x7f800000u) {
        // Nothing is scattered, and every gradient of the level becomes NaN.
        scales[group.x] = vec2<f32>(0.0, bitcast<f32>(0x7fc00000u | shape.size));
        return;
    }
    // max |dx| < 2^exponent, rows ≤ 2^rows.
    let exponent = i32(bits >> 23u) - 126;
    let rows = i32(32u - countLeadingZeros(shape.size - 1u));
    let k = min(30 - rows - exponent, 126);
    scales[group.x] = vec2<f32>(bitcast<f32>(u32(127 + k) << 23u), bitcast<f32>(u32(127 - k) << 23u));
}
