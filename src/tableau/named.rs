//! The classic explicit methods of order 1 to 4.
//!
//! Each docstring shows c | A over b. All were copied by hand once; that they
//! are right is shown by the order conditions in 70 digits, see `order.rs`.

use super::Tableau;
use super::entry::{Entry, known};

pub(super) static ENTRIES: &[Entry] = &[
    Entry {
        name: "euler",
        aliases: &["forwardeuler", "rk1"],
        source: "Euler, Institutionum calculi integralis I, 1768",
        text: include_str!("tables/euler.txt"),
    },
    Entry {
        name: "midpoint",
        aliases: &["explicitmidpoint"],
        source: "Runge, Math. Ann. 46, 1895",
        text: include_str!("tables/midpoint.txt"),
    },
    Entry {
        name: "heun",
        aliases: &["heun2", "explicittrapezoid", "ssprk22"],
        source: "Heun, Z. Math. Phys. 45, 1900",
        text: include_str!("tables/heun.txt"),
    },
    Entry {
        name: "ralston2",
        aliases: &["ralston"],
        source: "Ralston, Math. Comp. 16, 1962",
        text: include_str!("tables/ralston2.txt"),
    },
    Entry {
        name: "kutta3",
        aliases: &["rk3"],
        source: "Kutta, Z. Math. Phys. 46, 1901",
        text: include_str!("tables/kutta3.txt"),
    },
    Entry {
        name: "heun3",
        aliases: &[],
        source: "Heun, Z. Math. Phys. 45, 1900",
        text: include_str!("tables/heun3.txt"),
    },
    Entry {
        name: "ralston3",
        aliases: &[],
        source: "Ralston, Math. Comp. 16, 1962",
        text: include_str!("tables/ralston3.txt"),
    },
    Entry {
        name: "wray3",
        aliases: &["vanderhouwen3", "houwen3"],
        source: "van der Houwen, Numer. Math. 20, 1972; Wray 1986",
        text: include_str!("tables/wray3.txt"),
    },
    Entry {
        name: "ssprk33",
        aliases: &["ssprk3", "ssp3", "shuosher3"],
        source: "Shu, Osher, J. Comput. Phys. 77, 1988",
        text: include_str!("tables/ssprk33.txt"),
    },
    Entry {
        name: "ssprk43",
        aliases: &["ssp43"],
        source: "Kraaijevanger, BIT 31, 1991; Spiteri, Ruuth, SIAM J. Numer. Anal. 40, 2002",
        text: include_str!("tables/ssprk43.txt"),
    },
    Entry {
        name: "rk4",
        aliases: &["kutta4", "classic"],
        source: "Kutta, Z. Math. Phys. 46, 1901",
        text: include_str!("tables/rk4.txt"),
    },
    Entry {
        name: "rk38",
        aliases: &["3/8", "3/8-rule"],
        source: "Kutta, Z. Math. Phys. 46, 1901",
        text: include_str!("tables/rk38.txt"),
    },
    Entry {
        name: "ralston4",
        aliases: &[],
        source: "Ralston, Math. Comp. 16, 1962",
        text: include_str!("tables/ralston4.txt"),
    },
];

impl Tableau {
    /// Euler's method, order 1: gradient descent.
    ///
    /// ```text
    #[doc = include_str!("tables/euler.txt")]
    /// ```
    /// Source: Euler, Institutionum calculi integralis I, 1768.
    ///
    /// ```
    /// assert_eq!(kutta::Tableau::euler().order(), 1);
    /// ```
    pub fn euler() -> Self {
        known(ENTRIES, "euler")
    }

    /// The explicit midpoint rule, order 2.
    ///
    /// ```text
    #[doc = include_str!("tables/midpoint.txt")]
    /// ```
    /// Source: Runge, Math. Ann. 46, 1895.
    ///
    /// ```
    /// assert_eq!(kutta::Tableau::midpoint().order(), 2);
    /// ```
    pub fn midpoint() -> Self {
        known(ENTRIES, "midpoint")
    }

    /// Heun's method of order 2, the explicit trapezoidal rule; its name is `heun`.
    ///
    /// ```text
    #[doc = include_str!("tables/heun.txt")]
    /// ```
    /// Source: Heun, Z. Math. Phys. 45, 1900.
    ///
    /// ```
    /// assert_eq!(kutta::Tableau::heun2().order(), 2);
    /// ```
    pub fn heun2() -> Self {
        known(ENTRIES, "heun")
    }

