//! Lists the adapters of this machine and says which one kutta takes.
//!
//! Ends with 1 and the library's message if there is no adapter at all, and
//! with 2 if there are some, but none that was asked for or that works.

#[macro_use]
#[path = "shared/output.rs"]
#[allow(dead_code, unused_macros)]
mod output;

use std::process::ExitCode;

use kutta::error::GpuError;
use kutta::{Gpu, device, wgpu};

fn main() -> ExitCode {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    let backends = match device::backends_asked_for() {
        Ok(backends) => backends,
        Err(error) => {
            output::fault(error);
            return ExitCode::from(2);
        }
    };
    descriptor.backends = backends;
    let instance = wgpu::Instance::new(descriptor);
    let adapters = pollster::block_on(instance.enumerate_adapters(backends));
    for adapter in &adapters {
        say!("found: {}", describe(&adapter.get_info()));
    }
    match Gpu::new() {
        Ok(gpu) => {
            say!("taken: {}", describe(gpu.info()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            let none = adapters.is_empty() && matches!(error, GpuError::NoAdapter { .. });
            output::fault(error);
            ExitCode::from(if none { 1 } else { 2 })
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
    let driver = [info.driver.as_str(), info.driver_info.as_str()].join(" ");
    format!("{} ({kind}, {}, driver {})", info.name, info.backend, driver.trim())
}
