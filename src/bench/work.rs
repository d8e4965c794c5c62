//! Work: dispatches that are recorded together.

use crate::recorder::Dispatch;

/// Dispatches that belong together.
#[derive(Clone, Debug, Default)]
pub struct Work {
    pub(super) launches: Vec<Launch>,
}

#[derive(Clone, Debug)]
pub(super) struct Launch {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) bind_group: wgpu::BindGroup,
    pub(super) groups: [u32; 3],
}

impl Work {
    /// Records the dispatches, in order.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        for Launch { pipeline, bind_group, groups: [x, y, z] } in &self.launches {
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, bind_group, &[]);
            pass.dispatch_workgroups(*x, *y, *z);
        }
    }

    /// Dispatches recorded.
    pub fn dispatches(&self) -> usize {
        self.launches.len()
    }

    pub(super) fn extend(&mut self, other: &Self) {
        self.launches.extend(other.launches.iter().cloned());
    }
}

impl From<&Dispatch> for Launch {
    fn from(dispatch: &Dispatch) -> Self {
        Self {
            pipeline: dispatch.pipeline.pipeline().clone(),
            bind_group: dispatch.bind_group.clone(),
            groups: [dispatch.groups, 1, 1],
        }
    }
}

impl<'d> FromIterator<&'d Dispatch> for Work {
    fn from_iter<I: IntoIterator<Item = &'d Dispatch>>(dispatches: I) -> Self {
        Self { launches: dispatches.into_iter().map(Launch::from).collect() }
    }
}
