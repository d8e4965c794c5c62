//! The settings that the host sends to the device between submits. WGSL twin:
//! `shaders/shared/settings.wgsl`.

use crate::codes::limit::NO_LIMIT;
use crate::codes::{curve, rule};
use crate::device::kernel::wgsl_struct;
use crate::device::traversal::Traversal;
use crate::ingredients::{Adaptive, Curve, Limiter, MAX_PIECES, Rejection, Rule, StepSize};
use crate::method::Method;
use crate::plan::Plan;

/// Records the ring holds before the oldest is overwritten.
pub(crate) const RING: u32 = 1024;

wgsl_struct! {
    /// A piece of a schedule.
    pub struct Piece {
        pub start: u32,
        pub curve: u32,
        /// Steps of the piece, or steps for one factor.
        pub span: f32,
        pub initial: f32,
        /// Value at the end, or log₂ of the factor.
        pub end: f32,
        pub unused_0: u32,
        pub unused_1: u32,
        pub unused_2: u32,
    }
}

wgsl_struct! {
    /// Limits and constants of an optimizer's attempts.
    pub struct Settings {
        pub end_high: f32,
        pub end_low: f32,
        pub accepted_limit: u32,
        pub stages: u32,
        pub partials: u32,
        pub ring: u32,
        pub log_second: f32,
        pub log_mean: f32,
        pub rtol: f32,
        pub atol: f32,
        pub safety: f32,
        pub exponent_0: f32,
        pub exponent_1: f32,
        pub exponent_2: f32,
        pub h_min: f32,
        pub h_max: f32,
        pub most_rejections: u32,
        pub skip_refused: u32,
        pub restart: u32,
        pub first_h: f32,
        pub count: f32,
        pub clip: f32,
        pub rule_0: f32,
        pub rule_1: f32,
        pub rule_2: f32,
        pub rule: u32,
        pub first_exponent: f32,
        /// 1: the smooth limiter.
        pub arctan: u32,
        pub schedule: [Piece; MAX_PIECES],
    }
}

impl Settings {
    /// The settings of an optimizer of so many parameters that begins now and integrates
    /// without end. `automatic`: the device finds the first h itself.
    pub fn of(
        plan: &Plan,
        method: &Method,
        walk: &Traversal,
        parameters: usize,
        step_size: &StepSize,
        automatic: bool,
    ) -> Self {
        let ingredients = plan.ingredients();
        let mut settings = Self {
            accepted_limit: NO_LIMIT,
            stages: plan.evaluations(),
            partials: walk.partials() as u32,
            ring: RING,
            log_second: ingredients.log_second() as f32,
            log_mean: ingredients.log_mean() as f32,
            count: parameters as f32,
            clip: ingredients.clip.unwrap_or(0.0) as f32,
            // The first chunk takes up first_h.
            restart: 1,
            ..Self::default()
        };
        settings.set_end(None);
        settings.set_step_size(step_size);
        if let Some(adaptive) = &ingredients.adaptive {
            settings.set_adaptive(adaptive, plan.error_order());
            settings.first_h = if automatic { 0.0 } else { step_size.at(0) as f32 };
        }
        if let Some(rule) = &ingredients.rule {
            settings.set_rule(rule, method.tableau().a(1, 0));
            settings.first_h = rule.at_curvature(0.0) as f32;
        }
        settings
    }

    /// Sets how h is chosen from now on.
    pub fn set_step_size(&mut self, step_size: &StepSize) {
        self.schedule = [Piece { start: u32::MAX, ..Piece::default() }; MAX_PIECES];
        for (to, piece) in self.schedule.iter_mut().zip(step_size.pieces()) {
            let (number, initial, end, span) = match piece.curve {
                Curve::Linear { from, to, steps } => (curve::LINEAR, from, to, steps),
                Curve::Cosine { from, to, steps } => (curve::COSINE, from, to, steps),
                Curve::Exponential { from, rate, every } => {
                    (curve::EXPONENTIAL, from, rate.log2(), every)
                }
                Curve::Stairs { from, rate, every } => (curve::STAIRS, from, rate.log2(), every),
            };
            *to = Piece {
                start: piece.start,
                curve: number,
                span: span as f32,
                initial: initial as f32,
                end: end as f32,
                ..Piece::default()
            };
        }
    }

    /// Sets how errors, of order `k`, are judged.
    pub fn set_adaptive(&mut self, adaptive: &Adaptive, k: usize) {
        let [now, last, before] = adaptive.exponents(k);
        (self.rtol, self.atol) = (adaptive.rtol as f32, adaptive.atol as f32);
        self.arctan = u32::from(adaptive.limiter == Some(Limiter::Arctan));
        self.safety = adaptive.safety as f32;
        self.exponent_0 = now as f32;
        self.exponent_1 = last as f32;
        self.exponent_2 = before as f32;
        (self.h_min, self.h_max) = (adaptive.h_min as f32, adaptive.h_max as f32);
        self.most_rejections = adaptive.most_rejections;
        self.skip_refused = u32::from(adaptive.rejection == Rejection::Skip);
        self.first_exponent = 1.0 / k as f32;
    }

    /// Sets how h follows from loss and curvature; `lead` is a₂₁ of the method.
    pub fn set_rule(&mut self, given: &Rule, lead: f64) {
        let (number, first, second) = match *given {
            Rule::Dal { p, h_max, .. } => (rule::DAL, h_max, p),
            Rule::RescaledDal { c, p, .. } => (rule::RESCALED_DAL, c, p),
            Rule::Polyak { h_max } => (rule::POLYAK, h_max, 0.0),
            Rule::SgdG2 { h, beta } => (rule::SGD_G2, h, beta),
            Rule::Stable { fraction, h_max } => (rule::STABLE, h_max, fraction),
        };
        (self.rule, self.rule_0, self.rule_1) = (number, first as f32, second as f32);
        self.rule_2 = lead.abs() as f32;
    }

    /// Integrate to `end`, or without end.
    pub fn set_end(&mut self, end: Option<f64>) {
        [self.end_high, self.end_low] = Self::split(end);
    }

    /// Splits the end of time into a sum of two; `f32::MAX` where it does not end.
    pub(crate) fn split(end: Option<f64>) -> [f32; 2] {
        let end = end.unwrap_or(f64::from(f32::MAX));
        let high = end as f32;
        [high, (end - f64::from(high)) as f32]
    }

    /// Rounds a time to what it is on the device.
    pub(crate) fn on_device(time: f64) -> f64 {
        let [high, low] = Self::split(Some(time));
        f64::from(high) + f64::from(low)
    }

    /// The end of time; `f32::MAX` where it does not end.
    pub(crate) fn end(&self) -> f64 {
        f64::from(self.end_high) + f64::from(self.end_low)
    }
}
