//! Turns a plan into recorded passes. Pipelines, uniforms and bind groups are made once;
//! recording an attempt only replays them.

mod builder;
mod ending;
mod items;

use crate::device::Gpu;
use crate::device::commands::Commands;
use crate::device::traversal::Traversal;
use crate::error::Error;
use crate::kernels::launch::Setting;
use crate::kernels::operations;
use crate::kernels::verdict::{self, Kind};
use crate::plan::{Op, Plan};
use crate::source::{BatchesFrom, SourceError};
use crate::state::State;
use builder::Builder;
pub(crate) use builder::Uniforms;
pub use ending::Ending;
pub(crate) use ending::storage_buffers as ending_buffers;
pub(crate) use items::{Context, Dispatch};
use items::{Item, record};

/// Everything an optimizer records.
#[derive(Debug)]
pub(crate) struct Recorder {
    begin: Dispatch,
    attempt: Attempts,
    /// One that renews ρ, where that is estimated.
    renewing: Option<Attempts>,
    opening: Vec<Item>,
    measurement: Vec<Item>,
}

/// The forms of one kind of attempt.
#[derive(Debug)]
struct Attempts {
    alone: Vec<Item>,
    /// Two recordings where the last gradient can serve the next attempt: one that keeps it
    /// for the next, and one that takes it from the one before.
    reusing: Option<[Vec<Item>; 2]>,
}

impl Recorder {
    /// `most` is the number of elements one binding may hold.
    pub(crate) fn new(
        gpu: &Gpu,
        plan: &Plan,
        state: &State,
        walk: Traversal,
        most: usize,
        ending: Ending,
    ) -> Result<Self, Error> {
        let measurement = plan.measurement();
        let mut builder = Builder::new(gpu, plan, state, walk, most, ending)?;
        let judged = plan.ingredients().adaptive.is_some();
        let kind = Kind { judged, two: plan.two_errors(), ..Kind::default() };
        let mut attempts = |ops: &[Op]| {
            let alone = builder.items(ops, kind);
            let reuse = |reused| Kind { reuse: true, reused, ..kind };
            let reusing = plan
                .reuses()
                .then(|| [false, true].map(|reused| builder.items(ops, reuse(reused))));
            Attempts { alone, reusing }
        };
        let attempt = attempts(plan.ops());
        let renewing = (!plan.renewing().is_empty()).then(|| attempts(plan.renewing()));
        let opening = builder.items(plan.opening(), kind);
        let measurement = builder.items(&measurement, Kind { measure: true, ..Kind::default() });
        let begin = builder.once(&verdict::begin());
        builder.upload()?;
        Ok(Self { begin, attempt, renewing, opening, measurement })
    }

    /// Readies the control block; once before the attempts of a submit.
    pub(crate) fn begin(&self, commands: &mut Commands<'_>) {
        self.begin.record(commands);
    }

    /// One attempt; not the `first` of a chunk may use what the one before left.
    /// One that `renews` ρ does so, if it is estimated.
    pub(crate) fn attempt(
        &self,
        first: bool,
        renews: bool,
        context: Context<'_>,
    ) -> Result<(), SourceError> {
        let kind = self.renewing.as_ref().filter(|_| renews).unwrap_or(&self.attempt);
        let items = match &kind.reusing {
            Some([keeps, takes]) if context.source.batches() == BatchesFrom::One => {
                if first {
                    keeps
                } else {
                    takes
                }
            }
            _ => &kind.alone,
        };
        record(items, context)
    }

    /// Records what the first attempt of all needs to know; changes nothing once it has
    /// run.
    pub(crate) fn opening(&self, context: Context<'_>) -> Result<(), SourceError> {
        record(&self.opening, context)
    }

    /// Loss and gradient norm at θ; changes nothing.
    pub(crate) fn measurement(&self, context: Context<'_>) -> Result<(), SourceError> {
        record(&self.measurement, context)
    }

    /// The dispatches of each of `ops` by itself; evaluations have none.
    pub(crate) fn by_operation(
        gpu: &Gpu,
        plan: &Plan,
        state: &State,
        walk: Traversal,
        ops: &[Op],
    ) -> Result<Vec<Vec<Dispatch>>, Error> {
        let most = gpu.binding_elements();
        let mut builder = Builder::new(gpu, plan, state, walk, most, Ending::Separate)?;
        let judged = plan.ingredients().adaptive.is_some();
        let kind = Kind { judged, two: plan.two_errors(), ..Kind::default() };
        let dispatch = |item| match item {
            Item::Dispatch(dispatch) => Some(dispatch),
            Item::Evaluate { .. } | Item::Clear(_) => None,
        };
        let own = |op: &Op| builder.items(std::slice::from_ref(op), kind);
        let dispatches: Vec<Vec<Dispatch>> = ops
            .iter()
            .map(own)
            .map(|items| items.into_iter().filter_map(dispatch).collect())
            .collect();
        builder.upload()?;
        Ok(dispatches)
    }

    pub(crate) fn begin_dispatch(&self) -> &Dispatch {
        &self.begin
    }

    /// The optimizer's own dispatches in one attempt.
    pub(crate) fn attempt_dispatches(&self) -> Vec<&Dispatch> {
        fn own(item: &Item) -> Option<&Dispatch> {
            match item {
                Item::Dispatch(dispatch) => Some(dispatch),
                Item::Evaluate { .. } | Item::Clear(_) => None,
            }
        }
        self.attempt.alone.iter().filter_map(own).collect()
    }
}

/// Most storage buffers that a kernel of a plan binds.
pub(crate) fn most_storage_buffers(plan: &Plan, walk: &Traversal) -> u32 {
    let setting = Setting::new(plan, *walk);
    let ops = plan.ops().iter().chain(plan.renewing()).chain(plan.opening());
    let launches = ops.filter_map(|op| operations::launch(op, setting, Kind::default()));
    launches.map(|launch| launch.kernel.storage_buffers()).max().unwrap_or(0)
}
