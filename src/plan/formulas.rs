//! Formulas of operations, as they stand in a plan's table.

use std::fmt;

use super::ending::{Estimate, Makes};
use super::linear::{Also, Linear, Scale};
use super::registers::{Coefficients, Registers};
use super::touch::Diagonal;
use super::vector::{Name, Operand};
use crate::ingredients::{Ingredients, Momentum};

pub(super) fn subscript(number: u32) -> String {
    number
        .to_string()
        .bytes()
        .map(|d| char::from_u32(0x2080 + u32::from(d - b'0')).unwrap_or('?'))
        .collect()
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Name::Theta => "θ".to_owned(),
            Name::Gradient(i) => format!("k{}", subscript(*i)),
            Name::Point(i) => format!("y{}", subscript(*i)),
            Name::Sum(i) => format!("t{}", subscript(*i)),
            Name::Candidate => "θ'".to_owned(),
            Name::Beside => "z".to_owned(),
            Name::GradientBeside => "g̃".to_owned(),
            Name::Eigenvector => "w".to_owned(),
            Name::Landing => "g".to_owned(),
        };
        f.pad(&text)
    }
}

/// A coefficient, short where it is a small fraction.
pub(super) fn coefficient(x: f64) -> String {
    for q in 1..=90 {
        let p = x * f64::from(q);
        if (p - p.round()).abs() < 1e-12 {
            return if q == 1 { format!("{}", p.round()) } else { format!("{}/{q}", p.round()) };
        }
    }
    format!("{x:.6}")
}

fn signed(first: bool, minus: bool) -> &'static str {
    match (first, minus) {
        (true, false) => "",
        (true, true) => "−",
        (false, false) => " + ",
        (false, true) => " − ",
    }
}

fn weighted(x: f64) -> String {
    match coefficient(x.abs()).as_str() {
        "1" => String::new(),
        text => format!("{text} "),
    }
}

impl fmt::Display for Linear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = if self.target.name == Name::Theta {
            "θ'".to_owned()
        } else {
            self.target.name.to_string()
        };
        let Some(base) = self.base else {
            let text = format!("{target} = {}", sum(self.gradients.iter().copied()));
            return f.pad(&(text + &self.also("h")));
        };
        let mut text = format!("{target} = {}", base.name);
        for (w, point) in &self.points {
            let sign = signed(false, *w < 0.0);
            text += &format!("{sign}{}({} − {})", weighted(*w), point.name, base.name);
        }
        let outer = if self.scale == Scale::One { 1.0 } else { -1.0 };
        let h = match (self.scale, self.diagonal) {
            (Scale::Probe, Diagonal::None) => "ε",
            (Scale::Probe, _) => "ε D",
            (Scale::Direction, _) => "ε",
            (_, Diagonal::None) => "h",
            _ => "h D",
        };
        match (self.gradients.as_slice(), self.scale) {
            (terms, _) if terms.iter().all(|(a, _)| *a == 0.0) => {}
            ([(a, k)], Scale::StepSize | Scale::Probe | Scale::Direction) => {
                text += &format!("{}{}{h} {}", signed(false, -a < 0.0), weighted(*a), k.name);
            }
            (terms, scale) => {
                let sign = if scale == Scale::One { -1.0 } else { 1.0 };
                let sum: String = terms
                    .iter()
                    .filter(|(a, _)| *a != 0.0)
                    .enumerate()
                    .map(|(i, (a, k))| {
                        let first = i == 0;
                        format!("{}{}{}", signed(first, a * sign < 0.0), weighted(*a), k.name)
                    })
                    .collect();
                text += &if outer < 0.0 { format!(" − {h}({sum})") } else { format!(" + {sum}") };
            }
        }
        text += &self.also(h);
        f.pad(&text)
    }
}

impl Linear {
    /// The partial sums that are written too.
    fn also(&self, h: &str) -> String {
        let text = |also: &Also| {
            let terms = also.weights.iter().zip(&self.gradients).filter(|(w, _)| **w != 0.0);
            let sum = sum(terms.map(|(&w, &(_, k))| (w, k)));
            let name = also.target.name;
            match also.base {
                Some(base) => format!(";  {name} = {} − {h}({sum})", base.name),
                None => format!(";  {name} = {sum}"),
            }
        };
        self.also.iter().map(text).collect()
    }
}

pub(super) fn sum(terms: impl Iterator<Item = (f64, Operand)>) -> String {
    terms
        .enumerate()
        .map(|(i, (a, k))| format!("{}{}{}", signed(i == 0, a < 0.0), weighted(a), k.name))
        .collect()
}

