//! Speed of the matrix products of a 784-to-256 layer at 256 samples, against
//! the usual kernel with tiles of 16×16 in workgroup memory and against a loop
//! of multiply-adds that touches no memory; of every form that a GPU can choose, by its
//! own clock; and of whole training steps. Timing wants a quiet machine:
//!
//! ```sh
//! cargo test --release --lib throughput -- --ignored --nocapture --test-threads=1
//! ```

use super::buffers::{storage, uniform};
use super::choose::{Method, choose, predicted};
use super::form::{Choice, Form};
use super::options::{Activation, Products};
use super::product::{Kind, Shape, quads};
use super::steps::{Step, seen};
use crate::bench::compile;
use crate::data::{Batches, Inputs, Samples, Targets};
use crate::device::vector::Vector;
use crate::device::{Gpu, GpuOptions};
use crate::models::harness::Device;
use crate::models::{Encoding, HashGrid, Mlp, NeuralField, Points, Target};
use crate::plan::Purpose;
use crate::source::GradientSource;
use crate::{Method as Tableau, Momentum, Optimizer, ParamLayout, Preconditioner, StepSize};

const SAMPLES: usize = 256;
const INPUTS: usize = 784;
const OUTPUTS: usize = 256;
const FLOPS: f64 = 2.0 * (SAMPLES * INPUTS * OUTPUTS) as f64;

/// y\[m, n\] = Σ_k a\[m, k\] b\[k, n\], as every tutorial has it.
const USUAL: &str = "
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
const M = 256u;
const K = 784u;
const N = 256u;
var<workgroup> a_tile: array<array<f32, 16>, 16>;
var<workgroup> b_tile: array<array<f32, 16>, 16>;
@compute @workgroup_size(16, 16)
fn main(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    var sum = 0.0;
    for (var k = 0u; k < K; k += 16u) {
        a_tile[local.y][local.x] = a[id.y * K + k + local.x];
        b_tile[local.y][local.x] = b[(k + local.y) * N + id.x];
        workgroupBarrier();
        for (var i = 0u; i < 16u; i++) {
            sum += a_tile[local.y][i] * b_tile[i][local.x];
        }
        workgroupBarrier();
    }
    y[id.y * N + id.x] = sum;
}";

/// Chains of multiply-adds: with fewer, latency shows; more gain nothing.
const CHAINS: usize = 24;
const ROUNDS: usize = 4096;
const LOOP_GROUPS: u32 = 64;
const LOOP_LANES: usize = 8;

fn multiply_adds() -> String {
    let each = |f: &dyn Fn(usize) -> String| (0..CHAINS).map(f).collect::<String>();
    format!(
        "@group(0) @binding(0) var<storage, read_write> y: array<f32>;
        @compute @workgroup_size({LOOP_LANES})
        fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
            let x = 1.0 + f32(id.x) * 1e-9;
            {start}
            for (var i = 0u; i < {ROUNDS}u; i++) {{ {body} }}
            y[id.x] = {sum};
        }}",
        start = each(&|i| format!("var c{i} = {i}.5 * x;")),
        body = each(&|i| format!("c{i} = fma(c{i}, x, 0.5);")),
        sum = (0..CHAINS).map(|i| format!("c{i}")).collect::<Vec<_>>().join(" + "),
    )
}

struct Timed {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    groups: [u32; 3],
    flops: f64,
}

impl Timed {
    fn bare(gpu: &Gpu, source: String, vectors: &[&Vector], groups: [u32; 3], flops: f64) -> Self {
        let pipeline = compile(gpu, &source);
        let entries: Vec<_> = (0..)
            .zip(vectors)
            .map(|(binding, vector)| wgpu::BindGroupEntry {
                binding,
                resource: vector.buffer().as_entire_binding(),
            })
            .collect();
        let bind_group = gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        Self { pipeline, bind_group, groups, flops }
    }

