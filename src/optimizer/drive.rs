//! Drives: attempts until a count or a time. Each ends, for what it asks of the device moves
//! it on or is an error; and it asks for next to none that would be idle, which evaluate too.
//!
//! What a drive knows is the control block at the end of the newest submit that it waited
//! for, never what happens to have arrived since: every run is the same.

use super::{MOST_FRUITLESS, Optimizer, OptimizerError, Pace, SUBMITS_AHEAD};
use crate::device::waiting::Waiting;
use crate::error::Error;
use crate::ingredients::Rule;
use crate::reports::Progress;
use crate::source::GradientSource;

/// Part of the attempts made so far that a drive ventures beyond those that are surely not
/// idle: so that it can stay ahead of the device where h has settled.
const VENTURED: u64 = 8;

/// The part of its estimate of the attempts left that a drive stays below.
const ESTIMATED: f64 = 0.5;

/// Allowances from which on half of one is a submit: the device works on one half while the
/// host hears of the other.
const HALVED: u64 = 8;

/// The goal at which a drive ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Goal {
    /// So many attempts in all, or the end of time.
    Attempts(u64),
    /// So many accepted ones in all, the last `wanted` of them by this drive.
    Accepted { until: u64, wanted: u64 },
    /// The end of time.
    End,
}

/// Step sizes that are to come, as far as anything bounds them: h, at most `factor` times it
/// in the next attempt, and never more than `most`.
struct Bound {
    h: f64,
    factor: f64,
    most: f64,
}

impl Bound {
    /// The course when nothing is known.
    const NONE: Self = Self { h: f64::INFINITY, factor: 1.0, most: f64::INFINITY };

    /// Attempts, at most `enough`, before any of which time cannot be over.
    fn attempts(&self, left: f64, enough: u64) -> u64 {
        let (mut h, mut sum) = (self.h.min(self.most), 0.0);
        for n in 1..=enough {
            // What f32 makes of it, and a last step that takes a little more.
            sum += h * (1.0 + 1e-6);
            if sum >= left {
                return n;
            }
            h = (h * self.factor).min(self.most);
        }
        enough
    }
}

/// The knowledge that a drive goes by.
struct Course {
    begun: Progress,
    /// Exact, after some of the attempts asked for.
    known: Progress,
    /// The factor of h from attempt to attempt, between the last two times that something
    /// was known.
    growth: Option<f64>,
    /// Attempts asked for, those before this drive among them.
    asked: u64,
}

impl Course {
    fn learn(&mut self, known: Progress) {
        let attempts = known.attempts.saturating_sub(self.known.attempts);
        let [before, now] = [self.known, known].map(|p| f64::from(p.applied_h));
        // What was before this drive may have had other settings.
        let compared = attempts > 0 && self.known.attempts > self.begun.attempts;
        if compared && before > 0.0 && now > 0.0 {
            self.growth = Some((now / before).powf(1.0 / attempts as f64).max(1.0));
        }
        self.known = known;
    }

    fn under_way(&self) -> u64 {
        self.asked.saturating_sub(self.known.attempts)
    }

    /// Attempts that were made for nothing, as of what is known.
    fn idle(&self) -> u64 {
        let judged = |p: &Progress| p.accepted + p.skipped + p.refused;
        let judged = judged(&self.known).saturating_sub(judged(&self.begun));
        self.known.attempts.saturating_sub(self.begun.attempts).saturating_sub(judged)
    }
}

impl Optimizer {
    /// Begins a drive: until `end_drive`, attempts beyond a goal change nothing.
    pub(super) fn begin_drive(&mut self) {
        self.driven = true;
        self.landed = None;
        self.write_settings();
    }

    /// Lifts the goal of the last drive, also if its future was dropped in the middle. The
    /// end that a user set stays.
    pub(super) fn end_drive(&mut self) {
        if std::mem::take(&mut self.driven) {
            self.settings.accepted_limit = u32::MAX;
            self.settings.set_end(self.end);
            self.write_settings();
        }
    }

    /// Attempts until the goal, from a state that is known: after a `wait`.
    pub(super) async fn drive(
        &mut self,
        source: &mut impl GradientSource,
        goal: Goal,
        waiting: Waiting,
    ) -> Result<(), Error> {
        let begun = self.reports.progress();
        let mut course = Course { begun, known: begun, growth: None, asked: begun.attempts };
        loop {
            self.choose_stages(source, waiting).await?;
            self.know_opening(waiting).await?;
            if let Some(control) = self.landed {
                course.learn(self.reports.progress_at(&control));
            }
            if self.is_over(goal, &course) {
                return match goal {
                    Goal::Attempts(_) => Ok(()),
                    _ => self.settle(0, waiting).await,
                };
            }
            if self.left(&course.known) == Some(0.0) {
                self.settle(0, waiting).await?;
                return match goal {
                    Goal::Accepted { until, wanted } => {
                        let end = self.settings.end();
                        let accepted = (course.known.accepted + wanted).saturating_sub(until);
                        Err(OptimizerError::EndReached { end, accepted, wanted }.into())
                    }
                    _ => Ok(()),
                };
            }
            self.check_progress(goal, &course)?;
            let per_submit = u64::from(self.attempts_per_submit());
            let allowed = self.allowed(goal, &course, course.under_way() + per_submit);
            let wanted = allowed.saturating_sub(course.under_way());
            if wanted == 0 {
                // What became of those under way decides.
                if self.in_flight.is_empty() {
                    // No copy of the ring was free to tell.
                    self.wait_with(waiting).await?;
                    course.learn(self.reports.progress());
                    course.asked = course.known.attempts;
                }
                self.settle(0, waiting).await?;
                continue;
            }
            let half = if self.is_uncertain() && allowed >= HALVED { allowed / 2 } else { allowed };
            let now = wanted.min(per_submit).min(half) as u32;
            self.submit(source, now)?;
            course.asked += u64::from(now);
            match self.pace {
                Pace::Wait => self.settle(0, waiting).await?,
                // Choosing stages waits.
                Pace::Ahead if self.paced() => {}
                Pace::Ahead => self.settle(SUBMITS_AHEAD - 1, waiting).await?,
            }
        }
    }

