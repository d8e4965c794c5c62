//! Steps that are accepted and move nothing.

use kutta::{Report, Verdict};

/// # Errors
/// An accepted attempt of h = 0: a run of such steps would look like a training and be
/// none.
pub fn check<'r>(reports: impl IntoIterator<Item = &'r Report>) -> Result<(), String> {
    let stands = |report: &&Report| report.verdict == Verdict::Accepted && report.h == 0.0;
    match reports.into_iter().find(stands) {
        None => Ok(()),
        Some(Report { attempt, time, .. }) => Err(format!(
            "attempt {attempt} at t = {time:e} was a step of h = 0, which moves nothing; give \
             --step-size a first h, or --adaptive an atol above 0"
        )),
    }
}
