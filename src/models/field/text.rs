//! A field as WGSL text, for a host's own shaders.

use std::fmt::Write;

use super::NeuralField;
use super::encode::{Encoder, Grid};
use crate::codes::gelu::{GELU_CUBIC, GELU_SCALE};
use crate::device::template::expand;
use crate::layout::Tensor;
use crate::models::dense::{Activation, quads};

/// The layers' part of the text that never changes. Activations are applied to vec4.
const THETA: &str = "
fn kutta_theta4(at: u32) -> vec4<f32> {
    return vec4<f32>(kutta_theta[at], kutta_theta[at + 1u], kutta_theta[at + 2u], kutta_theta[at + 3u]);
}
";

impl NeuralField {
    /// A piece of a WGSL module with
    ///
    /// ```wgsl
    /// fn kutta_field(point: vec2<f32>) -> vec3<f32>
    /// ```
    ///
    /// (`vec3<f32>` of a volume's point; `f32`, `vec2` to `vec4` by the channels), which
    /// computes the field at a point of \[0, 1\]ᵈ from θ, bound at
    /// `@group(group) @binding(binding)` as `var<storage, read>`: from the host's fragment
    /// or compute shader, with [`Params::buffer`](crate::Params::buffer) there. Every
    /// other name that it declares begins with `kutta_`, `KUTTA_` or `Grid`. It keeps two
    /// layers in registers, so it is for narrow ones: up to some 64.
    pub fn wgsl(&self, group: u32, binding: u32) -> String {
        let mut text = format!(
            "@group({group}) @binding({binding}) var<storage, read> kutta_theta: array<f32>;\n"
        );
        text += THETA;
        let dimensions = self.surroundings.extent.len();
        let waves = matches!(self.encoder, Encoder::Waves { coordinates: false, .. });
        let sines = matches!(self.network.activation, Activation::Sine { .. });
        if waves {
            text += &expand(&["//: use wave"]);
        } else if sines {
            text += &expand(&["//: use sine"]);
        }
        let mut body = String::new();
        match &self.encoder {
            Encoder::Waves { coordinates, frequencies, .. } => {
                encode_waves(&mut body, *coordinates, dimensions, frequencies);
            }
            Encoder::Grid(grid) => {
                text += &expand(&["//: use grid"]).replace("DIMENSIONS", "KUTTA_DIMENSIONS");
                let _ = writeln!(text, "const KUTTA_DIMENSIONS = {dimensions}u;");
                encode_grid(&mut text, &mut body, grid);
            }
        }
        activation(&mut text, self.network.activation);
        // Tensors come in pairs: weight, bias.
        let tensors = &self.network.layout.tensors()[self.network.first..];
        let layers = tensors.len() / 2;
        for (index, pair) in tensors.chunks_exact(2).enumerate() {
            layer(&mut body, index, &pair[0], &pair[1], index + 1 == layers);
        }
        let (axes, returns, result) = (
            if dimensions == 2 { "point, 0.0" } else { "point" },
            ["f32", "vec2<f32>", "vec3<f32>", "vec4<f32>"][self.surroundings.channels - 1],
            ["x", "xy", "xyz", "xyzw"][self.surroundings.channels - 1],
        );
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\nfn kutta_field(point: vec{dimensions}<f32>) -> {returns} {{
    let place = vec3<f32>({axes});
{body}    return a{layers}[0].{result};
}}
"
        );
        text
    }
}

fn number(x: f32) -> String {
    format!("{x:?}f")
}

/// Features into a0, four to a vec4.
fn encode_waves(body: &mut String, coordinates: bool, dimensions: usize, frequencies: &[[f32; 4]]) {
    if coordinates {
        let last = if dimensions == 2 { "0.0" } else { "2.0 * place.z - 1.0" };
        let _ = writeln!(
            body,
            "    var a0: array<vec4<f32>, 1>;
    a0[0] = vec4<f32>(2.0 * place.xy - 1.0, {last}, 0.0);"
        );
        return;
    }
    let waves = frequencies.len();
    let rows: Vec<String> = frequencies
        .iter()
        .map(|row| {
            let [x, y, z] = [row[0], row[1], row[2]].map(number);
            format!("vec3<f32>({x}, {y}, {z})")
        })
        .collect();
    let _ = writeln!(
        body,
        "    var a0: array<vec4<f32>, {quads}>;
    var frequencies = array<vec3<f32>, {waves}>({rows});
    for (var i = 0u; i < {waves}u; i++) {{
        let wave = kutta_wave(frequencies[i], place);
        a0[i / 4u][i % 4u] = wave.x;
        a0[(i + {waves}u) / 4u][(i + {waves}u) % 4u] = wave.y;
    }}",
        quads = quads(2 * waves),
        rows = rows.join(", "),
    );
}

