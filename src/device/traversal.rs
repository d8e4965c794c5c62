//! Kernels walk a vector by spans of a fixed size for a workgroup, so that
//! the order of a sum depends on the vector's length alone, and never on how
//! bindings cut it into chunks. WGSL twin: `shaders/shared/traversal.wgsl`.

use std::ops::Range;

use super::kernel::{Constants, wgsl_struct};
use crate::codes::lane;

/// Lanes of a workgroup.
pub const LANES: usize = lane::LANES as usize;

/// Workgroups of a one-dimensional grid, folded where WebGPU's promise of
/// 65,535 per dimension is not enough.
pub fn fold(groups: usize) -> [u32; 3] {
    const MOST: usize = 65_535;
    let rows = groups.div_ceil(MOST);
    [groups.div_ceil(rows) as u32, rows as u32, 1]
}

wgsl_struct! {
    /// The part of a vector that one dispatch sees.
    pub struct Chunk {
        pub elements: u32,
        pub first_partial: u32,
        pub span: u32,
        pub first: u32,
    }
}

/// Walks vectors of one length on one kind of adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traversal {
    len: usize,
    /// vec4s a workgroup does.
    span: usize,
    /// Neighbouring lanes that share a contiguous part.
    run: usize,
    /// A partial sum a lane instead of one a workgroup.
    lane_partials: bool,
}

impl Traversal {
    /// Makes the walk of vectors of `len` elements.
    ///
    /// A software adapter runs eight lanes to their end before the next eight,
    /// and pays microseconds for a barrier: short runs, long spans, partial
    /// sums by lane. A GPU wants coalesced loads and some thousand workgroups.
    pub fn new(len: usize, software: bool) -> Self {
        let vec4s = len.div_ceil(4);
        let (run, wanted, most_span, most_groups) =
            if software { (8, 64, 16_384, 1_024) } else { (LANES, 4_096, usize::MAX, 4_096) };
        let span = vec4s.div_ceil(wanted).next_power_of_two().clamp(1_024, most_span);
        let span = span.max(vec4s.div_ceil(most_groups).next_power_of_two());
        Self { len, span, run, lane_partials: software }
    }

    /// Walks for kernels that read or write halves. On llvmpipe, where eight lanes side by side
    /// take half a cache line's worth in a load, θ − h k ran 1.3 times as long as in f32;
    /// with two parts of four lanes it runs 0.93 times as long. In f32 that spares a guard
    /// 0.4 of its time and nothing else anything: sums keep their order there.
    pub fn for_halves(self) -> Self {
        Self { run: self.run.min(if self.lane_partials { 4 } else { LANES }), ..self }
    }

    /// Elements of the vectors.
    pub(crate) fn elements(&self) -> usize {
        self.len
    }

    /// Partial sums that a norm over the whole vector leaves.
    pub fn partials(&self) -> usize {
        self.groups(self.len) * self.partials_per_group()
    }

    /// The length in whole spans.
    pub fn padded(&self) -> usize {
        self.groups(self.len) * self.least_chunk()
    }

    fn groups(&self, elements: usize) -> usize {
        elements.div_ceil(4 * self.span)
    }

    fn partials_per_group(&self) -> usize {
        if self.lane_partials { LANES } else { 1 }
    }

    /// The vector in pieces that a binding of `most` elements can hold: for
    /// each its elements, what its dispatch is told, and its workgroups. A
    /// piece holds whole spans; a limit below one span still gets one.
    pub fn chunks(&self, most: usize) -> impl Iterator<Item = (Range<usize>, Chunk, u32)> + '_ {
        let whole = 4 * self.span;
        let piece = (most / whole).max(1) * whole;
        (0..self.len).step_by(piece).map(move |start| {
            let elements = piece.min(self.len - start);
            let chunk = Chunk {
                elements: elements as u32,
                first_partial: (start / whole * self.partials_per_group()) as u32,
                span: self.span as u32,
                first: (start / 4) as u32,
            };
            (start..start + elements, chunk, self.groups(elements) as u32)
        })
    }

    /// The vector as one piece, however long it is.
    pub(crate) fn whole(&self) -> (Range<usize>, Chunk, u32) {
        let elements = self.len as u32;
        let chunk = Chunk { elements, first_partial: 0, span: self.span as u32, first: 0 };
        (0..self.len, chunk, self.groups(self.len) as u32)
    }

    /// Elements of the smallest piece [`Traversal::chunks`] can cut.
    pub fn least_chunk(&self) -> usize {
        4 * self.span
    }

    /// Override constants for kernels that walk.
    pub(crate) fn constants(&self) -> Constants {
        vec![("RUN", self.run as f64)]
    }

    /// Override constants for kernels that walk and sum.
    pub(crate) fn sum_constants(&self) -> Constants {
        let mut constants = self.constants();
        constants.push(("LANE_PARTIALS", f64::from(u8::from(self.lane_partials))));
        constants
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_beyond_one_dimension_fold() {
        for groups in [1, 65_535, 65_536, 1_000_000] {
            let [x, y, z] = fold(groups);
            assert!(x <= 65_535 && y <= 65_535 && z == 1);
            let all = x as usize * y as usize;
            assert!(all >= groups && all < groups + y as usize, "{groups}: {x} × {y}");
        }
    }

    #[test]
    fn chunks_cover_the_vector_and_keep_the_spans() {
        for software in [true, false] {
            let ten_billion = 10_000_000_007;
            for len in [1, 3, 4, 255, 4_097, 65_537, 1_000_003, 40_000_000, ten_billion] {
                let walk = Traversal::new(len, software);
                let whole: Vec<_> = walk.chunks(usize::MAX / 8).collect();
                assert_eq!(whole.len(), 1);
                for most in [1, 70_000, 33_554_432] {
                    let mut next = 0;
                    let mut groups = 0;
                    for (range, chunk, count) in walk.chunks(most) {
                        assert_eq!(range.start, next);
                        assert_eq!(range.start % walk.least_chunk(), 0);
                        assert!(range.len() <= most.max(walk.least_chunk()));
                        assert_eq!(chunk.elements as usize, range.len());
                        let per_group = if software { LANES as u32 } else { 1 };
                        assert_eq!(chunk.first_partial, groups * per_group);
                        assert_eq!(chunk.first as usize, range.start / 4);
                        next = range.end;
                        groups += count;
                    }
                    assert_eq!((next, groups), (len, whole[0].2));
                    assert!(groups <= 65_535);
                }
            }
        }
    }
}
