// transposed[n, k] = W[k, n], in blocks of 4×4.
// Reads W once, writes it once.
// Called before the input gradient of a layer, whose product wants n outermost.
//: use weights
@group(0) @binding(0) var<uniform> shape: WeightShape;
@group(0) @binding(1) var<storage, read> weights: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> transposed: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = id.y * groups.x * 64u + id.x;
    let row = i / shape.stride;
    let column = i % shape.stride;
    if (row >= shape.transposed_stride) {
        return;
    }
    // Rows beyond the last become columns of Wᵀ beyond its last: never used.
    let source = row * 4u * shape.stride + column;
    let block = transpose(mat4x4<f32>(
        weights[source],
        weights[source + shape.stride],
        weights[source + 2u * shape.stride],
        weights[source + 3u * shape.stride],
    ));
    let to = column * 4u * shape.transposed_stride + row;
    transposed[to] = block[0];
    transposed[to + shape.transposed_stride] = block[1];
    transposed[to + 2u * shape.transposed_stride] = block[2];
    transposed[to + 3u * shape.transposed_stride] = block[3];
}
