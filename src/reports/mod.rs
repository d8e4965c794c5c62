//! The ring of records, read back without ever waiting.

#[cfg(feature = "checkpoint")]
mod counts;
pub(crate) mod error;

#[cfg(feature = "checkpoint")]
pub(crate) use counts::Counts;
pub use error::NotFinite;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use futures_intrusive::channel::shared::{OneshotReceiver, OneshotSender, oneshot_channel};

use crate::codes::fallback;
use crate::device::timer::{STAMPS_BYTES, Timer};
use crate::device::{Gpu, GpuError};
use crate::kernels::control::Control;
use crate::kernels::verdict::{self, Record};
use crate::layout::ParamLayout;
use crate::plan::Plan;
use crate::source::{Cursor, Draws};
use crate::state::{RING, RING_BYTES, State};

/// The report of one attempt.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// Counted from 0 over the optimizer's life, with idle attempts beyond an end and with
    /// what [`Optimizer::measure`](crate::Optimizer::measure) measured.
    pub attempt: u64,
    pub verdict: Verdict,
    /// The step size of the attempt.
    pub h: f32,
    /// Time integrated before the attempt.
    pub time: f64,
    /// The batch cursor during the attempt: attempts accepted or skipped before it.
    pub batch: u64,
    /// The batches that the attempt had to draw from:
    /// [`GradientSource::drawn`](crate::GradientSource::drawn) tells which a source drew.
    pub draws: Draws,
    /// L(θ_n) as the source gives it, from stage 1: without the λ‖θ‖²/2 of
    /// [`Builder::l2`](crate::optimizer::Builder::l2). `None` if the source gives no loss.
    pub loss: Option<f32>,
    /// ‖g‖₂ of the gradient that the attempt follows, from stage 1, before it is clipped:
    /// g = ∇L(θ_n), and ∇L(θ_n) + λθ_n with [`Builder::l2`](crate::optimizer::Builder::l2).
    /// Right from 1.2e-38 to 3.4e38, infinite beyond. `None` if the plan does not take it.
    pub grad_norm: Option<f32>,
    /// Norm of the error estimate in units of the tolerance, as
    /// [`Adaptive`](crate::Adaptive) has it; `None` where h is not adapted.
    pub error: Option<f32>,
    /// r = ‖Jv‖/‖v‖ along the direction of the step, where h follows it.
    pub curvature: Option<f32>,
    /// Stages of the attempt: for stabilised methods they vary.
    pub stages: u32,
    /// ρ of D·H, as last estimated before the stages; `None` where it is not.
    pub spectral_radius: Option<f32>,
    /// The oddity of that estimate, if there was one.
    pub fallback: Option<Fallback>,
    /// Attempts accepted up to and with this one.
    pub accepted: u64,
    /// Attempts skipped up to and with this one.
    pub skipped: u64,
    /// Attempts refused, to be retried, up to and with this one.
    pub refused: u64,
    /// Gradient evaluations up to and with this attempt, all that the source was asked for:
    /// [`Optimizer::evaluations`](crate::Optimizer::evaluations). What the source made for them
    /// is said by [`GradientSource::gradients`](crate::GradientSource::gradients).
    pub evaluations: u64,
    /// Attempts up to and with this one whose gradients, loss or error were not
    /// all finite.
    pub non_finite: u64,
    /// Where the gradient for which the attempt was skipped is not finite. `None` if it was
    /// not skipped, or for something else: a loss, a norm, a rule's own numbers.
    pub not_finite: Option<NotFinite>,
}

impl NotFinite {
    /// Of a record's words. What lies in padding is no tensor's.
    fn of(record: &Record, layout: &ParamLayout) -> Option<Self> {
        if record.place == 0 || !matches!(record.verdict, verdict::SKIPPED | verdict::MEASURED) {
            return None;
        }
        let first = 4 * (u32::MAX - record.place) as usize;
        let tensor = layout.tensors().iter().find(|tensor| tensor.range().contains(&first))?;
        let start = first - tensor.range().start;
        Some(Self {
            stage: record.stage,
            tensor: tensor.name().to_owned(),
            elements: start..tensor.len().min(start + 4),
        })
    }
}

