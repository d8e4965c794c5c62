//! A command encoder whose compute pass is opened when first needed and kept
//! open, so that a whole chunk of attempts stays one pass.

use super::Pipeline;
use super::spans::{Place, Spans};
use super::timer::Timing;

/// Records into an encoder, through one shared compute pass where it can.
pub(crate) struct Commands<'a> {
    timing: Option<Timing<'a>>,
    /// Where somebody takes a profile.
    spans: Option<&'a mut Spans>,
    pass: &'a mut Option<wgpu::ComputePass<'static>>,
    encoder: &'a mut wgpu::CommandEncoder,
    /// Somebody has asked for one of the two.
    used: bool,
}

impl<'a> Commands<'a> {
    /// `pass` is the slot that keeps the open pass between calls; whoever owns
    /// it empties it before the encoder is used elsewhere.
    pub(crate) fn new(
        encoder: &'a mut wgpu::CommandEncoder,
        pass: &'a mut Option<wgpu::ComputePass<'static>>,
    ) -> Self {
        Self { timing: None, spans: None, pass, encoder, used: false }
    }

    /// Passes that are opened from now on write timestamps.
    pub(crate) fn timed(self, timing: Option<Timing<'a>>) -> Self {
        Self { timing, ..self }
    }

    /// Whatever is recorded from now on lies between timestamps.
    pub(crate) fn profiled(self, spans: Option<&'a mut Spans>) -> Self {
        Self { spans, ..self }
    }

    pub(crate) fn reborrow(&mut self) -> Commands<'_> {
        let spans = self.spans.as_deref_mut();
        Commands { timing: self.timing, spans, pass: self.pass, encoder: self.encoder, used: false }
    }

    /// Tells whether pass or encoder was asked for since this was borrowed.
    pub(crate) fn used(&self) -> bool {
        self.used
    }

    /// The shared pass, opened if none is open, for dispatches of a source's own.
    pub(crate) fn pass(&mut self) -> &mut wgpu::ComputePass<'static> {
        if let Some(spans) = &mut self.spans {
            spans.in_pass(Place { pass: self.pass, encoder: self.encoder });
        }
        self.open()
    }

    fn open(&mut self) -> &mut wgpu::ComputePass<'static> {
        self.used = true;
        self.pass.get_or_insert_with(|| {
            self.encoder
                .begin_compute_pass(&wgpu::ComputePassDescriptor {
                    label: Some("kutta"),
                    timestamp_writes: self.timing.map(Timing::writes),
                })
                .forget_lifetime()
        })
    }

    /// The encoder itself; ends the shared pass.
    pub(crate) fn encoder(&mut self) -> &mut wgpu::CommandEncoder {
        self.used = true;
        if let Some(spans) = &mut self.spans {
            spans.in_encoder(Place { pass: self.pass, encoder: self.encoder });
        }
        *self.pass = None;
        self.encoder
    }

    /// Binds, and dispatches `workgroups`; a profile has it under its kernel's name.
    pub(crate) fn dispatch(
        &mut self,
        pipeline: &Pipeline,
        bind_group: &wgpu::BindGroup,
        workgroups: [u32; 3],
    ) {
        if let Some(spans) = &mut self.spans {
            let place = Place { pass: self.pass, encoder: self.encoder };
            spans.begin(pipeline.name(), workgroups, place);
        }
        let pass = self.open();
        pass.set_pipeline(pipeline.pipeline());
        pass.set_bind_group(0, bind_group, &[]);
        pass.dispatch_workgroups(workgroups[0], workgroups[1], workgroups[2]);
        if let Some(spans) = &mut self.spans {
            spans.end(Place { pass: self.pass, encoder: self.encoder });
        }
    }

    /// Names what a source records from now on; an empty name ends that.
    pub(crate) fn label(&mut self, label: &str) {
        if let Some(spans) = &mut self.spans {
            spans.label(label, Place { pass: self.pass, encoder: self.encoder });
        }
    }

    /// The label that [`Commands::label`] set, for [`Commands::restore_label`].
    pub(crate) fn labelled(&self) -> Option<usize> {
        self.spans.as_ref().and_then(|spans| spans.named())
    }

    /// Ends what a source recorded, and what it called that.
    pub(crate) fn restore_label(&mut self, label: Option<usize>) {
        if let Some(spans) = &mut self.spans {
            spans.restore(label, Place { pass: self.pass, encoder: self.encoder });
        }
    }

    /// Where a profile is taken, what it is taken with.
    pub(crate) fn spans(&mut self) -> Option<&mut Spans> {
        self.spans.as_deref_mut()
    }
}
