//! Timestamps around whatever a recording dispatches: what a profile is made of.

use std::collections::HashMap;
use std::fmt;

use super::{Gpu, GpuError};

/// Most queries of one set: WebGPU's limit.
const QUERIES: u32 = wgpu::QUERY_SET_MAX_QUERIES;

/// Bytes of a timestamp.
const STAMP: u64 = wgpu::QUERY_SIZE as u64;

/// The places where a profile's timestamps are written, by what the device can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamps {
    /// Between the dispatches of one pass, as in a run without a profile: where the device has
    /// [`TIMESTAMP_QUERY_INSIDE_PASSES`](wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES).
    InsidePasses,
    /// At both ends of passes, one for each dispatch: where it has
    /// [`TIMESTAMP_QUERY`](wgpu::Features::TIMESTAMP_QUERY) alone.
    AroundPasses,
}

impl Stamps {
    /// The timestamps that this device can write, inside passes if it can.
    ///
    /// # Errors
    /// [`GpuError::NoTimestamps`] without any.
    pub(crate) fn of(gpu: &Gpu) -> Result<Self, GpuError> {
        use wgpu::Features;
        let features = gpu.device().features();
        if !features.contains(Features::TIMESTAMP_QUERY) {
            return Err(GpuError::NoTimestamps { adapter: gpu.info().name.clone() });
        }
        Ok(match features.contains(Features::TIMESTAMP_QUERY_INSIDE_PASSES) {
            true => Self::InsidePasses,
            false => Self::AroundPasses,
        })
    }
}

impl fmt::Display for Stamps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InsidePasses => "timestamps between the dispatches of a pass",
            Self::AroundPasses => "timestamps around passes of one dispatch each",
        })
    }
}

/// What lies between two timestamps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// Its name, among those of the [`Spans`].
    pub(crate) label: usize,
    /// `None` for what a source records by itself.
    pub(crate) workgroups: Option<[u32; 3]>,
    /// Attempts of the recording that were begun; 0 before the first.
    pub(crate) attempt: u32,
    /// The evaluation it is part of, among those of the recording.
    pub(crate) evaluation: Option<usize>,
    /// Its timestamps, among those of the recording.
    pub(crate) begin: usize,
    pub(crate) end: usize,
}

/// The spans of one recording, and the buffer that its timestamps arrive in.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) spans: Vec<Span>,
    /// Labels of its evaluations.
    pub(crate) evaluations: Vec<usize>,
    attempts: u32,
    /// `None` where there is nothing to read.
    resolved: Option<wgpu::Buffer>,
    stamps: usize,
}

impl Taken {
    /// Attempts that the recording has.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Reads the timestamps, in ticks.
    pub(crate) async fn read(
        &self,
        gpu: &Gpu,
        waiting: super::waiting::Waiting,
    ) -> Result<Vec<u64>, GpuError> {
        let Some(resolved) = &self.resolved else { return Ok(Vec::new()) };
        let bytes = gpu.fetch_buffer(resolved, 0..self.stamps as u64 * STAMP, waiting).await?;
        Ok(bytes.chunks_exact(STAMP as usize).map(bytemuck::pod_read_unaligned).collect())
    }
}

/// What is open at the moment.
#[derive(Clone, Copy, Debug)]
struct Open {
    span: Span,
    /// A source has the encoder, and no pass is open.
    encoder: bool,
}

/// Records timestamps. It is handed on with [`Commands`](super::commands::Commands), and whoever
/// has none pays a look at an `Option`.
#[derive(Debug)]
pub(crate) struct Spans {
    gpu: Gpu,
    stamps: Stamps,
    sets: Vec<wgpu::QuerySet>,
    written: usize,
    /// The last timestamp, if nothing was recorded since: it can begin the next span.
    fresh: Option<usize>,
    labels: Vec<String>,
    known: HashMap<String, usize>,
    /// What a source calls its present part.
    named: Option<usize>,
    open: Option<Open>,
    spans: Vec<Span>,
    attempt: u32,
    evaluations: Vec<usize>,
    inside: bool,
}

/// An encoder and its shared pass.
pub(crate) struct Place<'a> {
    pub(crate) pass: &'a mut Option<wgpu::ComputePass<'static>>,
    pub(crate) encoder: &'a mut wgpu::CommandEncoder,
}

