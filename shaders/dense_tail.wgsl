// a_l = f(W_l a_{l−1} + b_l), the loss, dz_{l−1} = f'(z_{l−1}) W_lᵀ dz_l, and of each workgroup's
// samples the partial sums dW_l = a_{l−1} dz_lᵀ and db_l: the last layers of a network.
// Reads the tail's inputs and weights once per workgroup, writes a partial gradient of each.
// Called by a gradient evaluation on a GPU in place of a layer's kernels, where layers are narrow; FORWARD_ONLY by evaluations and inferences.
//: use activation batch narrow_layer row_loss

struct TailLayer {
    inputs: u32,
    outputs: u32,
    // vec4 of W and of the bias in `theta`.
    weight: u32,
    bias: u32,
    // vec4 in `partials`: the values by sample; first the slopes and then dz by sample (of
    // the last layer first its outputs); the partial sums of the first workgroup.
    values: u32,
    dz: u32,
    first: u32,
    chunk_stride: u32,
}

struct TailShape {
    layers: u32,
    // Of the last layer.
    outputs: u32,
    // Rows of a batch in whole vec4, and of those a workgroup does.
    sample_quads: u32,
    group_quads: u32,
    // vec2 of `partials` where the loss of each workgroup goes.
    losses: u32,
    unused0: u32,
    unused1: u32,
    unused2: u32,
    // As many as there may be.
    layer: array<TailLayer, MOST>,
}

// Whether somebody wants the gradient by the tail's inputs, by feature or by sample, and
// whether these came out of an activation.
override BY_FEATURE: bool = false;
override BY_SAMPLE: bool = false;
override SLOPED: bool = false;
override CROSS_ENTROPY: bool = false;
// The outputs alone, by feature; nobody wants a loss.
override FORWARD_ONLY: bool = false;

@group(0) @binding(0) var<uniform> shape: TailShape;
@group(0) @binding(1) var<storage, read> rows: BatchRows;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read> theta: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> inputs: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> slope: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> partials: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> by_feature: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read_write> by_sample: array<vec4<f32>>;

var<workgroup> lanes: array<vec4<f32>, 1024>;
//: if kept
// What is between the layers of the workgroup's own samples: `values` and `dz` of `TailLayer` are
// places in it, but for the last layer's.
var<workgroup> kept: array<vec4<f32>, KEPT>;
//: end

// The first of the rows that `between` holds.
var<private> first_between: u32;

// Values and gradients of all layers but the last.
fn between(at: u32) -> vec4<f32> {
//: if kept
    return kept[at];
//: end
//: if stored
    return partials[at];
//: end
}

fn put_between(at: u32, value: vec4<f32>) {
//: if kept
    kept[at] = value;
//: end
//: if stored
    partials[at] = value;
//: end
}

// The products of a layer.
const FORWARD = 0u;
const INPUT = 1u;
const WEIGHT = 2u;

fn quads(n: u32) -> u32 {
    return (n + 3u) / 4u;
}

// See shaders/shared/loss.wgsl for the length.
fn width() -> u32 {
    return min(shape.outputs, arrayLength(&partials));
}

// The first of the rows whose outputs lie in `lanes`.
var<private> first_row: u32;

fn output(row: u32, j: u32) -> f32 {
    return lanes[(row - first_row) * quads(shape.outputs) + j / 4u][j % 4u];
}

fn store_gradient(row: u32, j: u32, dz: f32) {
    lanes[(row - first_row) * quads(shape.outputs) + j / 4u][j % 4u] = dz;
}

// For shaders/shared/narrow_layer.wgsl.
fn kutta_quad(at: u32) -> vec4<f32> {
    return theta[at];
}

fn kutta_element(e: u32) -> f32 {
    return theta[e / 4u][e % 4u];
}

fn weight_block(layer: TailLayer, row: u32, column: u32) -> mat4x4<f32> {
    return kutta_weight_block(layer.weight, layer.inputs, layer.outputs, row, column);
}

// Four samples of four inputs of layer l, a column a sample.
fn input_block(l: u32, row: u32, quad: u32) -> mat4x4<f32> {
    let stride = quads(shape.layer[l].inputs);
    if (l == 0u) {
        let at = row * stride + quad;
        return mat4x4<f32>(
            inputs[at],
            inputs[at + stride],
            inputs[at + 2u * stride],
            inputs[at + 3u * stride],
        );
    }
    return between_block(shape.layer[l - 1u].values, row, stride, quad);
}

fn between_block(start: u32, row: u32, stride: u32, quad: u32) -> mat4x4<f32> {
    let at = start + (row - first_between) * stride + quad;
    return mat4x4<f32>(
        between(at),
        between(at + stride),
        between(at + 2u * stride),
        between(at + 3u * stride),
    );
}

fn dz_block(l: u32, row: u32, quad: u32) -> mat4x4<f32> {
    let layer = shape.layer[l];
    let stride = quads(layer.outputs);
    if (l + 1u < shape.layers) {
        return between_block(layer.dz, row, stride, quad);
    }
    let at = layer.dz + row * stride + quad;
    return mat4x4<f32>(
        partials[at],
        partials[at + stride],
        partials[at + 2u * stride],
        partials[at + 3u * stride],
    );
}

