//! Evaluations of a source on buffers of their own, beside those of an optimizer.

use crate::device::Gpu;
use crate::device::commands::Commands;
use crate::device::vector::Vector;
use crate::device::waiting::Waiting;
use crate::error::Error;
use crate::format::Storage;
use crate::kernels::control::Control;
use crate::kernels::verdict::NO_LOSS;
use crate::plan::{Check, Purpose};
use crate::source::{self, BatchTicket, Cursor, Evaluation, GradientSource};

/// Buffers of one kind of evaluation.
pub(super) struct Buffers {
    point: Vector,
    gradient: Vector,
    control: wgpu::Buffer,
    loss: wgpu::Buffer,
    samples: wgpu::Buffer,
    checks: wgpu::Buffer,
}

/// A question to a source.
pub(super) struct Ask<'a> {
    pub purpose: Purpose,
    pub batch: u64,
    pub ticket: BatchTicket,
    pub theta: &'a [f32],
    /// The value of every element of the gradient beforehand, padding left out.
    pub before: f32,
    pub adds: bool,
    pub direction: Option<&'a Vector>,
    pub check: Option<Check>,
}

/// The answer of a source.
pub(super) struct Answer {
    pub loss: Option<f32>,
    /// The gradient with its padding, also behind the last tensor.
    pub gradient: Vec<f32>,
}

impl Buffers {
    /// `checks`: partial sums that the source leaves where it is asked to check.
    pub fn new(gpu: &Gpu, len: usize, storage: Storage, checks: u32) -> Result<Self, Error> {
        use wgpu::BufferUsages as Usage;
        let usage = Usage::STORAGE | Usage::UNIFORM | Usage::COPY_SRC | Usage::COPY_DST;
        let small = |label: &str, bytes| gpu.buffer(label, bytes, usage);
        Ok(Self {
            point: Vector::zeros(gpu, "point of a check", len)?,
            gradient: Vector::stored(gpu, "gradient of a check", len, storage)?,
            control: small("control of a check", size_of::<Control>() as u64)?,
            loss: small("loss of a check", 4)?,
            samples: small("samples of a check", 4)?,
            checks: small("checks of a source", 4 + 4 * u64::from(checks.max(1)))?,
        })
    }

    /// Fills the gradient: `before` in tensors, zeros in padding. Narrow ones are filled
    /// with NaN.
    pub fn fill(
        &self,
        gpu: &Gpu,
        parts: &[std::ops::Range<usize>],
        before: f32,
    ) -> Result<(), Error> {
        let bytes = self.gradient.buffer().size() as usize;
        if self.gradient.storage().is_narrow() {
            return Ok(gpu.upload(self.gradient.buffer(), &vec![0xff; bytes])?);
        }
        let mut values = vec![0.0; bytes / 4];
        parts.iter().for_each(|part| values[part.clone()].fill(before));
        Ok(gpu.upload(self.gradient.buffer(), bytemuck::cast_slice(&values))?)
    }

    /// Has the source evaluate, and submits it.
    pub fn record(
        &self,
        gpu: &Gpu,
        source: &mut impl GradientSource,
        ask: &Ask<'_>,
    ) -> Result<(), Error> {
        gpu.upload(self.point.buffer(), bytemuck::cast_slice(ask.theta))?;
        gpu.upload(&self.loss, bytemuck::bytes_of(&NO_LOSS))?;
        let low = ask.batch as u32;
        let control =
            Control { alive: 1, batch: low, cursor: low, stride: 1, ..Control::default() };
        gpu.upload(&self.control, bytemuck::bytes_of(&control))?;
        // A slot that nobody writes makes the norm NaN.
        let mut slots = vec![f32::NAN; (self.checks.size() / 4) as usize];
        slots[0] = 0.0;
        gpu.upload(&self.checks, bytemuck::cast_slice(&slots))?;
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        let mut pass = None;
        let commands = Commands::new(&mut encoder, &mut pass);
        let mut evaluation = Evaluation::alone(
            gpu,
            (&self.point, &self.gradient),
            &self.control,
            [&self.loss, &self.samples, &self.checks],
            commands,
        );
        evaluation.purpose = ask.purpose;
        evaluation.ticket = ask.ticket;
        evaluation.adds = ask.adds;
        evaluation.direction = ask.direction;
        evaluation.check = ask.check;
        // Not by the purpose: `PerStage` would show a later stage another batch, rightly.
        evaluation.draw = 0;
        let (batch, cursor) = (ask.batch, ask.batch);
        evaluation.cursor = Some(Cursor { batch, cursor, stride: 1 });
        let recorded = source::recorded(source, &mut evaluation);
        drop(pass);
        recorded?;
        gpu.queue().submit([encoder.finish()]);
        Ok(())
    }

    pub async fn loss(&self, gpu: &Gpu, waiting: Waiting) -> Result<Option<f32>, Error> {
        let bytes = gpu.fetch_buffer(&self.loss, 0..4, waiting).await?;
        let bits: u32 = bytemuck::pod_read_unaligned(&bytes);
        Ok((bits != NO_LOSS).then(|| f32::from_bits(bits)))
    }

    /// What a check found: the first vec4 that is not finite, and the roots of partial sums.
    pub async fn found(
        &self,
        gpu: &Gpu,
        waiting: Waiting,
    ) -> Result<(Option<usize>, Vec<f32>), Error> {
        let bytes = gpu.fetch_buffer(&self.checks, 0..self.checks.size(), waiting).await?;
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(&bytes);
        let place = (words[0] != 0).then(|| (u32::MAX - words[0]) as usize);
        Ok((place, words[1..].iter().map(|&bits| f32::from_bits(bits)).collect()))
    }

    pub async fn gradient(&self, gpu: &Gpu, waiting: Waiting) -> Result<Vec<f32>, Error> {
        let buffer = self.gradient.buffer();
        let bytes = gpu.fetch_buffer(buffer, 0..buffer.size(), waiting).await?;
        Ok(self.gradient.storage().widen(&bytes))
    }
}
