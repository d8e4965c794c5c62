//! A gradient source of one's own, its kernel in `own_source.wgsl`: fits a cubic to points of
//! a sine, after kutta has checked the source against differences of its loss.
//!
//! ```sh
//! cargo run --release --example own_source
//! ```

use std::collections::HashMap;

use kutta::device::{Access, Kernel};
use kutta::source::EvaluationKey;
use kutta::{BatchesFrom, Evaluation, Gpu, GradientSource, SourceError, wgpu};
use kutta::{Init, Method, Optimizer, ParamLayout, StepSize};

const KERNEL: Kernel = Kernel {
    name: "cubic",
    text: &[include_str!("own_source.wgsl")],
    bindings: &[
        ("c", Access::Read),
        ("points", Access::Read),
        ("gradient", Access::Write),
        ("loss", Access::Write),
    ],
    vectors: &[],
    structs: &[],
};

struct Cubic {
    gpu: Gpu,
    layout: ParamLayout,
    points: wgpu::Buffer,
    bound: HashMap<EvaluationKey, wgpu::BindGroup>,
}

impl GradientSource for Cubic {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        let pipeline = self.gpu.pipeline(&KERNEL, &vec![]);
        let group = self.bound.entry(at.key()).or_insert_with(|| {
            let buffers = [at.point().buffer(), &self.points, at.gradient().buffer(), at.loss()];
            pipeline.bind(&self.gpu, &buffers.map(|buffer| buffer.as_entire_binding()))
        });
        let pass = at.pass();
        pass.set_pipeline(pipeline.pipeline());
        pass.set_bind_group(0, &*group, &[]);
        pass.dispatch_workgroups(1, 1, 1);
        Ok(())
    }

    /// All points are in every gradient.
    fn batches(&self) -> BatchesFrom {
        BatchesFrom::One
    }

    fn gpu(&self) -> Option<&Gpu> {
        Some(&self.gpu)
    }

    fn layout(&self) -> Option<&ParamLayout> {
        Some(&self.layout)
    }
}

fn main() -> Result<(), kutta::Error> {
    let gpu = Gpu::new()?;
    let points: Vec<[f32; 2]> =
        (0..200).map(|i| i as f32 / 100.0 - 1.0).map(|x| [x, x.sin()]).collect();
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
    let buffer = gpu.buffer("points", size_of_val(&*points) as u64, usage)?;
    gpu.queue().write_buffer(&buffer, 0, bytemuck::cast_slice(&points));
    let layout = ParamLayout::builder().tensor("c", &[4], Init::Zeros).build()?;
    let mut cubic = Cubic { gpu: gpu.clone(), layout, points: buffer, bound: HashMap::new() };

    let mut optimizer = Optimizer::builder(Method::rk4())
        .step_size(StepSize::constant(1.5))
        .build(&gpu, &cubic.layout, &vec![0.1; cubic.layout.len()])?;
    let check = optimizer.check_source(&mut cubic)?;
    println!("{check}");
    assert!(check.is_sound());
    optimizer.run(&mut cubic, 2_000)?;
    println!("sin x = {:?}, by powers of x", &optimizer.params().read()?[..4]);
    Ok(())
}
