// Loss and gradient of L = 1/(2n) sum (c0 + c1 x + c2 x^2 + c3 x^3 - y)^2 over n points (x, y),
// by one workgroup: each lane adds up its points, then the first lane adds up the lanes.
@group(0) @binding(0) var<storage, read> c: array<f32>;
@group(0) @binding(1) var<storage, read> points: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;

const LANES = 64u;
var<workgroup> gradients: array<vec4<f32>, LANES>;
var<workgroup> losses: array<f32, LANES>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
    let n = arrayLength(&points);
    var g = vec4<f32>();
    var l = 0.0;
    for (var i = lane; i < n; i += LANES) {
        let x = points[i].x;
        let powers = vec4(1.0, x, x * x, x * x * x);
        let r = dot(vec4(c[0], c[1], c[2], c[3]), powers) - points[i].y;
        g += r * powers;
        l += 0.5 * r * r;
    }
    gradients[lane] = g / f32(n);
    losses[lane] = l / f32(n);
    workgroupBarrier();
    if lane == 0u {
        g = gradients[0];
        l = losses[0];
        for (var i = 1u; i < LANES; i += 1u) {
            g += gradients[i];
            l += losses[i];
        }
        for (var i = 0u; i < 4u; i += 1u) {
            gradient[i] = g[i];
        }
        loss[0] = l;
    }
}
