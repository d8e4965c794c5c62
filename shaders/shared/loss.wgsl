// What the loss kernels share: outputs come in by feature, their gradient goes
// out both ways, and each row leaves its loss and whether it was right.
//: use batch
struct LossShape {
    // Outputs of the network.
    outputs: u32,
    // f32 from one feature to the next in `outputs` and `dz_by_feature`.
    feature_stride: u32,
    // f32 from one sample to the next in `dz_by_sample`.
    sample_stride: u32,
}

@group(0) @binding(0) var<uniform> shape: LossShape;
@group(0) @binding(1) var<storage, read> rows: BatchRows;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read> outputs: array<f32>;
@group(0) @binding(4) var<storage, read_write> dz_by_feature: array<f32>;
@group(0) @binding(5) var<storage, read_write> dz_by_sample: array<f32>;
// Loss of the row, and 1 if its largest output is the label's.
@group(0) @binding(6) var<storage, read_write> row_loss: array<vec2<f32>>;

// Lavapipe inlines uniforms that bound short loops, and does so, at 5 ms, each
// time the pipeline is bound; a length of a storage buffer keeps it from that.
fn width() -> u32 {
    return min(shape.outputs, arrayLength(&outputs));
}

fn output(row: u32, j: u32) -> f32 {
    return outputs[j * shape.feature_stride + row];
}

fn store_gradient(row: u32, j: u32, dz: f32) {
    dz_by_feature[j * shape.feature_stride + row] = dz;
    dz_by_sample[row * shape.sample_stride + j] = dz;
}

// An empty row pulls at nothing.
fn store_empty(row: u32) {
    for (var j = 0u; j < width(); j++) {
        store_gradient(row, j, 0.0);
    }
    row_loss[row] = vec2<f32>(0.0);
}
