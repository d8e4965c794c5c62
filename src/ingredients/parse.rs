//! Ingredients by name: `NAME[:key=value,…]`.

use std::str::FromStr;

use super::{
    Adaptive, Controller, Curvature, Limiter, Momentum, Preconditioner, Rejection, Rounding, Rule,
    StepSize, Storage, Stored,
};
use crate::error::IngredientError;

/// A name with its values; whoever knows the name takes them out.
struct Spec<'a> {
    text: &'a str,
    name: &'a str,
    values: Vec<(&'a str, f64)>,
}

impl<'a> Spec<'a> {
    /// A value without a key has the key `alone`.
    fn new(text: &'a str, alone: &'static str) -> Result<Self, IngredientError> {
        let fault = |part: &str| IngredientError::Syntax { text: text.into(), part: part.into() };
        let (name, rest) = text.trim().split_once(':').unwrap_or((text.trim(), ""));
        let values = rest
            .split(',')
            .filter(|part| !part.trim().is_empty())
            .map(|part| {
                let (key, value) = part.split_once('=').unwrap_or((alone, part));
                let value = value.trim().parse().map_err(|_| fault(part))?;
                Ok((key.trim(), value))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { text, name, values })
    }

    fn take(&mut self, key: &str, default: f64) -> f64 {
        match self.values.iter().position(|&(k, _)| k == key) {
            Some(at) => self.values.remove(at).1,
            None => default,
        }
    }

    /// A value that must be there.
    fn need(&mut self, key: &'static str) -> Result<f64, IngredientError> {
        match self.values.iter().position(|&(k, _)| k == key) {
            Some(at) => Ok(self.values.remove(at).1),
            None => Err(IngredientError::Missing { text: self.text.into(), key }),
        }
    }

    /// A whole number of steps that must be there.
    fn steps(&mut self, key: &'static str) -> Result<u32, IngredientError> {
        let found = self.need(key)?;
        if found.fract() == 0.0 && (0.0..f64::from(u32::MAX)).contains(&found) {
            return Ok(found as u32);
        }
        let range = "a whole number of steps";
        Err(IngredientError::OutOfRange { ingredient: "a schedule", key, found, range })
    }

    /// What nobody took is a fault.
    fn finish<T>(self, made: T) -> Result<T, IngredientError> {
        match self.values.first() {
            None => Ok(made),
            Some((key, _)) => {
                Err(IngredientError::Syntax { text: self.text.into(), part: (*key).into() })
            }
        }
    }

    fn unknown<T>(&self, names: &'static str) -> Result<T, IngredientError> {
        Err(IngredientError::UnknownName { found: self.name.into(), names })
    }
}

/// `none`, `adagrad_rescaled`, `adagrad[:eps=…]`, `rmsprop[:rho=…,eps=…]`,
/// `adam[:beta2=…,eps=…]`, `amsgrad[:beta2=…,eps=…]`; PyTorch's defaults.
///
/// ```
/// use kutta::Preconditioner;
/// assert_eq!("adam:beta2=0.99".parse::<Preconditioner>()?, Preconditioner::adam(0.99, 1e-8));
/// # Ok::<(), kutta::Error>(())
/// ```
impl FromStr for Preconditioner {
    type Err = IngredientError;

    fn from_str(text: &str) -> Result<Self, IngredientError> {
        let mut spec = Spec::new(text, "")?;
        let made = match spec.name {
            "none" => Self::None,
            "adagrad_rescaled" | "adagrad-rescaled" => Self::AdagradRescaled,
            "adagrad" => Self::adagrad(spec.take("eps", 1e-10)),
            "rmsprop" => Self::rmsprop(spec.take("rho", 0.99), spec.take("eps", 1e-8)),
            "adam" => Self::adam(spec.take("beta2", 0.999), spec.take("eps", 1e-8)),
            "amsgrad" => Self::amsgrad(spec.take("beta2", 0.999), spec.take("eps", 1e-8)),
            _ => return spec.unknown("none, adagrad_rescaled, adagrad, rmsprop, adam, amsgrad"),
        };
        made.check()?;
        spec.finish(made)
    }
}

/// `none`, `heavy-ball:β`, `nesterov:β`, `ema:β`; β = 0.9 unless given.
///
/// ```
/// use kutta::Momentum;
/// assert_eq!("ema:0.8".parse::<Momentum>()?, Momentum::average(0.8));
/// # Ok::<(), kutta::Error>(())
/// ```
impl FromStr for Momentum {
    type Err = IngredientError;

