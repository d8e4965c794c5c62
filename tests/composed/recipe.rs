//! What can be composed: factors and their levels, and a case as a line of them.

use std::fmt;
use std::str::FromStr;

macro_rules! factors {
    ($($factor:ident $name:literal: $($level:literal)*;)*) => {
        /// What cases differ in.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Factor { $($factor),* }

        /// By factor: its name and its levels. The first is what a factor without effect has.
        pub const FACTORS: &[(Factor, &str, &[&str])] =
            &[$((Factor::$factor, $name, &[$($level),*])),*];
    };
}

factors! {
    Source "source": "mlp" "gaussian" "octaves" "coordinates" "hash" "quartic" "quadratic"
        "rosenbrock" "own" "own-cached" "own-host";
    Activation "activation": "relu" "tanh" "gelu" "sine";
    Loss "loss": "cross-entropy" "square-labels" "square-dense";
    Widths "widths": "one-hidden" "none" "two-hidden";
    Batches "batches": "partial" "exact" "in-order" "whole";
    Wrapper "wrapper": "none" "per-stage" "accumulated-2" "accumulated-3"
        "per-stage-of-accumulated" "accumulated-of-per-stage";
    Method "method": "euler" "heun" "ssprk43" "rk4" "bs3" "dp5" "dop853" "own"
        "williamson3" "carpenter-kennedy" "rdpk3sp35" "rkc1:stages=1" "rkc1:stages=5"
        "rkcd:stages=4" "rkc2:stages=4" "rkl1:stages=3" "rkl2:stages=5" "rock2:stages=5"
        "rkc2" "rkl1" "rock2";
    Rule "rule": "constant" "cosine" "exponential" "linear" "stairs" "piecewise" "dal"
        "dal-stages" "rescaled-dal" "rescaled-dal-stages" "rescaled-dal-product" "polyak"
        "sgd-g2" "stable" "adaptive-i" "adaptive-pi" "adaptive-pid" "adaptive-own"
        "adaptive-skip";
    Diagonal "preconditioner": "none" "adagrad_rescaled" "adagrad:eps=0.1"
        "rmsprop:rho=0.8,eps=0.1" "adam:beta2=0.9,eps=0.1" "amsgrad:beta2=0.8,eps=0.1";
    Momentum "momentum": "none" "heavy-ball:0.5" "nesterov:0.5" "ema:0.6";
    Decay "decay": "none" "weight" "l2" "both";
    Clip "clip": "none" "tight" "loose";
    Groups "groups": "none" "three";
    Average "average": "none" "kept";
    Stored "stored": "f32" "f32:gradients=f16" "f32:gradients=bf16" "f16" "bf16"
        "f32:momentum=f16,second=bf16" "bf16:rounding=stochastic";
    Writes "writes": "f32" "narrow" "adds";
    Plan "plan": "full" "full-8" "full-free" "stage" "stage-8" "stage-free" "none" "off";
    Radius "radius": "estimated" "given";
    Submit "submit": "32" "1" "3" "wait";
    Drive "drive": "run" "long" "runs" "accepted" "until" "until-twice" "record" "record-many"
        "record-for" "checkpoint" "two" "other-source" "new-wrapper" "measure" "dropped"
        "set-step";
    // What the source gives in one attempt is not finite, at its first or second stage.
    Fault "fault": "none" "first" "later";
}

/// A case: a level of every factor, and a seed for its numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Case {
    pub levels: [u8; FACTORS.len()],
    pub seed: u64,
}

