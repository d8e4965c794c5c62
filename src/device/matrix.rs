//! The matrix units of a device: which there are, and why none can be used.

use super::Gpu;
use wgpu::{CooperativeMatrixProperties, CooperativeScalarType as Scalar, Features};

/// Features to ask a device for where matrix units shall multiply
/// ([`Products::Matrix`](crate::models::Products::Matrix)): wgpu's cooperative matrices, which
/// are experimental, and f16 in shaders.
///
/// ```no_run
/// use kutta::device::{GpuOptions, MATRIX_FEATURES};
/// let options = GpuOptions { features: MATRIX_FEATURES, ..GpuOptions::default() };
/// let gpu = kutta::Gpu::with_options(&options)?;
/// # Ok::<(), kutta::Error>(())
/// ```
pub const MATRIX_FEATURES: Features =
    Features::EXPERIMENTAL_COOPERATIVE_MATRIX.union(Features::SHADER_F16);

/// Lanes of a subgroup that the kernels are written for.
const LANES: u32 = 32;

/// What multiplies matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Units of 16×16×16: f16 operands, f32 sums.
    Half,
    /// Units of 8×8×8 in f32.
    Full,
    /// Plain arithmetic with the roundings of [`Half`](Self::Half).
    Emulated,
}

/// What only an adapter tells.
#[derive(Clone, Debug)]
pub(super) struct Offered {
    features: Features,
    sizes: Vec<CooperativeMatrixProperties>,
}

impl Offered {
    pub(super) fn by(adapter: &wgpu::Adapter) -> Self {
        let (features, sizes) = (adapter.features(), adapter.cooperative_matrix_properties());
        Self { features, sizes }
    }
}

impl Gpu {
    /// The unit that this device multiplies matrices with, or why it has none that kutta's
    /// kernels can use.
    pub(crate) fn matrix_unit(&self) -> Result<Unit, String> {
        let info = self.info();
        // Metal gives bounds for all its devices; those with matrix units have 32 lanes.
        let lanes = match info.backend {
            wgpu::Backend::Metal => (LANES, LANES),
            _ => (info.subgroup_min_size, info.subgroup_max_size),
        };
        unit(self.device().features(), self.inner.offered.as_ref(), lanes)
    }
}

fn unit(has: Features, offered: Option<&Offered>, lanes: (u32, u32)) -> Result<Unit, String> {
    let wanted = Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
    if !has.contains(wanted) {
        return Err(match offered {
            Some(offered) if !offered.features.contains(wanted) => {
                "this adapter has no `EXPERIMENTAL_COOPERATIVE_MATRIX` to ask for".into()
            }
            _ => {
                "the device was opened without the feature `EXPERIMENTAL_COOPERATIVE_MATRIX`; ask \
                  for `kutta::device::MATRIX_FEATURES` in `GpuOptions::features`, or, for a device \
                  of your own, in `required_features` beside `ExperimentalFeatures::enabled()`"
                    .into()
            }
        });
    }
    let Some(Offered { sizes, .. }) = offered else {
        return Err("the device was adopted without its adapter, which alone tells the sizes of \
                    its matrices; adopt it by `Gpu::adopt_from`"
            .into());
    };
    if lanes != (LANES, LANES) {
        let (least, most) = lanes;
        return Err(format!(
            "its subgroups have {least} to {most} lanes, and the kernels want {LANES}"
        ));
    }
    let have = |side: u32, operands, sums| {
        sizes.iter().any(|s| {
            (s.m_size, s.n_size, s.k_size) == (side, side, side)
                && (s.ab_type, s.cr_type) == (operands, sums)
        })
    };
    if have(16, Scalar::F16, Scalar::F32) && has.contains(Features::SHADER_F16) {
        return Ok(Unit::Half);
    }
    if have(8, Scalar::F32, Scalar::F32) {
        return Ok(Unit::Full);
    }
    if have(16, Scalar::F16, Scalar::F32) {
        return Err("the device was opened without the feature `SHADER_F16`; ask for \
                    `kutta::device::MATRIX_FEATURES`"
            .into());
    }
    let names = sizes.iter().map(|s| {
        format!("{}x{}x{} {:?} to {:?}", s.m_size, s.n_size, s.k_size, s.ab_type, s.cr_type)
    });
    Err(format!(
        "its matrices are {}, and the kernels want 16x16x16 F16 to F32 or 8x8x8 F32 to F32",
        names.collect::<Vec<_>>().join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(sizes: &[(u32, Scalar, Scalar)]) -> Offered {
        let sizes = sizes.iter().map(|&(side, ab_type, cr_type)| CooperativeMatrixProperties {
            m_size: side,
            n_size: side,
            k_size: side,
            ab_type,
            cr_type,
            saturating_accumulation: false,
        });
        Offered { features: MATRIX_FEATURES, sizes: sizes.collect() }
    }

    #[test]
    fn the_unit_is_the_one_that_the_device_has() {
        use Scalar::{F16, F32};
        let all = MATRIX_FEATURES;
        let coop = Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
        let nvidia = offered(&[(16, F16, F16), (16, F16, F32)]);
        let metal = offered(&[(8, F32, F32), (8, F16, F32)]);
        assert_eq!(unit(all, Some(&nvidia), (32, 32)), Ok(Unit::Half));
        assert_eq!(unit(all, Some(&metal), (32, 32)), Ok(Unit::Full));
        assert_eq!(unit(coop, Some(&metal), (32, 32)), Ok(Unit::Full));
        let none = Offered { features: Features::empty(), sizes: vec![] };
        for (has, offered, lanes, words) in [
            (Features::SHADER_F16, Some(&nvidia), (32, 32), "MATRIX_FEATURES"),
            (Features::empty(), None, (32, 32), "MATRIX_FEATURES"),
            (Features::empty(), Some(&none), (32, 32), "adapter has no"),
            (all, None, (32, 32), "adopt_from"),
            (all, Some(&nvidia), (32, 64), "32 to 64 lanes"),
            (all, Some(&nvidia), (16, 32), "16 to 32 lanes"),
            (coop, Some(&nvidia), (32, 32), "SHADER_F16"),
            (all, Some(&offered(&[(16, F16, F16)])), (32, 32), "16x16x16 F16 to F16"),
        ] {
            let reason = unit(has, offered, lanes).unwrap_err();
            assert!(reason.contains(words), "{reason}");
        }
    }
}
