//! What an optimizer wants of a source, checked before any work.

use super::{Optimizer, OptimizerError};
use crate::ingredients::{Adaptive, Rejection};
use crate::source::{BatchesFrom, GradientSource};

impl Optimizer {
    /// Refuses batches that a refused attempt would lose, and a source without
    /// products where the plan wants some.
    pub(super) fn check_fits(
        &self,
        source: &impl GradientSource,
        waits: bool,
    ) -> Result<(), OptimizerError> {
        if source.gpu().is_some_and(|gpu| !gpu.is(&self.gpu)) {
            return Err(OptimizerError::OtherDevice { what: "the gradient source" });
        }
        let names = ["in the source", "in the optimizer"];
        let other = source.layout().and_then(|layout| layout.difference(&self.layout, names));
        if let Some(difference) = other {
            return Err(OptimizerError::OtherLayout { difference });
        }
        let retried = |adaptive: Adaptive| adaptive.rejection == Rejection::Retry;
        let lost = self.plan().ingredients().adaptive.is_some_and(retried)
            && source.batches() == BatchesFrom::Host
            && !waits;
        if lost {
            return Err(OptimizerError::HostBatches);
        }
        if self.plan().adds() && !source.adds() {
            return Err(OptimizerError::NotAdding);
        }
        if let Some(storage) = self.plan().narrow_gradients()
            && !source.writes(storage)
        {
            return Err(OptimizerError::NotNarrow { storage });
        }
        if self.plan().rides() {
            let (found, most) = (source.checks(), self.plan().options().checks);
            if !(1..=most).contains(&found) {
                return Err(OptimizerError::NotChecking { found, most });
            }
        }
        match self.plan().multiplies() && !source.products() {
            true => Err(OptimizerError::NoProducts),
            false => Ok(()),
        }
    }
}
