//! The last layers of a network in one dispatch, where they are narrow: forward, loss,
//! backward, and partial sums of their gradients by workgroup.

use super::options::{Activation, Loss};
use super::product::quads;
use super::tail_form::{self, TailForm};
use crate::codes::wgsl;
use crate::device::kernel::{Access, Constants, Kernel, flag, wgsl_struct};
use crate::device::library::shader;

/// Layers that the kernel can do.
pub const MOST_LAYERS: usize = 8;
/// The widest output of a layer in the tail, and the widest input of all but the first.
pub const MOST_WIDTH: usize = 64;
/// The widest input of the first, and of one with few outputs.
pub const MOST_INPUTS: usize = 256;
const MOST_INPUTS_OF_FEW: usize = 1024;
const FEW: usize = 16;

wgsl_struct! {
    /// One layer; `shaders/dense_tail.wgsl` says what is what.
    pub struct TailLayer {
        pub inputs: u32,
        pub outputs: u32,
        pub weight: u32,
        pub bias: u32,
        pub values: u32,
        pub dz: u32,
        pub first: u32,
        pub chunk_stride: u32,
    }
}

wgsl_struct! {
    /// The last layers of a network.
    pub struct TailShape {
        pub layers: u32,
        pub outputs: u32,
        pub sample_quads: u32,
        pub group_quads: u32,
        pub losses: u32,
        pub unused0: u32,
        pub unused1: u32,
        pub unused2: u32,
        pub layer: [TailLayer; MOST_LAYERS],
    }
}

/// The last layers of a network, from `start` on.
#[derive(Debug)]
pub struct Tail {
    pub start: usize,
    /// The one of the workspace's sums that it leaves its own in.
    pub sums: usize,
    pub groups: usize,
    pub form: TailForm,
    /// The tail's shape, but for where parameters lie.
    pub shape: TailShape,
    pub activation: Activation,
}

impl Tail {
    /// The first layer of the tail, if there is one.
    pub fn start(widths: &[usize]) -> Option<usize> {
        let layers = widths.len() - 1;
        let narrow = |layer: usize| widths[layer + 1] <= MOST_WIDTH;
        // As the first of a tail, and behind another.
        let begins = |layer: usize| {
            let few = widths[layer + 1] <= FEW && layer + 1 == layers;
            let most = if few { MOST_INPUTS_OF_FEW } else { MOST_INPUTS };
            narrow(layer) && widths[layer] <= most
        };
        let mut start = layers;
        while start > 0
            && layers - start < MOST_LAYERS
            && begins(start - 1)
            && (start == layers || widths[start] <= MOST_WIDTH)
        {
            start -= 1;
        }
        (start < layers).then_some(start)
    }

    /// vec4s of what the layers put out and their gradients, and of the groups' losses.
    pub fn room(widths: &[usize], start: usize, samples: usize) -> usize {
        let layers = widths.len() - 1;
        let values = |layer| 4 * quads(samples) * quads(widths[layer + 1]);
        let all: usize = (start..layers).map(|l| 2 * values(l)).sum();
        all + quads(samples) + 32
    }
}

/// The tail of a network; what is between its layers lies in a storage buffer.
pub const TAIL: Kernel = Kernel {
    name: "dense_tail",
    text: shader!("dense_tail", "stored", numbers: wgsl!(MOST = MOST_LAYERS as u32)),
    bindings: &[
        ("shape", Access::Uniform),
        ("rows", Access::Read),
        ("targets", Access::Read),
        ("theta", Access::Read),
        ("inputs", Access::Read),
        ("slope", Access::Read),
        ("partials", Access::Write),
        ("by_feature", Access::Write),
        ("by_sample", Access::Write),
    ],
    vectors: &[],
    structs: &[TailShape::LAYOUT, TailLayer::LAYOUT],
};

