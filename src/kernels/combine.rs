//! Host side of `shaders/combine.wgsl`.

use super::control::Control;
use super::launch::{Launch, Resource, Setting, Work};
use super::moments::{Kinds, Moments};
use super::shape::{Binding, INPUTS, OUTPUTS, Template, load};
use super::stored;
use crate::device::kernel::{Access, Constants, Formats, flag, wgsl_struct};
use crate::device::library::shader;
use crate::device::template::Table;
use crate::device::traversal::{Chunk, Traversal};
use crate::plan::{Diagonal, Linear, Name, Operand, Scale};

wgsl_struct! {
    /// One dispatch's weights and chunk.
    pub(crate) struct Combine {
        pub(crate) weights: [[[f32; 4]; 4]; 16],
        pub(crate) points: [f32; 4],
        pub(crate) stage: u32,
        pub(crate) unused_0: u32,
        pub(crate) unused_1: u32,
        pub(crate) unused_2: u32,
        pub(crate) chunk: Chunk,
    }
}

const TEMPLATE: Template = Template {
    name: "combine",
    text: shader!("combine"),
    uniforms: &[("control", Access::Uniform), ("combine", Access::Uniform)],
    structs: &[Control::LAYOUT, Combine::LAYOUT, Chunk::LAYOUT],
    stateful_structs: &[Moments::LAYOUT],
};

/// The weights of the gradients in each output.
fn rows(linear: &Linear) -> impl Iterator<Item = Vec<f64>> + '_ {
    let own = linear.gradients.iter().map(|&(w, _)| w).collect();
    std::iter::once(own).chain(linear.also.iter().map(|also| also.weights.clone()))
}

/// The output whose place an input gives up.
fn over(linear: &Linear, input: Operand) -> Option<usize> {
    let also = linear.also.iter().map(|also| also.target.slot);
    std::iter::once(linear.target.slot).chain(also).position(|slot| slot == input.slot)
}

/// Inputs with a binding of their own, by number.
fn own_inputs(linear: &Linear) -> impl Iterator<Item = (usize, Operand)> + '_ {
    linear.inputs().enumerate().filter(|&(_, input)| over(linear, input).is_none())
}

/// The bindings after the uniforms, in order.
pub(super) fn bindings(linear: &Linear) -> Vec<Binding> {
    let state = linear.diagonal != Diagonal::None;
    let targets = std::iter::once(linear.target).chain(linear.also.iter().map(|also| also.target));
    let outputs = OUTPUTS.iter().zip(targets).map(|(name, to)| Binding::Output(name, to.slot));
    let mut bindings = Vec::new();
    bindings.extend(state.then_some(Binding::Moments));
    bindings.extend(outputs);
    bindings.extend(linear.leaves_partials().then_some(Binding::Partials));
    bindings.extend(state.then_some(Binding::Second));
    bindings.extend(own_inputs(linear).map(|(n, input)| Binding::Input(INPUTS[n], input.slot)));
    bindings
}

