//! The state of an optimizer that outlives its process: copied out in the queue's order, and
//! put back. Files are the business of `checkpoint`.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_intrusive::channel::shared::{OneshotReceiver, OneshotSender, oneshot_channel};
use serde::{Deserialize, Serialize};

use super::ledger::Kept;
use super::{Builder, Optimizer};
use crate::device::traversal::Traversal;
use crate::device::waiting::Waiting;
use crate::device::{Gpu, GpuError};
use crate::error::Error;
use crate::format::Storage;
use crate::kernels::control::Control;
use crate::kernels::interleaved::Interleaved;
use crate::kernels::settings::Settings;
use crate::layout::ParamLayout;
use crate::method::Method;
use crate::plan::{Op, Plan, Slot};
use crate::reports::{Counts, Progress};

/// A vector that stays from attempt to attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Part {
    Theta,
    Average,
    /// The vector that the power iteration for ρ has come to.
    Eigenvector,
    Momentum,
    /// The preconditioner's G or v, and AMSGrad's largest v.
    Second,
    Largest,
}

impl Part {
    pub(crate) const ALL: [Self; 6] = [
        Self::Theta,
        Self::Average,
        Self::Eigenvector,
        Self::Momentum,
        Self::Second,
        Self::Largest,
    ];
}

/// The host's knowledge that the control block does not have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Host {
    pub(crate) counts: Counts,
    /// The number of the last restart, and the h that it begins with.
    pub(crate) restart: u32,
    pub(crate) first_h: f32,
    /// The end of time by `set_end`, as a sum of two.
    pub(crate) end: [f32; 2],
    pub(crate) opens: bool,
    pub(crate) since_radius: u32,
    pub(crate) refused_then: u32,
    pub(crate) stages: u32,
    /// One submit was not yet known to be done: the next one but one waits for it.
    pub(crate) under_way: bool,
}

/// The place of a vector's elements in a buffer that may hold several, interleaved by
/// the spans of workgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) storage: Storage,
    /// Elements that lie side by side, from the start of one such run to the start of
    /// the next, and where the first one begins.
    span: usize,
    stride: usize,
    first: usize,
}

impl Place {
    fn alone(storage: Storage) -> Self {
        Self { storage, span: usize::MAX, stride: 0, first: 0 }
    }

    /// The runs of `range`, each with the place of its first element in the buffer.
    pub(crate) fn runs(self, range: Range<usize>) -> impl Iterator<Item = (Range<usize>, usize)> {
        let mut next = range.start;
        std::iter::from_fn(move || {
            let (number, within) = (next / self.span, next % self.span);
            let end = range.end.min(next + (self.span - within));
            let run = (next < end).then(|| (next..end, self.first + number * self.stride + within));
            next = end;
            run
        })
    }
}

/// The buffers that an optimizer keeps its state in, and how it lies there.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    average: bool,
    eigenvector: Option<Slot>,
    mean: (Interleaved, Storage),
    second: (Interleaved, Storage),
}

impl Shelf {
    pub(crate) fn of(plan: &Plan, walk: &Traversal) -> Self {
        let ingredients = plan.ingredients();
        let ops = plan.renewing().iter().chain(plan.opening());
        let eigenvector = ops.clone().find_map(|op| match op {
            Op::Radius(radius) => Some(radius.vector.slot),
            _ => None,
        });
        Self {
            average: ingredients.average.is_some(),
            eigenvector,
            mean: (Interleaved::mean(plan, walk), ingredients.stored.momentum),
            second: (Interleaved::second(plan, walk), ingredients.second_storage()),
        }
    }

    /// Finds where a part lies, if there is one: the half that accepted attempts left.
    pub(crate) fn place(&self, part: Part, parity: u32) -> Option<Place> {
        let place = |(layout, storage): (Interleaved, Storage), vector: usize| {
            let half = parity as usize & (layout.halves - 1);
            let (stride, first) = (layout.stride(), layout.first(vector, half));
            Place { storage, span: layout.span, stride, first }
        };
        let second =
            |vector: usize| (vector < self.second.0.vectors).then(|| place(self.second, vector));
        match part {
            Part::Theta => Some(Place::alone(Storage::F32)),
            Part::Average => self.average.then(|| Place::alone(Storage::F32)),
            Part::Eigenvector => self.eigenvector.map(|_| Place::alone(Storage::F32)),
            Part::Momentum => match self.mean {
                (Interleaved { halves: 0, .. }, _) => None,
                // One run.
                (Interleaved { halves: 1, .. }, storage) => Some(Place::alone(storage)),
                mean => Some(place(mean, 0)),
            },
            Part::Second => second(0),
            Part::Largest => second(1),
        }
    }

