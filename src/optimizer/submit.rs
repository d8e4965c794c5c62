//! Attempts put into encoders, and submits of kutta's own.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_intrusive::channel::shared::oneshot_channel;

use super::hosted::{Deadline, Recorded, Recording, in_foreign_hands};
use super::profile::Profiling;
use super::waiting::Fence;
use super::{Optimizer, Pace};
use crate::device::commands::Commands;
use crate::device::timer::Timing;
use crate::device::waiting::Waiting;
use crate::error::Error;
use crate::recorder::Context;
use crate::reports::OnItsWay;
use crate::source::GradientSource;

impl Optimizer {
    pub(super) fn submit(
        &mut self,
        source: &mut impl GradientSource,
        attempts: u32,
    ) -> Result<(), Error> {
        let _entered = tracing::trace_span!("submit", optimizer = self.id, attempts).entered();
        let began = self.profiling.as_ref().map(Profiling::now);
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        let recording = Recording { attempts, ..Recording::default() };
        let recorded = self.record_attempts(&mut encoder, source, recording)?;
        let Recorded { entry, copy, result } = recorded;
        let submits = match (&mut self.profiling, began) {
            (Some(profiling), Some(began)) => {
                profiling.did("record", began);
                Some(profiling.now())
            }
            _ => None,
        };
        if let (Some(profiling), Some(submits)) = (&mut self.profiling, submits) {
            match result.is_ok() {
                true => {
                    let taken = profiling.spans.take(&mut encoder)?;
                    profiling.submits(taken, submits);
                }
                false => profiling.spans.forget(),
            }
        }
        // After an error too: the attempts before it are whole, and what is
        // there of the failed one touches neither θ nor the control block. With none
        // before it, it is as if nobody had asked.
        if result.is_ok() || entry.attempts() > 0 {
            self.submit_encoder(encoder, copy);
            self.ledger.submitted(entry);
        }
        if let (Some(profiling), Some(submits)) = (&mut self.profiling, submits) {
            profiling.did("submit", submits);
        }
        Ok(result?)
    }

    /// Waits for an opening that was submitted, once: another one would refine ρ, and
    /// whether there is one must not depend on what happens to have arrived.
    pub(super) async fn know_opening(&mut self, waiting: Waiting) -> Result<(), Error> {
        if self.ledger.awaits_opening(&self.reports.progress()) {
            self.wait_with(waiting).await?;
        }
        Ok(())
    }

    pub(super) fn submit_encoder(&mut self, encoder: wgpu::CommandEncoder, copy: Option<OnItsWay>) {
        let (sender, done) = oneshot_channel();
        encoder.on_submitted_work_done(move || {
            // The receiver is gone only with the optimizer.
            let _ = sender.send(());
        });
        let index = self.gpu.queue().submit([encoder.finish()]);
        self.in_flight.push_back(Fence { index, done, copy });
    }

    /// Records attempts and a copy of the ring. An error means that nothing of use was recorded.
    pub(super) fn record_attempts(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        source: &mut impl GradientSource,
        recording: Recording,
    ) -> Result<Recorded, Error> {
        let Recording { attempts, hosted, timed, deadline } = recording;
        let _entered = tracing::trace_span!("record", optimizer = self.id, attempts).entered();
        // Of what is in the host's hands nobody waits for the verdict.
        let waits = !hosted && self.pace == Pace::Wait;
        self.check_fits(source, waits)?;
        let cursor = waits.then(|| self.reports.progress().cursor());
        let begun = AtomicBool::new(false);
        let timing = self.timer.as_ref().filter(|_| timed);
        let timing = timing.map(|timer| Timing { timer, begun: &begun });
        // A source's panic takes it along; who takes the profile then knows of the panic.
        let mut profiling = self.profiling.take();
        let spans = profiling.as_mut().map(|profiling| &mut profiling.spans);
        let mut pass = None;
        let mut commands = Commands::new(encoder, &mut pass).timed(timing).profiled(spans);
        if hosted {
            in_foreign_hands(|| self.recorder().begin(&mut commands))?;
        } else {
            self.recorder().begin(&mut commands);
        }
        let mut result = Ok(());
        let opening = self.ledger.wants_opening(hosted, &self.reports.progress());
        if opening {
            let commands = commands.reborrow();
            let (gpu, state) = (&self.gpu, &self.state);
            let context = Context { gpu, optimizer: self.id, state, cursor, commands, source };
            result = self.recorder().opening(context);
        }
        // Nothing of the optimizer changes until the source has returned: it may panic.
        let mut entry = self.ledger.entry(opening);
        while entry.attempts() < attempts && result.is_ok() {
            if let Some(spans) = commands.spans() {
                spans.begin_attempt();
            }
            let commands = commands.reborrow();
            let (gpu, state) = (&self.gpu, &self.state);
            let context = Context { gpu, optimizer: self.id, state, cursor, commands, source };
            result = self.recorder().attempt(entry.attempts() == 0, entry.renews(), context);
            if result.is_ok() {
                entry.add();
            }
            if deadline.is_some_and(Deadline::is_over) {
                break;
            }
        }
        drop(pass);
        self.profiling = profiling;
        let recorded = entry.attempts();
        let timing = timing.filter(|_| begun.load(Ordering::Relaxed) && recorded > 0 && !opening);
        let timing =
            timing.map(|timing| (timing.timer, recorded * self.variant().plan.evaluations()));
        // Whoever asks for reports collects it.
        let copy = self.reports.record_copy(&self.state, encoder, timing);
        Ok(Recorded { entry, copy, result })
    }
}
