//! What a host may do wrong or suffer: errors, and the app goes on.

mod host;

use host::Host;
use std::panic::{AssertUnwindSafe, catch_unwind};

use kutta::data::{Batches, Inputs, Samples, Targets};
use kutta::device::Vector;
use kutta::device::{Access, Kernel};
use kutta::error::{Error, GpuError, OptimizerError};
use kutta::models::{Analytic, Mlp, Resident};
use kutta::{
    Evaluation, Gpu, GradientSource, Init, Method, Momentum, Optimizer, ParamLayout,
    Preconditioner, SourceError, StepSize, Storage, Stored, wgpu,
};

fn rosenbrock(gpu: &Gpu) -> (Optimizer, Analytic) {
    let source = Analytic::rosenbrock(gpu, 2).unwrap();
    let optimizer = Optimizer::builder(Method::rk4())
        .step_size(StepSize::constant(1e-3))
        .build(gpu, source.layout(), &[-1.2, 1.0])
        .unwrap();
    (optimizer, source)
}

fn adopted() -> (Host, Gpu) {
    let host = Host::open();
    let gpu = Gpu::adopt(host.device.clone(), host.queue.clone());
    (host, gpu)
}

/// One frame as it should be, and its report.
fn goes_on(host: &Host, optimizer: &mut Optimizer, source: &mut Analytic) {
    let before = optimizer.reports().len();
    assert_eq!(before, 0);
    let mut encoder = host.encoder();
    optimizer.record(&mut encoder, source).unwrap();
    host.submit(encoder);
    host.poll();
    assert_eq!(optimizer.reports().len(), 1);
    host.keeps_its_handler();
}

#[test]
fn an_encoder_of_another_instance_is_refused() {
    let (host, gpu) = adopted();
    let other = Host::open();
    let (mut optimizer, mut source) = rosenbrock(&gpu);
    let mut encoder = other.encoder();
    let error = optimizer.record(&mut encoder, &mut source).unwrap_err();
    assert!(matches!(error, Error::Optimizer(OptimizerError::Encoder { .. })), "{error}");
    drop(encoder);
    goes_on(&host, &mut optimizer, &mut source);
    other.keeps_its_handler();
}

#[test]
fn an_encoder_of_another_device_leaves_ours_as_it_was() {
    let (host, gpu) = adopted();
    let limits = wgpu::Limits::default();
    let other = Host::open_on(host.instance.clone(), limits, wgpu::Features::empty());
    assert_ne!(host.device, other.device);
    let (mut optimizer, mut source) = rosenbrock(&gpu);
    let mut encoder = other.encoder();
    // wgpu tells the other device's host, when that finishes or submits.
    let recorded = optimizer.record(&mut encoder, &mut source);
    other.submit(encoder);
    other.poll();
    let errors = other.errors();
    println!("{recorded:?} {errors:?}");
    assert!(recorded.is_err() || !errors.is_empty());
    assert!(optimizer.reports().is_empty());
    assert_eq!(optimizer.params().read().unwrap(), [-1.2, 1.0]);
    goes_on(&host, &mut optimizer, &mut source);
    other.keeps_its_handler();
}

