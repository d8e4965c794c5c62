// packed[k, n] = W[k, n], rows padded with zeros to whole vec4.
// Reads W once, writes it once.
// Called before the products of a layer whose width is no multiple of 4.
//: use weights
@group(0) @binding(0) var<uniform> shape: WeightShape;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> packed: array<vec4<f32>>;

fn weight(row: u32, column: u32) -> f32 {
    if (column >= shape.columns) {
        return 0.0;
    }
    return weights[row * shape.columns + column];
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = id.y * groups.x * 64u + id.x;
    let row = i / shape.stride;
    let column = i % shape.stride * 4u;
    if (row >= shape.rows) {
        return;
    }
    packed[i] = vec4<f32>(
        weight(row, column),
        weight(row, column + 1u),
        weight(row, column + 2u),
        weight(row, column + 3u),
    );
}
