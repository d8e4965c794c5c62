//! Kernels whose bindings follow the operation: how many gradients it reads, how many
//! vectors it writes, and which of those take the place of what is read.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use super::launch::Resource;
use crate::device::kernel::{Access, Kernel, StructLayout};
use crate::device::template::Table;
use crate::plan::Slot;

/// Names of bindings. They must outlive every kernel, so they are made once.
pub(crate) const INPUTS: [&str; 24] = [
    "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14",
    "x15", "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23",
];
pub(crate) const OUTPUTS: [&str; 16] = [
    "dst", "also1", "also2", "also3", "also4", "also5", "also6", "also7", "also8", "also9",
    "also10", "also11", "also12", "also13", "also14", "also15",
];

/// One storage or uniform binding of a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Binding {
    /// A vector of f32 that is written.
    Output(&'static str, Slot),
    /// A vector that is read, in the format that the pipeline is made for.
    Input(&'static str, Slot),
    /// A vector that is written in the format that the pipeline is made for.
    Stored(&'static str, Slot),
    /// A uniform of this type, which the launch brings as one of several.
    Uniform(&'static str, &'static str, usize),
    /// θ, which is always f32.
    Theta,
    Moments,
    Partials,
    Second,
    Mean,
}

impl Binding {
    fn name(self) -> &'static str {
        match self {
            Self::Output(name, _) | Self::Input(name, _) | Self::Stored(name, _) => name,
            Self::Uniform(name, ..) => name,
            Self::Theta => "theta",
            Self::Moments => "moments",
            Self::Partials => "partials",
            Self::Second => "second",
            Self::Mean => "mean",
        }
    }

    fn access(self) -> Access {
        match self {
            Self::Input(..) | Self::Theta => Access::Read,
            Self::Moments | Self::Uniform(..) => Access::Uniform,
            _ => Access::Write,
        }
    }

    /// Its name and what it holds.
    pub(crate) fn held(self) -> (&'static str, Resource) {
        let resource = match self {
            Self::Output(_, slot) | Self::Input(_, slot) | Self::Stored(_, slot) => {
                Resource::Vector(slot)
            }
            Self::Uniform(_, _, part) => Resource::Part(part),
            Self::Theta => Resource::Vector(0),
            Self::Moments => Resource::Moments,
            Self::Partials => Resource::Partials,
            Self::Second => Resource::Second,
            Self::Mean => Resource::Mean,
        };
        (self.name(), resource)
    }

    fn declaration(self) -> String {
        match self {
            Self::Output(name, _) => format!("var<storage, read_write> {name}: array<vec4<f32>>"),
            Self::Input(name, _) => format!("var<storage, read> {name}: array<{}>", element(name)),
            Self::Stored(name, _) => {
                format!("var<storage, read_write> {name}: array<{}>", element(name))
            }
            Self::Uniform(name, of, _) => format!("var<uniform> {name}: {of}"),
            Self::Theta => "var<storage, read> theta: array<vec4<f32>>".into(),
            Self::Moments => "var<uniform> moments: Moments".into(),
            Self::Partials => "var<storage, read_write> partials: Partials".into(),
            Self::Second => "var<storage, read_write> second: array<Second>".into(),
            Self::Mean => "var<storage, read_write> mean: array<Mean>".into(),
        }
    }

    fn may_be_narrow(self) -> bool {
        matches!(self, Self::Input(..) | Self::Stored(..) | Self::Second | Self::Mean)
    }
}

/// The name of the type of a vector's elements, as the kernel declares it.
fn element(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    first.to_uppercase() + rest
}

/// Writes how the text reads an input: a binding of its own, or the output it gives place to.
pub(crate) fn load(name: &str, own: bool) -> String {
    if own { format!("wide_{name}({name}[i])") } else { format!("{name}[i]") }
}

/// A file of `shaders/` with what it shares, and what all its shapes have.
pub(crate) struct Template {
    pub(crate) name: &'static str,
    pub(crate) text: &'static [&'static str],
    /// Uniforms before the shape's own bindings.
    pub(crate) uniforms: &'static [(&'static str, Access)],
    pub(crate) structs: &'static [StructLayout],
    pub(crate) stateful_structs: &'static [StructLayout],
}

/// Kernels made so far, by their text. A pipeline's label and bindings borrow from
/// them, and there are only as many as there are shapes, so they stay for good.
static KERNELS: LazyLock<Mutex<HashMap<String, &'static Kernel>>> = LazyLock::new(Mutex::default);

impl Template {
    /// The kernel with these bindings after its uniforms; `table` has what else the
    /// text names.
    pub(crate) fn kernel(&self, bindings: &[Binding], table: Table) -> &'static Kernel {
        self.kernel_with(bindings, table, &[])
    }

    /// The same, with structs that not all its shapes have.
    pub(crate) fn kernel_with(
        &self,
        bindings: &[Binding],
        mut table: Table,
        further: &[StructLayout],
    ) -> &'static Kernel {
        let has = |wanted: Binding| bindings.contains(&wanted);
        table.flags.extend([
            ("partials", has(Binding::Partials)),
            ("state", has(Binding::Second)),
            ("mean", has(Binding::Mean)),
            ("moments", has(Binding::Moments)),
        ]);
        let first = self.uniforms.len();
        table.lists.extend([
            ("bindings".into(), bindings.iter().map(|b| b.declaration()).collect()),
            ("numbers".into(), (first..first + bindings.len()).map(|n| n.to_string()).collect()),
        ]);
        let text = table.expand(self.text);
        let mut kernels = KERNELS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kernel) = kernels.get(&text) {
            return kernel;
        }
        let own = bindings.iter().map(|b| (b.name(), b.access()));
        let all: Vec<_> = self.uniforms.iter().copied().chain(own).collect();
        let narrow: Vec<_> =
            bindings.iter().filter(|b| b.may_be_narrow()).map(|b| b.name()).collect();
        let name = format!("{}.{}", self.name, kernels.len());
        let has_state = self.stateful_structs.iter().filter(|_| has(Binding::Moments));
        let structs: Vec<_> =
            self.structs.iter().chain(has_state).chain(further).copied().collect();
        let kernel: &'static Kernel = Box::leak(Box::new(Kernel {
            name: name.leak(),
            text: vec![&*text.clone().leak()].leak(),
            bindings: all.leak(),
            vectors: narrow.leak(),
            structs: structs.leak(),
        }));
        kernels.insert(text, kernel);
        kernel
    }
}
