//! The stage of a method that passes registers on.

use super::touch::Diagonal;
use super::vector::Operand;

/// A stage of a method in registers, in one kernel. With y a working point, k the
/// newest gradient, r a register, q a second one, x a further vector:
///
/// ```text
/// r' = Σ w over r, y − θ, q, k, x
/// q' = Σ w over q, r, r', k
/// y' = base + Σ w over y − θ, r'  −  h D Σ w over r, k, r', q'
/// ```
///
/// where base is θ or y. Differences from θ, and not points, are what is weighted:
/// so weights that add up to one in exact arithmetic need not do so in f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Registers {
    /// y', in the buffer of y where that is read; none where only registers move.
    pub target: Option<Operand>,
    pub point: Option<Operand>,
    /// θ is the base, and what y is compared with.
    pub based: bool,
    pub register: Option<Operand>,
    pub reads_register: bool,
    pub writes_register: bool,
    pub sum: Option<Operand>,
    pub reads_sum: bool,
    pub writes_sum: bool,
    pub gradient: Option<Operand>,
    pub extra: Option<Operand>,
    /// The source has added k to the register already.
    pub added: bool,
    /// r is in units of θ: −h D Σ w over k, x goes into r', and not into y'.
    pub sloped: bool,
    /// The stage whose gradient nobody has checked before; 0 for none.
    pub checks: u32,
    /// Sums ‖k₁‖² on the way.
    pub norm: bool,
    pub weights: Weights,
    pub diagonal: Diagonal,
    /// Recorded after the verdict: nothing moves if it refused.
    pub after: bool,
}

/// The coefficients of a [`Registers`].
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Weights {
    pub register: RegisterWeights,
    pub sum: SumWeights,
    pub point: PointWeights,
    pub slope: SlopeWeights,
}

/// The coefficients of r'.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct RegisterWeights {
    pub old: f64,
    pub point: f64,
    pub sum: f64,
    pub gradient: f64,
    pub extra: f64,
}

/// The coefficients of q'.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct SumWeights {
    pub sum: f64,
    pub old: f64,
    pub register: f64,
    pub gradient: f64,
}

/// The coefficients of y', without h.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct PointWeights {
    pub point: f64,
    pub register: f64,
}

/// The coefficients of y', times −h D.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct SlopeWeights {
    pub old: f64,
    pub gradient: f64,
    pub register: f64,
    pub sum: f64,
}

/// The vectors of one [`Registers`], or numbers that stand for them.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Values {
    /// y − θ, or 0.
    pub point: f64,
    pub register: f64,
    pub sum: f64,
    pub gradient: f64,
    pub extra: f64,
}

impl Weights {
    /// r' and q' of one element, where `h` is h D.
    pub fn registers(&self, values: &Values, sloped: bool, h: f64) -> [f64; 2] {
        let Values { point, register: old, sum, gradient, extra } = *values;
        let w = &self.register;
        let slope = self.slope.gradient * gradient + w.extra * extra;
        let own = if sloped { -h * slope } else { w.gradient * gradient + w.extra * extra };
        let register = w.old * old + w.point * point + w.sum * sum + own;
        let w = &self.sum;
        let sum = w.sum * sum + w.old * old + w.register * register + w.gradient * gradient;
        [register, sum]
    }

    /// y' − base of one element, where `h` is h D, or 0 if the register took it on.
    pub fn moved(&self, values: &Values, [register, sum]: [f64; 2], h: f64) -> f64 {
        let w = &self.slope;
        let slope = w.old * values.register
            + w.gradient * values.gradient
            + w.register * register
            + w.sum * sum;
        self.point.point * values.point + self.point.register * register - h * slope
    }
}

impl Registers {
    /// Counts the words with a kernel for each vector that is added.
    pub(super) fn words_by_axpy(&self) -> usize {
        let Weights { register: r, sum: q, point: y, slope: k } = self.weights;
        let added = |made: bool, weights: &[f64]| {
            let terms = weights.iter().filter(|&&w| w != 0.0).count();
            if made { 3 * terms.saturating_sub(1) } else { 0 }
        };
        // y' = y + r' is one axpy.
        let point = if self.sloped { 0.0 } else { y.point };
        let moved = [point, y.register, k.old, k.gradient, k.register, k.sum];
        let moved =
            if self.target.is_some() { 3 * moved.iter().filter(|&&w| w != 0.0).count() } else { 0 };
        // A register that is not kept is made all the same, if it is read.
        let register = self.writes_register || y.register != 0.0 || k.register != 0.0;
        let register = register && !self.added;
        added(register, &[r.old, r.point, r.sum, r.gradient, r.extra])
            + added(self.writes_sum, &[q.sum, q.old, q.register, q.gradient])
            + moved
            // A register of the source's is scaled where it stands.
            + if self.added && self.writes_register { 2 } else { 0 }
    }

    /// Words per parameter, without the preconditioner's state.
    pub(super) fn words(&self) -> usize {
        let count = |flags: &[bool]| flags.iter().filter(|&&flag| flag).count();
        count(&[
            self.based,
            self.point.is_some(),
            self.reads_register,
            self.writes_register,
            self.reads_sum,
            self.writes_sum,
            self.gradient.is_some(),
            self.extra.is_some(),
            self.target.is_some(),
        ])
    }
}