    fn from_str(text: &str) -> Result<Self, IngredientError> {
        let mut spec = Spec::new(text, "beta")?;
        let made = match spec.name {
            "none" => Self::None,
            "heavy-ball" => Self::heavy_ball(spec.take("beta", 0.9)),
            "nesterov" => Self::nesterov(spec.take("beta", 0.9)),
            "ema" => Self::average(spec.take("beta", 0.9)),
            _ => return spec.unknown("none, heavy-ball, nesterov, ema"),
        };
        made.check()?;
        spec.finish(made)
    }
}

/// A number, or a schedule with its values, and `warm-up=N` beside any of them:
/// `constant:h=…`, `linear:from=…,to=…,steps=…`, `cosine:from=…,to=…,steps=…`,
/// `exponential:h=…,rate=…,every=…`, `stairs:h=…,rate=…,every=…`,
/// `one-cycle:peak=…,steps=…`. Or a rule: `dal:p=…,from=probe|stages|product`,
/// `rescaled-dal:c=…,p=…,from=probe|stages|product`, `polyak[:h-max=…]`,
/// `sgd-g2:h=…,beta=…`, `stable[:fraction=…,h-max=…]`.
///
/// ```
/// use kutta::StepSize;
/// assert_eq!("0.1".parse::<StepSize>()?, StepSize::constant(0.1));
/// let cosine: StepSize = "cosine:from=0.5,to=0.01,steps=900,warm-up=100".parse()?;
/// assert_eq!(cosine, StepSize::cosine(0.5, 0.01, 900).warm_up(100));
/// # Ok::<(), kutta::Error>(())
/// ```
impl FromStr for StepSize {
    type Err = IngredientError;

    fn from_str(text: &str) -> Result<Self, IngredientError> {
        if let Ok(h) = text.trim().parse() {
            let made = Self::constant(h);
            made.check()?;
            return Ok(made);
        }
        let (text, source) = curvature(text)?;
        let mut spec = Spec::new(&text, "")?;
        let rule = match spec.name {
            "dal" => Some(Rule::Dal {
                p: spec.take("p", 1.0),
                h_max: spec.take("h-max", 5.0),
                from: source.unwrap_or_default(),
            }),
            "rescaled-dal" => Some(Rule::RescaledDal {
                c: spec.need("c")?,
                p: spec.take("p", 1.0),
                from: source.unwrap_or_default(),
            }),
            "polyak" => Some(Rule::Polyak { h_max: spec.take("h-max", 1.0) }),
            "stable" => Some(Rule::Stable {
                fraction: spec.take("fraction", 1.0),
                h_max: spec.take("h-max", 1.0),
            }),
            "sgd-g2" => Some(Rule::SgdG2 { h: spec.need("h")?, beta: spec.take("beta", 0.9) }),
            _ => None,
        };
        if let Some(rule) = rule {
            let made = Self::ruled(rule);
            made.check()?;
            return spec.finish(made);
        }
        let made = match spec.name {
            "constant" => Self::constant(spec.need("h")? as f32),
            "linear" => Self::linear(spec.need("from")?, spec.need("to")?, spec.steps("steps")?),
            "cosine" => Self::cosine(spec.need("from")?, spec.need("to")?, spec.steps("steps")?),
            "exponential" => {
                Self::exponential(spec.need("h")?, spec.need("rate")?, spec.steps("every")?)
            }
            "stairs" => Self::stairs(spec.need("h")?, spec.need("rate")?, spec.steps("every")?),
            "one-cycle" => Self::one_cycle(spec.need("peak")?, spec.steps("steps")?),
            _ => {
                return spec.unknown(
                    "a number, constant, linear, cosine, exponential, stairs, one-cycle, dal, \
                     rescaled-dal, polyak, stable, sgd-g2",
                );
            }
        };
        let warm = spec.values.iter().any(|&(key, _)| key == "warm-up");
        let made = if warm { made.warm_up(spec.steps("warm-up")?) } else { made };
        made.check()?;
        spec.finish(made)
    }
}

/// Takes `from=…` out of a rule's values: it is no number.
fn curvature(text: &str) -> Result<(String, Option<Curvature>), IngredientError> {
    let Some((name, values)) = text.split_once(':') else { return Ok((text.into(), None)) };
    let (from, rest): (Vec<&str>, Vec<&str>) = values
        .split(',')
        .partition(|value| value.trim().starts_with("from=") && name.contains("dal"));
    let source = match from.first().map(|value| value.trim()) {
        None => None,
        Some("from=probe") => Some(Curvature::Probe),
        Some("from=stages") => Some(Curvature::Stages),
        Some("from=product") => Some(Curvature::Product),
        Some(other) => {
            let found = other.trim_start_matches("from=").to_owned();
            return Err(IngredientError::UnknownName { found, names: "probe, stages, product" });
        }
    };
    Ok((format!("{name}:{}", rest.join(",")), source))
}

/// `rtol=…,atol=…` with, if wanted, `controller=i|pi|pid`, `p=…,i=…,d=…` of a
/// PID controller, `limiter=clamp|arctan`, `safety=…`, `h-min=…`, `h-max=…`, `rejection=retry|skip`,
/// `most-rejections=…`. Without values rtol is 1e-3 and atol 1e-6.
impl FromStr for Adaptive {
    type Err = IngredientError;

