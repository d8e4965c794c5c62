//! Gradients of a source one after another, with no optimizer between them.

use crate::device::Gpu;
use crate::device::commands::Commands;
use crate::device::vector::Vector;
use crate::error::Error;
use crate::kernels::control::Control;
use crate::source::{self, Cursor, Evaluation, GradientSource};

/// The buffers of gradients that are recorded to be timed: each on a batch that is drawn
/// anew, at the same θ.
///
/// ```
/// use kutta::{Gpu, bench::Gradients, models::Analytic};
/// let gpu = Gpu::new()?;
/// let mut source = Analytic::rosenbrock(&gpu, 2)?;
/// let gradients = Gradients::new(&gpu, &[-1.2, 1.0])?;
/// let mut encoder = gpu.device().create_command_encoder(&Default::default());
/// gradients.record(&mut encoder, &mut source, 10)?;
/// gpu.queue().submit([encoder.finish()]);
/// # Ok::<(), kutta::Error>(())
/// ```
#[derive(Debug)]
pub struct Gradients {
    gpu: Gpu,
    point: Vector,
    gradient: Vector,
    control: wgpu::Buffer,
    loss: wgpu::Buffer,
    samples: wgpu::Buffer,
    /// Nobody asks for what it is for.
    checks: wgpu::Buffer,
}

impl Gradients {
    /// Buffers for gradients at θ.
    ///
    /// # Errors
    /// A device that is lost or out of memory, or a vector that is too large for it.
    pub fn new(gpu: &Gpu, theta: &[f32]) -> Result<Self, Error> {
        use wgpu::BufferUsages as Usage;
        let usage = Usage::STORAGE | Usage::UNIFORM | Usage::COPY_SRC | Usage::COPY_DST;
        let small = |label: &str, bytes| gpu.buffer(label, bytes, usage);
        let made = Self {
            gpu: gpu.clone(),
            point: Vector::from_slice(gpu, "point of gradients", theta)?,
            gradient: Vector::zeros(gpu, "gradient", theta.len())?,
            control: small("control of gradients", size_of::<Control>() as u64)?,
            loss: small("loss of gradients", 4)?,
            samples: small("samples of gradients", 4)?,
            checks: small("checks of gradients", 8)?,
        };
        let control = Control { alive: 1, stride: 1, ..Control::default() };
        gpu.upload(&made.control, bytemuck::bytes_of(&control))?;
        Ok(made)
    }

    /// Records so many gradients. Never submits.
    ///
    /// # Errors
    /// Those of the source.
    pub fn record(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        source: &mut impl GradientSource,
        count: u32,
    ) -> Result<(), Error> {
        let mut pass = None;
        for _ in 0..count {
            let commands = Commands::new(encoder, &mut pass);
            let mut evaluation = Evaluation::alone(
                &self.gpu,
                (&self.point, &self.gradient),
                &self.control,
                [&self.loss, &self.samples, &self.checks],
                commands,
            );
            evaluation.cursor = Some(Cursor { batch: 0, cursor: 0, stride: 1 });
            source::recorded(source, &mut evaluation)?;
        }
        Ok(())
    }

    /// The gradient that was made last.
    pub fn gradient(&self) -> &wgpu::Buffer {
        self.gradient.buffer()
    }
}