/// The verdict on one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// θ moved.
    Accepted,
    /// The gradient of this stage (or, for stage 1, the loss) was not finite:
    /// θ stays as it is, bit for bit, and the batch is left behind.
    Skipped { stage: u32 },
    /// The error was above the tolerance, or the gradient of a stage beyond the
    /// first, or the error itself, was not finite: θ stays as it is, bit for
    /// bit, and h shrinks.
    Refused,
}

/// The oddity that an estimate of the spectral radius ran into, and what was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fallback {
    /// No curvature: ρ = 0 bounds no step.
    Flat,
    /// Negative curvature along the eigenvector: |ρ| bounds the step.
    Negative,
    /// A gradient beside θ was not finite: the last ρ stays. Without one, attempts
    /// are skipped until there is one.
    NotFinite,
}

impl Fallback {
    fn of(state: u32) -> Option<Self> {
        match state {
            fallback::FLAT => Some(Self::Flat),
            fallback::NEGATIVE => Some(Self::Negative),
            fallback::NOT_FINITE => Some(Self::NotFinite),
            _ => None,
        }
    }
}

const FREE: u8 = 0;
const PENDING: u8 = 1;
const MAPPED: u8 = 2;
const FAILED: u8 = 3;

/// Copies of the ring on their way.
const COPIES: usize = 4;

/// Reports kept for a host that does not ask; the oldest are dropped.
const MOST_REPORTS: usize = 1 << 16;

#[derive(Debug)]
struct Staging {
    buffer: wgpu::Buffer,
    state: Arc<AtomicU8>,
    age: u64,
    /// Gradients of a recording whose timestamps are in the buffer too.
    timed: Option<u32>,
}

/// Says once what became of a staging buffer, and tells whoever waits for it. Free it is
/// where its encoder was dropped without a submit, and nobody called.
///
/// Once: as soon as the state says that it is mapped, another thread may empty it and send it
/// on its way anew, and whatever this one wrote then would be about the next copy.
struct OnMap {
    state: Arc<AtomicU8>,
    becomes: u8,
    arrived: OneshotSender<()>,
}

impl OnMap {
    fn called(&mut self, mapped: bool) {
        self.becomes = if mapped { MAPPED } else { FAILED };
    }
}

impl Drop for OnMap {
    fn drop(&mut self) {
        self.state.store(self.becomes, Ordering::Release);
        // Most copies are collected by whoever comes by.
        let _ = self.arrived.send(());
    }
}

/// Telemetry of one optimizer, on the host.
#[derive(Debug)]
pub(crate) struct Reports {
    copies: Vec<Staging>,
    age: u64,
    arrived: VecDeque<Report>,
    dropped: u64,
    last: Progress,
    measured: Option<Report>,
    /// Of the newest attempt that counted.
    not_finite: Option<NotFinite>,
    layout: ParamLayout,
    /// Gradients and timestamps of recordings that have arrived.
    timed: VecDeque<(u32, [u64; 2])>,
    norms: bool,
    judged: bool,
    curved: bool,
    /// Stages where their number does not vary.
    stages: u32,
    estimated: bool,
    /// The control block as it was at each of the newest copies, by age.
    controls: VecDeque<(u64, Control)>,
}

/// A copy of the ring on its way.
#[derive(Debug)]
pub(crate) struct OnItsWay {
    pub(crate) age: u64,
    pub(crate) arrived: OneshotReceiver<()>,
}

/// Control blocks kept: more than there are copies.
const CONTROLS: usize = 2 * COPIES;

/// The device's progress, as far as the host knows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Progress {
    pub(crate) attempts: u64,
    pub(crate) accepted: u64,
    pub(crate) skipped: u64,
    pub(crate) refused: u64,
    pub(crate) evaluations: u64,
    pub(crate) time: f64,
    pub(crate) non_finite: u64,
    /// The batch cursor, and that of the stages.
    pub(crate) batch: u64,
    pub(crate) cursor: u64,
    /// The h that the controller proposes.
    pub(crate) next_h: f32,
    /// Why nothing moves any more, as in the control block.
    pub(crate) failure: u32,
    /// The first attempt has had its opening.
    pub(crate) opened: bool,
    /// The restart that this is about.
    pub(crate) restart: u32,
    pub(crate) rejections: u32,
    /// h and error of the last attempt that counted.
    pub(crate) last_h: f32,
    pub(crate) last_error: f32,
    /// h of the newest attempt, idle or not.
    pub(crate) applied_h: f32,
    /// Attempts since the last accepted one, idle ones left out.
    pub(crate) fruitless: u64,
    /// Accepted ones in a row that did not move time.
    pub(crate) standing: u64,
}