// One slice of a block of 4×4 and, of WEIGHT, of its bias.
struct Block {
    sum: mat4x4<f32>,
    bias: vec4<f32>,
}

struct Extents {
    across: u32,
    blocks: u32,
    // vec4 of t.
    steps: u32,
    // Of t, over invocations.
    slices: u32,
}

fn extents(kind: u32, layer: TailLayer, samples: u32) -> Extents {
    var across = quads(layer.outputs);
    var along = samples;
    var steps = quads(layer.inputs);
    if (kind == INPUT) {
        across = quads(layer.inputs);
        steps = quads(layer.outputs);
    }
    if (kind == WEIGHT) {
        along = quads(layer.inputs);
        steps = samples;
    }
    let blocks = across * along;
    let fit = 256u / min(blocks, 256u);
    let most = min(fit, steps);
    // The largest power of two.
    let slices = 1u << (31u - countLeadingZeros(most | 1u));
    return Extents(across, blocks, steps, slices);
}

// Block number `index`, t from `slice` on.
fn slice_of(kind: u32, l: u32, first: u32, size: Extents, index: u32, slice: u32) -> Block {
    let layer = shape.layer[l];
    let p = index % size.across;
    let q = index / size.across;
    var block = Block();
    for (var t = slice; t < size.steps; t += size.slices) {
        if (kind == FORWARD) {
            block.sum += weight_block(layer, 4u * t, 4u * p) * input_block(l, first + 4u * q, t);
        } else if (kind == INPUT) {
            let turned = transpose(weight_block(layer, 4u * p, 4u * t));
            block.sum += turned * dz_block(l, first + 4u * q, t);
        } else {
            let dz = dz_block(l, first + 4u * t, p);
            block.sum += dz * transpose(input_block(l, first + 4u * t, q));
            block.bias += (dz[0] + dz[1]) + (dz[2] + dz[3]);
        }
    }
    return block;
}

// Before its activation, of four features of a sample.
fn put_value(layer: TailLayer, last: bool, row: u32, quad: u32, z: vec4<f32>) {
    let stride = quads(layer.outputs);
    if (last) {
        partials[layer.dz + row * stride + quad] = z;
        return;
    }
    let at = (row - first_between) * stride + quad;
    put_between(layer.values + at, activate(z));
    if (!FORWARD_ONLY) {
        put_between(layer.dz + at, slope_at(z));
    }
}

fn multiply_between(at: u32, factor: vec4<f32>) {
    put_between(at, between(at) * factor);
}

fn slopes(at: u32) -> mat4x4<f32> {
    let one = vec4<f32>(1.0);
    if (!SLOPED) {
        return mat4x4<f32>(one, one, one, one);
    }
    let stride = shape.sample_quads;
    return mat4x4<f32>(
        slope[at],
        slope[at + stride],
        slope[at + 2u * stride],
        slope[at + 3u * stride],
    );
}

// Four features of four samples, a column a feature.
fn put_by_feature(to: u32, values: mat4x4<f32>) {
    by_feature[to] = values[0];
    by_feature[to + shape.sample_quads] = values[1];
    by_feature[to + 2u * shape.sample_quads] = values[2];
    by_feature[to + 3u * shape.sample_quads] = values[3];
}

// What becomes of a finished block.
fn finish(kind: u32, l: u32, first: u32, group: u32, size: Extents, index: u32, block: Block) {
    let layer = shape.layer[l];
    let p = index % size.across;
    let q = index / size.across;
    let stride = size.across;
    let row = first + 4u * q;
    if (kind == FORWARD) {
        let bias = theta[layer.bias + p];
        let last = l + 1u == shape.layers;
        if (FORWARD_ONLY && last) {
            let z = transpose(mat4x4<f32>(
                block.sum[0] + bias,
                block.sum[1] + bias,
                block.sum[2] + bias,
                block.sum[3] + bias,
            ));
            put_by_feature(4u * p * shape.sample_quads + first / 4u + q, z);
            return;
        }
        put_value(layer, last, row, p, block.sum[0] + bias);
        put_value(layer, last, row + 1u, p, block.sum[1] + bias);
        put_value(layer, last, row + 2u, p, block.sum[2] + bias);
        put_value(layer, last, row + 3u, p, block.sum[3] + bias);
        return;
    }
    if (kind == WEIGHT) {
        let to = layer.first + group * layer.chunk_stride;
        let at = to + 4u * q * stride + p;
        let left = layer.inputs - 4u * q;
        partials[at] = block.sum[0];
        if (left > 1u) { partials[at + stride] = block.sum[1]; }
        if (left > 2u) { partials[at + 2u * stride] = block.sum[2]; }
        if (left > 3u) { partials[at + 3u * stride] = block.sum[3]; }
        if (q == 0u) {
            partials[to + layer.inputs * stride + p] = block.bias;
        }
        return;
    }
    if (l > 0u) {
        let at = shape.layer[l - 1u].dz + (row - first_between) * stride + p;
        multiply_between(at, block.sum[0]);
        multiply_between(at + stride, block.sum[1]);
        multiply_between(at + 2u * stride, block.sum[2]);
        multiply_between(at + 3u * stride, block.sum[3]);
        return;
    }
    // A column a feature.
    let to = 4u * p * shape.sample_quads + first / 4u + q;
    let turned = transpose(block.sum);
    let f = slopes(to);
    let dz = mat4x4<f32>(
        turned[0] * f[0],
        turned[1] * f[1],
        turned[2] * f[2],
        turned[3] * f[3],
    );
    if (BY_FEATURE) {
        put_by_feature(to, dz);
    }
    if (BY_SAMPLE) {
        let here = row * stride + p;
        let straight = transpose(dz);
        by_sample[here] = straight[0];
        by_sample[here + stride] = straight[1];
        by_sample[here + 2u * stride] = straight[2];
        by_sample[here + 3u * stride] = straight[3];
    }
}

