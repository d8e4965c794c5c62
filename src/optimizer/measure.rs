//! A measurement: L(θ) and ‖g‖, with no attempt.

use super::Optimizer;
use crate::device::GpuError;
use crate::device::commands::Commands;
use crate::device::waiting::Waiting;
use crate::error::Error;
use crate::recorder::Context;
use crate::reports::Report;
use crate::source::GradientSource;

impl Optimizer {
    /// Gives L(θ) and ‖g‖ at the parameters, on the batch that comes next: g = ∇L(θ), or
    /// ∇L(θ) + λθ with [`Builder::l2`](super::Builder::l2), as in [`Report::grad_norm`]. Counts an evaluation
    /// and takes a number among attempts, so that [`Report::attempt`] skips one; θ, the
    /// state, time and the batch cursor stay as they are. Waits.
    ///
    /// # Errors
    /// An error of the source, or a lost device.
    pub fn measure(&mut self, source: &mut impl GradientSource) -> Result<Report, Error> {
        pollster::block_on(self.measure_with(source, Waiting::Blocks))
    }

    /// Measures as [`Optimizer::measure`] does, without blocking.
    ///
    /// # Errors
    /// As [`Optimizer::measure`].
    pub async fn measure_async(
        &mut self,
        source: &mut impl GradientSource,
    ) -> Result<Report, Error> {
        self.measure_with(source, Waiting::Yields).await
    }

    async fn measure_with(
        &mut self,
        source: &mut impl GradientSource,
        waiting: Waiting,
    ) -> Result<Report, Error> {
        self.end_drive();
        self.check_fits(source, true)?;
        self.wait_with(waiting).await?;
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        let mut pass = None;
        let mut commands = Commands::new(&mut encoder, &mut pass);
        self.recorder().begin(&mut commands);
        let (gpu, state) = (&self.gpu, &self.state);
        let cursor = Some(self.reports.progress().cursor());
        let context = Context { gpu, optimizer: self.id, state, cursor, commands, source };
        let result = self.recorder().measurement(context);
        drop(pass);
        result?;
        self.ledger.measured();
        self.fetch(encoder, waiting).await?;
        let lost = GpuError::DeviceLost { during: "measuring the loss" };
        Ok(self.reports.take_measured().ok_or(lost)?)
    }
}
