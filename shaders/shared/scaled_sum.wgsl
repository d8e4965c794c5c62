// Σ a b beyond the range of f32: three sums of the same terms, whose factors are 2⁹⁶ a and
// 2⁹⁶ b, a and b, 2⁻⁹⁶ a and 2⁻⁹⁶ b. The first of them that is finite counts. Nothing
// vanishes in the fine one. Where it overflows, Σ |a b| is 2⁻⁶⁴ or more, beside which what
// vanishes in the plain one is nothing; where that overflows, Σ |a b| is 2¹²⁸ or more, and
// the coarse one holds whatever f32 can be. Powers of two round nothing.
//
// What is passed on is the root: √|s| with the sign of s. It is in range where a and b are,
// and one word, as a sum would be. A kernel file says by SUMS how many it makes.
//: use traversal finite
struct ScaledSum {
    plain: vec4<f32>,
    fine: f32,
    coarse: f32,
}

// Bits of 2⁹⁶ and 2⁻⁹⁶.
const UP = 0x6f800000u;
const DOWN = 0x0f800000u;

// 2⁹⁶ x or 2⁻⁹⁶ x. `zero` is 0, which no compiler can know: none may take factors out of a
// sum, fast-math or not.
fn scaled(x: vec4<f32>, by: u32, zero: u32) -> vec4<f32> {
    let factor = bitcast<f32>(by ^ zero);
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(factor * x) ^ vec4<u32>(zero));
}

fn add_products(sum: ptr<function, ScaledSum>, a: vec4<f32>, b: vec4<f32>, zero: u32) {
    (*sum).plain += a * b;
    (*sum).fine += dot(scaled(a, UP, zero), scaled(b, UP, zero));
    (*sum).coarse += dot(scaled(a, DOWN, zero), scaled(b, DOWN, zero));
}

// Adds what a root stands for.
fn add_root(sum: ptr<function, ScaledSum>, root: f32, zero: u32) {
    (*sum).plain.x += root * abs(root);
    let fine = scaled(vec4<f32>(root), UP, zero).x;
    (*sum).fine += fine * abs(fine);
    let coarse = scaled(vec4<f32>(root), DOWN, zero).x;
    (*sum).coarse += coarse * abs(coarse);
}

fn root_of(sum: ScaledSum) -> f32 {
    var square = (sum.plain.x + sum.plain.y) + (sum.plain.z + sum.plain.w);
    var unit = 1.0;
    if is_finite(sum.fine) {
        square = sum.fine;
        unit = 0x1p-96;
    } else if !is_finite(square) {
        square = sum.coarse;
        unit = 0x1p96;
    }
    let size = bitcast<u32>(sqrt(abs(square)) * unit) & 0x7fffffffu;
    return bitcast<f32>(size | (bitcast<u32>(square) & 0x80000000u));
}

var<workgroup> lane_roots: array<vec3<f32>, LANES>;

// The roots of the sums over all lanes in a fixed order, complete in lane 0. For uniform
// control flow only. Two barriers instead of eight: sixteen lanes add sixteen values
// each, and one adds the rest.
fn workgroup_roots(lane: u32, own: vec3<f32>, zero: u32) -> vec3<f32> {
    // A workgroup may have more lanes, which have no part in it.
    if lane < LANES {
        lane_roots[lane] = own;
    }
    workgroupBarrier();
    if lane < 16u {
        lane_roots[lane * 16u] = sixteen_roots(lane * 16u, 1u, zero);
    }
    workgroupBarrier();
    var total = vec3<f32>();
    if lane == 0u {
        total = sixteen_roots(0u, 16u, zero);
    }
    return total;
}

fn sixteen_roots(first: u32, stride: u32, zero: u32) -> vec3<f32> {
    var x: ScaledSum;
    var y: ScaledSum;
    var z: ScaledSum;
    for (var i = 0u; i < 16u; i += 1u) {
        let root = lane_roots[first + i * stride];
        add_root(&x, root.x, zero);
        if SUMS > 1u {
            add_root(&y, root.y, zero);
        }
        if SUMS > 2u {
            add_root(&z, root.z, zero);
        }
    }
    return vec3<f32>(root_of(x), root_of(y), root_of(z));
}
