//! What the host tells the device between submits. WGSL twin:
//! `shaders/shared/settings.wgsl`.

use super::kernel::wgsl_struct;
use crate::ingredients::{Curve, MAX_PIECES, StepSize};

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
        pub schedule: [Piece; MAX_PIECES],
    }
}

impl Settings {
    /// How h is chosen from now on.
    pub fn set_step_size(&mut self, step_size: &StepSize) {
        self.schedule = [Piece { start: u32::MAX, ..Piece::default() }; MAX_PIECES];
        for (to, piece) in self.schedule.iter_mut().zip(step_size.pieces()) {
            let (curve, initial, end, span) = match piece.curve {
                Curve::Linear { from, to, steps } => (0, from, to, steps),
                Curve::Cosine { from, to, steps } => (1, from, to, steps),
                Curve::Exponential { from, rate, every } => (2, from, rate.log2(), every),
                Curve::Stairs { from, rate, every } => (3, from, rate.log2(), every),
            };
            *to = Piece {
                start: piece.start,
                curve,
                span: span as f32,
                initial: initial as f32,
                end: end as f32,
                ..Piece::default()
            };
        }
    }

    /// Integrate to `end`, or without end.
    pub fn set_end(&mut self, end: Option<f64>) {
        let end = end.unwrap_or(f64::from(f32::MAX));
        self.end_high = end as f32;
        self.end_low = (end - f64::from(self.end_high)) as f32;
    }
}
