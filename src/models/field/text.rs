//! A field as WGSL text, for a host's own shaders.

use std::fmt::Write;

use super::NeuralField;
use super::encode::{Encoder, Grid};
use crate::device::template::expand;
use crate::layout::Tensor;
use crate::models::dense::{Activation, quads};

/// θ as the kernels' own texts want it.
const THETA: &str = "
fn kutta_quad(at: u32) -> vec4<f32> {
    return kutta_theta[at];
}

fn kutta_element(e: u32) -> f32 {
    return kutta_theta[e / 4u][e % 4u];
}
";

/// Names of the shared texts that are as likely to be the host's.
const CONSTANTS: [&str; 10] = [
    "ACTIVATION",
    "OMEGA",
    "IDENTITY",
    "RELU",
    "TANH",
    "GELU",
    "SINE",
    "GELU_SCALE",
    "GELU_CUBIC",
    "DIMENSIONS",
];
const FUNCTIONS: [&str; 4] = ["activate", "slope_at", "safe_tanh", "gelu_inner"];

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
            "@group({group}) @binding({binding}) var<storage, read> kutta_theta: array<vec4<f32>>;\n"
        );
        text += THETA;
        let dimensions = self.surroundings.extent.len();
        let mut uses = vec!["//: use activation narrow_layer"];
        let mut body = String::new();
        match &self.encoder {
            Encoder::Waves { coordinates: false, .. } => uses.push("//: use wave"),
            Encoder::Waves { .. } => {}
            Encoder::Grid(_) => uses.push("//: use grid"),
        }
        text += &shared(&uses, self.network.activation, dimensions);
        match &self.encoder {
            Encoder::Waves { coordinates, frequencies, .. } => {
                encode_waves(&mut body, *coordinates, dimensions, frequencies);
            }
            Encoder::Grid(grid) => encode_grid(&mut text, &mut body, grid),
        }
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
            sums[f] += weight * kutta_element(at + f);
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

/// The texts that the kernels are made of too, with numbers in place of their overrides and
/// names that begin with kutta's.
fn shared(uses: &[&str], activation: Activation, dimensions: usize) -> String {
    let (code, omega) = (Activation::code(Some(activation)), Activation::omega(Some(activation)));
    let text = expand(uses)
        .replace("override ACTIVATION: u32 = 0u;", &format!("const ACTIVATION = {code}u;"))
        .replace("override OMEGA: f32 = 1.0;", &format!("const OMEGA = {};", number(omega)));
    let text = format!("{text}const DIMENSIONS = {dimensions}u;\n");
    let of_kutta = |word: &str| match word {
        _ if CONSTANTS.contains(&word) => format!("KUTTA_{word}"),
        _ if FUNCTIONS.contains(&word) => format!("kutta_{word}"),
        _ => word.to_owned(),
    };
    let within = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut made = String::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let word = rest.find(|c| !within(c)).unwrap_or(rest.len());
        made += &of_kutta(&rest[..word]);
        let between = rest[word..].find(within).unwrap_or(rest.len() - word);
        made += &rest[word..word + between];
        rest = &rest[word + between..];
    }
    made
}

/// a{index + 1} = f(W a{index} + b).
fn layer(body: &mut String, index: usize, weight: &Tensor, bias: &Tensor, last: bool) {
    let (inputs, outputs) = (weight.shape()[0], weight.shape()[1]);
    // Tensors begin at whole vec4.
    let (w, b, next) = (weight.range().start / 4, bias.range().start / 4, index + 1);
    let (steps, quads) = (quads(inputs), quads(outputs));
    let value = if last { "z" } else { "kutta_activate(z)" };
    let _ = writeln!(
        body,
        "    var a{next}: array<vec4<f32>, {quads}>;
    for (var p = 0u; p < {quads}u; p++) {{
        var z = kutta_quad({b}u + p);
        for (var t = 0u; t < {steps}u; t++) {{
            z += kutta_weight_block({w}u, {inputs}u, {outputs}u, 4u * t, 4u * p) * a{index}[t];
        }}
        a{next}[p] = {value};
    }}"
    );
}
