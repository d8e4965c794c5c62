//! Faults of ingredients.

use thiserror::Error;

/// Faults of step sizes, preconditioners and momentum.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum IngredientError {
    #[error("a step size must be positive and finite; this one is {h:?}")]
    StepSize { h: f32 },
    #[error("{key} of {ingredient} must be {range}; this one is {found:?}")]
    OutOfRange { ingredient: &'static str, key: &'static str, found: f64, range: &'static str },
    #[error(
        "`{rule}` cannot be a piece of a schedule or be warmed up, for its h follows what it sees \
         and not the number of the step; take either a rule or a schedule. A rule that is to \
         start gently starts with a smaller bound (c or h-max), raised by `set_step_size`"
    )]
    RuleInSchedule { rule: String },
    #[error("a warm-up of 0 steps; leave the warm-up out, or give it 1 step or more")]
    NoWarmUp,
    #[error(
        "the step sizes of this schedule get to t = {reach:?}, in {steps} steps, and never to \
         t_end = {t_end:?}; take an end before that, or a schedule whose step sizes stay larger"
    )]
    Unreached { reach: f64, steps: u64, t_end: f64 },
    #[error(
        "rtol = {rtol:?} is less than rounding: parameters are f32, which tell {least:.3e} of a \
         number and no less, so that no step could keep it. Take 1e-6 or more, or rtol=0 with \
         an atol that fits the parameters"
    )]
    Tolerance { rtol: f64, least: f64 },
    #[error("`{key}` is there twice in `{text}`; keep one of the two")]
    Twice { text: String, key: String },
    #[error("`{key}` in `{text}` has no effect without `{needs}`; add that, or leave `{key}` out")]
    NoEffect { text: String, key: String, needs: &'static str },
    #[error("`{text}` has a decimal comma; write `{suggestion}`")]
    DecimalComma { text: String, suggestion: String },
    #[error("weight decay must be finite and not negative; this one is {found:?}")]
    WeightDecay { found: f64 },
    #[error("a schedule of {found} pieces; there can be {most}")]
    TooManyPieces { found: usize, most: usize },
    #[error("a piece of the schedule begins at step {start}, not after the one at step {before}")]
    PieceOrder { start: u32, before: u32 },
    #[error("the piece of the schedule that begins at step {start} has no steps")]
    NoSteps { start: u32 },
    #[error(
        "the step size cannot follow both an error estimate and a rule such as DAL or Polyak's; \
         drop one of the two"
    )]
    TwoRules,
    #[error("{key} of parameter group {group} must be zero or more, and finite; it is {found:?}")]
    Group { group: usize, key: &'static str, found: f64 },
    #[error("h_min = {h_min:?} is above h_max = {h_max:?}; no step size is between them")]
    Bounds { h_min: f64, h_max: f64 },
    #[error("no ingredient is named `{found}`; there are {names}")]
    UnknownName { found: String, names: &'static str },
    #[error("`{text}` wants a value `{key}=…`")]
    Missing { text: String, key: &'static str },
    #[error("`{part}` in `{text}` is not understood; write NAME or NAME:key=value,key=value")]
    Syntax { text: String, part: String },
}
