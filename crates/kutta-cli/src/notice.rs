//! A word for those who wait.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use crate::output;

/// Shorter waits need no words.
const MOMENT: Duration = Duration::from_secs(1);

/// Tells on standard error what goes on, if it goes on for longer than a moment; nothing
/// if it is dropped before.
pub struct Notice {
    _done: Sender<()>,
}

impl Notice {
    /// Of whatever goes on.
    pub fn new(text: impl Into<String>) -> Self {
        let (done, waits) = mpsc::channel();
        let text = text.into();
        thread::spawn(move || {
            if let Err(RecvTimeoutError::Timeout) = waits.recv_timeout(MOMENT) {
                output::note(text);
            }
        });
        Self { _done: done }
    }

    /// Until the first attempts are made: most of that time goes to the driver.
    pub fn of_kernels() -> Self {
        Self::new(
            "opening the GPU, compiling kernels and making the first steps; where the driver has \
             no kernels in its cache, that takes a while",
        )
    }
}
