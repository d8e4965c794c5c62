//! The header of a file whose bytes are as they were written.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::ops::Range;

use safetensors::{Dtype, SafeTensors};
use serde::de::{self, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use sha2::{Digest, Sha256};

use super::CheckpointError;
use super::format::{HASH, HASH_BYTES, LENGTH, key};

/// Makes errors about one file.
pub(super) struct About<'a>(pub(super) &'a str);

impl About<'_> {
    pub(super) fn damaged(&self, fault: impl Display) -> CheckpointError {
        CheckpointError::Damaged { what: self.0.to_owned(), fault: fault.to_string() }
    }

    pub(super) fn content(&self, fault: impl Display) -> CheckpointError {
        CheckpointError::Content { what: self.0.to_owned(), fault: fault.to_string() }
    }
}

/// The header's entry of a tensor: what it is, and where its bytes are in the file.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) range: Range<usize>,
}

pub(super) struct Header {
    pub(super) metadata: BTreeMap<String, String>,
    /// All but the hash.
    pub(super) tensors: BTreeMap<String, Kept>,
}

impl Header {
    /// # Errors
    /// No safetensors; a hash that is missing or wrong; a key that is there twice, or that
    /// no file of this format has.
    pub(super) fn verified(bytes: &[u8], about: &About<'_>) -> Result<Self, CheckpointError> {
        let length = bytes.len();
        let (header, found) = SafeTensors::read_metadata(bytes).map_err(|error| {
            about.damaged(format!("its {length} bytes are no safetensors file: {error}"))
        })?;
        let data = LENGTH + header;
        let place = |info: &safetensors::tensor::TensorInfo| {
            data + info.data_offsets.0..data + info.data_offsets.1
        };
        let last = length.saturating_sub(HASH_BYTES);
        let hash = found.info(HASH).filter(|info| {
            let kind = (info.dtype, info.shape.as_slice());
            kind == (Dtype::U8, &[HASH_BYTES]) && place(info) == (last..length) && last >= data
        });
        if hash.is_none() {
            let fault = format!("its last {HASH_BYTES} bytes are no tensor `{HASH}`");
            return Err(about.damaged(fault));
        }
        let digest: [u8; HASH_BYTES] = Sha256::digest(&bytes[..last]).into();
        if digest != bytes[last..] {
            let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
            let fault = format!(
                "`{HASH}` says {}, and the SHA-256 of the {last} bytes before it is {}; some byte \
                 is not as it was written",
                hex(&bytes[last..]),
                hex(&digest),
            );
            return Err(about.damaged(fault));
        }
        // Other readers of JSON take the last of two, some the first.
        let once = serde_json::from_slice::<Once>(&bytes[LENGTH..data]);
        once.map_err(|error| about.content(format!("its header: {error}")))?;
        let metadata: BTreeMap<String, String> =
            found.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        let known = |name: &str| key::ALL.contains(&name) || name.starts_with(key::NOTE);
        if let Some(name) = metadata.keys().find(|name| !known(name)) {
            return Err(about.content(format!("its header has a `{name}`, which is unknown here")));
        }
        let tensors = found.tensors().into_iter().filter(|(name, _)| name != HASH);
        let kept = |info: &safetensors::tensor::TensorInfo| Kept {
            dtype: info.dtype,
            shape: info.shape.clone(),
            range: place(info),
        };
        Ok(Self { metadata, tensors: tensors.map(|(name, info)| (name, kept(info))).collect() })
    }
}

/// The value of a key of the header's metadata, itself JSON.
pub(super) fn json<T: DeserializeOwned>(
    text: &str,
    key: &str,
    about: &About<'_>,
) -> Result<T, CheckpointError> {
    let once = serde_json::from_str::<Once>(text);
    let value = once.and_then(|_| serde_json::from_str(text));
    value.map_err(|error| about.content(format!("`{key}`: {error}")))
}

/// Any JSON in whose objects every key is there once.
struct Once;

impl<'de> de::Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Once {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut keys = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if keys.contains(&key) {
                return Err(de::Error::custom(format_args!("`{key}` is there twice")));
            }
            keys.insert(key);
            map.next_value::<Self>()?;
        }
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }
}
