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
use crate::ingredients::StepSize;
use crate::method::Method;
use crate::plan::{Fusion, Op, Operand, Options, Plan};
use crate::recorder::{Dispatch, Recorder};
use crate::state::{RING, State};

const N: usize = 1 << 22;
const SAMPLES: usize = 41;

/// One vec4 an invocation, the largest of the inputs (a sum would grow): as
/// little as can be done, on the very buffers of the kernel it stands beside,
/// for where they lie counts for a tenth. `dst` is read too if `in_place`.
fn bare(gpu: &Gpu, inputs: &[&Vector], dst: &Vector, in_place: bool, writes: bool) -> Dispatch {
    let reads = inputs.len();
    let bindings: String = (0..reads)
        .map(|i| {
            format!("@group(0) @binding({}) var<storage, read> x{i}: array<vec4<f32>>;\n", i + 1)
        })
        .collect();
    let mut values: Vec<String> = (0..reads).map(|i| format!("x{i}[i]")).collect();
    if in_place {
        values.push("dst[i]".into());
    }
    let largest = values.into_iter().reduce(|a, b| format!("max({a}, {b})")).unwrap();
    // A kernel that only reads must keep what it read: no value is this one.
    let body = if writes {
        format!("dst[i] = {largest};")
    } else {
        format!("let s = {largest}; if all(s == vec4<f32>(123.0)) {{ dst[i] = s; }}")
    };
    let source = format!(
        "{bindings}@group(0) @binding(0) var<storage, read_write> dst: array<vec4<f32>>;
        @compute @workgroup_size(256)
        fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
            let i = id.x;
            if i < arrayLength(&dst) {{ {body} }}
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
        .zip(std::iter::once(&dst).chain(inputs))
        .map(|(binding, vector)| wgpu::BindGroupEntry {
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
    let plan = Plan::new(method, Options { fusion, ..Options::default() }).unwrap();
    let walk = Traversal::new(N, gpu.is_software());
    let state = State::new(gpu, &plan, &walk, &vec![0.5; N], &[]).unwrap();
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
            let (inputs, dst, in_place, writes, what) = match op {
                Op::Combine(linear) | Op::Advance(linear) => {
                    let in_place = linear.in_place();
                    let inputs: Vec<&Vector> =
                        linear.inputs().skip(usize::from(in_place)).map(vector).collect();
                    (inputs, vector(linear.target), in_place, true, linear.to_string())
                }
                Op::Reduce { gradient, stage, .. } => {
                    (vec![vector(*gradient)], &elsewhere, false, false, format!("guard k{stage}"))
                }
                Op::Decay { .. }
                | Op::Average
                | Op::Field(_)
                | Op::Choose(_)
                | Op::Estimate(_)
                | Op::Commit { .. }
                | Op::Reuse { .. } => {
                    unreachable!("fixed steps have no estimate")
                }
                // Kernels with other outputs besides.
                Op::Registers(_) | Op::Radius(_) => continue,
                Op::Evaluate { .. } | Op::Control | Op::Fit { .. } | Op::Finish(_) => continue,
            };
            let bare = bare(&gpu, &inputs, dst, in_place, writes);
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