#[test]
fn an_encoder_with_an_open_pass_is_refused() {
    let (host, gpu) = adopted();
    let (mut optimizer, mut source) = rosenbrock(&gpu);
    let mut encoder = host.encoder();
    let pass = encoder.begin_compute_pass(&Default::default()).forget_lifetime();
    let error = optimizer.record(&mut encoder, &mut source).unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, Error::Optimizer(OptimizerError::Encoder { .. })), "{message}");
    assert!(message.contains("locked") && message.contains("drop this one"), "{message}");
    drop(pass);
    // A host that submits it all the same hears of it, and nothing ran.
    host.submit(encoder);
    host.poll();
    assert!(!host.errors().is_empty());
    assert_eq!(optimizer.params().read().unwrap(), [-1.2, 1.0]);
    goes_on(&host, &mut optimizer, &mut source);

    // Copies of the ring that were never written hold what an earlier one left.
    let recorded = |encoder: &mut wgpu::CommandEncoder, optimizer: &mut Optimizer, n: u32| {
        let mut source = Analytic::rosenbrock(&gpu, 2).unwrap();
        (0..n).map(|_| optimizer.record(encoder, &mut source)).collect::<Vec<_>>()
    };
    for n in [2, 1, 1] {
        let mut encoder = host.encoder();
        recorded(&mut encoder, &mut optimizer, n).into_iter().for_each(|r| r.unwrap());
        host.submit(encoder);
        host.poll();
        assert_eq!(optimizer.reports().len(), n as usize);
    }
    let (time, accepted) = (optimizer.time(), optimizer.accepted());
    let mut encoder = host.encoder();
    let pass = encoder.begin_compute_pass(&Default::default()).forget_lifetime();
    // wgpu says so once, and then again when the encoder is finished.
    assert!(recorded(&mut encoder, &mut optimizer, 2)[0].is_err());
    drop(pass);
    host.submit(encoder);
    host.poll();
    assert!(!host.errors().is_empty() && optimizer.reports().is_empty());
    assert_eq!((optimizer.time(), optimizer.accepted()), (time, accepted));
    goes_on(&host, &mut optimizer, &mut source);
    assert_eq!(optimizer.accepted(), accepted + 1);
}

#[test]
fn a_source_of_another_gpu_is_refused() {
    let (host, gpu) = adopted();
    let (_other, other_gpu) = adopted();
    let (mut optimizer, mut source) = rosenbrock(&gpu);
    let mut foreign = Analytic::rosenbrock(&other_gpu, 2).unwrap();
    let mut encoder = host.encoder();
    for error in [
        optimizer.record(&mut encoder, &mut foreign).unwrap_err(),
        optimizer.run(&mut foreign, 3).unwrap_err(),
        optimizer.measure(&mut foreign).unwrap_err(),
        optimizer
            .run_accepted(&mut kutta::batching::PerStage::new(&gpu, foreign).unwrap(), 1)
            .unwrap_err(),
    ] {
        assert!(matches!(error, Error::Optimizer(OptimizerError::OtherDevice { .. })), "{error}");
    }
    // The source is right, and what the wrapper keeps is on another device.
    let mut wrapped = kutta::batching::PerStage::new(&other_gpu, &mut source).unwrap();
    let error = optimizer.run(&mut wrapped, 1).unwrap_err();
    assert!(error.to_string().contains("another device"), "{error}");
    goes_on(&host, &mut optimizer, &mut source);
}

#[test]
fn a_device_lost_in_mid_run_is_an_error_everywhere_and_another_can_follow() {
    let (host, gpu) = adopted();
    let (mut optimizer, mut source) = rosenbrock(&gpu);
    optimizer.run(&mut source, 10).unwrap();
    let mut under_way = host.encoder();
    optimizer.record(&mut under_way, &mut source).unwrap();
    host.device.destroy();
    host.submit(under_way);
    // The first frame after it cannot know yet; once the copy of the ring fails, all do.
    let mut frames = 0;
    let error = loop {
        let mut encoder = host.encoder();
        match optimizer.record(&mut encoder, &mut source) {
            Ok(()) => host.submit(encoder),
            Err(error) => break error,
        }
        let _ = host.device.poll(wgpu::PollType::Poll);
        frames += 1;
        assert!(frames < 5, "record never says that the device is lost");
    };
    let lost = |error: Error| {
        let message = error.to_string();
        assert!(matches!(error, Error::Gpu(GpuError::DeviceLost { .. })), "{message}");
        assert!(message.contains("saved parameters"), "{message}");
    };
    lost(error);
    optimizer.reports();
    lost(optimizer.step(&mut source).unwrap_err());
    lost(optimizer.run(&mut source, 100).unwrap_err());
    lost(optimizer.run_accepted(&mut source, 1).unwrap_err());
    lost(optimizer.run_until(&mut source, 1e3).unwrap_err());
    lost(optimizer.wait().unwrap_err());
    lost(optimizer.measure(&mut source).unwrap_err());
    lost(optimizer.params().read().unwrap_err());
    lost(pollster::block_on(optimizer.run_async(&mut source, 100)).unwrap_err());
    lost(pollster::block_on(optimizer.wait_async()).unwrap_err());
    lost(pollster::block_on(optimizer.params().read_async()).unwrap_err());
    lost(Analytic::rosenbrock(&gpu, 2).map(|_| ()).unwrap_err());
    let builder = Optimizer::builder(Method::rk4()).step_size(StepSize::constant(1e-3));
    lost(builder.build(&gpu, source.layout(), &[-1.2, 1.0]).map(|_| ()).unwrap_err());
    // None of it went to the host's handler.
    println!("{:?}", host.errors());

    let (host, gpu) = adopted();
    let (mut optimizer, mut source) = rosenbrock(&gpu);
    goes_on(&host, &mut optimizer, &mut source);
}