    fn product(gpu: &Gpu, kind: Kind, shape: Shape, method: Method, vectors: &[&Vector]) -> Self {
        let choice = method.product(kind, &shape);
        let (product, groups) = shape.tiled(choice);
        let product = uniform(gpu, &product);
        let mut resources = vec![product.as_entire_binding()];
        resources.extend(vectors.iter().map(|vector| vector.buffer().as_entire_binding()));
        let pipeline = kind.pipeline(gpu, choice.form, true);
        let bind_group = pipeline.bind(gpu, &resources);
        Self { pipeline: pipeline.pipeline().clone(), bind_group, groups, flops: FLOPS }
    }

    /// Multiplications and additions per second, in one submit.
    fn rate(&self, gpu: &Gpu) -> f64 {
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&self.pipeline);
            pass.set_bind_group(0, &self.bind_group, &[]);
            pass.dispatch_workgroups(self.groups[0], self.groups[1], self.groups[2]);
        }
        let start = std::time::Instant::now();
        gpu.queue().submit([encoder.finish()]);
        gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
        self.flops / start.elapsed().as_secs_f64()
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
#[ignore = "timing: needs a quiet machine"]
fn throughput_of_products() {
    let gpu = Gpu::new().unwrap();
    let vector = |rows: usize, columns: usize| {
        let values: Vec<f32> = (0..rows * columns).map(|i| (i % 17) as f32 * 0.01).collect();
        Vector::from_slice(&gpu, "operand", &values).unwrap()
    };
    let (x, dz) = (vector(SAMPLES, INPUTS), vector(SAMPLES, OUTPUTS));
    let (w, bias) = (vector(INPUTS, OUTPUTS), vector(1, OUTPUTS));
    let outs: Vec<Vector> = (0..3).map(|_| vector(INPUTS, OUTPUTS.max(SAMPLES))).collect();
    let [o0, o1, o2] = [&outs[0], &outs[1], &outs[2]];
    let slope = vector(INPUTS, SAMPLES);
    let method = Method::of(Products::Register);
    let products = [
        (
            "forward",
            Timed::product(
                &gpu,
                Kind::Forward(Some(Activation::Relu)),
                Shape::forward(INPUTS, OUTPUTS, SAMPLES),
                method,
                &[&w, &x, &bias, o0, o1, o2],
            ),
        ),
        (
            "input gradient",
            Timed::product(
                &gpu,
                Kind::InputGradient { sloped: true },
                Shape::input_gradient(INPUTS, OUTPUTS, SAMPLES),
                method,
                &[&w, &dz, &slope, o0, o1],
            ),
        ),
        (
            "weight gradient",
            Timed::product(
                &gpu,
                Kind::WeightGradient,
                Shape::weight_gradient(INPUTS, OUTPUTS, SAMPLES),
                method,
                &[&x, &dz, o0],
            ),
        ),
    ];
    let groups = [(OUTPUTS / 16) as u32, (SAMPLES / 16) as u32, 1];
    let usual = Timed::bare(&gpu, USUAL.into(), &[&x, &w, o0], groups, FLOPS);
    let flops = 2.0 * (CHAINS * ROUNDS * LOOP_LANES) as f64 * f64::from(LOOP_GROUPS);
    let multiply_adds = Timed::bare(&gpu, multiply_adds(), &[o0], [LOOP_GROUPS, 1, 1], flops);

    let all: Vec<&Timed> =
        [&usual, &multiply_adds].into_iter().chain(products.iter().map(|(_, p)| p)).collect();
    let mut rates = vec![Vec::new(); all.len()];
    for round in 0..18 {
        for (timed, rates) in all.iter().zip(&mut rates) {
            let rate = timed.rate(&gpu);
            // The first rounds compile and warm up.
            if round >= 3 {
                rates.push(rate);
            }
        }
    }
    let rates: Vec<f64> = rates.into_iter().map(median).collect();
    let (usual, multiply_adds) = (rates[0], rates[1]);
    println!("multiply-adds without memory {:.1} Gflop/s", multiply_adds / 1e9);
    println!("usual 16×16 kernel {:.2} Gflop/s", usual / 1e9);
    for ((name, _), rate) in products.iter().zip(&rates[2..]) {
        let (times, part) = (rate / usual, rate / multiply_adds);
        println!("{name} {:.1} Gflop/s: {times:.1} × usual, {part:.2} of the loop", rate / 1e9);
        assert!(times >= 10.0 && part >= 0.3, "{name}: {times:.1} × usual, {part:.2} of the loop");
    }
}

