// x[f] = cos 2π b·p, x[f + waves] = sin 2π b·p for frequency b number f; or x = 2p − 1.
// Reads a point per row and wave, writes two features twice (by feature and by sample).
// Called once per batch, after `field_points`: these features have no parameters.
//: use wave
struct WaveShape {
    // Rows of a batch.
    size: u32,
    waves: u32,
    // f32 from one feature to the next in `by_feature`, and from one row to the next in
    // `by_sample`.
    feature_stride: u32,
    sample_stride: u32,
}

// True: the coordinates themselves, waves being their number.
override COORDINATES: bool = false;

@group(0) @binding(0) var<uniform> shape: WaveShape;
@group(0) @binding(1) var<storage, read> points: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> frequencies: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> by_feature: array<f32>;
@group(0) @binding(4) var<storage, read_write> by_sample: array<f32>;

fn store(row: u32, feature: u32, value: f32) {
    by_feature[feature * shape.feature_stride + row] = value;
    by_sample[row * shape.sample_stride + feature] = value;
}

// y of the grid is the wave.
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x;
    let wave = id.y;
    if (row >= shape.size || wave >= shape.waves) {
        return;
    }
    let point = points[row];
    if (COORDINATES) {
        store(row, wave, 2.0 * point[wave] - 1.0);
        return;
    }
    let both = kutta_wave(frequencies[wave].xyz, point.xyz);
    store(row, wave, both.x);
    store(row, wave + shape.waves, both.y);
}
