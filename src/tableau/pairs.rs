//! Embedded pairs p(p̂): a method of order p with weights b̂ of order p̂ on the
//! same stages, whose difference estimates the error of a step.
//!
//! Each docstring shows c | A over b over b̂. As for the others, the order
//! conditions in 70 digits show that they are right.

use super::Tableau;
use super::entry::{Entry, known};

pub(super) static ENTRIES: &[Entry] = &[
    Entry {
        name: "heun-euler",
        aliases: &["heuneuler21"],
        source: "Hairer, Nørsett, Wanner I, II.4",
        text: include_str!("tables/heun-euler.txt"),
    },
    Entry {
        name: "bs3",
        aliases: &["bs32", "rk23", "bogackishampine"],
        source: "Bogacki, Shampine, Appl. Math. Lett. 2, 1989",
        text: include_str!("tables/bs3.txt"),
    },
    Entry {
        name: "rkf45",
        aliases: &["fehlberg", "fehlberg45"],
        source: "Fehlberg, NASA TR R-315, 1969",
        text: include_str!("tables/rkf45.txt"),
    },
    Entry {
        name: "cash-karp",
        aliases: &["ck5", "rkck"],
        source: "Cash, Karp, ACM Trans. Math. Softw. 16, 1990",
        text: include_str!("tables/cash-karp.txt"),
    },
    Entry {
        name: "dp5",
        aliases: &["dopri5", "rk45", "dormandprince"],
        source: "Dormand, Prince, J. Comp. Appl. Math. 6, 1980",
        text: include_str!("tables/dp5.txt"),
    },
    Entry {
        name: "tsit5",
        aliases: &["tsitouras5"],
        source: "Tsitouras, Comput. Math. Appl. 62, 2011",
        text: include_str!("tables/tsit5.txt"),
    },
    Entry {
        name: "verner6",
        aliases: &["vern6", "verner65"],
        source: "Verner, Numer. Algorithms 53, 2010, pair 6(5)",
        text: include_str!("tables/verner6.txt"),
    },
    Entry {
        name: "verner7",
        aliases: &["vern7", "verner76"],
        source: "Verner, Numer. Algorithms 53, 2010, pair 7(6)",
        text: include_str!("tables/verner7.txt"),
    },
    Entry {
        name: "verner8",
        aliases: &["vern8", "verner87"],
        source: "Verner, Numer. Algorithms 53, 2010, pair 8(7)",
        text: include_str!("tables/verner8.txt"),
    },
    Entry {
        name: "dop853",
        aliases: &["dormandprince8", "rk853"],
        source: "Hairer, Nørsett, Wanner I, II.5",
        text: include_str!("tables/dop853.txt"),
    },
];

impl Tableau {
    /// Heun's method with Euler's, 2(1).
    ///
    /// ```text
    #[doc = include_str!("tables/heun-euler.txt")]
    /// ```
    /// Source: Hairer, Nørsett, Wanner I, II.4.
    ///
    /// ```
    /// let pair = kutta::Tableau::heun_euler();
    /// assert_eq!((pair.order(), pair.embedded_order()), (2, Some(1)));
    /// ```
    pub fn heun_euler() -> Self {
        known(ENTRIES, "heun-euler")
    }

    /// The pair 3(2) of Bogacki and Shampine, first same as last.
    ///
    /// ```text
    #[doc = include_str!("tables/bs3.txt")]
    /// ```
    /// Source: Bogacki, Shampine, Appl. Math. Lett. 2, 1989.
    ///
    /// ```
    /// let pair = kutta::Tableau::bs3();
    /// assert_eq!((pair.order(), pair.embedded_order()), (3, Some(2)));
    /// assert!(pair.first_same_as_last());
    /// ```
    pub fn bs3() -> Self {
        known(ENTRIES, "bs3")
    }

