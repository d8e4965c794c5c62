//! The ledger: what the host believes about the device, and what may change a belief.
//!
//! The device judges attempts and the host does not wait for it, so the host never knows where
//! the device is. It goes by three kinds of belief, which only differ in when they were true:
//! - what was *recorded*: sums that the host keeps by itself, of attempts it recorded;
//! - what *settled* or *landed*: the control block at the end of a submit that the host waited
//!   for. It is the same in every run, and so is all that is decided by it;
//! - what *arrived*: [`Progress`], of reports that happen to be here. That is another thing every
//!   time, so nothing that is recorded may depend on it, but where the host has just waited for
//!   all there is.
//!
//! The ledger holds the first two and is told the third. It knows no device.

use super::handed::{Handed, Slip};
use crate::kernels::control::Control;
use crate::reports::Progress;

/// Attempts from one estimate of ρ to the next.
const ATTEMPTS_PER_RADIUS: u32 = 25;

/// The terms that an optimizer is built on, as far as they say what it must know.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Terms {
    /// Each submit depends on what became of the one before the last: the number of stages does.
    pub(super) chained: bool,
    /// The plan has an opening: work that finds h or ρ before the first attempt.
    pub(super) opening: bool,
}

/// Holds what the host believes about the device.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    terms: Terms,
    /// The first attempt wants an opening, where the plan has one.
    opens: bool,
    /// One has been submitted.
    opening_sent: bool,
    /// Attempts recorded since ρ was renewed.
    since_radius: u32,
    /// Refused attempts as of the control block that last told of some.
    refused_then: u32,
    /// Attempts and measurements recorded in all, modulo 2³² as the device counts them.
    recorded: u32,
    /// The control block after the newest submit that is known to be done.
    settled: Option<Control>,
    /// The end of time for all drives, as the device has it.
    end: Option<f64>,
    /// A drive told the device that attempts beyond its goal change nothing.
    driven: bool,
    /// The control block after the newest submit that this drive waited for.
    landed: Option<Control>,
    handed: Handed,
}

/// What a checkpoint keeps of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg(feature = "checkpoint")]
pub(super) struct Kept {
    pub(super) opens: bool,
    pub(super) since_radius: u32,
    pub(super) refused_then: u32,
}

/// Attempts that are being recorded. The ledger knows nothing of them until the entry is posted:
/// the source may fail or panic in between.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    attempts: u32,
    since_radius: u32,
}

impl Entry {
    /// Attempts recorded so far.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Tells whether the next attempt renews ρ.
    pub(super) fn renews(&self) -> bool {
        self.since_radius >= ATTEMPTS_PER_RADIUS
    }

    /// The next attempt is recorded, whole.
    pub(super) fn add(&mut self) {
        self.since_radius = if self.renews() { 1 } else { self.since_radius + 1 };
        self.attempts += 1;
    }
}

impl Ledger {
    /// Begins a ledger on a new optimizer, whose first attempt may want an opening.
    pub(super) fn new(terms: Terms, opens: bool) -> Self {
        Self { terms, opens, ..Self::default() }
    }

    /// Tells whether a submit depends on what became of the one before the last.
    pub(super) fn chained(&self) -> bool {
        self.terms.chained
    }

    // Openings.

    /// Tells whether what is recorded next begins with an opening.
    ///
    /// A chained optimizer that submits by itself goes by what settled; every other by what
    /// arrived, and [`Ledger::awaits_opening`] sees to it that an opening once submitted has.
    pub(super) fn wants_opening(&self, hosted: bool, arrived: &Progress) -> bool {
        let opened = match self.settled {
            Some(control) if self.chained() && !hosted => control.opened == 1,
            _ => arrived.opened,
        };
        self.may_open() && !opened
    }

    /// Tells whether an opening that was submitted must be waited for: another one would refine
    /// ρ, and whether there is one must not depend on what happens to have arrived.
    pub(super) fn awaits_opening(&self, arrived: &Progress) -> bool {
        let sent = self.opening_sent && self.terms.opening;
        sent && !self.chained() && !arrived.opened
    }

    /// Tells whether the opening must be a submit by itself: the number of stages depends on
    /// what it finds.
    pub(super) fn opens_alone(&self) -> bool {
        self.chained() && self.may_open() && self.settled.is_none()
    }

