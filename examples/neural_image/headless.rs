//! Without a window: PNG frames, an animated PNG, and PSNR per step as CSV.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use kutta::models::{Inference, NeuralField, Points};
use kutta::{Gpu, Optimizer, Report, Verdict};

use crate::cli::Args;
use crate::picture::{Picture, above, bytes, decibels, said};
use crate::recipe::Recipe;

/// The field of the command line.
pub fn field(gpu: &Gpu, args: &Args, picture: &Picture) -> Result<NeuralField, Box<dyn Error>> {
    let texels: usize = picture.extent().iter().product();
    Ok(NeuralField::builder(args.encoding.0)
        .hidden(&args.hidden)
        .activation(args.activation.0)
        .points(Points::Texels(args.batch.min(texels)))
        .seed(args.seed)
        .build(gpu, &picture.target()?)?)
}

/// A training of so many gradients or steps, and what it came to.
pub struct Run {
    pub optimizer: Optimizer,
    /// Spent on attempts alone.
    pub training: Duration,
    pub reports: Vec<Report>,
}

impl Run {
    pub fn new(optimizer: Optimizer) -> Self {
        Self { optimizer, training: Duration::ZERO, reports: Vec::new() }
    }

    /// So many attempts more.
    pub fn attempts(&mut self, field: &mut NeuralField, n: u64) -> Result<(), kutta::Error> {
        let start = Instant::now();
        self.optimizer.run(field, n)?;
        self.optimizer.wait()?;
        self.training += start.elapsed();
        self.reports.extend(self.optimizer.reports());
        Ok(())
    }

    pub fn psnr(&self, field: &mut NeuralField) -> Result<f64, kutta::Error> {
        Ok(decibels(field.evaluate(self.optimizer.params())?.loss))
    }
}

/// Trains, and writes everything to `args.out`.
pub fn run(gpu: &Gpu, args: &Args, picture: &Picture) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(&args.out)?;
    let start = Instant::now();
    let mut field = field(gpu, args, picture)?;
    let parameters = field.layout().parameters();
    let recipe = Recipe::of(args)?;
    let theta = field.initial(args.seed);
    let mut run = Run::new(recipe.build(gpu, &field, &theta)?);
    let inference = field.inference(run.optimizer.params(), &picture.extent())?;
    let (bar, small) = picture.bicubic(parameters);
    println!(
        "{} on {}: {} x {}, {parameters} parameters; bicubic from {} x {}: {}",
        recipe.name,
        gpu.info().name,
        picture.extent()[0],
        picture.extent()[1],
        small[0],
        small[1],
        said(bar),
    );

    let mut animation = Animation::new(&args.out.join("animation.png"), picture, args.frames)?;
    let mut csv = BufWriter::new(File::create(args.out.join("psnr.csv"))?);
    writeln!(csv, "step,gradients,seconds,h,loss,batch_psnr,psnr")?;
    let mut done = 0;
    for frame in 0..=args.frames {
        // Steps grow from frame to frame: most happens at the beginning.
        let part = frame as f64 / args.frames.max(1) as f64;
        let until = (args.steps as f64 * part * part).round() as u64;
        run.attempts(&mut field, until.saturating_sub(done))?;
        done = done.max(until);
        let psnr = run.psnr(&mut field)?;
        let mut reports = std::mem::take(&mut run.reports).into_iter().peekable();
        while let Some(report) = reports.next() {
            let last = reports.peek().is_none();
            write_row(&mut csv, &report, run.training, last.then_some(psnr))?;
        }
        let values = read(gpu, &inference)?;
        let path = args.out.join(format!("frame-{frame:03}.png"));
        let [width, height] = picture.extent().map(|n| n as u32);
        image::save_buffer(&path, &bytes(&values), width, height, image::ColorType::Rgb8)?;
        animation.add(&values)?;
        println!("step {done:5}  {:6.1} s  {:>9}", start.elapsed().as_secs_f64(), said(psnr));
    }
    csv.flush()?;
    animation.end()?;
    let psnr = run.psnr(&mut field)?;
    println!(
        "{}{}, {:.1} s of training; files are in {}",
        said(psnr),
        above(psnr, bar).map_or(String::new(), |above| format!(", {above} dB to bicubic")),
        run.training.as_secs_f64(),
        args.out.display()
    );
    Ok(())
}

/// `seconds` are as of the chunk's end; the image's PSNR is known there alone.
fn write_row(
    csv: &mut impl Write,
    report: &Report,
    training: Duration,
    psnr: Option<f64>,
) -> std::io::Result<()> {
    if report.verdict != Verdict::Accepted {
        return Ok(());
    }
    let loss = report.loss.map(f64::from);
    let text = |x: Option<f64>, digits| x.map_or(String::new(), |x| format!("{x:.digits$}"));
    writeln!(
        csv,
        "{},{},{:.3},{:e},{},{},{}",
        report.attempt + 1,
        report.evaluations,
        training.as_secs_f64(),
        report.h,
        loss.map_or(String::new(), |loss| format!("{loss:e}")),
        text(loss.map(decibels).filter(|x| x.is_finite()), 3),
        text(psnr.filter(|x| x.is_finite()), 3),
    )
}

/// What the inference gives for the parameters as they are.
pub fn read(gpu: &Gpu, inference: &Inference) -> Result<Vec<f32>, Box<dyn Error>> {
    let device = gpu.device();
    let staging = device.create_buffer(&kutta::wgpu::BufferDescriptor {
        label: Some("values"),
        size: inference.buffer().size(),
        usage: kutta::wgpu::BufferUsages::MAP_READ | kutta::wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    inference.record(&mut encoder.begin_compute_pass(&Default::default()));
    encoder.copy_buffer_to_buffer(inference.buffer(), 0, &staging, 0, staging.size());
    gpu.queue().submit([encoder.finish()]);
    staging.slice(..).map_async(kutta::wgpu::MapMode::Read, |_| {});
    device.poll(kutta::wgpu::PollType::wait_indefinitely())?;
    let mapped = staging.slice(..).get_mapped_range()?;
    Ok(bytemuck::pod_collect_to_vec(&mapped))
}

/// An animated PNG.
struct Animation {
    writer: png::Writer<BufWriter<File>>,
}

impl Animation {
    fn new(path: &Path, picture: &Picture, frames: u64) -> Result<Self, Box<dyn Error>> {
        let [width, height] = picture.extent().map(|n| n as u32);
        let mut encoder = png::Encoder::new(BufWriter::new(File::create(path)?), width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_animated(frames as u32 + 1, 0)?;
        encoder.set_frame_delay(1, 8)?;
        Ok(Self { writer: encoder.write_header()? })
    }

    fn add(&mut self, values: &[f32]) -> Result<(), Box<dyn Error>> {
        Ok(self.writer.write_image_data(&bytes(values))?)
    }

    fn end(self) -> Result<(), Box<dyn Error>> {
        Ok(self.writer.finish()?)
    }
}
