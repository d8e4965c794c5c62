//! What an optimizer has counted, as a saved state keeps it.

use serde::{Deserialize, Serialize};

use super::{Progress, widen};
use crate::kernels::control::Control;

/// Counters of the control block, which has 32 bits of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Counts {
    pub(crate) attempts: u64,
    pub(crate) accepted: u64,
    pub(crate) skipped: u64,
    pub(crate) refused: u64,
    pub(crate) evaluations: u64,
    pub(crate) non_finite: u64,
    pub(crate) batch: u64,
    /// Files from before there was one have none.
    #[serde(default)]
    pub(crate) cursor: u64,
}

impl Counts {
    pub(crate) fn of(control: &Control, near: &Progress) -> Self {
        Self {
            attempts: widen(control.attempts, near.attempts),
            accepted: widen(control.accepted, near.accepted),
            skipped: widen(control.skipped, near.skipped),
            refused: widen(control.refused, near.refused),
            evaluations: widen(control.evaluations, near.evaluations),
            non_finite: widen(control.non_finite, near.non_finite),
            batch: widen(control.batch, near.batch),
            cursor: widen(control.cursor, near.cursor),
        }
    }

    /// Whether the control block counts the same.
    pub(crate) fn agrees(&self, control: &Control) -> bool {
        let own = [
            self.attempts,
            self.accepted,
            self.skipped,
            self.refused,
            self.evaluations,
            self.non_finite,
            self.batch,
            self.cursor,
        ];
        let device = [
            control.attempts,
            control.accepted,
            control.skipped,
            control.refused,
            control.evaluations,
            control.non_finite,
            control.batch,
            control.cursor,
        ];
        own.map(|count| count as u32) == device
    }
}