// One product of a layer over the workgroup's samples.
fn multiply(kind: u32, l: u32, first: u32, samples: u32, group: u32, lane: u32) {
    let size = extents(kind, shape.layer[l], samples);
    if (size.slices == 1u) {
        for (var index = lane; index < size.blocks; index += 256u) {
            finish(kind, l, first, group, size, index, slice_of(kind, l, first, size, index, 0u));
        }
        return;
    }
    let slice = lane / size.blocks;
    let index = lane % size.blocks;
    var block = Block();
    if (slice < size.slices) {
        block = slice_of(kind, l, first, size, index, slice);
    }
    // Others may still read what the product before left there.
    workgroupBarrier();
    lanes[lane] = block.sum[0];
    lanes[256u + lane] = block.sum[1];
    lanes[512u + lane] = block.sum[2];
    lanes[768u + lane] = block.sum[3];
    workgroupBarrier();
    if (slice == 0u) {
        for (var s = 1u; s < size.slices; s++) {
            let at = s * size.blocks + index;
            block.sum += mat4x4<f32>(lanes[at], lanes[256u + at], lanes[512u + at], lanes[768u + at]);
        }
    }
    if (kind == WEIGHT) {
        workgroupBarrier();
        lanes[lane] = block.bias;
        workgroupBarrier();
        if (slice == 0u) {
            for (var s = 1u; s < size.slices; s++) {
                block.bias += lanes[s * size.blocks + index];
            }
        }
    }
    if (slice == 0u) {
        finish(kind, l, first, group, size, index, block);
    }
}

fn row_loss_of(row: u32) -> f32 {
    if (row >= rows.present) {
        for (var j = 0u; j < width(); j++) {
            store_gradient(row, j, 0.0);
        }
        return 0.0;
    }
    if (CROSS_ENTROPY) {
        return cross_entropy(row).x;
    }
    return mean_square(row).x;
}

// Outputs become their gradients, as many rows at a time as `lanes` holds. The sum of
// every 256th row's loss.
fn loss_of(first: u32, samples: u32, lane: u32) -> f32 {
    let layer = shape.layer[shape.layers - 1u];
    let wide = quads(layer.outputs);
    let most = min(256u, 1024u / wide);
    var loss = 0.0;
    for (var row = 0u; row < samples; row += most) {
        let here = min(most, samples - row);
        let at = layer.dz + (first + row) * wide;
        workgroupBarrier();
        for (var i = lane; i < here * wide; i += 256u) {
            lanes[i] = partials[at + i];
        }
        workgroupBarrier();
        first_row = first + row;
        if (lane < here) {
            loss += row_loss_of(first_row + lane);
        }
        workgroupBarrier();
        for (var i = lane; i < here * wide; i += 256u) {
            partials[at + i] = lanes[i];
        }
    }
    return loss;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) ids: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = id.y * ids.x + id.x;
    let first_quad = group * shape.group_quads;
    if (first_quad >= shape.sample_quads) {
        return;
    }
    let first = 4u * first_quad;
    let samples = min(shape.group_quads, shape.sample_quads - first_quad);
//: if kept
    first_between = first;
//: end
    let layers = min(shape.layers, MOST);
    for (var l = 0u; l < layers; l++) {
        multiply(FORWARD, l, first, samples, group, lane);
        storageBarrier();
        workgroupBarrier();
    }
    if (FORWARD_ONLY) {
        return;
    }
    var loss = loss_of(first, 4u * samples, lane);
    workgroupBarrier();
    lanes[lane] = vec4<f32>(loss, 0.0, 0.0, 0.0);
    storageBarrier();
    workgroupBarrier();
    if (lane == 0u) {
        for (var i = 1u; i < min(4u * samples, 256u); i++) {
            loss += lanes[i].x;
        }
        let at = shape.losses + group;
        // Two losses to a vec4.
        partials[at / 2u][at % 2u * 2u] = loss;
    }
    for (var back = 0u; back < layers; back++) {
        let l = layers - 1u - back;
        multiply(WEIGHT, l, first, samples, group, lane);
        if (l > 0u || BY_FEATURE || BY_SAMPLE) {
            multiply(INPUT, l, first, samples, group, lane);
        }
        storageBarrier();
        workgroupBarrier();
    }
}
