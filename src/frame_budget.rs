//! Chooses how many attempts fit a host frame: by the device's timestamps, or by how long the
//! host's frames took. Knows no device.

use std::collections::VecDeque;
use std::time::Duration;

/// Timestamps remembered: half of them may be outliers.
const COSTS: usize = 8;

/// Part of a budget that is planned with; costs vary.
const PLANNED: f64 = 15.0 / 16.0;

/// A frame fits that takes up to so much of its budget: waiting for a display, whole
/// frames take what the display takes, and sometimes a little more.
const FITS: f64 = 1.05;

/// Below this there is room for more without trying.
const ROOM: f64 = 0.9;

/// Below this, what did not fit once may well do now.
const MUCH_ROOM: f64 = 0.75;

/// Frames whose median counts.
const FRAMES: usize = 3;

/// Frames that do not count after a change: they were under way.
const UNDER_WAY: u32 = 2;

/// Medians that must fit before a share is tried again that did not; doubled each time.
const PATIENCE: u32 = 16;
const MOST_PATIENCE: u32 = 256;

/// The least share of an attempt for a frame, where one does not fit even alone.
const LEAST: f64 = 1.0 / 16.0;

/// Finds how many attempts of one optimizer fit the time of a frame. Costs and shares are in
/// gradients, for methods whose stages vary.
#[derive(Clone, Debug)]
pub(crate) struct FrameBudget {
    /// Seconds of a gradient, newest last.
    costs: VecDeque<f64>,
    /// Gradients of the newest of them.
    newest: f64,
    frames: Option<Frames>,
    /// The rest of shares below one attempt.
    credit: f64,
    /// Budget, gradients of an attempt, and gradients of the last frame.
    budget: f64,
    per_attempt: f64,
    last: f64,
}

/// Knowledge of the host's frames.
#[derive(Clone, Debug)]
struct Frames {
    /// Gradients for each.
    share: f64,
    /// Parts of the budget that the newest took.
    taken: Vec<f64>,
    under_way: u32,
    /// A share that fitted, and one that did not.
    fitted: Option<f64>,
    ceiling: Option<f64>,
    patience: u32,
    patient: u32,
    /// Some share was too much.
    missed: bool,
}

impl FrameBudget {
    pub(crate) fn new() -> Self {
        Self {
            costs: VecDeque::with_capacity(COSTS),
            newest: 0.0,
            frames: None,
            credit: 0.0,
            budget: 0.0,
            per_attempt: 1.0,
            last: 0.0,
        }
    }

    /// Attempts of `per_attempt` gradients to record now, at most `most`. The first frame
    /// has one; while nothing is known, every frame has.
    pub(crate) fn next(&mut self, budget: Duration, per_attempt: u32, most: u32) -> u32 {
        self.budget = budget.as_secs_f64();
        self.per_attempt = f64::from(per_attempt.max(1));
        let attempts = if self.budget == 0.0 { 0 } else { self.attempts(most) };
        self.last = f64::from(attempts) * self.per_attempt;
        attempts
    }

    fn attempts(&mut self, most: u32) -> u32 {
        let gradients = match (&self.frames, self.cost()) {
            (Some(frames), _) => frames.share,
            // Twice what was seen, and one more: a clock may be coarse.
            (None, Some(cost)) => {
                (PLANNED * self.budget / cost).min(2.0 * self.newest + self.per_attempt)
            }
            (None, None) => self.per_attempt,
        };
        // A share was whole attempts, if not for the rounding.
        let share = gradients / self.per_attempt + 1e-9;
        if share >= 1.0 {
            self.credit = 0.0;
            return share.min(f64::from(most)) as u32;
        }
        // NaN, of no time at all, is none.
        self.credit += share.max(LEAST);
        if self.credit < 1.0 {
            return 0;
        }
        self.credit = 0.0;
        1
    }

    /// Takes in what was recorded, where that is less than [`FrameBudget::next`] said.
    pub(crate) fn recorded(&mut self, attempts: u32) {
        self.last = f64::from(attempts) * self.per_attempt;
    }

