//! What an optimizer needs of a device, known before anything is allocated.

use super::OptimizerError;
use crate::device::timer::{STAMPS_BYTES, Timer};
use crate::device::traversal::Traversal;
use crate::device::vector::Vector;
use crate::device::{Gpu, GpuError};
use crate::error::Error;
use crate::kernels::padding::Gaps;
use crate::layout::{ALIGNMENT, ParamLayout};
use crate::plan::Plan;
use crate::recorder::{Uniforms, most_storage_buffers};
use crate::reports::Reports;
use crate::state::{MEAN, SECOND, Sizes};

/// What an optimizer needs of a device: [`Builder::requirements`](super::Builder::requirements).
///
/// For n parameters the bytes are n times [`Plan::resident_bytes`], with vectors padded to
/// whole blocks of 64 elements and the state of ingredients to whole spans of workgroups,
/// and up to some MiB for partial sums, uniforms and records. What the gradient source
/// keeps, and staging memory while θ is written or read (32 to 64 MiB), are not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Requirements {
    /// Bytes of all buffers.
    pub bytes: u64,
    /// Buffers of the parameters' length that operations name, θ included.
    pub vectors: usize,
    /// Bytes of the largest buffer: `max_buffer_size` must not be less.
    pub largest_buffer: u64,
    /// What that buffer holds.
    pub largest_holds: &'static str,
    /// Bytes of the largest binding; longer vectors are bound in chunks.
    pub largest_binding: u64,
    /// Most storage buffers that one kernel binds.
    pub storage_buffers: u32,
    /// Features of the device: none. [`Optimizer::record_for`](super::Optimizer::record_for)
    /// makes use of `TIMESTAMP_QUERY` where it is there.
    pub features: wgpu::Features,
    /// The least `max_storage_buffer_binding_size` that vectors could be cut for.
    least_binding: u64,
    narrow: bool,
}

impl Requirements {
    pub(super) fn of(
        gpu: &Gpu,
        plan: &Plan,
        walk: &Traversal,
        layout: &ParamLayout,
        most: usize,
    ) -> Self {
        let sizes = Sizes::of(plan, walk, layout.len());
        let padding = Gaps::of(layout, walk, most).bytes();
        let uniforms = Uniforms::of(gpu, plan, walk, most);
        let mut buffers = sizes.buffers();
        buffers.push(("uniforms", uniforms.bytes));
        buffers.push(("places of padding", padding));
        buffers.extend(Reports::BUFFERS.map(|bytes| ("copies of the ring", bytes)));
        if Timer::wanted(gpu) {
            buffers.push(("timestamps", STAMPS_BYTES));
        }
        // The first of the largest: θ before vectors like it.
        let largest = buffers.iter().rev().max_by_key(|(_, bytes)| *bytes);
        let (largest_holds, largest_buffer) = largest.copied().unwrap_or_default();
        Self {
            bytes: buffers.iter().map(|(_, bytes)| bytes).sum(),
            vectors: plan.slots(),
            largest_buffer,
            largest_holds,
            largest_binding: sizes.largest_binding(plan, walk, uniforms.most).max(padding),
            storage_buffers: most_storage_buffers(plan, walk),
            features: wgpu::Features::empty(),
            least_binding: sizes.least.max(padding),
            narrow: plan.is_narrow(),
        }
    }

    /// `available` bytes are what the optimizer may take, where that is known.
    pub(super) fn check(&self, gpu: &Gpu, available: Option<u64>) -> Result<(), Error> {
        gpu.check_limits("the optimizer", self.least_binding)?;
        let (needed, found) = (self.storage_buffers.into(), gpu.storage_bindings().into());
        if needed > found {
            let (what, limit) = ("the plan".into(), "max_storage_buffers_per_shader_stage");
            return Err(GpuError::LimitTooSmall { what, limit, needed, found }.into());
        }
        let limit = gpu.limits().max_buffer_size;
        if self.largest_buffer > limit {
            return Err(OptimizerError::BufferTooLarge {
                what: self.largest_holds,
                needed: self.largest_buffer,
                limit,
                remedy: self.smaller_buffers(limit),
            }
            .into());
        }
        match available {
            Some(available) if self.bytes > available => Err(OptimizerError::MemoryTooSmall {
                needed: self.bytes,
                available,
                vectors: self.vectors,
                remedy: self.less_memory(),
            }
            .into()),
            _ => Ok(()),
        }
    }

