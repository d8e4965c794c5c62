//! Methods in checkpoints: by their coefficients, whatever they are named.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::value::RawValue;

use super::Method;
use crate::tableau::{Family, LowStorage, LowStorageForm, Stabilised, Stages, Tableau};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Saved {
    /// The document that [`Tableau::to_json`] writes.
    Explicit(Box<RawValue>),
    LowStorage {
        name: String,
        source: String,
        registers: LowStorageForm,
        b_hat: Option<Vec<f64>>,
        controller: Option<[f64; 3]>,
    },
    /// Its coefficients follow from these.
    Stabilised { family: Family, stages: Stages },
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let saved = match self {
            Self::Explicit(tableau) => Saved::Explicit(
                RawValue::from_string(tableau.to_json()).map_err(ser::Error::custom)?,
            ),
            Self::LowStorage(method) => Saved::LowStorage {
                name: method.tableau().name().to_owned(),
                source: method.tableau().source().to_owned(),
                registers: method.form().clone(),
                b_hat: method.tableau().b_hat().map(<[f64]>::to_vec),
                controller: method.controller(),
            },
            Self::Stabilised(method) => {
                Saved::Stabilised { family: method.family(), stages: method.stages() }
            }
        };
        saved.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Method {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Saved::deserialize(deserializer)? {
            Saved::Explicit(text) => {
                Tableau::from_json(text.get()).map_err(de::Error::custom)?.into()
            }
            Saved::LowStorage { name, source, registers, b_hat, controller } => {
                let names = [name, source];
                LowStorage::from_form(names, registers, b_hat, controller)
                    .map_err(de::Error::custom)?
                    .into()
            }
            Saved::Stabilised { family, stages } => {
                Stabilised::new(family, stages).map_err(de::Error::custom)?.into()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(method: &Method) -> Result<Method, serde_json::Error> {
        serde_json::from_str(&serde_json::to_string(method).unwrap())
    }

    #[test]
    fn every_method_comes_back_by_its_coefficients() {
        for method in Method::all() {
            assert_eq!(round(&method).unwrap(), method, "{method}");
        }
        for name in ["rkc1:stages=7,damping=0.3", "rock2:most=60", "rkcd:damping=1.3"] {
            let method: Method = name.parse().unwrap();
            assert_eq!(round(&method).unwrap(), method, "{method}");
        }
        // A name that is taken by another method changes nothing.
        let own: Method =
            Tableau::new("rk4", &[vec![], vec![1.0]], &[0.25, 0.75], None).unwrap().into();
        assert_eq!(round(&own).unwrap(), own);
        assert_ne!(round(&own).unwrap(), Method::rk4());
    }

    #[test]
    fn registers_that_are_no_method_are_refused() {
        let text = serde_json::to_string(&Method::from(LowStorage::williamson3())).unwrap();
        let swap = |from: &str, to: &str| {
            assert!(text.contains(from), "{from} is not in {text}");
            serde_json::from_str::<Method>(&text.replacen(from, to, 1)).unwrap_err().to_string()
        };
        assert!(swap("\"a\":[0.0,", "\"a\":[0.5,").contains("registers"));
        assert!(swap("\"a\":[0.0,", "\"a\":[0.0,0.0,").contains("registers"));
        assert!(swap("\"b\":[0.3333333333333333,", "\"b\":[0.5,").contains("sums to"));
        assert!(swap("\"b\":[0.3333333333333333,", "\"b\":[1e9,").contains("registers"));
        assert!(swap("\"b_hat\":null", "\"b_hat\":[1.0]").contains("1 here"));
        let none = r#"{"low-storage":{"name":"x","source":"","registers":{"three":[]},"b_hat":null,"controller":null}}"#;
        assert!(serde_json::from_str::<Method>(none).is_err());
    }
}
