//! How the state of ingredients lies in its buffers: vectors and their halves interleaved by
//! the spans of workgroups. WGSL twin: `state_at`, `second_at` and `mean_at` of
//! `shaders/shared/moments.wgsl`.

use std::ops::Range;

use crate::device::traversal::Traversal;
use crate::layout::ALIGNMENT;
use crate::plan::Plan;

/// Elements beside each block where there are parameter groups: a vec4.
const BESIDE: usize = 4;

/// The layout of one buffer, in elements. A span has each vector's halves one after the
/// other, and after those, where there are groups, four elements for each of its blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interleaved {
    /// Elements of a vector that a workgroup does.
    pub(crate) span: usize,
    pub(crate) vectors: usize,
    pub(crate) halves: usize,
    pub(crate) grouped: bool,
}

impl Interleaved {
    /// The layout of the preconditioner's state.
    pub(crate) fn second(plan: &Plan, walk: &Traversal) -> Self {
        Self {
            span: walk.least_chunk(),
            vectors: plan.ingredients().preconditioner.vectors(),
            halves: plan.state_halves(),
            grouped: plan.ingredients().grouped,
        }
    }

    /// The layout of the momentum.
    pub(crate) fn mean(plan: &Plan, walk: &Traversal) -> Self {
        let span = walk.least_chunk();
        Self { span, vectors: 1, halves: plan.mean_halves(), grouped: false }
    }

    /// Halves of all vectors.
    pub(crate) fn width(&self) -> usize {
        self.vectors * self.halves
    }

    /// Elements of the groups of a span.
    pub(crate) fn beside(&self) -> usize {
        if self.grouped { self.span / ALIGNMENT * BESIDE } else { 0 }
    }

    /// Elements from one span to the next.
    pub(crate) fn stride(&self) -> usize {
        self.width() * self.span + self.beside()
    }

    /// Elements of the first span before a half of a vector.
    pub(crate) fn first(&self, vector: usize, half: usize) -> usize {
        (vector * self.halves + half) * self.span
    }

    /// The part of the buffer that belongs to so many of a vector's elements from a multiple
    /// of the span on.
    pub(crate) fn part(&self, range: &Range<usize>) -> Range<usize> {
        range.start / self.span * self.stride()..range.end.div_ceil(self.span) * self.stride()
    }
}

/// Vectors that at most lie in one binding: as many as a chunk's elements must fit in.
pub(crate) fn widest(plan: &Plan) -> usize {
    let second = plan.state_width() + usize::from(plan.ingredients().grouped);
    second.max(plan.mean_halves()).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_buffer_follow_one_another_and_hold_every_half() {
        let span = 4096;
        for (vectors, halves, grouped) in [(1, 1, false), (2, 2, true), (0, 2, true), (1, 0, false)]
        {
            let layout = Interleaved { span, vectors, halves, grouped };
            let beside = if grouped { span / 16 } else { 0 };
            assert_eq!(layout.stride(), vectors * halves * span + beside);
            let parts = [0..2 * span, 2 * span..3 * span, 3 * span..3 * span + 70];
            let mut next = 0;
            for (part, spans) in parts.iter().map(|range| layout.part(range)).zip([2, 1, 1]) {
                assert_eq!(part.start, next);
                assert_eq!(part.len(), spans * layout.stride());
                next = part.end;
            }
            for vector in 0..vectors {
                for half in 0..halves {
                    let first = layout.first(vector, half);
                    assert_eq!(first, (vector * halves + half) * span);
                    assert!(first + span + layout.beside() <= layout.stride());
                }
            }
        }
    }
}
