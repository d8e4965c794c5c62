//! Chooses the adapter that a device is opened on, and reads what the environment says of it.

use super::{GpuError, GpuOptions};

const BACKEND: &str = "WGPU_BACKEND";

/// Backends by the names that wgpu takes, its abbreviations left out.
const NAMES: [(&str, wgpu::Backends); 6] = [
    ("vulkan", wgpu::Backends::VULKAN),
    ("metal", wgpu::Backends::METAL),
    ("dx12", wgpu::Backends::DX12),
    ("gl", wgpu::Backends::GL),
    ("webgpu", wgpu::Backends::BROWSER_WEBGPU),
    ("noop", wgpu::Backends::NOOP),
];

/// Gives the backends that the environment variable `WGPU_BACKEND` names, with commas
/// between; all of them where it is not set or empty.
///
/// wgpu itself passes over a name that it does not know, and then finds no adapter:
/// an application that makes an instance of its own can ask here first.
///
/// ```
/// use kutta::{device, wgpu};
/// let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
/// descriptor.backends = device::backends_asked_for()?;
/// # Ok::<(), kutta::Error>(())
/// ```
///
/// # Errors
/// [`GpuError::Environment`] for a name that is no backend's, or if none of those named
/// is part of this build.
pub fn backends_asked_for() -> Result<wgpu::Backends, GpuError> {
    let value = std::env::var_os(BACKEND).unwrap_or_default();
    named(&value.to_string_lossy(), built())
}

fn built() -> wgpu::Backends {
    wgpu::Instance::enabled_backend_features()
}

fn names_of(backends: wgpu::Backends) -> Vec<&'static str> {
    NAMES.iter().filter(|(_, one)| backends.contains(*one)).map(|(name, _)| *name).collect()
}

/// The backends of a list of names, of which some may be missing in this build, but not
/// all: one list may serve several systems.
fn named(value: &str, built: wgpu::Backends) -> Result<wgpu::Backends, GpuError> {
    if value.trim().is_empty() {
        return Ok(wgpu::Backends::all());
    }
    let fault = |fault: String| GpuError::Environment {
        variable: BACKEND,
        value: value.into(),
        fault,
        known: names_of(built).join(", "),
    };
    let mut asked = wgpu::Backends::empty();
    for name in value.split(',').map(str::trim) {
        match wgpu::Backends::from_comma_list(name) {
            none if none.is_empty() => return Err(fault(format!("`{name}` is no backend"))),
            one => asked |= one,
        }
    }
    if (asked & built).is_empty() {
        return Err(fault("this build of kutta has none of these backends".into()));
    }
    Ok(asked)
}

pub(super) async fn choose(options: &GpuOptions) -> Result<wgpu::Adapter, GpuError> {
    let backends = backends_asked_for()?;
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    descriptor.flags = wgpu::InstanceFlags::empty().with_env();
    descriptor.backends = backends;
    let instance = wgpu::Instance::new(descriptor);
    let wanted = options.adapter.clone().or_else(|| std::env::var("KUTTA_ADAPTER").ok());
    let wanted = wanted.filter(|name| !name.is_empty());

    let mut adapters: Vec<_> = instance
        .enumerate_adapters(backends)
        .await
        .into_iter()
        .filter(|a| {
            a.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
        })
        .collect();
    // The sort is stable: among equals the instance's own order stands.
    adapters.sort_by_key(|a| match a.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    });
    let names: Vec<_> = adapters.iter().map(|a| a.get_info().name).collect();
    let fits = |a: &wgpu::Adapter| {
        wanted.as_ref().is_none_or(|w| a.get_info().name.to_lowercase().contains(&w.to_lowercase()))
    };
    adapters.into_iter().find(fits).ok_or_else(|| GpuError::NoAdapter {
        wanted: wanted.as_ref().map_or(String::new(), |w| format!(" whose name contains `{w}`")),
        found: match names.as_slice() {
            [] => format!("none found by {}", names_of(backends & built()).join(", ")),
            names => format!("found {}", names.join(", ")),
        },
        remedy: if names.is_empty() {
            remedy()
        } else {
            "Set KUTTA_ADAPTER to part of one of these names"
        },
    })
}

fn remedy() -> &'static str {
    if cfg!(target_os = "linux") {
        "Install the GPU vendor's Vulkan driver, or a software one: `apt-get install \
         mesa-vulkan-drivers` (Debian, Ubuntu), `dnf install mesa-vulkan-drivers` (Fedora), \
         `pacman -S vulkan-swrast` (Arch)"
    } else if cfg!(target_os = "windows") {
        "Update the GPU driver, or enable the optional feature `Graphics Tools` for the software adapter WARP"
    } else if cfg!(target_os = "macos") {
        "Metal needs macOS 10.14 or later; a virtual machine needs GPU pass-through"
    } else if cfg!(target_arch = "wasm32") {
        "Use a browser with WebGPU enabled"
    } else {
        "Install a Vulkan driver for this system"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_have_names() {
        let built = wgpu::Backends::VULKAN | wgpu::Backends::METAL;
        assert_eq!(named("", built), Ok(wgpu::Backends::all()));
        assert_eq!(named("VK", built), Ok(wgpu::Backends::VULKAN));
        let both = wgpu::Backends::VULKAN | wgpu::Backends::DX12;
        assert_eq!(named("dx12, vulkan", built), Ok(both));
        for (value, words) in [
            ("vulcan", ["WGPU_BACKEND", "`vulcan`: `vulcan` is no backend", "vulkan, metal"]),
            ("vulkan,opencl", ["WGPU_BACKEND", "`opencl` is no backend", "vulkan, metal"]),
            ("vulkan,", ["WGPU_BACKEND", "`` is no backend", "vulkan, metal"]),
            ("dx12", ["`dx12`", "none of these", "vulkan, metal"]),
        ] {
            let message = named(value, built).unwrap_err().to_string();
            for word in words {
                assert!(message.contains(word), "{value}: {message} lacks {word}");
            }
        }
    }
}
