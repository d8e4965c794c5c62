//! Every operation's launch.

use super::launch::{Launch, Setting};
use super::verdict::Kind;
use super::{
    average, choose, combine, commit, decay, dots, estimate, finish, fit, guard, pack, radius,
    registers, verdict,
};
use crate::plan::Op;

/// The launch of an operation; none for an evaluation.
pub(crate) fn launch<'a>(op: &'a Op, setting: Setting<'a>, kind: Kind) -> Option<Launch<'a>> {
    Some(match op {
        Op::Evaluate { .. } => return None,
        Op::Combine(linear) => combine::launch(linear, setting),
        Op::Guard { gradient, stage, norm, squares } => {
            guard::launch(*gradient, *stage, [*norm, *squares], setting)
        }
        Op::Decay { gradient, point } => decay::launch(*gradient, *point, setting),
        Op::Pack { from, to } => pack::launch(*from, *to, setting),
        Op::Average => average::launch(setting),
        Op::Dots(dots) => dots::launch(dots, setting),
        Op::Radius(radius) => radius::launch(radius, setting),
        Op::Fit { interval, stages } => fit::launch(*interval, *stages, setting.plan),
        Op::Registers(registers) => registers::launch(registers, setting),
        Op::Choose(choice) => choose::launch(*choice, kind),
        Op::Verdict => verdict::launch(setting.plan, kind),
        Op::Finish(finish) => finish::launch(finish, setting),
        Op::Estimate(estimate) => estimate::launch(estimate, setting),
        Op::Commit { from, to, .. } => commit::launch(*from, *to, setting),
    })
}
