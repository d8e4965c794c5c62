//! Faults of a plan.

use thiserror::Error;

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
