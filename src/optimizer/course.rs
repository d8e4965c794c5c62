//! The course of a drive: what it believes of the attempts to come, and so how many it asks for.
//!
//! An attempt beyond the end of time is idle: it changes nothing, and evaluates all the same. A
//! drive therefore asks for those that are surely not idle, for the least number of steps that
//! could reach the end, and for a share of what seems to be left.

use super::{MOST_FRUITLESS, OptimizerError};
use crate::ingredients::{Ingredients, Rule, StepSize};
use crate::kernels::settings::Settings;
use crate::reports::{NotFinite, Progress};

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

/// Where step sizes come from, and where time ends.
#[derive(Clone, Copy)]
pub(super) struct Steps<'a> {
    pub(super) settings: &'a Settings,
    pub(super) step_size: &'a StepSize,
    pub(super) ingredients: &'a Ingredients,
}

impl Steps<'_> {
    /// Time left until its end, if it has one.
    pub(super) fn left(&self, known: &Progress) -> Option<f64> {
        let end = self.settings.end();
        (end < f64::from(f32::MAX)).then(|| (end - known.time).max(0.0))
    }

    /// Tells whether the h to come depends on what attempts will see.
    fn are_uncertain(&self) -> bool {
        self.ingredients.adaptive.is_some() || self.ingredients.rule.is_some()
    }

    /// The h that the controller takes next, or 0 where the device has yet to find it.
    fn next_h(&self, known: &Progress) -> f32 {
        match known.restart == self.settings.restart {
            true => known.next_h,
            false => self.settings.first_h,
        }
    }

    fn bound(&self, known: &Progress) -> Bound {
        if let Some(adaptive) = self.ingredients.adaptive {
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
pub(super) struct Course {
    goal: Goal,
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
    /// Begins where everything asked for so far is known.
    pub(super) fn new(goal: Goal, begun: Progress) -> Self {
        Self { goal, begun, known: begun, growth: None, asked: begun.attempts }
    }

    /// The exact state after some of the attempts asked for.
    pub(super) fn known(&self) -> &Progress {
        &self.known
    }

    pub(super) fn learn(&mut self, known: Progress) {
        let attempts = known.attempts.saturating_sub(self.known.attempts);
        let [before, now] = [self.known, known].map(|p| f64::from(p.applied_h));
        // What was before this drive may have had other settings.
        let compared = attempts > 0 && self.known.attempts > self.begun.attempts;
        if compared && before > 0.0 && now > 0.0 {
            self.growth = Some((now / before).powf(1.0 / attempts as f64).max(1.0));
        }
        self.known = known;
    }

    /// Learns of all attempts that there were: no other one is under way.
    pub(super) fn learn_all(&mut self, known: Progress) {
        self.learn(known);
        self.asked = known.attempts;
    }

    /// So many attempts more were asked for.
    pub(super) fn ask(&mut self, attempts: u32) {
        self.asked += u64::from(attempts);
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

    /// Tells whether the goal is reached, or surely will be by what is under way.
    pub(super) fn is_over(&self) -> bool {
        match self.goal {
            Goal::Attempts(until) => self.asked >= until,
            Goal::Accepted { until, .. } => self.known.accepted >= until,
            Goal::End => false,
        }
    }

    /// Refuses to go on after too many attempts in a row that got nowhere, as of what arrived.
    pub(super) fn check(
        &self,
        arrived: &Progress,
        at: impl FnOnce() -> Option<NotFinite>,
        step_size: &StepSize,
    ) -> Result<(), OptimizerError> {
        let Progress { fruitless, standing, last_h, time, .. } = *arrived;
        let attempts = fruitless.max(self.idle());
        if attempts >= MOST_FRUITLESS {
            return Err(OptimizerError::Stalled { attempts, at: at() });
        }
        // A count is reached by steps of a schedule whatever they are.
        let counted = self.goal != Goal::End && step_size.rule().is_none();
        if standing >= MOST_FRUITLESS && !counted && !matches!(self.goal, Goal::Attempts(_)) {
            let remedy = match step_size.rule() {
                Some(_) => "The rule gives no more than that here: stop, or take another one",
                None => "Take an end before that, or larger step sizes",
            };
            return Err(OptimizerError::Standing { h: last_h, time, attempts: standing, remedy });
        }
        Ok(())
    }

    /// Attempts of the next submit, at most `most`; 0 where what became of those under way
    /// decides.
    pub(super) fn next(&self, steps: Steps<'_>, most: u32) -> u32 {
        let most = u64::from(most);
        let allowed = self.allowed(steps, self.under_way() + most);
        let wanted = allowed.saturating_sub(self.under_way());
        let halved = steps.are_uncertain() && allowed >= HALVED;
        wanted.min(most).min(if halved { allowed / 2 } else { allowed }) as u32
    }

    /// Attempts to ask for after what is known, at most `enough` or so: those that are surely
    /// not idle, and a share of what seems to be left.
    fn allowed(&self, steps: Steps<'_>, enough: u64) -> u64 {
        let known = &self.known;
        let wanted = match self.goal {
            Goal::Attempts(until) => until.saturating_sub(known.attempts),
            Goal::Accepted { until, .. } => until.saturating_sub(known.accepted),
            Goal::End => u64::MAX,
        };
        let Some(left) = steps.left(known) else { return wanted };
        let enough = enough.min(wanted);
        if !steps.are_uncertain() {
            return steps.step_size.steps_to(known.accepted, left, enough);
        }
        let sure = steps.bound(known).attempts(left, enough);
        let adaptive = steps.ingredients.adaptive.is_some();
        let h = f64::from(if adaptive { steps.next_h(known) } else { known.applied_h });
        let Some(growth) = self.growth.filter(|_| h > 0.0) else { return sure };
        let estimate = Bound { h, factor: growth, most: f64::INFINITY };
        let twice = (enough as f64 / ESTIMATED).ceil() as u64;
        let seems = (ESTIMATED * estimate.attempts(left, twice) as f64) as u64;
        let made = known.attempts.saturating_sub(self.begun.attempts);
        sure.max(seems.min(sure + made / VENTURED)).min(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingredients::Adaptive;

    fn settings(end: f64) -> Settings {
        let mut settings = Settings { h_max: 1e6, ..Settings::default() };
        settings.set_end(Some(end));
        settings
    }

    fn adaptive() -> Ingredients {
        Ingredients { adaptive: Some(Adaptive::new(1e-3, 1e-6)), ..Ingredients::default() }
    }

    /// After so many attempts, all accepted, of this h, and with the same to come.
    fn after(attempts: u64, time: f64, h: f32) -> Progress {
        let accepted = attempts;
        Progress { attempts, accepted, time, next_h: h, applied_h: h, ..Progress::default() }
    }

    #[test]
    fn steps_of_given_size_are_asked_for_to_the_last_and_not_one_more() {
        let (settings, step_size) = (settings(1.0), StepSize::constant(0.1));
        let ingredients = Ingredients::default();
        let steps = Steps { settings: &settings, step_size: &step_size, ingredients: &ingredients };
        let mut course = Course::new(Goal::End, Progress::default());
        let mut asked = 0;
        while let n @ 1.. = course.next(steps, 4) {
            course.ask(n);
            asked += n;
        }
        assert_eq!(asked, 10);
    }

    #[test]
    fn nothing_is_asked_for_beyond_a_number_of_attempts() {
        let (settings, step_size) = (settings(1e9), StepSize::constant(0.1));
        let ingredients = Ingredients::default();
        let steps = Steps { settings: &settings, step_size: &step_size, ingredients: &ingredients };
        let mut course = Course::new(Goal::Attempts(7), after(2, 0.2, 0.1));
        assert_eq!(course.next(steps, 4), 4);
        course.ask(4);
        assert!(!course.is_over());
        assert_eq!(course.next(steps, 4), 1);
        course.ask(1);
        assert!(course.is_over());
    }

    #[test]
    fn of_an_h_to_be_chosen_no_more_is_asked_for_than_may_be_needed_if_it_grows_as_it_can() {
        let (settings, step_size) = (settings(1.0), StepSize::constant(0.1));
        let ingredients = adaptive();
        let steps = Steps { settings: &settings, step_size: &step_size, ingredients: &ingredients };
        let growth = ingredients.adaptive.unwrap().most_growth();
        let mut course = Course::new(Goal::End, after(0, 0.0, 1e-3));
        let n = course.next(steps, 32);
        // One less would not do, whatever h does.
        let sum = |n: u32| (0..n).map(|i| 1e-3 * growth.powi(i as i32)).sum::<f64>();
        assert!(n > 1 && sum(n - 1) < 1.0 && sum(n) >= 1.0, "{n} with a growth of {growth}");
        course.ask(n);
        assert_eq!(course.next(steps, 32), 0, "what became of those decides");
    }

    #[test]
    fn where_h_has_settled_an_eighth_of_the_attempts_made_is_ventured() {
        let (settings, step_size) = (settings(1e3), StepSize::constant(0.1));
        let ingredients = adaptive();
        let steps = Steps { settings: &settings, step_size: &step_size, ingredients: &ingredients };
        let mut course = Course::new(Goal::End, Progress::default());
        course.learn_all(after(64, 6.4, 0.1));
        let sure = course.allowed(steps, 1000);
        course.learn_all(after(80, 8.0, 0.1));
        // h = 0.1 both times: it does not grow, and 9920 seem to be left.
        assert_eq!(course.growth, Some(1.0));
        assert_eq!(course.allowed(steps, 1000), sure + 80 / VENTURED);
        // Near the end half of what seems to be left is more than enough.
        course.learn_all(after(9990, 999.0, 0.1));
        assert!(course.allowed(steps, 1000) <= 5);
    }

    #[test]
    fn a_thousand_attempts_that_got_nowhere_are_an_error() {
        let step_size = StepSize::constant(0.1);
        let mut course = Course::new(Goal::End, after(10, 1.0, 0.1));
        let check =
            |course: &Course, arrived: &Progress| course.check(arrived, || None, &step_size);
        // Idle ones: no verdict counts them.
        let idle = |n: u64| Progress { attempts: 10 + n, ..after(10, 1.0, 0.1) };
        course.learn(idle(999));
        assert!(check(&course, &Progress::default()).is_ok());
        course.learn(idle(1000));
        let error = check(&course, &Progress::default()).unwrap_err();
        assert!(matches!(error, OptimizerError::Stalled { attempts: 1000, .. }), "{error}");
        // Skipped ones in a row, as the reports tell.
        let course = Course::new(Goal::End, Progress::default());
        let fruitless = Progress { fruitless: 1000, ..Progress::default() };
        assert!(check(&course, &fruitless).is_err());
        // Steps that no longer move time, on the way to a time alone.
        let standing = Progress { standing: 1000, ..Progress::default() };
        assert!(check(&course, &standing).is_err());
        let counted = Goal::Accepted { until: 5000, wanted: 5000 };
        let course = Course::new(counted, Progress::default());
        assert!(check(&course, &standing).is_ok());
    }

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
