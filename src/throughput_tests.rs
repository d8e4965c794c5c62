//! Kernel speed against bare hand-written kernels of the same reads and
//! writes, and fused against unfused, in one run. Timing wants a quiet
//! machine, so these run by their own command:
//!
//! ```sh
//! cargo test --release --lib throughput -- --ignored --nocapture --test-threads=1
//! ```

use std::time::Instant;

use crate::gpu::Gpu;
use crate::gpu::settings::Settings;
use crate::gpu::traversal::Traversal;
use crate::gpu::vector::Vector;
use crate::ingredients::{Ingredients, SpectralRadius, StepSize, Storage, Stored};
use crate::method::Method;
use crate::plan::{Fusion, Op, Operand, Options, Plan, Registers};
use crate::recorder::{Dispatch, Recorder};
use crate::state::{RING, State};

const N: usize = 1 << 22;
const SAMPLES: usize = 41;

/// A vector that a kernel writes, and whether it reads it too.
type Written<'v> = (&'v Vector, bool);

/// One vec4 an invocation, the largest of the inputs (a sum would grow): as
/// little as can be done, on the very buffers of the kernel it stands beside,
/// for where they lie counts for a tenth. Nothing is `written` unless it `writes`.
fn bare(gpu: &Gpu, inputs: &[&Vector], written: &[Written], writes: bool) -> Dispatch {
    let access = |read: bool| if read { "read" } else { "read_write" };
    let all: Vec<(&Vector, bool)> = inputs
        .iter()
        .map(|&vector| (vector, true))
        .chain(written.iter().map(|&(vector, _)| (vector, false)))
        .collect();
    let bindings: String = all
        .iter()
        .enumerate()
        .map(|(i, &(_, read))| {
            let access = access(read);
            format!("@group(0) @binding({i}) var<storage, {access}> x{i}: array<vec4<f32>>;\n")
        })
        .collect();
    let outputs = inputs.len()..all.len();
    let also = outputs.clone().zip(written).filter(|(_, (_, read))| *read).map(|(i, _)| i);
    let values = (0..inputs.len()).chain(also).map(|i| format!("x{i}[i]"));
    let largest = values.reduce(|a, b| format!("max({a}, {b})")).unwrap();
    // A kernel that only reads must keep what it read: no value is this one.
    let puts: String = outputs.map(|i| format!("x{i}[i] = s; ")).collect();
    let body = match writes {
        true => format!("let s = {largest}; {puts}"),
        false => format!("let s = {largest}; if all(s == vec4<f32>(123.0)) {{ {puts} }}"),
    };
    let source = format!(
        "{bindings}
        @compute @workgroup_size(256)
        fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
            let i = id.x;
            if i < arrayLength(&x0) {{ {body} }}
        }}"
    );
    let device = gpu.device();
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(source.into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: None,
        compilation_options: Default::default(),
        cache: None,
    });
    let entries: Vec<_> = (0..)
        .zip(&all)
        .map(|(binding, (vector, _))| wgpu::BindGroupEntry {
            binding,
            resource: vector.buffer().as_entire_binding(),
        })
        .collect();
    let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &entries,
    });
    Dispatch { pipeline, bind_group, groups: (N / 4 / 256) as u32 }
}

/// Seconds for the dispatches, four times over in one submit.
fn time(gpu: &Gpu, dispatches: &[&Dispatch]) -> f64 {
    const TIMES: u32 = 4;
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for _ in 0..TIMES {
            for dispatch in dispatches {
                pass.set_pipeline(&dispatch.pipeline);
                pass.set_bind_group(0, &dispatch.bind_group, &[]);
                pass.dispatch_workgroups(dispatch.groups, 1, 1);
            }
        }
    }
    let start = Instant::now();
    gpu.queue().submit([encoder.finish()]);
    gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
    start.elapsed().as_secs_f64() / f64::from(TIMES)
}