    fn buffer<'a>(&self, part: Part, optimizer: &'a Optimizer) -> &'a wgpu::Buffer {
        let state = &optimizer.state;
        match part {
            Part::Theta => state.vectors[0].buffer(),
            Part::Average => state.average.buffer(),
            Part::Eigenvector => state.vectors[self.eigenvector.unwrap_or(0)].buffer(),
            Part::Momentum => state.mean.buffer(),
            Part::Second | Part::Largest => state.second.buffer(),
        }
    }
}

/// The state of an optimizer at one point of the queue, on its way to the host.
#[derive(Debug)]
pub(crate) struct Captured {
    pub(crate) gpu: Gpu,
    pub(crate) given: Builder,
    pub(crate) layout: ParamLayout,
    pub(crate) settled: Option<Control>,
    shelf: Shelf,
    host: Host,
    near: Progress,
    copies: Vec<(Part, wgpu::Buffer)>,
    control: wgpu::Buffer,
    index: wgpu::SubmissionIndex,
    done: OneshotReceiver<bool>,
    landing: Arc<Landing>,
}

/// Copies that are still on their way.
#[derive(Debug)]
struct Landing {
    left: AtomicUsize,
    failed: AtomicBool,
    done: OneshotSender<bool>,
}

/// One of them; it fails if nobody ever calls back.
struct Arrival {
    landing: Arc<Landing>,
    good: bool,
}

impl Arrival {
    fn landed(mut self, good: bool) {
        self.good = good;
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.landing.one_less(self.good);
    }
}

impl Landing {
    fn one_less(&self, good: bool) {
        if !good {
            self.failed.store(true, Ordering::Release);
        }
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            // The receiver is gone only with the snapshot.
            let _ = self.done.send(!self.failed.load(Ordering::Acquire));
        }
    }
}

impl Captured {
    /// Tells whether the copies are here. Polls, never waits.
    pub(crate) fn is_here(&self) -> bool {
        // If the device is lost, whoever waits says so.
        let _ = self.gpu.device().poll(wgpu::PollType::Poll);
        self.landing.left.load(Ordering::Acquire) == 0
    }

    /// Waits for the copies.
    pub(crate) fn wait(&self) -> Result<(), GpuError> {
        let lost = GpuError::DeviceLost { during: "copying the state for a checkpoint" };
        if self.landing.left.load(Ordering::Acquire) > 0 {
            pollster::block_on(self.gpu.wait_for(
                self.index.clone(),
                self.done.receive(),
                Waiting::Blocks,
            ))
            .ok_or_else(|| lost.clone())?;
        }
        match self.landing.failed.load(Ordering::Acquire) {
            true => Err(lost),
            false => Ok(()),
        }
    }

    fn mapped(&self, buffer: &wgpu::Buffer) -> Result<wgpu::BufferView, GpuError> {
        let lost = |_| GpuError::DeviceLost { during: "reading the state for a checkpoint" };
        buffer.slice(..).get_mapped_range().map_err(lost)
    }

    /// The control block; after [`Captured::wait`].
    pub(crate) fn control(&self) -> Result<Control, GpuError> {
        Ok(bytemuck::pod_read_unaligned(&self.mapped(&self.control)?))
    }

    /// The host's side, at the point where the control block was this.
    pub(crate) fn host(&self, control: &Control) -> Host {
        Host { counts: Counts::of(control, &self.near), ..self.host.clone() }
    }

    /// Finds where a part lies in its copy, if there is one.
    pub(crate) fn place(&self, part: Part, control: &Control) -> Option<Place> {
        self.shelf.place(part, control.parity)
    }

    /// The bytes of some elements of a part, piece by piece.
    pub(crate) fn pieces<E: From<GpuError>>(
        &self,
        part: Part,
        place: Place,
        range: Range<usize>,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let shared = if part == Part::Largest { Part::Second } else { part };
        let Some((_, buffer)) = self.copies.iter().find(|(kept, _)| *kept == shared) else {
            return Ok(());
        };
        let mapped = self.mapped(buffer)?;
        let size = place.storage.bytes();
        for (run, at) in place.runs(range) {
            take(&mapped[at * size..(at + run.len()) * size])?;
        }
        Ok(())
    }
}