/// A device with a clock, if the adapter has one.
fn timed_gpu() -> Gpu {
    let options = GpuOptions { features: wgpu::Features::TIMESTAMP_QUERY, ..GpuOptions::default() };
    Gpu::with_options(&options).unwrap()
}

/// Microseconds of a dispatch among 30 that depend on each other, by the device's clock:
/// the median of 9.
fn device_time(gpu: &Gpu, dispatch: &dyn Fn(&mut wgpu::ComputePass<'_>)) -> f64 {
    const DISPATCHES: usize = 30;
    let queries = gpu.device().create_query_set(&wgpu::QuerySetDescriptor {
        label: None,
        ty: wgpu::QueryType::Timestamp,
        count: 2,
    });
    let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
    let resolved = gpu.buffer("stamps", 16, usage).unwrap();
    let time = |_| {
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: None,
                timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                    query_set: &queries,
                    beginning_of_pass_write_index: Some(0),
                    end_of_pass_write_index: Some(1),
                }),
            });
            (0..DISPATCHES).for_each(|_| dispatch(&mut pass));
        }
        encoder.resolve_query_set(&queries, 0..2, &resolved, 0);
        gpu.queue().submit([encoder.finish()]);
        let bytes = pollster::block_on(gpu.read_buffer(&resolved, 0..16)).unwrap();
        let stamps: [u64; 2] = bytemuck::pod_read_unaligned(&bytes);
        let ticks = stamps[1].saturating_sub(stamps[0]) as f64;
        ticks * f64::from(gpu.queue().get_timestamp_period()) / 1e3 / DISPATCHES as f64
    };
    time(0);
    median((0..9).map(time).collect())
}

