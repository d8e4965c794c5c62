//! Encodings and activations by name.

use std::fmt;
use std::str::FromStr;

use kutta::models::{Activation, Encoding, HashGrid};

/// An [`Encoding`] as `NAME[:key=value,…]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EncodingName(pub Encoding);

impl Default for EncodingName {
    fn default() -> Self {
        let grid = HashGrid { levels: 8, features: 2, log2_table: 11, coarsest: 8, growth: 1.5 };
        Self(Encoding::HashGrid(grid))
    }
}

impl fmt::Display for EncodingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Encoding::Coordinates => f.write_str("coordinates"),
            Encoding::Gaussian { waves, sigma, seed } => {
                write!(f, "gaussian:waves={waves},sigma={sigma},seed={seed}")
            }
            Encoding::Octaves { octaves } => write!(f, "octaves:octaves={octaves}"),
            Encoding::HashGrid(HashGrid { levels, features, log2_table, coarsest, growth }) => {
                write!(
                    f,
                    "hash-grid:levels={levels},features={features},log2-table={log2_table},\
                     coarsest={coarsest},growth={growth}"
                )
            }
        }
    }
}

/// Values by key; what nobody takes is a fault.
struct Values<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Values<'a> {
    fn new(text: &'a str) -> Result<Self, String> {
        let pair = |part: &'a str| {
            let fault = || format!("`{part}` is not understood; write key=value");
            part.split_once('=').map(|(k, v)| (k.trim(), v.trim())).ok_or_else(fault)
        };
        let parts = text.split(',').filter(|part| !part.trim().is_empty());
        let values: Vec<(&str, &str)> = parts.map(pair).collect::<Result<_, _>>()?;
        for (i, (key, _)) in values.iter().enumerate() {
            if values[..i].iter().any(|(other, _)| other == key) {
                return Err(format!("`{key}` is there twice in `{text}`; keep one of the two"));
            }
        }
        Ok(Self(values))
    }

    fn take<T: FromStr>(&mut self, key: &str, default: T) -> Result<T, String> {
        match self.0.iter().position(|&(k, _)| k == key) {
            None => Ok(default),
            Some(at) => {
                let (_, value) = self.0.remove(at);
                value.parse().map_err(|_| format!("`{key}={value}`: that is no such number"))
            }
        }
    }

    fn end(self) -> Result<(), String> {
        match self.0.first() {
            None => Ok(()),
            Some((key, _)) => Err(format!("there is no `{key}` here")),
        }
    }
}

impl FromStr for EncodingName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        let mut values = Values::new(rest)?;
        let encoding = match name {
            "coordinates" => Encoding::Coordinates,
            "gaussian" => Encoding::Gaussian {
                waves: values.take("waves", 64)?,
                sigma: values.take("sigma", 10.0)?,
                seed: values.take("seed", 0)?,
            },
            "octaves" => Encoding::Octaves { octaves: values.take("octaves", 8)? },
            "hash-grid" => {
                let Encoding::HashGrid(default) = Self::default().0 else { unreachable!() };
                Encoding::HashGrid(HashGrid {
                    levels: values.take("levels", default.levels)?,
                    features: values.take("features", default.features)?,
                    log2_table: values.take("log2-table", default.log2_table)?,
                    coarsest: values.take("coarsest", default.coarsest)?,
                    growth: values.take("growth", default.growth)?,
                })
            }
            _ => {
                return Err(format!(
                    "no encoding `{name}`; there are hash-grid, gaussian, octaves, coordinates"
                ));
            }
        };
        values.end()?;
        Ok(Self(encoding))
    }
}

/// An [`Activation`] by name.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct ActivationName(pub Activation);

impl fmt::Display for ActivationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Activation::Relu => f.write_str("relu"),
            Activation::Tanh => f.write_str("tanh"),
            Activation::Gelu => f.write_str("gelu"),
            Activation::Sine { omega } => write!(f, "sine:{omega}"),
        }
    }
}

impl FromStr for ActivationName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(match text.split_once(':') {
            None if text == "relu" => Activation::Relu,
            None if text == "tanh" => Activation::Tanh,
            None if text == "gelu" => Activation::Gelu,
            None if text == "sine" => Activation::Sine { omega: 30.0 },
            Some(("sine", omega)) => Activation::Sine {
                omega: omega.parse().map_err(|_| format!("ω = `{omega}` is no number"))?,
            },
            _ => {
                return Err(format!("no activation `{text}`; there are relu, tanh, gelu, sine:30"));
            }
        }))
    }
}
