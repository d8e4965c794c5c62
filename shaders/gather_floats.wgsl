// x[i, f] = inputs[sample(i), f], rows padded to whole vec4.
// Reads the batch once; writes it twice (by feature and by sample).
// Called once per batch, after `batch_rows`.
//: use gather
@group(0) @binding(2) var<storage, read> inputs: array<vec4<f32>>;

fn fetch(at: u32) -> vec4<f32> {
    return inputs[at];
}
