//! Attempts by count and by time: what a user calls to train.

use super::course::Goal;
use super::{Optimizer, OptimizerError, Pace, SUBMITS_AHEAD};
use crate::device::waiting::Waiting;
use crate::error::Error;
use crate::kernels::settings::Settings;
use crate::reports::Progress;
use crate::source::GradientSource;

impl Optimizer {
    /// Sets where time ends for what is submitted or recorded from now on, until it is set
    /// again: the last step is clamped to it. `None`, the default: nowhere.
    ///
    /// [`Optimizer::run`] and [`Optimizer::step`] stop there, and wait for what they need to
    /// know for that. A goal beyond it is an error of [`Optimizer::run_accepted`] and
    /// [`Optimizer::run_until`]. What the host records beyond it changes nothing and reports
    /// nothing, but evaluates: [`Optimizer::evaluations`] counts that.
    ///
    /// # Errors
    /// [`OptimizerError::End`] for an end that is not finite or not ahead of
    /// [`Optimizer::time`].
    pub fn set_end(&mut self, t_end: Option<f64>) -> Result<(), Error> {
        if let Some(t_end) = t_end {
            self.check_ahead(t_end)?;
        }
        self.ledger.set_end(t_end.map(Settings::on_device));
        self.ledger.end_drive();
        self.lift_goal();
        Ok(())
    }

    fn check_ahead(&self, t_end: f64) -> Result<(), OptimizerError> {
        let now = self.reports.progress().time;
        match t_end > now && t_end < f64::from(f32::MAX) {
            true => Ok(()),
            false => Err(OptimizerError::End { t_end, now }),
        }
    }

    /// One attempt in a submit of its own. Does not wait for it, but where an end of time is
    /// set: [`Optimizer::set_end`].
    ///
    /// # Errors
    /// An error of the source: the attempt is not recorded, the state stays.
    pub fn step(&mut self, source: &mut impl GradientSource) -> Result<(), Error> {
        self.run(source, 1)
    }

    /// n attempts, in submits of some. Waits only to keep no more than two
    /// submits ahead of the device, and not for the last of them. Fewer than n where time
    /// ends: [`Optimizer::set_end`].
    ///
    /// # Errors
    /// An error of the source: the attempts before it are done, and the state
    /// is as if they had been all.
    pub fn run(&mut self, source: &mut impl GradientSource, n: u64) -> Result<(), Error> {
        pollster::block_on(self.run_with(source, n, Waiting::Blocks))
    }

    /// Runs as [`Optimizer::run`] does, without blocking. Natively each look at the future polls
    /// the device, without waiting. If it is dropped before its end, what was submitted
    /// still runs.
    ///
    /// # Errors
    /// As [`Optimizer::run`].
    pub async fn run_async(
        &mut self,
        source: &mut impl GradientSource,
        n: u64,
    ) -> Result<(), Error> {
        self.run_with(source, n, Waiting::Yields).await
    }

    async fn run_with(
        &mut self,
        source: &mut impl GradientSource,
        n: u64,
        waiting: Waiting,
    ) -> Result<(), Error> {
        self.end_drive();
        self.run_on(source, n, waiting).await
    }

    pub(super) async fn run_on(
        &mut self,
        source: &mut impl GradientSource,
        n: u64,
        waiting: Waiting,
    ) -> Result<(), Error> {
        if self.ledger.end().is_some() {
            self.wait_with(waiting).await?;
            let until = self.reports.progress().attempts.saturating_add(n);
            return self.drive(source, Goal::Attempts(until), waiting).await;
        }
        let mut left = n;
        while left > 0 {
            self.choose_stages(source, waiting).await?;
            self.know_opening(waiting).await?;
            let now = left.min(u64::from(self.attempts_per_submit())) as u32;
            self.submit(source, now)?;
            self.settle(if self.pace == Pace::Wait { 0 } else { SUBMITS_AHEAD }, waiting).await?;
            left -= u64::from(now);
        }
        Ok(())
    }

