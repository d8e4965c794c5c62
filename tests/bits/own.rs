//! A gradient source that uses wgpu alone.

use kutta::wgpu;
use kutta::{Evaluation, Gpu, GradientSource, SourceError};

const TEXT: &str = "
@group(0) @binding(0) var<storage, read> point: array<f32>;
@group(0) @binding(1) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;
// One invocation: a sum in one order.
@compute @workgroup_size(1) fn main() {
    let n = arrayLength(&gradient);
    var sum = 0.0;
    for (var i = 0u; i < n; i++) {
        let x = point[i];
        let before = select(0.0, point[max(i, 1u) - 1u], i > 0u);
        let after = select(0.0, point[min(i + 1u, n - 1u)], i + 1u < n);
        gradient[i] = x - 0.25 * (before + after) + 0.5 * x * x * x;
        sum += 0.5 * x * x - 0.25 * x * after + 0.125 * x * x * x * x;
    }
    loss[0] = sum;
}";

/// L = Σ x²/2 − x xₙₑₓₜ/4 + x⁴/8.
pub struct Chain(wgpu::ComputePipeline);

impl Chain {
    pub fn new(gpu: &Gpu) -> Self {
        let device = gpu.device();
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("chain"),
            source: wgpu::ShaderSource::Wgsl(TEXT.into()),
        });
        Self(device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("chain"),
            layout: None,
            module: &module,
            entry_point: None,
            compilation_options: Default::default(),
            cache: None,
        }))
    }
}

impl GradientSource for Chain {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        let buffers = [at.point().buffer(), at.gradient().buffer(), at.loss()];
        let entries: Vec<_> = (0..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let group = at.gpu().device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("chain"),
            layout: &self.0.get_bind_group_layout(0),
            entries: &entries,
        });
        let pass = at.pass();
        pass.set_pipeline(&self.0);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(1, 1, 1);
        Ok(())
    }
}