#[test]
fn a_device_that_gives_too_little_is_refused_before_anything_is_made() {
    for (limits, limit) in [
        (wgpu::Limits::downlevel_webgl2_defaults(), "max_compute_invocations_per_workgroup"),
        (wgpu::Limits::downlevel_defaults(), "max_storage_buffers_per_shader_stage"),
        (
            wgpu::Limits { max_compute_workgroups_per_dimension: 0, ..Default::default() },
            "max_compute_workgroups_per_dimension",
        ),
    ] {
        let host = Host::open_with(limits, wgpu::Features::empty());
        let gpu = Gpu::adopt(host.device.clone(), host.queue.clone());
        let refused = |what: &str, error: Error| {
            let message = error.to_string();
            assert!(message.contains(limit), "{what}: {message}");
        };
        refused("check", gpu.check().unwrap_err().into());
        let adopted = Gpu::adopt_from(&host.adapter, host.device.clone(), host.queue.clone());
        refused("adopt_from", adopted.map(|_| ()).unwrap_err().into());
        refused("a problem", Analytic::rosenbrock(&gpu, 2).map(|_| ()).unwrap_err());
        let samples = Samples::new(
            Inputs::F32(vec![0.0; 40]),
            4,
            Targets::Labels { labels: vec![0; 10], classes: 2 },
        );
        let batches = Batches::new(samples.unwrap(), 5).unwrap();
        refused("a network", Mlp::classifier(&gpu, &[4, 3, 2], batches).map(|_| ()).unwrap_err());
        let builder = Optimizer::builder(Method::rk4()).step_size(StepSize::constant(1e-3));
        let layout = ParamLayout::flat(100).unwrap();
        refused("an optimizer", builder.build(&gpu, &layout, &[0.0; 100]).map(|_| ()).unwrap_err());
        host.keeps_its_handler();
    }
}

#[test]
fn too_many_parameters_for_the_limits_are_refused_with_numbers() {
    let (host, gpu) = adopted();
    // 256 MiB is the most that WebGPU promises of a buffer.
    let layout = ParamLayout::flat(80_000_000).unwrap();
    let builder = Optimizer::builder(Method::rk4()).step_size(StepSize::constant(1e-3));
    let needs = builder.requirements(&gpu, &layout).unwrap();
    assert_eq!(needs.largest_buffer, 320_000_000);
    assert!(needs.largest_binding <= 128 << 20);
    let error = builder.build(&gpu, &layout, &vec![0.0; 80_000_000]).map(|_| ()).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("320000000") && message.contains("268435456"), "{message}");
    host.keeps_its_handler();
}

/// ½ Σ λ x², whose gradient the host computes from a point that it reads.
struct Reading {
    submits: bool,
    reads: Reads,
    beside: Vector,
}

#[derive(Clone, Copy, Debug)]
enum Reads {
    Point,
    PointLater,
    Gradient,
    SomeOfPoint,
    /// A vector of its own, and writes what is right at the start.
    Beside,
    /// Reads, goes on whatever comes of it, and panics.
    Panic,
}

const EIGENVALUES: [f32; 3] = [1.0, 2.0, 0.5];

