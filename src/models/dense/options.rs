//! The options of a network.

use crate::codes::activation;
use crate::layout::Init;

/// The function between two layers. The last layer has none.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Activation {
    /// max(z, 0); slope 0 at 0.
    #[default]
    Relu,
    Tanh,
    /// Gaussian error linear unit, by tanh: Hendrycks, Gimpel 2016.
    Gelu,
    /// sin(ω z), as in SIREN: Sitzmann et al. 2020. Its ω₀ is 30.
    Sine {
        omega: f32,
    },
}

impl Activation {
    /// The value of `ACTIVATION` in `shaders/shared/activation.wgsl`.
    pub(crate) fn code(this: Option<Self>) -> u32 {
        match this {
            None => activation::IDENTITY,
            Some(Activation::Relu) => activation::RELU,
            Some(Activation::Tanh) => activation::TANH,
            Some(Activation::Gelu) => activation::GELU,
            Some(Activation::Sine { .. }) => activation::SINE,
        }
    }

    /// The value of `OMEGA` there.
    pub(crate) fn omega(this: Option<Self>) -> f32 {
        match this {
            Some(Activation::Sine { omega }) => omega,
            _ => 1.0,
        }
    }

    /// He for the rectifiers, Glorot for tanh and the last layer; for sines what keeps
    /// ω z of unit variance in every layer: ±1/n in the first, ±√(6/n)/ω after it.
    pub(crate) fn init(self, layer: usize, last: bool, fan_in: usize, fan_out: usize) -> Init {
        match self {
            Activation::Sine { omega } => {
                let n = fan_in as f64;
                let bound = if layer == 0 { 1.0 / n } else { (6.0 / n).sqrt() / f64::from(omega) };
                Init::Uniform { bound: bound as f32 }
            }
            _ if last => Init::Glorot { fan_in, fan_out },
            Activation::Relu | Activation::Gelu => Init::He { fan_in },
            Activation::Tanh => Init::Glorot { fan_in, fan_out },
        }
    }
}

/// The loss of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Loss {
    /// Mean over samples of −log softmax(z)\[label\]. Targets are labels.
    #[default]
    CrossEntropy,
    /// Mean over samples and outputs of (z − target)². Targets are dense
    /// values, or labels that stand for 0 and 1.
    MeanSquare,
}

/// The way that matrix products are computed. Results differ by rounding only, and for each choice
/// they are the same bits on every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Products {
    /// [`Register`](Self::Register) on software adapters; else [`Fused`](Self::Fused) where
    /// layers are narrow, and for each other product what is predicted to be the fastest.
    #[default]
    Auto,
    /// A tile of 32×16 in the registers of each invocation.
    Register,
    /// Tiles of 8×8 to 32×32 per workgroup, whose invocations also share the sum.
    Sliced,
    /// Tiles of 32×32 to 128×128 per workgroup, through workgroup memory.
    Workgroup,
    /// The whole network in one dispatch and one that adds partial gradients up: up to eight
    /// layers of widths up to 64, from at most 256 inputs.
    Fused,
    /// By the device's matrix units wherever they are predicted to be the fastest, else as
    /// [`Auto`](Self::Auto) on a GPU: operands are rounded to f16 after a scale by a power of two
    /// that each evaluation finds for each operand, and sums are f32; or both are f32, where that
    /// is what there is. The device must have been opened with
    /// [`MATRIX_FEATURES`](crate::device::MATRIX_FEATURES), and must pass a test against f64.
    Matrix,
    /// [`Matrix`](Self::Matrix), or [`Auto`](Self::Auto) where it cannot be had; the network's
    /// `products` says why.
    MatrixOrAuto,
    /// Every product with the roundings of [`Matrix`](Self::Matrix), by plain arithmetic on any
    /// device: to see what they do to a training. Slow.
    EmulatedMatrix,
}
