//! Reading a checkpoint: everything is checked before anything is built.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use safetensors::Dtype;

use super::format::{self, CONTROL, CONTROL_WORDS, FORMAT, SETTLED, key};
use super::header::{About, Header, Kept, json};
use super::write::io_error;
use super::{CheckpointError, whole};
use crate::codes::failure;
use crate::device::Gpu;
use crate::error::Error;
use crate::format::Storage;
use crate::ingredients::{Ingredients, Momentum};
use crate::kernels::control::Control;
use crate::layout::ParamLayout;
use crate::method::Method;
use crate::optimizer::saved::{Host, Part};
use crate::optimizer::{Builder, Optimizer};
use crate::source::Draws;

/// A checkpoint in memory, whole and checked.
///
/// ```no_run
/// use kutta::{Gpu, checkpoint::Checkpoint};
/// let checkpoint = Checkpoint::open("run/attempt-000000001000.safetensors")?;
/// println!("{} attempts, method {}", checkpoint.attempts(), checkpoint.method());
/// let weights = checkpoint.tensor("layer0.weight")?;
/// let optimizer = checkpoint.resume(&Gpu::new()?)?;
/// # Ok::<(), kutta::Error>(())
/// ```
#[derive(Debug)]
pub struct Checkpoint {
    bytes: Vec<u8>,
    tensors: BTreeMap<String, Kept>,
    layout: ParamLayout,
    /// The shape of its flat vector.
    flat: [usize; 1],
    builder: Builder,
    host: Host,
    control: Control,
    settled: Option<Control>,
    version: String,
    adapter: String,
    notes: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Reads a file and checks all of it. It takes as much memory as the file is long.
    ///
    /// # Errors
    /// A file that cannot be read; one that is cut or has a byte that is not as it was
    /// written, by its SHA-256; one of a newer format; and whatever else keeps it from
    /// being resumed from.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let unreadable = |error: std::io::Error| io_error(path, "read", &error);
        // A named pipe would wait for somebody to write.
        whole::check_regular(path).map_err(unreadable)?;
        let mut file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let mut bytes = Vec::new();
        let reserved = usize::try_from(length).map(|length| bytes.try_reserve_exact(length));
        if !matches!(reserved, Ok(Ok(()))) {
            let reason = format!("there is no memory for its {length} bytes");
            return Err(CheckpointError::Io { path: path.into(), what: "read", reason }.into());
        }
        // No more than there was: it may be growing.
        file.by_ref().take(length).read_to_end(&mut bytes).map_err(unreadable)?;
        Self::parse(bytes, &format!("`{}`", path.display()))
    }

    /// Reads a checkpoint as [`Checkpoint::open`] does, from bytes that are here already.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, Error> {
        Self::parse(bytes, "this")
    }

    fn parse(bytes: Vec<u8>, what: &str) -> Result<Self, Error> {
        let about = About(what);
        let Header { metadata, tensors } = Header::verified(&bytes, &about)?;
        let text = |key: &str| {
            let missing = || about.content(format!("its header has no `{key}`"));
            metadata.get(key).map(String::as_str).ok_or_else(missing)
        };
        let found = text(key::FORMAT)?;
        let found: u32 = found.parse().map_err(|_| about.content(format!("format `{found}`")))?;
        if found == 0 || found > FORMAT {
            let (known, version) = (FORMAT, env!("CARGO_PKG_VERSION"));
            let what = what.to_owned();
            return Err(CheckpointError::Version { what, found, known, version }.into());
        }
        let names = text(key::CONTROL)?;
        if names != format::control_names() && names != format::earlier_control_names() {
            let ours = format::control_names();
            let fault = format!("its control block has the words {names}; this kutta's are {ours}");
            return Err(about.content(fault).into());
        }
        let layout = format::layout_of(json(text(key::LAYOUT)?, key::LAYOUT, &about)?);
        let layout = layout.map_err(|error| about.content(error))?;
        let builder: Builder = json(text(key::OPTIONS)?, key::OPTIONS, &about)?;
        if !builder.is_sound() {
            return Err(about.content("its step size is none").into());
        }
        let host: Host = json(text(key::HOST)?, key::HOST, &about)?;
        let block = |name: &str| {
            let read = |kept: &Kept| {
                let words = kept.dtype == Dtype::U32 && kept.shape == [CONTROL_WORDS];
                words.then(|| bytemuck::pod_read_unaligned::<Control>(&bytes[kept.range.clone()]))
            };
            let wrong = |kept: &Kept| {
                about.content(format!(
                    "tensor `{name}` is {:?} of shape {:?}; a control block is U32 of shape \
                     [{CONTROL_WORDS}]",
                    kept.dtype, kept.shape,
                ))
            };
            tensors.get(name).map(|kept| read(kept).ok_or_else(|| wrong(kept))).transpose()
        };
        let Some(control) = block(CONTROL)? else {
            return Err(about.content(format!("there is no tensor `{CONTROL}`")).into());
        };
        let settled = block(SETTLED)?;
        if let Some(settled) = &settled {
            check_flags(settled, SETTLED, &about)?;
        }
        check_control(&control, &host, &about)?;
        let notes = metadata.iter().filter_map(|(key, value)| {
            Some((key.strip_prefix(key::NOTE)?.to_owned(), value.clone()))
        });
        let checkpoint = Self {
            notes: notes.collect(),
            version: text(key::VERSION)?.to_owned(),
            adapter: text(key::ADAPTER)?.to_owned(),
            tensors,
            flat: [layout.len()],
            layout,
            builder,
            host,
            control,
            settled,
            bytes,
        };
        checkpoint.check_tensors(&about)?;
        Ok(checkpoint)
    }

    /// Storages of the parts that there should be, by the options.
    fn expected(&self, part: Part) -> Option<Storage> {
        let ingredients = self.builder.asked();
        match part {
            Part::Theta => Some(Storage::F32),
            Part::Average => ingredients.average.map(|_| Storage::F32),
            Part::Eigenvector => self.builder.estimates_radius().then_some(Storage::F32),
            Part::Momentum => {
                (ingredients.momentum != Momentum::None).then_some(ingredients.stored.momentum)
            }
            Part::Second => {
                (ingredients.preconditioner.vectors() > 0).then_some(ingredients.stored.second)
            }
            Part::Largest => {
                (ingredients.preconditioner.vectors() > 1).then_some(ingredients.stored.second)
            }
        }
    }

    /// Checks that there are the tensors that there should be, and no others.
    fn check_tensors(&self, about: &About<'_>) -> Result<(), CheckpointError> {
        let mut belong = BTreeSet::from([CONTROL.to_owned(), SETTLED.to_owned()]);
        for part in Part::ALL {
            let Some(storage) = self.expected(part) else { continue };
            for (name, _, shape) in self.names(part) {
                let Some(Kept { dtype, shape: found, .. }) = self.tensors.get(&name) else {
                    return Err(about.content(format!("there is no tensor `{name}`")));
                };
                if *dtype != format::dtype(storage) || *found != shape {
                    let fault = format!(
                        "tensor `{name}` is {dtype:?} of shape {found:?}, where layout and options \
                         ask for {storage} of shape {shape:?}",
                    );
                    return Err(about.content(fault));
                }
                belong.insert(name);
            }
        }
        if let Some(name) = self.tensors.keys().find(|name| !belong.contains(*name)) {
            let fault = format!(
                "tensor `{name}` is neither of its layout nor of the state that its options ask for"
            );
            return Err(about.content(fault));
        }
        for tensor in self.layout.tensors() {
            let bad = self.values(tensor.name()).position(|x| !x.is_finite());
            if let Some(index) = bad {
                let name = tensor.name();
                return Err(about.content(format!("`{name}` is not finite at element {index}")));
            }
        }
        Ok(())
    }

    /// The tensors that hold a part, with the elements of the flat vector that they are
    /// and their shapes.
    fn names(&self, part: Part) -> Vec<(String, Range<usize>, &[usize])> {
        if part == Part::Eigenvector {
            let n = self.layout.len();
            return vec![(format::name(part, ""), 0..n, &self.flat)];
        }
        let tensors = self.layout.tensors().iter();
        tensors.map(|t| (format::name(part, t.name()), t.range(), t.shape())).collect()
    }

    fn bytes(&self, name: &str) -> &[u8] {
        self.tensors.get(name).map_or(&[], |kept| &self.bytes[kept.range.clone()])
    }

    fn values(&self, name: &str) -> impl Iterator<Item = f32> {
        let words = self.bytes(name).chunks_exact(4);
        words.map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]))
    }

    /// Bytes of the file.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Never true: no whole checkpoint is empty.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The parameters' layout.
    pub fn layout(&self) -> &ParamLayout {
        &self.layout
    }

    /// The values of one tensor of θ.
    ///
    /// # Errors
    /// An unknown name.
    pub fn tensor(&self, name: &str) -> Result<Vec<f32>, Error> {
        self.layout.tensor(name)?;
        Ok(self.values(name).collect())
    }

    /// θ as a flat vector in the layout's order, as
    /// [`Params::read`](crate::Params::read) gives it.
    pub fn theta(&self) -> Vec<f32> {
        let mut flat = vec![0.0; self.layout.len()];
        for tensor in self.layout.tensors() {
            flat[tensor.range()]
                .iter_mut()
                .zip(self.values(tensor.name()))
                .for_each(|(x, v)| *x = v);
        }
        flat
    }

    /// The options that the optimizer was built with, its step size as it was set last.
    /// Gives the saved options, for [`Builder::resume`] with some of them changed.
    pub fn builder(&self) -> Builder {
        self.builder.clone()
    }

    pub fn method(&self) -> &Method {
        self.builder.method()
    }

    /// Attempts made, accepted or not.
    pub fn attempts(&self) -> u64 {
        self.host.counts.attempts
    }

    /// Attempts accepted.
    pub fn accepted(&self) -> u64 {
        self.host.counts.accepted
    }

    /// Gradient evaluations.
    pub fn evaluations(&self) -> u64 {
        self.host.counts.evaluations
    }

    /// The batch that comes next.
    pub fn batch(&self) -> u64 {
        self.host.counts.batch
    }

    /// The batches of all attempts so far, each once however often it was tried: what the
    /// source drew of them is said by
    /// [`GradientSource::drawn`](crate::GradientSource::drawn).
    pub fn draws(&self) -> Draws {
        let counts = &self.host.counts;
        Draws { batches: 0..counts.batch, stages: 0..counts.cursor }
    }

    /// Time integrated.
    pub fn time(&self) -> f64 {
        f64::from(self.control.time_high) + f64::from(self.control.time_low)
    }

    /// The control block.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// The kutta that wrote it.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The adapter that it was trained on, as JSON.
    pub fn adapter(&self) -> &str {
        &self.adapter
    }

    /// The note that [`Snapshot::note`](super::Snapshot::note) kept under this key.
    pub fn note(&self, key: &str) -> Option<&str> {
        self.notes.get(key).map(String::as_str)
    }

    /// Names of the tensors that are not, byte for byte, those of the other one.
    pub fn tensors_differing(&self, other: &Self) -> Vec<String> {
        let names = self.tensors.keys().chain(other.tensors.keys());
        let differ = |name: &&String| {
            let kind =
                |of: &Self| of.tensors.get(*name).map(|kept| (kept.dtype, kept.shape.clone()));
            kind(self) != kind(other) || self.bytes(name) != other.bytes(name)
        };
        let mut differing: Vec<String> = names.filter(differ).cloned().collect();
        differing.sort();
        differing.dedup();
        differing
    }

    /// An optimizer that goes on from here. On the same adapter and driver it makes the
    /// same bits as one that never stopped, if its source does.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub fn resume(&self, gpu: &Gpu) -> Result<Optimizer, Error> {
        self.builder().resume(gpu, self)
    }
}

