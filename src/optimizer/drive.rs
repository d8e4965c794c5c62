//! Drives: attempts until a count or a time. Each ends, for what it asks of the device moves
//! it on or is an error; and it asks for next to none that would be idle, which evaluate too.
//!
//! What a drive knows is the control block at the end of the newest submit that it waited
//! for, never what happens to have arrived since: every run is the same.

use super::course::{Course, Goal, Steps};
use super::{Optimizer, OptimizerError, Pace, SUBMITS_AHEAD};
use crate::codes::limit::NO_LIMIT;
use crate::device::waiting::Waiting;
use crate::error::Error;
use crate::source::GradientSource;

impl Optimizer {
    /// Lifts the goal of the last drive, also if its future was dropped in the middle. The
    /// end that a user set stays.
    pub(super) fn end_drive(&mut self) {
        if self.ledger.end_drive() {
            self.lift_goal();
        }
    }

    /// Leaves the device no goal but the end that a user set.
    pub(super) fn lift_goal(&mut self) {
        self.settings.accepted_limit = NO_LIMIT;
        self.settings.set_end(self.ledger.end());
        self.write_settings();
    }

    /// Attempts until the goal, from a state that is known: after a `wait`. Until it ends,
    /// attempts beyond the goal change nothing.
    pub(super) async fn drive(
        &mut self,
        source: &mut impl GradientSource,
        goal: Goal,
        waiting: Waiting,
    ) -> Result<(), Error> {
        self.ledger.begin_drive();
        self.write_settings();
        let result = self.drive_on(source, goal, waiting).await;
        self.end_drive();
        result
    }

    async fn drive_on(
        &mut self,
        source: &mut impl GradientSource,
        goal: Goal,
        waiting: Waiting,
    ) -> Result<(), Error> {
        let mut course = Course::new(goal, self.reports.progress());
        loop {
            self.choose_stages(source, waiting).await?;
            self.know_opening(waiting).await?;
            if let Some(control) = self.ledger.landed() {
                course.learn(self.reports.progress_at(control));
            }
            if course.is_over() {
                return match goal {
                    Goal::Attempts(_) => Ok(()),
                    _ => self.settle(0, waiting).await,
                };
            }
            if self.steps().left(course.known()) == Some(0.0) {
                self.settle(0, waiting).await?;
                return match goal {
                    Goal::Accepted { until, wanted } => {
                        let end = self.settings.end();
                        let accepted = (course.known().accepted + wanted).saturating_sub(until);
                        Err(OptimizerError::EndReached { end, accepted, wanted }.into())
                    }
                    _ => Ok(()),
                };
            }
            let at = || self.reports.not_finite();
            course.check(&self.reports.progress(), at, &self.step_size)?;
            let now = course.next(self.steps(), self.attempts_per_submit());
            if now == 0 {
                // What became of those under way decides.
                if self.in_flight.is_empty() {
                    // No copy of the ring was free to tell.
                    self.wait_with(waiting).await?;
                    course.learn_all(self.reports.progress());
                }
                self.settle(0, waiting).await?;
                continue;
            }
            self.submit(source, now)?;
            course.ask(now);
            match self.pace {
                Pace::Wait => self.settle(0, waiting).await?,
                // Choosing stages waits.
                Pace::Ahead if self.ledger.chained() => {}
                Pace::Ahead => self.settle(SUBMITS_AHEAD - 1, waiting).await?,
            }
        }
    }

    fn steps(&self) -> Steps<'_> {
        let ingredients = self.plan().ingredients();
        Steps { settings: &self.settings, step_size: &self.step_size, ingredients }
    }
}