    fn may_open(&self) -> bool {
        self.opens && self.terms.opening
    }

    // Attempts.

    /// Begins an entry of attempts, behind an opening or not.
    pub(super) fn entry(&self, opening: bool) -> Entry {
        // An opening estimates ρ.
        let since_radius = if opening { 0 } else { self.since_radius };
        Entry { attempts: 0, since_radius }
    }

    /// Attempts were recorded and submitted, or an opening alone.
    pub(super) fn submitted(&mut self, entry: Entry) {
        self.post(entry);
        self.opening_sent |= self.opens;
    }

    /// Attempts were recorded into an encoder of the host, which the slip goes with.
    pub(super) fn handed_out(&mut self, entry: Entry) -> Slip {
        self.post(entry);
        self.handed.slip(entry.attempts)
    }

    /// A measurement was recorded: it takes a number among attempts.
    pub(super) fn measured(&mut self) {
        self.recorded = self.recorded.wrapping_add(1);
    }

    fn post(&mut self, entry: Entry) {
        self.recorded = self.recorded.wrapping_add(entry.attempts);
        if entry.attempts > 0 {
            self.since_radius = entry.since_radius;
        }
    }

    /// Looks for encoders of the host that were dropped without a submit: a renewal of ρ may
    /// have been among their attempts, so the next attempt has one.
    pub(super) fn notice_abandoned(&mut self) {
        if self.handed.newly_abandoned() {
            self.since_radius = ATTEMPTS_PER_RADIUS;
        }
    }

    /// Looks for refused attempts in what settled: where the step was too large ρ may have
    /// grown, so the next attempt renews it.
    pub(super) fn notice_refused(&mut self) {
        let refused = self.settled().refused;
        if refused != self.refused_then {
            self.refused_then = refused;
            self.since_radius = ATTEMPTS_PER_RADIUS;
        }
    }

    /// Attempts that were asked for after this control block was.
    pub(super) fn under_way(&self, control: &Control) -> u32 {
        // A source that submits by itself and then panics leaves attempts that the device
        // counts and the host does not.
        let recorded = self.recorded.wrapping_sub(self.handed.abandoned());
        (recorded.wrapping_sub(control.attempts) as i32).max(0) as u32
    }

    // Waiting.

    /// Tells whether the control block after a submit that is waited for will be looked at.
    pub(super) fn listens(&self) -> bool {
        self.chained() || self.driven
    }

    /// The host waited for a submit that left this control block, if its copy was not lost.
    pub(super) fn learn(&mut self, control: Option<Control>) {
        self.landed = control.or(self.landed);
        if self.chained() {
            self.settled = control.or(self.settled);
        }
    }

    /// The control block that the number of stages is chosen by; zeros while nothing settled.
    pub(super) fn settled(&self) -> Control {
        self.settled.unwrap_or_default()
    }

    /// Tells whether anything settled.
    pub(super) fn has_settled(&self) -> bool {
        self.settled.is_some()
    }

    /// The host waited for everything submitted, and this arrived: unless the host's own
    /// encoders still hold some, there are no other attempts.
    pub(super) fn waited(&mut self, arrived: &Progress) {
        if self.handed.outstanding() == 0 {
            self.recorded = arrived.attempts as u32;
            self.handed.forget();
        }
    }

    // Drives.

    /// A drive begins: until its end, attempts beyond its goal change nothing, and what landed
    /// before it is another drive's.
    pub(super) fn begin_drive(&mut self) {
        self.driven = true;
        self.landed = None;
    }

    /// The drive is over, also if its future was dropped in the middle. Tells whether there was
    /// one, whose goal the device still has.
    pub(super) fn end_drive(&mut self) -> bool {
        std::mem::take(&mut self.driven)
    }

    /// The control block after the newest submit that this drive waited for.
    pub(super) fn landed(&self) -> Option<&Control> {
        self.landed.as_ref()
    }

    /// The end of time that holds outside of drives, as the device has it.
    pub(super) fn end(&self) -> Option<f64> {
        self.end
    }

    /// Moves or lifts the end of time.
    pub(super) fn set_end(&mut self, end: Option<f64>) {
        self.end = end;
    }
}

