//! Working on a device that belongs to somebody else.

use std::sync::{Arc, Mutex};

use super::matrix::Offered;
use super::traversal::LANES;
use super::{Gpu, GpuError, Inner};
use crate::layout::ALIGNMENT;

/// The limits that kernels take of a device, whatever they work on. A test holds them against
/// their texts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kernels {
    pub(crate) lanes: u32,
    pub(crate) workgroup: [u32; 3],
    pub(crate) workgroup_bytes: u32,
    pub(crate) uniforms: u32,
    pub(crate) uniform_bytes: u64,
    pub(crate) storage_buffers: u32,
    pub(crate) bindings: u32,
}

pub(crate) const KERNELS: Kernels = Kernels {
    lanes: LANES as u32,
    workgroup: [LANES as u32, 8, 1],
    workgroup_bytes: 16_384,
    uniforms: 3,
    uniform_bytes: 1072,
    storage_buffers: 8,
    bindings: 11,
};

/// Kernels fold longer grids into two dimensions.
const MOST_GROUPS: u32 = 65_535;

/// The alignment of bindings: tensors are placed at multiples of it.
const ALIGNMENT_BYTES: u32 = 4 * ALIGNMENT as u32;

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
        Self::assembled(device, queue, None)
    }

    pub(super) fn assembled(
        device: wgpu::Device,
        queue: wgpu::Queue,
        offered: Option<Offered>,
    ) -> Self {
        let (limits, info) = (device.limits(), device.adapter_info());
        let pipelines = Mutex::default();
        Self { inner: Arc::new(Inner { device, queue, limits, info, offered, pipelines }) }
    }

    /// Adopts a device whose adapter is known, which alone can tell whether it
    /// computes at all and which matrices its units multiply; and [`Gpu::check`].
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
        let gpu = Self::assembled(device, queue, Some(Offered::by(adapter)));
        gpu.check()?;
        Ok(gpu)
    }

    /// Checks that this device's limits are those that every kernel of kutta needs. What an
    /// optimizer needs beyond them depends on its parameters:
    /// [`Builder::requirements`](crate::optimizer::Builder::requirements).
    ///
    /// # Errors
    /// [`GpuError::LimitTooSmall`] with the limit's name and both numbers.
    pub fn check(&self) -> Result<(), GpuError> {
        self.check_limits("kutta", 0)
    }

    /// Refuses what one buffer of this device cannot hold.
    pub(crate) fn check_buffer(&self, what: &str, needed: u64) -> Result<(), GpuError> {
        let limit = self.limits().max_buffer_size;
        match needed > limit {
            true => Err(GpuError::BufferTooLarge { what: what.into(), needed, limit }),
            false => Ok(()),
        }
    }

    /// Most storage buffers that one kernel can bind beside its uniforms.
    pub(crate) fn storage_bindings(&self) -> u32 {
        let limits = self.limits();
        let beside = limits.max_bindings_per_bind_group.saturating_sub(KERNELS.uniforms);
        limits.max_storage_buffers_per_shader_stage.min(beside)
    }

    /// Tells whether `other` is this one or a clone of it.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Tells whether this device gives what kutta's kernels need.
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
    let Kernels { lanes, workgroup: [x, y, z], .. } = KERNELS;
    let small = [
        (
            "max_compute_invocations_per_workgroup",
            lanes,
            limits.max_compute_invocations_per_workgroup,
        ),
        ("max_compute_workgroup_size_x", x, limits.max_compute_workgroup_size_x),
        ("max_compute_workgroup_size_y", y, limits.max_compute_workgroup_size_y),
        ("max_compute_workgroup_size_z", z, limits.max_compute_workgroup_size_z),
        (
            "max_compute_workgroups_per_dimension",
            MOST_GROUPS,
            limits.max_compute_workgroups_per_dimension,
        ),
        (
            "max_storage_buffers_per_shader_stage",
            KERNELS.storage_buffers,
            limits.max_storage_buffers_per_shader_stage,
        ),
        (
            "max_uniform_buffers_per_shader_stage",
            KERNELS.uniforms,
            limits.max_uniform_buffers_per_shader_stage,
        ),
        ("max_bindings_per_bind_group", KERNELS.bindings, limits.max_bindings_per_bind_group),
        ("max_bind_groups", 1, limits.max_bind_groups),
        (
            "max_compute_workgroup_storage_size",
            KERNELS.workgroup_bytes,
            limits.max_compute_workgroup_storage_size,
        ),
    ];
    let large = [
        (
            "max_uniform_buffer_binding_size",
            KERNELS.uniform_bytes,
            limits.max_uniform_buffer_binding_size,
        ),
        ("max_storage_buffer_binding_size", binding_bytes, limits.max_storage_buffer_binding_size),
        ("max_buffer_size", KERNELS.uniform_bytes, limits.max_buffer_size),
    ];
    let small = small.map(|(limit, needed, found)| (limit, needed.into(), found.into()));
    let lacks = |&(_, needed, found): &(_, u64, u64)| found < needed;
    if let Some((limit, needed, found)) = small.into_iter().chain(large).find(lacks) {
        return Err(GpuError::LimitTooSmall { what: what.into(), limit, needed, found });
    }
    let (found, most) = (limits.min_storage_buffer_offset_alignment, ALIGNMENT_BYTES);
    if found > most {
        let limit = "min_storage_buffer_offset_alignment";
        let (most, found) = (most.into(), found.into());
        return Err(GpuError::LimitTooLarge { what: what.into(), limit, most, found });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgpu::Limits;

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
    fn each_limit_below_what_kernels_take_is_named() {
        // One limit a field, and the value of it that still suffices.
        macro_rules! suffices {
            ($($limit:ident: $enough:expr),* $(,)?) => {$(
                let at = |$limit| Limits { $limit, ..Limits::default() };
                lacking(&at($enough), "kutta", 0).unwrap();
                let GpuError::LimitTooSmall { limit, needed, found, .. } =
                    lacking(&at($enough - 1), "kutta", 0).unwrap_err()
                else {
                    panic!(stringify!($limit));
                };
                assert_eq!(limit, stringify!($limit));
                assert_eq!((needed, found), (u64::from($enough), u64::from($enough) - 1));
            )*};
        }
        suffices! {
            max_compute_invocations_per_workgroup: 256u32,
            max_compute_workgroup_size_x: 256u32,
            max_compute_workgroup_size_y: 8u32,
            max_compute_workgroup_size_z: 1u32,
            max_compute_workgroups_per_dimension: 65_535u32,
            max_storage_buffers_per_shader_stage: 8u32,
            max_uniform_buffers_per_shader_stage: 3u32,
            max_bindings_per_bind_group: 11u32,
            max_bind_groups: 1u32,
            max_compute_workgroup_storage_size: 16_384u32,
            max_uniform_buffer_binding_size: 1072u64,
            max_buffer_size: 1072u64,
        }
        let aligned = Limits { min_storage_buffer_offset_alignment: 512, ..Limits::default() };
        let message = lacking(&aligned, "kutta", 0).unwrap_err().to_string();
        assert!(message.contains("at most 256; this device has 512"), "{message}");
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
