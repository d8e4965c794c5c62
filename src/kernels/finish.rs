//! Host side of `shaders/finish.wgsl`.

use super::control::Control;
use super::launch::{Launch, Resource, Setting, Work};
use super::moments::{Kinds, Moments};
use super::shape::{Binding, INPUTS, Template, load};
use super::stored;
use crate::device::kernel::{Access, Constants, Formats, flag, wgsl_struct};
use crate::device::library::shader;
use crate::device::template::Table;
use crate::device::traversal::{Chunk, Traversal};
use crate::plan::{self, Diagonal, Name};

wgsl_struct! {
    /// One dispatch's weights and chunk.
    pub(crate) struct Finish {
        pub(crate) weights: [[f32; 4]; 4],
        pub(crate) chunk: Chunk,
    }
}

const TEMPLATE: Template = Template {
    name: "finish",
    text: shader!("finish"),
    uniforms: &[
        ("control", Access::Uniform),
        ("finish", Access::Uniform),
        ("moments", Access::Uniform),
    ],
    structs: &[Control::LAYOUT, Finish::LAYOUT, Moments::LAYOUT, Chunk::LAYOUT],
    stateful_structs: &[],
};

fn judged(finish: &plan::Finish) -> bool {
    finish.target.name != Name::Theta
}

/// The bindings after the uniforms, in order.
pub(super) fn bindings(finish: &plan::Finish, kinds: Kinds) -> Vec<Binding> {
    let mut bindings = vec![Binding::Output("dst", finish.target.slot)];
    bindings.extend(kinds.has_mean().then_some(Binding::Mean));
    bindings.extend((finish.diagonal != Diagonal::None).then_some(Binding::Second));
    bindings.extend(judged(finish).then_some(Binding::Theta));
    let inputs = INPUTS.iter().zip(&finish.gradients);
    bindings.extend(inputs.map(|(name, (_, k))| Binding::Input(name, k.slot)));
    bindings
}

/// What the text is told of an operation.
pub(super) fn table(finish: &plan::Finish) -> Table {
    let terms = INPUTS[..finish.gradients.len()].iter().map(|name| load(name, true));
    let theta = if judged(finish) { "theta[i]" } else { "dst[i]" };
    let lists = vec![("terms".into(), terms.collect()), ("theta".into(), vec![theta.to_owned()])];
    Table { flags: vec![], lists }
}

/// Gives the formats of its vectors.
fn formats(finish: &plan::Finish, kinds: Kinds) -> Formats {
    let mut formats = stored(&INPUTS, finish.gradients.iter().map(|&(_, k)| k));
    formats.extend(kinds.formats());
    formats.extend(kinds.mean_formats());
    formats
}

fn constants(finish: &plan::Finish, kinds: Kinds, walk: &Traversal) -> Constants {
    let mut constants = walk.constants();
    constants.extend(kinds.constants());
    constants.extend([
        ("UPDATE", flag(finish.diagonal == Diagonal::Update)),
        ("MOMENTUM", kinds.momentum()),
        ("MEAN_HALVES", kinds.mean_halves()),
        ("BEFORE", flag(judged(finish))),
    ]);
    constants
}

fn uniform(finish: &plan::Finish, chunk: Chunk) -> Finish {
    let mut weights = [[0.0; 4]; 4];
    for (j, (weight, _)) in finish.gradients.iter().enumerate() {
        weights[j / 4][j % 4] = *weight as f32;
    }
    Finish { weights, chunk }
}

pub(crate) fn launch<'a>(finish: &'a plan::Finish, setting: Setting<'a>) -> Launch<'a> {
    let Setting { kinds, walk, .. } = setting;
    let mut all = vec![
        ("control", Resource::Control),
        ("finish", Resource::Uniform),
        ("moments", Resource::Moments),
    ];
    all.extend(bindings(finish, kinds).into_iter().map(Binding::held));
    Launch {
        kernel: TEMPLATE.kernel(&bindings(finish, kinds), table(finish)),
        formats: formats(finish, kinds),
        constants: constants(finish, kinds, &walk),
        bindings: all,
        work: Work::chunks(|_, chunk| uniform(finish, chunk)),
    }
}
