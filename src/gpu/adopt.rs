//! Working on a device that belongs to somebody else.

use std::sync::{Arc, Mutex};

use super::traversal::LANES;
use super::{Gpu, Inner};
use crate::error::GpuError;

/// Kernels fold longer grids into two dimensions.
const MOST_GROUPS: u64 = 65_535;

impl Gpu {
    /// Works on a device that the host application owns, and its own queue: those that
    /// one `request_device` gave. Sets no handlers on it and demands no features;
    /// WebGPU's default limits suffice, and what needs more than there is says so before
    /// anything is allocated ([`Gpu::check`],
    /// [`Builder::requirements`](crate::optimizer::Builder::requirements)).
    ///
    /// Adopt a device once and clone the `Gpu`: what is made with one `Gpu` works with
    /// that one and its clones alone, for wgpu cannot tell devices of two instances
    /// apart.
    ///
    /// ```
    /// use kutta::{Gpu, wgpu};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # pollster::block_on(async {
    /// let instance =
    ///     wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    /// let adapter = instance.request_adapter(&Default::default()).await?;
    /// let (device, queue) = adapter.request_device(&Default::default()).await?;
    /// let gpu = Gpu::adopt(device, queue);
    /// gpu.check()?;
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub fn adopt(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        let (limits, info) = (device.limits(), device.adapter_info());
        let pipelines = Mutex::default();
        Self { inner: Arc::new(Inner { device, queue, limits, info, pipelines }) }
    }

    /// As [`Gpu::adopt`] where the adapter is known, which alone can tell whether it
    /// computes at all; and [`Gpu::check`].
    ///
    /// # Errors
    /// [`GpuError::NoCompute`], or as [`Gpu::check`].
    pub fn adopt_from(
        adapter: &wgpu::Adapter,
        device: wgpu::Device,
        queue: wgpu::Queue,
    ) -> Result<Self, GpuError> {
        let flags = adapter.get_downlevel_capabilities().flags;
        let info = adapter.get_info();
        computes(flags, &info.name, info.backend)?;
        let gpu = Self::adopt(device, queue);
        gpu.check()?;
        Ok(gpu)
    }

    /// Whether this device's limits are those that every kernel of kutta needs. What an
    /// optimizer needs beyond them depends on its parameters:
    /// [`Builder::requirements`](crate::optimizer::Builder::requirements).
    ///
    /// # Errors
    /// [`GpuError::LimitTooSmall`] with the limit's name and both numbers.
    pub fn check(&self) -> Result<(), GpuError> {
        self.check_limits("kutta", 0)
    }

    /// Whether `other` is this one or a clone of it.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Whether this device gives what kutta's kernels need.
    ///
    /// # Errors
    /// [`GpuError::LimitTooSmall`] with the limit's name and both numbers.
    pub(crate) fn check_limits(&self, what: &str, binding_bytes: u64) -> Result<(), GpuError> {
        lacking(self.limits(), what, binding_bytes)
    }
}

fn computes(
    flags: wgpu::DownlevelFlags,
    adapter: &str,
    backend: wgpu::Backend,
) -> Result<(), GpuError> {
    match flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS) {
        true => Ok(()),
        false => Err(GpuError::NoCompute { adapter: adapter.into(), backend: backend.to_string() }),
    }
}

fn lacking(limits: &wgpu::Limits, what: &str, binding_bytes: u64) -> Result<(), GpuError> {
    let needs = [
        (
            "max_compute_invocations_per_workgroup",
            LANES as u64,
            u64::from(limits.max_compute_invocations_per_workgroup),
        ),
        (
            "max_compute_workgroup_size_x",
            LANES as u64,
            u64::from(limits.max_compute_workgroup_size_x),
        ),
        (
            "max_compute_workgroups_per_dimension",
            MOST_GROUPS,
            u64::from(limits.max_compute_workgroups_per_dimension),
        ),
        (
            "max_storage_buffers_per_shader_stage",
            8,
            u64::from(limits.max_storage_buffers_per_shader_stage),
        ),
        (
            "max_uniform_buffers_per_shader_stage",
            2,
            u64::from(limits.max_uniform_buffers_per_shader_stage),
        ),
        (
            "max_compute_workgroup_storage_size",
            4 * LANES as u64,
            u64::from(limits.max_compute_workgroup_storage_size),
        ),
        ("max_storage_buffer_binding_size", binding_bytes, limits.max_storage_buffer_binding_size),
    ];
    match needs.into_iter().find(|&(_, needed, found)| found < needed) {
        None => Ok(()),
        Some((limit, needed, found)) => {
            Err(GpuError::LimitTooSmall { what: what.into(), limit, needed, found })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_limits_of_webgpu_suffice_and_lesser_ones_are_named() {
        lacking(&wgpu::Limits::default(), "kutta", 1 << 27).unwrap();
        let default = wgpu::Limits::default;
        for (limits, limit, needed, found) in [
            (wgpu::Limits::downlevel_defaults(), "max_storage_buffers_per_shader_stage", 8, 4),
            (
                wgpu::Limits::downlevel_webgl2_defaults(),
                "max_compute_invocations_per_workgroup",
                256,
                0,
            ),
            (
                wgpu::Limits { max_compute_workgroups_per_dimension: 0, ..default() },
                "max_compute_workgroups_per_dimension",
                65_535,
                0,
            ),
            (
                wgpu::Limits { max_storage_buffer_binding_size: (1 << 27) - 4, ..default() },
                "max_storage_buffer_binding_size",
                1 << 27,
                (1 << 27) - 4,
            ),
        ] {
            let what = "kutta".into();
            let error = lacking(&limits, "kutta", 1 << 27).unwrap_err();
            assert_eq!(error, GpuError::LimitTooSmall { what, limit, needed, found });
        }
    }

    #[test]
    fn an_adapter_that_does_not_compute_is_named() {
        use wgpu::DownlevelFlags as Flags;
        computes(Flags::COMPUTE_SHADERS, "any", wgpu::Backend::Vulkan).unwrap();
        let error = computes(Flags::all() - Flags::COMPUTE_SHADERS, "old one", wgpu::Backend::Gl);
        let message = error.unwrap_err().to_string();
        assert!(message.contains("old one") && message.contains("gl"), "{message}");
    }
}
