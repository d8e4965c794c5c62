//! The options that a plan is made for.

/// The degree of fusion: how much of a step goes into one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub enum Fusion {
    /// One kernel per axpy: the honest baseline.
    None,
    /// One kernel per stage point, one for the step and one for the estimate, each
    /// from θ and the gradients alone.
    Stage,
    /// Partial sums and averages of earlier points too, wherever those move fewer
    /// words.
    #[default]
    Full,
}

/// The guard decides whether the gradient read only by the last kernel is checked before θ is
/// written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub enum Guard {
    /// One more pass over that gradient (+1 word): nothing that is not finite
    /// ever reaches θ.
    #[default]
    On,
    /// No check, for those who know that their last gradient is finite. Methods of two
    /// registers then work on θ itself, which holds an accepted value only between
    /// attempts, and refuse nothing.
    Off,
}
/// Storage buffers that WebGPU promises every kernel.
pub const WEBGPU_BINDINGS: u32 = 8;

/// Most that a kernel binds, however many there are.
pub(super) const MOST_BINDINGS: u32 = 16;

/// The options that a plan is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub struct Options {
    pub fusion: Fusion,
    pub guard: Guard,
    /// The source adds gradients to a register: methods of two registers then need
    /// one vector less.
    pub adds: bool,
    /// Storage buffers that a kernel may bind, [`WEBGPU_BINDINGS`] at least.
    pub bindings: u32,
    /// Partial sums hold increments alone, never θ, which costs a word or more and
    /// keeps rounding at |θ| out of the error estimate. Below rtol = 1e-5 that is
    /// done anyway.
    pub theta_free: bool,
    /// The source writes narrow gradients itself. Else it writes f32 into a vector
    /// more, and a kernel packs that.
    pub writes_narrow: bool,
    /// Partial sums that the source leaves as it checks what it writes: a guard that would
    /// read a gradient once more is not in the plan then. 0: the source checks nothing.
    #[cfg_attr(feature = "checkpoint", serde(default, skip_serializing_if = "nothing_is_checked"))]
    pub checks: u32,
}

/// A checkpoint says nothing of it then.
#[cfg(feature = "checkpoint")]
fn nothing_is_checked(checks: &u32) -> bool {
    *checks == 0
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fusion: Fusion::default(),
            guard: Guard::default(),
            adds: false,
            bindings: WEBGPU_BINDINGS,
            theta_free: false,
            writes_narrow: false,
            checks: 0,
        }
    }
}