impl Case {
    pub fn get(&self, factor: Factor) -> &'static str {
        FACTORS[factor as usize].2[usize::from(self.levels[factor as usize])]
    }

    pub fn is(&self, factor: Factor, any: &[&str]) -> bool {
        any.contains(&self.get(factor))
    }

    pub fn is_mlp(&self) -> bool {
        self.is(Factor::Source, &["mlp"])
    }

    pub fn is_field(&self) -> bool {
        self.is(Factor::Source, &["gaussian", "octaves", "coordinates", "hash"])
    }

    pub fn is_own(&self) -> bool {
        self.is(Factor::Source, &["own", "own-cached", "own-host"])
    }

    pub fn is_analytic(&self) -> bool {
        !(self.is_mlp() || self.is_field() || self.is_own())
    }

    pub fn is_stabilised(&self) -> bool {
        ["rkc", "rkl", "rock"].iter().any(|name| self.get(Factor::Method).starts_with(name))
    }

    /// Takes as many stages as a step needs.
    pub fn is_automatic(&self) -> bool {
        self.is(Factor::Method, &["rkc2", "rkl1", "rock2"])
    }

    pub fn is_adaptive(&self) -> bool {
        self.get(Factor::Rule).starts_with("adaptive")
    }

    /// Its source has one batch alone.
    pub fn has_one_batch(&self) -> bool {
        self.is_analytic() || self.is(Factor::Batches, &["whole"])
    }

    /// The stage whose gradient is not finite in one attempt.
    pub fn fails(&self) -> Option<u32> {
        match self.get(Factor::Fault) {
            "none" => None,
            "first" => Some(1),
            _ => Some(2),
        }
    }

    /// Whether a factor changes anything, given the others.
    pub fn has(&self, factor: Factor) -> bool {
        match factor {
            Factor::Activation | Factor::Widths => self.is_mlp() || self.is_field(),
            Factor::Loss => self.is_mlp(),
            Factor::Batches => !self.is_analytic(),
            Factor::Radius => self.is_stabilised() || self.is(Factor::Rule, &["stable"]),
            _ => true,
        }
    }

    /// With what has no effect at its usual level.
    pub fn settled(mut self) -> Self {
        for (i, (factor, ..)) in FACTORS.iter().enumerate() {
            if !self.has(*factor) {
                self.levels[i] = 0;
            }
        }
        self
    }

    /// Whether the public interface allows it.
    pub fn is_legal(&self) -> bool {
        let idle = |i: usize| self.levels[i] == 0 || self.has(FACTORS[i].0);
        let is = |factor, any: &[&str]| self.is(factor, any);
        let pairs = [
            "bs3",
            "dp5",
            "dop853",
            "own",
            "rdpk3sp35",
            "rkc2:stages=4",
            "rkl2:stages=5",
            "rock2:stages=5",
            "rkc2",
            "rock2",
        ];
        let curved_by_stages = is(Factor::Rule, &["dal-stages", "rescaled-dal-stages"]);
        let adds = is(Factor::Writes, &["adds"]);
        let narrow =
            ["f32:gradients=f16", "f32:gradients=bf16", "f16", "bf16", "bf16:rounding=stochastic"];
        let illegal = [
            self.is_adaptive() && !is(Factor::Method, &pairs),
            curved_by_stages && (self.is_stabilised() || adds || is(Factor::Method, &["euler"])),
            is(Factor::Rule, &["stable"]) && self.is_automatic(),
            // Products: of sources that have them, and without D.
            is(Factor::Rule, &["rescaled-dal-product"])
                && !(self.is_own()
                    && is(Factor::Diagonal, &["none"])
                    && is(Factor::Groups, &["none"])),
            // Adding: methods of two registers, sources that add.
            adds && !(is(Factor::Method, &["williamson3", "carpenter-kennedy"])
                && self.is_analytic()
                && is(Factor::Wrapper, &["none", "per-stage"])
                && !is(Factor::Plan, &["none"])),
            is(Factor::Writes, &["narrow"])
                && (self.is_own()
                    || !is(Factor::Stored, &narrow)
                    || self.get(Factor::Wrapper).contains("accumulated")),
            // Batches that the host draws want its numbers, and so a host that waits.
            is(Factor::Source, &["own-host"])
                && (!is(Factor::Submit, &["wait"])
                    || is(Factor::Batches, &["whole"])
                    || is(Factor::Drive, &["record", "record-many", "record-for", "dropped"])),
            is(Factor::Drive, &["new-wrapper"]) && is(Factor::Wrapper, &["none"]),
            // A stage that is its method's only one has none after it; the first of a
            // stabilised one may be.
            is(Factor::Fault, &["later"]) && is(Factor::Method, &["euler", "rkc1:stages=1"]),
            // Nobody looks.
            !is(Factor::Fault, &["none"]) && is(Factor::Plan, &["off"]),
        ];
        (0..FACTORS.len()).all(idle) && !illegal.contains(&true)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (_, name, levels)) in FACTORS.iter().enumerate() {
            // What is usual is not said.
            if self.levels[i] != 0 {
                write!(f, "{name}={} ", levels[usize::from(self.levels[i])])?;
            }
        }
        write!(f, "seed={}", self.seed)
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut case = Self { levels: [0; FACTORS.len()], seed: 0 };
        for part in text.split_whitespace() {
            let (name, level) = part.split_once('=').ok_or(format!("`{part}` has no `=`"))?;
            if name == "seed" {
                case.seed = level.parse().map_err(|_| format!("`{level}` is no seed"))?;
                continue;
            }
            let known = FACTORS.iter().position(|(_, known, _)| *known == name);
            let at = known.ok_or(format!("no factor is named `{name}`"))?;
            let known = FACTORS[at].2.iter().position(|known| *known == level);
            let number = known.ok_or(format!("{name} has no level `{level}`"))?;
            case.levels[at] = number as u8;
        }
        Ok(case)
    }
}
