// x[l F + f] = Σ_corners w θ_l[entry(corner), f]: features of every level of a hash grid.
// Reads a point and 2^d entries per row and level, writes F features twice.
// Called at every stage, before the layers.
override DIMENSIONS: u32 = 2u;
// Features of an entry.
override FEATURES: u32 = 2u;

@group(0) @binding(0) var<uniform> shape: GridShape;
@group(0) @binding(1) var<storage, read> theta: array<f32>;
@group(0) @binding(2) var<storage, read> points: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> by_feature: array<f32>;
@group(0) @binding(4) var<storage, read_write> by_sample: array<f32>;

// y of the grid is the level.
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x;
    if (row >= shape.size || id.y >= shape.count) {
        return;
    }
    let level = shape.levels[id.y];
    let place = kutta_place(level, points[row].xyz);
    var sums: array<f32, 8>;
    for (var corner = 0u; corner < (1u << DIMENSIONS); corner++) {
        let weight = kutta_weight(place, corner);
        let at = level.first + kutta_entry(level, place, corner) * FEATURES;
        for (var f = 0u; f < FEATURES; f++) {
            sums[f] += weight * theta[at + f];
        }
    }
    for (var f = 0u; f < FEATURES; f++) {
        let feature = id.y * FEATURES + f;
        by_feature[feature * shape.feature_stride + row] = sums[f];
        by_sample[row * shape.sample_stride + feature] = sums[f];
    }
}
