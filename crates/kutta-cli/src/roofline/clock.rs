//! Time on the device by its timestamps, and on the wall.

use std::error::Error;
use std::time::Instant;

use kutta::{Gpu, wgpu};

/// One submit, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// From the start of its compute pass to the end; `None` if the device has no
    /// timestamps or gave impossible ones.
    pub gpu: Option<f64>,
    /// From the start of recording until the device is done.
    pub wall: f64,
}

pub struct Clock {
    gpu: Gpu,
    timestamps: Option<Timestamps>,
    /// Pairs of timestamps that were no time.
    pub discarded: u64,
}

struct Timestamps {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    read: wgpu::Buffer,
    /// Nanoseconds a tick.
    period: f64,
}

const BYTES: u64 = 16;

impl Clock {
    /// By timestamps where the device was opened with them.
    pub fn new(gpu: &Gpu) -> Self {
        let device = gpu.device();
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("timestamps"),
                size: BYTES,
                usage,
                mapped_at_creation: false,
            })
        };
        use wgpu::BufferUsages as Usage;
        let has = device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        let timestamps = has.then(|| Timestamps {
            queries: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            }),
            resolved: buffer(Usage::QUERY_RESOLVE | Usage::COPY_SRC),
            read: buffer(Usage::MAP_READ | Usage::COPY_DST),
            period: f64::from(gpu.queue().get_timestamp_period()),
        });
        Self { gpu: gpu.clone(), timestamps, discarded: 0 }
    }

    pub fn has_timestamps(&self) -> bool {
        self.timestamps.is_some()
    }

    /// Records one pass, submits it and waits for it.
    ///
    /// # Errors
    /// A lost device.
    pub fn time(
        &mut self,
        record: impl FnOnce(&mut wgpu::ComputePass<'_>),
    ) -> Result<Sample, Box<dyn Error>> {
        let start = Instant::now();
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        let descriptor = self.pass(Some(0), Some(1));
        record(&mut encoder.begin_compute_pass(&descriptor));
        self.finish(start, encoder)
    }

    /// Records whatever goes into an encoder, submits it and waits for it. The device's time is
    /// that from the end of an empty pass before it to the end of one behind it.
    ///
    /// # Errors
    /// A lost device, and what recording fails with.
    pub fn time_commands(
        &mut self,
        record: impl FnOnce(&mut wgpu::CommandEncoder) -> Result<(), kutta::Error>,
    ) -> Result<Sample, Box<dyn Error>> {
        let start = Instant::now();
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        drop(encoder.begin_compute_pass(&self.pass(None, Some(0))));
        record(&mut encoder)?;
        drop(encoder.begin_compute_pass(&self.pass(None, Some(1))));
        self.finish(start, encoder)
    }

    /// A pass that writes timestamps where it begins and where it ends.
    fn pass(&self, begin: Option<u32>, end: Option<u32>) -> wgpu::ComputePassDescriptor<'_> {
        let timestamp_writes =
            self.timestamps.as_ref().map(|timestamps| wgpu::ComputePassTimestampWrites {
                query_set: &timestamps.queries,
                beginning_of_pass_write_index: begin,
                end_of_pass_write_index: end,
            });
        wgpu::ComputePassDescriptor { label: None, timestamp_writes }
    }

    fn finish(
        &mut self,
        start: Instant,
        mut encoder: wgpu::CommandEncoder,
    ) -> Result<Sample, Box<dyn Error>> {
        let device = self.gpu.device();
        if let Some(Timestamps { queries, resolved, read, .. }) = &self.timestamps {
            encoder.resolve_query_set(queries, 0..2, resolved, 0);
            encoder.copy_buffer_to_buffer(resolved, 0, read, 0, BYTES);
        }
        self.gpu.queue().submit([encoder.finish()]);
        device.poll(wgpu::PollType::wait_indefinitely())?;
        let wall = start.elapsed().as_secs_f64();
        let gpu = match &self.timestamps {
            None => None,
            Some(timestamps) => {
                let ticks = read(device, &timestamps.read)?;
                let seconds = between(ticks, timestamps.period);
                self.discarded += u64::from(seconds.is_none());
                seconds
            }
        };
        Ok(Sample { gpu, wall })
    }
}

fn read(device: &wgpu::Device, buffer: &wgpu::Buffer) -> Result<[u64; 2], Box<dyn Error>> {
    let slice = buffer.slice(..);
    slice.map_async(wgpu::MapMode::Read, |_| {});
    device.poll(wgpu::PollType::wait_indefinitely())?;
    let mut ticks = [0; 2];
    {
        let mapped = slice.get_mapped_range()?;
        for (tick, bytes) in ticks.iter_mut().zip(mapped.chunks_exact(8)) {
            *tick = u64::from_le_bytes(bytes.try_into()?);
        }
    }
    buffer.unmap();
    Ok(ticks)
}

/// Seconds between two ticks. Some drivers give zeros, or an end before the start.
fn between([start, end]: [u64; 2], period: f64) -> Option<f64> {
    let seconds = end.checked_sub(start)? as f64 * period * 1e-9;
    (seconds > 0.0 && seconds.is_finite()).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_timestamps_are_no_time() {
        let near =
            |found: Option<f64>, seconds: f64| (found.unwrap() / seconds - 1.0).abs() < 1e-12;
        assert!(near(between([1_000, 3_000], 1.0), 2e-6));
        assert!(near(between([0, 100], 41.5), 4.15e-6));
        for ticks in [[0, 0], [5, 5], [6, 5], [u64::MAX, 0]] {
            assert_eq!(between(ticks, 1.0), None, "{ticks:?}");
        }
        assert_eq!(between([0, 100], 0.0), None);
        assert_eq!(between([0, 100], f64::NAN), None);
    }

    #[test]
    fn an_empty_pass_takes_some_time_on_the_wall() {
        let mut clock = Clock::new(&Gpu::new().unwrap());
        assert!(!clock.has_timestamps());
        let sample = clock.time(|_| ()).unwrap();
        assert!(sample.gpu.is_none() && sample.wall > 0.0 && clock.discarded == 0);
    }
}
