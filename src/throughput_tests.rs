//! Kernel speed against bare hand-written kernels of the same reads and
//! writes, and fused against unfused, in one run. Timing wants a quiet
//! machine, so these run by their own command:
//!
//! ```sh
//! cargo test --release --lib throughput -- --ignored --nocapture --test-threads=1
//! ```

use std::time::Instant;

use crate::gpu::Gpu;
use crate::gpu::traversal::Traversal;
use crate::gpu::vector::Vector;
use crate::method::Method;
use crate::plan::{Fusion, Guard, Op, Options, Plan};
use crate::recorder::{Dispatch, Recorder};
use crate::state::State;

const N: usize = 1 << 22;
const SAMPLES: usize = 25;

/// One vec4 an invocation, a sum of the inputs: as little as can be done.
fn bare(gpu: &Gpu, reads: usize, writes: bool) -> Dispatch {
    let vectors: Vec<Vector> =
        (0..=reads).map(|_| Vector::from_slice(gpu, "bare", &vec![0.5; N]).unwrap()).collect();
    let inputs: String = (0..reads)
        .map(|i| {
            format!("@group(0) @binding({}) var<storage, read> x{i}: array<vec4<f32>>;\n", i + 1)
        })
        .collect();
    let sum = (0..reads).map(|i| format!("x{i}[i]")).collect::<Vec<_>>().join(" + ");
    // A kernel that only reads must keep what it read: no value is this one.
    let body = if writes {
        format!("dst[i] = {sum};")
    } else {
        format!("let s = {sum}; if all(s == vec4<f32>(123.0)) {{ dst[i] = s; }}")
    };
    let source = format!(
        "{inputs}@group(0) @binding(0) var<storage, read_write> dst: array<vec4<f32>>;
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
    let entries: Vec<_> = vectors
        .iter()
        .enumerate()
        .map(|(i, vector)| wgpu::BindGroupEntry {
            // The last vector is the output, at binding 0.
            binding: if i == reads { 0 } else { i as u32 + 1 },
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

/// Median times of two sets of dispatches, taken in turns after a warm-up.
fn medians(gpu: &Gpu, a: &[&Dispatch], b: &[&Dispatch]) -> (f64, f64) {
    let mut times = (Vec::new(), Vec::new());
    for sample in 0..SAMPLES + 4 {
        let pair = (time(gpu, a), time(gpu, b));
        if sample >= 4 {
            times.0.push(pair.0);
            times.1.push(pair.1);
        }
    }
    times.0.sort_by(f64::total_cmp);
    times.1.sort_by(f64::total_cmp);
    (times.0[SAMPLES / 2], times.1[SAMPLES / 2])
}

struct Planned {
    plan: Plan,
    recorder: Recorder,
    // Keeps the buffers that the recorder's bind groups name.
    _state: State,
}

fn planned(gpu: &Gpu, method: &Method, fusion: Fusion) -> Planned {
    let plan = Plan::new(method, Options { fusion, guard: Guard::On }).unwrap();
    let walk = Traversal::new(N, gpu.is_software());
    let state = State::new(gpu, &plan, &walk, &vec![0.5; N]).unwrap();
    // Zero gradients and h: the numbers stay finite however often it runs.
    let recorder = Recorder::new(gpu, &plan, &state, walk, gpu.binding_elements()).unwrap();
    Planned { plan, recorder, _state: state }
}

#[test]
#[ignore = "timing: needs a quiet machine"]
fn throughput_of_each_kernel_is_that_of_a_bare_one() {
    let gpu = Gpu::new().unwrap();
    println!("{}, n = {N}", gpu.info().name);
    let mut slow = Vec::new();
    for method in Method::all() {
        let Planned { plan, recorder, _state } = planned(&gpu, &method, Fusion::Full);
        // The verdict comes before the advance: without it accept is 0 and the
        // advance returns at once.
        time(&gpu, &recorder.attempt_dispatches());
        let ops = plan.ops().iter().filter(|op| !matches!(op, Op::Evaluate { .. }));
        for (op, dispatch) in ops.zip(recorder.attempt_dispatches()) {
            let (reads, writes, what) = match op {
                Op::Combine(linear) | Op::Advance(linear) => {
                    (linear.reads(), true, linear.to_string())
                }
                Op::Reduce { stage, .. } => (1, false, format!("guard k{stage}")),
                Op::Evaluate { .. } | Op::Control => continue,
            };
            let bare = bare(&gpu, reads, writes);
            let (own, bare) = medians(&gpu, &[dispatch], &[&bare]);
            println!("{method:9} {what:45} {:.3} of bare", bare / own);
            if bare / own < 0.95 && writes {
                slow.push(format!("{method}: {what}: {:.3}", bare / own));
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
        let (a, b) = medians(&gpu, &own, &unfused.recorder.attempt_dispatches());
        let predicted = unfused.plan.words_guarded() as f64 / fused.plan.words_guarded() as f64;
        println!("{method:9} unfused / fused = {:.2}, words predict {predicted:.2}", b / a);
        if method == Method::rk4() {
            assert!(b / a >= 1.3, "RK4: {:.3}", b / a);
        }
    }
}
