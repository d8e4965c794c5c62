//! Every error is a value with the numbers in it and a way out.

use std::path::{Path, PathBuf};

use thiserror::Error;

#[cfg(feature = "checkpoint")]
pub use crate::checkpoint::CheckpointError;
use crate::ingredients::Storage;
use crate::layout::Init;
use crate::source::SourceError;

/// Anything that kutta can refuse to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(transparent)]
    Gpu(#[from] GpuError),
    #[error(transparent)]
    Tableau(#[from] TableauError),
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Ingredient(#[from] IngredientError),
    #[error(transparent)]
    Optimizer(#[from] OptimizerError),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Measure(#[from] MeasureError),
    #[cfg(feature = "checkpoint")]
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("the gradient source recorded nothing: {0}")]
    Source(#[from] SourceError),
}

/// What keeps a plan from being measured.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum MeasureError {
    #[error("vectors of {found} elements cannot be measured; there can be 1 to {most}")]
    Length { found: usize, most: usize },
    #[error(
        "{sets} sets of buffers for {n} elements would take {needed} bytes; there are {available}. \
         Take fewer elements or sets"
    )]
    Memory { n: usize, sets: usize, needed: u64, available: u64 },
    #[error(
        "{accepted} of {attempts} attempts were accepted ({skipped} skipped, {refused} refused): \
         the kernels that write θ left early, and a time would say nothing"
    )]
    NotAccepted { attempts: u32, accepted: u32, skipped: u32, refused: u32 },
    #[error(
        "{what} of method `{method}`: element {index} is {found:?}, and f64 says {expected:?}; no \
         speed makes up for that"
    )]
    Differs { method: String, what: String, index: usize, found: f32, expected: f64 },
}

/// Methods that cannot be planned.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum PlanError {
    #[error("method `{method}` cannot be planned: {reason}")]
    Unsupported { method: String, reason: &'static str },
    #[error(
        "method `{method}` has no embedded error estimate to adapt its step size by; methods that \
         do are {pairs}"
    )]
    NoPair { method: String, pairs: String },
}

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

/// What an optimizer refuses.
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
    #[error("{found} attempts per submit; there can be 1 to {most}")]
    PerSubmit { found: u32, most: u32 },
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
         finite; look at the data and at the model, or take a smaller step size"
    )]
    Stalled { attempts: u64 },
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
        "gradients are to be added up where they are written, and this gradient source does not \
         (`GradientSource::adds`); leave `.adds(true)` out of the builder"
    )]
    NotAdding,
    #[error(
        "gradients are to be written as {storage}, and this gradient source does not \
         (`GradientSource::writes`); leave `.writes_narrow(true)` out of the builder, and kutta \
         packs what it writes in f32"
    )]
    NotNarrow { storage: Storage },
    #[error("this gradient source submits work of its own; use `step` or `run`, not `record`")]
    SourceSubmits,
}

/// Faults of a [`ParamLayout`](crate::ParamLayout).
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum LayoutError {
    #[error(
        "tensor `{name}` is in {found} of the given parameter groups; it must be in exactly one"
    )]
    Regrouped { name: String, found: usize },
    #[error("a parameter layout needs a parameter; this one has no tensors")]
    Empty,
    #[error("tensor `{name}` of shape {shape:?} has no elements")]
    EmptyTensor { name: String, shape: Vec<usize> },
    #[error("tensor `{name}` is there twice; give each its own name")]
    DuplicateTensor { name: String },
    #[error("the elements of tensor `{name}` overflow the address space")]
    TooLarge { name: String },
    #[error("tensor `{name}` has initial values that are not finite: {init:?}")]
    Init { name: String, init: Init },
    #[error("no tensor `{name}`; there are: {known}")]
    UnknownTensor { name: String, known: String },
    #[error("{found} values for a layout of {expected} (padding between tensors included)")]
    Length { expected: usize, found: usize },
}