impl Optimizer {
    /// Copies the state out, behind everything submitted so far. Does not wait, but where
    /// `run` too would: for the submit before the last of a method whose stages vary.
    pub(crate) async fn capture(&mut self, waiting: Waiting) -> Result<Captured, Error> {
        if self.ledger.chained() {
            self.settle(1, waiting).await?;
        }
        let shelf = Shelf::of(self.plan(), &self.walk);
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let staging = |bytes: u64| self.gpu.buffer("copy of the state", bytes, usage);
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        let mut copies = Vec::new();
        for part in Part::ALL {
            if part == Part::Largest || shelf.place(part, 0).is_none() {
                continue;
            }
            let from = shelf.buffer(part, self);
            let copy = staging(from.size())?;
            encoder.copy_buffer_to_buffer(from, 0, &copy, 0, from.size());
            copies.push((part, copy));
        }
        let control = staging(size_of::<Control>() as u64)?;
        encoder.copy_buffer_to_buffer(&self.state.control, 0, &control, 0, control.size());
        let (sender, done) = oneshot_channel();
        let landing = Arc::new(Landing {
            left: AtomicUsize::new(copies.len() + 1),
            failed: AtomicBool::new(false),
            done: sender,
        });
        for buffer in copies.iter().map(|(_, copy)| copy).chain([&control]) {
            let arrival = Arrival { landing: landing.clone(), good: false };
            encoder.map_buffer_on_submit(buffer, wgpu::MapMode::Read, .., move |result| {
                arrival.landed(result.is_ok());
            });
        }
        // No fence: saving must not change which submit `run` waits for.
        let submit = || self.gpu.queue().submit([encoder.finish()]);
        let (index, failed) = self.gpu.scoped(wgpu::ErrorFilter::Validation, submit);
        if failed {
            return Err(
                GpuError::DeviceLost { during: "copying the state for a checkpoint" }.into()
            );
        }
        let settings = &self.settings;
        let Kept { opens, since_radius, refused_then } = self.ledger.kept();
        Ok(Captured {
            gpu: self.gpu.clone(),
            given: self.given.clone(),
            layout: self.layout.clone(),
            settled: self.ledger.settled_block(),
            host: Host {
                counts: Counts::default(),
                restart: settings.restart,
                first_h: settings.first_h,
                end: Settings::split(self.ledger.end()),
                opens,
                since_radius,
                refused_then,
                stages: self.stages(),
                under_way: self.ledger.chained()
                    && self.in_flight.back().is_some_and(|f| f.copy.is_some()),
            },
            near: self.reports.progress(),
            shelf,
            copies,
            control,
            index,
            done,
            landing,
        })
    }

    /// Attempts asked for so far, those on their way among them.
    pub(crate) fn attempts_asked(&self) -> u64 {
        self.ledger.asked(&self.reports.progress())
    }

    /// The number of attempts that `run` puts into a submit.
    pub(crate) fn attempts_in_a_submit(&self) -> u64 {
        u64::from(self.attempts_per_submit())
    }

    /// Gives what the host knows of an optimizer that begins, with a control block whose last
    /// restart was this one.
    pub(crate) fn fresh_host(&self, restart: u32) -> Host {
        let Kept { opens, since_radius, refused_then } = self.ledger.fresh();
        Host {
            counts: Counts::default(),
            restart: restart.wrapping_add(1),
            first_h: self.settings.first_h,
            end: Settings::split(self.ledger.end()),
            opens,
            since_radius,
            refused_then,
            stages: self.stages(),
            under_way: false,
        }
    }

    /// Lists which vectors stay, and how they are stored.
    pub(crate) fn shelf(&self) -> Shelf {
        Shelf::of(self.plan(), &self.walk)
    }

    /// Takes up where a capture was made: θ is here already. `parts` gives the bytes of
    /// every element of every other vector that [`Shelf::place`] has a place for.
    pub(crate) fn take_up<'b>(
        &mut self,
        host: &Host,
        control: &Control,
        settled: Option<Control>,
        parts: &mut dyn FnMut(Part) -> Vec<(Range<usize>, &'b [u8])>,
    ) -> Result<(), Error> {
        if matches!(self.method, Method::Stabilised(_)) && host.stages != self.stages() {
            self.set_stages(host.stages)?;
        }
        let draws = self.plan().stage_gradients();
        let (mut control, mut counts) = (*control, host.counts);
        let settled = settled.map(|settled| with_cursor(settled, draws));
        if control.stride == 0 {
            counts.cursor = counts.batch.wrapping_mul(u64::from(draws));
            control = with_cursor(control, draws);
        }
        let shelf = self.shelf();
        for part in Part::ALL.into_iter().filter(|&part| part != Part::Theta) {
            let Some(place) = shelf.place(part, control.parity) else { continue };
            for (range, bytes) in parts(part) {
                self.put(shelf.buffer(part, self), place, range, bytes)?;
            }
        }
        self.gpu.upload(&self.state.control, bytemuck::bytes_of(&control))?;
        self.settings.restart = host.restart;
        self.settings.first_h = host.first_h;
        [self.settings.end_high, self.settings.end_low] = host.end;
        let end = self.settings.end();
        self.ledger.set_end((end < f64::from(f32::MAX)).then_some(end));
        self.write_settings();
        let &Host { opens, since_radius, refused_then, .. } = host;
        let kept = Kept { opens, since_radius, refused_then };
        self.ledger.take_up(kept, control.attempts, settled);
        self.reports.take_up(&control, &counts);
        if host.under_way {
            // Stands in for the submit that was under way; it leaves the same control block.
            let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
            let copy = self.reports.record_copy(&self.state, &mut encoder, None);
            self.submit_encoder(encoder, copy);
        }
        Ok(())
    }