impl Place<'_> {
    fn begin(&mut self, writes: Option<wgpu::ComputePassTimestampWrites<'_>>) {
        // An open one ends first.
        *self.pass = None;
        let descriptor =
            wgpu::ComputePassDescriptor { label: Some("kutta"), timestamp_writes: writes };
        *self.pass = Some(self.encoder.begin_compute_pass(&descriptor).forget_lifetime());
    }
}

/// The name of what a source records without one of its own.
const SOURCE: &str = "source";

impl Spans {
    /// # Errors
    /// [`GpuError::NoTimestamps`].
    pub(crate) fn new(gpu: &Gpu) -> Result<Self, GpuError> {
        Ok(Self {
            stamps: Stamps::of(gpu)?,
            gpu: gpu.clone(),
            sets: Vec::new(),
            written: 0,
            fresh: None,
            labels: Vec::new(),
            known: HashMap::new(),
            named: None,
            open: None,
            spans: Vec::new(),
            attempt: 0,
            evaluations: Vec::new(),
            inside: false,
        })
    }

    pub(crate) fn stamps(&self) -> Stamps {
        self.stamps
    }

    pub(crate) fn labels(&self) -> &[String] {
        &self.labels
    }

    fn known(&mut self, label: &str) -> usize {
        if let Some(&known) = self.known.get(label) {
            return known;
        }
        self.labels.push(label.to_owned());
        self.known.insert(label.to_owned(), self.labels.len() - 1);
        self.labels.len() - 1
    }

    /// Another attempt begins.
    pub(crate) fn begin_attempt(&mut self) {
        self.attempt += 1;
    }

    /// An evaluation begins, or the last one has ended.
    pub(crate) fn evaluation(&mut self, label: Option<&str>) {
        self.inside = label.is_some();
        if let Some(label) = label {
            let label = self.known(label);
            self.evaluations.push(label);
        }
    }

    /// What a source calls its present part.
    pub(crate) fn named(&self) -> Option<usize> {
        self.named
    }

    /// Puts back what [`Spans::named`] said.
    pub(crate) fn restore(&mut self, named: Option<usize>, place: Place<'_>) {
        self.end(place);
        self.named = named;
    }

    /// A source names what it records from now on; an empty name is none.
    pub(crate) fn label(&mut self, label: &str, place: Place<'_>) {
        self.end(place);
        self.named = if label.is_empty() { None } else { Some(self.known(label)) };
    }

