//! The machine that figures come from.

use std::fs;
use std::time::SystemTime;

use kutta::Gpu;
use kutta_cli::names;
use serde::{Deserialize, Serialize};

/// What stands beside every figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    pub adapter: String,
    pub driver: String,
    /// Vulkan, Metal, Dx12; or what a rival runs on.
    pub backend: String,
    /// Discrete, integrated, software …
    pub kind: String,
    /// Name and version of what talks to the driver: wgpu, torch, jax.
    pub library: String,
    pub os: String,
    pub cores: u32,
    /// The last-level cache that cold buffers must not fit in.
    pub cache_bytes: u64,
    /// Where that number comes from.
    pub cache_source: String,
    pub limits: Limits,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub max_buffer_size: u64,
    pub max_storage_buffer_binding_size: u64,
    pub max_storage_buffers_per_shader_stage: u32,
}

/// What is assumed of a GPU that tells nothing of its cache: more than most have.
const ASSUMED: u64 = 128 << 20;

impl Machine {
    pub fn of(gpu: &Gpu, cache: Option<u64>) -> Self {
        let info = gpu.info();
        let limits = gpu.limits();
        let known = gpu.is_software().then(last_level_cache).flatten();
        let (cache_bytes, cache_source) = match (cache, known) {
            (Some(bytes), _) => (bytes, "given"),
            (None, Some(bytes)) => (bytes, "from the system"),
            (None, None) => (ASSUMED, "assumed"),
        };
        Self {
            adapter: info.name.clone(),
            driver: names::driver(info),
            backend: format!("{:?}", info.backend),
            kind: match info.device_type {
                kutta::wgpu::DeviceType::DiscreteGpu => "discrete",
                kutta::wgpu::DeviceType::IntegratedGpu => "integrated",
                kutta::wgpu::DeviceType::VirtualGpu => "virtual",
                kutta::wgpu::DeviceType::Cpu => "software",
                kutta::wgpu::DeviceType::Other => "other",
            }
            .into(),
            library: format!("wgpu {WGPU_VERSION}"),
            os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
            cache_bytes,
            cache_source: cache_source.into(),
            limits: Limits {
                max_buffer_size: limits.max_buffer_size,
                max_storage_buffer_binding_size: limits.max_storage_buffer_binding_size,
                max_storage_buffers_per_shader_stage: limits.max_storage_buffers_per_shader_stage,
            },
        }
    }
}

/// The version this was built with, from the lock file.
const WGPU_VERSION: &str = env!("KUTTA_WGPU_VERSION");

/// Of the first core, where Linux tells it.
fn last_level_cache() -> Option<u64> {
    let folder = "/sys/devices/system/cpu/cpu0/cache";
    let sizes = fs::read_dir(folder).ok()?.filter_map(|entry| {
        let text = fs::read_to_string(entry.ok()?.path().join("size")).ok()?;
        cache_size(&text)
    });
    sizes.max()
}

/// `32K`, `480M`.
fn cache_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// Now, in UTC, by RFC 3339.
pub fn date() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(cache_size("32K\n"), Some(32 << 10));
        assert_eq!(cache_size("480M"), Some(480 << 20));
        assert_eq!(cache_size("512"), Some(512));
        for bad in ["", "K", "32X", "-1K", "99999999999999999999G"] {
            assert_eq!(cache_size(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_version_is_that_of_the_lock_file() {
        assert!(WGPU_VERSION.starts_with("30."), "{WGPU_VERSION}");
    }
}