    fn smaller_buffers(&self, limit: u64) -> String {
        // Vectors are padded to whole blocks, so only whole blocks fit.
        let block = Vector::bytes(ALIGNMENT);
        let parameters = limit / block * ALIGNMENT as u64;
        let larger = "a device with larger buffers (`LimitsWanted::Adapter` asks for all that \
                      the adapter gives)";
        match self.largest_holds {
            SECOND | MEAN if self.narrow => {
                format!("Take {larger}, or a method or ingredient with less state")
            }
            SECOND | MEAN => format!(
                "Keep it in 16 bits (`.storage(Stored::all(Storage::Bf16))`), or take {larger}"
            ),
            _ => format!("Take at most {parameters} parameters, or {larger}"),
        }
    }

    fn less_memory(&self) -> String {
        let mut ways = Vec::new();
        if !self.narrow {
            ways.push(
                "keep gradients and state in 16 bits (`.storage(Stored::all(Storage::Bf16))`)",
            );
        }
        if self.vectors > 2 {
            ways.push(
                "take a method of fewer vectors: a low-storage one such as `williamson3` needs \
                 three with `Guard::Off`, or two for a source that adds gradients up (`.source(&source)`), \
                 and `euler` needs two",
            );
        }
        ways.push("leave out the average, the momentum or the preconditioner");
        format!("Free memory, or {}", ways.join("; or "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Storage;
    use crate::ingredients::{Ingredients, Preconditioner, Stored};
    use crate::method::Method;
    use crate::plan::{Guard, Options};

    fn of(gpu: &Gpu, name: &str, ingredients: &Ingredients, n: usize) -> Requirements {
        let method: Method = name.parse().unwrap();
        let plan = Plan::with_ingredients(&method, ingredients, Options::default()).unwrap();
        let walk = Traversal::new(n, gpu.is_software());
        let layout = ParamLayout::flat(n).unwrap();
        Requirements::of(gpu, &plan, &walk, &layout, gpu.binding_elements())
    }

    #[test]
    fn every_error_has_numbers_and_a_way_out() {
        let gpu = Gpu::new().unwrap();
        let limit = gpu.limits().max_buffer_size;
        let rk4 = of(&gpu, "rk4", &Ingredients::default(), 1000);
        rk4.check(&gpu, Some(rk4.bytes)).unwrap();
        rk4.check(&gpu, None).unwrap();
        let error = rk4.check(&gpu, Some(rk4.bytes - 1)).unwrap_err().to_string();
        for part in [rk4.bytes.to_string(), (rk4.bytes - 1).to_string(), "williamson3".into()] {
            assert!(error.contains(&part), "{part} is not in: {error}");
        }
        assert!(error.contains("Storage::Bf16"), "{error}");

        // One block of 64 more than fits.
        let most = (limit / 256 * 64) as usize;
        of(&gpu, "euler", &Ingredients::default(), most).check(&gpu, None).unwrap();
        let beyond = of(&gpu, "euler", &Ingredients::default(), most + 1);
        let error = beyond.check(&gpu, None).unwrap_err().to_string();
        for part in [limit.to_string(), beyond.largest_buffer.to_string(), most.to_string()] {
            assert!(error.contains(&part), "{part} is not in: {error}");
        }

        let state = |stored| Ingredients {
            preconditioner: Preconditioner::adam(0.9, 1e-8),
            stored,
            ..Ingredients::default()
        };
        // Two halves of v in f32 are 8 bytes a parameter, in bf16 4.
        let wide = of(&gpu, "rk4", &state(Stored::default()), most / 2 + most / 16);
        let error = wide.check(&gpu, None).unwrap_err().to_string();
        assert!(error.contains(SECOND) && error.contains("Storage::Bf16"), "{error}");
        let bf16 = of(&gpu, "rk4", &state(Stored::all(Storage::Bf16)), most / 2 + most / 16);
        bf16.check(&gpu, None).unwrap();
    }

    #[test]
    fn the_ways_out_need_as_few_vectors_as_they_say() {
        let slots = |name: &str, options| {
            let method: Method = name.parse().unwrap();
            Plan::new(&method, options).unwrap().slots()
        };
        let off = Options { guard: Guard::Off, ..Options::default() };
        assert_eq!(slots("williamson3", off), 3);
        assert_eq!(slots("williamson3", Options { adds: true, ..off }), 2);
        assert_eq!(slots("euler", Options::default()), 2);
    }
}