impl GradientSource for Reading {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        let gpu = at.gpu().clone();
        let read = match self.reads {
            Reads::Point | Reads::Panic => at.point().read(&gpu),
            Reads::PointLater => pollster::block_on(at.point().read_async(&gpu)),
            Reads::Gradient => at.gradient().read(&gpu),
            Reads::SomeOfPoint => at.point().read_range(&gpu, 1..2),
            Reads::Beside => self.beside.read(&gpu),
        };
        if matches!(self.reads, Reads::Panic) {
            panic!("planted");
        }
        let theta = read.map_err(SourceError::new)?;
        let gradient: Vec<f32> = theta.iter().zip(EIGENVALUES).map(|(x, l)| x * l).collect();
        let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let staged = gpu.buffer("staged", 12, usage).map_err(SourceError::new)?;
        gpu.queue().write_buffer(&staged, 0, bytemuck::cast_slice(&gradient));
        let loss: f32 = theta.iter().zip(&gradient).map(|(x, g)| 0.5 * x * g).sum();
        gpu.queue().write_buffer(at.loss(), 0, bytemuck::bytes_of(&loss));
        let to = at.gradient().buffer().clone();
        at.encoder().copy_buffer_to_buffer(&staged, 0, &to, 0, 12);
        Ok(())
    }

    fn submits(&self) -> bool {
        self.submits
    }
}

/// A source that read a point before what wrote it was submitted took Heun's second stage
/// at old values, and every attempt was accepted.
#[test]
fn a_source_that_reads_on_the_host_says_so_or_is_told() {
    let (host, gpu) = adopted();
    let start = [1.0f32, -2.0, 3.0];
    let layout = ParamLayout::flat(3).unwrap();
    let build = || {
        Optimizer::builder(Method::heun())
            .step_size(StepSize::constant(0.1))
            .build(&gpu, &layout, &start)
            .unwrap()
    };
    let source = |submits, reads| {
        let beside = Vector::from_slice(&gpu, "beside", &start).unwrap();
        Reading { submits, reads, beside }
    };
    for reads in [Reads::Point, Reads::PointLater, Reads::Gradient, Reads::SomeOfPoint] {
        let mut optimizer = build();
        let error = optimizer.run(&mut source(false, reads), 3).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("GradientSource::submits"), "{reads:?}: {message}");
        assert_eq!(optimizer.params().read().unwrap(), start);
        // The next source has nothing to do with it.
        let mut encoder = host.encoder();
        optimizer.record(&mut encoder, &mut source(false, Reads::Beside)).unwrap();
        host.submit(encoder);
        assert_ne!(optimizer.params().read().unwrap(), start);
    }
    // After a panic θ can be read, as after an error.
    let mut optimizer = build();
    let mut panics = source(false, Reads::Panic);
    catch_unwind(AssertUnwindSafe(|| optimizer.run(&mut panics, 1))).unwrap_err();
    assert_eq!(optimizer.params().read().unwrap(), start);

    let mut optimizer = build();
    optimizer.run(&mut source(true, Reads::Point), 3).unwrap();
    optimizer.wait().unwrap();
    // Heun multiplies a coordinate by 1 − hλ + (hλ)²/2; the loss is written from the host.
    let mut expected = start.map(f64::from);
    for report in optimizer.reports() {
        let loss: f64 =
            expected.iter().zip(EIGENVALUES).map(|(x, l)| 0.5 * f64::from(l) * x * x).sum();
        assert!((f64::from(report.loss.unwrap()) - loss).abs() < 1e-5, "{report:?}, not {loss}");
        for (x, l) in expected.iter_mut().zip(EIGENVALUES) {
            let hl = 0.1f32 as f64 * f64::from(l);
            *x *= 1.0 - hl + hl * hl / 2.0;
        }
    }
    for (found, expected) in optimizer.params().read().unwrap().iter().zip(expected) {
        assert!((f64::from(*found) - expected).abs() < 1e-5, "{found}, not {expected}");
    }
    host.keeps_its_handler();
}

fn labelled(classes: usize) -> Batches {
    let inputs = Inputs::F32((0..40).map(|i| (i % 7) as f32 - 3.0).collect());
    let labels = (0..10).map(|i| (i % classes) as u8).collect();
    Batches::new(Samples::new(inputs, 4, Targets::Labels { labels, classes }).unwrap(), 5).unwrap()
}

/// Asks a network for its loss at the point of an evaluation, which takes a submit of its own.
struct Evaluating {
    mlp: Mlp,
    data: Resident,
}