/// Time of `b` over that of `a`: the median of pairs taken in turns, so that a
/// machine that slows down slows both.
fn ratio(gpu: &Gpu, a: &[&Dispatch], b: &[&Dispatch]) -> f64 {
    const WARM_UP: usize = 4;
    let mut ratios: Vec<f64> = (0..SAMPLES + WARM_UP)
        .map(|_| {
            let own = time(gpu, a);
            time(gpu, b) / own
        })
        .skip(WARM_UP)
        .collect();
    ratios.sort_by(f64::total_cmp);
    ratios[SAMPLES / 2]
}

struct Planned {
    plan: Plan,
    recorder: Recorder,
    state: State,
}

fn planned(gpu: &Gpu, method: &Method, fusion: Fusion) -> Planned {
    planned_as(gpu, method, fusion, Stored::default(), N)
}

/// With narrow gradients as if the source wrote them.
fn planned_as(gpu: &Gpu, method: &Method, fusion: Fusion, stored: Stored, n: usize) -> Planned {
    // No power iteration has run that h could be bounded by.
    let radius = SpectralRadius::Given(1e-3);
    let ingredients = Ingredients { radius, stored, ..Ingredients::default() };
    let options = Options { fusion, writes_narrow: true, ..Options::default() };
    let plan = Plan::with_ingredients(method, &ingredients, options).unwrap();
    let walk = Traversal::new(n, gpu.is_software());
    let state = State::new(gpu, &plan, &walk, &vec![0.5; n], &[]).unwrap();
    let recorder = Recorder::new(gpu, &plan, &state, walk, gpu.binding_elements()).unwrap();
    // Gradients stay zero: the numbers stay finite however often it runs.
    let mut settings = Settings {
        accepted_limit: u32::MAX,
        stages: plan.evaluations(),
        partials: walk.partials() as u32,
        ring: RING,
        ..Settings::default()
    };
    settings.set_end(None);
    settings.set_step_size(&StepSize::constant(0.1));
    gpu.upload(&state.settings, bytemuck::bytes_of(&settings));
    // One attempt, so that `accept` stands: else the advance returns at once.
    time(gpu, &[recorder.begin_dispatch()]);
    time(gpu, &recorder.attempt_dispatches());
    Planned { plan, recorder, state }
}

/// What a kernel of registers reads alone, and what it writes.
fn of_registers<'s>(op: &Registers, state: &'s State) -> (Vec<&'s Vector>, Vec<Written<'s>>) {
    let vector = |operand: Operand| &state.vectors[operand.slot];
    let to_theta = op.target.is_some_and(|target| target.slot == 0);
    let mut inputs: Vec<&Vector> =
        [op.gradient, op.extra].into_iter().flatten().map(vector).collect();
    let mut written = Vec::new();
    for (operand, reads, writes) in [
        (op.register, op.reads_register, op.writes_register),
        (op.sum, op.reads_sum, op.writes_sum),
    ] {
        match operand.map(vector) {
            Some(vector) if writes => written.push((vector, reads)),
            Some(vector) if reads => inputs.push(vector),
            _ => {}
        }
    }
    if op.based && !to_theta {
        inputs.push(&state.vectors[0]);
    }
    if let Some(point) = op.point
        && op.target.is_none_or(|target| target.slot != point.slot)
    {
        inputs.push(vector(point));
    }
    if let Some(target) = op.target {
        let in_place = op.point.is_some_and(|point| point.slot == target.slot);
        written.push((vector(target), in_place || (op.based && to_theta)));
    }
    (inputs, written)
}

