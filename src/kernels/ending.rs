//! Host side of `shaders/ending.wgsl`: guard, verdict and advance as one dispatch of one
//! workgroup.

use super::launch::{Launch, Resource, Setting, Work};
use super::moments::Moments;
use super::shape::{Binding, Template};
use super::verdict::{self, Kind};
use super::{combine, commit, finish, guard, operations};
use crate::device::kernel::{Constants, StructLayout};
use crate::device::library::shader;
use crate::device::template::Table;
use crate::device::traversal::Chunk;
use crate::plan::{Choice, Finish, Linear, Op, Operand};

const TEMPLATE: Template = Template {
    name: "ending",
    text: shader!("ending"),
    uniforms: &verdict::BINDINGS,
    structs: &verdict::STRUCTS,
    stateful_structs: &[Moments::LAYOUT],
};

/// The parts of an ending.
struct Parts<'a> {
    /// A guard that nothing else comes after than the verdict.
    guard: Option<(&'a Op, Operand)>,
    /// ‖k₁‖, which the guard takes, clips.
    clips: bool,
    advance: Advance<'a>,
}

/// How θ is written.
enum Advance<'a> {
    Combine(&'a Linear),
    Finish(&'a Finish),
    /// From, to.
    Commit(Operand, Operand),
}

impl<'a> Parts<'a> {
    /// What `ops` begin with, if that is an ending.
    fn at(ops: &'a [Op], kind: Kind) -> Option<Self> {
        let (guard, rest) = match ops {
            // Of an estimate's sums it would overwrite some.
            [guard @ Op::Guard { gradient, .. }, rest @ ..] if !kind.judged => {
                (Some((guard, *gradient)), rest)
            }
            _ => (None, ops),
        };
        let (clips, rest) = match rest {
            [Op::Choose(Choice::Norm), rest @ ..] if guard.is_some() => (true, rest),
            _ => (false, rest),
        };
        let [Op::Verdict, advance, ..] = rest else { return None };
        let advance = match advance {
            Op::Combine(linear) if linear.after() && !linear.leaves_partials() => {
                Advance::Combine(linear)
            }
            Op::Finish(finish) if advance.is_conditional() => Advance::Finish(finish),
            Op::Commit { from, to, reuses: false } => Advance::Commit(*from, *to),
            _ => return None,
        };
        Some(Self { guard, clips, advance })
    }
}

/// What the kernel has of an advance, beside what it always has.
struct Shape<'a> {
    /// The name of the uniform, and of the part of the text.
    name: &'static str,
    layout: StructLayout,
    launch: Launch<'a>,
    table: Table,
    bindings: Vec<Binding>,
}

impl<'a> Advance<'a> {
    fn shape(self, setting: Setting<'a>) -> Shape<'a> {
        match self {
            Advance::Combine(linear) => Shape {
                name: "combine",
                layout: combine::Combine::LAYOUT,
                launch: combine::launch(linear, setting),
                table: combine::table(linear),
                bindings: combine::bindings(linear),
            },
            Advance::Finish(finish) => Shape {
                name: "finish",
                layout: finish::Finish::LAYOUT,
                launch: finish::launch(finish, setting),
                table: finish::table(finish),
                bindings: [vec![Binding::Moments], finish::bindings(finish, setting.kinds)]
                    .concat(),
            },
            Advance::Commit(from, to) => Shape {
                name: "commit",
                layout: commit::Commit::LAYOUT,
                launch: commit::launch(from, to, setting),
                table: Table::default(),
                bindings: vec![Binding::Stored("dst", to.slot), Binding::Input("src", from.slot)],
            },
        }
    }
}

/// The ending that `ops` begin with, for a workgroup of so many lanes, and how many of them it
/// takes the place of.
pub(crate) fn launch<'a>(
    ops: &'a [Op],
    setting: Setting<'a>,
    kind: Kind,
    lanes: u32,
) -> Option<(Launch<'a>, usize)> {
    let Parts { guard, clips, advance } = Parts::at(ops, kind)?;
    // A guard's norm is among the partial sums, whatever the source left before.
    let normed = guard.is_some_and(|(op, _)| op.norm().is_some());
    let kind = Kind { clips: kind.clips || clips, summed: kind.summed && !normed, ..kind };
    let verdict = verdict::launch(setting.plan, kind);
    let Shape { name, layout, launch, mut table, mut bindings } = advance.shape(setting);
    bindings.push(Binding::Uniform(name, layout.name, 1));
    let mut structs = vec![Chunk::LAYOUT, layout];
    let mut launches = vec![verdict, launch];
    if let Some((op, gradient)) = guard {
        bindings.push(Binding::Uniform("guard", guard::Guard::LAYOUT.name, 2));
        bindings.push(Binding::Input("k", gradient.slot));
        structs.push(guard::Guard::LAYOUT);
        launches.extend(operations::launch(op, setting, kind));
        table.flags.push(("guarded", true));
    }
    table.flags.push((name, true));
    table.lists.push(("wide".into(), vec![lanes.to_string()]));
    let (range, chunk, groups) = setting.walk.whole();
    let mut constants: Constants = vec![("GROUPS", f64::from(groups))];
    for &(name, value) in launches.iter().flat_map(|launch| &launch.constants) {
        // How a vector is walked is said by each of them.
        if !constants.contains(&(name, value)) {
            constants.push((name, value));
        }
    }
    let uniform = |launch: &Launch<'_>| match &launch.work {
        Work::Once(bytes) => bytes.clone(),
        Work::Chunks(uniform) => uniform(&range, chunk),
        Work::Whole(_) => unreachable!("{} is an ending", launch.kernel.name),
    };
    let uniforms = launches.iter().map(uniform).collect();
    let formats = launches.into_iter().flat_map(|launch| launch.formats).collect();
    let mut held = verdict::held(Resource::Part(0));
    held.extend(bindings.iter().map(|binding| binding.held()));
    let count = 2 + usize::from(guard.is_some()) + usize::from(clips);
    let launch = Launch {
        kernel: TEMPLATE.kernel_with(&bindings, table, &structs),
        formats,
        constants,
        bindings: held,
        work: Work::Whole(uniforms),
    };
    Some((launch, count))
}
