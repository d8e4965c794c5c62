//! Ingredients by name: `NAME[:key=value,…]`.

use std::str::FromStr;

use super::{
    Adaptive, Controller, Curvature, IngredientError, Limiter, Momentum, Preconditioner, Rejection,
    Rule, StepSize, Stored,
};
use crate::format::{Rounding, Storage};

/// `key=value,key=value` in lower case, each key once; a value by itself has the key `alone`,
/// if there may be one.
fn pairs(
    text: &str,
    values: &str,
    alone: Option<&'static str>,
) -> Result<Vec<(String, String)>, IngredientError> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for part in values.split(',').filter(|part| !part.trim().is_empty()) {
        let (key, value) = match (part.split_once('='), alone) {
            (Some(pair), _) => pair,
            // Beside another number it is what comes after a decimal comma.
            (None, Some(key)) if !comes_after_a_comma(values, part) => (key, part),
            (None, _) => return Err(fault(text, part)),
        };
        let (key, value) = (key.trim().to_lowercase(), value.trim().to_lowercase());
        if pairs.iter().any(|(known, _)| *known == key) {
            return Err(IngredientError::Twice { text: text.into(), key });
        }
        pairs.push((key, value));
    }
    Ok(pairs)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Tells whether these digits follow those of a whole number and a comma.
fn comes_after_a_comma(values: &str, digits: &str) -> bool {
    let before = values.split(',').take_while(|part| !std::ptr::eq(*part, digits)).last();
    let number = before.map(|part| part.rsplit('=').next().unwrap_or(part));
    is_digits(digits) && number.is_some_and(is_digits)
}

/// Says what is wrong with a part: perhaps its comma.
fn fault(text: &str, part: &str) -> IngredientError {
    let parts: Vec<&str> = text.split(',').collect();
    for (i, pair) in parts.windows(2).enumerate() {
        let whole = pair[0].rsplit(['=', ':']).next().unwrap_or_default().trim();
        if is_digits(whole.trim_start_matches('-')) && is_digits(pair[1].trim()) {
            let (before, after) = (parts[..=i].join(","), parts[i + 1..].join(","));
            let suggestion = format!("{before}.{after}");
            return IngredientError::DecimalComma { text: text.into(), suggestion };
        }
    }
    IngredientError::Syntax { text: text.into(), part: part.trim().into() }
}

/// The name in lower case, and the values after its colon.
fn split(text: &str) -> (String, &str) {
    let (name, values) = text.trim().split_once(':').unwrap_or((text.trim(), ""));
    (name.trim().to_lowercase(), values)
}

/// A name with its values; whoever knows the name takes them out.
struct Spec<'a> {
    text: &'a str,
    name: String,
    values: Vec<(String, f64)>,
}

impl<'a> Spec<'a> {
    /// A value without a key has the key `alone`.
    fn new(text: &'a str, alone: Option<&'static str>) -> Result<Self, IngredientError> {
        let (name, values) = split(text);
        let number = |(key, value): (String, String)| {
            let number = value.parse().map_err(|_| fault(text, &format!("{key}={value}")))?;
            Ok((key, number))
        };
        let values = pairs(text, values, alone)?;
        let values = values.into_iter().map(number).collect::<Result<_, _>>()?;
        Ok(Self { text, name, values })
    }

    fn take(&mut self, key: &str, default: f64) -> f64 {
        match self.values.iter().position(|(k, _)| k == key) {
            Some(at) => self.values.remove(at).1,
            None => default,
        }
    }

