//! Faults of a device.

use thiserror::Error;

/// Errors of the device or its driver.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum GpuError {
    #[error("no GPU adapter{wanted}: {found}. {remedy}")]
    NoAdapter { wanted: String, found: String, remedy: &'static str },
    #[error(
        "the environment variable {variable} is `{value}`: {fault}. It takes {known}, or several \
         with commas between; without it all of them are looked at"
    )]
    Environment { variable: &'static str, value: String, fault: String, known: String },
    #[error("adapter `{adapter}` gave no device: {reason}")]
    NoDevice { adapter: String, reason: String },
    #[error(
        "{what} needs {needed} bytes in one buffer; this device's max_buffer_size is {limit}. \
         Use fewer parameters, or a device with larger buffers"
    )]
    BufferTooLarge { what: String, needed: u64, limit: u64 },
    #[error(
        "{what} needs {limit} of at least {needed}; this device has {found}. Ask for as much in \
         `required_limits` where the device is requested"
    )]
    LimitTooSmall { what: String, limit: &'static str, needed: u64, found: u64 },
    #[error(
        "{what} needs {limit} of at most {most}; this device has {found}. Ask for as little in \
         `required_limits` where the device is requested"
    )]
    LimitTooLarge { what: String, limit: &'static str, most: u64, found: u64 },
    #[error(
        "adapter `{adapter}` ({backend}) has no compute shaders; take one with Vulkan, Metal, DX12 \
         or WebGPU, where all have them"
    )]
    NoCompute { adapter: String, backend: String },
    #[error(
        "the vectors of an evaluation cannot be read on the host while the source is being asked: \
         what writes them is recorded and not submitted yet, so old values would be read. Let \
         `GradientSource::submits` give true; kutta then submits that first"
    )]
    NotSubmitted,
    #[error(
        "a profile takes times by timestamps, and the device on `{adapter}` was opened without \
         them. Where kutta opens it, ask for `GpuOptions {{ features: \
         wgpu::Features::TIMESTAMP_QUERY, .. }}`; where it is adopted, put TIMESTAMP_QUERY into \
         the `required_features` of `request_device`; with TIMESTAMP_QUERY_INSIDE_PASSES too, if \
         the adapter has that. An adapter without TIMESTAMP_QUERY cannot be profiled"
    )]
    NoTimestamps { adapter: String },
    #[error("the device has no memory for {what} ({bytes} bytes)")]
    OutOfMemory { what: String, bytes: u64 },
    #[error(
        "the device was lost while {during}; build a new Gpu and start again from saved parameters"
    )]
    DeviceLost { during: &'static str },
}
