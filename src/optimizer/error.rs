//! Faults of an optimizer and of its drives.

use thiserror::Error;

use crate::format::Storage;
use crate::reports::error::NotFinite;

/// Errors of an optimizer.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum OptimizerError {
    #[error(
        "{what} would take {needed} bytes in one buffer; this device's max_buffer_size is \
         {limit}. {remedy}"
    )]
    BufferTooLarge { what: &'static str, needed: u64, limit: u64, remedy: String },
    #[error(
        "the optimizer would take {needed} bytes, {vectors} vectors of the parameters' length \
         among them; there are {available}. {remedy}"
    )]
    MemoryTooSmall { needed: u64, available: u64, vectors: usize, remedy: String },
    #[error(
        "{what} was made on another Gpu than this optimizer; adopt a device once and clone the Gpu"
    )]
    OtherDevice { what: &'static str },
    #[error(
        "the gradient source is for other parameters than this optimizer: {difference}. Build the \
         optimizer with the source's own layout"
    )]
    OtherLayout { difference: String },
    #[error(
        "nothing was recorded, for the encoder is of another device or instance, or invalid: \
         {reason}. Take one of the optimizer's own device with no pass open, and drop this one"
    )]
    Encoder { reason: String },
    #[error("no step size was given; add `.step_size(StepSize::constant(h))` to the builder")]
    NoStepSize,
    #[error("initial value {index} (in `{tensor}`) is {value:?}; all must be finite")]
    Initial { index: usize, value: f32, tensor: String },
    #[error(
        "one workgroup was to end attempts for {found} parameters, padding counted; `Ending::Fused` \
         is for at most {most}. Take `Ending::Automatic`"
    )]
    EndingTooLong { found: usize, most: usize },
    #[error(
        "attempts of method `{method}` with these ingredients end in no one dispatch; take \
         `Ending::Automatic` in place of `Ending::Fused`"
    )]
    NoEnding { method: String },
    #[error("{found} attempts per submit; there can be 1 to {most}")]
    PerSubmit { found: u32, most: u32 },
    #[error(
        "a profile of {found} attempts; it can have 1 to {most}, whose medians say as much as those \
         of more would"
    )]
    Profiled { found: u64, most: u64 },
    #[error("{found} attempts in one recording; there can be 1 to {most}")]
    PerRecording { found: u32, most: u32 },
    #[error("an end time of {t_end:?} is not ahead of the present time {now:?}, or not finite")]
    End { t_end: f64, now: f64 },
    #[error(
        "t_end = {t_end:?} is beyond the end of time that was set, {end:?}; move that by \
         `set_end`, or lift it by `set_end(None)`"
    )]
    BeyondEnd { t_end: f64, end: f64 },
    #[error(
        "the end of time that was set, {end:?}, is reached after {accepted} of {wanted} accepted \
         steps; move it by `set_end`, or lift it by `set_end(None)`"
    )]
    EndReached { end: f64, accepted: u64, wanted: u64 },
    #[error(
        "steps of h = {h:?} do not move the time t = {time:?} any more, which the device counts to \
         48 bits ({attempts} such in a row); nothing would ever get further. {remedy}"
    )]
    Standing { h: f32, time: f64, attempts: u64, remedy: &'static str },
    #[error(
        "rounding θ to f32 alone is {times:.3} times the tolerance (rtol = {rtol:?}, atol = \
         {atol:?}), so that no step could keep it; raise atol, or take an rtol of 1e-6 or more"
    )]
    Rounding { rtol: f64, atol: f64, times: f64 },
    #[error(
        "{attempts} attempts in a row were skipped, for their gradients or losses were not \
         finite{}; look at the data and at the model, or take a smaller step size",
        at.as_ref().map_or(String::new(), |at| format!(" (the last one: {at})"))
    )]
    Stalled { attempts: u64, at: Option<NotFinite> },
    #[error(
        "an adaptive run starts from one step size, not from a schedule: give a constant, or none \
         to have it estimated"
    )]
    AdaptiveSchedule,
    #[error(
        "this optimizer was planned for another kind of step size; only its numbers can change. \
         Build another one from `params().read()`"
    )]
    OtherRule,
    #[error(
        "tensor `{tensor}` is in parameter group {group}, and there are multipliers for {found} \
         groups; give one for each, counted from 0"
    )]
    NoGroup { tensor: String, group: u32, found: usize },
    #[error("every tensor is in a frozen parameter group; nothing would ever move")]
    AllFrozen,
    #[error(
        "the step size fell to {h:?}, below h_min = {h_min:?}, at an error of {error:?} times the \
         tolerance; raise rtol or atol, lower h_min, or take a method for stiff problems"
    )]
    StepSizeUnderflow { h: f32, h_min: f32, error: f32 },
    #[error(
        "{rejections} attempts in a row were refused; the last had h = {h:?} and an error of \
         {error:?} times the tolerance. Start with a smaller step size, or raise rtol or atol"
    )]
    TooManyRejections { rejections: u32, h: f32, error: f32 },
    #[error(
        "this gradient source draws its batches on the host, which cannot draw one again after a \
         refusal it does not know of; add `.rejection(Rejection::Skip)` to the adaptive step \
         size, or `.pace(Pace::Wait)` to the builder and call `run`"
    )]
    HostBatches,
    #[error(
        "the step size follows Hessian-vector products, and this gradient source gives none \
         (`GradientSource::products`); take its curvature from a probe or from the stages"
    )]
    NoProducts,
    #[error(
        "method `{method}` was built with {stages} stages; {found} are not another form of it that \
         keeps the same state"
    )]
    Stages { method: String, stages: u32, found: u32 },
    #[error(
        "the optimizer was built for a source that adds gradients up where they are written, and \
         this gradient source does not (`GradientSource::adds`); build it for this one \
         (`.source(&source)`), or for any (without `.source`)"
    )]
    NotAdding,
    #[error(
        "the optimizer was built for a source that writes gradients as {storage}, and this \
         gradient source does not (`GradientSource::writes`); build it for this one \
         (`.source(&source)`), or for any (without `.source`), and kutta packs what it writes in \
         f32"
    )]
    NotNarrow { storage: Storage },
    #[error(
        "the optimizer was built for a source that checks what it writes, by up to {most} partial \
         sums, and this gradient source leaves {found} (`GradientSource::checks`); build it for \
         this one (`.source(&source)`), or for any (without `.source`)"
    )]
    NotChecking { found: u32, most: u32 },
    #[error("this gradient source submits work of its own; use `step` or `run`, not `record`")]
    SourceSubmits,
}
