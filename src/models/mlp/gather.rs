//! Copies the inputs of a batch out of the data set.

use super::resident::Resident;
use crate::device::kernel::{Access, Kernel, wgsl_struct};
use crate::device::library::shader;
use crate::models::dense::kernels::BatchSchedule;
use crate::models::dense::{Steps, fold, quads, uniform};

wgsl_struct! {
    /// Extents of a batch of inputs.
    pub struct Gather {
        pub size: u32,
        pub sample_quads: u32,
        pub feature_quads: u32,
    }
}

const GATHER_BINDINGS: &[(&str, Access)] = &[
    ("shape", Access::Uniform),
    ("rows", Access::Read),
    ("inputs", Access::Read),
    ("by_feature", Access::Write),
    ("by_sample", Access::Write),
];

/// Inputs of the batch out of packed bytes.
pub const GATHER_BYTES: Kernel = Kernel {
    name: "gather_bytes",
    text: shader!("gather_bytes"),
    bindings: GATHER_BINDINGS,
    vectors: &[],
    structs: &[Gather::LAYOUT],
};

/// Inputs of the batch out of f32.
pub const GATHER_FLOATS: Kernel = Kernel {
    name: "gather_floats",
    text: shader!("gather_floats"),
    bindings: GATHER_BINDINGS,
    vectors: &[],
    structs: &[Gather::LAYOUT],
};

/// Finds the samples of the batch that `control` names, and copies their inputs.
pub(super) fn gather(
    steps: &mut Steps<'_>,
    schedule: BatchSchedule,
    control: wgpu::BindingResource<'_>,
    data: &Resident,
) {
    let workspace = steps.workspace;
    steps.rows(schedule, control);
    let (samples, features) = (quads(workspace.samples), quads(data.width()));
    let shape = Gather {
        size: workspace.samples as u32,
        sample_quads: samples as u32,
        feature_quads: features as u32,
    };
    let shape = uniform(steps.gpu, &shape);
    let kernel = if data.bytes { GATHER_BYTES } else { GATHER_FLOATS };
    steps.push_kernel(
        &kernel,
        &[
            shape.as_entire_binding(),
            workspace.rows.as_entire_binding(),
            data.inputs.as_entire_binding(),
            workspace.inputs.by_feature.as_entire_binding(),
            workspace.inputs.by_sample.as_entire_binding(),
        ],
        fold((samples * features).div_ceil(64)),
    );
}

/// Kernels of this file with the override sets they are used with.
#[cfg(test)]
pub fn kernels() -> Vec<(Kernel, Vec<crate::device::kernel::Constants>)> {
    [GATHER_BYTES, GATHER_FLOATS].map(|kernel| (kernel, vec![vec![]])).to_vec()
}
