//! Without a window: PNG frames, an animated PNG, and PSNR per step as CSV.

use std::cell::RefCell;
use std::error::Error;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use image::ImageEncoder as _;

use kutta::models::{Inference, NeuralField, Points};
use kutta::{Gpu, Optimizer, Report, Verdict};

use crate::cli::Args;
use crate::picture::{Picture, above, bytes, decibels, said};
use crate::recipe::Recipe;
use kutta_cli::notice::Notice;
use kutta_cli::output::{Folder, Output};
use kutta_cli::standstill;

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
    ///
    /// # Errors
    /// Of the optimizer; or steps that move nothing.
    pub fn attempts(&mut self, field: &mut NeuralField, n: u64) -> Result<(), Box<dyn Error>> {
        let start = Instant::now();
        self.optimizer.run(field, n)?;
        self.optimizer.wait()?;
        self.training += start.elapsed();
        let reports = self.optimizer.reports();
        standstill::check(&reports)?;
        self.reports.extend(reports);
        Ok(())
    }

    pub fn psnr(&self, field: &mut NeuralField) -> Result<f64, kutta::Error> {
        Ok(decibels(field.evaluate(self.optimizer.params())?.loss))
    }
}

/// The files of a training.
struct Files {
    csv: Output,
    animation: Output,
    frames: Vec<Output>,
}

impl Files {
    fn new(folder: &Folder, frames: u64) -> Result<Self, Box<dyn Error>> {
        let frame = |i| folder.file(format!("frame-{i:03}.png"));
        Ok(Self {
            csv: folder.file("psnr.csv")?,
            animation: folder.file("animation.png")?,
            frames: (0..=frames).map(frame).collect::<Result<_, _>>()?,
        })
    }
}

/// Trains, and writes everything to the folder.
pub fn run(
    args: &Args,
    recipe: &Recipe,
    picture: &Picture,
    folder: &Folder,
) -> Result<(), Box<dyn Error>> {
    let files = Files::new(folder, args.frames)?;
    let start = Instant::now();
    let mut notice = Some(Notice::of_kernels());
    let gpu = &Gpu::new()?;
    let mut field = field(gpu, args, picture)?;
    let parameters = field.layout().parameters();
    let theta = field.initial(args.seed);
    let mut run = Run::new(recipe.build(gpu, &field, &theta)?);
    let inference = field.inference(run.optimizer.params(), &picture.extent())?;
    let (bar, small) = picture.bicubic(parameters);
    say!(
        "{} on {}: {} x {}, {parameters} parameters; bicubic from {} x {}: {}",
        recipe.name,
        gpu.info().name,
        picture.extent()[0],
        picture.extent()[1],
        small[0],
        small[1],
        said(bar),
    );

    let mut animation = Animation::new(picture, args.frames)?;
    let mut csv = files.csv.rows();
    csv.put("step,gradients,seconds,h,loss,batch_psnr,psnr\n");
    let mut done = 0;
    for (frame, file) in (0..).zip(&files.frames) {
        // Steps grow from frame to frame: most happens at the beginning.
        let part = frame as f64 / args.frames as f64;
        let until = (args.steps as f64 * part * part).round() as u64;
        run.attempts(&mut field, until.saturating_sub(done))?;
        done = done.max(until);
        let psnr = run.psnr(&mut field)?;
        if done > 0 {
            notice = None;
        }
        let mut reports = std::mem::take(&mut run.reports).into_iter().peekable();
        while let Some(report) = reports.next() {
            let last = reports.peek().is_none();
            csv.put(row(&report, run.training, last.then_some(psnr)));
        }
        let values = read(gpu, &inference)?;
        file.put_made(png(&bytes(&values), picture));
        animation.add(&values)?;
        say!("step {done:5}  {:6.1} s  {:>9}", start.elapsed().as_secs_f64(), said(psnr));
    }
    drop(notice);
    csv.finish();
    files.animation.put_made(animation.end());
    let psnr = run.psnr(&mut field)?;
    say!(
        "{}{}, {:.1} s of training; files are in {}",
        said(psnr),
        above(psnr, bar).map_or(String::new(), |above| format!(", {above} dB to bicubic")),
        run.training.as_secs_f64(),
        args.out.display()
    );
    Ok(())
}

/// `seconds` are as of the chunk's end; the image's PSNR is known there alone. What has no
/// number is left empty.
fn row(report: &Report, training: Duration, psnr: Option<f64>) -> String {
    if report.verdict != Verdict::Accepted {
        return String::new();
    }
    let loss = report.loss.map(f64::from);
    let text =
        |x: Option<f64>| x.filter(|x| x.is_finite()).map_or(String::new(), |x| format!("{x:.3}"));
    format!(
        "{},{},{:.3},{:e},{},{},{}\n",
        report.attempt + 1,
        report.evaluations,
        training.as_secs_f64(),
        report.h,
        loss.map_or(String::new(), |loss| format!("{loss:e}")),
        text(loss.map(decibels)),
        text(psnr),
    )
}

/// Colours of a picture's size as a PNG file.
fn png(colours: &[u8], picture: &Picture) -> Result<Vec<u8>, Box<dyn Error>> {
    let [width, height] = picture.extent().map(|n| n as u32);
    let mut file = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut file);
    encoder.write_image(colours, width, height, image::ExtendedColorType::Rgb8)?;
    Ok(file)
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
    writer: png::Writer<Bytes>,
    file: Bytes,
}

/// Grows while the encoder has it in its hands.
#[derive(Clone, Default)]
struct Bytes(Rc<RefCell<Vec<u8>>>);

impl io::Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Animation {
    fn new(picture: &Picture, frames: u64) -> Result<Self, Box<dyn Error>> {
        let [width, height] = picture.extent().map(|n| n as u32);
        let file = Bytes::default();
        let mut encoder = png::Encoder::new(file.clone(), width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_animated(frames as u32 + 1, 0)?;
        encoder.set_frame_delay(1, 8)?;
        Ok(Self { writer: encoder.write_header()?, file })
    }

    fn add(&mut self, values: &[f32]) -> Result<(), Box<dyn Error>> {
        Ok(self.writer.write_image_data(&bytes(values))?)
    }

    fn end(self) -> Result<Vec<u8>, Box<dyn Error>> {
        self.writer.finish()?;
        Ok(self.file.0.take())
    }
}