/// What the device or its driver cannot do.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum GpuError {
    #[error("no GPU adapter{wanted}: {found}. {remedy}")]
    NoAdapter { wanted: String, found: String, remedy: &'static str },
    #[error(
        "the environment variable {variable} is `{value}`: {fault}. It takes {known}, or several \
         with commas between; without it all of them are looked at"
    )]
    Environment { variable: &'static str, value: String, fault: String, known: String },
    #[error("adapter `{adapter}` gave no device: {reason}")]
    NoDevice { adapter: String, reason: String },
    #[error(
        "{what} needs {needed} bytes in one buffer; this device's max_buffer_size is {limit}. \
         Use fewer parameters, or a device with larger buffers"
    )]
    BufferTooLarge { what: String, needed: u64, limit: u64 },
    #[error(
        "{what} needs {limit} of at least {needed}; this device has {found}. Ask for as much in \
         `required_limits` where the device is requested"
    )]
    LimitTooSmall { what: String, limit: &'static str, needed: u64, found: u64 },
    #[error(
        "{what} needs {limit} of at most {most}; this device has {found}. Ask for as little in \
         `required_limits` where the device is requested"
    )]
    LimitTooLarge { what: String, limit: &'static str, most: u64, found: u64 },
    #[error(
        "adapter `{adapter}` ({backend}) has no compute shaders; take one with Vulkan, Metal, DX12 \
         or WebGPU, where all have them"
    )]
    NoCompute { adapter: String, backend: String },
    #[error(
        "the vectors of an evaluation cannot be read on the host while the source is being asked: \
         what writes them is recorded and not submitted yet, so old values would be read. Let \
         `GradientSource::submits` give true; kutta then submits that first"
    )]
    NotSubmitted,
    #[error("the device has no memory for {what} ({bytes} bytes)")]
    OutOfMemory { what: String, bytes: u64 },
    #[error(
        "the device was lost while {during}; build a new Gpu and start again from saved parameters"
    )]
    DeviceLost { during: &'static str },
}

/// Faults of a [`Tableau`](crate::Tableau). Rows and columns count from 1.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum TableauError {
    #[error(
        "tableau `{tableau}` has {found} stages (weights in b); it can have 1 to {max}. \
         Larger step sizes come from stabilised methods, not from longer tableaus"
    )]
    Stages { tableau: String, found: usize, max: usize },
    #[error(
        "tableau `{tableau}` has {found} rows in a for {expected} stages (weights in b); \
         give one row per stage, the first one empty"
    )]
    Rows { tableau: String, expected: usize, found: usize },
    #[error(
        "row {row} of a in tableau `{tableau}` has {found} entries; give the {} left of the \
         diagonal, or all {stages} with zeros from the diagonal on", .row - 1
    )]
    RowLength { tableau: String, row: usize, stages: usize, found: usize },
    #[error("{vector} of tableau `{tableau}` has {found} entries for {expected} stages")]
    Length { tableau: String, vector: &'static str, expected: usize, found: usize },
    #[error(
        "row {row}, column {column} of a in tableau `{tableau}` is {value:?}; it must be zero on \
         and above the diagonal, for only explicit methods can be run"
    )]
    Implicit { tableau: String, row: usize, column: usize, value: f64 },
    /// b and b_hat are rows of a tableau, c is a column.
    #[error(
        "row {row}, column {column} of {vector} in tableau `{tableau}` is {value}; coefficients \
         are numbers, finite and at most {max:?} in size. Look for a missing digit or a division \
         by zero"
    )]
    Coefficient {
        tableau: String,
        vector: &'static str,
        row: usize,
        column: usize,
        /// As it is written, where it comes from a file.
        value: String,
        max: f64,
    },
    #[error(
        "row {row} of a in tableau `{tableau}` sums to {sum:?}, but c_{row} = {c:?}; correct one \
         of the two (fractions in full f64 precision), or leave c out to have it derived"
    )]
    RowSum { tableau: String, row: usize, sum: f64, c: f64 },
    #[error(
        "{vector} of tableau `{tableau}` sums to {sum:?}, not to 1: the method would not even \
         follow a constant slope. Give the weights in full f64 precision"
    )]
    WeightSum { tableau: String, vector: &'static str, sum: f64 },
    #[error(
        "the embedded weights b_hat of tableau `{tableau}` equal b: the error estimate would \
         always be zero. Give the weights of another method on the same stages"
    )]
    EmbeddedEqual { tableau: String },
    #[error(
        "`{path}` names a file, and this kutta was built without its feature `json`, which reads it"
    )]
    NoJson { path: PathBuf },
    /// Everything that is wrong with a tableau in JSON, a line for each.
    #[error("{}", listed(.file.as_deref(), .faults))]
    Json { file: Option<PathBuf>, faults: Vec<TableauError> },
    #[error("the file cannot be read: {reason}")]
    Unreadable { reason: String },
    #[error("{found} bytes and more; a tableau of 64 stages fits into {max}")]
    TooLong { found: usize, max: usize },
    #[error(
        "line {line}, column {column}: {reason}. JSON wants double quotes, a comma between entries \
         and none after the last, and no comments"
    )]
    Syntax { line: usize, column: usize, reason: String },
    #[error("line {line}, column {column}: there is no field `{field}`; there are: {known}")]
    UnknownField { line: usize, column: usize, field: String, known: String },
    #[error(
        "line {line}, column {column}: field `{field}` is there already, in line {first}; keep one \
         of the two"
    )]
    DuplicateField { line: usize, column: usize, field: &'static str, first: usize },
    #[error("line {line}, column {column}: {field} is {found}; it must be {wanted}")]
    FieldKind { line: usize, column: usize, field: String, found: String, wanted: &'static str },
    #[error("field `{field}` is missing; add {wanted}")]
    MissingField { field: &'static str, wanted: &'static str },
    #[error(
        "tableau `{tableau}` has weights of lower order, b_low, and no b_hat that they would go \
         with; give b_hat too, or b_low as b_hat"
    )]
    LowerAlone { tableau: String },
    #[error(
        "the registers of method `{method}` make no method: {stages} stages with coefficients that \
         are finite and at most 1e6, and as many embedded weights ({weights} here) or one more, \
         are wanted"
    )]
    Registers { method: String, stages: usize, weights: usize },
    #[error("no method `{name}`; there are: {known}")]
    Unknown { name: String, known: String },
    #[error(
        "{family} has no form of {found} stages; the next number that it has is {next}, the most \
         is {most}"
    )]
    StageCount { family: &'static str, found: u32, next: u32, most: u32 },
    #[error("the damping of {family} must be above 0 and at most 100; this one is {damping:?}")]
    Damping { family: &'static str, damping: f64 },
    #[error(
        "`{part}` in `{method}` is not understood; write NAME:stages=N or NAME:most=N, and for \
         rkc1 and rkcd damping=X"
    )]
    Parameter { method: String, part: String },
}

