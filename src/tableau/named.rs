//! The classic explicit methods of order 1 to 4.
//!
//! Each docstring shows c | A over b. All were copied by hand once; that they
//! are right is shown by the order conditions, see `tests/tableau.rs`.

use super::Tableau;
use super::registry::Entry;

pub(super) static ENTRIES: &[Entry] = &[
    Entry { name: "euler", aliases: &["forwardeuler", "rk1"], build: Tableau::euler },
    Entry { name: "midpoint", aliases: &["explicitmidpoint"], build: Tableau::midpoint },
    Entry { name: "heun", aliases: &["heun2", "explicittrapezoid"], build: Tableau::heun2 },
    Entry { name: "ralston2", aliases: &["ralston"], build: Tableau::ralston2 },
    Entry { name: "kutta3", aliases: &["rk3"], build: Tableau::kutta3 },
    Entry { name: "heun3", aliases: &[], build: Tableau::heun3 },
    Entry { name: "ralston3", aliases: &[], build: Tableau::ralston3 },
    Entry { name: "ssprk33", aliases: &["ssprk3", "ssp3", "shuosher3"], build: Tableau::ssprk33 },
    Entry { name: "rk4", aliases: &["kutta4", "classic"], build: Tableau::rk4 },
    Entry { name: "rk38", aliases: &["3/8", "3/8-rule"], build: Tableau::rk38 },
    Entry { name: "ralston4", aliases: &[], build: Tableau::ralston4 },
];

/// Coefficients that a test passes through the checks of [`Tableau::new`].
pub(super) fn known(name: &str, source: &str, rows: &[&[f64]], b: &[f64], c: &[f64]) -> Tableau {
    Tableau {
        name: name.into(),
        source: source.into(),
        rows: rows.iter().map(|row| row.to_vec()).collect(),
        b: b.into(),
        b_hat: None,
        c: c.into(),
    }
}

impl Tableau {
    /// Euler's method, order 1: gradient descent.
    ///
    /// ```text
    ///  0 |
    ///    | 1
    /// ```
    /// Source: Euler, Institutionum calculi integralis I, 1768.
    ///
    /// ```
    /// assert_eq!(kutta::Tableau::euler().order(), 1);
    /// ```
    pub fn euler() -> Self {
        known("euler", "Euler, Institutionum calculi integralis I, 1768", &[&[]], &[1.0], &[0.0])
    }

    /// The explicit midpoint rule, order 2.
    ///
    /// ```text
    /// 0   |
    /// 1/2 | 1/2
    ///     | 0    1
    /// ```
    /// Source: Runge, Math. Ann. 46, 1895.
    ///
    /// ```
    /// assert_eq!(kutta::Tableau::midpoint().order(), 2);
    /// ```
    pub fn midpoint() -> Self {
        known("midpoint", "Runge, Math. Ann. 46, 1895", &[&[], &[0.5]], &[0.0, 1.0], &[0.0, 0.5])
    }

    /// Heun's method of order 2, the explicit trapezoidal rule; its name is `heun`.
    ///
    /// ```text
    /// 0 |
    /// 1 | 1
    ///   | 1/2  1/2
    /// ```
    /// Source: Heun, Z. Math. Phys. 45, 1900.
    ///
    /// ```
    /// assert_eq!(kutta::Tableau::heun2().order(), 2);
    /// ```
    pub fn heun2() -> Self {
        known("heun", "Heun, Z. Math. Phys. 45, 1900", &[&[], &[1.0]], &[0.5, 0.5], &[0.0, 1.0])
    }

    /// Ralston's method of order 2, of least error bound.
    ///
    /// ```text
    /// 0   |
    /// 2/3 | 2/3
    ///     | 1/4  3/4
    /// ```
    /// Source: Ralston, Math. Comp. 16, 1962.
    ///
    /// ```
    /// assert_eq!(kutta::Tableau::ralston2().order(), 2);
    /// ```
    pub fn ralston2() -> Self {
        known(
            "ralston2",
            "Ralston, Math. Comp. 16, 1962",
            &[&[], &[2.0 / 3.0]],
            &[0.25, 0.75],
            &[0.0, 2.0 / 3.0],
        )
    }

    /// Kutta's method of order 3.
    ///
    /// ```text
    /// 0   |
    /// 1/2 | 1/2
    /// 1   | -1   2
    ///     | 1/6  2/3  1/6
    /// ```
    /// Source: Kutta, Z. Math. Phys. 46, 1901.
    ///
    /// ```
    /// assert_eq!(kutta::Tableau::kutta3().order(), 3);
    /// ```
    pub fn kutta3() -> Self {
        known(
            "kutta3",
            "Kutta, Z. Math. Phys. 46, 1901",
            &[&[], &[0.5], &[-1.0, 2.0]],
            &[1.0 / 6.0, 2.0 / 3.0, 1.0 / 6.0],
            &[0.0, 0.5, 1.0],
        )
    }

