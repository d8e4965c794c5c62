//! Fields under training: through adaptive and stabilised methods, with refusals, and
//! drawn by a host's fragment shader.

mod common;
mod drawing;

use common::{default_limits_gpu, gpu};
use drawing::Drawing;
use kutta::models::{Activation, Encoding, HashGrid, Inference, NeuralField, Points, Target};
use kutta::{Adaptive, Method, Momentum, Optimizer, Preconditioner, StepSize, Verdict, wgpu};

/// A smooth image with an edge.
fn target(side: usize) -> Target {
    let texel = |i: usize| {
        let (x, y) = ((i % side) as f32 / side as f32, (i / side) as f32 / side as f32);
        let edge = if x + 0.5 * y > 0.8 { 0.3 } else { 0.0 };
        [0.5 + 0.3 * (9.0 * x).sin() * (5.0 * y).cos(), 0.2 + 0.5 * y, 0.4 * x + edge]
    };
    Target::image([side, side], 3, (0..side * side).flat_map(texel).collect()).unwrap()
}

fn grid() -> Encoding {
    Encoding::HashGrid(HashGrid { levels: 4, features: 2, log2_table: 8, coarsest: 4, growth: 1.8 })
}

/// Without hidden layers the loss is quadratic in W and b, and on all texels of an n × n
/// image its Hessian is diagonal: 2(1 − 1/n²)/3 for W, 2 for b. Padding between the two
/// tensors must have no part in the estimate.
#[test]
fn the_spectral_radius_is_that_of_the_parameters_alone() {
    let gpu = gpu();
    let values = (0..256).map(|i| (i % 7) as f32 / 7.0).collect();
    let target = Target::image([16, 16], 1, values).unwrap();
    let mut field = NeuralField::builder(Encoding::Coordinates)
        .hidden(&[])
        .points(Points::All)
        .build(gpu, &target)
        .unwrap();
    assert!(field.layout().len() > field.layout().parameters(), "there is padding");
    for preconditioner in [Preconditioner::none(), Preconditioner::adam(0.9, 1e-3)] {
        let mut optimizer = Optimizer::builder("rkc2:stages=4".parse::<Method>().unwrap())
            .preconditioner(preconditioner)
            .step_size(StepSize::constant(1e-3))
            .build(gpu, field.layout(), &field.initial(1))
            .unwrap();
        optimizer.run(&mut field, 4).unwrap();
        optimizer.wait().unwrap();
        let report = optimizer.reports().pop().unwrap();
        let rho = report.spectral_radius.unwrap();
        if preconditioner == Preconditioner::none() {
            assert!((rho - 2.0).abs() < 0.02, "{report:?}");
        } else {
            // D is at most 1/ε.
            assert!(rho > 2.0 && rho <= 2001.0, "{report:?}");
        }
    }
}

fn trained(method: &str, adaptive: bool, attempts: u64) -> (f64, Vec<f32>, u64) {
    let gpu = default_limits_gpu();
    let target = target(32);
    let mut field = NeuralField::builder(grid())
        .hidden(&[16])
        .points(Points::Texels(512))
        .seed(5)
        .build(gpu, &target)
        .unwrap();
    let builder = Optimizer::builder(method.parse::<Method>().unwrap());
    let builder = if adaptive {
        builder.adaptive(Adaptive::new(1e-3, 1e-5)).step_size(StepSize::constant(50.0))
    } else {
        builder
            .preconditioner(Preconditioner::adam(0.99, 1e-6))
            .momentum(Momentum::ema(0.9))
            .step_size(StepSize::constant(0.02).warm_up(20))
    };
    let mut optimizer = builder.build(gpu, field.layout(), &field.initial(1)).unwrap();
    optimizer.run(&mut field, attempts).unwrap();
    optimizer.wait().unwrap();
    let refused = |r: &&kutta::Report| matches!(r.verdict, Verdict::Refused);
    let refused = optimizer.reports().iter().filter(refused).count() as u64;
    let loss = field.evaluate(optimizer.params()).unwrap().loss;
    (loss, optimizer.params().read().unwrap(), refused)
}

