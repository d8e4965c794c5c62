//! The stability polynomial, and how far along the two axes it stays bounded.

use super::{Tableau, dot};

/// |R| may exceed 1 by this much before a point counts as unstable: stabilised
/// methods touch 1 inside their interval, and rounding must not end it there.
const MARGIN: f64 = 1e-9;

/// Distance of the points at which |R| is looked at along an axis: the longest
/// intervals (Chebyshev's, 2s²) have their zeros π²/8 or more apart. A maximum
/// that falls between two points is searched for.
const SCAN: f64 = 1.0 / 64.0;

/// Complex numbers with the two operations that are needed.
#[derive(Clone, Copy)]
struct Complex {
    re: f64,
    im: f64,
}

impl Complex {
    const ONE: Self = Self { re: 1.0, im: 0.0 };

    /// self + x·other
    fn plus(self, x: f64, other: Self) -> Self {
        Self { re: self.re + x * other.re, im: self.im + x * other.im }
    }

    fn times(self, other: Self) -> Self {
        Self {
            re: self.re * other.re - self.im * other.im,
            im: self.re * other.im + self.im * other.re,
        }
    }
}

impl Tableau {
    /// Coefficients r_0 … r_s of R(z) = Σ_j r_j z^j, with r_0 = 1 and
    /// r_j = bᵀA^{j−1}𝟙. A step of ẏ = λy multiplies y by R(hλ); for the
    /// gradient flow λ is minus an eigenvalue of the Hessian.
    ///
    /// Source: Hairer, Wanner, *Solving Ordinary Differential Equations II*,
    /// IV.2.
    ///
    /// ```
    /// let r = kutta::Tableau::heun2().stability_polynomial();
    /// assert_eq!(r, [1.0, 1.0, 0.5]);
    /// ```
    pub fn stability_polynomial(&self) -> Vec<f64> {
        let mut coefficients = vec![1.0];
        let mut power = vec![1.0; self.stages()]; // A^{j−1}𝟙
        for _ in 0..self.stages() {
            coefficients.push(dot(&self.b, &power));
            power = self.rows.iter().map(|row| dot(row, &power)).collect();
        }
        coefficients
    }

    /// R(x + iy) as (real, imaginary) part: the step itself on ẏ = zy, which
    /// keeps its digits far out where the polynomial's sum cancels.
    ///
    /// ```
    /// let (re, im) = kutta::Tableau::euler().stability(-1.0, 0.5);
    /// assert_eq!((re, im), (0.0, 0.5)); // 1 + z
    /// ```
    pub fn stability(&self, x: f64, y: f64) -> (f64, f64) {
        let z = Complex { re: x, im: y };
        let mut slopes: Vec<Complex> = Vec::with_capacity(self.stages()); // z·Y_j
        let combine = |weights: &[f64], slopes: &[Complex]| {
            weights.iter().zip(slopes).fold(Complex::ONE, |sum, (&w, &k)| sum.plus(w, k))
        };
        for row in &self.rows {
            slopes.push(z.times(combine(row, &slopes)));
        }
        let r = combine(&self.b, &slopes);
        (r.re, r.im)
    }

    /// The largest x with |R(−t)| ≤ 1 for all t in [0, x]: a quadratic with
    /// eigenvalues in [0, L] is integrated without growth for h ≤ x/L.
    ///
    /// ```
    /// let limits = ["euler", "heun", "kutta3", "rk4"]
    ///     .map(|name| name.parse::<kutta::Tableau>().unwrap().real_limit());
    /// for (limit, expected) in limits.into_iter().zip([2.0, 2.0, 2.5127, 2.7853]) {
    ///     assert!((limit - expected).abs() < 1e-4);
    /// }
    /// ```
    pub fn real_limit(&self) -> f64 {
        // R = 1 + z + …, so no polynomial of degree s stays in [−1, 1] beyond
        // 2s² (Markov 1889): Chebyshev's does.
        let s = self.stages() as f64;
        stable_until(2.0 * s * s, |t| self.growth(-t, 0.0))
    }

    /// The largest y with |R(it)| ≤ 1 for all t in [0, y]; 0 if |R| exceeds 1
    /// right away, however little. A gradient flow has no imaginary spectrum,
    /// but momentum and games (minimax) come close to one.
    ///
    /// ```
    /// use kutta::Tableau;
    /// assert!((Tableau::rk4().imaginary_limit() - 8f64.sqrt()).abs() < 1e-6);
    /// assert_eq!(Tableau::heun2().imaginary_limit(), 0.0);
    /// ```
    pub fn imaginary_limit(&self) -> f64 {
        if self.grows_beside_zero() {
            return 0.0;
        }
        // No explicit method of s stages goes beyond s − 1 (Jeltsch, Nevanlinna
        // 1981); one more for good measure.
        stable_until(self.stages() as f64, |t| self.growth(0.0, t))
    }

    fn growth(&self, x: f64, y: f64) -> f64 {
        let (re, im) = self.stability(x, y);
        re.hypot(im)
    }