impl GradientSource for Evaluating {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        self.mlp.evaluate(at.point(), &self.data).map_err(SourceError::new)?;
        GradientSource::evaluate(&mut self.mlp, at)
    }
}

#[test]
fn a_network_is_not_evaluated_at_a_point_that_is_not_there_yet() {
    let (_host, gpu) = adopted();
    let mlp = Mlp::classifier(&gpu, &[4, 3, 2], labelled(2)).unwrap();
    let data = mlp.training_data().clone();
    let layout = mlp.layout().clone();
    let builder = Optimizer::builder(Method::heun()).step_size(StepSize::constant(0.1));
    let mut optimizer = builder.build(&gpu, &layout, &mlp.initial(1)).unwrap();
    let error = optimizer.step(&mut Evaluating { mlp, data }).unwrap_err().to_string();
    assert!(error.contains("GradientSource::submits"), "{error}");
}

#[test]
fn a_source_of_other_parameters_is_refused() {
    let (host, gpu) = adopted();
    let mlp = |widths: &[usize]| Mlp::classifier(&gpu, widths, labelled(widths[2])).unwrap();
    let own = mlp(&[4, 3, 2]);
    let builder = Optimizer::builder(Method::rk4()).step_size(StepSize::constant(0.1));
    let mut optimizer = builder.build(&gpu, own.layout(), &own.initial(1)).unwrap();
    let mut encoder = host.encoder();
    // As many elements, and more.
    for (widths, words) in [
        ([4, 4, 2], "`layer0.weight` of shape [4, 4] at element 0 in the source"),
        ([4, 3, 3], "`layer1.weight` of shape [3, 3] at element 128 in the source"),
    ] {
        let mut other = mlp(&widths);
        for error in [
            optimizer.record(&mut encoder, &mut other).unwrap_err(),
            optimizer.run(&mut other, 3).unwrap_err(),
            optimizer.run(&mut &mut other, 3).unwrap_err(),
            optimizer.measure(&mut other).unwrap_err(),
        ] {
            let message = error.to_string();
            assert!(matches!(error, Error::Optimizer(OptimizerError::OtherLayout { .. })));
            assert!(message.contains(words), "{message}");
        }
    }
    let mut other = Analytic::rosenbrock(&gpu, optimizer.layout().len() / 2 * 2).unwrap();
    assert!(optimizer.run(&mut other, 1).unwrap_err().to_string().contains("`theta`"));
    optimizer.run(&mut { own }, 3).unwrap();
}

const JUNK: Kernel = Kernel {
    name: "junk",
    text: &["@group(0) @binding(0) var<storage, read> theta: array<f32>;
        @group(0) @binding(1) var<storage, read_write> gradient: array<f32>;
        override JUNK: u32 = 0;
        // Padding is left as it was.
        override NEAT: bool = false;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            let i = id.x;
            if i >= arrayLength(&gradient) { return; }
            let own = i < 5u || (i >= 64u && i < 135u) || (i >= 192u && i < 205u);
            if NEAT && !own { return; }
            // Not a constant, which could be no NaN.
            gradient[i] = select(bitcast<f32>(JUNK + id.y), f32(1u + i % 3u) * theta[i], own);
        }"],
    bindings: &[("theta", Access::Read), ("gradient", Access::Write)],
    vectors: &[],
    structs: &[],
};

/// ½ Σ λ x² of three tensors, which leaves something in the padding, also behind the last;
/// or, without junk, never writes there and says so.
struct Dirty {
    junk: Option<f32>,
    submits: bool,
}

