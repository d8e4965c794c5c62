//! A snapshot of an optimizer, and how it becomes a file.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;

use safetensors::Dtype;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::CheckpointError;
use super::format::{self, CONTROL, CONTROL_WORDS, FORMAT, HASH, HASH_BYTES, SETTLED, key};
use super::whole::Destination;
use crate::device::GpuError;
use crate::error::Error;
use crate::kernels::control::Control;
use crate::optimizer::saved::{Captured, Part, Place};

/// The state of an optimizer at one point of the queue: made by
/// [`Optimizer::snapshot`](crate::Optimizer::snapshot), while training goes on.
///
/// It holds a copy of the state in memory that the host can map, until it is dropped.
#[derive(Debug)]
#[must_use = "a snapshot is saved by `write`"]
pub struct Snapshot {
    captured: Captured,
    notes: BTreeMap<String, String>,
}

/// The source of a tensor's bytes.
enum Source {
    Elements(Part, Place, Range<usize>),
    Control(Box<Control>),
}

struct Entry {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    source: Source,
}

impl Entry {
    fn bytes(&self) -> u64 {
        self.shape.iter().product::<usize>() as u64 * (self.dtype.bitsize() / 8) as u64
    }
}

impl Snapshot {
    pub(super) fn new(captured: Captured) -> Result<Self, Error> {
        format::check_names(&captured.layout)?;
        Ok(Self { captured, notes: BTreeMap::new() })
    }

    /// Keeps something of the caller's own in the file, such as the seed of its data:
    /// [`Checkpoint::note`](super::Checkpoint::note) gives it back.
    pub fn note(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.notes.insert(key.into(), value.into());
        self
    }

    /// Tells whether the copy has arrived, so that nothing below waits. Polls the device, and
    /// never waits itself.
    pub fn is_here(&self) -> bool {
        self.captured.is_here()
    }

    /// Attempts made until then. Waits for the copy, unless it is here.
    ///
    /// # Errors
    /// A lost device.
    pub fn attempts(&self) -> Result<u64, Error> {
        self.captured.wait()?;
        let control = self.captured.control()?;
        Ok(self.captured.host(&control).counts.attempts)
    }

