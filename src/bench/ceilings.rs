//! Ceilings: how fast a device copies, reads and writes a vector at most.

use super::elementwise::{Elementwise, Value};
use super::numbers::{THETA, upload, value};
use super::room::{check_length, check_memory};
use super::touches::Touch;
use super::work::Work;
use crate::device::Gpu;
use crate::device::traversal::Traversal;
use crate::device::vector::Vector;
use crate::error::Error;
use crate::layout::ALIGNMENT;

/// Vectors that a copy, a read and a write of n elements run on: what a device
/// gives at most.
#[derive(Debug)]
pub struct Ceilings {
    sets: Vec<[Work; 3]>,
}

/// One of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ceiling {
    /// y = x, in vec4s: two words.
    Copy,
    /// Reads x and writes nothing: one word.
    Read,
    /// Writes y and reads nothing: one word.
    Write,
}

impl Ceiling {
    pub const ALL: [Self; 3] = [Self::Copy, Self::Read, Self::Write];

    pub fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    /// Words per element.
    pub fn words(self) -> usize {
        match self {
            Self::Copy => 2,
            Self::Read | Self::Write => 1,
        }
    }
}

impl Ceilings {
    /// Two vectors in each of the `sets`.
    ///
    /// # Errors
    /// No elements, or a device too small.
    pub fn new(gpu: &Gpu, n: usize, sets: usize) -> Result<Self, Error> {
        check_length(n)?;
        let walk = Traversal::new(n, gpu.is_software());
        check_memory(gpu, n, sets, Self::bytes(n, sets))?;
        let mut elementwise = Elementwise::new(gpu, walk, gpu.binding_elements());
        let elsewhere = Vector::zeros(gpu, "elsewhere", ALIGNMENT)?;
        let mut made = Vec::new();
        for _ in 0..sets.max(1) {
            let x = Vector::zeros(gpu, "source of a copy", n)?;
            let y = Vector::zeros(gpu, "target of a copy", n)?;
            upload(gpu, &x, &|i| value(THETA, i))?;
            let mut work = |touches| elementwise.dispatches(touches, Value::Largest, &elsewhere);
            made.push([
                work(vec![Touch::read(&x), Touch::write(&y)]),
                work(vec![Touch::read(&x)]),
                work(vec![Touch::write(&y)]),
            ]);
        }
        Ok(Self { sets: made })
    }

    /// Bytes on the device.
    pub fn bytes(n: usize, sets: usize) -> u64 {
        (2 * Vector::bytes(n)).saturating_mul(sets as u64)
    }

    pub fn sets(&self) -> usize {
        self.sets.len()
    }

    /// The dispatches of one of them on a set; sets are taken in turn.
    pub fn work(&self, set: usize, ceiling: Ceiling) -> &Work {
        &self.sets[set % self.sets.len()][ceiling as usize]
    }
}
