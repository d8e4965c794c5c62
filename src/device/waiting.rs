//! Waiting for the device: by blocking, or by letting others go on.

use std::future::poll_fn;
use std::ops::Range;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::{Gpu, GpuError};

/// The way a wait passes the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// The thread sleeps until the device is there.
    Blocks,
    /// The future is pending. Each look at it polls the device, without waiting, and
    /// natively asks to be looked at again; a browser's callbacks come by themselves.
    Yields,
}

/// Gives the result of a future that has nothing to wait for.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Lets others go on once.
pub(crate) async fn pause(waiting: Waiting) {
    if waiting == Waiting::Blocks {
        return std::thread::yield_now();
    }
    let mut looked = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut looked, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Gpu {
    /// Copies a range out of a buffer with COPY_SRC. Blocks.
    pub(crate) async fn read_buffer(
        &self,
        buffer: &wgpu::Buffer,
        range: Range<u64>,
    ) -> Result<Vec<u8>, GpuError> {
        self.fetch_buffer(buffer, range, Waiting::Blocks).await
    }

    /// Copies a range out of a buffer with COPY_SRC.
    pub(crate) async fn fetch_buffer(
        &self,
        buffer: &wgpu::Buffer,
        range: Range<u64>,
        waiting: Waiting,
    ) -> Result<Vec<u8>, GpuError> {
        const PIECE: u64 = 64 << 20;
        let lost = || GpuError::DeviceLost { during: "reading a buffer" };
        let mut out = Vec::with_capacity((range.end - range.start) as usize);
        let piece = PIECE.min((range.end - range.start).next_multiple_of(4));
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let staging = self.buffer("read back", piece, usage)?;
        let mut start = range.start;
        while start < range.end {
            let bytes = piece.min(range.end - start);
            let (sender, receiver) = futures_intrusive::channel::shared::oneshot_channel::<bool>();
            // On a lost device the staging buffer is none, which only these calls tell.
            let (index, failed) = self.scoped(wgpu::ErrorFilter::Validation, || {
                let mut encoder = self.device().create_command_encoder(&Default::default());
                encoder.copy_buffer_to_buffer(buffer, start, &staging, 0, bytes);
                let index = self.queue().submit([encoder.finish()]);
                staging.slice(..bytes).map_async(wgpu::MapMode::Read, move |result| {
                    // The receiver is gone only if the caller dropped the future.
                    let _ = sender.send(result.is_ok());
                });
                index
            });
            if failed {
                return Err(lost());
            }
            if self.wait_for(index, receiver.receive(), waiting).await != Some(true) {
                return Err(lost());
            }
            let mapped = staging.slice(..bytes).get_mapped_range().map_err(|_| lost())?;
            out.extend_from_slice(&mapped);
            drop(mapped);
            staging.unmap();
            start += bytes;
        }
        Ok(out)
    }

    /// Waits for what the callback of a submission sends to `receive`; `None` if the
    /// device is lost.
    pub(crate) async fn wait_for<T>(
        &self,
        index: wgpu::SubmissionIndex,
        receive: impl Future<Output = Option<T>>,
        waiting: Waiting,
    ) -> Option<T> {
        let mut receive = pin!(receive);
        if waiting == Waiting::Yields {
            return poll_fn(|cx| {
                if let Poll::Ready(sent) = receive.as_mut().poll(cx) {
                    return Poll::Ready(sent);
                }
                if cfg!(target_arch = "wasm32") {
                    return Poll::Pending;
                }
                if self.device().poll(wgpu::PollType::Poll).is_err() {
                    return Poll::Ready(None);
                }
                let sent = receive.as_mut().poll(cx);
                if sent.is_pending() {
                    // A thread that only asks would keep a software adapter from its work.
                    std::thread::yield_now();
                    cx.waker().wake_by_ref();
                }
                sent
            })
            .await;
        }
        let wait = wgpu::PollType::Wait { submission_index: Some(index), timeout: None };
        self.device().poll(wait).ok()?;
        if let Poll::Ready(sent) = poll_fn(|cx| Poll::Ready(receive.as_mut().poll(cx))).await {
            return sent;
        }
        // wgpu hangs a callback on the newest submission there is when it is
        // registered. That is another thread's, if that thread submitted in
        // between; nobody but us is bound to poll the device past it.
        self.device().poll(wgpu::PollType::wait_indefinitely()).ok()?;
        receive.await
    }
}