    /// The pair 5(4) of Dormand and Prince, first same as last.
    ///
    /// ```text
    #[doc = include_str!("tables/dp5.txt")]
    /// ```
    /// Source: Dormand, Prince, J. Comp. Appl. Math. 6, 1980.
    ///
    /// ```
    /// let pair = kutta::Tableau::dp5();
    /// assert_eq!((pair.order(), pair.embedded_order()), (5, Some(4)));
    /// assert!(pair.first_same_as_last());
    /// ```
    pub fn dp5() -> Self {
        known(ENTRIES, "dp5")
    }

    /// The pair 4(5) of Fehlberg: the step is the method of order 4.
    ///
    /// ```text
    #[doc = include_str!("tables/rkf45.txt")]
    /// ```
    /// Source: Fehlberg, NASA TR R-315, 1969.
    ///
    /// ```
    /// let pair = kutta::Tableau::rkf45();
    /// assert_eq!((pair.order(), pair.embedded_order()), (4, Some(5)));
    /// ```
    pub fn rkf45() -> Self {
        known(ENTRIES, "rkf45")
    }

    /// The pair 5(4) of Cash and Karp.
    ///
    /// ```text
    #[doc = include_str!("tables/cash-karp.txt")]
    /// ```
    /// Source: Cash, Karp, ACM Trans. Math. Softw. 16, 1990.
    ///
    /// ```
    /// let pair = kutta::Tableau::cash_karp();
    /// assert_eq!((pair.order(), pair.embedded_order()), (5, Some(4)));
    /// ```
    pub fn cash_karp() -> Self {
        known(ENTRIES, "cash-karp")
    }

    /// The pair 5(4) of Tsitouras, first same as last.
    ///
    /// ```text
    #[doc = include_str!("tables/tsit5.txt")]
    /// ```
    /// Source: Tsitouras, Comput. Math. Appl. 62, 2011.
    ///
    /// ```
    /// let pair = kutta::Tableau::tsit5();
    /// assert_eq!((pair.order(), pair.embedded_order()), (5, Some(4)));
    /// assert!(pair.first_same_as_last());
    /// ```
    pub fn tsit5() -> Self {
        known(ENTRIES, "tsit5")
    }

    /// Verner's "most efficient" pair 6(5), first same as last.
    ///
    /// ```text
    #[doc = include_str!("tables/verner6.txt")]
    /// ```
    /// Source: Verner, Numer. Algorithms 53, 2010.
    ///
    /// ```
    /// let pair = kutta::Tableau::verner6();
    /// assert_eq!((pair.order(), pair.embedded_order()), (6, Some(5)));
    /// assert!(pair.first_same_as_last());
    /// ```
    pub fn verner6() -> Self {
        known(ENTRIES, "verner6")
    }

    /// Verner's "most efficient" pair 7(6).
    ///
    /// ```text
    #[doc = include_str!("tables/verner7.txt")]
    /// ```
    /// Source: Verner, Numer. Algorithms 53, 2010.
    ///
    /// ```
    /// let pair = kutta::Tableau::verner7();
    /// assert_eq!((pair.order(), pair.embedded_order()), (7, Some(6)));
    /// ```
    pub fn verner7() -> Self {
        known(ENTRIES, "verner7")
    }

    /// Verner's "most efficient" pair 8(7).
    ///
    /// ```text
    #[doc = include_str!("tables/verner8.txt")]
    /// ```
    /// Source: Verner, Numer. Algorithms 53, 2010.
    ///
    /// ```
    /// let pair = kutta::Tableau::verner8();
    /// assert_eq!((pair.order(), pair.embedded_order()), (8, Some(7)));
    /// ```
    pub fn verner8() -> Self {
        known(ENTRIES, "verner8")
    }

    /// The method of order 8 by Dormand and Prince in Hairer's 12 stages, with his
    /// embedded weights of order 5.
    ///
    /// ```text
    #[doc = include_str!("tables/dop853.txt")]
    /// ```
    /// Source: Hairer, Nørsett, Wanner I, II.5.
    ///
    /// ```
    /// let pair = kutta::Tableau::dop853();
    /// assert_eq!((pair.order(), pair.embedded_order()), (8, Some(5)));
    /// ```
    pub fn dop853() -> Self {
        known(ENTRIES, "dop853")
    }
}