    /// The device took so long for so many gradients.
    pub(crate) fn measured(&mut self, gradients: u32, took: Duration) {
        if gradients == 0 {
            return;
        }
        if self.costs.len() == COSTS {
            self.costs.pop_front();
        }
        self.newest = f64::from(gradients);
        self.costs.push_back(took.as_secs_f64() / self.newest);
    }

    /// The median cost of a gradient; of an even number the lower one, for growth is
    /// bounded and the first frames are the slowest.
    fn cost(&self) -> Option<f64> {
        let mut costs: Vec<f64> = self.costs.iter().copied().collect();
        costs.sort_by(f64::total_cmp);
        costs.get(costs.len().checked_sub(1)? / 2).copied()
    }

    /// The host's last frame took so long. From now on, frames as a whole are held to the
    /// budget.
    pub(crate) fn frame(&mut self, took: Duration) {
        let (last, per_attempt) = (self.last, self.per_attempt);
        let frames = self.frames.get_or_insert_with(|| Frames::new(last.max(per_attempt)));
        // A frame without attempts says nothing of them.
        if last > 0.0 && self.budget > 0.0 {
            frames.took(took.as_secs_f64() / self.budget, last, per_attempt);
        }
    }
}

impl Frames {
    fn new(share: f64) -> Self {
        Self {
            share,
            taken: Vec::with_capacity(FRAMES),
            under_way: 0,
            fitted: None,
            ceiling: None,
            patience: PATIENCE,
            patient: 0,
            missed: false,
        }
    }

    /// A frame of `last` gradients took this part of its budget.
    fn took(&mut self, part: f64, last: f64, attempt: f64) {
        if self.under_way > 0 {
            self.under_way -= 1;
            return;
        }
        self.taken.push(part);
        if self.taken.len() < FRAMES {
            return;
        }
        self.taken.sort_by(f64::total_cmp);
        let median = self.taken[FRAMES / 2];
        self.taken.clear();
        let before = self.share;
        if median > FITS {
            self.shrink(median, last, attempt);
        } else {
            self.grow(median, last, attempt);
        }
        if self.share != before {
            self.under_way = UNDER_WAY;
        }
    }

    fn shrink(&mut self, median: f64, last: f64, attempt: f64) {
        match self.fitted.take().filter(|fitted| *fitted < last) {
            // Tried for more, and that was too much.
            Some(fitted) => {
                self.share = fitted;
            }
            // What fitted does so no longer, or nothing ever did.
            None => {
                self.share = (last / median).max(LEAST * attempt);
                self.patience = PATIENCE;
            }
        }
        self.ceiling = Some(last);
        self.missed = true;
        self.patient = 0;
    }

