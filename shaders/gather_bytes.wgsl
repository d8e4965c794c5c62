// x[i, f] = inputs[sample(i), f] / 255, four bytes to a word, rows padded to whole words.
// Reads the batch's bytes once; writes it twice in f32 (by feature and by sample).
// Called once per batch, after `batch_rows`.
//: use gather
@group(0) @binding(2) var<storage, read> inputs: array<u32>;

fn fetch(at: u32) -> vec4<f32> {
    return unpack4x8unorm(inputs[at]);
}