#[test]
fn fields_learn_and_repeat_themselves() {
    for (method, adaptive, attempts, decibels) in
        [("heun", false, 100, 24.0), ("rk4", false, 60, 25.0), ("dp5", true, 40, 12.0)]
    {
        let (loss, theta, refused) = trained(method, adaptive, attempts);
        let psnr = -10.0 * loss.log10();
        println!("{method}: {psnr:.2} dB, {refused} refused");
        assert!(psnr > decibels, "{method}: {psnr} dB");
        // The first h of dp5 is too large, so it must have been refused.
        assert_eq!(refused > 0, adaptive, "{method}");
        let again = trained(method, adaptive, attempts);
        let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&theta), bits(&again.1), "{method}: another run, other bits");
    }
}

/// A host's fragment shader includes the field's text, and draws what the kernels compute.
#[test]
fn a_fragment_shader_draws_the_field() {
    let gpu = default_limits_gpu();
    let (width, height) = (64u32, 24u32);
    let sine = Activation::Sine { omega: 10.0 };
    let grid = HashGrid { levels: 2, features: 2, log2_table: 6, coarsest: 4, growth: 3.0 };
    let grid = Encoding::HashGrid(grid);
    for (encoding, activation) in [(grid, Activation::Relu), (Encoding::Coordinates, sine)] {
        let field = NeuralField::builder(encoding)
            .hidden(&[8, 6])
            .activation(activation)
            .points(Points::Texels(64))
            .build(gpu, &target(16))
            .unwrap();
        let mut theta = field.initial(3);
        for tensor in field.layout().tensors() {
            let range = tensor.range();
            let noise = common::noise(range.len(), range.start as u64 + 1);
            theta[range].iter_mut().zip(noise).for_each(|(x, n)| *x += 0.2 * n);
        }
        let optimizer = Optimizer::builder(Method::rk4())
            .step_size(StepSize::constant(0.1))
            .build(gpu, field.layout(), &theta)
            .unwrap();
        let extent = [width as usize, height as usize];
        let inference = field.inference(optimizer.params(), &extent).unwrap();
        let source = format!(
            "{}
            @fragment
            fn fragment(@builtin(position) at: vec4<f32>) -> @location(0) vec4<f32> {{
                return vec4<f32>(kutta_field(at.xy / vec2<f32>({width}.0, {height}.0)), 1.0);
            }}",
            field.wgsl(0, 0)
        );
        let drawn = draw(&source, optimizer.params().buffer(), &inference, [width, height]);
        for (i, (fragment, kernel)) in drawn.iter().enumerate() {
            let off = (fragment - kernel).abs();
            assert!(off < 1e-5, "{encoding:?} value {i}: {fragment} drawn, {kernel} computed");
        }
    }
}

/// Pairs of what the fragment shader gives and what the inference does.
fn draw(
    source: &str,
    theta: &wgpu::Buffer,
    inference: &Inference,
    [width, height]: [u32; 2],
) -> Vec<(f32, f32)> {
    let (device, queue) = (default_limits_gpu().device(), default_limits_gpu().queue());
    let format = wgpu::TextureFormat::Rgba32Float;
    let drawing = Drawing::new(device, source, theta, [width, height], format);
    let pixels = u64::from(16 * width * height);
    let staging = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: pixels + inference.buffer().size(),
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    inference.record(&mut encoder.begin_compute_pass(&Default::default()));
    drawing.record(&mut encoder, &staging, 16 * width);
    let size = inference.buffer().size();
    encoder.copy_buffer_to_buffer(inference.buffer(), 0, &staging, pixels, size);
    queue.submit([encoder.finish()]);
    staging.slice(..).map_async(wgpu::MapMode::Read, |_| {});
    device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    let mapped = staging.slice(..).get_mapped_range().unwrap();
    let all: Vec<f32> = bytemuck::pod_collect_to_vec(&mapped);
    let (drawn, computed) = all.split_at(pixels as usize / 4);
    let colours = drawn.chunks_exact(4).flat_map(|pixel| &pixel[..3]);
    colours.copied().zip(computed.iter().copied()).collect()
}
