//! A word for those who wait.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;
use std::{env, thread};

use crate::output;

/// Shorter waits need no words.
const MOMENT: Duration = Duration::from_secs(1);

/// Seconds to wait in silence, in place of a moment: tests do not depend on the machine then.
pub const PATIENCE: &str = "KUTTA_PATIENCE";

/// Tells on standard error what goes on, if it goes on for longer than a moment; nothing
/// if it is dropped before.
pub struct Notice {
    _done: Sender<()>,
}

impl Notice {
    /// Tells of whatever goes on.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::after(patience(env::var(PATIENCE).ok()), move || output::note(text))
    }

    fn after(patience: Duration, tell: impl FnOnce() + Send + 'static) -> Self {
        let (done, waits) = mpsc::channel();
        thread::spawn(move || {
            if let Err(RecvTimeoutError::Timeout) = waits.recv_timeout(patience) {
                tell();
            }
        });
        Self { _done: done }
    }

    /// Tells until the first attempts are made: most of that time goes to the driver.
    pub fn of_kernels() -> Self {
        Self::new(
            "opening the GPU, compiling kernels and making the first steps; where the driver has \
             no kernels in its cache, that takes a while",
        )
    }
}

/// What is no number of seconds changes nothing.
fn patience(seconds: Option<String>) -> Duration {
    seconds
        .and_then(|text| text.parse().ok())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .unwrap_or(MOMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_job_is_told_of_and_a_short_one_is_not() {
        let (tell, told) = mpsc::channel();
        let long = {
            let tell = tell.clone();
            Notice::after(Duration::ZERO, move || tell.send("long").unwrap())
        };
        // The job lasts until it is told of.
        assert_eq!(told.recv_timeout(Duration::from_secs(60)), Ok("long"));
        drop(long);
        drop(Notice::after(Duration::from_secs(3600), move || tell.send("short").unwrap()));
        // Its thread ends and drops the sender, having sent nothing.
        let silence = told.recv_timeout(Duration::from_secs(60));
        assert_eq!(silence, Err(RecvTimeoutError::Disconnected));
    }

    #[test]
    fn patience_is_a_moment_unless_seconds_say_otherwise() {
        let read = |text: &str| patience(Some(text.into()));
        assert_eq!((read("0"), read("1.5")), (Duration::ZERO, Duration::from_millis(1500)));
        for bad in ["", "x", "-1", "inf", "NaN"] {
            assert_eq!(read(bad), MOMENT, "{bad}");
        }
        assert_eq!(patience(None), MOMENT);
    }
}
