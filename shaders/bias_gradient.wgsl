// db[q] = Σ_t dz[t, q]; t: sample, q: output feature.
// Reads dz once, writes db once; strips of samples are added in a fixed order.
// Called by the backward pass of a layer.
//: use traversal

// vec4s of other tensors that the binding begins with.
override FIRST: u32 = 0u;

struct BiasGradient {
    // Samples.
    steps: u32,
    // Output features.
    columns: u32,
    // vec4 from one sample to the next.
    stride: u32,
}

@group(0) @binding(0) var<uniform> shape: BiasGradient;
@group(0) @binding(1) var<storage, read> dz: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> gradient: array<Gradient>;

var<workgroup> strips: array<array<vec4<f32>, 8>, 8>;

// Eight vec4 of features side by side, eight strips of samples.
@compute @workgroup_size(8, 8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let quad = (group.y * groups.x + group.x) * 8u + local.x;
    var sum = vec4<f32>(0.0);
    if (quad < shape.stride) {
        for (var t = local.y; t < shape.steps; t += 8u) {
            sum += dz[t * shape.stride + quad];
        }
    }
    strips[local.y][local.x] = sum;
    workgroupBarrier();
    if (local.y != 0u || quad >= shape.stride) {
        return;
    }
    for (var strip = 1u; strip < 8u; strip++) {
        sum += strips[strip][local.x];
    }
    // What comes after the last feature is padding, and stays zero.
    gradient[FIRST + quad] = narrow_gradient(parameters_only(sum, quad, shape.columns));
}