/// One fault a line, each after the name of the file that it is in.
fn listed(file: Option<&Path>, faults: &[TableauError]) -> String {
    let file = file.map_or(String::new(), |file| format!("{}: ", file.display()));
    let lines: Vec<String> = faults.iter().map(|fault| format!("{file}{fault}")).collect();
    lines.join("\n")
}

/// What the f64 reference refuses to compute.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum ReferenceError {
    #[error("no problem `{name}`; there are: {known}")]
    UnknownProblem { name: String, known: String },
    #[error("problem `{problem}` has {expected} parameters, not {found}")]
    Dimension { problem: String, expected: String, found: usize },
    #[error(
        "eigenvalue {index} (counted from 1) of the quadratic is {value:?}; all must be finite"
    )]
    Eigenvalue { index: usize, value: f64 },
    #[error("a step size must be positive and finite; this one is {h:?}")]
    StepSize { h: f64 },
    #[error("an end time must be zero or more, and finite; this one is {t_end:?}")]
    EndTime { t_end: f64 },
    #[error(
        "{t_end:?} / {h:?} is about {steps:?} steps, more than can be counted; use a larger step \
         size or an earlier end"
    )]
    TooManySteps { t_end: f64, h: f64, steps: f64 },
    #[error("the gradient at stage {stage} has {found} elements for {expected} parameters")]
    GradientLength { stage: usize, expected: usize, found: usize },
}

