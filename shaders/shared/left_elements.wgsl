// The left operand of a product where W's rows are no whole vec4: element by element.

// True: what lies with t outermost is the transpose of what is bound.
override TURNED: bool = false;

@group(0) @binding(1) var<storage, read> left: array<f32>;

fn left_element(t: u32, p: u32) -> f32 {
    if (t >= product.steps || p >= product.rows) {
        return 0.0;
    }
    return left[select(t, p, TURNED) * product.left_stride + select(p, t, TURNED)];
}

fn left_quad(t: u32, p: u32) -> vec4<f32> {
    return vec4<f32>(
        left_element(t, p),
        left_element(t, p + 1u),
        left_element(t, p + 2u),
        left_element(t, p + 3u),
    );
}

// left[t + i, p + j] as element j of column i; zero beyond the last step.
fn left_block(t: u32, p: u32) -> mat4x4<f32> {
    return mat4x4<f32>(
        left_quad(t, p),
        left_quad(t + 1u, p),
        left_quad(t + 2u, p),
        left_quad(t + 3u, p),
    );
}
