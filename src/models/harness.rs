//! One gradient of a source on a device with a browser's limits, and what it is held
//! against in f64, for tests.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::device::commands::Commands;
use crate::device::vector::Vector;
use crate::device::{Gpu, GpuOptions, LimitsWanted};
use crate::kernels::control::Control;
use crate::layout::ParamLayout;
use crate::models::Activation;
use crate::plan::Purpose;
use crate::source::{BatchTicket, Evaluation, GradientSource};

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

/// Parameters off their zero biases and tiny entries, so that every term counts.
pub fn off_their_zeros(layout: &ParamLayout, mut theta: Vec<f32>) -> Vec<f32> {
    let mut numbers = Numbers(5);
    for tensor in layout.tensors() {
        theta[tensor.range()].iter_mut().for_each(|x| *x += 0.2 * numbers.next() as f32);
    }
    theta
}

/// Dense layers in f64, written down from their formulas alone.
pub fn dense_outputs(
    layout: &ParamLayout,
    widths: &[usize],
    activation: Activation,
    theta: &[f64],
    inputs: Vec<f64>,
) -> Vec<f64> {
    let activate = |z: f64| match activation {
        Activation::Relu => z.max(0.0),
        Activation::Tanh => z.tanh(),
        Activation::Gelu => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (z + 0.044715 * z.powi(3));
            0.5 * z * (1.0 + inner.tanh())
        }
        Activation::Sine { omega } => (f64::from(omega) * z).sin(),
    };
    let mut a = inputs;
    assert_eq!(a.len(), widths[0]);
    for layer in 0..widths.len() - 1 {
        let outputs = widths[layer + 1];
        let w = &theta[layout.range(&format!("layer{layer}.weight")).unwrap()];
        let b = &theta[layout.range(&format!("layer{layer}.bias")).unwrap()];
        let last = layer + 2 == widths.len();
        a = (0..outputs)
            .map(|j| {
                let row = w.iter().skip(j).step_by(outputs);
                let z = a.iter().zip(row).map(|(x, w)| x * w).sum::<f64>() + b[j];
                if last { z } else { activate(z) }
            })
            .collect();
    }
    a
}

/// Holds loss and gradient of one evaluation against a loss in f64 and its central
/// differences. Gives the largest slope of each tensor: one of nothing but zeros would
/// agree with whatever leaves it alone.
pub fn check_gradient<'l>(
    layout: &'l ParamLayout,
    theta: &[f32],
    (loss, found): (f32, &[f32]),
    reference: impl Fn(&[f64]) -> f64,
    what: &str,
) -> BTreeMap<&'l str, f64> {
    let mut at: Vec<f64> = theta.iter().map(|&x| f64::from(x)).collect();
    let expected = reference(&at);
    let error = (f64::from(loss) - expected).abs();
    assert!(error < 1e-5 * expected.max(1.0), "{what}: {loss}, not {expected}");
    let mut largest = BTreeMap::<&str, f64>::new();
    let mut worst = (0.0f64, 0);
    for i in 0..found.len() {
        let Some(tensor) = layout.locate(i) else {
            // A vec4 that ends in padding may make it what it must be anyway.
            let kept = found[i] == UNTOUCHED || found[i].to_bits() == 0;
            assert!(kept, "{what}: padding {i} was made {}", found[i]);
            continue;
        };
        let step = 1e-5;
        let here = at[i];
        at[i] = here + step;
        let above = reference(&at);
        at[i] = here - step;
        let below = reference(&at);
        at[i] = here;
        let slope = (above - below) / (2.0 * step);
        let most = largest.entry(tensor.name()).or_default();
        *most = most.max(slope.abs());
        let error = (slope - f64::from(found[i])).abs();
        if error > worst.0 || error.is_nan() {
            worst = (error, i);
        }
    }
    let (error, i) = worst;
    let name = layout.locate(i).map_or("?", |t| t.name());
    let scale = largest.values().fold(0.1, |a: f64, b| a.max(*b));
    assert!(error < 1e-5 * scale, "{what}: off by {error} at {i} ({name})");
    largest
}

/// The number that gradients are filled with beforehand.
pub const UNTOUCHED: f32 = 7.25;

/// The buffers of one evaluation.
pub struct Device {
    gpu: Gpu,
    point: Vector,
    gradient: Vector,
    control: wgpu::Buffer,
    loss: wgpu::Buffer,
    samples: wgpu::Buffer,
    checks: wgpu::Buffer,
}

impl Device {
    pub fn new(len: usize) -> Self {
        Self::on(gpu(), len)
    }

    pub fn on(gpu: &Gpu, len: usize) -> Self {
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let control = gpu.buffer("control", size_of::<Control>() as u64, usage).unwrap();
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        Self {
            gpu: gpu.clone(),
            point: Vector::zeros(gpu, "point", len).unwrap(),
            gradient: Vector::zeros(gpu, "gradient", len).unwrap(),
            control,
            loss: gpu.buffer("loss", 4, usage).unwrap(),
            samples: gpu.buffer("samples", 4, usage).unwrap(),
            checks: gpu.buffer("checks", 8, usage).unwrap(),
        }
    }

    /// Loss and gradient, the latter with its padding.
    pub fn evaluate(
        &self,
        source: &mut impl GradientSource,
        what: (u64, Purpose),
        theta: &[f32],
        batch: u32,
    ) -> (f32, Vec<f32>) {
        self.evaluate_for(BatchTicket::new(), source, what, theta, batch)
    }

    /// Evaluates a batch that was seen before, as far as a ticket says.
    pub fn evaluate_for(
        &self,
        ticket: BatchTicket,
        source: &mut impl GradientSource,
        (optimizer, purpose): (u64, Purpose),
        theta: &[f32],
        batch: u32,
    ) -> (f32, Vec<f32>) {
        let gpu = &self.gpu;
        gpu.upload(self.point.buffer(), bytemuck::cast_slice(theta)).unwrap();
        let bytes = self.gradient.buffer().size();
        gpu.upload(
            self.gradient.buffer(),
            bytemuck::cast_slice(&vec![UNTOUCHED; bytes as usize / 4]),
        )
        .unwrap();
        let control = Control { batch, alive: 1, stride: 1, ..Control::default() };
        gpu.upload(&self.control, bytemuck::bytes_of(&control)).unwrap();
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        let mut pass = None;
        let mut at = Evaluation {
            optimizer,
            purpose,
            ticket,
            ..Evaluation::alone(
                gpu,
                (&self.point, &self.gradient),
                &self.control,
                [&self.loss, &self.samples, &self.checks],
                Commands::new(&mut encoder, &mut pass),
            )
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
