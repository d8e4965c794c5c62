//! Host side of `shaders/clear_padding.wgsl`: the padding between tensors, which no vector
//! may have a part in.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use crate::device::commands::Commands;
use crate::device::kernel::{Access, Format, Kernel};
use crate::device::library::shader;
use crate::device::traversal::{Traversal, fold};
use crate::device::vector::Vector;
use crate::device::{Gpu, GpuError, Pipeline};
use crate::layout::ParamLayout;

/// Gaps that one workgroup clears.
const PER_GROUP: usize = 4;

/// Entries of the list between places that a binding may begin at: 256 bytes.
const STEP: usize = 64;

pub(crate) const KERNEL: Kernel = Kernel {
    name: "clear_padding",
    text: shader!("clear_padding"),
    bindings: &[("gaps", Access::Read), ("gradient", Access::Write)],
    vectors: &["gradient"],
    structs: &[],
};

/// The gaps that one binding of a vector holds.
#[derive(Clone, Debug)]
struct Part {
    /// Elements of the vector.
    range: Range<usize>,
    /// Entries of the list.
    gaps: Range<usize>,
}

/// The gaps between tensors, before anything is allocated.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gaps {
    parts: Vec<Part>,
    /// The place where each begins in its part; what is between parts is filled up.
    list: Vec<u32>,
}

impl Gaps {
    /// Finds the gaps of a layout, where bindings hold `most` elements.
    pub(crate) fn of(layout: &ParamLayout, walk: &Traversal, most: usize) -> Self {
        let mut found = Self::default();
        let gaps = layout.gaps();
        let mut left = gaps.iter().peekable();
        for (range, ..) in walk.chunks(most) {
            let first = found.list.len();
            while let Some(gap) = left.next_if(|gap| gap.start < range.end) {
                found.list.push((gap.start - range.start) as u32);
            }
            let gaps = first..found.list.len();
            if !gaps.is_empty() {
                // The last gap may end where a shorter last chunk does.
                found.parts.push(Part { range, gaps });
                found.list.resize(found.list.len().next_multiple_of(STEP), 0);
            }
        }
        found
    }

    /// Bytes of the list; none where there are no gaps.
    pub(crate) fn bytes(&self) -> u64 {
        4 * self.list.len() as u64
    }
}

/// Clears the gaps of vectors.
#[derive(Debug)]
pub(crate) struct Padding {
    parts: Vec<Part>,
    list: Option<wgpu::Buffer>,
    /// Dispatches by slots, made when first wanted, for most sources never want any.
    made: Mutex<Vec<Option<Dispatches>>>,
}

type Dispatches = Arc<(Pipeline, Vec<(wgpu::BindGroup, [u32; 3])>)>;

impl Padding {
    pub(crate) fn new(gpu: &Gpu, gaps: Gaps) -> Result<Self, GpuError> {
        let Gaps { parts, list: entries } = gaps;
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
        let list = match entries.is_empty() {
            true => None,
            false => {
                let list = gpu.buffer("padding", 4 * entries.len() as u64, usage)?;
                gpu.upload(&list, bytemuck::cast_slice(&entries))?;
                Some(list)
            }
        };
        Ok(Self { parts, list, made: Mutex::default() })
    }

    /// Tells whether there is any padding between tensors.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_none()
    }

    /// Records the clearing of the vector in a slot.
    pub(crate) fn clear(
        &self,
        gpu: &Gpu,
        slot: usize,
        vector: &Vector,
        commands: &mut Commands<'_>,
    ) {
        let Some(list) = &self.list else { return };
        let dispatches = {
            // A poisoned lock means a panic while binding: the list is still whole.
            let mut made = self.made.lock().unwrap_or_else(|e| e.into_inner());
            if made.len() <= slot {
                made.resize(slot + 1, None);
            }
            made[slot].get_or_insert_with(|| Arc::new(self.bound(gpu, list, vector))).clone()
        };
        let (pipeline, groups) = &*dispatches;
        for (bind_group, workgroups) in groups {
            commands.dispatch(pipeline, bind_group, *workgroups);
        }
    }

    fn bound(
        &self,
        gpu: &Gpu,
        list: &wgpu::Buffer,
        vector: &Vector,
    ) -> (Pipeline, Vec<(wgpu::BindGroup, [u32; 3])>) {
        let format = Format { storage: vector.storage(), ..Format::default() };
        let pipeline = gpu.variant(&KERNEL, &vec![("gradient", format)], &vec![]);
        let bind = |part: &Part| {
            let gaps = wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: list,
                offset: 4 * part.gaps.start as u64,
                size: wgpu::BufferSize::new(4 * part.gaps.len() as u64),
            });
            let group = pipeline.bind(gpu, &[gaps, vector.binding(part.range.clone())]);
            (group, fold(part.gaps.len().div_ceil(PER_GROUP)))
        };
        let groups = self.parts.iter().map(bind).collect();
        (pipeline, groups)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Init;

    #[test]
    fn every_gap_is_in_the_list_of_its_chunk() {
        let mut builder = ParamLayout::builder();
        for tensor in 0..300 {
            // Every third one fills its block.
            let len = if tensor % 3 == 0 { 64 } else { 1 + tensor * 7 % 200 };
            builder = builder.tensor(format!("{tensor}"), &[len], Init::Zeros);
        }
        let layout = builder.build().unwrap();
        let walk = Traversal::new(layout.len(), true);
        for most in [usize::MAX / 8, walk.least_chunk()] {
            let gaps = Gaps::of(&layout, &walk, most);
            let mut found = Vec::new();
            for part in &gaps.parts {
                assert_eq!(part.gaps.start % STEP, 0);
                for &start in &gaps.list[part.gaps.clone()] {
                    let start = part.range.start + start as usize;
                    assert!(part.range.contains(&start));
                    found.push(start..start.next_multiple_of(64));
                }
            }
            assert_eq!(found, layout.gaps());
            assert_eq!(gaps.parts.len() > 1, most == walk.least_chunk());
        }
        let flat = ParamLayout::flat(70).unwrap();
        assert_eq!(Gaps::of(&flat, &Traversal::new(70, true), 1 << 20).bytes(), 0);
    }
}