/// The same in 32 KiB of workgroup memory, and in 48: what is between layers stays there.
const TAIL_KEPT_32: Kernel = Kernel {
    name: "dense_tail.kept32",
    text: shader!(
        "dense_tail",
        "kept",
        numbers: wgsl!(MOST = MOST_LAYERS as u32, KEPT = tail_form::KEPT[0] as u32)
    ),
    ..TAIL
};
const TAIL_KEPT_48: Kernel = Kernel {
    name: "dense_tail.kept48",
    text: shader!(
        "dense_tail",
        "kept",
        numbers: wgsl!(MOST = MOST_LAYERS as u32, KEPT = tail_form::KEPT[1] as u32)
    ),
    ..TAIL
};

/// The kernel of a form.
pub const fn kernel(form: TailForm) -> &'static Kernel {
    match form.kept {
        0 => &TAIL,
        kept if kept == tail_form::KEPT[0] => &TAIL_KEPT_32,
        _ => &TAIL_KEPT_48,
    }
}

/// The use of the gradient by a tail's inputs.
#[derive(Clone, Copy, Default)]
pub struct Below {
    pub by_feature: bool,
    pub by_sample: bool,
    pub sloped: bool,
}

/// Of a tail that goes forward and back; of one that puts out values alone without a loss.
pub fn constants(activation: Activation, loss: Option<(Loss, bool)>, below: Below) -> Constants {
    let activation = Some(activation);
    vec![
        ("ACTIVATION", f64::from(Activation::code(activation))),
        ("OMEGA", f64::from(Activation::omega(activation))),
        ("CROSS_ENTROPY", flag(matches!(loss, Some((Loss::CrossEntropy, _))))),
        ("DENSE", flag(matches!(loss, Some((_, true))))),
        ("FORWARD_ONLY", flag(loss.is_none())),
        ("BY_FEATURE", flag(below.by_feature)),
        ("BY_SAMPLE", flag(below.by_sample)),
        ("SLOPED", flag(below.sloped)),
    ]
}

/// The override sets it is used with.
#[cfg(test)]
pub fn kernels() -> Vec<(Kernel, Vec<Constants>)> {
    use Activation::{Gelu, Relu, Sine, Tanh};
    let losses = [(Loss::CrossEntropy, false), (Loss::MeanSquare, false), (Loss::MeanSquare, true)];
    let belows =
        [(false, false, false), (true, false, false), (false, true, true), (true, true, true)];
    let mut sets = Vec::new();
    for activation in [Relu, Tanh, Gelu, Sine { omega: 30.0 }] {
        for loss in losses {
            for (by_feature, by_sample, sloped) in belows {
                let below = Below { by_feature, by_sample, sloped };
                sets.push(constants(activation, Some(loss), below));
            }
        }
        sets.push(constants(activation, None, Below::default()));
    }
    // Overrides do not meet what differs in these.
    let few: Vec<Constants> = sets.iter().step_by(7).cloned().collect();
    vec![(TAIL, sets), (TAIL_KEPT_32, few.clone()), (TAIL_KEPT_48, few)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Products;
    use crate::models::dense::choose::Method;

    #[test]
    fn tails_begin_where_layers_are_narrow() {
        let start = Tail::start;
        assert_eq!(start(&[784, 128, 10]), Some(1));
        assert_eq!(start(&[784, 1024, 1024, 10]), Some(2));
        assert_eq!(start(&[784, 4096, 4096, 10]), None);
        assert_eq!(start(&[784, 32, 32, 10]), Some(1));
        assert_eq!(start(&[16, 32, 3]), Some(0));
        assert_eq!(start(&[32, 64, 64, 3]), Some(0));
        assert_eq!(start(&[64, 65, 64]), Some(1));
        assert_eq!(start(&[256, 64, 64, 64]), Some(0));
        assert_eq!(start(&[257, 64, 64, 64]), Some(1));
        assert_eq!(start(&[3; 10]), Some(1));
        assert_eq!(Method::of(Products::Sliced).tail(&[16, 32, 3]), None);
    }
}