    fn grow(&mut self, median: f64, last: f64, attempt: f64) {
        self.fitted = Some(last);
        self.patient += 1;
        if self.ceiling.is_some() && (self.patient >= self.patience || median < MUCH_ROOM) {
            self.ceiling = None;
            self.patience = (2 * self.patience).min(MOST_PATIENCE);
        }
        let room = match median {
            // Where a frame's time grows with its attempts, this never goes too far.
            ..ROOM => (0.95 / median.max(0.1)).min(2.0),
            // This may.
            _ if self.missed => 1.0625,
            _ => 1.25,
        };
        let wanted = (last * room).max(last + attempt);
        let most = self.ceiling.map_or(f64::INFINITY, |ceiling| ceiling - attempt);
        self.share = wanted.min(most).max(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(x: f64) -> Duration {
        Duration::from_secs_f64(x / 1000.0)
    }

    /// Values in [0, 1) that repeat.
    fn noise() -> impl FnMut() -> f64 {
        let mut x = 0x9E37_79B9_7F4A_7C15u64;
        move || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            (x >> 11) as f64 / (1u64 << 53) as f64
        }
    }

    /// Attempts of each frame on a device that tells the time of each, two frames late.
    fn timed(
        frames: usize,
        budget: f64,
        per_attempt: u32,
        mut took: impl FnMut(usize, u32) -> f64,
    ) -> Vec<u32> {
        let mut budgeted = FrameBudget::new();
        let mut late = VecDeque::new();
        let mut all = Vec::new();
        for frame in 0..frames {
            let n = budgeted.next(ms(budget), per_attempt, 1024);
            all.push(n);
            late.push_back((n * per_attempt, took(frame, n)));
            if late.len() > 2
                && let Some((gradients, took)) = late.pop_front()
            {
                budgeted.measured(gradients, ms(took));
            }
        }
        all
    }

    #[test]
    fn timestamps_fill_a_budget() {
        let mut random = noise();
        let all = timed(60, 4.0, 1, |_, n| 0.05 + 0.1 * f64::from(n) * (0.9 + 0.2 * random()));
        assert_eq!(all[0], 1);
        // Never more than doubled, and one, beyond what was seen.
        assert!(all.windows(3).all(|w| w[2] <= 2 * w[0].max(w[1]) + 1), "{all:?}");
        assert!(all[20..].iter().all(|n| (33..=40).contains(n)), "{all:?}");
    }

    #[test]
    fn attempts_of_more_stages_are_fewer_at_once() {
        let mut budgeted = FrameBudget::new();
        for _ in 0..8 {
            budgeted.next(ms(4.0), 4, 1024);
            budgeted.measured(40, ms(4.0));
        }
        assert_eq!(budgeted.next(ms(4.0), 4, 1024), 9);
        assert_eq!(budgeted.next(ms(4.0), 12, 1024), 3);
        assert_eq!(budgeted.next(ms(8.0), 4, 1024), 18);
        assert_eq!(budgeted.next(ms(8.0), 4, 10), 10);
    }

    #[test]
    fn outliers_and_slow_first_frames_do_not_count() {
        // The first compiles for half a second, and every fifth is interrupted.
        let took = |frame: usize, n: u32| match frame {
            0 => 500.0,
            _ if frame.is_multiple_of(5) => 30.0,
            _ => 0.1 * f64::from(n),
        };
        let all = timed(80, 4.0, 1, took);
        assert!(all[30..].iter().all(|n| *n == 37), "{all:?}");
        assert!(all[..20].iter().max() > Some(&30), "{all:?}");
    }

    #[test]
    fn coarse_clocks_grow_until_they_tell_something() {
        // Steps of 0.1 ms, and attempts of 2 µs: one takes no time.
        let all = timed(60, 1.0, 1, |_, n| (0.02 * f64::from(n)).floor() * 0.1);
        assert!(all.iter().all(|n| *n >= 1));
        let last = all[59];
        assert!((400..=520).contains(&last), "{all:?}");
    }

    #[test]
    fn a_clock_that_stands_still_stops_at_the_most() {
        let all = timed(60, 1.0, 1, |_, _| 0.0);
        assert_eq!((all[0], all[59]), (1, 1024));
    }

    #[test]
    fn an_attempt_beyond_the_budget_is_made_now_and_then() {
        let all = timed(120, 4.0, 1, |_, _| 13.0);
        let made: u32 = all[20..].iter().sum();
        // 4 · 15/16 ms of 13: every fourth frame.
        assert!((24..=26).contains(&made) && all.iter().all(|n| *n <= 1), "{all:?}");
        // However long it takes, not never.
        let all = timed(200, 4.0, 1, |_, _| 60_000.0);
        assert!(all[20..].windows(17).all(|w| w.iter().sum::<u32>() >= 1), "{all:?}");
    }

    #[test]
    fn a_device_that_slows_down_gets_less_at_once() {
        let all = timed(80, 4.0, 1, |f, n| f64::from(n) * if f < 40 { 0.1 } else { 0.4 });
        assert_eq!((all[39], all[79]), (37, 9));
        assert!(all[48..].iter().all(|n| *n == 9), "{all:?}");
    }

    #[test]
    fn no_budget_no_attempts() {
        let mut budgeted = FrameBudget::new();
        assert_eq!(budgeted.next(Duration::ZERO, 1, 1024), 0);
        assert_eq!(budgeted.next(ms(1.0), 1, 1024), 1);
        assert_eq!(budgeted.next(ms(1.0), 1, 0), 0);
    }

    /// Attempts and times of frames of a host whose own work takes `own`, and that waits
    /// for a display.
    fn hosted(
        frames: usize,
        budget: f64,
        display: f64,
        mut cost: impl FnMut(usize, u32) -> f64,
    ) -> Vec<(u32, f64)> {
        let mut budgeted = FrameBudget::new();
        let mut all = Vec::new();
        for frame in 0..frames {
            let n = budgeted.next(ms(budget), 1, 1024);
            let busy = cost(frame, n);
            let took = if display > 0.0 { (busy / display).ceil() * display } else { busy };
            budgeted.frame(ms(took));
            all.push((n, took));
        }
        all
    }

    #[test]
    fn frames_without_a_display_fill_the_budget() {
        let mut random = noise();
        let all = hosted(400, 16.0, 0.0, |_, n| 3.0 + 0.5 * f64::from(n) + random());
        assert_eq!(all[0].0, 1);
        // 25 attempts take 16 ms, 26 what is still called that; and some are a try.
        assert!(all[60..].iter().all(|(n, _)| (22..=28).contains(n)), "{all:?}");
        let beyond = all[60..].iter().filter(|(n, _)| *n > 26).count();
        assert!(beyond <= 34, "{beyond} of 340");
    }

    #[test]
    fn frames_of_a_display_are_seldom_missed() {
        // 26 attempts fit before the display.
        let all = hosted(2000, 16.7, 1000.0 / 60.0, |_, n| 3.5 + 0.5 * f64::from(n));
        let missed = |all: &[(u32, f64)]| all.iter().filter(|(_, took)| *took > 17.0).count();
        assert!(missed(&all) <= 40, "{} of 2000", missed(&all));
        assert!(missed(&all[1000..]) <= 10, "{} of the last 1000", missed(&all[1000..]));
        let mean = all[200..].iter().map(|(n, _)| f64::from(*n)).sum::<f64>() / 1800.0;
        assert!((25.0..=26.1).contains(&mean), "{mean}");
        // With 27, two in three do not.
        let mut random = noise();
        let cost = |_: usize, n: u32| 3.0 + 0.5 * f64::from(n) + 0.5 * random();
        let all = hosted(2000, 16.7, 1000.0 / 60.0, cost);
        assert!(missed(&all) <= 120, "{} of 2000", missed(&all));
    }

    #[test]
    fn a_slow_frame_by_itself_changes_nothing() {
        let cost = |f: usize, n: u32| {
            if f % 7 == 3 { 90.0 } else { 3.0 + 0.5 * f64::from(n) }
        };
        let all = hosted(400, 16.0, 0.0, cost);
        assert!(all[60..].iter().all(|(n, _)| (22..=28).contains(n)), "{all:?}");
    }

    #[test]
    fn a_busier_host_leaves_less_and_gets_it_back() {
        let busy = |f: usize| if (200..400).contains(&f) { 12.0 } else { 3.0 };
        let all = hosted(800, 16.0, 0.0, |f, n| busy(f) + 0.5 * f64::from(n));
        assert!(all[260..400].iter().all(|(n, _)| (4..=12).contains(n)), "{all:?}");
        assert!(all[700..].iter().all(|(n, _)| (22..=28).contains(n)), "{all:?}");
    }

    #[test]
    fn a_host_without_room_still_learns() {
        let all = hosted(600, 16.0, 0.0, |_, n| 15.0 + 40.0 * f64::from(n));
        assert!(all.iter().all(|(n, _)| *n <= 1));
        assert!(all[100..].windows(17).all(|w| w.iter().any(|(n, _)| *n == 1)), "{all:?}");
        let mean = all[100..].iter().map(|(n, _)| f64::from(*n)).sum::<f64>() / 500.0;
        assert!(mean < 0.5, "{mean}");
    }
}
