//! Names and order of what is in a file. `docs/checkpoint.md` describes it in words.

use safetensors::Dtype;
use serde::{Deserialize, Serialize};

use super::CheckpointError;
use crate::error::Error;
use crate::format::Storage;
use crate::kernels::control::Control;
use crate::layout::{Init, ParamLayout};
use crate::optimizer::saved::Part;

/// The format of the files that are written, and the newest that can be read.
pub(crate) const FORMAT: u32 = 1;

/// Bytes before the header: its length, as a little-endian u64.
pub(crate) const LENGTH: usize = 8;

pub(crate) const HASH: &str = "kutta.sha256";
pub(crate) const HASH_BYTES: usize = 32;
pub(crate) const CONTROL: &str = "kutta.control";
/// The control block after the newest submit that was known to be done.
pub(crate) const SETTLED: &str = "kutta.settled";

/// Keys of the header's metadata.
pub(crate) mod key {
    pub(crate) const FORMAT: &str = "kutta.format";
    pub(crate) const VERSION: &str = "kutta.version";
    pub(crate) const ADAPTER: &str = "kutta.adapter";
    pub(crate) const LAYOUT: &str = "kutta.layout";
    pub(crate) const OPTIONS: &str = "kutta.options";
    pub(crate) const HOST: &str = "kutta.host";
    pub(crate) const CONTROL: &str = "kutta.control";
    /// All of these.
    pub(crate) const ALL: [&str; 7] = [FORMAT, VERSION, ADAPTER, LAYOUT, OPTIONS, HOST, CONTROL];
    /// Before the keys of the user's own notes.
    pub(crate) const NOTE: &str = "note.";
}

/// One tensor of the layout.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) init: Init,
    pub(crate) group: u32,
}

pub(crate) fn named(layout: &ParamLayout) -> Vec<Named> {
    let named = |t: &crate::layout::Tensor| Named {
        name: t.name().to_owned(),
        shape: t.shape().to_vec(),
        init: t.init(),
        group: t.group(),
    };
    layout.tensors().iter().map(named).collect()
}

pub(crate) fn layout_of(tensors: Vec<Named>) -> Result<ParamLayout, Error> {
    let add = |builder: crate::layout::ParamLayoutBuilder, t: Named| {
        builder.tensor_in_group(t.group, t.name, &t.shape, t.init)
    };
    Ok(tensors.into_iter().fold(ParamLayout::builder(), add).build()?)
}

/// The name of a part of a tensor; of the eigenvector there is one for all tensors.
pub(crate) fn name(part: Part, tensor: &str) -> String {
    match part {
        Part::Theta => tensor.to_owned(),
        Part::Average => format!("kutta.average.{tensor}"),
        Part::Eigenvector => "kutta.eigenvector".to_owned(),
        Part::Momentum => format!("kutta.momentum.{tensor}"),
        Part::Second => format!("kutta.second.{tensor}"),
        Part::Largest => format!("kutta.largest.{tensor}"),
    }
}

/// Refuses names that are the format's own.
pub(crate) fn check_names(layout: &ParamLayout) -> Result<(), CheckpointError> {
    let own = |name: &str| name == "__metadata__" || name.starts_with("kutta.");
    match layout.tensors().iter().find(|t| own(t.name())) {
        Some(tensor) => Err(CheckpointError::Name { name: tensor.name().to_owned() }),
        None => Ok(()),
    }
}

pub(crate) fn dtype(storage: Storage) -> Dtype {
    match storage {
        Storage::F32 => Dtype::F32,
        Storage::F16 => Dtype::F16,
        Storage::Bf16 => Dtype::BF16,
    }
}

/// Names a type as safetensors writes it.
pub(crate) fn dtype_name(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F16 => "F16",
        Dtype::BF16 => "BF16",
        Dtype::U32 => "U32",
        Dtype::U8 => "U8",
        _ => "F32",
    }
}

/// Words of the control block.
pub(crate) const CONTROL_WORDS: usize = size_of::<Control>() / 4;

/// Their names, in order.
pub(crate) fn control_names() -> String {
    let names: Vec<&str> = Control::LAYOUT.fields.iter().map(|(name, _)| *name).collect();
    names.join(" ")
}

/// Gives the names of the control block from before its last two words meant anything.
pub(crate) fn earlier_control_names() -> String {
    control_names().replace("cursor stride", "unused_0 unused_1")
}
