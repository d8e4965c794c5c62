// gradient = values, in the storage of the gradient; zeros after the last.
// Reads a tensor of f32 once, writes it once.
// Called after the weight gradient of a layer whose width is no multiple of 4, where gradients are stored narrow: rows of it then share words.
//: use traversal weights

// vec4s of other tensors that the binding begins with.
override FIRST: u32 = 0u;

@group(0) @binding(0) var<uniform> shape: WeightShape;
@group(0) @binding(1) var<storage, read> values: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> gradient: array<Gradient>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = id.y * groups.x * 64u + id.x;
    let elements = shape.rows * shape.columns;
    if (4u * i >= elements) {
        return;
    }
    gradient[FIRST + i] = narrow_gradient(parameters_only(values[i], i, elements));
}