impl Builder {
    /// An optimizer that goes on from a checkpoint, with these options.
    ///
    /// Where method, step size, ingredients or groups are others than the checkpoint's,
    /// everything that chooses h starts anew; θ, the state of preconditioner and momentum,
    /// the average, the counters and the batch go on.
    ///
    /// ```no_run
    /// use kutta::{Gpu, StepSize, checkpoint::Checkpoint};
    /// let checkpoint = Checkpoint::open("last.safetensors")?;
    /// let builder = checkpoint.builder().step_size(StepSize::constant(0.01));
    /// let optimizer = builder.resume(&Gpu::new()?, &checkpoint)?;
    /// # Ok::<(), kutta::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Builder::build`]; and [`CheckpointError::Mismatch`] for ingredients whose state
    /// the checkpoint does not have, or has in another storage.
    pub fn resume(self, gpu: &Gpu, checkpoint: &Checkpoint) -> Result<Optimizer, Error> {
        let exact = self.steps_as(&checkpoint.builder);
        self.check_state(checkpoint)?;
        let mut optimizer = self.build(gpu, checkpoint.layout(), &checkpoint.theta())?;
        let (mut control, mut host) = (checkpoint.control, checkpoint.host.clone());
        let mut settled = checkpoint.settled;
        let shelf = optimizer.shelf();
        let missing = shelf.place(Part::Eigenvector, 0).is_some()
            && checkpoint.expected(Part::Eigenvector).is_none();
        if !exact || missing {
            host = Host { counts: host.counts, ..optimizer.fresh_host(control.restart) };
            control.opened = 0;
            control.has_vector = 0;
            settled = None;
        }
        optimizer.take_up(&host, &control, settled, &mut |part| {
            let names = checkpoint.names(part).into_iter();
            let found = names.map(|(name, range, _)| (range, checkpoint.bytes(&name)));
            found.filter(|(_, bytes)| !bytes.is_empty()).collect()
        })?;
        Ok(optimizer)
    }

