// sums_l[entry(corner), f] += round(w dx[l F + f] 2^k): integers, so their order does not matter.
// Reads a point and F gradients per row and level, adds to 2^d entries.
// Called at every stage, after `grid_maximum`, with sums of zero.
//: use grid_shape
override DIMENSIONS: u32 = 2u;
override FEATURES: u32 = 2u;

@group(0) @binding(0) var<uniform> shape: GridShape;
@group(0) @binding(1) var<storage, read> points: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> dx: array<f32>;
@group(0) @binding(3) var<storage, read> scales: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> sums: array<atomic<i32>>;

// y of the grid is the level.
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x;
    if (row >= shape.size || id.y >= shape.count) {
        return;
    }
    let scale = scales[id.y].x;
    if (scale == 0.0) {
        return;
    }
    let level = shape.levels[id.y];
    let place = kutta_place(level, points[row].xyz);
    var scaled: array<f32, 8>;
    for (var f = 0u; f < FEATURES; f++) {
        scaled[f] = scale * dx[(id.y * FEATURES + f) * shape.feature_stride + row];
    }
    for (var corner = 0u; corner < (1u << DIMENSIONS); corner++) {
        let weight = kutta_weight(place, corner);
        let at = level.first + kutta_entry(level, place, corner) * FEATURES;
        for (var f = 0u; f < FEATURES; f++) {
            atomicAdd(&sums[at + f], i32(round(weight * scaled[f])));
        }
    }
}
