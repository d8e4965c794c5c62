//! Speed of the matrix products of a 784-to-256 layer at 256 samples, against
//! the usual kernel with tiles of 16×16 in workgroup memory and against a loop
//! of multiply-adds that touches no memory. Timing wants a quiet machine:
//!
//! ```sh
//! cargo test --release --lib throughput -- --ignored --nocapture --test-threads=1
//! ```

use super::options::Activation;
use super::product::{Kind, Method, Shape};
use super::workspace::uniform;
use crate::gpu::Gpu;
use crate::gpu::vector::Vector;
use crate::measure::compile;

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
        let (product, groups) = shape.tiled(method);
        let product = uniform(gpu, &product);
        let mut resources = vec![product.as_entire_binding()];
        resources.extend(vectors.iter().map(|vector| vector.buffer().as_entire_binding()));
        let pipeline = kind.pipeline(gpu, method);
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
    let method = Method::choose(super::Products::Auto, &gpu);
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