    /// Checks that the checkpoint has the state that these options want, and no other.
    fn check_state(&self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        let (own, saved) = (self.asked(), checkpoint.builder.asked());
        let state = |ingredients: &Ingredients| {
            let stored = ingredients.stored;
            let mut parts = vec![];
            match ingredients.preconditioner.vectors() {
                0 => {}
                n => parts.push(format!(
                    "{n} vectors of `{}` as {}",
                    ingredients.preconditioner, stored.second
                )),
            }
            if ingredients.momentum != Momentum::None {
                parts.push(format!("`{}` as {}", ingredients.momentum, stored.momentum));
            }
            if ingredients.average.is_some() {
                parts.push("an average".to_owned());
            }
            if parts.is_empty() { "no state".to_owned() } else { parts.join(", ") }
        };
        let kind = |ingredients: &Ingredients| {
            let preconditioner = ingredients.preconditioner;
            let momentum = ingredients.momentum;
            (
                (preconditioner.vectors() > 0)
                    .then(|| (std::mem::discriminant(&preconditioner), ingredients.stored.second)),
                (momentum != Momentum::None)
                    .then(|| (std::mem::discriminant(&momentum), ingredients.stored.momentum)),
                ingredients.average.is_some(),
            )
        };
        match kind(own) == kind(saved) {
            true => Ok(()),
            false => Err(CheckpointError::Mismatch { wanted: state(own), found: state(saved) }),
        }
    }
}

/// Numbers that kernels index with, or that the host counts by.
fn check_control(control: &Control, host: &Host, about: &About<'_>) -> Result<(), CheckpointError> {
    check_flags(control, CONTROL, about)?;
    if !host.counts.agrees(control) {
        let fault = format!("its control block does not count {:?}", host.counts);
        return Err(about.content(fault));
    }
    Ok(())
}

fn check_flags(control: &Control, block: &str, about: &About<'_>) -> Result<(), CheckpointError> {
    let flags = [
        ("alive", control.alive, 1),
        ("accept", control.accept, 1),
        ("last", control.last, 1),
        ("parity", control.parity, 1),
        ("opened", control.opened, 1),
        ("has_vector", control.has_vector, 1),
        ("failure", control.failure, failure::STANDS),
        ("zero", control.zero, 0),
        ("stride", control.stride, 1),
    ];
    if let Some((name, found, most)) = flags.into_iter().find(|(_, found, most)| found > most) {
        let fault = format!("`{name}` of `{block}` is {found}; it can be at most {most}");
        return Err(about.content(fault));
    }
    Ok(())
}
