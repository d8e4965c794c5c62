//! The control block: what the device decides. WGSL twin:
//! `shaders/shared/control.wgsl`.

use crate::device::kernel::wgsl_struct;

/// The WGSL text of `struct Control`, for kernels of gradient sources.
pub const CONTROL_WGSL: &str = include_str!("../../shaders/shared/control.wgsl");

wgsl_struct! {
    /// State of an optimizer that the device itself advances.
    pub struct Control {
        /// Step size of the attempt under way.
        pub h: f32,
        /// 1 while the attempt under way may change something.
        pub alive: u32,
        /// 1 if the verdict accepted the attempt.
        pub accept: u32,
        /// The step size the judged attempt was made with.
        pub applied_h: f32,
        /// 1 if the attempt under way reaches the end of integration.
        pub last: u32,
        /// The batch to see: attempts accepted or skipped so far, and in the blocks of
        /// [`batching`](crate::batching) what follows from that. Like all counters it goes
        /// on from 0 after 2³² − 1.
        pub batch: u32,
        pub attempts: u32,
        pub accepted: u32,
        pub skipped: u32,
        pub refused: u32,
        pub evaluations: u32,
        /// Time integrated so far, as an unevaluated sum of two `f32`.
        pub time_high: f32,
        pub time_low: f32,
        /// Always 0.
        pub zero: u32,
        /// 1/(1−β₂ᵗ) of the preconditioner for the attempt under way, or 1.
        pub second_scale: f32,
        /// The same of the judged attempt.
        pub applied_second_scale: f32,
        /// 1/(1−βᵗ) of an averaging momentum for the attempt under way, or 1.
        pub mean_scale: f32,
        /// The same of the judged attempt.
        pub applied_mean_scale: f32,
        /// The half of the ingredients' state that accepted attempts left.
        pub parity: u32,
        /// The h that a controller proposes, before it is cut to the end of time.
        pub next_h: f32,
        /// Errors of the last two accepted attempts.
        pub error_1: f32,
        pub error_2: f32,
        /// Attempts refused in a row.
        pub rejections: u32,
        /// Why nothing moves any more: 0 no reason, 1 h fell below its least, 2
        /// too many attempts were refused in a row, 3 an accepted h did not move time.
        pub failure: u32,
        /// The number of the last restart that the host asked for.
        pub restart: u32,
        /// Attempts with a gradient, a loss or an error that was not finite.
        pub non_finite: u32,
        /// The factor of gradients in the attempt under way, to clip
        /// them.
        pub clip: f32,
        /// The same of the judged attempt.
        pub applied_clip: f32,
        /// ‖Hv‖/‖v‖ along the direction v of the step.
        pub curvature: f32,
        /// ‖k₁‖, where it is known before the stages.
        pub grad_norm: f32,
        /// ‖v‖.
        pub field_norm: f32,
        /// The distance of a probe from θ along −v.
        pub probe: f32,
        /// The curvature that the attempt under way found for the next one.
        pub next_curvature: f32,
        /// 1 once the first attempt of all has what it needs.
        pub opened: u32,
        /// ρ of D·H as last estimated.
        pub radius: f32,
        /// The oddity of that estimate: bits of [`Fallback`](crate::reports::Fallback).
        pub radius_state: u32,
        /// 1 while there is a vector for the power iteration to go on with.
        pub has_vector: u32,
        pub vector_norm: f32,
        /// The distance along that vector at which the next iteration looks.
        pub reach: f32,
        /// Stages of the attempt under way where their number varies, else 0.
        pub stages: u32,
        /// Gradients of the attempt under way.
        pub per_attempt: u32,
        /// h before stability bounded it.
        pub wanted_h: f32,
        /// Batches that stages drew in all attempts before, each one of its own. Advances
        /// with `batch`, by the gradients that the plan makes for stages.
        pub cursor: u32,
        /// The step from one stage's batch to the next one's: 1, and in blocks of
        /// [`Accumulated`](crate::batching::Accumulated) as many as there are parts.
        pub stride: u32,
    }
}
