//! Chooses how many samples a workgroup of a tail takes, and whether what lies between its
//! layers stays in workgroup memory.

use super::cost::{DISPATCH, MOVED, PROCESSORS, together};
use super::product::quads;

/// Bytes of workgroup memory that every tail takes: all that a browser promises.
pub const LEAST_BYTES: u32 = 16_384;
/// The same on a large GPU.
pub const LARGE_GPU_BYTES: u32 = 49_152;
/// vec4s beside them for what is between layers, of the kernels that keep it there.
pub const KEPT: [usize; 2] = [1024, 2048];

/// The form of a tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TailForm {
    /// vec4 of samples that a workgroup does.
    pub group_quads: usize,
    /// vec4s of workgroup memory for what is between layers, one of [`KEPT`]; 0: it lies in a
    /// storage buffer.
    pub kept: usize,
}

/// The last layers of a network with a batch.
#[derive(Clone, Copy, Debug)]
pub struct Layers<'a> {
    /// From the inputs of the tail to the outputs.
    pub widths: &'a [usize],
    pub samples: usize,
    /// Whether somebody wants the gradient by the inputs.
    pub below: bool,
}

/// The form that keeps nothing must take so many times as long as one that does: times of the
/// latter are inferred from the former's, and not measured.
const CLEARLY: f64 = 1.25;

impl TailForm {
    /// The form within so many bytes of workgroup memory: that of 16 KiB, unless one that keeps
    /// what is between layers in more is clearly faster.
    pub fn choose(layers: Layers<'_>, bytes: u32) -> Self {
        #[cfg(test)]
        if let Some(form) = FORCED.get() {
            return form;
        }
        let apart = Self::apart(layers.samples);
        let kept = (1..=5).map(|power| 1 << power).take_while(|&g| g <= apart.group_quads);
        let kept = kept.filter_map(|group_quads| {
            let room = layers.kept_vec4s(group_quads);
            let fits = |kept: &usize| {
                (1..=*kept).contains(&room) && LEAST_BYTES + 16 * *kept as u32 <= bytes
            };
            Some(Self { group_quads, kept: KEPT.into_iter().find(fits)? })
        });
        let time = |form: &Self| layers.predicted(*form) + layers.added(*form);
        let best = kept.min_by(|a, b| time(a).total_cmp(&time(b)));
        best.filter(|best| time(&apart) > CLEARLY * time(best)).unwrap_or(apart)
    }

    /// That of 16 KiB.
    pub fn apart(samples: usize) -> Self {
        let group_quads = quads(samples).div_ceil(256).next_power_of_two().clamp(2, 32);
        Self { group_quads, kept: 0 }
    }

    pub fn groups(self, samples: usize) -> usize {
        quads(samples).div_ceil(self.group_quads)
    }
}

#[cfg(test)]
thread_local! {
    static FORCED: std::cell::Cell<Option<TailForm>> = const { std::cell::Cell::new(None) };
}

/// On this thread every tail has this form: for tests.
#[cfg(test)]
pub fn forced(form: Option<TailForm>) {
    FORCED.set(form);
}

/// A product of a layer for one workgroup: blocks of 4×4, vec4 of t, and its operands that are
/// between layers: that of a hidden layer's values or gradients.
struct Product {
    blocks: usize,
    steps: usize,
    between: usize,
}

