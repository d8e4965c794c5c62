//! Runs any plan in f64, buffer by buffer, exactly as the device would: what a
//! plan overwrites here is gone here too.

use crate::error::ReferenceError;
use crate::plan::{Linear, Op, Plan, Purpose, Scale};

/// What one replayed attempt saw and did.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Whether every checked gradient was finite.
    pub accepted: bool,
    /// ‖k₁‖₂, where the plan sums it.
    pub grad_norm: Option<f64>,
}

/// The buffers of a plan, in f64.
#[derive(Clone, Debug)]
pub struct Replay<'p> {
    plan: &'p Plan,
    slots: Vec<Vec<f64>>,
}

impl<'p> Replay<'p> {
    pub fn new(plan: &'p Plan, theta: &[f64]) -> Self {
        let mut slots = vec![vec![0.0; theta.len()]; plan.resident_vectors()];
        slots[0] = theta.to_vec();
        Self { plan, slots }
    }

    /// θ.
    pub fn theta(&self) -> &[f64] {
        &self.slots[0]
    }

    /// One attempt with step size h; `gradient(i, y)` is ∇L at stage i's point.
    ///
    /// # Errors
    /// A gradient of another length than θ.
    pub fn attempt(
        &mut self,
        h: f64,
        gradient: &mut dyn FnMut(usize, &[f64]) -> Vec<f64>,
    ) -> Result<Attempt, ReferenceError> {
        let mut attempt = Attempt { accepted: true, grad_norm: None };
        for op in self.plan.ops() {
            match op {
                Op::Evaluate { purpose, point, gradient: into } => {
                    let Purpose::Stage(stage) = *purpose else { continue };
                    let k = gradient(stage as usize, &self.slots[point.slot]);
                    let expected = self.slots[0].len();
                    if k.len() != expected {
                        return Err(ReferenceError::GradientLength {
                            stage: stage as usize,
                            expected,
                            found: k.len(),
                        });
                    }
                    self.slots[into.slot] = k;
                }
                Op::Combine(linear) => self.linear(linear, h, &mut attempt),
                Op::Reduce { gradient, norm, .. } => {
                    let k = &self.slots[gradient.slot];
                    attempt.accepted &= k.iter().all(|x| x.is_finite());
                    if *norm {
                        attempt.grad_norm = Some(norm_of(k));
                    }
                }
                Op::Control => {}
                Op::Advance(linear) => {
                    if attempt.accepted {
                        self.linear(linear, h, &mut attempt);
                    }
                }
            }
        }
        Ok(attempt)
    }

    fn linear(&mut self, linear: &Linear, h: f64, attempt: &mut Attempt) {
        use crate::plan::Name;
        for input in linear.inputs() {
            let Name::Gradient(stage) = input.name else { continue };
            if linear.checks.contains(&stage) {
                attempt.accepted &= self.slots[input.slot].iter().all(|x| x.is_finite());
            }
            if linear.norm && stage == 1 {
                attempt.grad_norm = Some(norm_of(&self.slots[input.slot]));
            }
        }
        let scale = if linear.scale == Scale::StepSize { h } else { 1.0 };
        let at = |slot: usize, i: usize| self.slots[slot][i];
        let value = |i: usize| {
            let base = at(linear.base.slot, i);
            let points: f64 = linear.points.iter().map(|(w, p)| w * (at(p.slot, i) - base)).sum();
            let gradients: f64 = linear.gradients.iter().map(|(a, k)| a * at(k.slot, i)).sum();
            base + (points - scale * gradients)
        };
        let target = (0..self.slots[0].len()).map(value).collect();
        self.slots[linear.target.slot] = target;
    }
}

fn norm_of(k: &[f64]) -> f64 {
    k.iter().map(|x| x * x).sum::<f64>().sqrt()
}