    fn is_over(&self, goal: Goal, course: &Course) -> bool {
        match goal {
            Goal::Attempts(until) => course.asked >= until,
            Goal::Accepted { until, .. } => course.known.accepted >= until,
            Goal::End => false,
        }
    }

    /// Time left until its end, if it has one.
    fn left(&self, known: &Progress) -> Option<f64> {
        let end = self.settings.end();
        (end < f64::from(f32::MAX)).then(|| (end - known.time).max(0.0))
    }

    /// Attempts in a row that got nowhere.
    fn check_progress(&self, goal: Goal, course: &Course) -> Result<(), OptimizerError> {
        let Progress { fruitless, standing, last_h, time, .. } = self.reports.progress();
        let attempts = fruitless.max(course.idle());
        if attempts >= MOST_FRUITLESS {
            return Err(OptimizerError::Stalled { attempts, at: self.reports.not_finite() });
        }
        // A count is reached by steps of a schedule whatever they are.
        let counted = goal != Goal::End && self.step_size.rule().is_none();
        if standing >= MOST_FRUITLESS && !counted && !matches!(goal, Goal::Attempts(_)) {
            let remedy = match self.step_size.rule() {
                Some(_) => "The rule gives no more than that here: stop, or take another one",
                None => "Take an end before that, or larger step sizes",
            };
            return Err(OptimizerError::Standing { h: last_h, time, attempts: standing, remedy });
        }
        Ok(())
    }

    /// Tells whether the h to come depends on what attempts will see.
    fn is_uncertain(&self) -> bool {
        let ingredients = self.plan().ingredients();
        ingredients.adaptive.is_some() || ingredients.rule.is_some()
    }

    /// Attempts to ask for after what is known, at most `enough` or so: those that are surely
    /// not idle, and a share of what seems to be left.
    fn allowed(&self, goal: Goal, course: &Course, enough: u64) -> u64 {
        let known = &course.known;
        let wanted = match goal {
            Goal::Attempts(until) => until.saturating_sub(known.attempts),
            Goal::Accepted { until, .. } => until.saturating_sub(known.accepted),
            Goal::End => u64::MAX,
        };
        let Some(left) = self.left(known) else { return wanted };
        let enough = enough.min(wanted);
        if !self.is_uncertain() {
            return self.step_size.steps_to(known.accepted, left, enough);
        }
        let sure = self.bound(known).attempts(left, enough);
        let adaptive = self.plan().ingredients().adaptive.is_some();
        let h = f64::from(if adaptive { self.next_h(known) } else { known.applied_h });
        let Some(growth) = course.growth.filter(|_| h > 0.0) else { return sure };
        let estimate = Bound { h, factor: growth, most: f64::INFINITY };
        let twice = (enough as f64 / ESTIMATED).ceil() as u64;
        let seems = (ESTIMATED * estimate.attempts(left, twice) as f64) as u64;
        let made = known.attempts.saturating_sub(course.begun.attempts);
        sure.max(seems.min(sure + made / VENTURED)).min(wanted)
    }

    /// The h that the controller takes next, or 0 where the device has yet to find it.
    fn next_h(&self, known: &Progress) -> f32 {
        match known.restart == self.settings.restart {
            true => known.next_h,
            false => self.settings.first_h,
        }
    }

    fn bound(&self, known: &Progress) -> Bound {
        let ingredients = self.plan().ingredients();
        if let Some(adaptive) = ingredients.adaptive {
            let h = f64::from(self.next_h(known));
            let most = f64::from(self.settings.h_max).max(h);
            return match h > 0.0 {
                true => Bound { h, factor: adaptive.most_growth(), most },
                false => Bound::NONE,
            };
        }
        match self.step_size.rule() {
            Some(
                Rule::Dal { h_max: most, .. }
                | Rule::RescaledDal { c: most, .. }
                | Rule::Polyak { h_max: most }
                | Rule::Stable { h_max: most, .. },
            ) => Bound { h: most, factor: 1.0, most },
            // The next h may be any.
            Some(Rule::SgdG2 { .. }) | None => Bound::NONE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_count_attempts_before_any_of_which_time_is_not_over() {
        let growing = Bound { h: 1.0, factor: 10.0, most: f64::INFINITY };
        // 1, 11, 111.
        for (left, attempts) in [(0.5, 1), (1.0, 1), (1.1, 2), (10.9, 2), (11.1, 3), (111.1, 4)] {
            assert_eq!(growing.attempts(left, 100), attempts, "{left}");
        }
        assert_eq!(growing.attempts(1e30, 7), 7);
        let bounded = Bound { h: 1.0, factor: 10.0, most: 5.0 };
        // 1, 6, 11, 16.
        assert_eq!(bounded.attempts(15.0, 100), 4);
        let constant = Bound { h: 0.1, factor: 1.0, most: 0.1 };
        assert_eq!(constant.attempts(1.0, 100), 10);
        assert_eq!(Bound::NONE.attempts(1e300, 100), 1);
    }
}
