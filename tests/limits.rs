//! Devices with limits of all kinds: whatever is built on one works as on any other, or is
//! refused by name before anything is made. wgpu is never asked for what it would refuse.

mod common;
mod host;

use std::sync::OnceLock;

use common::writing;
use host::Host;
use kutta::batching::{Accumulated, PerStage};
use kutta::bench::Bench;
use kutta::data::{Batches, Inputs, Samples, Targets};
use kutta::error::{Error, GpuError, ModelError, OptimizerError};
use kutta::models::{Analytic, Encoding, HashGrid, Mlp, NeuralField, Points, Target};
use kutta::optimizer::Builder;
use kutta::plan::Options;
use kutta::{
    Adaptive, Gpu, GradientSource, Group, Ingredients, Method, Momentum, Optimizer, ParamLayout,
    Preconditioner, StepSize, Storage, Stored, wgpu,
};
use wgpu::Limits;

fn builder(method: &str) -> Builder {
    let method: Method = method.parse().unwrap();
    Optimizer::builder(method).step_size(StepSize::constant(0.01))
}

/// θ after two attempts.
fn trained(
    builder: Builder,
    gpu: &Gpu,
    layout: &ParamLayout,
    start: &[f32],
    source: &mut impl GradientSource,
) -> Result<Vec<f32>, Error> {
    let mut optimizer = builder.build(gpu, layout, start)?;
    optimizer.run(source, 2)?;
    optimizer.params().read()
}

fn everything() -> Builder {
    builder("dp5")
        .preconditioner(Preconditioner::amsgrad(0.9, 1e-6))
        .momentum(Momentum::ema(0.9))
        .adaptive(Adaptive::new(1e-3, 1e-6))
        .l2(0.1)
        .average(0.9)
        .clip(1.0)
        .groups(&[Group::default()])
}

fn quartic(gpu: &Gpu, n: usize, builder: Builder) -> Result<Vec<f32>, Error> {
    let mut source = Analytic::new(gpu, &kutta::reference::Problem::Quartic, n)?;
    let start: Vec<f32> = (0..n).map(|i| (i % 11) as f32 / 11.0).collect();
    let layout = source.layout().clone();
    trained(builder, gpu, &layout, &start, &mut source)
}

fn classifier(gpu: &Gpu, widths: &[usize]) -> Result<Mlp, Error> {
    let rows = 40;
    let inputs = (0..rows * widths[0]).map(|i| (i % 13) as f32 / 13.0).collect();
    let classes = widths[widths.len() - 1];
    let labels = (0..rows).map(|i| (i % classes) as u8).collect();
    let samples = Samples::new(Inputs::F32(inputs), widths[0], Targets::Labels { labels, classes });
    Mlp::classifier(gpu, widths, Batches::new(samples?, 16)?)
}

fn network(gpu: &Gpu, widths: &[usize], builder: Builder) -> Result<Vec<f32>, Error> {
    let mut mlp = classifier(gpu, widths)?;
    let (layout, start) = (mlp.layout().clone(), mlp.initial(1));
    let mut theta = trained(builder, gpu, &layout, &start, &mut mlp)?;
    let params = kutta::device::Vector::from_slice(gpu, "parameters", &theta)?;
    let data = mlp.training_data().clone();
    theta.push(mlp.evaluate(&params, &data)?.loss as f32);
    Ok(theta)
}

fn field(gpu: &Gpu, encoding: Encoding, points: Points) -> Result<Vec<f32>, Error> {
    let values = (0..64 * 48 * 3).map(|i| (i % 17) as f32 / 17.0).collect();
    let image = Target::image([64, 48], 3, values)?;
    let mut field =
        NeuralField::builder(encoding).hidden(&[16]).points(points).build(gpu, &image)?;
    let (layout, start) = (field.layout().clone(), field.initial(1));
    let mut optimizer = builder("rk4").build(gpu, &layout, &start)?;
    optimizer.run(&mut field, 2)?;
    let mut theta = optimizer.params().read()?;
    theta.push(field.evaluate(optimizer.params())?.loss as f32);
    let inference = field.inference(optimizer.params(), &[100, 90])?;
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    inference.record(&mut encoder.begin_compute_pass(&Default::default()));
    gpu.queue().submit([encoder.finish()]);
    Ok(theta)
}

fn bench(gpu: &Gpu) -> Result<Vec<f32>, Error> {
    let method = "bs3".parse()?;
    let ingredients = Ingredients {
        preconditioner: Preconditioner::adam(0.9, 1e-6),
        momentum: Momentum::ema(0.9),
        ..Ingredients::default()
    };
    let bench = Bench::new(gpu, &method, &ingredients, Options::default(), 20_000, 1)?;
    bench.check()?;
    Ok(Vec::new())
}

type Build = fn(&Gpu) -> Result<Vec<f32>, Error>;

