//! Attempts in encoders of the host: some wait for its submit, some never had one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Counts attempts in encoders of the host.
#[derive(Clone, Debug, Default)]
pub(super) struct Handed {
    counts: Arc<Counts>,
    /// Abandoned ones that were taken notice of.
    noticed: u32,
}

#[derive(Debug, Default)]
struct Counts {
    outstanding: AtomicU32,
    abandoned: AtomicU32,
}

/// Goes with an encoder; dropped with it, or handed in after its submit.
pub(super) struct Slip {
    counts: Arc<Counts>,
    attempts: u32,
    done: bool,
}

impl Handed {
    /// Counts attempts as outstanding until their slip is handed in or dropped.
    pub(super) fn slip(&self, attempts: u32) -> Slip {
        self.counts.outstanding.fetch_add(attempts, Ordering::AcqRel);
        Slip { counts: self.counts.clone(), attempts, done: false }
    }

    /// Attempts whose encoder is neither dropped nor done.
    pub(super) fn outstanding(&self) -> u32 {
        self.counts.outstanding.load(Ordering::Acquire)
    }

    /// Attempts whose encoder was dropped without a submit.
    pub(super) fn abandoned(&self) -> u32 {
        self.counts.abandoned.load(Ordering::Acquire)
    }

    /// Tells whether there are more of those than at the last call.
    pub(super) fn newly_abandoned(&mut self) -> bool {
        let abandoned = self.abandoned();
        std::mem::replace(&mut self.noticed, abandoned) != abandoned
    }

    /// The count of attempts was put right.
    pub(super) fn forget(&mut self) {
        self.counts.abandoned.store(0, Ordering::Release);
        self.noticed = 0;
    }
}

impl Slip {
    /// Its encoder was submitted and is done.
    pub(super) fn hand_in(mut self) {
        self.done = true;
    }
}

impl Drop for Slip {
    fn drop(&mut self) {
        if !self.done {
            self.counts.abandoned.fetch_add(self.attempts, Ordering::AcqRel);
        }
        self.counts.outstanding.fetch_sub(self.attempts, Ordering::AcqRel);
    }
}
