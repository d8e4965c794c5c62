//! Whether the end of an attempt is one dispatch.

use crate::codes::lane;
use crate::device::Gpu;
use crate::device::traversal::Traversal;
use crate::kernels::ending;
use crate::kernels::launch::Setting;
use crate::kernels::verdict::Kind;
use crate::plan::Plan;

/// The end of an attempt: the last check of a gradient, the verdict, and θ as it becomes. By
/// default few parameters have it in one dispatch, which spares the latency of two; results are
/// the same, bit for bit.
///
/// A workgroup that does it alone walks so many parameters as it has lanes, times four, at a
/// turn. A turn costs some 0.5 µs on an H100 (4,096 parameters, 64 KiB for each vector that is
/// read), a dispatch some 2.5 µs: up to 2¹⁴ parameters that pays. This is reckoned, not
/// measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Ending {
    /// One dispatch up to 2¹⁴ parameters, on a GPU that binds enough buffers. A software
    /// adapter, where a workgroup is one core, has it apart.
    #[default]
    Automatic,
    /// One dispatch of one workgroup: for at most [`Ending::MOST`] parameters.
    Fused,
    /// A dispatch each.
    Separate,
}

impl Ending {
    /// Parameters that one workgroup may be asked to walk.
    pub const MOST: usize = 1 << 15;
    /// Parameters that it walks where nobody asked.
    const AUTOMATIC: usize = 1 << 14;

    /// Lanes of the workgroup, where there is to be one.
    pub(super) fn lanes(self, gpu: &Gpu, walk: &Traversal) -> Option<u32> {
        let wanted = match self {
            Self::Automatic => !gpu.is_software() && walk.elements() <= Self::AUTOMATIC,
            Self::Fused => walk.elements() <= Self::MOST,
            Self::Separate => false,
        };
        let limits = gpu.limits();
        let most = limits.max_compute_invocations_per_workgroup;
        let most = most.min(limits.max_compute_workgroup_size_x).min(4 * lane::LANES);
        wanted.then(|| most / lane::LANES * lane::LANES)
    }
}

/// Storage buffers that the ending of a plan's attempt binds, where it can be one dispatch.
pub(crate) fn storage_buffers(plan: &Plan, walk: &Traversal) -> Option<u32> {
    let setting = Setting::new(plan, *walk);
    let judged = plan.ingredients().adaptive.is_some();
    let kind = Kind { judged, two: plan.two_errors(), ..Kind::default() };
    let found = |at| ending::launch(&plan.ops()[at..], setting, kind, lane::LANES);
    let (launch, _) = (0..plan.ops().len()).find_map(found)?;
    Some(launch.kernel.storage_buffers())
}