    /// Writes a file beside `path`, flushes it to the disk, and gives it the name `path`:
    /// under that name there is the file of before, or this one, and never a part of one.
    /// Where `path` is a symbolic link, all that happens where it leads to. Waits for the
    /// copy, unless it is here.
    ///
    /// # Errors
    /// A lost device; a `path` at which there is a folder, a named pipe, a device or
    /// whatever else is no regular file; a file that cannot be written. What was at `path` is
    /// still there.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.captured.wait()?;
        atomically(path.as_ref(), |file| self.encode(file))
    }

    /// Gives the bytes that [`Snapshot::write`] writes, where there are no files.
    ///
    /// # Errors
    /// A lost device.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        self.captured.wait()?;
        let mut bytes = Vec::new();
        self.encode(&mut bytes).map_err(|failure| failure.at(Path::new("memory")))?;
        Ok(bytes)
    }

    /// Every tensor in the order of the data: those of four bytes, of two, and the hash.
    fn entries(&self, control: &Control) -> Vec<Entry> {
        let layout = &self.captured.layout;
        let mut entries = Vec::new();
        for part in Part::ALL {
            let Some(place) = self.captured.place(part, control) else { continue };
            let mut push = |tensor: &str, shape: &[usize], range| {
                entries.push(Entry {
                    name: format::name(part, tensor),
                    dtype: format::dtype(place.storage),
                    shape: shape.to_vec(),
                    source: Source::Elements(part, place, range),
                });
            };
            if part == Part::Eigenvector {
                push("", &[layout.len()], 0..layout.len());
                continue;
            }
            for tensor in layout.tensors() {
                push(tensor.name(), tensor.shape(), tensor.range());
            }
        }
        let mut block = |name: &str, control: &Control| {
            entries.push(Entry {
                name: name.to_owned(),
                dtype: Dtype::U32,
                shape: vec![CONTROL_WORDS],
                source: Source::Control(Box::new(*control)),
            });
        };
        block(CONTROL, control);
        if let Some(settled) = &self.captured.settled {
            block(SETTLED, settled);
        }
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.dtype.bitsize()));
        entries
    }

    fn header(&self, control: &Control, entries: &[Entry]) -> Result<Vec<u8>, serde_json::Error> {
        let Captured { gpu, given, layout, .. } = &self.captured;
        let info = gpu.info();
        let adapter = json!({
            "name": info.name,
            "backend": info.backend.to_string(),
            "driver": info.driver,
            "driver-info": info.driver_info,
        });
        let mut metadata = BTreeMap::from([
            (key::FORMAT.to_owned(), FORMAT.to_string()),
            (key::VERSION.to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            (key::ADAPTER.to_owned(), adapter.to_string()),
            (key::LAYOUT.to_owned(), serde_json::to_string(&format::named(layout))?),
            (key::OPTIONS.to_owned(), serde_json::to_string(given)?),
            (key::HOST.to_owned(), serde_json::to_string(&self.captured.host(control))?),
            (key::CONTROL.to_owned(), format::control_names()),
        ]);
        for (note, value) in &self.notes {
            metadata.insert(format!("{}{note}", key::NOTE), value.clone());
        }
        let mut header = serde_json::Map::new();
        header.insert("__metadata__".to_owned(), serde_json::to_value(metadata)?);
        let mut at = 0;
        let mut insert = |name: &str, dtype: Dtype, shape: &[usize], bytes: u64| {
            let info = json!({
                "dtype": format::dtype_name(dtype),
                "shape": shape,
                "data_offsets": [at, at + bytes],
            });
            at += bytes;
            header.insert(name.to_owned(), info);
        };
        for entry in entries {
            insert(&entry.name, entry.dtype, &entry.shape, entry.bytes());
        }
        insert(HASH, Dtype::U8, &[HASH_BYTES], HASH_BYTES as u64);
        let mut text = serde_json::to_vec(&header)?;
        // The data begins at a multiple of eight bytes.
        text.resize(text.len().next_multiple_of(format::LENGTH), b' ');
        Ok(text)
    }

    fn encode(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let control = self.captured.control()?;
        let entries = self.entries(&control);
        let header = self.header(&control, &entries).map_err(io::Error::from)?;
        let mut out = Hashing { out, hash: Sha256::new() };
        out.put(&(header.len() as u64).to_le_bytes())?;
        out.put(&header)?;
        for entry in entries {
            match entry.source {
                Source::Elements(part, place, range) => {
                    self.captured.pieces(part, place, range, |bytes| out.put(bytes))?;
                }
                Source::Control(control) => out.put(bytemuck::bytes_of(&*control))?,
            }
        }
        let Hashing { out, hash } = out;
        out.write_all(&hash.finalize())?;
        Ok(())
    }
}

struct Hashing<'w> {
    out: &'w mut dyn Write,
    hash: Sha256,
}

impl Hashing<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.hash.update(bytes);
        Ok(self.out.write_all(bytes)?)
    }
}

/// Why no file came to be.
enum Failure {
    Io(io::Error),
    Gpu(GpuError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<GpuError> for Failure {
    fn from(error: GpuError) -> Self {
        Self::Gpu(error)
    }
}

impl Failure {
    fn at(self, path: &Path) -> Error {
        match self {
            Self::Io(error) => io_error(path, "written", &error).into(),
            Self::Gpu(error) => error.into(),
        }
    }
}

pub(super) fn io_error(path: &Path, what: &'static str, error: &io::Error) -> CheckpointError {
    CheckpointError::Io { path: path.into(), what, reason: error.to_string() }
}

fn atomically(
    path: &Path,
    encode: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
) -> Result<(), Error> {
    let whole = || {
        let mut draft = Destination::of(path)?.begin()?;
        encode(&mut draft)?;
        Ok(draft.finish()?)
    };
    whole().map_err(|failure: Failure| failure.at(path))
}
