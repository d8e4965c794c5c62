//! A command encoder whose compute pass is opened when first needed and kept
//! open, so that a whole chunk of attempts stays one pass.

use super::timer::Timing;

/// Records into an encoder, through one shared compute pass where it can.
pub(crate) struct Commands<'a> {
    timing: Option<Timing<'a>>,
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
        Self { timing: None, pass, encoder, used: false }
    }

    /// Passes that are opened from now on write timestamps.
    pub(crate) fn timed(self, timing: Option<Timing<'a>>) -> Self {
        Self { timing, ..self }
    }

    pub(crate) fn reborrow(&mut self) -> Commands<'_> {
        Commands { timing: self.timing, pass: self.pass, encoder: self.encoder, used: false }
    }

    /// Tells whether pass or encoder was asked for since this was borrowed.
    pub(crate) fn used(&self) -> bool {
        self.used
    }

    /// The shared pass, opened if none is open.
    pub(crate) fn pass(&mut self) -> &mut wgpu::ComputePass<'static> {
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
        *self.pass = None;
        self.encoder
    }

    /// Binds, and dispatches `workgroups` in one dimension.
    pub(crate) fn dispatch(
        &mut self,
        pipeline: &wgpu::ComputePipeline,
        bind_group: &wgpu::BindGroup,
        workgroups: [u32; 3],
    ) {
        let pass = self.pass();
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, bind_group, &[]);
        pass.dispatch_workgroups(workgroups[0], workgroups[1], workgroups[2]);
    }
}