fn encode_grid(text: &mut String, body: &mut String, grid: &Grid) {
    let features = grid.features;
    // One function for all levels: it adds a level's features up in a private array.
    let _ = writeln!(
        text,
        "
fn kutta_features(level: GridLevel, point: vec3<f32>) -> array<f32, {features}> {{
    let place = kutta_place(level, point);
    var sums: array<f32, {features}>;
    for (var corner = 0u; corner < (1u << KUTTA_DIMENSIONS); corner++) {{
        let weight = kutta_weight(place, corner);
        let at = level.first + kutta_entry(level, place, corner) * {features}u;
        for (var f = 0u; f < {features}u; f++) {{
            sums[f] += weight * kutta_theta[at + f];
        }}
    }}
    return sums;
}}"
    );
    let count = grid.levels.len() * features as usize;
    let _ = writeln!(body, "    var a0: array<vec4<f32>, {}>;", quads(count));
    for (l, level) in grid.levels.iter().enumerate() {
        let _ = writeln!(
            body,
            "    let level{l} = kutta_features(GridLevel({}u, {}u, {}u, {}u), place);",
            level.resolution, level.first, level.entries, level.dense
        );
        for f in 0..features as usize {
            let feature = l * features as usize + f;
            let _ = writeln!(body, "    a0[{}][{}] = level{l}[{f}];", feature / 4, feature % 4);
        }
    }
}

fn activation(text: &mut String, activation: Activation) {
    let value = match activation {
        Activation::Relu => "max(z, vec4<f32>(0.0))".into(),
        Activation::Tanh => "tanh(clamp(z, vec4<f32>(-15.0), vec4<f32>(15.0)))".into(),
        Activation::Gelu => {
            format!(
                "0.5 * z * (1.0 + tanh(clamp({GELU_SCALE} * (z + {GELU_CUBIC} * z * z * z), \
                 vec4<f32>(-15.0), vec4<f32>(15.0))))"
            )
        }
        Activation::Sine { omega } => format!("kutta_sin({} * z)", number(omega)),
    };
    let _ = writeln!(
        text,
        "\nfn kutta_activate(z: vec4<f32>) -> vec4<f32> {{\n    return {value};\n}}"
    );
}

/// a{index + 1} = f(W a{index} + b).
fn layer(body: &mut String, index: usize, weight: &Tensor, bias: &Tensor, last: bool) {
    let (inputs, outputs) = (weight.shape()[0], weight.shape()[1]);
    let (w, b, next) = (weight.range().start, bias.range().start, index + 1);
    let whole = outputs / 4;
    let _ = writeln!(body, "    var a{next}: array<vec4<f32>, {}>;", quads(outputs));
    if whole > 0 {
        let _ = writeln!(
            body,
            "    for (var q = 0u; q < {whole}u; q++) {{
        var z = kutta_theta4({b}u + 4u * q);
        for (var k = 0u; k < {inputs}u; k++) {{
            z += a{index}[k / 4u][k % 4u] * kutta_theta4({w}u + k * {outputs}u + 4u * q);
        }}
        a{next}[q] = {value};
    }}",
            value = if last { "z" } else { "kutta_activate(z)" },
        );
    }
    let rest = outputs % 4;
    if rest > 0 {
        let from = 4 * whole;
        let _ = writeln!(
            body,
            "    for (var j = 0u; j < {rest}u; j++) {{
        var z = kutta_theta[{b}u + {from}u + j];
        for (var k = 0u; k < {inputs}u; k++) {{
            z += a{index}[k / 4u][k % 4u] * kutta_theta[{w}u + k * {outputs}u + {from}u + j];
        }}
        a{next}[{whole}][j] = z;
    }}"
        );
        if !last {
            let _ = writeln!(body, "    a{next}[{whole}] = kutta_activate(a{next}[{whole}]);");
        }
    }
}