    /// Attempts until n more were accepted. Waits for the last of them.
    ///
    /// # Errors
    /// As [`Optimizer::run`], and [`OptimizerError::Stalled`] after 1,000
    /// attempts in a row without an accepted one, [`OptimizerError::Standing`] after as many
    /// whose h, by a rule, moves nothing. [`OptimizerError::EndReached`] where the end of
    /// [`Optimizer::set_end`] comes first.
    pub fn run_accepted(&mut self, source: &mut impl GradientSource, n: u64) -> Result<(), Error> {
        pollster::block_on(self.run_accepted_with(source, n, Waiting::Blocks))
    }

    /// Runs as [`Optimizer::run_accepted`] does, without blocking.
    ///
    /// # Errors
    /// As [`Optimizer::run_accepted`].
    pub async fn run_accepted_async(
        &mut self,
        source: &mut impl GradientSource,
        n: u64,
    ) -> Result<(), Error> {
        self.run_accepted_with(source, n, Waiting::Yields).await
    }

    async fn run_accepted_with(
        &mut self,
        source: &mut impl GradientSource,
        n: u64,
        waiting: Waiting,
    ) -> Result<(), Error> {
        self.end_drive();
        self.wait_with(waiting).await?;
        let goal = self.reports.progress().accepted.saturating_add(n);
        // The device counts in 32 bits; more than 2³¹ steps go in pieces.
        const PIECE: u64 = 1 << 31;
        while self.reports.progress().accepted < goal {
            let mut until = goal.min(self.reports.progress().accepted + PIECE);
            if until as u32 == u32::MAX {
                // That is no limit.
                until = if until < goal { until - 1 } else { until };
            }
            self.settings.accepted_limit = until as u32;
            let wanted = n.saturating_sub(goal - until);
            self.drive(source, Goal::Accepted { until, wanted }, waiting).await?;
        }
        Ok(())
    }

    /// Integrates until time `t_end`; the last step is clamped to hit it. Waits
    /// for the last attempt.
    ///
    /// # Errors
    /// As [`Optimizer::run_accepted`], and [`OptimizerError::End`] for a
    /// `t_end` that is not finite or not ahead of [`Optimizer::time`],
    /// [`OptimizerError::BeyondEnd`] for one beyond [`Optimizer::set_end`]'s. Before anything
    /// runs, [`IngredientError::Unreached`](crate::error::IngredientError) where a
    /// schedule's step sizes do not add up to it.
    pub fn run_until(&mut self, source: &mut impl GradientSource, t_end: f64) -> Result<(), Error> {
        pollster::block_on(self.run_until_with(source, t_end, Waiting::Blocks))
    }

    /// Runs as [`Optimizer::run_until`] does, without blocking.
    ///
    /// # Errors
    /// As [`Optimizer::run_until`].
    pub async fn run_until_async(
        &mut self,
        source: &mut impl GradientSource,
        t_end: f64,
    ) -> Result<(), Error> {
        self.run_until_with(source, t_end, Waiting::Yields).await
    }

    async fn run_until_with(
        &mut self,
        source: &mut impl GradientSource,
        t_end: f64,
        waiting: Waiting,
    ) -> Result<(), Error> {
        self.end_drive();
        self.wait_with(waiting).await?;
        self.check_ahead(t_end)?;
        if let Some(end) = self.ledger.end().filter(|end| Settings::on_device(t_end) > *end) {
            return Err(OptimizerError::BeyondEnd { t_end, end }.into());
        }
        if self.plan().ingredients().adaptive.is_none() {
            let Progress { accepted, time, .. } = self.reports.progress();
            self.step_size.check_end(accepted, time, t_end)?;
        }
        self.settings.set_end(Some(t_end));
        self.drive(source, Goal::End, waiting).await
    }
}
