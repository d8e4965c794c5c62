//! One gradient of a source on a device with a browser's limits, for tests.

use std::sync::OnceLock;

use crate::gpu::commands::Commands;
use crate::gpu::control::Control;
use crate::gpu::vector::Vector;
use crate::gpu::{Gpu, GpuOptions, LimitsWanted};
use crate::plan::Purpose;
use crate::source::{Evaluation, EvaluationKey, GradientSource};

pub fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    // The limits of a browser: whatever passes here passes there.
    let options = GpuOptions { limits: LimitsWanted::WebGpuDefaults, ..GpuOptions::default() };
    GPU.get_or_init(|| Gpu::with_options(&options).unwrap())
}

/// Numbers in ±0.5 that repeat.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 40) as f64 / (1u64 << 24) as f64 - 0.5
    }
}

/// What gradients are filled with beforehand.
pub const UNTOUCHED: f32 = 7.25;

/// The buffers of one evaluation.
pub struct Device {
    point: Vector,
    gradient: Vector,
    control: wgpu::Buffer,
    loss: wgpu::Buffer,
}

impl Device {
    pub fn new(len: usize) -> Self {
        let gpu = gpu();
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let control = gpu.buffer("control", size_of::<Control>() as u64, usage).unwrap();
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        Self {
            point: Vector::zeros(gpu, "point", len).unwrap(),
            gradient: Vector::zeros(gpu, "gradient", len).unwrap(),
            control,
            loss: gpu.buffer("loss", 4, usage).unwrap(),
        }
    }

    /// Loss and gradient, the latter with its padding.
    pub fn evaluate(
        &self,
        source: &mut impl GradientSource,
        (optimizer, purpose): (u64, Purpose),
        theta: &[f32],
        batch: u32,
    ) -> (f32, Vec<f32>) {
        let gpu = gpu();
        gpu.upload(self.point.buffer(), bytemuck::cast_slice(theta)).unwrap();
        let bytes = self.gradient.buffer().size();
        gpu.upload(
            self.gradient.buffer(),
            bytemuck::cast_slice(&vec![UNTOUCHED; bytes as usize / 4]),
        )
        .unwrap();
        let control = Control { batch, alive: 1, ..Control::default() };
        gpu.upload(&self.control, bytemuck::bytes_of(&control)).unwrap();
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        let mut pass = None;
        let mut at = Evaluation {
            gpu,
            key: EvaluationKey {
                optimizer,
                point: 0,
                gradient: 1,
                direction: None,
                loss: 0,
                adds: false,
            },
            purpose,
            point: &self.point,
            gradient: &self.gradient,
            control: &self.control,
            loss: &self.loss,
            batch: None,
            direction: None,
            commands: Commands::new(&mut encoder, &mut pass),
        };
        source.evaluate(&mut at).unwrap();
        drop(pass);
        gpu.queue().submit([encoder.finish()]);
        let loss = pollster::block_on(gpu.read_buffer(&self.loss, 0..4)).unwrap();
        let gradient =
            pollster::block_on(gpu.read_buffer(self.gradient.buffer(), 0..bytes)).unwrap();
        (bytemuck::pod_read_unaligned(&loss), bytemuck::pod_collect_to_vec(&gradient))
    }
}