    /// A value that must be there.
    fn need(&mut self, key: &'static str) -> Result<f64, IngredientError> {
        match self.values.iter().position(|(k, _)| k == key) {
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

    /// Reports a value that nobody took.
    fn finish<T>(self, made: T) -> Result<T, IngredientError> {
        match self.values.first() {
            None => Ok(made),
            Some((key, _)) => Err(fault(self.text, key)),
        }
    }

    fn unknown<T>(&self, names: &'static str) -> Result<T, IngredientError> {
        unknown(self.text.trim().split(':').next().unwrap_or_default(), names)
    }
}

fn unknown<T>(found: &str, names: &'static str) -> Result<T, IngredientError> {
    Err(IngredientError::UnknownName { found: found.into(), names })
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
        let mut spec = Spec::new(text, None)?;
        let made = match spec.name.as_str() {
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
/// assert_eq!("ema:0.8".parse::<Momentum>()?, Momentum::ema(0.8));
/// # Ok::<(), kutta::Error>(())
/// ```
impl FromStr for Momentum {
    type Err = IngredientError;

    fn from_str(text: &str) -> Result<Self, IngredientError> {
        let mut spec = Spec::new(text, Some("beta"))?;
        let made = match spec.name.as_str() {
            "none" => Self::None,
            "heavy-ball" => Self::heavy_ball(spec.take("beta", 0.9)),
            "nesterov" => Self::nesterov(spec.take("beta", 0.9)),
            "ema" => Self::ema(spec.take("beta", 0.9)),
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
        if is_digits(text.trim().split(',').next().unwrap_or_default()) {
            // A number that is none: it may have a comma.
            return Err(match fault(text, text) {
                comma @ IngredientError::DecimalComma { .. } => comma,
                _ => IngredientError::UnknownName { found: text.into(), names: STEP_SIZES },
            });
        }
        let (text, source) = curvature(text)?;
        let mut spec = Spec::new(&text, None)?;
        let rule = match spec.name.as_str() {
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
        let made = match spec.name.as_str() {
            "constant" => Self::constant(spec.need("h")? as f32),
            "linear" => Self::linear(spec.need("from")?, spec.need("to")?, spec.steps("steps")?),
            "cosine" => Self::cosine(spec.need("from")?, spec.need("to")?, spec.steps("steps")?),
            "exponential" => {
                Self::exponential(spec.need("h")?, spec.need("rate")?, spec.steps("every")?)
            }
            "stairs" => Self::stairs(spec.need("h")?, spec.need("rate")?, spec.steps("every")?),
            "one-cycle" => Self::one_cycle(spec.need("peak")?, spec.steps("steps")?),
            _ => return spec.unknown(STEP_SIZES),
        };
        let warm = spec.values.iter().any(|(key, _)| key == "warm-up");
        let made = if warm { made.warm_up(spec.steps("warm-up")?) } else { made };
        made.check()?;
        spec.finish(made)
    }
}

const STEP_SIZES: &str = "a number, constant, linear, cosine, exponential, stairs, one-cycle, \
                          dal, rescaled-dal, polyak, stable, sgd-g2";

/// Takes `from=…` out of a rule's values: it is no number.
fn curvature(text: &str) -> Result<(String, Option<Curvature>), IngredientError> {
    let (name, values) = split(text);
    if !name.contains("dal") {
        return Ok((text.into(), None));
    }
    let is_from =
        |part: &&str| part.split('=').next().unwrap_or(part).trim().eq_ignore_ascii_case("from");
    let (from, rest): (Vec<&str>, Vec<&str>) = values.split(',').partition(is_from);
    if from.len() > 1 {
        return Err(IngredientError::Twice { text: text.into(), key: "from".into() });
    }
    let found = from.first().map(|part| part.split_once('=').unwrap_or((part, "")).1.trim());
    let source = match found.map(str::to_lowercase).as_deref() {
        None => None,
        Some("probe") => Some(Curvature::Probe),
        Some("stages") => Some(Curvature::Stages),
        Some("product") => Some(Curvature::Product),
        Some(_) => return unknown(found.unwrap_or_default(), "probe, stages, product"),
    };
    Ok((format!("{name}:{}", rest.join(",")), source))
}

/// `rtol=…,atol=…` with, if wanted, `controller=i|pi|pid`, `p=…,i=…,d=…` of a
/// PID controller, `limiter=clamp|arctan`, `safety=…`, `h-min=…`, `h-max=…`, `rejection=retry|skip`,
/// `most-rejections=…`. Without values rtol is 1e-3 and atol 1e-6.
impl FromStr for Adaptive {
    type Err = IngredientError;

    fn from_str(text: &str) -> Result<Self, IngredientError> {
        let mut made = Self::new(1e-3, 1e-6);
        let mut pid = [("p", 0.14, false), ("i", 0.25, false), ("d", 0.10, false)];
        for (key, value) in pairs(text, text, None)? {
            let wrong = || fault(text, &format!("{key}={value}"));
            let number = || value.parse::<f64>().map_err(|_| wrong());
            match key.as_str() {
                "rtol" => made.rtol = number()?,
                "atol" => made.atol = number()?,
                "safety" => made.safety = number()?,
                "h-min" => made.h_min = number()?,
                "h-max" => made.h_max = number()?,
                "most-rejections" => made.most_rejections = value.parse().map_err(|_| wrong())?,
                "controller" => {
                    made.controller = match value.as_str() {
                        "i" => Some(Controller::I),
                        "pi" => Some(Controller::Pi),
                        "pid" => Some(Controller::pid()),
                        _ => return unknown(&value, "i, pi, pid"),
                    }
                }
                "limiter" => {
                    made.limiter = match value.as_str() {
                        "clamp" => Some(Limiter::Clamp),
                        "arctan" => Some(Limiter::Arctan),
                        _ => return unknown(&value, "clamp, arctan"),
                    }
                }
                "rejection" => {
                    made.rejection = match value.as_str() {
                        "retry" => Rejection::Retry,
                        "skip" => Rejection::Skip,
                        _ => return unknown(&value, "retry, skip"),
                    }
                }
                _ => match pid.iter_mut().find(|(name, ..)| *name == key) {
                    Some((_, own, given)) => (*own, *given) = (number()?, true),
                    None => return Err(fault(text, &key)),
                },
            }
        }
        if let Some(Controller::Pid { p, i, d }) = &mut made.controller {
            (*p, *i, *d) = (pid[0].1, pid[1].1, pid[2].1);
        } else if let Some((key, ..)) = pid.iter().find(|(.., given)| *given) {
            let (text, key, needs) = (text.into(), (*key).into(), "controller=pid");
            return Err(IngredientError::NoEffect { text, key, needs });
        }
        made.check()?;
        Ok(made)
    }
}

/// `f32`, `f16` or `bf16`.
impl FromStr for Storage {
    type Err = IngredientError;

    fn from_str(text: &str) -> Result<Self, IngredientError> {
        match text.trim().to_lowercase().as_str() {
            "f32" => Ok(Self::F32),
            "f16" => Ok(Self::F16),
            "bf16" => Ok(Self::Bf16),
            _ => unknown(text.trim(), "f32, f16, bf16"),
        }
    }
}

/// `f32`, `f16` or `bf16` for everything, and after a colon what differs:
/// `gradients=…`, `momentum=…`, `second=…`, `rounding=nearest|stochastic`.
impl FromStr for Stored {
    type Err = IngredientError;

    fn from_str(text: &str) -> Result<Self, IngredientError> {
        let (name, values) = split(text);
        let mut made = Self::all(name.parse()?);
        for (key, value) in pairs(text, values, None)? {
            match key.as_str() {
                "gradients" => made.gradients = value.parse()?,
                "momentum" => made.momentum = value.parse()?,
                "second" => made.second = value.parse()?,
                "rounding" => {
                    made.rounding = match value.as_str() {
                        "nearest" => Rounding::Nearest,
                        "stochastic" => Rounding::Stochastic,
                        _ => return unknown(&value, "nearest, stochastic"),
                    }
                }
                _ => return Err(fault(text, &key)),
            }
        }
        let narrow = [made.gradients, made.momentum, made.second].iter().any(|s| s.is_narrow());
        if made.rounding == Rounding::Stochastic && !narrow {
            let (text, key, needs) = (text.into(), "rounding".into(), "f16 or bf16");
            return Err(IngredientError::NoEffect { text, key, needs });
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
            ("AdamW", "`AdamW`"),
            ("adam:eps=1e-8,beta2=0.9,eps=1e-7", "`eps` is there twice"),
            ("adam:beta2=0,9", "`adam:beta2=0.9`"),
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
            ("0,5", "`0.5`"),
            ("0,", "one-cycle"),
            ("0.5x", "one-cycle"),
            ("constant:h=0,05", "`constant:h=0.05`"),
            ("linear:from=0,5,to=0.1,steps=9", "`linear:from=0.5,to=0.1,steps=9`"),
            ("constant:h=0.1,h=0.2", "`h` is there twice"),
            ("constant:h=0.1,warm-up=0", "warm-up of 0 steps"),
            ("one-cycle:peak=0.1,steps=2", "one-cycle"),
            ("dal:p=1,from=probe,from=stages", "`from` is there twice"),
            ("dal:p=1,warm-up=3", "warm-up"),
            ("dal:from=nowhere", "product"),
        ] {
            let message = text.parse::<StepSize>().unwrap_err().to_string();
            assert!(message.contains(words), "{text}: {message}");
        }
        for (text, words) in [
            ("f8", "bf16"),
            ("f16:theta=f16", "theta"),
            ("f16:second", "second"),
            ("f16:second=f32,second=bf16", "`second` is there twice"),
            ("bf16:rounding=up", "stochastic"),
            ("f32:rounding=stochastic", "f16 or bf16"),
        ] {
            let message = text.parse::<Stored>().unwrap_err().to_string();
            assert!(message.contains(words), "{text}: {message}");
        }
        for (text, words) in [
            ("ball", "heavy-ball"),
            ("ema:1", "beta"),
            ("ema:0.9,0.8", "beta"),
            ("ema:0,9", "`ema:0.9`"),
        ] {
            let message = text.parse::<Momentum>().unwrap_err().to_string();
            assert!(message.contains(words), "{text}: {message}");
        }
        for (text, words) in [
            ("rtol=1e-3,rtol=1e-4", "`rtol` is there twice"),
            ("rtol=1e-3,p=1,i=1", "without `controller=pid`"),
            ("controller=pi,d=0.1", "without `controller=pid`"),
            ("controller=pi,controller=pid", "`controller` is there twice"),
            ("rtol=0,01", "`rtol=0.01`"),
            ("rtol", "rtol"),
            ("rtl=1", "rtl"),
            ("limiter=none", "arctan"),
            ("rtol=1e-13", "1e-13"),
        ] {
            let message = text.parse::<Adaptive>().unwrap_err().to_string();
            assert!(message.contains(words), "{text}: {message}");
        }
    }

    #[test]
    fn names_are_read_in_any_case() {
        assert_eq!("Adam:Beta2=0.9".parse(), Ok(Preconditioner::adam(0.9, 1e-8)));
        assert_eq!("Heavy-Ball:0.8".parse(), Ok(Momentum::heavy_ball(0.8)));
        let cosine = StepSize::cosine(0.5, 0.1, 9);
        assert_eq!("Cosine:From=0.5,TO=0.1,steps=9".parse(), Ok(cosine));
        let dal = StepSize::dal(1.0).with_curvature(Curvature::Stages);
        assert_eq!("DAL:p=1,From=Stages".parse(), Ok(dal));
        assert_eq!("BF16".parse(), Ok(Storage::Bf16));
        assert_eq!(
            "BF16:Rounding=Stochastic".parse::<Stored>().unwrap().rounding,
            Rounding::Stochastic
        );
        let pid = Adaptive::new(1e-2, 1e-6).controller(Controller::Pid { p: 0.1, i: 0.25, d: 0.1 });
        assert_eq!("RTOL=1e-2,p=0.1,controller=PID".parse(), Ok(pid));
    }
}
