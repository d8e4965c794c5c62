//! The device, its vectors and its compiled kernels. Nothing here knows of a plan.

mod adapter;
pub(crate) mod adopt;
pub(crate) mod commands;
pub(crate) mod error;
pub(crate) mod kernel;
pub(crate) mod library;
pub(crate) mod matrix;
pub(crate) mod spans;
pub(crate) mod template;
pub(crate) mod timer;
pub(crate) mod traversal;
pub(crate) mod vector;
pub(crate) mod waiting;

pub use error::GpuError;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::format::Rounding;
pub use adapter::backends_asked_for;
pub use kernel::{Access, Constants, Format, Formats, Kernel, StructLayout};
pub use matrix::MATRIX_FEATURES;
pub use vector::Vector;
use waiting::now;

/// A device to compute on: kutta's own, or one adopted from the host
/// application. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gpu {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    limits: wgpu::Limits,
    info: wgpu::AdapterInfo,
    /// Of the adapter, where it is known.
    offered: Option<matrix::Offered>,
    pipelines: Mutex<HashMap<String, Pipeline>>,
}

/// A compiled kernel and the layout of its one bind group.
#[derive(Clone, Debug)]
pub struct Pipeline {
    name: &'static str,
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
}

impl Pipeline {
    /// The name of its kernel.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub fn pipeline(&self) -> &wgpu::ComputePipeline {
        &self.pipeline
    }

    /// A bind group with the kernel's bindings in order.
    pub fn bind(&self, gpu: &Gpu, resources: &[wgpu::BindingResource<'_>]) -> wgpu::BindGroup {
        let entries: Vec<_> = resources
            .iter()
            .enumerate()
            .map(|(i, resource)| wgpu::BindGroupEntry {
                binding: i as u32,
                resource: resource.clone(),
            })
            .collect();
        gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(self.name),
            layout: &self.layout,
            entries: &entries,
        })
    }
}

/// The limits to ask the adapter for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LimitsWanted {
    /// Everything the adapter gives.
    #[default]
    Adapter,
    /// Those that WebGPU promises everywhere: what a browser gives unasked.
    WebGpuDefaults,
}

/// The options for opening a device of kutta's own.
#[derive(Clone, Debug, Default)]
pub struct GpuOptions {
    /// Part of an adapter's name, in any case. `None`: the environment
    /// variable `KUTTA_ADAPTER`, else the fastest kind there is.
    pub adapter: Option<String>,
    pub limits: LimitsWanted,
    /// Features beyond none, for instance timestamps in a benchmark, or [`MATRIX_FEATURES`].
    pub features: wgpu::Features,
}

impl Gpu {
    /// Opens the best adapter: discrete before integrated before virtual
    /// before software. `KUTTA_ADAPTER` (part of its name) or wgpu's
    /// `WGPU_BACKEND` (`vulkan`, `metal`, `dx12`) choose otherwise. Waits for
    /// the driver.
    ///
    /// # Errors
    /// No adapter, where the message says what to install on this system; or a
    /// `WGPU_BACKEND` that names no backend: see [`backends_asked_for`].
    pub fn new() -> Result<Self, GpuError> {
        Self::with_options(&GpuOptions::default())
    }

    /// Opens a device as [`Gpu::new`] does, without blocking.
    ///
    /// # Errors
    /// As [`Gpu::new`].
    pub async fn new_async() -> Result<Self, GpuError> {
        Self::with_options_async(&GpuOptions::default()).await
    }

    /// Opens a device with chosen limits and features. Waits for the driver.
    ///
    /// # Errors
    /// As [`Gpu::new`], or a feature the adapter lacks.
    pub fn with_options(options: &GpuOptions) -> Result<Self, GpuError> {
        pollster::block_on(Self::with_options_async(options))
    }

