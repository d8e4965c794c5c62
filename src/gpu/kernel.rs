//! What the host knows of one hand-written shader: its text, its bindings and
//! the structs it shares with Rust. The shader tests hold all three against
//! what naga reads in the `.wgsl` files.

/// A compute shader of `shaders/`: entry point `main`, one bind group.
#[derive(Clone, Copy)]
pub struct Kernel {
    /// File name without its ending; also the label in a GPU debugger.
    pub name: &'static str,
    /// The shader's text: shared pieces first, the kernel's own file last.
    pub text: &'static [&'static str],
    /// Bindings of group 0 in order, by the name of their WGSL variable.
    pub bindings: &'static [(&'static str, Access)],
    /// Layouts of the structs that Rust writes and this shader reads.
    pub structs: &'static [StructLayout],
}

/// How a kernel uses a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `var<uniform>`
    Uniform,
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    Write,
}

/// Field offsets of a struct both sides know, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct StructLayout {
    pub name: &'static str,
    pub size: usize,
    pub fields: &'static [(&'static str, usize)],
}

/// Values of a kernel's `override` constants.
pub type Constants = Vec<(&'static str, f64)>;

impl Kernel {
    /// The whole WGSL text.
    pub fn source(&self) -> String {
        self.text.concat()
    }

    pub(crate) fn layout_entries(&self) -> Vec<wgpu::BindGroupLayoutEntry> {
        let entry = |(i, &(_, access)): (usize, &(&str, Access))| wgpu::BindGroupLayoutEntry {
            binding: i as u32,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: match access {
                    Access::Uniform => wgpu::BufferBindingType::Uniform,
                    Access::Read => wgpu::BufferBindingType::Storage { read_only: true },
                    Access::Write => wgpu::BufferBindingType::Storage { read_only: false },
                },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        };
        self.bindings.iter().enumerate().map(entry).collect()
    }
}

/// Declares a `#[repr(C)]` struct that a shader also declares, and records its
/// field offsets so that a test can hold the two against each other.
macro_rules! wgsl_struct {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$fmeta:meta])* $fvis:vis $field:ident : $ty:ty),* $(,)? }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
        $vis struct $name { $($(#[$fmeta])* $fvis $field: $ty),* }

        impl $name {
            /// Offsets as Rust lays them out.
            pub const LAYOUT: $crate::gpu::kernel::StructLayout = $crate::gpu::kernel::StructLayout {
                name: stringify!($name),
                size: std::mem::size_of::<$name>(),
                fields: &[$((stringify!($field), std::mem::offset_of!($name, $field))),*],
            };
        }
    };
}
pub(crate) use wgsl_struct;