impl Estimate {
    pub(super) fn text(&self, ingredients: &Ingredients) -> String {
        let d = if self.diagonal == Diagonal::None { "" } else { " D" };
        let part = |i: usize| {
            let terms = self.terms.iter().filter(move |(w, _)| w[i] != 0.0);
            sum(terms.map(|&(w, k)| (w[i], k)))
        };
        let step = match self.makes {
            Makes::Nothing => String::new(),
            Makes::Step => format!("θ' = θ − h{d}({});  ", part(1)),
            Makes::Finish => finished(ingredients, self.diagonal, &part(1)) + ";  ",
        };
        let drift = match self.drift {
            0.0 => String::new(),
            drift => format!("{}(θ − θ') + ", weighted(drift)),
        };
        let second = match self.two {
            true => format!(";  ‖e₂‖, e₂ = h{d}({})", part(1)),
            false => String::new(),
        };
        format!("{step}‖e‖, e = {drift}h{d}({}){second}", part(0))
    }
}

/// θ' by way of the momentum, from ḡ = `sum`.
pub(super) fn finished(ingredients: &Ingredients, diagonal: Diagonal, sum: &str) -> String {
    let d = if diagonal == Diagonal::None { "" } else { "D " };
    let decay = if ingredients.weight_decay == 0.0 { "" } else { " − h λ θ" };
    let step = match ingredients.momentum {
        Momentum::None => format!("θ' = θ − h {d}ḡ{decay}"),
        Momentum::HeavyBall { .. } => format!("m = β m + {d}ḡ,  θ' = θ − h m{decay}"),
        Momentum::Nesterov { .. } => {
            format!("m = β m + {d}ḡ,  θ' = θ − h ({d}ḡ + β m){decay}")
        }
        Momentum::Ema { .. } => {
            format!("m = β m + (1−β) ḡ,  θ' = θ − h {d}m/(1−βᵗ){decay}")
        }
    };
    format!("{step},  ḡ = {sum}")
}

impl Registers {
    /// r and q stand for the registers, whose names change as they are written.
    pub(super) fn text(&self) -> String {
        let Coefficients { register: r, sum: q, point: y, slope } = self.weights;
        let name = |operand: Option<Operand>| {
            operand.map_or_else(String::new, |operand| operand.name.to_string())
        };
        let (k, from, extra) = (name(self.gradient), name(self.point), name(self.extra));
        let moved = format!("({from} − θ)");
        let old = "r";
        let sum = |terms: &[(f64, &str)]| -> Vec<(f64, String)> {
            let terms = terms.iter().filter(|(w, _)| *w != 0.0);
            terms.map(|(w, name)| (*w, (*name).to_owned())).collect()
        };
        let text = |terms: &[(f64, String)]| -> String {
            let terms = terms.iter().enumerate();
            terms
                .map(|(i, (w, name))| {
                    format!("{}{}{name}", signed(i == 0, *w < 0.0), weighted(w.abs()))
                })
                .collect()
        };
        // A q that is only read is another vector's name.
        let kept = if self.writes_sum { "q".to_owned() } else { name(self.sum) };
        let mut parts = Vec::new();
        let d = if self.diagonal == Diagonal::None { "" } else { " D" };
        let old_weight = if self.reads_register { r.old } else { 0.0 };
        let mut register = sum(&[(old_weight, old), (r.point, &moved), (r.sum, &kept)]);
        if self.sloped {
            let slope = text(&sum(&[(slope.gradient, &k), (r.extra, &extra)]));
            register.push((-1.0, format!("h{d}({slope})")));
        } else {
            register.extend(sum(&[(r.gradient, &k), (r.extra, &extra)]));
        }
        let same = register == [(1.0, "r".to_owned())];
        let new = if same { "r" } else { "r'" };
        if !register.is_empty() && !same {
            parts.push(format!("r' = {}", text(&register)));
        }
        if self.writes_sum {
            let before = if self.reads_sum { q.sum } else { 0.0 };
            let terms = sum(&[(before, "q"), (q.old, old), (q.register, new), (q.gradient, &k)]);
            parts.push(format!("q' = {}", text(&terms)));
        }
        if let Some(target) = self.target {
            let mut all = vec![(1.0, if self.based { "θ".to_owned() } else { from.clone() })];
            all.extend(sum(&[(y.point, &moved), (y.register, new)]));
            let slope = sum(&[
                (slope.old, old),
                (slope.gradient, &k),
                (slope.register, new),
                (slope.sum, "q'"),
            ]);
            let slope = match slope.as_slice() {
                _ if self.sloped => String::new(),
                [(w, name)] => format!("{}{}h{d} {name}", signed(false, *w > 0.0), weighted(*w)),
                terms => format!(" − h{d}({})", text(terms)),
            };
            let target = match target.name {
                Name::Theta => "θ'".to_owned(),
                name => name.to_string(),
            };
            parts.push(format!("{target} = {}{slope}", text(&all)));
        }
        if self.checks != 0 {
            parts.push(format!("finite {}?", Name::Gradient(self.checks)));
        }
        if self.norm {
            parts.push("‖k₁‖".into());
        }
        if self.diagonal == Diagonal::Update {
            parts.push("D from k₁".into());
        }
        parts.join(";  ")
    }
}
