// values[sample(i), c] = y[c, i]: what the network puts out, texel by texel.
// Reads and writes each output once.
// Called by an inference, after the layers.
//: use batch
struct OutputShape {
    // Outputs of the network.
    channels: u32,
    // f32 from one output to the next.
    feature_stride: u32,
    // Rows of a batch.
    size: u32,
    unused: u32,
}

@group(0) @binding(0) var<uniform> shape: OutputShape;
@group(0) @binding(1) var<storage, read> rows: BatchRows;
@group(0) @binding(2) var<storage, read> outputs: array<f32>;
@group(0) @binding(3) var<storage, read_write> values: array<f32>;

// y of the grid is the channel.
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x;
    if (row >= rows.present || id.y >= shape.channels) {
        return;
    }
    values[rows.samples[row] * shape.channels + id.y] = outputs[id.y * shape.feature_stride + row];
}