    /// A timestamp's number, with a query for it.
    fn stamp(&mut self) -> usize {
        let stamp = self.written;
        if stamp == self.sets.len() * QUERIES as usize {
            self.sets.push(self.gpu.device().create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("times of dispatches"),
                ty: wgpu::QueryType::Timestamp,
                count: QUERIES,
            }));
        }
        self.written += 1;
        stamp
    }

    fn query(&self, stamp: usize) -> (&wgpu::QuerySet, u32) {
        (&self.sets[stamp / QUERIES as usize], (stamp % QUERIES as usize) as u32)
    }

    /// Writes a timestamp into the open pass.
    fn write(&mut self, place: &mut Place<'_>) -> usize {
        let stamp = self.stamp();
        if let Some(pass) = place.pass {
            let (set, index) = self.query(stamp);
            pass.write_timestamp(set, index);
        }
        stamp
    }

    /// Writes timestamps at the ends of a pass that nothing is in.
    fn write_by_pass(&mut self, stamp: usize, at_its_end: bool, place: &mut Place<'_>) {
        let (query_set, index) = self.query(stamp);
        place.begin(Some(wgpu::ComputePassTimestampWrites {
            query_set,
            beginning_of_pass_write_index: (!at_its_end).then_some(index),
            end_of_pass_write_index: at_its_end.then_some(index),
        }));
        *place.pass = None;
    }

    fn span(&self, label: usize, workgroups: Option<[u32; 3]>, begin: usize) -> Span {
        let evaluation = self.inside.then(|| self.evaluations.len().saturating_sub(1));
        Span { label, workgroups, attempt: self.attempt, evaluation, begin, end: begin }
    }

    /// Begins a dispatch of kutta's, under the name of its kernel.
    pub(crate) fn begin(&mut self, kernel: &str, workgroups: [u32; 3], place: Place<'_>) {
        let label = match self.named {
            None => self.known(kernel),
            Some(named) => {
                let label = format!("{}/{kernel}", self.labels[named]);
                self.known(&label)
            }
        };
        self.begin_in_pass(label, Some(workgroups), place);
    }

    /// What a source records into the shared pass by itself: goes on, or begins.
    pub(crate) fn in_pass(&mut self, place: Place<'_>) {
        if self.open.is_none_or(|open| open.encoder) {
            let label = self.named.unwrap_or_else(|| self.known(SOURCE));
            self.begin_in_pass(label, None, place);
        }
    }

    fn begin_in_pass(&mut self, label: usize, workgroups: Option<[u32; 3]>, mut place: Place<'_>) {
        self.end(Place { pass: place.pass, encoder: place.encoder });
        let begin = match self.stamps {
            Stamps::InsidePasses => {
                if place.pass.is_none() {
                    place.begin(None);
                }
                match self.fresh.take() {
                    Some(fresh) => fresh,
                    None => self.write(&mut place),
                }
            }
            Stamps::AroundPasses => {
                // Stamps come in pairs here, so that both are in one set.
                let (begin, end) = (self.stamp(), self.stamp());
                let (query_set, index) = self.query(begin);
                place.begin(Some(wgpu::ComputePassTimestampWrites {
                    query_set,
                    beginning_of_pass_write_index: Some(index),
                    end_of_pass_write_index: Some(self.query(end).1),
                }));
                begin
            }
        };
        self.open = Some(Open { span: self.span(label, workgroups, begin), encoder: false });
    }

    /// What a source does with the encoder: goes on, or begins. Passes with nothing in them
    /// write its timestamps.
    pub(crate) fn in_encoder(&mut self, mut place: Place<'_>) {
        if self.open.is_some_and(|open| open.encoder) {
            return;
        }
        self.end(Place { pass: place.pass, encoder: place.encoder });
        let label = self.named.unwrap_or_else(|| self.known(SOURCE));
        let begin = self.stamp();
        if self.stamps == Stamps::AroundPasses {
            self.stamp();
        }
        self.write_by_pass(begin, true, &mut place);
        self.fresh = None;
        self.open = Some(Open { span: self.span(label, None, begin), encoder: true });
    }

    /// Ends what is open.
    pub(crate) fn end(&mut self, mut place: Place<'_>) {
        let Some(Open { mut span, encoder }) = self.open.take() else { return };
        span.end = match (self.stamps, encoder) {
            (Stamps::InsidePasses, false) => {
                let end = self.write(&mut place);
                self.fresh = Some(end);
                end
            }
            (Stamps::AroundPasses, false) => {
                *place.pass = None;
                span.begin + 1
            }
            (stamps, true) => {
                let end = match stamps {
                    Stamps::InsidePasses => self.stamp(),
                    Stamps::AroundPasses => span.begin + 1,
                };
                self.write_by_pass(end, false, &mut place);
                end
            }
        };
        self.spans.push(span);
    }

    /// Ends a recording: its timestamps go to a buffer when the encoder is submitted, and the
    /// queries are free for the next one.
    ///
    /// # Errors
    /// No memory for them.
    pub(crate) fn take(&mut self, encoder: &mut wgpu::CommandEncoder) -> Result<Taken, GpuError> {
        let stamps = self.written;
        let set_bytes = u64::from(QUERIES) * STAMP;
        let mut resolved = None;
        if stamps > 0 {
            let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
            let buffer = self.gpu.buffer("times of dispatches", stamps as u64 * STAMP, usage)?;
            for (i, set) in self.sets.iter().enumerate() {
                let left = stamps.saturating_sub(i * QUERIES as usize).min(QUERIES as usize);
                if left > 0 {
                    encoder.resolve_query_set(set, 0..left as u32, &buffer, i as u64 * set_bytes);
                }
            }
            resolved = Some(buffer);
        }
        let spans = std::mem::take(&mut self.spans);
        let evaluations = std::mem::take(&mut self.evaluations);
        let attempts = self.attempt;
        self.forget();
        Ok(Taken { spans, evaluations, attempts, resolved, stamps })
    }

    /// Forgets a recording that nobody submits.
    pub(crate) fn forget(&mut self) {
        self.spans.clear();
        self.evaluations.clear();
        (self.written, self.attempt, self.inside) = (0, 0, false);
        (self.fresh, self.open, self.named) = (None, None, None);
    }
}