impl Progress {
    /// Names the batches of the next attempt.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { batch: self.batch, cursor: self.cursor, stride: 1 }
    }
}

/// Records, the control block, and timestamps.
const COPY_BYTES: u64 = STAMPS_AT + STAMPS_BYTES;
const STAMPS_AT: u64 = RING_BYTES + size_of::<Control>() as u64;

/// The u64 counter whose low half is `low`, not far from `near`.
pub(crate) fn widen(low: u32, near: u64) -> u64 {
    near.wrapping_add_signed(i64::from(low.wrapping_sub(near as u32) as i32))
}

impl Reports {
    /// Bytes of each of the buffers that copies of the ring arrive in.
    pub(crate) const BUFFERS: [u64; COPIES] = [COPY_BYTES; COPIES];

    pub(crate) fn new(gpu: &Gpu, plan: &Plan, layout: &ParamLayout) -> Result<Self, GpuError> {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let staging = |_| {
            let buffer = gpu.buffer("copy of the ring", COPY_BYTES, usage)?;
            Ok(Staging { buffer, state: Arc::new(AtomicU8::new(FREE)), age: 0, timed: None })
        };
        Ok(Self {
            copies: (0..COPIES).map(staging).collect::<Result<_, GpuError>>()?,
            age: 0,
            arrived: VecDeque::new(),
            dropped: 0,
            last: Progress::default(),
            measured: None,
            not_finite: None,
            layout: layout.clone(),
            timed: VecDeque::new(),
            norms: plan.sums_gradient_norm(),
            judged: plan.error_order() > 0,
            stages: plan.stages(),
            estimated: !plan.renewing().is_empty(),
            controls: VecDeque::new(),
            curved: plan.ingredients().rule.is_some_and(|rule| rule.curvature().is_some()),
        })
    }

    /// Copies the ring out when the encoder is submitted. Does nothing while
    /// all copies are on their way: the ring keeps its records meanwhile. Else
    /// says when this one is back, which may be after the submit is done:
    /// another thread that polls may hold the callback.
    pub(crate) fn record_copy(
        &mut self,
        state: &State,
        encoder: &mut wgpu::CommandEncoder,
        timing: Option<(&Timer, u32)>,
    ) -> Option<OnItsWay> {
        let free = |copy: &&mut Staging| copy.state.load(Ordering::Acquire) == FREE;
        let copy = self.copies.iter_mut().find(free)?;
        encoder.copy_buffer_to_buffer(&state.ring, 0, &copy.buffer, 0, RING_BYTES);
        let control_bytes = STAMPS_AT - RING_BYTES;
        encoder.copy_buffer_to_buffer(&state.control, 0, &copy.buffer, RING_BYTES, control_bytes);
        copy.timed = timing.map(|(timer, gradients)| {
            timer.resolve(encoder, &copy.buffer, STAMPS_AT);
            gradients
        });
        copy.state.store(PENDING, Ordering::Release);
        self.age += 1;
        copy.age = self.age;
        let (sender, arrived) = oneshot_channel();
        let mut on_map = OnMap { state: copy.state.clone(), becomes: FREE, arrived: sender };
        encoder.map_buffer_on_submit(&copy.buffer, wgpu::MapMode::Read, .., move |result| {
            on_map.called(result.is_ok());
        });
        Some(OnItsWay { age: self.age, arrived })
    }

    /// The control block at the end of a submit, by its copy's age.
    pub(crate) fn control(&self, age: u64) -> Option<Control> {
        self.controls.iter().find(|(known, _)| *known == age).map(|(_, control)| *control)
    }

