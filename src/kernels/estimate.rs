//! Host side of `shaders/estimate.wgsl`.

use super::control::Control;
use super::launch::{Launch, Resource, Setting, Work};
use super::moments::{Kinds, Moments};
use super::shape::{Binding, INPUTS, Template, load};
use super::stored;
use crate::codes::wgsl;
use crate::device::kernel::{Access, Constants, Formats, Kernel, flag, wgsl_struct};
use crate::device::library::shader;
use crate::device::template::Table;
use crate::device::traversal::{Chunk, Traversal};
use crate::ingredients::Adaptive;
use crate::plan::{self, Diagonal, Makes};

wgsl_struct! {
    /// One dispatch's weights, tolerances and chunk.
    pub(crate) struct Estimate {
        pub(crate) errors: [[f32; 4]; 4],
        pub(crate) steps: [[f32; 4]; 4],
        pub(crate) stage: u32,
        pub(crate) rtol: f32,
        pub(crate) atol: f32,
        pub(crate) drift: f32,
        pub(crate) bank: u32,
        pub(crate) unused_0: u32,
        pub(crate) unused_1: u32,
        pub(crate) unused_2: u32,
        pub(crate) chunk: Chunk,
    }
}

const MAKES: &str = wgsl!(
    NOTHING = Makes::Nothing as u32,
    STEP = Makes::Step as u32,
    FINISH = Makes::Finish as u32,
);

const TEMPLATE: Template = Template {
    name: "estimate",
    text: shader!("estimate", numbers: MAKES),
    uniforms: &[
        ("control", Access::Uniform),
        ("estimate", Access::Uniform),
        ("moments", Access::Uniform),
    ],
    structs: &[Control::LAYOUT, Estimate::LAYOUT, Moments::LAYOUT, Chunk::LAYOUT],
    stateful_structs: &[],
};

/// The bindings after the uniforms, in order.
fn bindings(estimate: &plan::Estimate, kinds: Kinds) -> Vec<Binding> {
    let mean = estimate.makes == Makes::Finish && kinds.has_mean();
    let mut bindings =
        vec![Binding::Output("candidate", estimate.candidate.slot), Binding::Partials];
    bindings.extend(mean.then_some(Binding::Mean));
    bindings.extend((estimate.diagonal != Diagonal::None).then_some(Binding::Second));
    bindings.push(Binding::Theta);
    let inputs = INPUTS.iter().zip(&estimate.terms);
    bindings.extend(inputs.map(|(name, (_, k))| Binding::Input(name, k.slot)));
    bindings
}

/// The kernel for an operation.
fn kernel(estimate: &plan::Estimate, kinds: Kinds) -> &'static Kernel {
    let terms = INPUTS[..estimate.terms.len()].iter().map(|name| load(name, true));
    let lists = vec![("terms".into(), terms.collect())];
    TEMPLATE.kernel(&bindings(estimate, kinds), Table { flags: vec![], lists })
}

/// Gives the formats of its vectors.
fn formats(estimate: &plan::Estimate, kinds: Kinds) -> Formats {
    let mut formats = stored(&INPUTS, estimate.terms.iter().map(|&(_, k)| k));
    if estimate.diagonal != Diagonal::None {
        formats.extend(kinds.formats());
    }
    if estimate.makes == Makes::Finish {
        formats.extend(kinds.mean_formats());
    }
    formats
}

fn constants(estimate: &plan::Estimate, kinds: Kinds, walk: &Traversal) -> Constants {
    let mut constants = walk.sum_constants();
    constants.extend(kinds.constants());
    constants.extend([
        ("MAKES", f64::from(estimate.makes as u8)),
        ("MOMENTUM", kinds.momentum()),
        ("MEAN_HALVES", kinds.mean_halves()),
        ("TWO", flag(estimate.two)),
    ]);
    constants
}

/// `stages` is the number of stages; `bank` the partial sums that come before
/// those of errors.
fn uniform(
    estimate: &plan::Estimate,
    adaptive: &Adaptive,
    stages: u32,
    bank: usize,
    chunk: Chunk,
) -> Estimate {
    let mut uniform = Estimate {
        stage: stages,
        drift: estimate.drift as f32,
        bank: bank as u32,
        rtol: adaptive.rtol as f32,
        atol: adaptive.atol as f32,
        chunk: Chunk { first_partial: chunk.first_partial + bank as u32, ..chunk },
        ..Estimate::default()
    };
    for (j, ([d, b], _)) in estimate.terms.iter().enumerate() {
        uniform.errors[j / 4][j % 4] = *d as f32;
        uniform.steps[j / 4][j % 4] = *b as f32;
    }
    uniform
}

pub(crate) fn launch<'a>(estimate: &'a plan::Estimate, setting: Setting<'a>) -> Launch<'a> {
    let Setting { plan, kinds, walk } = setting;
    let adaptive = plan.ingredients().adaptive;
    let adaptive = adaptive.unwrap_or_else(|| unreachable!("an estimate without tolerances"));
    let (stages, bank) = (plan.stages(), walk.partials());
    let mut all = vec![
        ("control", Resource::Control),
        ("estimate", Resource::Uniform),
        ("moments", Resource::Moments),
    ];
    all.extend(bindings(estimate, kinds).into_iter().map(Binding::held));
    Launch {
        kernel: kernel(estimate, kinds),
        formats: formats(estimate, kinds),
        constants: constants(estimate, kinds, &walk),
        bindings: all,
        work: Work::chunks(move |_, chunk| uniform(estimate, &adaptive, stages, bank, chunk)),
    }
}