    /// Opens a device as [`Gpu::with_options`] does, without blocking.
    ///
    /// # Errors
    /// As [`Gpu::with_options`].
    pub async fn with_options_async(options: &GpuOptions) -> Result<Self, GpuError> {
        let adapter = adapter::choose(options).await?;
        let info = adapter.get_info();
        let required_limits = match options.limits {
            LimitsWanted::Adapter => adapter.limits(),
            LimitsWanted::WebGpuDefaults => wgpu::Limits::default(),
        };
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("kutta"),
                required_features: options.features,
                required_limits,
                experimental_features: experimental(options.features),
                ..Default::default()
            })
            .await
            .map_err(|e| GpuError::NoDevice { adapter: info.name, reason: e.to_string() })?;
        Ok(Self::assembled(device, queue, Some(matrix::Offered::by(&adapter))))
    }

    pub fn device(&self) -> &wgpu::Device {
        &self.inner.device
    }

    pub fn queue(&self) -> &wgpu::Queue {
        &self.inner.queue
    }

    pub fn limits(&self) -> &wgpu::Limits {
        &self.inner.limits
    }

    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.inner.info
    }

    /// True where the "GPU" is a program on the CPU (llvmpipe, WARP): there
    /// workgroup memory and barriers are slow, and registers are not.
    pub fn is_software(&self) -> bool {
        self.inner.info.device_type == wgpu::DeviceType::Cpu
    }

    /// Bytes of memory that can still be allocated on the device, where that is known:
    /// on a software adapter under Linux, what the system can give without swapping. wgpu
    /// tells nothing of other devices; there only an allocation shows.
    pub fn available_memory(&self) -> Option<u64> {
        if self.is_software() && cfg!(target_os = "linux") {
            available_in(&std::fs::read_to_string("/proc/meminfo").ok()?)
        } else {
            None
        }
    }

    /// Most elements of a vector that one binding can hold, a multiple of 64: no more
    /// than 2³⁰, for kernels count in u32.
    pub fn binding_elements(&self) -> usize {
        let bytes = self.inner.limits.max_storage_buffer_binding_size.min(1 << 32);
        (bytes / 256 * 64) as usize
    }

    /// A zeroed buffer.
    ///
    /// # Errors
    /// More bytes than `max_buffer_size`, no memory, or a lost device.
    pub fn buffer(
        &self,
        label: &str,
        bytes: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer, GpuError> {
        let _entered = tracing::trace_span!("buffer", label, bytes).entered();
        self.check_buffer(label, bytes)?;
        let create = || {
            self.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: bytes,
                usage,
                mapped_at_creation: false,
            })
        };
        match self.scoped(wgpu::ErrorFilter::OutOfMemory, create) {
            (_, true) => Err(GpuError::OutOfMemory { what: label.into(), bytes }),
            (buffer, false) if self.is_invalid(&buffer) => {
                Err(GpuError::DeviceLost { during: "allocating buffers" })
            }
            (buffer, false) => Ok(buffer),
        }
    }

    /// On a lost device wgpu makes buffers as if nothing was amiss; only their use is an
    /// error, also that of nothing at all.
    fn is_invalid(&self, buffer: &wgpu::Buffer) -> bool {
        let use_it = || self.queue().write_buffer(buffer, 0, &[]);
        buffer.usage().contains(wgpu::BufferUsages::COPY_DST)
            && self.scoped(wgpu::ErrorFilter::Validation, use_it).1
    }

    /// Calls of the device, and whether any ran into an error of this kind, which else
    /// would end the program. Errors of other kinds stay the host's.
    pub(crate) fn scoped<T>(
        &self,
        filter: wgpu::ErrorFilter,
        calls: impl FnOnce() -> T,
    ) -> (T, bool) {
        let scope = self.device().push_error_scope(filter);
        let made = calls();
        // Natively the scope's future is ready at once. A browser tells later,
        // through the host's own error handling.
        let failed = matches!(now(scope.pop()), Some(Some(_)));
        (made, failed)
    }

    /// Writes bytes to the start of a buffer, in the queue's order.
    ///
    /// # Errors
    /// No memory to bring them there with, or a lost device.
    pub(crate) fn upload(&self, buffer: &wgpu::Buffer, bytes: &[u8]) -> Result<(), GpuError> {
        self.upload_at(buffer, 0, bytes)
    }

    /// Writes from some place in the buffer on, a multiple of four bytes.
    pub(crate) fn upload_at(
        &self,
        buffer: &wgpu::Buffer,
        start: u64,
        bytes: &[u8],
    ) -> Result<(), GpuError> {
        // Staging memory is allocated per call: pieces keep its peak small.
        const PIECE: usize = 32 << 20;
        let write = || {
            for (i, piece) in bytes.chunks(PIECE).enumerate() {
                self.queue().write_buffer(buffer, start + (i * PIECE) as u64, piece);
                if bytes.len() > PIECE {
                    self.queue().submit([]);
                }
            }
        };
        // On a lost device the buffer is none.
        let validated = || self.scoped(wgpu::ErrorFilter::Validation, write).1;
        match self.scoped(wgpu::ErrorFilter::OutOfMemory, validated) {
            (_, true) => {
                let bytes = bytes.len() as u64;
                Err(GpuError::OutOfMemory { what: "staging memory".into(), bytes })
            }
            (true, false) => Err(GpuError::DeviceLost { during: "writing a buffer" }),
            (false, false) => Ok(()),
        }
    }

    /// The compiled kernel, made at its first use and then shared.
    pub fn pipeline(&self, kernel: &Kernel, constants: &Constants) -> Pipeline {
        self.variant(kernel, &vec![], constants)
    }

    /// Gives a pipeline as [`Gpu::pipeline`] does, with vectors in other formats than f32.
    pub fn variant(&self, kernel: &Kernel, formats: &Formats, constants: &Constants) -> Pipeline {
        let _entered = tracing::trace_span!("pipeline", kernel = kernel.name).entered();
        use std::fmt::Write;
        let mut key = String::from(kernel.name);
        for (name, format) in formats {
            let _ = write!(key, " {name}:{}", format.storage);
            if format.rounding != Rounding::Nearest {
                let _ = write!(key, ",{}", format.rounding);
            }
        }
        for (name, value) in constants {
            let _ = write!(key, " {name}={value}");
        }
        // A poisoned lock means a panic while compiling: the map is still whole.
        let mut pipelines = self.inner.pipelines.lock().unwrap_or_else(|e| e.into_inner());
        pipelines
            .entry(key)
            .or_insert_with_key(|key| self.compile(kernel, formats, constants, key))
            .clone()
    }

    fn compile(
        &self,
        kernel: &Kernel,
        formats: &Formats,
        constants: &Constants,
        label: &str,
    ) -> Pipeline {
        let device = self.device();
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(kernel.name),
            source: wgpu::ShaderSource::Wgsl(kernel.source(formats).into()),
        });
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(kernel.name),
            entries: &kernel.layout_entries(),
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(kernel.name),
            bind_group_layouts: &[Some(&layout)],
            ..Default::default()
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(label),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants,
                // Every kernel writes workgroup memory before it reads it.
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        Pipeline { name: kernel.name, pipeline, layout }
    }
}

/// wgpu's consent to experimental features: whoever asks for one by its name has given it.
fn experimental(features: wgpu::Features) -> wgpu::ExperimentalFeatures {
    if !features.intersects(wgpu::Features::all_experimental_mask()) {
        return wgpu::ExperimentalFeatures::disabled();
    }
    // SAFETY: no memory is at stake here. The token says that these features may have faults of
    // their own; kutta uses cooperative matrices alone, and holds them against f64 first.
    unsafe { wgpu::ExperimentalFeatures::enabled() }
}

/// `MemAvailable` of Linux's `/proc/meminfo`, in bytes.
fn available_in(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::available_in;

    #[test]
    fn available_memory_is_read_in_bytes() {
        let text = "MemTotal:       24000000 kB\nMemAvailable:   12345 kB\n";
        assert_eq!(available_in(text), Some(12345 * 1024));
        assert_eq!(available_in("MemTotal: 24000000 kB"), None);
        assert_eq!(available_in("MemAvailable: many kB"), None);
    }
}