impl Layers<'_> {
    /// vec4s between the layers of a workgroup's samples: values and gradients of all but the
    /// last one.
    pub fn kept_vec4s(self, group_quads: usize) -> usize {
        let hidden = &self.widths[1..self.widths.len() - 1];
        hidden.iter().map(|&width| 8 * group_quads * quads(width)).sum()
    }

    fn products(self, samples: usize) -> Vec<Product> {
        let mut all = Vec::new();
        let last = self.widths.len() - 2;
        for (l, pair) in self.widths.windows(2).enumerate() {
            let (inputs, outputs) = (quads(pair[0]), quads(pair[1]));
            let (values, dz) = (usize::from(l > 0), usize::from(l < last));
            all.push(Product { blocks: outputs * samples, steps: inputs, between: values });
            all.push(Product { blocks: outputs * inputs, steps: samples, between: values + dz });
            if l > 0 || self.below {
                all.push(Product { blocks: inputs * samples, steps: outputs, between: dz });
            }
        }
        all
    }

    /// Predicted microseconds on a large GPU: the critical path of a workgroup, and a
    /// multiprocessor's share of all of them. Without what is kept fitted to the five tails of
    /// `docs/results/training-products-h100.txt`; workgroup memory is taken to be as fast there
    /// as what `docs/results/products-h100.txt` says of tiles.
    pub fn predicted(self, form: TailForm) -> f64 {
        /// A round of four steps of t of one block: alone; and among many workgroups with its
        /// operands in the cache, and for each operand that is between layers.
        const ALONE: f64 = 0.94;
        const FULL: f64 = 0.15;
        const STORED: f64 = 0.30;
        const KEPT: f64 = 0.08;
        /// The barriers of a product, alone and among many workgroups.
        const PRODUCT: f64 = 2.0;
        const PRODUCT_FULL: f64 = 0.1;
        let operand = if form.kept > 0 { KEPT } else { STORED };
        let groups = form.groups(self.samples);
        let (mut alone, mut full) = (0.0, 0.0);
        for Product { blocks, steps, between } in self.products(form.group_quads) {
            // As `extents` of the shader has it.
            let most = (256 / blocks.min(256)).min(steps).max(1);
            let slices = 1 << most.ilog2();
            let rounds = (blocks.div_ceil(256) * steps.div_ceil(slices)) as f64;
            alone += rounds * ALONE + PRODUCT;
            full += rounds * (FULL + operand * between as f64) + PRODUCT_FULL;
        }
        full *= groups as f64 / PROCESSORS;
        DISPATCH + together(&[alone, full, self.added(form)])
    }

    /// Predicted microseconds of moving partial sums: they are written here, and read by the
    /// dispatch that adds them up.
    fn added(self, form: TailForm) -> f64 {
        let partials: usize = self.widths.windows(2).map(|w| (w[0] + 1) * quads(w[1])).sum();
        (16 * partials * form.groups(self.samples)) as f64 / MOVED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELD: [usize; 4] = [32, 64, 64, 3];

    fn layers(widths: &[usize], samples: usize) -> Layers<'_> {
        Layers { widths, samples, below: true }
    }

    #[test]
    fn a_browsers_memory_suffices_and_more_is_used_where_it_wins_clearly() {
        let large = layers(&FIELD, 65_536);
        for (bytes, group_quads, kept) in [
            (LEAST_BYTES, 32, 0),
            (32_767, 32, 0),
            (32_768, 4, 1024),
            (LARGE_GPU_BYTES - 1, 4, 1024),
            (LARGE_GPU_BYTES, 8, 2048),
        ] {
            let form = TailForm { group_quads, kept };
            assert_eq!(TailForm::choose(large, bytes), form, "{bytes}");
            let apart = large.predicted(TailForm::apart(65_536));
            assert!(kept == 0 || apart > CLEARLY * large.predicted(form));
        }
        // Where a workgroup's own path is what takes time, nothing is won.
        for (widths, samples) in [(&[16, 32, 3][..], 8192), (&[128, 10], 1024), (&FIELD, 64)] {
            let form = TailForm::choose(layers(widths, samples), LARGE_GPU_BYTES);
            assert_eq!(form, TailForm::apart(samples), "{widths:?} {samples}");
        }
    }

    #[test]
    fn what_is_kept_fits() {
        for widths in [&FIELD[..], &[16, 32, 3], &[64, 64, 64, 64, 64], &[8, 16, 16, 16, 4]] {
            for samples in [1, 64, 1000, 65_536, 1 << 18] {
                for bytes in [LEAST_BYTES, 32_768, LARGE_GPU_BYTES, 1 << 17] {
                    let of = layers(widths, samples);
                    let form = TailForm::choose(of, bytes);
                    let kept = form.kept;
                    assert!(kept == 0 || of.kept_vec4s(form.group_quads) <= kept);
                    assert!(LEAST_BYTES + 16 * kept as u32 <= bytes);
                    assert!(form.groups(samples) * form.group_quads >= quads(samples));
                }
            }
        }
    }
}
