// Activations and their slopes at the pre-activation z.
// Rust twin: src/models/dense/options.rs.
//: use sine activations
override ACTIVATION: u32 = 0u;
// ω of the sine.
override OMEGA: f32 = 1.0;

// GELU by tanh: Hendrycks, Gimpel 2016. The first is sqrt(2 / π).
const GELU_SCALE = 0.7978845608028654;
const GELU_CUBIC = 0.044715;

// Some drivers compute tanh from exponentials that overflow; beyond ±15 it is
// ±1 in f32 anyway.
fn safe_tanh(x: vec4<f32>) -> vec4<f32> {
    return tanh(clamp(x, vec4<f32>(-15.0), vec4<f32>(15.0)));
}

fn gelu_inner(z: vec4<f32>) -> vec4<f32> {
    return safe_tanh(GELU_SCALE * (z + GELU_CUBIC * z * z * z));
}

// ReLU as a selection, not a maximum: a NaN stays a NaN and is seen.
fn activate(z: vec4<f32>) -> vec4<f32> {
    switch ACTIVATION {
        case RELU: { return select(z, vec4<f32>(0.0), z < vec4<f32>(0.0)); }
        case TANH: { return safe_tanh(z); }
        case GELU: { return 0.5 * z * (1.0 + gelu_inner(z)); }
        case SINE: { return kutta_sin(OMEGA * z); }
        default: { return z; }
    }
}

fn slope_at(z: vec4<f32>) -> vec4<f32> {
    switch ACTIVATION {
        case RELU: { return select(vec4<f32>(1.0), vec4<f32>(0.0), z <= vec4<f32>(0.0)); }
        case TANH: {
            let y = safe_tanh(z);
            return 1.0 - y * y;
        }
        case GELU: {
            let y = gelu_inner(z);
            let inner = GELU_SCALE * (1.0 + 3.0 * GELU_CUBIC * z * z);
            return 0.5 * (1.0 + y) + 0.5 * z * (1.0 - y * y) * inner;
        }
        case SINE: { return OMEGA * kutta_cos(OMEGA * z); }
        default: { return vec4<f32>(1.0); }
    }
}
