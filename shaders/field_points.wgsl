// points[i]: where row i of the batch lies in [0, 1]^d; targets[i]: what is wanted there.
// Writes a vec4 per row, and reads and writes targets where points lie anywhere.
// Called once per batch, after `batch_rows`.
//: use control shuffle batch
struct PointShape {
    // Texels along x, y and z.
    width: u32,
    height: u32,
    depth: u32,
    // Values of a texel.
    channels: u32,
    // Rows of a batch.
    size: u32,
    seed_low: u32,
    seed_high: u32,
    unused: u32,
}

override DIMENSIONS: u32 = 2u;
// False: row i is the centre of texel rows.samples[i], whose target nobody needs to copy.
// True: a point drawn uniformly, by counter, with the target interpolated linearly
// between centres of texels.
override ANYWHERE: bool = false;

@group(0) @binding(0) var<uniform> shape: PointShape;
@group(0) @binding(1) var<uniform> control: Control;
@group(0) @binding(2) var<storage, read> rows: BatchRows;
@group(0) @binding(3) var<storage, read> texels: array<f32>;
@group(0) @binding(4) var<storage, read_write> points: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> targets: array<f32>;

// In [0, 1), 24 bits. Counters of a batch differ, and so do keys of batches.
fn drawn(key: u32, counter: u32) -> f32 {
    let bits = shuffle_mix(shuffle_mix(counter + 0x9e3779b9u) ^ key);
    return f32(bits >> 8u) * exp2(-24.0);
}

fn centre(texel: u32) -> vec3<f32> {
    let row = texel / shape.width;
    let at = vec3<u32>(texel % shape.width, row % shape.height, row / shape.height);
    let extent = vec3<u32>(shape.width, shape.height, shape.depth);
    let x = (vec3<f32>(at) + 0.5) / vec3<f32>(extent);
    return select(x, vec3<f32>(x.xy, 0.0), DIMENSIONS == 2u);
}

fn interpolated(point: vec3<f32>, channel: u32) -> f32 {
    let extent = vec3<u32>(shape.width, shape.height, shape.depth);
    let last = vec3<f32>(extent - 1u);
    // Half a texel at the rim is the rim's.
    let place = clamp(point * vec3<f32>(extent) - 0.5, vec3<f32>(0.0), last);
    let low = vec3<u32>(place);
    let high = min(low + 1u, extent - 1u);
    let along = place - vec3<f32>(low);
    var sum = 0.0;
    for (var corner = 0u; corner < (1u << DIMENSIONS); corner++) {
        let beyond = (vec3<u32>(corner, corner >> 1u, corner >> 2u) & vec3<u32>(1u)) == vec3<u32>(1u);
        let at = select(low, high, beyond);
        let weights = select(1.0 - along, along, beyond);
        let texel = (at.z * shape.height + at.y) * shape.width + at.x;
        let weight = weights.x * weights.y * select(weights.z, 1.0, DIMENSIONS == 2u);
        sum += weight * texels[texel * shape.channels + channel];
    }
    return sum;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = id.y * groups.x * 64u + id.x;
    if (i >= shape.size) {
        return;
    }
    if (!ANYWHERE) {
        points[i] = vec4<f32>(centre(rows.samples[i]), 0.0);
        return;
    }
    let key = epoch_key(shape.seed_low, shape.seed_high, control.batch);
    var point = vec3<f32>(drawn(key, 4u * i), drawn(key, 4u * i + 1u), 0.0);
    if (DIMENSIONS == 3u) {
        point.z = drawn(key, 4u * i + 2u);
    }
    points[i] = vec4<f32>(point, 0.0);
    // A length of a buffer, for the reason in shaders/shared/loss.wgsl.
    for (var channel = 0u; channel < min(shape.channels, arrayLength(&targets)); channel++) {
        targets[i * shape.channels + channel] = interpolated(point, channel);
    }
}