    /// Ralston's method of order 2, of least error bound.
    ///
    /// ```text
    #[doc = include_str!("tables/ralston2.txt")]
    /// ```
    /// Source: Ralston, Math. Comp. 16, 1962.
    ///
    /// ```
    /// assert_eq!(kutta::Tableau::ralston2().order(), 2);
    /// ```
    pub fn ralston2() -> Self {
        known(ENTRIES, "ralston2")
    }

    /// Kutta's method of order 3.
    ///
    /// ```text
    #[doc = include_str!("tables/kutta3.txt")]
    /// ```
    /// Source: Kutta, Z. Math. Phys. 46, 1901.
    ///
    /// ```
    /// assert_eq!(kutta::Tableau::kutta3().order(), 3);
    /// ```
    pub fn kutta3() -> Self {
        known(ENTRIES, "kutta3")
    }

    /// Heun's method of order 3.
    ///
    /// ```text
    #[doc = include_str!("tables/heun3.txt")]
    /// ```
    /// Source: Heun, Z. Math. Phys. 45, 1900.
    ///
    /// ```
    /// assert_eq!(kutta::Tableau::heun3().order(), 3);
    /// ```
    pub fn heun3() -> Self {
        known(ENTRIES, "heun3")
    }

    /// Ralston's method of order 3, of least error bound.
    ///
    /// ```text
    #[doc = include_str!("tables/ralston3.txt")]
    /// ```
    /// Source: Ralston, Math. Comp. 16, 1962.
    ///
    /// ```
    /// assert_eq!(kutta::Tableau::ralston3().order(), 3);
    /// ```
    pub fn ralston3() -> Self {
        known(ENTRIES, "ralston3")
    }

    /// The strong-stability-preserving method of order 3 in 3 stages.
    ///
    /// ```text
    #[doc = include_str!("tables/ssprk33.txt")]
    /// ```
    /// Source: Shu, Osher, J. Comput. Phys. 77, 1988.
    ///
    /// ```
    /// assert_eq!(kutta::Tableau::ssprk33().order(), 3);
    /// ```
    pub fn ssprk33() -> Self {
        known(ENTRIES, "ssprk33")
    }

    /// The classic Runge–Kutta method of order 4.
    ///
    /// ```text
    #[doc = include_str!("tables/rk4.txt")]
    /// ```
    /// Source: Kutta, Z. Math. Phys. 46, 1901.
    ///
    /// ```
    /// assert_eq!(kutta::Tableau::rk4().order(), 4);
    /// ```
    pub fn rk4() -> Self {
        known(ENTRIES, "rk4")
    }

    /// Kutta's 3/8 rule, order 4. (Some libraries call this one `rk4`.)
    ///
    /// ```text
    #[doc = include_str!("tables/rk38.txt")]
    /// ```
    /// Source: Kutta, Z. Math. Phys. 46, 1901.
    ///
    /// ```
    /// assert_eq!(kutta::Tableau::rk38().order(), 4);
    /// ```
    pub fn rk38() -> Self {
        known(ENTRIES, "rk38")
    }

    /// Ralston's method of order 4, of least error bound; r = √5.
    ///
    /// ```text
    #[doc = include_str!("tables/ralston4.txt")]
    /// ```
    /// Source: Ralston, Math. Comp. 16, 1962.
    ///
    /// ```
    /// assert_eq!(kutta::Tableau::ralston4().order(), 4);
    /// ```
    pub fn ralston4() -> Self {
        known(ENTRIES, "ralston4")
    }

    /// Van der Houwen's method of order 3, known by Wray's use of it: two registers
    /// suffice.
    ///
    /// ```text
    #[doc = include_str!("tables/wray3.txt")]
    /// ```
    /// Source: van der Houwen, Numer. Math. 20, 1972; Wray 1986.
    ///
    /// ```
    /// assert_eq!(kutta::Tableau::wray3().order(), 3);
    /// ```
    pub fn wray3() -> Self {
        known(ENTRIES, "wray3")
    }

    /// The strong-stability-preserving method of order 3 in four stages: a stage
    /// more than [`ssprk33`](Self::ssprk33) buys twice its stable step.
    ///
    /// ```text
    #[doc = include_str!("tables/ssprk43.txt")]
    /// ```
    /// Source: Kraaijevanger, BIT 31, 1991; Spiteri, Ruuth, SIAM J. Numer. Anal. 40, 2002.
    ///
    /// ```
    /// let tableau = kutta::Tableau::ssprk43();
    /// assert_eq!(tableau.order(), 3);
    /// assert!((tableau.real_limit() - 5.149).abs() < 1e-3);
    /// ```
    pub fn ssprk43() -> Self {
        known(ENTRIES, "ssprk43")
    }
}