    fn from_str(text: &str) -> Result<Self, IngredientError> {
        let fault = |part: &str| IngredientError::Syntax { text: text.into(), part: part.into() };
        let mut made = Self::new(1e-3, 1e-6);
        let mut pid = (0.14, 0.25, 0.10);
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let (key, value) = part.split_once('=').ok_or_else(|| fault(part))?;
            let value = value.trim();
            let number = || value.parse::<f64>().map_err(|_| fault(part));
            match key.trim() {
                "rtol" => made.rtol = number()?,
                "atol" => made.atol = number()?,
                "safety" => made.safety = number()?,
                "h-min" => made.h_min = number()?,
                "h-max" => made.h_max = number()?,
                "p" => pid.0 = number()?,
                "i" => pid.1 = number()?,
                "d" => pid.2 = number()?,
                "most-rejections" => {
                    made.most_rejections = value.parse().map_err(|_| fault(part))?;
                }
                "controller" => {
                    made.controller = match value {
                        "i" => Some(Controller::I),
                        "pi" => Some(Controller::Pi),
                        "pid" => Some(Controller::pid()),
                        _ => {
                            let found = value.to_owned();
                            return Err(IngredientError::UnknownName {
                                found,
                                names: "i, pi, pid",
                            });
                        }
                    }
                }
                "limiter" => {
                    made.limiter = match value {
                        "clamp" => Some(Limiter::Clamp),
                        "arctan" => Some(Limiter::Arctan),
                        _ => {
                            let found = value.to_owned();
                            return Err(IngredientError::UnknownName {
                                found,
                                names: "clamp, arctan",
                            });
                        }
                    }
                }
                "rejection" => {
                    made.rejection = match value {
                        "retry" => Rejection::Retry,
                        "skip" => Rejection::Skip,
                        _ => {
                            let found = value.to_owned();
                            return Err(IngredientError::UnknownName {
                                found,
                                names: "retry, skip",
                            });
                        }
                    }
                }
                _ => return Err(fault(part)),
            }
        }
        if let Some(Controller::Pid { p, i, d }) = &mut made.controller {
            (*p, *i, *d) = pid;
        }
        made.check()?;
        Ok(made)
    }
}

/// `f32`, `f16` or `bf16`.
impl FromStr for Storage {
    type Err = IngredientError;

