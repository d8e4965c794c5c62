// A narrow layer's W where its rows lie as they come, of any length: in blocks of 4×4, so that
// Σ_t W[t, p] a[t] is a sum of products of matrices, with zeros for what is not in W. Wants of
// who uses it `kutta_quad(at)`, vec4 number `at` of the parameters, and `kutta_element(e)`,
// element e of them.

// W[row, column .. column + 3]; W begins at vec4 number `weight`.
fn kutta_weight_quad(
    weight: u32,
    inputs: u32,
    outputs: u32,
    row: u32,
    column: u32,
) -> vec4<f32> {
    if (row >= inputs) {
        return vec4<f32>();
    }
    if (outputs % 4u == 0u) {
        return kutta_quad(weight + (row * outputs + column) / 4u);
    }
    var quad = vec4<f32>();
    let left = min(outputs - column, 4u);
    let e = 4u * weight + row * outputs + column;
    quad.x = kutta_element(e);
    if (left > 1u) { quad.y = kutta_element(e + 1u); }
    if (left > 2u) { quad.z = kutta_element(e + 2u); }
    if (left > 3u) { quad.w = kutta_element(e + 3u); }
    return quad;
}

// W[row .. row + 3, column .. column + 3], a column of the matrix a row of W.
fn kutta_weight_block(
    weight: u32,
    inputs: u32,
    outputs: u32,
    row: u32,
    column: u32,
) -> mat4x4<f32> {
    return mat4x4<f32>(
        kutta_weight_quad(weight, inputs, outputs, row, column),
        kutta_weight_quad(weight, inputs, outputs, row + 1u, column),
        kutta_weight_quad(weight, inputs, outputs, row + 2u, column),
        kutta_weight_quad(weight, inputs, outputs, row + 3u, column),
    );
}
