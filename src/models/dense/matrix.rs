//! Products by matrix units: their kernels, and the largest element of each operand, from which
//! kernels find the power of two that brings it in the range of f16.
//!
//! The powers are those of the evaluation itself. The largest element of an operand is found
//! by one more dispatch between the kernel that writes it and the first product that reads it. So
//! nothing overflows, whatever the gradients did an attempt before; the first attempt, one after
//! a refusal and one after a resumption are as all others; and nothing is kept.

use super::buffers::{storage, uniform};
use super::product::quads;
use crate::device::Gpu;
use crate::device::kernel::{Access, Constants, Kernel, flag, wgsl_struct};
use crate::device::library::shader;
use crate::device::traversal::fold;
use crate::error::Error;

/// The operands of a layer's products, each with a place for its largest element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    Weights(usize),
    /// What the layer reads.
    Values(usize),
    Dz(usize),
}

impl Slot {
    pub fn number(self) -> usize {
        match self {
            Slot::Weights(layer) => 3 * layer,
            Slot::Values(layer) => 3 * layer + 1,
            Slot::Dz(layer) => 3 * layer + 2,
        }
    }

    /// Slots of so many layers.
    fn count(layers: usize) -> usize {
        3 * layers
    }
}

wgsl_struct! {
    /// Extents of an operand whose largest element is wanted;
    /// `shaders/dense_largest.wgsl` has its twin.
    pub struct Operand {
        pub rows: u32,
        pub columns: u32,
        pub stride: u32,
        pub slot: u32,
    }
}

/// The largest element of an operand, or all slots set to zero.
pub const LARGEST: Kernel = Kernel {
    name: "dense_largest",
    text: shader!("dense_largest"),
    bindings: &[("operand", Access::Uniform), ("values", Access::Read), ("largest", Access::Write)],
    vectors: &[],
    structs: &[Operand::LAYOUT],
};

pub fn clears(clears: bool) -> Constants {
    vec![("CLEARS", flag(clears))]
}

/// vec4 of which a workgroup of [`LARGEST`] finds the largest element.
const GROUP: usize = 2048;

/// The largest elements of all operands, and how each is found.
#[derive(Debug)]
pub struct Scales {
    /// A word a slot.
    pub largest: wgpu::Buffer,
    /// By slot; none where no matrix unit reads the operand.
    searches: Vec<Option<Search>>,
}

/// A search for the largest element of one operand.
#[derive(Debug)]
pub struct Search {
    pub operand: wgpu::Buffer,
    pub groups: [u32; 3],
}

impl Scales {
    pub fn bytes(layers: usize) -> u64 {
        4 * Slot::count(layers) as u64
    }

    /// Those of so many layers, if matrix units read any operand: rows and elements of each.
    pub fn new(
        gpu: &Gpu,
        layers: usize,
        operands: impl Iterator<Item = (Slot, (usize, usize))>,
    ) -> Result<Option<Self>, Error> {
        let mut searches: Vec<Option<Search>> = Vec::new();
        searches.resize_with(Slot::count(layers), || None);
        for (slot, extents) in operands {
            searches[slot.number()] = Some(Search::new(gpu, slot, extents));
        }
        if searches.iter().all(Option::is_none) {
            return Ok(None);
        }
        let largest = storage(gpu, LARGEST_ELEMENTS, Self::bytes(layers))?;
        Ok(Some(Self { largest, searches }))
    }

    pub fn search(&self, slot: Slot) -> Option<&Search> {
        self.searches[slot.number()].as_ref()
    }
}

pub const LARGEST_ELEMENTS: &str = "largest elements of operands";

impl Search {
    fn new(gpu: &Gpu, slot: Slot, (rows, columns): (usize, usize)) -> Self {
        let stride = quads(columns);
        let operand = Operand {
            rows: rows as u32,
            columns: columns as u32,
            stride: stride as u32,
            slot: slot.number() as u32,
        };
        Self { operand: uniform(gpu, &operand), groups: fold((rows * stride).div_ceil(GROUP)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::harness::gpu;

    /// The largest elements that a search finds in rows padded with what does not count.
    fn found(rows: usize, columns: usize, at: usize, value: f32) -> [u32; 2] {
        let gpu = gpu();
        let stride = 4 * quads(columns);
        let mut values = vec![0.5f32; rows * stride];
        let padding = (0..values.len()).filter(|i| i % stride >= columns).collect::<Vec<_>>();
        padding.into_iter().for_each(|i| values[i] = 9.0);
        values[at / columns * stride + at % columns] = value;
        let buffer = storage(gpu, "values", 4 * values.len() as u64).unwrap();
        gpu.upload(&buffer, bytemuck::cast_slice(&values)).unwrap();
        let largest = storage(gpu, LARGEST_ELEMENTS, Scales::bytes(1)).unwrap();
        gpu.upload(&largest, bytemuck::cast_slice(&[7u32, 8, 0])).unwrap();
        let search = Search::new(gpu, Slot::Dz(0), (rows, columns));
        let pipeline = gpu.pipeline(&LARGEST, &clears(false));
        let resources = [&search.operand, &buffer, &largest].map(|b| b.as_entire_binding());
        let bind_group = pipeline.bind(gpu, &resources);
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(pipeline.pipeline());
            pass.set_bind_group(0, &bind_group, &[]);
            let [x, y, z] = search.groups;
            pass.dispatch_workgroups(x, y, z);
        }
        gpu.queue().submit([encoder.finish()]);
        let bytes = pollster::block_on(gpu.read_buffer(&largest, 0..12)).unwrap();
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(&bytes);
        assert_eq!(words[0], 7, "another operand's slot");
        [words[1], words[2]]
    }

    #[test]
    fn the_largest_element_is_found_wherever_it_is() {
        let bits = |x: f32| [8, x.to_bits()];
        for (rows, columns) in [(1, 1), (3, 5), (1, 8191), (1, 8193), (67, 129)] {
            let count = rows * columns;
            for at in [0, count / 2, count - 1] {
                assert_eq!(found(rows, columns, at, -3.0), bits(3.0), "{rows} {columns} {at}");
            }
        }
        assert_eq!(found(3, 5, 7, 0.25), bits(0.5));
        assert_eq!(found(3, 5, 7, f32::NEG_INFINITY), bits(f32::INFINITY));
        assert!(found(3, 5, 7, f32::NAN)[1] > 0x7f80_0000);
    }
}