    /// Takes in the copies that have arrived.
    pub(crate) fn collect(&mut self) -> Result<(), GpuError> {
        let lost = GpuError::DeviceLost { during: "reading reports" };
        let mut order: Vec<usize> = (0..self.copies.len()).collect();
        order.sort_by_key(|&i| self.copies[i].age);
        for i in order {
            match self.copies[i].state.load(Ordering::Acquire) {
                MAPPED => {}
                FAILED => return Err(lost),
                _ => continue,
            }
            let buffer = self.copies[i].buffer.clone();
            let mapped = buffer.slice(..).get_mapped_range().map_err(|_| lost.clone())?;
            let (ring, rest) = mapped.split_at(RING_BYTES as usize);
            let (control, stamps) = rest.split_at(size_of::<Control>());
            let records: Vec<Record> = bytemuck::pod_collect_to_vec(ring);
            let control: Control = bytemuck::pod_read_unaligned(control);
            let stamps: [u64; 2] = bytemuck::pod_read_unaligned(stamps);
            drop(mapped);
            buffer.unmap();
            self.copies[i].state.store(FREE, Ordering::Release);
            self.controls.push_back((self.copies[i].age, control));
            if self.controls.len() > CONTROLS {
                self.controls.pop_front();
            }
            // The copy of an encoder that was refused was never written, one that was
            // submitted late is older than it seems, and where another thread polls, one may
            // be seen after its successor.
            if widen(control.attempts, self.last.attempts) < self.last.attempts {
                continue;
            }
            if let Some(gradients) = self.copies[i].timed.take() {
                self.timed.push_back((gradients, stamps));
            }
            self.take(&records, &control);
        }
        Ok(())
    }

    fn take(&mut self, records: &[Record], control: &Control) {
        let end = widen(control.attempts, self.last.attempts);
        let oldest = end.saturating_sub(u64::from(RING));
        self.dropped += oldest.saturating_sub(self.last.attempts);
        for attempt in self.last.attempts.max(oldest)..end {
            let record = &records[(attempt % u64::from(RING)) as usize];
            self.note(attempt, record);
        }
        self.last.attempts = self.last.attempts.max(end);
        self.note_control(control);
    }

    fn note_control(&mut self, control: &Control) {
        self.last.batch = widen(control.batch, self.last.batch);
        self.last.cursor = widen(control.cursor, self.last.cursor);
        // An opening by itself has no record.
        self.last.evaluations = widen(control.evaluations, self.last.evaluations);
        self.last.next_h = control.next_h;
        self.last.applied_h = control.applied_h;
        self.last.failure = control.failure;
        self.last.restart = control.restart;
        self.last.opened = control.opened == 1;
        self.last.rejections = control.rejections;
        self.last.time = f64::from(control.time_high) + f64::from(control.time_low);
    }

    fn note(&mut self, attempt: u64, record: &Record) {
        let last = &mut self.last;
        last.accepted = widen(record.accepted, last.accepted);
        last.skipped = widen(record.skipped, last.skipped);
        last.refused = widen(record.refused, last.refused);
        last.evaluations = widen(record.evaluations, last.evaluations);
        last.non_finite = widen(record.non_finite, last.non_finite);
        let batch = widen(record.batch, last.accepted + last.skipped);
        // Not far from where the last copy was: a ring holds fewer attempts than 2³¹ draws.
        let cursor = widen(record.cursor, last.cursor);
        let report = Report {
            attempt,
            verdict: match record.verdict {
                verdict::SKIPPED => Verdict::Skipped { stage: record.stage },
                verdict::REFUSED => Verdict::Refused,
                _ => Verdict::Accepted,
            },
            h: record.h,
            time: f64::from(record.time_high) + f64::from(record.time_low),
            batch,
            draws: Draws {
                batches: batch..batch + 1,
                stages: cursor..cursor + u64::from(record.draws),
            },
            loss: (record.loss != verdict::NO_LOSS).then(|| f32::from_bits(record.loss)),
            grad_norm: (self.norms || record.verdict == verdict::MEASURED)
                .then_some(record.grad_norm),
            error: (self.judged && record.verdict != verdict::MEASURED).then_some(record.error),
            curvature: self.curved.then_some(record.curvature),
            stages: if record.stages == 0 { self.stages } else { record.stages },
            spectral_radius: self.estimated.then_some(record.radius),
            fallback: Fallback::of(record.radius_state).filter(|_| self.estimated),
            accepted: last.accepted,
            skipped: last.skipped,
            refused: last.refused,
            evaluations: last.evaluations,
            non_finite: last.non_finite,
            not_finite: NotFinite::of(record, &self.layout),
        };
        match record.verdict {
            verdict::IDLE => return,
            verdict::MEASURED => {
                self.measured = Some(report);
                return;
            }
            verdict::ACCEPTED => {
                last.fruitless = 0;
                last.standing = if record.stood == 1 { last.standing + 1 } else { 0 };
            }
            _ => last.fruitless += 1,
        }
        (last.last_h, last.last_error) = (record.h, record.error);
        self.not_finite.clone_from(&report.not_finite);
        if self.arrived.len() == MOST_REPORTS {
            self.arrived.pop_front();
            self.dropped += 1;
        }
        self.arrived.push_back(report);
    }