/// What the text is told of an operation.
pub(super) fn table(linear: &Linear) -> Table {
    let inputs: Vec<Operand> = linear.inputs().collect();
    let loads = inputs.iter().enumerate().map(|(n, &input)| match over(linear, input) {
        Some(output) => load(OUTPUTS[output], false),
        None => load(INPUTS[n], true),
    });
    let bases = linear.bases();
    let variable = |n: usize| format!("x{n}");
    let first_point = bases.len();
    let first_term = first_point + linear.points.len();
    let first = inputs.iter().position(|input| input.name == Name::Gradient(1));
    let outputs = 1 + linear.also.len();
    let base = |base: Option<Operand>| base.and_then(|b| bases.iter().position(|&o| o == b));
    let all = std::iter::once(linear.base).chain(linear.also.iter().map(|also| also.base));
    let based: Vec<Option<usize>> = all.map(base).collect();
    let base_of = |b: &Option<usize>| b.map_or("vec4<f32>()".to_owned(), variable);
    let lists = [
        ("inputs", loads.collect()),
        ("points", (first_point..first_term).map(variable).collect()),
        ("outputs", OUTPUTS[..outputs].iter().map(|&name| name.to_owned()).collect()),
        ("bases", based.iter().map(base_of).collect()),
        ("based", based.iter().map(|b| b.is_some().to_string()).collect()),
        ("first", first.map(variable).into_iter().collect()),
    ];
    let mut lists: Vec<(String, Vec<String>)> =
        lists.map(|(name, list)| (name.to_owned(), list)).into();
    for (o, row) in rows(linear).enumerate() {
        // What has no weight in an output is no term of it.
        let terms = || row.iter().enumerate().filter(|(_, weight)| **weight != 0.0);
        let name = |(j, _)| variable(first_term + j);
        lists.push((format!("terms{o}"), terms().map(name).collect()));
        lists.push((format!("place{o}"), terms().map(|(j, _)| j.to_string()).collect()));
    }
    Table { flags: vec![], lists }
}

/// Gives the formats of its vectors.
fn formats(linear: &Linear, kinds: Kinds) -> Formats {
    let own = own_inputs(linear);
    let mut formats: Formats = own.flat_map(|(n, input)| stored(&INPUTS[n..=n], [input])).collect();
    if linear.diagonal != Diagonal::None {
        formats.extend(kinds.formats());
    }
    formats
}

/// Specialises the kernel for one operation.
fn constants(linear: &Linear, kinds: Kinds, walk: &Traversal) -> Constants {
    let checked =
        |input: Operand| matches!(input.name, Name::Gradient(k) if linear.checks.contains(&k));
    let inputs: Vec<Operand> = linear.inputs().collect();
    let first = inputs.iter().position(|input| input.name == Name::Gradient(1));
    let update = linear.diagonal == Diagonal::Update;
    // An update looks at k₁², which is not finite where k₁ is not.
    let squared = |n: usize| update && first == Some(n);
    let check = inputs.iter().enumerate().filter(|&(n, &input)| checked(input) && !squared(n));
    let check: u32 = check.map(|(n, _)| 1 << n).sum();
    let norm = first.filter(|_| linear.norm).map_or(0, |n| n + 1);
    let mut constants =
        if linear.leaves_partials() { walk.sum_constants() } else { walk.constants() };
    constants.extend([
        ("TIMES_H", flag(linear.scale != Scale::One)),
        ("PROBE", flag(matches!(linear.scale, Scale::Probe | Scale::Direction))),
        ("AFTER", flag(linear.after())),
        ("CHECK", f64::from(check)),
        ("NORM", norm as f64),
        ("UPDATE", flag(update)),
    ]);
    if linear.diagonal != Diagonal::None {
        constants.extend(kinds.constants());
    }
    constants
}

/// The weights, by outputs and gradients.
fn uniform(linear: &Linear, chunk: Chunk) -> Combine {
    let mut uniform = Combine { stage: linear.first_checked(), chunk, ..Combine::default() };
    for (o, row) in rows(linear).enumerate() {
        for (j, weight) in row.into_iter().enumerate() {
            uniform.weights[o][j / 4][j % 4] = weight as f32;
        }
    }
    for (p, &(weight, _)) in linear.points.iter().enumerate() {
        uniform.points[p] = weight as f32;
    }
    uniform
}

pub(crate) fn launch<'a>(linear: &'a Linear, setting: Setting<'a>) -> Launch<'a> {
    let Setting { kinds, walk, .. } = setting;
    let mut all = vec![("control", Resource::Control), ("combine", Resource::Uniform)];
    all.extend(bindings(linear).into_iter().map(Binding::held));
    Launch {
        kernel: TEMPLATE.kernel(&bindings(linear), table(linear)),
        formats: formats(linear, kinds),
        constants: constants(linear, kinds, &walk),
        bindings: all,
        work: Work::chunks(|_, chunk| uniform(linear, chunk)),
    }
}