impl GradientSource for Dirty {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        let gpu = at.gpu().clone();
        let junk = f64::from(self.junk.unwrap_or_default().to_bits());
        let neat = f64::from(u8::from(self.keeps_padding()));
        let pipeline = gpu.pipeline(&JUNK, &vec![("JUNK", junk), ("NEAT", neat)]);
        let buffers = [at.point().buffer(), at.gradient().buffer()];
        let bind_group = pipeline.bind(&gpu, &buffers.map(|b| b.as_entire_binding()));
        let record = |pass: &mut wgpu::ComputePass<'_>| {
            pass.set_pipeline(pipeline.pipeline());
            pass.set_bind_group(0, &bind_group, &[]);
            pass.dispatch_workgroups(4, 1, 1);
        };
        if !self.submits {
            record(at.pass());
            return Ok(());
        }
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        record(&mut encoder.begin_compute_pass(&Default::default()));
        gpu.queue().submit([encoder.finish()]);
        Ok(())
    }

    fn submits(&self) -> bool {
        self.submits
    }

    fn keeps_padding(&self) -> bool {
        self.junk.is_none()
    }
}

/// Of the parameters of `Dirty`.
fn padded() -> ParamLayout {
    ParamLayout::builder()
        .tensor("a", &[5], Init::Constant(1.0))
        .tensor("b", &[71], Init::Constant(-0.5))
        .tensor("c", &[13], Init::Constant(0.25))
        .build()
        .unwrap()
}

/// The power iteration begins with ±1, and nobody writes over those of the padding.
#[test]
fn padding_that_nobody_writes_has_no_part_in_rho() {
    let (host, gpu) = adopted();
    let layout = padded();
    for name in ["rkc2:stages=5", "rkl1", "rock2"] {
        let method: Method = name.parse().unwrap();
        let builder = Optimizer::builder(method).step_size(StepSize::constant(0.05));
        let mut optimizer = builder.build(&gpu, &layout, &layout.initial(1)).unwrap();
        optimizer.run(&mut Dirty { junk: None, submits: false }, 30).unwrap();
        optimizer.wait().unwrap();
        for report in optimizer.reports() {
            // The largest eigenvalue is 3, and the iteration comes from below.
            let rho = report.spectral_radius.unwrap();
            assert!((2.5..3.01).contains(&rho), "{name}, attempt {}: {rho}", report.attempt);
        }
    }
    host.keeps_its_handler();
}

#[test]
fn what_a_source_leaves_in_padding_has_no_part_in_anything() {
    let (host, gpu) = adopted();
    let layout = padded();
    let mut start = layout.initial(1);
    let clean = start.clone();
    // Padding of the start is nobody's either.
    start[5..64].fill(3.0);
    let narrow = Stored::all(Storage::Bf16);
    let methods = ["euler", "heun", "rk4", "williamson3", "dp5", "rkc2:stages=5"];
    let builders = methods.map(|name| {
        let method: Method = name.parse().unwrap();
        Optimizer::builder(method).step_size(StepSize::constant(0.05)).l2(0.01).clip(0.5)
    });
    let mixed = builders[2]
        .clone()
        .preconditioner(Preconditioner::adam(0.9, 1e-6))
        .momentum(Momentum::ema(0.9));
    let follows = Optimizer::builder(Method::euler()).step_size(StepSize::sgd_g2(0.05, 0.9));
    let stored = mixed.clone().storage(narrow);
    for builder in builders.into_iter().chain([mixed, stored, follows]) {
        let run = |source: &mut Dirty, start: &[f32]| {
            let mut optimizer = builder.clone().build(&gpu, &layout, start).unwrap();
            optimizer.run(source, 5).unwrap();
            optimizer.wait().unwrap();
            let theta = optimizer.params().read().unwrap();
            (optimizer.reports(), theta.iter().map(|x| x.to_bits()).collect::<Vec<_>>())
        };
        let (reports, theta) = run(&mut Dirty { junk: Some(0.0), submits: false }, &clean);
        assert_eq!(reports.len(), 5);
        for (junk, submits) in [(1e3, false), (1e3, true), (f32::NAN, false), (f32::INFINITY, true)]
        {
            let (dirty, found) = run(&mut Dirty { junk: Some(junk), submits }, &start);
            let what = format!("{junk} {submits} {builder:?}");
            assert!(found == theta, "{what}: θ differs");
            assert!(
                layout.tensors().windows(2).all(|pair| {
                    found[pair[0].range().end..pair[1].range().start].iter().all(|&bits| bits == 0)
                }),
                "{what}: padding of θ is not zero"
            );
            assert_eq!(dirty, reports, "{what}");
        }
    }
    host.keeps_its_handler();
}
