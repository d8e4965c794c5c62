//! What an operation does to a vector, or to a part of the state.

use super::vector::Operand;
use crate::format::Storage;
use crate::ingredients::{Ingredients, Preconditioner};

/// A memory that operations read and write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// One of the plan's vectors.
    Vector(Operand),
    /// The state of the preconditioner, all its vectors where it is written, and the last,
    /// which D is made of, where it is only read.
    Second,
    /// m of the momentum.
    Momentum,
    /// The average of θ.
    Average,
    /// Sums of workgroups, and the stages that are to blame.
    Partials,
    /// What the source left as it checked a gradient.
    Checks,
    /// The control block.
    Control,
    /// L(θ).
    Loss,
    /// The loss at the last stage's point.
    LastLoss,
    /// The ring of records.
    Ring,
}

/// The use of one memory by one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Use {
    pub reads: bool,
    pub writes: bool,
    /// Works on f32 alone: a vector of this use is not stored narrow.
    pub wide: bool,
    /// Happens in few attempts, so that no words are counted; in the others what is there
    /// stays.
    pub seldom: bool,
}

impl Use {
    pub(super) const READ: Self = Self { reads: true, writes: false, wide: false, seldom: false };
    pub(super) const WRITE: Self = Self { writes: true, reads: false, ..Self::READ };
    pub(super) const BOTH: Self = Self { writes: true, ..Self::READ };

    pub(super) const fn wide(self) -> Self {
        Self { wide: true, ..self }
    }

    pub(super) const fn seldom(self) -> Self {
        Self { seldom: true, ..self }
    }

    /// Two uses of one buffer.
    pub(super) fn with(self, other: Self) -> Self {
        Self {
            reads: self.reads || other.reads,
            writes: self.writes || other.writes,
            wide: self.wide || other.wide,
            seldom: self.seldom && other.seldom,
        }
    }

    /// Reads and writes of one element.
    pub(super) fn count(self) -> usize {
        usize::from(self.reads) + usize::from(self.writes)
    }
}

/// One memory that an operation reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Touch {
    pub what: What,
    pub by: Use,
}

impl Touch {
    /// Words per parameter that are moved: one for each vector that is read, and one for
    /// each that is written.
    pub fn words(&self, preconditioner: &Preconditioner) -> usize {
        let vectors = match self.what {
            _ if self.by.seldom => 0,
            What::Vector(_) | What::Momentum | What::Average => 1,
            What::Second if self.by.writes => preconditioner.vectors(),
            // What parameter groups add is a sixteenth.
            What::Second => preconditioner.vectors().min(1),
            What::Partials
            | What::Checks
            | What::Control
            | What::Loss
            | What::LastLoss
            | What::Ring => 0,
        };
        vectors * self.by.count()
    }

    /// The format of what is moved.
    pub fn storage(&self, ingredients: &Ingredients) -> Storage {
        match self.what {
            What::Vector(operand) => operand.storage,
            What::Second => ingredients.second_storage(),
            What::Momentum => ingredients.stored.momentum,
            _ => Storage::F32,
        }
    }

    fn same_buffer(&self, other: &Self) -> bool {
        match (self.what, other.what) {
            (What::Vector(a), What::Vector(b)) => a.slot == b.slot,
            (a, b) => a == b,
        }
    }

    /// Joins the touches of each buffer, and leaves out what a kernel has as a uniform.
    pub(super) fn joined(touches: Vec<Self>) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for touch in touches {
            match all.iter_mut().find(|other| touch.same_buffer(other)) {
                Some(other) => other.by = other.by.with(touch.by),
                None => all.push(touch),
            }
        }
        all.retain(|touch| touch.what != What::Control || touch.by.writes);
        all
    }
}

/// The use that an operation makes of the preconditioner's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Diagonal {
    /// Nothing: D = 1.
    #[default]
    None,
    /// Takes k₁ into it, then makes D from it. Before the verdict it writes the
    /// state's other half, which counts once the attempt is accepted.
    Update,
    /// Makes D from it.
    Read,
}

impl Diagonal {
    pub(super) fn by(self) -> Option<Use> {
        match self {
            Self::None => None,
            Self::Update => Some(Use::BOTH),
            Self::Read => Some(Use::READ),
        }
    }
}
