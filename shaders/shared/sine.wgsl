// sin and cos to f32's own precision, which WGSL does not promise (2⁻¹¹ in [−π, π], and
// nothing beyond): x = nπ + r with |r| ≤ π/2, sin x = (−1)ⁿ sin r, and the same half a
// period on for cos. π is taken off in three parts; n times the first two is exact for
// |n| below 2¹³.
const KUTTA_PI_HIGH = 3.140625;
const KUTTA_PI_MIDDLE = 0.0009670257568359375;
const KUTTA_PI_LOW = 6.2783296e-7;
const KUTTA_INVERSE_PI = 0.31830988618379067;

// (−1)ⁿ sin(x − mπ), by a minimax polynomial that is off by 5e-9.
fn kutta_reduced_sin(x: vec4<f32>, m: vec4<f32>, n: vec4<f32>) -> vec4<f32> {
    let r = ((x - m * KUTTA_PI_HIGH) - m * KUTTA_PI_MIDDLE) - m * KUTTA_PI_LOW;
    let s = r * r;
    let p = -0.16666657097 + s * (0.0083330172916 + s * (-0.00019806615201 + s * 2.6000547678e-6));
    let odd = n - 2.0 * floor(0.5 * n);
    return (r + r * s * p) * (1.0 - 2.0 * odd);
}

fn kutta_sin(x: vec4<f32>) -> vec4<f32> {
    let n = floor(x * KUTTA_INVERSE_PI + 0.5);
    return kutta_reduced_sin(x, n, n);
}

fn kutta_cos(x: vec4<f32>) -> vec4<f32> {
    let n = floor(x * KUTTA_INVERSE_PI + 1.0);
    return kutta_reduced_sin(x, n - 0.5, n);
}
