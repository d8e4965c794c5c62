//! The shortest embedding: an app with a device of its own learns and draws in one encoder,
//! here offscreen. 64 × 64 parameters, drawn as grey, fall to a minimum of Σ(θ² − 1)²/4.

use std::io::Write as _;
use std::time::{Duration, Instant};

use kutta::{Gpu, Method, Optimizer, StepSize, models::Analytic, reference::Problem, wgpu};

const DRAW: &str = "
    @group(0) @binding(0) var<storage, read> theta: array<f32>;
    @vertex fn corner(@builtin(vertex_index) i: u32) -> @builtin(position) vec4<f32> {
        return vec4(f32(i & 1) * 4.0 - 1.0, f32(i >> 1) * 4.0 - 1.0, 0.0, 1.0); }
    @fragment fn colour(@builtin(position) at: vec4<f32>) -> @location(0) vec4<f32> {
        return vec4(vec3(theta[u32(at.y) * 64 + u32(at.x)]), 1.0); }";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The app's own device, with default limits and no features.
    let instance = wgpu::Instance::default();
    let adapter = pollster::block_on(instance.request_adapter(&Default::default()))?;
    let (device, queue) = pollster::block_on(adapter.request_device(&Default::default()))?;
    // kutta on it.
    let gpu = Gpu::adopt_from(&adapter, device.clone(), queue.clone())?;
    let mut problem = Analytic::new(&gpu, &Problem::Quartic, 64 * 64)?;
    let start: Vec<f32> = (0..64 * 64).map(|i| i as f32 / 2048.0 - 1.0).collect();
    let builder = Optimizer::builder(Method::rk4()).step_size(StepSize::constant(0.05));
    let mut optimizer = builder.build(&gpu, problem.layout(), &start)?;
    // The app's drawing, which reads the parameters where they are learned.
    let target = device.create_texture(&wgpu::TextureDescriptor {
        label: None,
        size: wgpu::Extent3d { width: 64, height: 64, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: wgpu::TextureFormat::Rgba8Unorm,
        usage: wgpu::TextureUsages::RENDER_ATTACHMENT,
        view_formats: &[],
    });
    let view = &target.create_view(&Default::default());
    let source = wgpu::ShaderSource::Wgsl(DRAW.into());
    let module = &device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
    let (entry_point, compilation_options) = Default::default();
    let targets = &[Some(target.format().into())];
    let fragment = wgpu::FragmentState { module, entry_point, compilation_options, targets };
    let (entry_point, compilation_options) = Default::default();
    let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: None,
        layout: None,
        vertex: wgpu::VertexState { module, entry_point, compilation_options, buffers: &[] },
        primitive: Default::default(),
        depth_stencil: None,
        multisample: Default::default(),
        fragment: Some(fragment),
        multiview_mask: None,
        cache: None,
    });
    let layout = &pipeline.get_bind_group_layout(0);
    let resource = optimizer.params().buffer().as_entire_binding();
    let entries = &[wgpu::BindGroupEntry { binding: 0, resource }];
    let data =
        device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries });
    for _ in 0..60 {
        let begun = Instant::now();
        let mut encoder = device.create_command_encoder(&Default::default());
        optimizer.record_for(&mut encoder, &mut problem, Duration::from_millis(16))?;
        let (depth_slice, resolve_target, ops) = Default::default();
        let on = Some(wgpu::RenderPassColorAttachment { view, depth_slice, resolve_target, ops });
        let on = wgpu::RenderPassDescriptor { color_attachments: &[on], ..Default::default() };
        let mut pass = encoder.begin_render_pass(&on);
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &data, &[]);
        pass.draw(0..3, 0..1);
        drop(pass);
        queue.submit([encoder.finish()]);
        device.poll(wgpu::PollType::wait_indefinitely())?; // A window waits for its display.
        optimizer.frame_took(begun.elapsed());
    }
    let _ = writeln!(std::io::stdout(), "{:?}", optimizer.reports().last());
    Ok(())
}
