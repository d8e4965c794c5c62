//! What is recorded: evaluations of the source, dispatches, and padding that is cleared.

use crate::device::commands::Commands;
use crate::device::{Gpu, Pipeline};
use crate::plan::{Check, Purpose, Slot};
use crate::source::{self, BatchTicket, Cursor, Evaluation, GradientSource, SourceError};
use crate::state::State;

#[derive(Debug)]
pub(super) enum Item {
    Evaluate {
        purpose: Purpose,
        point: Slot,
        gradient: Slot,
        direction: Option<Slot>,
        loss: Loss,
        adds: bool,
        check: Option<Check>,
        /// Stages before it; of what is no stage, none.
        draw: u32,
    },
    Dispatch(Dispatch),
    /// Zeros in the padding between tensors.
    Clear(Slot),
}

/// The buffer that takes an evaluation's loss.
#[derive(Clone, Copy, Debug)]
pub(super) enum Loss {
    AtTheta,
    AtCandidate,
    Nowhere,
}

/// One dispatch, ready to be recorded.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pub(crate) pipeline: Pipeline,
    pub(crate) bind_group: wgpu::BindGroup,
    pub(crate) groups: u32,
}

impl Dispatch {
    pub(super) fn new(pipeline: &Pipeline, bind_group: wgpu::BindGroup, groups: u32) -> Self {
        Self { pipeline: pipeline.clone(), bind_group, groups }
    }

    pub(super) fn record(&self, commands: &mut Commands<'_>) {
        commands.dispatch(&self.pipeline, &self.bind_group, [self.groups, 1, 1]);
    }

    /// Records it as a source would: no profile sees it by itself.
    pub(crate) fn record_bare(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(self.pipeline.pipeline());
        pass.set_bind_group(0, &self.bind_group, &[]);
        pass.dispatch_workgroups(self.groups, 1, 1);
    }
}

/// The context that recording needs besides the recorder.
pub(crate) struct Context<'a> {
    pub(crate) gpu: &'a Gpu,
    pub(crate) optimizer: u64,
    pub(crate) state: &'a State,
    /// The cursor that names the batches, where the host knows it.
    pub(crate) cursor: Option<Cursor>,
    pub(crate) commands: Commands<'a>,
    pub(crate) source: &'a mut dyn GradientSource,
}

/// Bytes of a word of [`State::checks`].
const SLOT: u64 = 4;

pub(super) fn record(items: &[Item], mut context: Context<'_>) -> Result<(), SourceError> {
    // One for all of them: the verdict that may advance the batch comes after the last.
    let ticket = BatchTicket::new();
    for item in items {
        let (purpose, point, gradient, direction, loss, adds, check, draw) = match item {
            Item::Dispatch(dispatch) => {
                dispatch.record(&mut context.commands);
                continue;
            }
            Item::Clear(slot) => {
                let Context { gpu, state, commands, .. } = &mut context;
                state.padding.clear(gpu, *slot, &state.vectors[*slot], commands);
                continue;
            }
            Item::Evaluate { purpose, point, gradient, direction, loss, adds, check, draw } => {
                (*purpose, *point, *gradient, *direction, *loss, *adds, *check, *draw)
            }
        };
        let Context { gpu, optimizer, state, cursor, commands, source } = &mut context;
        if let Some(spans) = commands.spans() {
            spans.evaluation(Some(&purpose.to_string()));
        }
        if source.submits() {
            // Its work comes after what was recorded so far, so that must go first.
            let fresh = gpu.device().create_command_encoder(&Default::default());
            let recorded = std::mem::replace(commands.encoder(), fresh);
            gpu.queue().submit([recorded.finish()]);
        }
        let left = SLOT * u64::from(source.checks()) + SLOT;
        if check.is_some_and(|check| check.norm) && left < state.checks.size() {
            // Those that this source does not write may be another one's.
            commands.encoder().clear_buffer(&state.checks, left, None);
        }
        let mut evaluation = Evaluation {
            gpu,
            optimizer: *optimizer,
            purpose,
            point: &state.vectors[point],
            gradient: &state.vectors[gradient],
            direction: direction.map(|slot| &state.vectors[slot]),
            control: &state.control,
            loss: match loss {
                Loss::AtTheta => &state.loss,
                Loss::AtCandidate => &state.last_loss,
                Loss::Nowhere => &state.other_loss,
            },
            samples: &state.samples,
            adds,
            check,
            checks: &state.checks,
            ticket,
            draw,
            cursor: *cursor,
            commands: commands.reborrow(),
        };
        source::recorded(&mut **source, &mut evaluation)?;
        if !source.keeps_padding() {
            state.padding.clear(gpu, gradient, &state.vectors[gradient], commands);
        }
        if let Some(spans) = commands.spans() {
            spans.evaluation(None);
        }
    }
    Ok(())
}
