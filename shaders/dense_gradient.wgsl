// dW = Σ_chunks dW partials, db likewise, of several layers; loss = Σ_i loss[i] / rows, samples = rows.
// Reads each partial sum once and a word per row of the batch, writes the gradient once.
// Called at the end of a gradient evaluation on a GPU, after all partial sums.
//: use traversal batch check_gradient

struct LayerSums {
    // Of W.
    rows: u32,
    columns: u32,
    // vec4 of the first partial sum, and from one chunk to the next.
    first: u32,
    chunk_stride: u32,
    chunks: u32,
    // Invocations that share one vec4, a power of two up to 256.
    parts: u32,
    // vec4 of the gradient's binding where W and where the bias begin.
    weight: u32,
    bias: u32,
    // First workgroup.
    group: u32,
    unused0: u32,
    unused1: u32,
    unused2: u32,
}

struct GradientSums {
    layers: u32,
    // Values of row_loss to add up, by workgroup 0; 0: none.
    losses: u32,
    // vec4s of the whole gradient before this binding, and the first slot of a check.
    place: u32,
    slot: u32,
    layer: array<LayerSums, MOST>,
}

@group(0) @binding(0) var<uniform> shape: GradientSums;
@group(0) @binding(1) var<storage, read> rows: BatchRows;
@group(0) @binding(2) var<storage, read> row_loss: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> gradient: array<Gradient>;
@group(0) @binding(5) var<storage, read_write> loss: array<f32>;
@group(0) @binding(6) var<storage, read_write> samples: array<f32>;
@group(0) @binding(7) var<storage, read_write> checks: Checks;

var<workgroup> lanes: array<vec4<f32>, 256>;

// Chunks part, part + parts, … of one vec4.
fn chunks_of(layer: LayerSums, at: u32, part: u32) -> vec4<f32> {
    var sum = vec4<f32>();
    var at_chunk = layer.first + part * layer.chunk_stride + at;
    let stride = layer.parts * layer.chunk_stride;
    var c = part;
    // Four loads under way at a time.
    for (; c + 3u * layer.parts < layer.chunks; c += 4u * layer.parts) {
        let a = partials[at_chunk];
        let b = partials[at_chunk + stride];
        let d = partials[at_chunk + 2u * stride];
        let e = partials[at_chunk + 3u * stride];
        sum += (a + b) + (d + e);
        at_chunk += 4u * stride;
    }
    for (; c < layer.chunks; c += layer.parts) {
        sum += partials[at_chunk];
        at_chunk += stride;
    }
    return sum;
}

// Where element e of W lies among the partial sums of a chunk; past its end anywhere.
fn place_of(layer: LayerSums, e: u32) -> u32 {
    let column = e % layer.columns;
    return 4u * (e / layer.columns * ((layer.columns + 3u) / 4u)) + column;
}

// As `chunks_of`, of four neighbours of a W whose rows are no whole vec4.
fn elements_of(layer: LayerSums, e: u32, part: u32) -> vec4<f32> {
    let places = vec4<u32>(
        place_of(layer, e),
        place_of(layer, e + 1u),
        place_of(layer, e + 2u),
        place_of(layer, e + 3u),
    );
    let quads = places / 4u;
    let within = places % 4u;
    var sum = vec4<f32>();
    var at_chunk = layer.first + part * layer.chunk_stride;
    for (var c = part; c < layer.chunks; c += layer.parts) {
        sum += vec4<f32>(
            partials[at_chunk + quads.x][within.x],
            partials[at_chunk + quads.y][within.y],
            partials[at_chunk + quads.z][within.z],
            partials[at_chunk + quads.w][within.w],
        );
        at_chunk += layer.parts * layer.chunk_stride;
    }
    return parameters_only(sum, e / 4u, layer.rows * layer.columns);
}

fn mean_loss(lane: u32) {
    var sum = 0.0;
    var i = lane;
    for (; i + 768u < shape.losses; i += 1024u) {
        sum += (row_loss[i].x + row_loss[i + 256u].x) + (row_loss[i + 512u].x + row_loss[i + 768u].x);
    }
    for (; i < shape.losses; i += 256u) {
        sum += row_loss[i].x;
    }
    lanes[lane] = vec4<f32>(sum, 0.0, 0.0, 0.0);
    workgroupBarrier();
    if (lane < 16u) {
        sum = 0.0;
        for (var j = 0u; j < 16u; j++) {
            sum += lanes[16u * lane + j].x;
        }
        lanes[16u * lane] = vec4<f32>(sum, 0.0, 0.0, 0.0);
    }
    workgroupBarrier();
    if (lane == 0u && shape.losses > 0u) {
        sum = 0.0;
        for (var j = 0u; j < 16u; j++) {
            sum += lanes[16u * j].x;
        }
        loss[0] = sum / f32(rows.present);
        samples[0] = f32(rows.present);
    }
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group.y * groups.x + group.x;
    if (index == 0u) {
        mean_loss(lane);
        return;
    }
    var number = 0u;
    for (var l = 1u; l < min(shape.layers, MOST); l++) {
        number = select(number, l, index >= shape.layer[l].group);
    }
    let layer = shape.layer[number];
    let wide = (layer.columns + 3u) / 4u;
    // vec4s of W and of its bias in the gradient.
    let weights = (layer.rows * layer.columns + 3u) / 4u;
    let along = 256u / layer.parts;
    let part = lane / along;
    let i = (index - layer.group) * along + lane % along;
    let beyond = i >= weights + wide;
    var sum = vec4<f32>();
    if (!beyond) {
        if (i >= weights) {
            sum = chunks_of(layer, layer.rows * wide + i - weights, part);
        } else if (layer.columns % 4u == 0u) {
            sum = chunks_of(layer, i, part);
        } else {
            sum = elements_of(layer, 4u * i, part);
        }
    }
    if (layer.parts > 1u) {
        lanes[lane] = sum;
        workgroupBarrier();
        for (var p = 1u; p < layer.parts && part == 0u; p++) {
            sum += lanes[p * along + lane];
        }
    }
    var seen: Seen;
    if (!beyond && part == 0u) {
        var at = layer.weight + i;
        if (i >= weights) {
            // What comes after the last feature is padding, and stays zero.
            let q = i - weights;
            at = layer.bias + q;
            sum = parameters_only(sum, q, layer.columns);
        }
        let stored = narrow_gradient(sum);
        gradient[at] = stored;
        look(&seen, wide_gradient(stored), shape.place + at);
    }
    leave(&seen, shape.slot + index - 1u, lane);
}
