//! Faults of a bench.

use thiserror::Error;

/// Errors that keep a plan from being measured.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum BenchError {
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
