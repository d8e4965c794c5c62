//! Measures how long recorded work took, by the device's own clock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Gpu, GpuError};

/// Two timestamps: where the first pass of a recording begins, and where its last ends.
#[derive(Debug)]
pub(crate) struct Timer {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    /// Nanoseconds of a tick.
    period: f64,
}

/// Begin and end, in ticks.
pub(crate) const STAMPS_BYTES: u64 = 16;

impl Timer {
    /// `None` on a device without timestamps.
    pub(crate) fn new(gpu: &Gpu) -> Result<Option<Self>, GpuError> {
        if !Self::wanted(gpu) {
            return Ok(None);
        }
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        Ok(Some(Self {
            queries: gpu.device().create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("time of attempts"),
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            }),
            resolved: gpu.buffer("time of attempts", STAMPS_BYTES, usage)?,
            period: f64::from(gpu.queue().get_timestamp_period()),
        }))
    }

    pub(crate) fn wanted(gpu: &Gpu) -> bool {
        gpu.device().features().contains(wgpu::Features::TIMESTAMP_QUERY)
    }

    /// Puts the timestamps of what was recorded into a buffer.
    pub(crate) fn resolve(&self, encoder: &mut wgpu::CommandEncoder, to: &wgpu::Buffer, at: u64) {
        encoder.resolve_query_set(&self.queries, 0..2, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, to, at, STAMPS_BYTES);
    }

    /// The time between two stamps; `None` where a clock has gone backwards.
    pub(crate) fn between(&self, [begin, end]: [u64; 2]) -> Option<Duration> {
        let ticks = end.checked_sub(begin)?;
        Some(Duration::from_nanos((ticks as f64 * self.period) as u64))
    }
}

/// A recording that is timed.
#[derive(Clone, Copy)]
pub(crate) struct Timing<'a> {
    pub(crate) timer: &'a Timer,
    /// There was a pass already.
    pub(crate) begun: &'a AtomicBool,
}

impl<'a> Timing<'a> {
    /// Gives the timestamps for the next pass. Each takes the end over from the one before.
    pub(crate) fn writes(self) -> wgpu::ComputePassTimestampWrites<'a> {
        let begun = self.begun.swap(true, Ordering::Relaxed);
        wgpu::ComputePassTimestampWrites {
            query_set: &self.timer.queries,
            beginning_of_pass_write_index: (!begun).then_some(0),
            end_of_pass_write_index: Some(1),
        }
    }
}
