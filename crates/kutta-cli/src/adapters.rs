//! Lists the adapters of this machine and says which one kutta takes.
//!
//! Ends with 1 and the library's message if there is no adapter at all, and
//! with 2 if there are some, but none that was asked for or that works.

use std::error::Error;

use kutta::error::GpuError;
use kutta::{Gpu, device, wgpu};
use kutta_cli::{names, output};

pub fn run() -> Result<(), Box<dyn Error>> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    let backends = device::backends_asked_for().map_err(output::usage)?;
    descriptor.backends = backends;
    let instance = wgpu::Instance::new(descriptor);
    let adapters = pollster::block_on(instance.enumerate_adapters(backends));
    for adapter in &adapters {
        say!("found: {}", describe(&adapter.get_info()));
    }
    match Gpu::new() {
        Ok(gpu) => {
            say!("taken: {}", describe(gpu.info()));
            Ok(())
        }
        Err(error) => {
            let none = adapters.is_empty() && matches!(error, GpuError::NoAdapter { .. });
            Err(if none { error.into() } else { output::usage(error) })
        }
    }
}

fn describe(info: &wgpu::AdapterInfo) -> String {
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => "discrete GPU",
        wgpu::DeviceType::IntegratedGpu => "integrated GPU",
        wgpu::DeviceType::VirtualGpu => "virtual GPU",
        wgpu::DeviceType::Cpu => "software",
        wgpu::DeviceType::Other => "other",
    };
    format!("{} ({kind}, {}, driver {})", info.name, info.backend, names::driver(info))
}
