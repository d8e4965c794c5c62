//! Embedded pairs p(p̂): a method of order p with weights b̂ of order p̂ on the
//! same stages, whose difference estimates the error of a step.
//!
//! Each docstring shows c | A over b over b̂. As for the others, the order
//! conditions of `tests/tableau.rs` show that they are right.

use super::Tableau;
use super::named::known;
use super::registry::Entry;

pub(super) static ENTRIES: &[Entry] = &[
    Entry { name: "heun-euler", aliases: &["heuneuler21"], build: Tableau::heun_euler },
    Entry { name: "bs3", aliases: &["bs32", "rk23", "bogackishampine"], build: Tableau::bs3 },
    Entry { name: "dp5", aliases: &["dopri5", "rk45", "dormandprince"], build: Tableau::dp5 },
];

impl Tableau {
    /// Coefficients that a test passes through the checks of
    /// [`Tableau::with_embedded`].
    fn pair(self, b_hat: &[f64]) -> Self {
        Self { b_hat: Some(b_hat.into()), ..self }
    }

    /// Heun's method with Euler's, 2(1).
    ///
    /// ```text
    /// 0 |
    /// 1 | 1
    ///   | 1/2  1/2
    ///   | 1    0
    /// ```
    /// Source: Hairer, Nørsett, Wanner I, II.4.
    ///
    /// ```
    /// let pair = kutta::Tableau::heun_euler();
    /// assert_eq!((pair.order(), pair.embedded_order()), (2, Some(1)));
    /// ```
    pub fn heun_euler() -> Self {
        let source = "Hairer, Nørsett, Wanner I, II.4";
        known("heun-euler", source, &[&[], &[1.0]], &[0.5, 0.5], &[0.0, 1.0]).pair(&[1.0, 0.0])
    }

    /// The pair 3(2) of Bogacki and Shampine, first same as last.
    ///
    /// ```text
    /// 0   |
    /// 1/2 | 1/2
    /// 3/4 | 0    3/4
    /// 1   | 2/9  1/3  4/9
    ///     | 2/9  1/3  4/9  0
    ///     | 7/24 1/4  1/3  1/8
    /// ```
    /// Source: Bogacki, Shampine, Appl. Math. Lett. 2, 1989.
    ///
    /// ```
    /// let pair = kutta::Tableau::bs3();
    /// assert_eq!((pair.order(), pair.embedded_order()), (3, Some(2)));
    /// assert!(pair.first_same_as_last());
    /// ```
    pub fn bs3() -> Self {
        let last = [2.0 / 9.0, 1.0 / 3.0, 4.0 / 9.0];
        known(
            "bs3",
            "Bogacki, Shampine, Appl. Math. Lett. 2, 1989",
            &[&[], &[0.5], &[0.0, 0.75], &last],
            &[last[0], last[1], last[2], 0.0],
            &[0.0, 0.5, 0.75, 1.0],
        )
        .pair(&[7.0 / 24.0, 0.25, 1.0 / 3.0, 0.125])
    }

    /// The pair 5(4) of Dormand and Prince, first same as last.
    ///
    /// ```text
    /// 0    |
    /// 1/5  | 1/5
    /// 3/10 | 3/40        9/40
    /// 4/5  | 44/45       -56/15       32/9
    /// 8/9  | 19372/6561  -25360/2187  64448/6561  -212/729
    /// 1    | 9017/3168   -355/33      46732/5247  49/176   -5103/18656
    /// 1    | 35/384      0            500/1113    125/192  -2187/6784     11/84
    ///      | 35/384      0            500/1113    125/192  -2187/6784     11/84     0
    ///      | 5179/57600  0            7571/16695  393/640  -92097/339200  187/2100  1/40
    /// ```
    /// Source: Dormand, Prince, J. Comp. Appl. Math. 6, 1980.
    ///
    /// ```
    /// let pair = kutta::Tableau::dp5();
    /// assert_eq!((pair.order(), pair.embedded_order()), (5, Some(4)));
    /// assert!(pair.first_same_as_last());
    /// ```
    pub fn dp5() -> Self {
        let last =
            [35.0 / 384.0, 0.0, 500.0 / 1113.0, 125.0 / 192.0, -2187.0 / 6784.0, 11.0 / 84.0];
        let [b1, b2, b3, b4, b5, b6] = last;
        known(
            "dp5",
            "Dormand, Prince, J. Comp. Appl. Math. 6, 1980",
            &[
                &[],
                &[0.2],
                &[3.0 / 40.0, 9.0 / 40.0],
                &[44.0 / 45.0, -56.0 / 15.0, 32.0 / 9.0],
                &[19372.0 / 6561.0, -25360.0 / 2187.0, 64448.0 / 6561.0, -212.0 / 729.0],
                &[
                    9017.0 / 3168.0,
                    -355.0 / 33.0,
                    46732.0 / 5247.0,
                    49.0 / 176.0,
                    -5103.0 / 18656.0,
                ],
                &last,
            ],
            &[b1, b2, b3, b4, b5, b6, 0.0],
            &[0.0, 0.2, 0.3, 0.8, 8.0 / 9.0, 1.0, 1.0],
        )
        .pair(&[
            5179.0 / 57600.0,
            0.0,
            7571.0 / 16695.0,
            393.0 / 640.0,
            -92097.0 / 339200.0,
            187.0 / 2100.0,
            1.0 / 40.0,
        ])
    }
}
