//! Formats in which vectors are kept between kernels, and how they round. Arithmetic is always
//! f32.

use std::fmt;

use half::{bf16, f16};

/// The format of a vector's elements. With x an f32 and x̃ what is read back,
///
/// ```text
/// |x̃ − x| ≤ u |x|                           least normal ≤ |x| ≤ largest
/// |x̃ − x| ≤ least / 2                       |x| below that: f16 rounds to multiples of 2⁻²⁴
/// x̃ = ± largest                             finite |x| above it: packing clamps
/// x̃ is not finite                           x is NaN or infinite: checks still see it
/// ```
///
/// | | bytes | unit roundoff u | least normal | least | largest |
/// |---|---|---|---|---|---|
/// | `F32` | 4 | 0: as it is | – | – | – |
/// | `F16` | 2 | 2⁻¹¹ | 2⁻¹⁴ | 2⁻²⁴ | 65504 |
/// | `Bf16` | 2 | 2⁻⁸ | 2⁻¹²⁶ | 2⁻¹³³ | 3.39e38 |
///
/// Rounding is to nearest, ties to even; [`Rounding::Stochastic`] doubles u, and has
/// the mean x. It is done in integers, so all devices give the same bits.
///
/// ```
/// use kutta::Storage;
/// assert_eq!("bf16".parse::<Storage>()?, Storage::Bf16);
/// assert_eq!((Storage::F16.bytes(), Storage::F16.unit_roundoff()), (2, 2f64.powi(-11)));
/// # Ok::<(), kutta::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub enum Storage {
    /// IEEE 754 binary32.
    #[default]
    F32,
    /// IEEE 754 binary16: the more accurate half, with a range from 6e-8 to 65504.
    F16,
    /// The upper half of an f32: the range of f32.
    Bf16,
}

impl Storage {
    /// Bytes of an element.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Tells whether it holds less than f32.
    pub fn is_narrow(self) -> bool {
        self != Self::F32
    }

    /// The largest relative error of rounding an f32 to nearest, where it is in range.
    pub fn unit_roundoff(self) -> f64 {
        match self {
            Self::F32 => 0.0,
            Self::F16 => 2f64.powi(-11),
            Self::Bf16 => 2f64.powi(-8),
        }
    }

    /// The largest finite value.
    pub fn largest(self) -> f32 {
        match self {
            Self::F32 => f32::MAX,
            Self::F16 => f16::MAX.to_f32(),
            Self::Bf16 => bf16::MAX.to_f32(),
        }
    }

    /// f32 values from their bytes.
    pub(crate) fn widen(self, bytes: &[u8]) -> Vec<f32> {
        let halves = || bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        match self {
            Self::F32 => bytemuck::pod_collect_to_vec(bytes),
            Self::F16 => halves().map(|bits| f16::from_bits(bits).to_f32()).collect(),
            Self::Bf16 => halves().map(|bits| bf16::from_bits(bits).to_f32()).collect(),
        }
    }
}

/// The rounding of the state of momentum and preconditioner where it is stored narrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub enum Rounding {
    /// Rounds to nearest, ties to even. A value that changes by less than u of itself in a step, as
    /// averages with a β above 1 − u do, then stays where it is.
    #[default]
    Nearest,
    /// Up or down at random, with the chances that make the mean right. The random
    /// bits are a hash of the element's index and of the number of accepted steps:
    /// every run gives the same ones, however vectors are cut into bindings.
    Stochastic,
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        })
    }
}

impl fmt::Display for Rounding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Nearest => "nearest",
            Self::Stochastic => "stochastic",
        })
    }
}
