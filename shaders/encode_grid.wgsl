// x[l F + f] = Σ_corners w θ_l[entry(corner), f]: features of every level of a hash grid.
// Reads a point and 2^d entries per row and level, writes F features twice.
// Called at every stage, before the layers.
//: use grid_shape
override DIMENSIONS: u32 = 2u;
// Features of an entry.
override FEATURES: u32 = 2u;

@group(0) @binding(0) var<uniform> shape: GridShape;
@group(0) @binding(1) var<storage, read> theta: array<f32>;
@group(0) @binding(2) var<storage, read> points: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> by_feature: array<f32>;
@group(0) @binding(4) var<storage, read_write> by_sample: array<f32>;

fn entry(at: u32, feature: u32) -> f32 {
    if (feature >= FEATURES) {
        return 0.0;
    }
    return theta[at + feature];
}

fn four_entries(at: u32, feature: u32) -> vec4<f32> {
    return vec4<f32>(
        entry(at, feature),
        entry(at, feature + 1u),
        entry(at, feature + 2u),
        entry(at, feature + 3u),
    );
}

// Features of one corner by their weight: the first four, and the others.
struct Features {
    near: vec4<f32>,
    far: vec4<f32>,
}

fn corner_of(level: GridLevel, place: GridPlace, corner: u32) -> Features {
    let weight = kutta_weight(place, corner);
    let at = level.first + kutta_entry(level, place, corner) * FEATURES;
    return Features(weight * four_entries(at, 0u), weight * four_entries(at, 4u));
}

fn store(row: u32, first: u32, feature: u32, value: f32) {
    if (feature < FEATURES) {
        by_feature[(first + feature) * shape.feature_stride + row] = value;
        by_sample[row * shape.sample_stride + first + feature] = value;
    }
}

// y of the grid is the level. Loops over corners and features would keep their sums out of
// registers.
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x;
    if (row >= shape.size || id.y >= shape.count) {
        return;
    }
    let level = shape.levels[id.y];
    let place = kutta_place(level, points[row].xyz);
    let c0 = corner_of(level, place, 0u);
    let c1 = corner_of(level, place, 1u);
    let c2 = corner_of(level, place, 2u);
    let c3 = corner_of(level, place, 3u);
    var near = c0.near + c1.near + c2.near + c3.near;
    var far = c0.far + c1.far + c2.far + c3.far;
    if (DIMENSIONS == 3u) {
        let c4 = corner_of(level, place, 4u);
        let c5 = corner_of(level, place, 5u);
        let c6 = corner_of(level, place, 6u);
        let c7 = corner_of(level, place, 7u);
        near = near + c4.near + c5.near + c6.near + c7.near;
        far = far + c4.far + c5.far + c6.far + c7.far;
    }
    let first = id.y * FEATURES;
    store(row, first, 0u, near.x);
    store(row, first, 1u, near.y);
    store(row, first, 2u, near.z);
    store(row, first, 3u, near.w);
    store(row, first, 4u, far.x);
    store(row, first, 5u, far.y);
    store(row, first, 6u, far.z);
    store(row, first, 7u, far.w);
}