/// Every form of every product of the six training cases: predicted and measured.
#[test]
#[ignore = "timing: needs a quiet GPU"]
fn throughput_of_forms() {
    let gpu = timed_gpu();
    println!("products on {}", gpu.info().name);
    let forward = |i, o, n| (Kind::Forward(Some(Activation::Relu)), (i, o, n));
    let input = |i, o, n| (Kind::InputGradient { sloped: true }, (i, o, n));
    let weight = |i, o, n| (Kind::WeightPartials, (i, o, n));
    let cases = [
        forward(784, 128, 64),
        forward(128, 10, 64),
        input(128, 10, 64),
        weight(784, 128, 64),
        weight(128, 10, 64),
        forward(784, 128, 1024),
        forward(128, 10, 1024),
        input(128, 10, 1024),
        weight(784, 128, 1024),
        weight(128, 10, 1024),
        forward(784, 1024, 1024),
        forward(1024, 1024, 1024),
        forward(1024, 10, 1024),
        input(1024, 1024, 1024),
        input(1024, 10, 1024),
        weight(784, 1024, 1024),
        weight(1024, 1024, 1024),
        weight(1024, 10, 1024),
        forward(4096, 4096, 4096),
        input(4096, 4096, 4096),
        weight(4096, 4096, 4096),
        weight(784, 4096, 4096),
        forward(4096, 10, 4096),
        weight(4096, 10, 4096),
        forward(16, 32, 8192),
        forward(32, 3, 8192),
        input(16, 32, 8192),
        weight(16, 32, 8192),
        weight(32, 3, 8192),
        forward(32, 64, 65536),
        forward(64, 64, 65536),
        input(64, 64, 65536),
        weight(32, 64, 65536),
        weight(64, 64, 65536),
        weight(64, 3, 65536),
    ];
    for (kind, (inputs, outputs, samples)) in cases {
        let shape = match kind {
            Kind::WeightPartials => Shape::weight_partials(inputs, outputs, samples),
            Kind::Forward(_) => Shape::forward(inputs, outputs, samples).of_weights(outputs),
            _ => Shape::input_gradient(inputs, outputs, samples).of_weights(outputs),
        };
        let splits = kind == Kind::WeightPartials;
        let flops = 2.0 * (inputs * outputs * samples) as f64;
        let chosen = choose(&Form::FOR_GPUS, &shape, splits).0;
        let values = |rows: usize, columns: usize| {
            let count = 16 * quads(rows) * quads(columns);
            let values: Vec<f32> = (0..count).map(|i| (i * 37 % 101) as f32 * 0.01 - 0.5).collect();
            Vector::from_slice(&gpu, "operand", &values).unwrap()
        };
        let (x, dz) = (values(inputs, samples), values(outputs, samples));
        let (w, bias) = (values(inputs, outputs), values(1, outputs));
        let out =
            |rows: usize| storage(&gpu, "out", 64 * (rows.div_ceil(4) * quads(samples)) as u64);
        let outs: Vec<_> = (0..3).map(|_| out(inputs.max(outputs)).unwrap()).collect();
        for form in Form::FOR_GPUS {
            let chunks: &[usize] = if splits { &[1, 4, 16, 64, 256] } else { &[1] };
            let (rows, columns, _) = form.tile();
            // Forms that would take milliseconds where others take microseconds.
            let tiles = shape.rows.div_ceil(rows) * shape.columns.div_ceil(columns);
            if flops > 2e10 && rows < 64 {
                continue;
            }
            for &chunks in chunks {
                let choice = Choice::split(form, shape.steps, chunks);
                let partial = 16 * (inputs + 1) * quads(outputs) * choice.chunks;
                if choice.chunks != chunks || partial > 1 << 27 || tiles * chunks > 1 << 16 {
                    continue;
                }
                let (product, groups) = shape.tiled(choice);
                let product = uniform(&gpu, &product);
                let partials = storage(&gpu, "partials", partial as u64).unwrap();
                let mut resources = vec![product.as_entire_binding()];
                let [o0, o1, o2] = [0, 1, 2].map(|i| outs[i].as_entire_binding());
                match kind {
                    Kind::WeightPartials => resources.extend([
                        x.buffer().as_entire_binding(),
                        dz.buffer().as_entire_binding(),
                        partials.as_entire_binding(),
                    ]),
                    Kind::Forward(_) => resources.extend([
                        w.buffer().as_entire_binding(),
                        x.buffer().as_entire_binding(),
                        bias.buffer().as_entire_binding(),
                        o0,
                        o1,
                        o2,
                    ]),
                    _ => resources.extend([
                        w.buffer().as_entire_binding(),
                        dz.buffer().as_entire_binding(),
                        x.buffer().as_entire_binding(),
                        o0,
                        o1,
                    ]),
                }
                let pipeline = kind.pipeline(&gpu, form, outputs % 4 == 0);
                let bind_group = pipeline.bind(&gpu, &resources);
                let time = device_time(&gpu, &|pass| {
                    pass.set_pipeline(pipeline.pipeline());
                    pass.set_bind_group(0, &bind_group, &[]);
                    pass.dispatch_workgroups(groups[0], groups[1], groups[2]);
                });
                let name = match kind {
                    Kind::Forward(_) => "forward",
                    Kind::WeightPartials => "weights",
                    _ => "input",
                };
                let mark = if choice == chosen { "*" } else { "" };
                println!(
                    "{name} {inputs:>4} {outputs:>4} {samples:>5} {:<14} {chunks:>3} chunks \
                     {:>9.2} us, predicted {:>9.2} {:>7.3} TFLOP/s {mark}",
                    format!("{form:?}"),
                    time,
                    predicted(choice, &shape),
                    flops / time / 1e6,
                );
            }
        }
    }
}