    /// Tells whether |R(iy)|² − 1 is positive for small y. Its first terms vanish up
    /// to the order of the method, so this is read off the coefficients: near
    /// zero the value itself drowns in rounding.
    fn grows_beside_zero(&self) -> bool {
        let r = self.stability_polynomial();
        // The coefficient of y^{2m} is Σ_{j+k=2m} (−1)^{m+j} r_j r_k.
        for m in 1..r.len() {
            let (mut sum, mut size) = (0.0, 0.0);
            for j in (2 * m).saturating_sub(r.len() - 1)..=(2 * m).min(r.len() - 1) {
                let term = r[j] * r[2 * m - j];
                sum += if (m + j) % 2 == 0 { term } else { -term };
                size += term.abs();
            }
            if sum.abs() > 1e-12 * size {
                return sum > 0.0;
            }
        }
        false
    }
}

/// The first t in [0, end] beyond which `growth` exceeds 1, else `end`.
fn stable_until(end: f64, growth: impl Fn(f64) -> f64) -> f64 {
    let steps = (end / SCAN).ceil() as usize + 1;
    let (mut before, mut here) = (1.0, 1.0); // at t − 2 SCAN and t − SCAN
    for i in 1..=steps {
        let t = i as f64 * SCAN;
        let next = growth(t);
        if next > 1.0 + MARGIN {
            return crossing(t - SCAN, t, growth);
        }
        if here > 0.99 && here > before && here > next {
            let top = maximum(t - 2.0 * SCAN, t, &growth);
            if growth(top) > 1.0 + MARGIN {
                return crossing(t - 2.0 * SCAN, top, growth);
            }
        }
        (before, here) = (here, next);
    }
    end
}

/// Finds where `growth` passes 1, between a stable and an unstable point.
fn crossing(mut stable: f64, mut unstable: f64, growth: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..60 {
        let middle = 0.5 * (stable + unstable);
        if growth(middle) > 1.0 {
            unstable = middle;
        } else {
            stable = middle;
        }
    }
    stable
}

/// Finds where `f` is largest in [low, high], if it has one maximum there.
fn maximum(mut low: f64, mut high: f64, f: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..60 {
        let third = (high - low) / 3.0;
        if f(low + third) < f(high - third) {
            low += third;
        } else {
            high -= third;
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polynomial_and_step_agree() {
        for tableau in Tableau::all() {
            // The terms' sizes, to which rounding is in proportion.
            let sizes = |x: &[f64]| x.iter().map(|x| x.abs()).collect::<Vec<_>>();
            let mut large = tableau.clone();
            large.b = sizes(&large.b);
            large.rows.iter_mut().for_each(|row| *row = sizes(row));
            for z in [Complex { re: -1.7, im: 0.9 }, Complex { re: 0.3, im: -2.0 }] {
                let horner = tableau
                    .stability_polynomial()
                    .iter()
                    .rev()
                    .fold(Complex { re: 0.0, im: 0.0 }, |sum, &r| {
                        z.times(sum).plus(r, Complex::ONE)
                    });
                let (re, im) = tableau.stability(z.re, z.im);
                let off = (re - horner.re).hypot(im - horner.im);
                let size = large.stability(z.re.hypot(z.im), 0.0).0;
                assert!(off < 4e-16 * size, "{tableau}: {off:e} of {size:e}");
            }
        }
    }

    #[test]
    fn a_maximum_between_two_points_ends_the_interval() {
        // A bump of height 1 + 1e-6 that is far narrower than the scan.
        let centre = 3.0 + 0.3 * SCAN;
        let bump = |height: f64| move |t: f64| height - 0.1 * (t - centre).powi(2);
        assert!(bump(1.0 + 1e-6)(centre + SCAN) < 1.0);
        let limit = stable_until(5.0, bump(1.0 + 1e-6));
        assert!((limit - (centre - 1e-5f64.sqrt())).abs() < 1e-9, "{limit}");
        assert_eq!(stable_until(5.0, bump(1.0)), 5.0);
    }

    #[test]
    fn chebyshev_touches_one_and_goes_on() {
        // R(z) = T_s(1 + z/s²): |R| reaches 1 at s − 1 points within the
        // interval, which is 2s² long (Guillou, Lago 1960).
        for s in [2, 5, 10, 64] {
            let limit = chebyshev(s).real_limit();
            let expected = 2.0 * (s * s) as f64;
            assert!((limit - expected).abs() < 1e-5 * expected, "{limit} for {expected}");
        }
    }

    /// The undamped first-order Chebyshev method, its recurrence
    /// y_j = 2y_{j−1} − y_{j−2} + (2h/s²) f_{j−1} written out as rows.
    fn chebyshev(s: usize) -> Tableau {
        let w = 1.0 / (s * s) as f64;
        let (mut before, mut now) = (vec![0.0; s], vec![0.0; s]);
        let mut rows = vec![vec![]];
        now[0] = w;
        for j in 1..s {
            rows.push(now[..j].to_vec());
            let mut next: Vec<f64> = now.iter().zip(&before).map(|(y, x)| 2.0 * y - x).collect();
            next[j] += 2.0 * w;
            (before, now) = (now, next);
        }
        Tableau::new("chebyshev", &rows, &now, None).unwrap()
    }
}
