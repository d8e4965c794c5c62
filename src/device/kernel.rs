//! The host's knowledge of one hand-written shader: its text, its bindings and
//! the structs it shares with Rust. The shader tests hold all three against
//! what naga reads in the `.wgsl` files.

use std::fmt::Write;

use super::template::expand;
use crate::format::{Rounding, Storage};

/// A compute shader of `shaders/`: entry point `main`, one bind group.
#[derive(Clone, Copy)]
pub struct Kernel {
    /// File name without its ending; also the label in a GPU debugger.
    pub name: &'static str,
    /// The shader's text, in parts. Lines that begin with `//:` are read by kutta and are for
    /// its own files: `//: use …` names shared texts that come with it. Write none in a text of
    /// your own.
    pub text: &'static [&'static str],
    /// Bindings of group 0 in order, by the name of their WGSL variable.
    pub bindings: &'static [(&'static str, Access)],
    /// Bindings among them whose vectors may be stored narrow. The shader declares
    /// `x: array<X>`, reads `wide_x(x[i])` and writes `x[i] = narrow_x(value)`, or
    /// `dithered_x(value, noise)` for state; X and these functions are the host's, which
    /// declares them for each [`Formats`]. An X is four elements in every format; where
    /// two f32 lie in place of them, `pair_x(x[i])` reads those.
    pub vectors: &'static [&'static str],
    /// Layouts of the structs that Rust writes and this shader reads.
    pub structs: &'static [StructLayout],
}

/// The format of one vector's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Format {
    pub storage: Storage,
    /// The rounding of `dithered_x`.
    pub rounding: Rounding,
}

/// Formats of a kernel's vectors by the names of their bindings; those left out are
/// f32. A pipeline is compiled for each set.
pub type Formats = Vec<(&'static str, Format)>;

/// The access of a kernel to a binding.
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

/// The value of a kernel's `override` that is a bool.
pub(crate) fn flag(set: bool) -> f64 {
    f64::from(u8::from(set))
}

/// Values of a kernel's `override` constants.
pub type Constants = Vec<(&'static str, f64)>;

/// How four elements of a narrow storage are read and written.
pub(crate) fn packing(storage: Storage) -> String {
    expand(&[&format!("//: use {storage}")])
}

/// The element type of a vector, and how it is read and written.
fn declare(source: &mut String, name: &str, format: Format, write: bool) {
    let (first, rest) = name.split_at(1);
    let alias = first.to_uppercase() + rest;
    let (element, [wide, narrow, dithered]) = match (format.storage, format.rounding) {
        (Storage::F32, _) => ("vec4<f32>", ["x"; 3]),
        (Storage::F16, Rounding::Nearest) => {
            ("vec2<u32>", ["from_f16(x)", "to_f16(x)", "to_f16(x)"])
        }
        (Storage::F16, Rounding::Stochastic) => {
            ("vec2<u32>", ["from_f16(x)", "to_f16(x)", "dithered_f16(x, noise)"])
        }
        (Storage::Bf16, Rounding::Nearest) => {
            ("vec2<u32>", ["from_bf16(x)", "to_bf16(x)", "to_bf16(x)"])
        }
        (Storage::Bf16, Rounding::Stochastic) => {
            ("vec2<u32>", ["from_bf16(x)", "to_bf16(x)", "dithered_bf16(x, noise)"])
        }
    };
    // Writing to a String cannot fail.
    let _ = writeln!(source, "alias {alias} = {element};");
    let _ = writeln!(source, "fn wide_{name}(x: {alias}) -> vec4<f32> {{ return {wide}; }}");
    if write {
        let _ =
            writeln!(source, "fn narrow_{name}(x: vec4<f32>) -> {alias} {{ return {narrow}; }}");
        let _ = writeln!(
            source,
            "fn dithered_{name}(x: vec4<f32>, noise: vec4<u32>) -> {alias} {{ return {dithered}; }}"
        );
    }
    // Two f32 take the place of four halves.
    let pair = if format.storage.is_narrow() { "bitcast<vec2<f32>>(x)" } else { "x.xy" };
    let _ = writeln!(source, "fn pair_{name}(x: {alias}) -> vec2<f32> {{ return {pair}; }}");
}

impl Kernel {
    /// The whole WGSL text, with vectors in these formats.
    pub fn source(&self, formats: &Formats) -> String {
        let mut source = String::new();
        for storage in [Storage::F16, Storage::Bf16] {
            if formats.iter().any(|(_, format)| format.storage == storage) {
                source += &packing(storage);
            }
        }
        for name in self.vectors {
            let format = formats.iter().find(|(of, _)| of == name).map(|(_, format)| *format);
            let write = self.bindings.contains(&(*name, Access::Write));
            declare(&mut source, name, format.unwrap_or_default(), write);
        }
        source + &expand(self.text)
    }

    /// Storage buffers that it binds.
    pub(crate) fn storage_buffers(&self) -> u32 {
        self.bindings.iter().filter(|(_, access)| *access != Access::Uniform).count() as u32
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
            pub const LAYOUT: $crate::device::kernel::StructLayout = $crate::device::kernel::StructLayout {
                name: stringify!($name),
                size: std::mem::size_of::<$name>(),
                fields: &[$((stringify!($field), std::mem::offset_of!($name, $field))),*],
            };
        }
    };
}
pub(crate) use wgsl_struct;