/// Prints each dispatch of a gradient, and what an attempt of Euler with Adam takes.
fn training_step<S: GradientSource>(
    gpu: &Gpu,
    what: &str,
    source: &mut S,
    (layout, start): (&ParamLayout, &[f32]),
) {
    let device = Device::on(gpu, layout.len());
    seen(true);
    device.evaluate(source, (0, Purpose::Stage(1)), start, 0);
    let steps: Vec<Step> = seen(false);
    let mut optimizer = Optimizer::builder(Tableau::euler())
        .preconditioner(Preconditioner::adam(0.999, 1e-8))
        .momentum(Momentum::ema(0.9))
        .step_size(StepSize::constant(1e-4))
        .build(gpu, layout, start)
        .unwrap();
    let attempts = match layout.parameters() {
        _ if gpu.is_software() => 3,
        0..10_000_000 => 400,
        _ => 40,
    };
    let mut times = Vec::new();
    for _ in 0..6 {
        let began = std::time::Instant::now();
        optimizer.run(source, attempts).unwrap();
        optimizer.wait().unwrap();
        times.push(began.elapsed().as_secs_f64() * 1e6 / attempts as f64);
    }
    let least = times[1..].iter().fold(f64::INFINITY, |a, &b| a.min(b));
    let most = times[1..].iter().fold(0.0f64, |a, &b| a.max(b));
    println!(
        "## {what}: {:.1} us an attempt ({least:.1} to {most:.1}), {} dispatches a gradient",
        median(times[1..].to_vec()),
        steps.len()
    );
    let mut sum = 0.0;
    for step in &steps {
        let time = device_time(gpu, &|pass| step.record(pass));
        sum += time;
        println!("{:<38} {:>18} {time:>9.2}", step.name(), format!("{:?}", step.groups()));
    }
    println!("{:<38} {:>18} {sum:>9.2}", "sum", "");
}

/// Whole training steps of the six cases of `docs/results`.
#[test]
#[ignore = "timing: needs a quiet GPU"]
fn throughput_of_training_steps() {
    let gpu = timed_gpu();
    println!("training steps on {}", gpu.info().name);
    let chosen = std::env::var("CASES").unwrap_or_else(|_| "abcdef".into());
    let count = 60_000;
    let pixels = (0..count * 784).map(|i| (i * 37 % 251) as u8).collect();
    let labels = (0..count).map(|i| (i % 10) as u8).collect();
    let targets = Targets::Labels { labels, classes: 10 };
    let samples = Samples::new(Inputs::Bytes(pixels), 784, targets).unwrap();
    let networks: [(char, &[usize], usize); 4] = [
        ('a', &[784, 128, 10], 64),
        ('b', &[784, 128, 10], 1024),
        ('c', &[784, 1024, 1024, 10], 1024),
        ('d', &[784, 4096, 4096, 10], 4096),
    ];
    for (letter, widths, batch) in networks {
        if chosen.contains(letter) {
            let batches = Batches::new(samples.clone(), batch).unwrap();
            let mut mlp = Mlp::classifier(&gpu, widths, batches).unwrap();
            let (layout, start) = (mlp.layout().clone(), mlp.initial(7));
            training_step(&gpu, &format!("{widths:?} b{batch}"), &mut mlp, (&layout, &start));
        }
    }
    let side = 512;
    let values = (0..side * side * 3).map(|i| (i * 37 % 251) as f32 / 251.0).collect();
    let image = Target::image([side, side], 3, values).unwrap();
    let fields: [(char, u32, u32, &[usize], usize); 2] =
        [('e', 8, 11, &[32], 8192), ('f', 16, 15, &[64, 64], 65536)];
    for (letter, levels, log2_table, hidden, batch) in fields {
        if chosen.contains(letter) {
            let grid = HashGrid { levels, features: 2, log2_table, ..HashGrid::default() };
            let mut field = NeuralField::builder(Encoding::HashGrid(grid))
                .hidden(hidden)
                .points(Points::Texels(batch))
                .build(&gpu, &image)
                .unwrap();
            let (layout, start) = (field.layout().clone(), field.initial(7));
            let what = format!("field {hidden:?} b{batch} params {}", layout.parameters());
            training_step(&gpu, &what, &mut field, (&layout, &start));
        }
    }
}