/// Everything that takes of a device.
const BUILDS: &[(&str, Build)] = &[
    ("rk4", |gpu| quartic(gpu, 1000, builder("rk4"))),
    ("rk4, long", |gpu| quartic(gpu, 100_003, builder("rk4"))),
    ("everything", |gpu| quartic(gpu, 30_000, everything())),
    ("everything narrow", |gpu| {
        quartic(gpu, 30_000, everything().storage(Stored::all(Storage::Bf16)))
    }),
    ("rkc2", |gpu| quartic(gpu, 1000, builder("rkc2:stages=5"))),
    ("a rule", |gpu| quartic(gpu, 1000, builder("euler").step_size(StepSize::sgd_g2(0.01, 0.9)))),
    ("network", |gpu| network(gpu, &[20, 16, 4], builder("rk4"))),
    ("ragged network", |gpu| {
        network(
            gpu,
            &[7, 9, 5],
            builder("heun").storage(Stored::all(Storage::F16)).source(&writing(true)),
        )
    }),
    ("stages", |gpu| {
        let mut source = PerStage::new(gpu, classifier(gpu, &[20, 16, 4])?)?;
        let layout = source.layout().unwrap().clone();
        let start = layout.initial(2);
        trained(builder("rk4"), gpu, &layout, &start, &mut source)
    }),
    ("micro-batches", |gpu| {
        let mlp = classifier(gpu, &[20, 16, 4])?;
        let layout = mlp.layout().clone();
        let mut source = Accumulated::new(gpu, mlp, &layout, 3)?;
        let start = layout.initial(2);
        trained(builder("rk4"), gpu, &layout, &start, &mut source)
    }),
    ("waves", |gpu| field(gpu, Encoding::Octaves { octaves: 4 }, Points::Texels(512))),
    ("anywhere", |gpu| field(gpu, Encoding::Octaves { octaves: 4 }, Points::Anywhere(700))),
    ("grid", |gpu| field(gpu, Encoding::HashGrid(HashGrid::default()), Points::Texels(512))),
    ("bench", bench),
];

/// A device of the one instance that all of them share: some drivers have few to give.
fn open(limits: Limits) -> Host {
    static INSTANCE: OnceLock<wgpu::Instance> = OnceLock::new();
    let new =
        || wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    Host::open_on(INSTANCE.get_or_init(new).clone(), limits, wgpu::Features::empty())
}

/// Ran right, or was refused by the limit's name (`Err`). Nothing else passes.
fn outcome(what: &str, limits: &Limits, build: Build, right: &[f32]) -> Result<(), String> {
    let host = open(limits.clone());
    let gpu = Gpu::adopt(host.device.clone(), host.queue.clone());
    let made = build(&gpu);
    host.poll();
    assert_eq!(host.errors(), Vec::<String>::new(), "{what}");
    let error = match made {
        Ok(found) => {
            let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert!(bits(&found) == bits(right), "{what}: other results");
            return Ok(());
        }
        Err(error) => error,
    };
    let named = matches!(
        error,
        Error::Gpu(GpuError::LimitTooSmall { .. } | GpuError::LimitTooLarge { .. })
            | Error::Gpu(GpuError::BufferTooLarge { .. })
            | Error::Model(ModelError::TooLarge { .. })
            | Error::Optimizer(OptimizerError::BufferTooLarge { .. })
    );
    assert!(named, "{what}: {error:?}");
    Err(error.to_string())
}

#[test]
fn whatever_the_limits_all_works_or_is_refused_by_name() {
    let default = Limits::default;
    // Limits, and how many of `BUILDS` they are enough for, where that is all or none.
    let all = BUILDS.len();
    macro_rules! with {
        ($($limit:ident: $value:expr => $enough:expr),* $(,)?) => {
            vec![$((
                stringify!($limit), $value as u64, Limits { $limit: $value, ..default() }, $enough,
            )),*]
        };
    }
    let mut table: Vec<(&str, u64, Limits, Option<usize>)> = with! {
        max_storage_buffer_binding_size: 100_000 => None,
        max_storage_buffer_binding_size: 65_536 => Some(0),
        max_uniform_buffer_binding_size: 128 => Some(0),
        min_storage_buffer_offset_alignment: 512 => Some(0),
        max_storage_buffers_per_shader_stage: 7 => Some(0),
        max_uniform_buffers_per_shader_stage: 2 => Some(0),
        max_bindings_per_bind_group: 10 => Some(0),
        max_compute_workgroup_storage_size: 1024 => Some(0),
        max_compute_invocations_per_workgroup: 128 => Some(0),
        max_compute_workgroup_size_y: 4 => Some(0),
        max_compute_workgroups_per_dimension: 1000 => Some(0),
        max_buffer_size: 1 << 20 => None,
        max_buffer_size: 4096 => Some(0),
        max_buffer_size: 256 => Some(0),
    };
    let barely = Limits {
        max_storage_buffer_binding_size: 2 << 20,
        max_buffer_size: 4 << 20,
        max_uniform_buffer_binding_size: 1088,
        min_uniform_buffer_offset_alignment: 1024,
        min_storage_buffer_offset_alignment: 256,
        max_storage_buffers_per_shader_stage: 8,
        max_uniform_buffers_per_shader_stage: 3,
        max_bindings_per_bind_group: 11,
        max_bind_groups: 1,
        max_compute_workgroup_storage_size: 16_384,
        max_compute_invocations_per_workgroup: 256,
        max_compute_workgroup_size_x: 256,
        max_compute_workgroup_size_y: 8,
        max_compute_workgroup_size_z: 1,
        ..default()
    };
    table.push(("everything", 0, barely, Some(all)));
    let rights: Vec<Vec<f32>> = BUILDS
        .iter()
        .map(|(_, build)| {
            let host = open(Limits::default());
            let right = build(&Gpu::adopt(host.device.clone(), host.queue.clone())).unwrap();
            assert_eq!(host.errors(), Vec::<String>::new());
            right
        })
        .collect();
    for (limit, value, limits, enough) in table {
        let mut worked = 0;
        for ((name, build), right) in BUILDS.iter().zip(&rights) {
            let what = format!("{name} with {limit} of {value}");
            match outcome(&what, &limits, *build, right) {
                Ok(()) => worked += 1,
                Err(message) => {
                    // The limit with its value, and what to do.
                    assert!(message.contains(&value.to_string()), "{what}: {message}");
                    println!("{what}: {message}");
                }
            }
        }
        println!("{limit} of {value}: {worked} of {all}");
        if let Some(enough) = enough {
            assert_eq!(worked, enough, "{limit} of {value}");
        }
    }
}
