// Copies the batch's inputs out of the data set in blocks of 4 samples by 4
// features, by feature and by sample. A kernel file adds how to fetch four
// features of a sample. Empty rows are zero.
//: use batch
struct Gather {
    // Rows of a batch.
    size: u32,
    // vec4 per feature in `by_feature`: samples / 4, rounded up.
    sample_quads: u32,
    // vec4 per sample in `by_sample`: features / 4, rounded up.
    feature_quads: u32,
}

@group(0) @binding(0) var<uniform> shape: Gather;
@group(0) @binding(1) var<storage, read> rows: BatchRows;
@group(0) @binding(3) var<storage, read_write> by_feature: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> by_sample: array<vec4<f32>>;

fn fetch_row(row: u32, quad: u32) -> vec4<f32> {
    if (row >= rows.present) {
        return vec4<f32>(0.0);
    }
    return fetch(rows.samples[row] * shape.feature_quads + quad);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = id.y * groups.x * 64u + id.x;
    let quad = i % shape.feature_quads;
    let samples = i / shape.feature_quads;
    if (samples >= shape.sample_quads) {
        return;
    }
    let row = samples * 4u;
    let block = mat4x4<f32>(
        fetch_row(row, quad),
        fetch_row(row + 1u, quad),
        fetch_row(row + 2u, quad),
        fetch_row(row + 3u, quad),
    );
    let to = row * shape.feature_quads + quad;
    by_sample[to] = block[0];
    by_sample[to + shape.feature_quads] = block[1];
    by_sample[to + 2u * shape.feature_quads] = block[2];
    by_sample[to + 3u * shape.feature_quads] = block[3];
    let turned = transpose(block);
    let at = quad * 4u * shape.sample_quads + samples;
    by_feature[at] = turned[0];
    by_feature[at + shape.sample_quads] = turned[1];
    by_feature[at + 2u * shape.sample_quads] = turned[2];
    by_feature[at + 3u * shape.sample_quads] = turned[3];
}