    fn from_str(text: &str) -> Result<Self, IngredientError> {
        match text.trim() {
            "f32" => Ok(Self::F32),
            "f16" => Ok(Self::F16),
            "bf16" => Ok(Self::Bf16),
            found => {
                let found = found.to_owned();
                Err(IngredientError::UnknownName { found, names: "f32, f16, bf16" })
            }
        }
    }
}

/// `f32`, `f16` or `bf16` for everything, and after a colon what differs:
/// `gradients=…`, `momentum=…`, `second=…`, `rounding=nearest|stochastic`.
impl FromStr for Stored {
    type Err = IngredientError;

    fn from_str(text: &str) -> Result<Self, IngredientError> {
        let fault = |part: &str| IngredientError::Syntax { text: text.into(), part: part.into() };
        let (name, rest) = text.trim().split_once(':').unwrap_or((text.trim(), ""));
        let mut made = Self::all(name.parse()?);
        for part in rest.split(',').filter(|part| !part.trim().is_empty()) {
            let (key, value) = part.split_once('=').ok_or_else(|| fault(part))?;
            match key.trim() {
                "gradients" => made.gradients = value.parse()?,
                "momentum" => made.momentum = value.parse()?,
                "second" => made.second = value.parse()?,
                "rounding" => {
                    made.rounding = match value.trim() {
                        "nearest" => Rounding::Nearest,
                        "stochastic" => Rounding::Stochastic,
                        found => {
                            let (found, names) = (found.to_owned(), "nearest, stochastic");
                            return Err(IngredientError::UnknownName { found, names });
                        }
                    }
                }
                _ => return Err(fault(part)),
            }
        }
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for text in [
            "none",
            "adagrad_rescaled",
            "adagrad:eps=1e-10",
            "rmsprop:rho=0.99,eps=1e-8",
            "adam:beta2=0.999,eps=1e-8",
            "amsgrad:beta2=0.9,eps=0.001",
        ] {
            assert_eq!(text.parse::<Preconditioner>().unwrap().to_string(), text);
        }
        for text in [
            "f32",
            "bf16:rounding=stochastic",
            "f16",
            "f32:gradients=f16",
            "f32:gradients=f16,momentum=bf16,second=bf16,rounding=stochastic",
        ] {
            assert_eq!(text.parse::<Stored>().unwrap().to_string(), text);
        }
        for text in ["none", "heavy-ball:0.9", "nesterov:0.5", "ema:0.95"] {
            assert_eq!(text.parse::<Momentum>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn faults_are_named() {
        for (text, words) in [
            ("adamw", "amsgrad"),
            ("adam:beta3=0.9", "beta3"),
            ("adam:beta2=1.0", "between 0 and 1"),
            ("adam:eps=0", "positive"),
            ("rmsprop:rho=x", "rho=x"),
        ] {
            let message = text.parse::<Preconditioner>().unwrap_err().to_string();
            assert!(message.contains(words), "{text}: {message}");
        }
        for (text, words) in [
            ("-0.1", "-0.1"),
            ("fast", "one-cycle"),
            ("cosine:from=1,to=0.1", "steps"),
            ("cosine:from=1,to=0.1,steps=1.5", "whole"),
            ("stairs:h=0.1,rate=0.5,every=10,step=3", "step"),
        ] {
            let message = text.parse::<StepSize>().unwrap_err().to_string();
            assert!(message.contains(words), "{text}: {message}");
        }
        for (text, words) in [
            ("f8", "bf16"),
            ("f16:theta=f16", "theta"),
            ("f16:second", "second"),
            ("bf16:rounding=up", "stochastic"),
        ] {
            let message = text.parse::<Stored>().unwrap_err().to_string();
            assert!(message.contains(words), "{text}: {message}");
        }
        for (text, words) in [("ball", "heavy-ball"), ("ema:1", "beta"), ("ema:0.9,0.8", "beta")] {
            let message = text.parse::<Momentum>().unwrap_err().to_string();
            assert!(message.contains(words), "{text}: {message}");
        }
    }
}
