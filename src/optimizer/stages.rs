//! Methods whose number of stages varies: what is recorded for each, and which one
//! comes next.

use super::{Optimizer, OptimizerError, Variant};
use crate::device::waiting::Waiting;
use crate::error::Error;
use crate::ingredients::{ENLARGED, SpectralRadius};
use crate::method::Method;
use crate::plan::Plan;
use crate::recorder::Recorder;
use crate::source::GradientSource;
use crate::tableau::{Stabilised, Stages};

/// Gradients in a submit of a method whose stages vary: what is recorded can only
/// be right for so long.
const GRADIENTS_PER_SUBMIT: u32 = 64;

/// Numbers of stages that stay recorded.
const VARIANTS: usize = 16;

impl Optimizer {
    /// Stages of the attempts that are recorded from now on.
    pub fn stages(&self) -> u32 {
        match &self.method {
            Method::Stabilised(_) => self.plan().bound_stages(),
            _ => self.plan().stages(),
        }
    }

    /// Sets how many stages a stabilised method is recorded with from now on; where it
    /// takes as many as it needs, `run` and its like choose again.
    ///
    /// ```no_run
    /// # fn f(mut optimizer: kutta::Optimizer) -> Result<(), kutta::Error> {
    /// optimizer.set_stages(12)?; // for `record`, which keeps what it is told
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// A number that the method does not have, every other method having just its own; a
    /// single stage where several keep other state; no memory, where more stages need more
    /// vectors, which only [`Fusion::None`](crate::Fusion::None) does.
    pub fn set_stages(&mut self, stages: u32) -> Result<(), Error> {
        let Method::Stabilised(stabilised) = &self.method else {
            if stages == self.stages() {
                return Ok(());
            }
            let (method, found) = (self.method.to_string(), stages);
            return Err(OptimizerError::Stages { method, stages: self.stages(), found }.into());
        };
        // Names what there is.
        let family = stabilised.family();
        Stabilised::new(family, Stages::Fixed(stages))?;
        self.take_variant(stages)
    }

    /// Puts the variant of so many stages first, made if it is not there.
    fn take_variant(&mut self, stages: u32) -> Result<(), Error> {
        let known = self.variants.iter().position(|v| v.plan.bound_stages() == stages);
        let variant = match known.and_then(|at| self.variants.remove(at)) {
            Some(variant) => variant,
            None => {
                let (ingredients, options) = (*self.plan().ingredients(), self.plan().options());
                let plan = Plan::with_stages(&self.method, stages, &ingredients, options)?;
                let widths = |plan: &Plan| (plan.state_width(), plan.mean_halves());
                if widths(&plan) != widths(self.plan()) {
                    let (method, found) = (self.method.to_string(), stages);
                    let stages = self.stages();
                    return Err(OptimizerError::Stages { method, stages, found }.into());
                }
                let plan = plan.laid_out_in(&self.state.storages());
                self.state.make_room(&self.gpu, &plan)?;
                let ending = self.given.ended();
                let (gpu, state) = (&self.gpu, &self.state);
                let recorder = Recorder::new(gpu, &plan, state, self.walk, self.most, ending)?;
                Variant { plan, recorder }
            }
        };
        self.variants.push_front(variant);
        self.variants.truncate(VARIANTS);
        Ok(())
    }

    /// Readies the next submit: waits for the one before the last, and chooses the
    /// number of stages by what it left.
    pub(super) async fn choose_stages(
        &mut self,
        source: &mut impl GradientSource,
        waiting: Waiting,
    ) -> Result<(), Error> {
        if !self.ledger.chained() {
            return Ok(());
        }
        if self.ledger.opens_alone() {
            // Nothing is known yet: the opening by itself.
            self.submit(source, 0)?;
            self.settle(0, waiting).await?;
        } else {
            self.settle(1, waiting).await?;
        }
        let Method::Stabilised(stabilised) = &self.method else { return Ok(()) };
        self.ledger.notice_refused();
        let control = self.ledger.settled();
        let Stages::Auto { most } = stabilised.stages() else { return Ok(()) };
        let family = stabilised.family();
        let ingredients = self.plan().ingredients();
        let rho = match ingredients.radius {
            SpectralRadius::Given(rho) => rho,
            SpectralRadius::Estimated => ENLARGED * f64::from(control.radius),
        };
        // Where the next submit begins, if what is under way is accepted.
        let next = u64::from(control.accepted) + u64::from(self.ledger.under_way(&control));
        let steps = next..next + u64::from(self.attempts_per_submit());
        let h = if ingredients.adaptive.is_some() {
            f64::from(if self.ledger.has_settled() {
                control.next_h
            } else {
                self.settings.first_h
            })
        } else if ingredients.rule.is_some() && control.wanted_h > 0.0 {
            f64::from(control.wanted_h)
        } else {
            steps.map(|n| self.step_size.at(n)).fold(0.0, f64::max)
        };
        // One stage would keep other state than several do.
        let least = family.admissible(2).unwrap_or(2);
        let largest = (least..=most).rev().find(|&s| family.admissible(s) == Some(s));
        let stages = family.stages_for(h * rho).unwrap_or(most).max(least);
        let stages = stages.min(largest.unwrap_or(least));
        tracing::trace!(optimizer = self.id, stages, h, rho, "stages");
        self.take_variant(stages)
    }

    /// Attempts in a submit.
    pub(super) fn attempts_per_submit(&self) -> u32 {
        match self.ledger.chained() {
            true => (GRADIENTS_PER_SUBMIT / self.plan().evaluations()).clamp(1, self.per_submit),
            false => self.per_submit,
        }
    }
}