#[cfg(feature = "checkpoint")]
impl Ledger {
    /// Gives what a checkpoint keeps.
    pub(super) fn kept(&self) -> Kept {
        let Self { opens, since_radius, refused_then, .. } = *self;
        Kept { opens, since_radius, refused_then }
    }

    /// Gives the same of an optimizer that begins.
    pub(super) fn fresh(&self) -> Kept {
        Kept { opens: self.opens, since_radius: 0, refused_then: 0 }
    }

    /// Attempts asked for so far, those on their way among them.
    pub(super) fn asked(&self, arrived: &Progress) -> u64 {
        crate::reports::widen(self.recorded, arrived.attempts)
    }

    /// Gives what settled, if anything has.
    pub(super) fn settled_block(&self) -> Option<Control> {
        self.settled
    }

    /// Takes up where another ledger was kept, after so many attempts in all.
    pub(super) fn take_up(&mut self, kept: Kept, attempts: u32, settled: Option<Control>) {
        let Kept { opens, since_radius, refused_then } = kept;
        *self = Self { opens, since_radius, refused_then, ..std::mem::take(self) };
        self.recorded = attempts;
        self.settled = settled;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a method whose stages vary, with an opening.
    const CHAINED: Terms = Terms { chained: true, opening: true };
    /// Of every other method, with an opening.
    const PLAIN: Terms = Terms { chained: false, opening: true };

    fn arrived(attempts: u64, opened: bool) -> Progress {
        Progress { attempts, opened, ..Progress::default() }
    }

    fn control(attempts: u32, opened: u32, refused: u32) -> Control {
        Control { attempts, opened, refused, ..Control::default() }
    }

    /// An entry of n attempts; with the numbers of those that renew ρ.
    fn attempts(ledger: &Ledger, opening: bool, n: u32) -> (Entry, Vec<u32>) {
        let mut entry = ledger.entry(opening);
        let mut renewed = Vec::new();
        for _ in 0..n {
            if entry.renews() {
                renewed.push(entry.attempts());
            }
            entry.add();
        }
        (entry, renewed)
    }

    fn submit(ledger: &mut Ledger, n: u32) -> Vec<u32> {
        let (entry, renewed) = attempts(ledger, false, n);
        ledger.submitted(entry);
        renewed
    }

    /// Where the next attempt that renews ρ is, counted from the next one.
    fn next_renewal(ledger: &Ledger) -> Option<u32> {
        attempts(ledger, false, 100).1.first().copied()
    }

    #[test]
    fn rho_is_renewed_every_25_attempts_across_submits() {
        let mut ledger = Ledger::new(CHAINED, true);
        assert_eq!(submit(&mut ledger, 60), [25, 50]);
        // Ten have passed since the last one.
        assert_eq!(submit(&mut ledger, 20), [15]);
    }

    #[test]
    fn an_opening_counts_as_a_renewal_of_rho() {
        let mut ledger = Ledger::new(CHAINED, true);
        submit(&mut ledger, 20);
        assert_eq!(next_renewal(&ledger), Some(5));
        let (entry, renewed) = attempts(&ledger, true, 30);
        assert_eq!(renewed, [25]);
        ledger.submitted(entry);
        assert_eq!(next_renewal(&ledger), Some(20));
    }

    #[test]
    fn a_refused_attempt_renews_rho_once_it_settled_and_never_before() {
        let mut ledger = Ledger::new(CHAINED, true);
        submit(&mut ledger, 10);
        ledger.notice_refused();
        assert_eq!(next_renewal(&ledger), Some(15));
        ledger.learn(Some(control(10, 1, 3)));
        assert_eq!(next_renewal(&ledger), Some(15));
        ledger.notice_refused();
        assert_eq!(submit(&mut ledger, 1), [0]);
        // The same three refusals are old news.
        ledger.learn(Some(control(11, 1, 3)));
        ledger.notice_refused();
        assert_eq!(next_renewal(&ledger), Some(24));
        ledger.learn(Some(control(12, 1, 4)));
        ledger.notice_refused();
        assert_eq!(next_renewal(&ledger), Some(0));
    }

    #[test]
    fn an_entry_that_is_not_posted_leaves_nothing() {
        let mut ledger = Ledger::new(CHAINED, true);
        submit(&mut ledger, 10);
        let before = format!("{ledger:?}");
        // The source failed or panicked, or the host's encoder was another device's.
        let _ = attempts(&ledger, true, 7);
        assert_eq!(format!("{ledger:?}"), before);
    }

    #[test]
    fn a_record_that_fails_midway_leaves_the_attempts_before_it() {
        let mut ledger = Ledger::new(CHAINED, true);
        // The third of ten fails: it is never added.
        submit(&mut ledger, 2);
        assert_eq!(ledger.under_way(&Control::default()), 2);
        assert_eq!(next_renewal(&ledger), Some(23));
    }

    #[test]
    fn an_opening_with_no_attempt_leaves_the_renewals_of_rho_as_they_were() {
        let mut ledger = Ledger::new(CHAINED, true);
        submit(&mut ledger, 10);
        let (entry, _) = attempts(&ledger, true, 0);
        ledger.submitted(entry);
        assert_eq!(next_renewal(&ledger), Some(15));
    }

    #[test]
    fn the_first_chunk_opens_until_the_device_has_told_that_it_did() {
        let mut ledger = Ledger::new(PLAIN, true);
        assert!(ledger.wants_opening(false, &arrived(0, false)));
        submit(&mut ledger, 32);
        assert!(ledger.wants_opening(false, &arrived(0, false)));
        assert!(!ledger.wants_opening(false, &arrived(32, true)));
    }

    #[test]
    fn nothing_opens_where_the_plan_has_no_opening_or_the_first_attempt_wants_none() {
        let none = Terms { opening: false, ..PLAIN };
        for ledger in [Ledger::new(none, true), Ledger::new(PLAIN, false)] {
            assert!(!ledger.wants_opening(false, &arrived(0, false)));
        }
        let none = Terms { opening: false, ..CHAINED };
        for ledger in [Ledger::new(none, true), Ledger::new(CHAINED, false)] {
            assert!(!ledger.opens_alone());
        }
    }

    #[test]
    fn an_opening_that_was_submitted_is_waited_for_before_the_next_chunk() {
        let mut ledger = Ledger::new(PLAIN, true);
        assert!(!ledger.awaits_opening(&arrived(0, false)));
        submit(&mut ledger, 32);
        assert!(ledger.awaits_opening(&arrived(0, false)));
        assert!(!ledger.awaits_opening(&arrived(32, true)));
        // A chained optimizer waits in any case, for what settles.
        let mut chained = Ledger::new(CHAINED, true);
        submit(&mut chained, 32);
        assert!(!chained.awaits_opening(&arrived(0, false)));
    }

    #[test]
    fn an_opening_in_the_hosts_hands_is_not_waited_for() {
        let mut ledger = Ledger::new(PLAIN, true);
        let (entry, _) = attempts(&ledger, true, 3);
        let _slip = ledger.handed_out(entry);
        assert!(!ledger.awaits_opening(&arrived(0, false)));
    }

    #[test]
    fn a_chained_chunk_opens_by_what_settled_whatever_has_arrived() {
        let mut ledger = Ledger::new(CHAINED, true);
        assert!(ledger.opens_alone());
        ledger.learn(Some(control(0, 0, 0)));
        assert!(!ledger.opens_alone());
        // The device has opened since; that this arrived is chance.
        assert!(ledger.wants_opening(false, &arrived(40, true)));
        ledger.learn(Some(control(40, 1, 0)));
        assert!(!ledger.wants_opening(false, &arrived(0, false)));
        // Nothing settles of what the host records.
        assert!(ledger.wants_opening(true, &arrived(0, false)));
        assert!(!ledger.wants_opening(true, &arrived(40, true)));
    }

    #[test]
    fn run_until_believes_what_landed_in_its_own_drive_alone() {
        let mut ledger = Ledger::new(PLAIN, true);
        assert!(!ledger.listens());
        ledger.begin_drive();
        assert!(ledger.listens());
        assert!(ledger.landed().is_none());
        ledger.learn(Some(control(7, 1, 0)));
        assert_eq!(ledger.landed().map(|c| c.attempts), Some(7));
        // No copy of the ring was free: the newest known one stays.
        ledger.learn(None);
        assert_eq!(ledger.landed().map(|c| c.attempts), Some(7));
        assert!(ledger.end_drive());
        assert!(!ledger.end_drive());
        ledger.begin_drive();
        assert!(ledger.landed().is_none());
    }

    #[test]
    fn a_drive_settles_nothing_where_stages_do_not_vary() {
        let mut plain = Ledger::new(PLAIN, true);
        plain.begin_drive();
        plain.learn(Some(control(7, 1, 0)));
        assert!(!plain.has_settled());
        let mut chained = Ledger::new(CHAINED, true);
        assert!(chained.listens());
        chained.learn(Some(control(7, 1, 0)));
        chained.begin_drive();
        assert_eq!(chained.settled().attempts, 7);
    }

    #[test]
    fn an_end_of_time_outlives_drives() {
        let mut ledger = Ledger::new(PLAIN, true);
        ledger.set_end(Some(2.5));
        ledger.begin_drive();
        ledger.end_drive();
        assert_eq!(ledger.end(), Some(2.5));
        ledger.set_end(None);
        assert_eq!(ledger.end(), None);
    }

    #[test]
    fn attempts_under_way_are_those_recorded_after_the_control_block() {
        let mut ledger = Ledger::new(CHAINED, true);
        submit(&mut ledger, 8);
        ledger.measured();
        submit(&mut ledger, 8);
        assert_eq!(ledger.under_way(&control(8, 1, 0)), 9);
        assert_eq!(ledger.under_way(&control(17, 1, 0)), 0);
        // The device counts more than the host where a source that submits panicked.
        assert_eq!(ledger.under_way(&control(19, 1, 0)), 0);
        // Counters wrap together.
        let mut ledger = Ledger { recorded: u32::MAX - 2, ..Ledger::new(CHAINED, true) };
        submit(&mut ledger, 8);
        assert_eq!(ledger.under_way(&control(u32::MAX - 2, 1, 0)), 8);
    }

    #[test]
    fn a_dropped_encoder_takes_its_attempts_back_and_the_next_one_renews_rho() {
        let mut ledger = Ledger::new(CHAINED, true);
        let (entry, _) = attempts(&ledger, true, 5);
        let dropped = ledger.handed_out(entry);
        ledger.notice_abandoned();
        assert_eq!(next_renewal(&ledger), Some(20));
        assert_eq!(ledger.under_way(&Control::default()), 5);
        drop(dropped);
        assert_eq!(ledger.under_way(&Control::default()), 0);
        ledger.notice_abandoned();
        assert_eq!(next_renewal(&ledger), Some(0));
        submit(&mut ledger, 1);
        // It is noticed once.
        ledger.notice_abandoned();
        assert_eq!(next_renewal(&ledger), Some(24));
    }

    #[test]
    fn a_wait_puts_the_count_right_unless_the_host_still_holds_encoders() {
        let mut ledger = Ledger::new(CHAINED, true);
        let [dropped, done, held] = [2, 3, 4].map(|n| {
            let (entry, _) = attempts(&ledger, false, n);
            ledger.handed_out(entry)
        });
        drop(dropped);
        done.hand_in();
        ledger.waited(&arrived(3, true));
        assert_eq!(ledger.under_way(&control(3, 1, 0)), 4);
        held.hand_in();
        ledger.waited(&arrived(7, true));
        assert_eq!(ledger.under_way(&control(7, 1, 0)), 0);
        // The two that were dropped are forgotten: they are not taken off again.
        submit(&mut ledger, 1);
        assert_eq!(ledger.under_way(&control(7, 1, 0)), 1);
    }

    #[cfg(feature = "checkpoint")]
    #[test]
    fn a_checkpoint_takes_up_where_the_ledger_was() {
        let mut ledger = Ledger::new(CHAINED, true);
        submit(&mut ledger, 10);
        ledger.learn(Some(control(10, 1, 3)));
        ledger.notice_refused();
        submit(&mut ledger, 4);
        let mut other = Ledger::new(CHAINED, false);
        other.take_up(ledger.kept(), 14, ledger.settled_block());
        assert_eq!(other.kept(), ledger.kept());
        assert_eq!(other.settled().attempts, 10);
        assert_eq!(next_renewal(&other), next_renewal(&ledger));
        assert_eq!(other.under_way(&control(10, 1, 3)), 4);
        assert_eq!(other.asked(&arrived(10, true)), 14);
        // One that begins renews nothing that the other did.
        assert_eq!(ledger.fresh(), Kept { opens: true, since_radius: 0, refused_then: 0 });
    }
}
