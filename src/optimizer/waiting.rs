//! Waits of the host for the device, and what it learns by them.

use futures_intrusive::channel::shared::OneshotReceiver;
use tracing::Instrument as _;

use super::profile::Profiling;
use super::{Optimizer, OptimizerError};
use crate::codes::failure;
use crate::device::GpuError;
use crate::device::waiting::{Waiting, pause};
use crate::error::Error;
use crate::reports::{OnItsWay, Progress};

/// One submit that may still be running.
#[derive(Debug)]
pub(super) struct Fence {
    pub(super) index: wgpu::SubmissionIndex,
    pub(super) done: OneshotReceiver<()>,
    pub(super) copy: Option<OnItsWay>,
}

impl Optimizer {
    /// Waits until everything submitted has run and its reports are here.
    ///
    /// # Errors
    /// A lost device.
    pub fn wait(&mut self) -> Result<(), Error> {
        pollster::block_on(self.wait_with(Waiting::Blocks))
    }

    /// Waits as [`Optimizer::wait`] does, without blocking.
    ///
    /// # Errors
    /// As [`Optimizer::wait`].
    pub async fn wait_async(&mut self) -> Result<(), Error> {
        self.wait_with(Waiting::Yields).await
    }

    pub(super) async fn wait_with(&mut self, waiting: Waiting) -> Result<(), Error> {
        // What the host submitted has no fence of ours: this one is behind it.
        let encoder = self.gpu.device().create_command_encoder(&Default::default());
        self.submit_encoder(encoder, None);
        self.settle(0, waiting).await?;
        // All copies of the ring may have been on their way when the last
        // attempts were recorded. Now they are back.
        let encoder = self.gpu.device().create_command_encoder(&Default::default());
        self.fetch(encoder, waiting).await?;
        self.ledger.waited(&self.reports.progress());
        Ok(())
    }

    /// Submits, and waits until all is done and the ring is here.
    pub(super) async fn fetch(
        &mut self,
        mut encoder: wgpu::CommandEncoder,
        waiting: Waiting,
    ) -> Result<(), Error> {
        // Copies that are done may still be in the hands of another thread that
        // polls; those of an encoder that was never submitted stay away.
        const TRIES: usize = 1000;
        let mut arrived = self.reports.record_copy(&self.state, &mut encoder, None);
        for _ in 0..TRIES {
            if arrived.is_some() {
                break;
            }
            pause(waiting).await;
            self.reports.collect()?;
            arrived = self.reports.record_copy(&self.state, &mut encoder, None);
        }
        self.submit_encoder(encoder, None);
        self.settle(0, waiting).await?;
        if let Some(copy) = arrived {
            copy.arrived.receive().await;
        }
        self.take_reports()
    }

    /// Waits until at most `ahead` submits are unfinished; takes in reports.
    pub(super) async fn settle(&mut self, ahead: usize, waiting: Waiting) -> Result<(), Error> {
        let lost = || GpuError::DeviceLost { during: "waiting for a submit" };
        while self.in_flight.len() > ahead {
            let Some(fence) = self.in_flight.pop_front() else { break };
            let span = tracing::trace_span!("wait", optimizer = self.id);
            let began = self.profiling.as_ref().map(Profiling::now);
            let done = self.gpu.wait_for(fence.index, fence.done.receive(), waiting);
            done.instrument(span).await.ok_or_else(lost)?;
            if let (Some(profiling), Some(began)) = (&mut self.profiling, began) {
                profiling.did("wait", began);
            }
            if let Some(copy) = fence.copy
                && self.ledger.listens()
            {
                copy.arrived.receive().await;
                self.reports.collect()?;
                self.ledger.learn(self.reports.control(copy.age));
            }
        }
        self.take_reports()
    }

    /// Takes in the reports that are here; an error of the run, if they tell
    /// of one.
    fn take_reports(&mut self) -> Result<(), Error> {
        self.reports.collect()?;
        let Progress { failure, restart, last_h, last_error, rejections, next_h, time, .. } =
            self.reports.progress();
        let error = last_error;
        match failure {
            _ if restart != self.settings.restart => Ok(()),
            failure::NO_FAILURE => Ok(()),
            failure::TOO_SMALL => {
                let h_min = self.settings.h_min;
                Err(OptimizerError::StepSizeUnderflow { h: next_h, h_min, error }.into())
            }
            failure::TOO_MANY_REFUSED => {
                Err(OptimizerError::TooManyRejections { rejections, h: last_h, error }.into())
            }
            _ => {
                let remedy = "Raise rtol, atol or h_min, or take a method for stiff problems";
                Err(OptimizerError::Standing { h: last_h, time, attempts: 1, remedy }.into())
            }
        }
    }
}
