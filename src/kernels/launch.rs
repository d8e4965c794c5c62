//! An operation as its kernel is launched: which one, in what formats and constants, and what
//! each of its bindings holds, by name.

use std::ops::Range;

use bytemuck::NoUninit;

use super::moments::Kinds;
use crate::device::kernel::{Constants, Formats, Kernel};
use crate::device::traversal::{Chunk, Traversal};
use crate::plan::{Plan, Slot};

/// What a binding holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    Control,
    Settings,
    /// The uniform that the launch itself brings.
    Uniform,
    /// The one of this number, where it brings several.
    Part(usize),
    Moments,
    Partials,
    Checks,
    Loss,
    LastLoss,
    Ring,
    /// The chunk's part of the vector in a slot.
    Vector(Slot),
    /// The chunk's part of the preconditioner's state.
    Second,
    /// The chunk's part of the momentum.
    Mean,
    /// The chunk's part of the average of θ.
    Average,
    /// A block that is written in place of a vector that there is not. None may be bound
    /// twice: one of three.
    Written(usize),
    /// A block that is read in place of a vector that there is not.
    Read,
}

/// Names of bindings with what they hold, in any order.
pub(crate) type Bindings = Vec<(&'static str, Resource)>;

/// The bytes of a chunk's uniform, from its elements and what kernels are told of it.
type ChunkUniform<'a> = Box<dyn Fn(&Range<usize>, Chunk) -> Vec<u8> + 'a>;

/// The dispatches of a launch.
pub(crate) enum Work<'a> {
    /// One, of one workgroup, with this uniform if it binds one.
    Once(Vec<u8>),
    /// One, of one workgroup that walks whole vectors, with these uniforms.
    Whole(Vec<Vec<u8>>),
    /// One for each chunk, and the uniform of each.
    Chunks(ChunkUniform<'a>),
}

impl<'a> Work<'a> {
    pub(crate) fn once(uniform: &impl NoUninit) -> Self {
        Self::Once(bytemuck::bytes_of(uniform).to_vec())
    }

    pub(crate) fn chunks<T: NoUninit>(uniform: impl Fn(&Range<usize>, Chunk) -> T + 'a) -> Self {
        Self::Chunks(Box::new(move |range, chunk| {
            bytemuck::bytes_of(&uniform(range, chunk)).to_vec()
        }))
    }
}

/// One operation, ready to be recorded.
pub(crate) struct Launch<'a> {
    pub(crate) kernel: &'static Kernel,
    pub(crate) formats: Formats,
    pub(crate) constants: Constants,
    pub(crate) bindings: Bindings,
    pub(crate) work: Work<'a>,
}

impl Launch<'_> {
    /// What the kernel's bindings hold, in its order.
    pub(crate) fn resources(&self) -> impl Iterator<Item = Resource> + '_ {
        // The tests ask for those of every operation.
        let name = self.kernel.name;
        if self.bindings.len() != self.kernel.bindings.len() {
            unreachable!("{name} binds {:?}, not {:?}", self.kernel.bindings, self.bindings);
        }
        self.kernel.bindings.iter().map(move |(wanted, _)| {
            let found = self.bindings.iter().find(|(given, _)| given == wanted);
            found.unwrap_or_else(|| unreachable!("nobody binds `{wanted}` of {name}")).1
        })
    }
}

/// What launches depend on beside their operation.
#[derive(Clone, Copy)]
pub(crate) struct Setting<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) kinds: Kinds,
    pub(crate) walk: Traversal,
}

impl<'a> Setting<'a> {
    pub(crate) fn new(plan: &'a Plan, walk: Traversal) -> Self {
        let walk = if plan.is_narrow() { walk.for_halves() } else { walk };
        Self { plan, kinds: Kinds::of(plan), walk }
    }
}
