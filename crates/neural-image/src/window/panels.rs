//! Draws the three images straight out of the buffers that training works in.

use kutta::wgpu;
use wgpu::util::DeviceExt as _;

/// The difference is shown this many times as large.
pub const GAIN: f32 = 4.0;

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Panel {
    width: u32,
    height: u32,
    kind: u32,
    gain: f32,
}

/// Target, reconstruction and difference.
pub struct Panels {
    pipeline: wgpu::RenderPipeline,
    groups: Vec<wgpu::BindGroup>,
}

impl Panels {
    pub fn new(
        device: &wgpu::Device,
        format: wgpu::TextureFormat,
        extent: [usize; 2],
        target: &wgpu::Buffer,
        values: &wgpu::Buffer,
    ) -> Self {
        let module = device.create_shader_module(wgpu::include_wgsl!("panels.wgsl"));
        let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some("panels"),
            layout: None,
            vertex: wgpu::VertexState {
                module: &module,
                entry_point: Some("vertex"),
                compilation_options: Default::default(),
                buffers: &[],
            },
            primitive: Default::default(),
            depth_stencil: None,
            multisample: Default::default(),
            fragment: Some(wgpu::FragmentState {
                module: &module,
                entry_point: Some("fragment"),
                compilation_options: Default::default(),
                targets: &[Some(format.into())],
            }),
            multiview_mask: None,
            cache: None,
        });
        let layout = pipeline.get_bind_group_layout(0);
        let group = |kind: u32| {
            let panel =
                Panel { width: extent[0] as u32, height: extent[1] as u32, kind, gain: GAIN };
            let uniform = device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label: Some("panel"),
                contents: bytemuck::bytes_of(&panel),
                usage: wgpu::BufferUsages::UNIFORM,
            });
            let buffers = [&uniform, target, values];
            let entries: Vec<_> = (0..)
                .zip(buffers)
                .map(|(binding, buffer)| wgpu::BindGroupEntry {
                    binding,
                    resource: buffer.as_entire_binding(),
                })
                .collect();
            device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("panel"),
                layout: &layout,
                entries: &entries,
            })
        };
        Self { pipeline, groups: (0..3).map(group).collect() }
    }

    /// Draws each panel in its rectangle of pixels: left, top, width, height.
    pub fn draw(&self, pass: &mut wgpu::RenderPass<'_>, places: &[[f32; 4]]) {
        pass.set_pipeline(&self.pipeline);
        for (group, [x, y, width, height]) in self.groups.iter().zip(places) {
            if *width < 1.0 || *height < 1.0 {
                continue;
            }
            pass.set_viewport(*x, *y, *width, *height, 0.0, 1.0);
            pass.set_bind_group(0, group, &[]);
            pass.draw(0..3, 0..1);
        }
    }
}
