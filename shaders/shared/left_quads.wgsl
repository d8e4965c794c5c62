// The left operand of a product in rows of whole vec4: W, Wᵀ read out of W, or x by sample.

// True: what lies with t outermost is the transpose of what is bound.
override TURNED: bool = false;

@group(0) @binding(1) var<storage, read> left: array<vec4<f32>>;

// left[t + i, p + j] as element j of column i; zero beyond the last step.
fn left_block(t: u32, p: u32) -> mat4x4<f32> {
    let at = select(t, p, TURNED) * product.left_stride + select(p, t, TURNED) / 4u;
    let block = mat4x4<f32>(
        left[at],
        left[at + product.left_stride],
        left[at + 2u * product.left_stride],
        left[at + 3u * product.left_stride],
    );
    if (TURNED) {
        return transpose(block);
    }
    if (t + 4u <= product.steps) {
        return block;
    }
    // W ends here, and another tensor begins.
    let left_over = vec4<u32>(product.steps - t);
    let here = vec4<u32>(0u, 1u, 2u, 3u) < left_over;
    return mat4x4<f32>(
        select(vec4<f32>(), block[0], here.x),
        select(vec4<f32>(), block[1], here.y),
        select(vec4<f32>(), block[2], here.z),
        select(vec4<f32>(), block[3], here.w),
    );
}