    fn put(
        &self,
        buffer: &wgpu::Buffer,
        place: Place,
        range: Range<usize>,
        bytes: &[u8],
    ) -> Result<(), GpuError> {
        // Staging memory is given back at a submit.
        const MOST: usize = 32 << 20;
        let size = place.storage.bytes();
        let (start, mut waiting) = (range.start, 0);
        for (run, at) in place.runs(range) {
            let from = &bytes[(run.start - start) * size..(run.end - start) * size];
            let at = (at * size) as u64;
            let whole = from.len() & !3;
            self.gpu.upload_at(buffer, at, &from[..whole])?;
            if whole < from.len() {
                // An odd half at the end of a tensor; padding follows it.
                let mut word = [0; 4];
                word[..from.len() - whole].copy_from_slice(&from[whole..]);
                self.gpu.upload_at(buffer, at + whole as u64, &word)?;
            }
            waiting += from.len();
            if waiting >= MOST {
                self.gpu.queue().submit([]);
                waiting = 0;
            }
        }
        Ok(())
    }
}

/// A control block of before there was a cursor, with the one that as many batches
/// of this plan make; others as they are.
fn with_cursor(control: Control, draws: u32) -> Control {
    match control.stride {
        0 => Control { cursor: control.batch.wrapping_mul(draws), stride: 1, ..control },
        _ => control,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computes an element's place as `shaders/shared/moments.wgsl` does.
    fn second_at(e: usize, span: usize, vector: usize, half: usize, shelf: &Shelf) -> usize {
        let (i, lane) = (e / 4, e % 4);
        let vec4s = span / 4;
        let Interleaved { vectors, halves, grouped, .. } = shelf.second.0;
        let beside = if grouped { vec4s / 16 } else { 0 };
        let at = i / vec4s * (vectors * halves * vec4s + beside);
        4 * (at + (vector * halves + half) * vec4s + i % vec4s) + lane
    }

    #[test]
    fn places_are_those_of_the_shader() {
        for software in [false, true] {
            let n = 3 * 70_001;
            let walk = Traversal::new(n, software);
            for (vectors, halves, grouped) in
                [(1, 1, false), (1, 2, true), (2, 2, false), (2, 1, true)]
            {
                let span = walk.least_chunk();
                let second = Interleaved { span, vectors, halves, grouped };
                let shelf = Shelf {
                    average: false,
                    eigenvector: None,
                    mean: (
                        Interleaved { span, vectors: 1, halves: 2, grouped: false },
                        Storage::F32,
                    ),
                    second: (second, Storage::Bf16),
                };
                for parity in [0, 1] {
                    for (part, vector) in [(Part::Second, 0), (Part::Largest, 1)] {
                        let Some(place) = shelf.place(part, parity) else {
                            assert!(vector >= vectors);
                            continue;
                        };
                        let mut next = 100;
                        for (run, at) in place.runs(100..n - 3) {
                            assert_eq!(run.start, next);
                            for e in [run.start, run.end - 1] {
                                let half = if halves == 2 { parity as usize } else { 0 };
                                let right = second_at(e, walk.least_chunk(), vector, half, &shelf);
                                assert_eq!(at + e - run.start, right, "{shelf:?} {e}");
                            }
                            next = run.end;
                        }
                        assert_eq!(next, n - 3);
                    }
                    let place = shelf.place(Part::Momentum, parity).unwrap();
                    let (run, at) = place.runs(walk.least_chunk()..n).next().unwrap();
                    assert_eq!(run.start, walk.least_chunk());
                    assert_eq!(at, (2 + parity as usize) * walk.least_chunk());
                }
            }
        }
    }

    #[test]
    fn a_vector_by_itself_is_one_run() {
        let runs: Vec<_> = Place::alone(Storage::F32).runs(5..1 << 40).collect();
        assert_eq!(runs, [(5..1 << 40, 5)]);
        assert_eq!(Place::alone(Storage::F32).runs(7..7).count(), 0);
    }
}