#[test]
#[ignore = "timing: needs a quiet machine"]
fn throughput_of_each_kernel_is_that_of_a_bare_one() {
    let gpu = Gpu::new().unwrap();
    println!("{}, n = {N}", gpu.info().name);
    let mut slow = Vec::new();
    for method in Method::all() {
        let Planned { plan, recorder, state } = planned(&gpu, &method, Fusion::Full);
        // Where a kernel that only reads could write.
        let elsewhere = Vector::zeros(&gpu, "elsewhere", N).unwrap();
        let ops = plan.ops().iter().filter(|op| !matches!(op, Op::Evaluate { .. }));
        for (op, dispatch) in ops.zip(recorder.attempt_dispatches()) {
            let vector = |operand: Operand| &state.vectors[operand.slot];
            let (inputs, written, writes, what) = match op {
                Op::Combine(linear) | Op::Advance(linear) => {
                    let in_place = linear.in_place();
                    let inputs: Vec<&Vector> =
                        linear.inputs().skip(usize::from(in_place)).map(vector).collect();
                    (inputs, vec![(vector(linear.target), in_place)], true, linear.to_string())
                }
                Op::Reduce { gradient, stage, .. } => {
                    let written = vec![(&elsewhere, false)];
                    (vec![vector(*gradient)], written, false, format!("guard k{stage}"))
                }
                Op::Registers(op) => {
                    let (inputs, written) = of_registers(op, &state);
                    (inputs, written, true, format!("registers, stage {}", op.checks))
                }
                Op::Decay { .. }
                | Op::Pack { .. }
                | Op::Average
                | Op::Field(_)
                | Op::Choose(_)
                | Op::Estimate(_)
                | Op::Commit { .. }
                | Op::Reuse { .. } => {
                    unreachable!("fixed steps have no estimate")
                }
                Op::Radius(_) => unreachable!("in renewing attempts alone"),
                Op::Evaluate { .. } | Op::Control | Op::Fit { .. } | Op::Finish(_) => continue,
            };
            let bare = bare(&gpu, &inputs, &written, writes);
            let part = ratio(&gpu, &[dispatch], &[&bare]);
            println!("{method:9} {what:45} {:.3} of bare", part);
            if part < 0.95 && writes {
                slow.push(format!("{method}: {what}: {:.3}", part));
            }
        }
    }
    assert!(slow.is_empty(), "below 0.95 of a bare kernel: {slow:#?}");
}

#[test]
#[ignore = "timing: needs a quiet machine"]
fn throughput_of_fused_steps_beats_unfused() {
    let gpu = Gpu::new().unwrap();
    for method in Method::all() {
        let [fused, unfused] = [Fusion::Full, Fusion::None].map(|f| planned(&gpu, &method, f));
        let own = fused.recorder.attempt_dispatches();
        let ratio = ratio(&gpu, &own, &unfused.recorder.attempt_dispatches());
        let predicted = unfused.plan.words_guarded() as f64 / fused.plan.words_guarded() as f64;
        println!("{method:9} unfused / fused = {:.2}, words predict {predicted:.2}", ratio);
        if method == Method::rk4() {
            assert!(ratio >= 1.3, "RK4: {:.3}", ratio);
        }
    }
}

#[test]
#[ignore = "timing: needs a quiet machine"]
fn throughput_of_narrow_gradients_is_nearly_that_of_their_bytes() {
    const N: usize = 1 << 24;
    let gpu = Gpu::new().unwrap();
    println!("{}, n = {N}", gpu.info().name);
    for name in ["rk4", "dp5"] {
        let method: Method = name.parse().unwrap();
        let of = |gradients| {
            let stored = Stored { gradients, ..Stored::default() };
            planned_as(&gpu, &method, Fusion::Full, stored, N)
        };
        let wide = of(Storage::F32);
        for storage in [Storage::F16, Storage::Bf16] {
            let narrow = of(storage);
            let own = wide.recorder.attempt_dispatches();
            let ratio = ratio(&gpu, &own, &narrow.recorder.attempt_dispatches());
            let bytes = |planned: &Planned| planned.plan.bytes_guarded() as f64;
            let predicted = bytes(&narrow) / bytes(&wide);
            println!("{name:9} {storage:4} / f32 = {ratio:.3}, bytes predict {predicted:.3}");
            if method == Method::rk4() {
                assert!(ratio <= 0.85, "RK4 with {storage}: {ratio:.3}");
            }
        }
    }
}
