//! A set of buffers that a plan runs on, and the work that a bench does on it.

use super::elementwise::{Elementwise, Value, compile};
use super::kernels::{moving, splits_ingredients};
use super::touches::{Touch, apart, moments, touches};
use super::work::{Launch, Work};
use crate::device::Gpu;
use crate::device::vector::Vector;
use crate::error::Error;
use crate::ingredients::Rule;
use crate::layout::ALIGNMENT;
use crate::plan::{Op, Plan, Purpose};
use crate::recorder::Recorder;
use crate::state::State;

/// One set of buffers, and what runs on it.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) state: State,
    pub(super) begin: Work,
    /// The work before the first attempt, with gradients.
    pub(super) opening: Work,
    /// An attempt with the gradients that a source would write.
    pub(super) attempt: Work,
    /// An attempt of kutta's own kernels alone.
    pub(super) step: Work,
    /// Per parameter, that a step moves.
    pub(super) words: usize,
    /// The vectors between kernels that compute one thing each.
    _between: Vec<Vector>,
    /// θ and the gradients, where an attempt expects them, and moments of one.
    pub(super) fresh: Work,
    /// Kernels' work, by the numbers of [`Bench::kernels`].
    pub(super) own: Vec<Work>,
    pub(super) bare: Vec<Work>,
}

impl Set {
    pub(super) fn new(
        elementwise: &mut Elementwise,
        plan: &Plan,
        state: State,
        recorder: &Recorder,
        pool: &Vector,
    ) -> Result<Self, Error> {
        let (gpu, walk) = (elementwise.gpu.clone(), elementwise.walk);
        let begin = std::iter::once(recorder.begin_dispatch()).collect();
        let loss = gives_loss(plan).then(|| loss_of_one(&gpu, &state));
        let mut given = 0;
        let theta = vec![Touch::read(pool), Touch::write(&state.vectors[0])];
        // θ grows with gradients that are sums which hold it.
        let mut fresh = elementwise.work(theta, Value::Sum, &state);
        // And so do its moments, which what is out of range would not leave for long.
        let moments = moments(plan, &state);
        if !moments.is_empty() {
            fresh.extend(&elementwise.work(moments, Value::Sum, &state));
        }
        // Everything an attempt does, where a source's part writes from the pool.
        let mut whole = |ops: &[Op], keep: bool| -> Result<Work, Error> {
            let mut work = Work::default();
            let own = Recorder::by_operation(&gpu, plan, &state, walk, ops)?;
            for (op, own) in ops.iter().zip(&own) {
                work.extend(&own.iter().collect());
                let Op::Evaluate { gradient, adds, purpose, .. } = op else { continue };
                let from = Touch { first: given * ALIGNMENT, ..Touch::read(pool) };
                let into = &state.vectors[gradient.slot];
                let into = if *adds { Touch::both(into) } else { Touch::write(into) };
                let gives = elementwise.work(vec![from, into], Value::Sum, &state);
                given += 1;
                work.extend(&gives);
                if keep && !*adds {
                    fresh.extend(&gives);
                }
                if let Some(loss) = loss.as_ref().filter(|_| *purpose == Purpose::Stage(1)) {
                    work.extend(loss);
                }
            }
            Ok(work)
        };
        let attempt = whole(plan.ops(), true)?;
        let opening = whole(plan.opening(), false)?;
        let mut step = loss.unwrap_or_default();
        let mut words = plan.words_guarded();
        let mut between = vec![];
        if splits_ingredients(plan) {
            for _ in 0..2 {
                between.push(Vector::zeros(&gpu, "between kernels", pool.len())?);
            }
            let own = Recorder::by_operation(&gpu, plan, &state, walk, plan.ops())?;
            for (op, own) in plan.ops().iter().zip(&own) {
                match apart(op, plan, &state, [&between[0], &between[1]]) {
                    None => step.extend(&own.iter().collect()),
                    Some(parts) => {
                        words -= op.words(plan.ingredients());
                        for part in parts {
                            let moved = |touch: &Touch| touch.reads.len() + touch.writes.len();
                            words += part.iter().map(moved).sum::<usize>();
                            step.extend(&elementwise.work(part, Value::Bounded, &state));
                        }
                    }
                }
            }
        } else {
            step.extend(&recorder.attempt_dispatches().into_iter().collect());
        }
        let ops: Vec<Op> = moving(plan).cloned().collect();
        let own = Recorder::by_operation(&gpu, plan, &state, walk, &ops)?;
        let own = own.iter().map(|dispatches| dispatches.iter().collect()).collect();
        let bare = ops
            .iter()
            .map(|op| elementwise.work(touches(op, plan, &state), Value::Largest, &state))
            .collect();
        Ok(Self {
            state,
            begin,
            opening,
            attempt,
            step,
            words,
            _between: between,
            fresh,
            own,
            bare,
        })
    }
}

/// A rule that follows the loss skips attempts without one.
fn gives_loss(plan: &Plan) -> bool {
    matches!(plan.ingredients().rule, Some(Rule::Polyak { .. }))
}

/// Writes L(θ) = 1 where a source would.
fn loss_of_one(gpu: &Gpu, state: &State) -> Work {
    let text = "@group(0) @binding(0) var<storage, read_write> loss: array<f32>;
        @compute @workgroup_size(1) fn main() { loss[0] = 1.0; }";
    let pipeline = compile(gpu, text);
    let bind_group = gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("loss"),
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[wgpu::BindGroupEntry { binding: 0, resource: state.loss.as_entire_binding() }],
    });
    Work { launches: vec![Launch { pipeline, bind_group, groups: [1, 1, 1] }] }
}
