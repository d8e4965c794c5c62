//! What a host may do wrong or suffer: errors, and the app goes on.

mod host;

use host::Host;
use kutta::data::{Batches, Inputs, Samples, Targets};
use kutta::error::{Error, GpuError, OptimizerError};
use kutta::models::{Analytic, Mlp};
use kutta::{Gpu, Method, Optimizer, ParamLayout, StepSize, wgpu};

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
