// dz[p, q] = f'(z[p, q]) · Σ_t W[p, t] dz_next[t, q]; p: feature of the layer's input, q: sample.
// Moves Wᵀ and dz_next once per tile, reads f'(z) once, writes dz twice (by feature, by sample).
// Called by the backward pass of a layer, with any form of product.
//: use product
//: if parts
// Column sums do not ride with it.
fn finish_sums(sums: vec4<f32>, column: u32) {}
//: end


// False: the layer's input came out of no activation, and what is bound is not read.
override SLOPED: bool = true;

@group(0) @binding(3) var<storage, read> slope: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> by_feature: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> by_sample: array<vec4<f32>>;
//: if matrix
@group(0) @binding(6) var<storage, read> largest: array<u32>;
//: end

fn sloped(dz: vec4<f32>, at: u32) -> vec4<f32> {
    if (SLOPED) {
        return dz * slope[at];
    }
    return dz;
}

fn finish(block: mat4x4<f32>, row: u32, column: u32) {
    if (row >= product.rows || column >= product.columns) {
        return;
    }
    let at = row * product.row_stride + column / 4u;
    let dz = mat4x4<f32>(
        sloped(block[0], at),
        sloped(block[1], at + product.row_stride),
        sloped(block[2], at + 2u * product.row_stride),
        sloped(block[3], at + 3u * product.row_stride),
    );
    by_feature[at] = dz[0];
    by_feature[at + product.row_stride] = dz[1];
    by_feature[at + 2u * product.row_stride] = dz[2];
    by_feature[at + 3u * product.row_stride] = dz[3];
    let b = transpose(dz);
    let to = column * product.column_stride + row / 4u;
    by_sample[to] = b[0];
    by_sample[to + product.column_stride] = b[1];
    by_sample[to + 2u * product.column_stride] = b[2];
    by_sample[to + 3u * product.column_stride] = b[3];
}