    /// Heun's method of order 3.
    ///
    /// ```text
    /// 0   |
    /// 1/3 | 1/3
    /// 2/3 | 0    2/3
    ///     | 1/4  0    3/4
    /// ```
    /// Source: Heun, Z. Math. Phys. 45, 1900.
    ///
    /// ```
    /// assert_eq!(kutta::Tableau::heun3().order(), 3);
    /// ```
    pub fn heun3() -> Self {
        known(
            "heun3",
            "Heun, Z. Math. Phys. 45, 1900",
            &[&[], &[1.0 / 3.0], &[0.0, 2.0 / 3.0]],
            &[0.25, 0.0, 0.75],
            &[0.0, 1.0 / 3.0, 2.0 / 3.0],
        )
    }

    /// Ralston's method of order 3, of least error bound.
    ///
    /// ```text
    /// 0   |
    /// 1/2 | 1/2
    /// 3/4 | 0    3/4
    ///     | 2/9  1/3  4/9
    /// ```
    /// Source: Ralston, Math. Comp. 16, 1962.
    ///
    /// ```
    /// assert_eq!(kutta::Tableau::ralston3().order(), 3);
    /// ```
    pub fn ralston3() -> Self {
        known(
            "ralston3",
            "Ralston, Math. Comp. 16, 1962",
            &[&[], &[0.5], &[0.0, 0.75]],
            &[2.0 / 9.0, 1.0 / 3.0, 4.0 / 9.0],
            &[0.0, 0.5, 0.75],
        )
    }

    /// The strong-stability-preserving method of order 3 in 3 stages.
    ///
    /// ```text
    /// 0   |
    /// 1   | 1
    /// 1/2 | 1/4  1/4
    ///     | 1/6  1/6  2/3
    /// ```
    /// Source: Shu, Osher, J. Comput. Phys. 77, 1988.
    ///
    /// ```
    /// assert_eq!(kutta::Tableau::ssprk33().order(), 3);
    /// ```
    pub fn ssprk33() -> Self {
        known(
            "ssprk33",
            "Shu, Osher, J. Comput. Phys. 77, 1988",
            &[&[], &[1.0], &[0.25, 0.25]],
            &[1.0 / 6.0, 1.0 / 6.0, 2.0 / 3.0],
            &[0.0, 1.0, 0.5],
        )
    }

    /// The classic Runge–Kutta method of order 4.
    ///
    /// ```text
    /// 0   |
    /// 1/2 | 1/2
    /// 1/2 | 0    1/2
    /// 1   | 0    0    1
    ///     | 1/6  1/3  1/3  1/6
    /// ```
    /// Source: Kutta, Z. Math. Phys. 46, 1901.
    ///
    /// ```
    /// assert_eq!(kutta::Tableau::rk4().order(), 4);
    /// ```
    pub fn rk4() -> Self {
        known(
            "rk4",
            "Kutta, Z. Math. Phys. 46, 1901",
            &[&[], &[0.5], &[0.0, 0.5], &[0.0, 0.0, 1.0]],
            &[1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0],
            &[0.0, 0.5, 0.5, 1.0],
        )
    }

    /// Kutta's 3/8 rule, order 4. (Some libraries call this one `rk4`.)
    ///
    /// ```text
    /// 0   |
    /// 1/3 | 1/3
    /// 2/3 | -1/3  1
    /// 1   | 1    -1    1
    ///     | 1/8  3/8  3/8  1/8
    /// ```
    /// Source: Kutta, Z. Math. Phys. 46, 1901.
    ///
    /// ```
    /// assert_eq!(kutta::Tableau::rk38().order(), 4);
    /// ```
    pub fn rk38() -> Self {
        known(
            "rk38",
            "Kutta, Z. Math. Phys. 46, 1901",
            &[&[], &[1.0 / 3.0], &[-1.0 / 3.0, 1.0], &[1.0, -1.0, 1.0]],
            &[0.125, 0.375, 0.375, 0.125],
            &[0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0],
        )
    }

    /// Ralston's method of order 4, of least error bound; r = √5.
    ///
    /// ```text
    /// 0           |
    /// 2/5         | 2/5
    /// (14-3r)/16  | (-2889+1428r)/1024  (3785-1620r)/1024
    /// 1           | (-3365+2094r)/6040  (-975-3046r)/2552  (467040+203968r)/240845
    ///             | (263+24r)/1812  (125-1000r)/3828  1024(3346+1623r)/5924787  (30-4r)/123
    /// ```
    /// Source: Ralston, Math. Comp. 16, 1962.
    ///
    /// ```
    /// assert_eq!(kutta::Tableau::ralston4().order(), 4);
    /// ```
    pub fn ralston4() -> Self {
        let r = 5f64.sqrt();
        known(
            "ralston4",
            "Ralston, Math. Comp. 16, 1962",
            &[
                &[],
                &[0.4],
                &[(-2889.0 + 1428.0 * r) / 1024.0, (3785.0 - 1620.0 * r) / 1024.0],
                &[
                    (-3365.0 + 2094.0 * r) / 6040.0,
                    (-975.0 - 3046.0 * r) / 2552.0,
                    (467040.0 + 203968.0 * r) / 240845.0,
                ],
            ],
            &[
                (263.0 + 24.0 * r) / 1812.0,
                (125.0 - 1000.0 * r) / 3828.0,
                1024.0 * (3346.0 + 1623.0 * r) / 5924787.0,
                (30.0 - 4.0 * r) / 123.0,
            ],
            &[0.0, 0.4, (14.0 - 3.0 * r) / 16.0, 1.0],
        )
    }
}
