//! The stage of a method that passes registers on.

use super::touch::{Diagonal, Use};
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
pub struct Registers<V = Operand> {
    /// y', in the buffer of y where that is read; none where only registers move.
    pub target: Option<V>,
    pub point: Option<V>,
    /// θ is the base, and what y is compared with.
    pub based: bool,
    /// r' where it is written, else r.
    pub register: Option<V>,
    /// r, where it is another vector than r' in the same buffer.
    pub old_register: Option<V>,
    pub reads_register: bool,
    pub writes_register: bool,
    /// q' where it is written, else q.
    pub sum: Option<V>,
    /// q, where it is another vector than q' in the same buffer.
    pub old_sum: Option<V>,
    pub reads_sum: bool,
    pub writes_sum: bool,
    pub gradient: Option<V>,
    pub extra: Option<V>,
    /// The source has added k to the register already.
    pub added: bool,
    /// r is in units of θ: −h D Σ w over k, x goes into r', and not into y'.
    pub sloped: bool,
    /// The stage whose gradient nobody has checked before; 0 for none.
    pub checks: u32,
    /// Sums ‖k₁‖² on the way.
    pub norm: bool,
    pub weights: Coefficients,
    pub diagonal: Diagonal,
    /// Recorded after the verdict: nothing moves if it refused.
    pub after: bool,
}

impl<V: Copy> Registers<V> {
    /// The same over other vectors.
    pub(super) fn with<W>(&self, f: &mut impl FnMut(Use, V) -> W) -> Registers<W> {
        let target = self.target.map(|target| f(Use::WRITE.wide(), target));
        let point = self.point.map(|point| f(Use::READ.wide(), point));
        // One buffer, whose next content is no gradient.
        let mut kept = |reads: bool, writes: bool, old: Option<V>, new: Option<V>| {
            let read = if writes { Use::READ.wide() } else { Use::READ };
            let old = old.map(|old| f(read, old));
            let by = match (reads && old.is_none(), writes) {
                (true, true) => Use::BOTH.wide(),
                (false, true) => Use::WRITE.wide(),
                (_, false) => Use::READ,
            };
            (old, new.map(|new| f(by, new)))
        };
        let (old_register, register) =
            kept(self.reads_register, self.writes_register, self.old_register, self.register);
        let (old_sum, sum) = kept(self.reads_sum, self.writes_sum, self.old_sum, self.sum);
        Registers {
            target,
            point,
            based: self.based,
            register,
            old_register,
            reads_register: self.reads_register,
            writes_register: self.writes_register,
            sum,
            old_sum,
            reads_sum: self.reads_sum,
            writes_sum: self.writes_sum,
            gradient: self.gradient.map(|k| f(Use::READ, k)),
            extra: self.extra.map(|x| f(Use::READ, x)),
            added: self.added,
            sloped: self.sloped,
            checks: self.checks,
            norm: self.norm,
            weights: self.weights,
            diagonal: self.diagonal,
            after: self.after,
        }
    }

    /// The newest gradient, wherever it is.
    pub(super) fn newest(&self) -> Option<V> {
        if self.added { self.register } else { self.gradient }
    }

    /// Partial sums are left for the verdict.
    pub(super) fn leaves_partials(&self) -> bool {
        self.checks != 0 || self.norm || self.diagonal == Diagonal::Update
    }
}

/// The coefficients of a [`Registers`].
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Coefficients {
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

impl Coefficients {
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
        let Coefficients { register: r, sum: q, point: y, slope: k } = self.weights;
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
}
