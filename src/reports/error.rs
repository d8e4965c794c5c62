//! Where a gradient is not finite, as reports and errors say it.

use std::fmt;
use std::ops::Range;

/// The first place where a gradient is not finite, or its square where that becomes state.
///
/// It prints as it is put into a message: `the gradient of stage 2 in layer0.weight, elements
/// 8 to 11`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotFinite {
    /// The first stage whose gradient is not. Where a kernel is the first to read the gradients
    /// of several stages, as may be with a tableau of one's own, they all count as the
    /// earliest's.
    pub stage: u32,
    /// The first tensor, in the order of the layout, in which it is not.
    pub tensor: String,
    /// Up to four elements of that tensor, flat and by rows. The first one that is not finite
    /// is among them.
    pub elements: Range<usize>,
}

impl fmt::Display for NotFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stage, tensor, elements } = self;
        write!(f, "the gradient of stage {stage} in {tensor}, ")?;
        match elements.len() {
            1 => write!(f, "element {}", elements.start),
            _ => write!(f, "elements {} to {}", elements.start, elements.end - 1),
        }
    }
}