/// Faults of a data set or of the files it comes in.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum DataError {
    #[error("`{folder}` is not a folder that can be read ({reason}); it should hold {wanted}")]
    Folder { folder: PathBuf, reason: String, wanted: String },
    #[error("folder `{folder}` has neither `{name}.gz` nor `{name}`; it should hold {wanted}")]
    MissingFile { folder: PathBuf, name: &'static str, wanted: String },
    #[error("`{file}` cannot be read after its first {after} bytes of content: {reason}")]
    Read { file: PathBuf, after: u64, reason: String },
    #[error(
        "`{file}` is damaged: its gzip stream breaks after {after} bytes of content: {reason}. \
         Fetch the file again"
    )]
    Gzip { file: PathBuf, after: u64, reason: String },
    #[error(
        "`{file}` starts with the magic number {found:#010x}; {expected:#010x} was expected \
         (unsigned bytes, {dimensions} dimensions)"
    )]
    Magic { file: PathBuf, expected: u32, found: u32, dimensions: u8 },
    #[error(
        "`{file}` holds elements of type {found:#04x} (magic number {magic:#010x}); \
         only unsigned bytes, 0x08, are supported"
    )]
    ElementType { file: PathBuf, found: u8, magic: u32 },
    #[error(
        "`{file}` is truncated: {found} bytes of content, where {expected} are needed ({what})"
    )]
    Truncated { file: PathBuf, expected: u64, found: u64, what: String },
    #[error("`{file}` goes on after the {expected} bytes that it should have ({what})")]
    Trailing { file: PathBuf, expected: u64, what: String },
    #[error("the dimensions of `{file}`, {dimensions:?}, overflow the address space")]
    Dimensions { file: PathBuf, dimensions: Vec<u32> },
    #[error(
        "`{images_file}` has {images} images and `{labels_file}` has {labels} labels; \
         they should be as many"
    )]
    ImagesAndLabels { images_file: PathBuf, images: usize, labels_file: PathBuf, labels: usize },
    #[error(
        "training images are {train_height} x {train_width} and test images are \
         {test_height} x {test_width}; they should be alike"
    )]
    Shape { train_height: usize, train_width: usize, test_height: usize, test_width: usize },
    #[error("there are no samples in {what}")]
    NoSamples { what: String },
    #[error("{samples} samples; at most {most} can be counted")]
    TooManySamples { samples: usize, most: usize },
    #[error("{values} input values do not make whole samples of width {width}")]
    InputWidth { values: usize, width: usize },
    #[error("{values} target values do not make whole targets of width {width}")]
    TargetWidth { values: usize, width: usize },
    #[error("{samples} samples with {targets} targets; they should be as many")]
    TargetCount { samples: usize, targets: usize },
    #[error("{what} {index} is {label}, beyond the {classes} classes counted from 0")]
    Label { what: String, index: usize, label: u8, classes: usize },
    #[error("the {what} of sample {sample} is {value} at element {element}; it should be finite")]
    NotFinite { what: &'static str, sample: usize, element: usize, value: f32 },
    #[error("an extent of {extent:?} texels; each side needs one, and all at most {most}")]
    Extent { extent: Vec<usize>, most: usize },
    #[error("texels of {channels} channels; there can be 1 to 4")]
    Channels { channels: usize },
    #[error(
        "{found} values for {extent:?} texels of {channels} channels; they should be {expected}"
    )]
    TexelCount { extent: Vec<usize>, channels: usize, expected: usize, found: usize },
    #[error("a batch of {batch} from {samples} samples; choose one of 1 to {samples}")]
    Batch { batch: usize, samples: usize },
}

/// What a model refuses.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum ModelError {
    #[error(
        "this problem's gradient is not zero at zero, so padding between tensors would move; take \
         tensors of whole multiples of 64 elements, but for the last"
    )]
    Padded,
    #[error("a network needs at least an input and an output width; these are {widths:?}")]
    TooFewWidths { widths: Vec<usize> },
    #[error("width {index} (counted from 0) of {widths:?} is zero")]
    ZeroWidth { widths: Vec<usize>, index: usize },
    #[error("ω of a sine must be finite and above 0; this one is {omega:?}. SIREN's is 30")]
    Omega { omega: f32 },
    #[error("{what}: {found}; there can be {least} to {most}")]
    Encoding { what: &'static str, found: f64, least: f64, most: f64 },
    #[error("a batch of {rows} points; choose one of 1 to {most}")]
    Rows { rows: usize, most: usize },
    #[error("an extent of {found} dimensions for a field of {wanted}")]
    Dimensions { found: usize, wanted: usize },
    #[error("samples of {found} inputs for a network whose first width is {width}")]
    InputWidth { width: usize, found: usize },
    #[error("targets of {found} classes or values for a network whose last width is {width}")]
    OutputWidth { width: usize, found: usize },
    #[error(
        "`Products::Fused` does up to {layers} layers of widths up to {width}, from at most \
         {inputs} inputs, or 1024 where there is one layer of up to 16 outputs; these widths are \
         {widths:?}. `Products::Auto` fuses what it can"
    )]
    NotFused { widths: Vec<usize>, layers: usize, width: usize, inputs: usize },
    #[error("cross-entropy wants labels, and these targets are dense; use `Loss::MeanSquare`")]
    DenseTargets,
    #[error(
        "{what} needs {bytes} bytes in one binding; this device binds at most {limit}. Use a \
         smaller batch or narrower layers; keep images as bytes, or fewer of them"
    )]
    TooLarge { what: &'static str, bytes: u64, limit: u64 },
}
