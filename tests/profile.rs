use kutta::data::{Batches, Inputs, Samples, Targets};
use kutta::device::GpuOptions;
use kutta::models::Mlp;
use kutta::{Gpu, Method, Optimizer, StepSize, wgpu::Features};

#[test]
fn look() {
    for features in [
        Features::TIMESTAMP_QUERY,
        Features::TIMESTAMP_QUERY | Features::TIMESTAMP_QUERY_INSIDE_PASSES,
    ] {
        let gpu = Gpu::with_options(&GpuOptions { features, ..GpuOptions::default() }).unwrap();
        let inputs = (0..64 * 2000).map(|i| (i % 7) as f32 / 7.0).collect();
        let labels = (0..2000).map(|i| (i % 10) as u8).collect();
        let targets = Targets::Labels { labels, classes: 10 };
        let samples = Samples::new(Inputs::F32(inputs), 64, targets).unwrap();
        let mut mlp =
            Mlp::classifier(&gpu, &[64, 128, 10], Batches::new(samples, 256).unwrap()).unwrap();
        let mut o = Optimizer::builder(Method::rk4())
            .step_size(StepSize::constant(0.1))
            .build(&gpu, mlp.layout(), &mlp.initial(1))
            .unwrap();
        o.run(&mut mlp, 40).unwrap();
        o.wait().unwrap();
        let start = std::time::Instant::now();
        o.run(&mut mlp, 200).unwrap();
        o.wait().unwrap();
        println!("{:.1} us a step", start.elapsed().as_secs_f64() * 1e6 / 200.0);
        let p = o.profile(&mut mlp, 100).unwrap();
        println!("{p}");
        println!("{}", p.trace().len());
        std::fs::write("/tmp/trace.json", p.trace()).unwrap();
    }
}