    /// What the newest attempt was skipped for, if it was.
    pub(crate) fn not_finite(&self) -> Option<NotFinite> {
        self.not_finite.clone()
    }

    pub(crate) fn drain(&mut self) -> Vec<Report> {
        self.arrived.drain(..).collect()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(crate) fn progress(&self) -> Progress {
        self.last
    }

    /// Gives the progress that an earlier control block tells.
    pub(crate) fn progress_at(&self, control: &Control) -> Progress {
        Progress {
            attempts: widen(control.attempts, self.last.attempts),
            accepted: widen(control.accepted, self.last.accepted),
            skipped: widen(control.skipped, self.last.skipped),
            refused: widen(control.refused, self.last.refused),
            time: f64::from(control.time_high) + f64::from(control.time_low),
            next_h: control.next_h,
            applied_h: control.applied_h,
            restart: control.restart,
            opened: control.opened == 1,
            ..self.last
        }
    }

    pub(crate) fn take_timed(&mut self) -> Option<(u32, [u64; 2])> {
        self.timed.pop_front()
    }

    /// Goes on from a control block that the ring knows nothing of.
    #[cfg(feature = "checkpoint")]
    pub(crate) fn take_up(&mut self, control: &Control, counts: &Counts) {
        self.last.attempts = counts.attempts;
        self.last.accepted = counts.accepted;
        self.last.skipped = counts.skipped;
        self.last.refused = counts.refused;
        self.last.evaluations = counts.evaluations;
        self.last.non_finite = counts.non_finite;
        self.last.batch = counts.batch;
        self.last.cursor = counts.cursor;
        self.note_control(control);
    }

    pub(crate) fn take_measured(&mut self) -> Option<Report> {
        self.measured.take()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU8, Ordering};

    use futures_intrusive::channel::shared::oneshot_channel;

    use super::{FAILED, FREE, MAPPED, OnMap, PENDING, widen};

    #[test]
    fn a_callback_that_ends_late_frees_no_copy_that_is_on_its_way_again() {
        for (mapped, told) in [(Some(true), MAPPED), (Some(false), FAILED), (None, FREE)] {
            let state = Arc::new(AtomicU8::new(PENDING));
            let (arrived, arrives) = oneshot_channel();
            let mut on_map = OnMap { state: state.clone(), becomes: FREE, arrived };
            if let Some(mapped) = mapped {
                on_map.called(mapped);
            }
            // Whoever may see the copy as mapped here may send it on its way again.
            let seen = state.compare_exchange(told, PENDING, Ordering::AcqRel, Ordering::Acquire);
            drop(on_map);
            let end = state.load(Ordering::Acquire);
            assert!(end == told || seen.is_ok() && end == PENDING, "{mapped:?} ends as {end}");
            assert_eq!(pollster::block_on(arrives.receive()), Some(()));
        }
    }

    #[test]
    fn counters_widen_across_the_wrap() {
        assert_eq!(widen(5, 3), 5);
        assert_eq!(widen(2, (1 << 32) - 1), (1 << 32) + 2);
        assert_eq!(widen(u32::MAX, 1 << 32), (1 << 32) - 1);
        assert_eq!(widen(7, (3 << 32) + 7), (3 << 32) + 7);
    }
}
