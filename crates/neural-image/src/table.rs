//! Several optimizers from one start, each with as many gradients, as a table.

use std::error::Error;
use std::time::SystemTime;

use kutta::models::NeuralField;
use kutta::{Gpu, Method, Momentum, Preconditioner, StepSize};

use crate::cli::Args;
use crate::headless::{Run, field};
use crate::picture::{Picture, above, said};
use crate::recipe::Recipe;
use kutta_cli::notice::Notice;
use kutta_cli::output::{self, Folder};

/// Attempts between looks at how far it has come.
const CHUNK: u64 = 20;

/// Name, method, preconditioner, momentum, largest h.
type Row = (&'static str, &'static str, Preconditioner, Momentum, f64);

fn rows() -> [Row; 5] {
    let adam = |eps| Preconditioner::adam(0.99, eps);
    let average = Momentum::ema(0.9);
    [
        ("Adam (Euler)", "euler", adam(1e-8), average, 0.03),
        ("Heun + Adam's D and average", "heun", adam(1e-6), average, 0.04),
        ("RK4 + Adam's D and average", "rk4", adam(1e-5), average, 0.04),
        ("RKC2, 4 stages, + Adam's D and average", "rkc2:stages=4", adam(1e-5), average, 0.04),
        ("RKC2, 8 stages", "rkc2:stages=8", Preconditioner::none(), Momentum::none(), 20.0),
    ]
}

/// Gradients and their optimizer's name for one step of the one that takes most.
fn dearest() -> (u64, &'static str) {
    let cost = |row: Row| row.1.parse::<Method>().map_or(1, |method| method.stages() as u64);
    rows().map(|row| (cost(row), row.0)).into_iter().max().unwrap_or((1, ""))
}

/// # Errors
/// Fewer gradients than one step takes.
pub fn check(args: &Args) -> Result<(), String> {
    let (most, name) = dearest();
    match args.evaluations {
        few if few < most => {
            Err(format!("--evaluations {few} is no step of `{name}`, which takes {most} gradients"))
        }
        _ => Ok(()),
    }
}

/// Trains with all of them, prints the table and writes it to the folder as it grows.
pub fn run(args: &Args, picture: &Picture, folder: &Folder) -> Result<(), Box<dyn Error>> {
    let file = folder.file("neural_image.md")?;
    let notice = Notice::of_kernels();
    let gpu = &Gpu::new()?;
    let mut field = field(gpu, args, picture)?;
    let theta = field.initial(args.seed);
    let parameters = field.layout().parameters();
    let (bar, small) = picture.bicubic(parameters);
    let [width, height] = picture.extent();
    let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let mut text = file.rows();
    let mut put = |part: String| {
        output::print(&part);
        text.put(part);
    };
    put(format!(
        "`cargo run --release -p neural-image -- {command}`, {}, {}.\n\n\
         `{}`, {width} x {height}; {}, hidden widths {:?}, {}: {parameters} parameters. \
         Batches of {} texels, seed {}. Bicubic from {} x {} texels, as many values: \
         {}.\n\n\
         | optimizer | D | h | gradients | steps | PSNR, dB | to bicubic, dB | training, s |\n\
         |---|---|---|---|---|---|---|---|\n",
        gpu.info().name,
        &now[..10],
        picture.name,
        args.encoding,
        args.hidden,
        args.activation,
        args.batch,
        args.seed,
        small[0],
        small[1],
        said(bar),
    ));
    let training = Training { gpu, args, theta: &theta, bar };
    for row in rows() {
        let (name, method, ..) = row;
        match training.row(&mut field, row) {
            Ok(line) => put(line),
            // The others are as good as they were.
            Err(error) => output::fault(format_args!("{name}, {method}: {error}")),
        }
    }
    drop(notice);
    text.finish();
    Ok(())
}

/// What all rows share.
struct Training<'a> {
    gpu: &'a Gpu,
    args: &'a Args,
    theta: &'a [f32],
    /// Decibels of bicubic interpolation.
    bar: f64,
}

impl Training<'_> {
    /// One line of the table.
    fn row(&self, field: &mut NeuralField, row: Row) -> Result<String, Box<dyn Error>> {
        let (name, method, preconditioner, momentum, h) = row;
        let most = self.args.evaluations;
        let method: Method = method.parse()?;
        let stages = method.stages() as u64;
        let attempts = (most / stages) as u32;
        let cosine = StepSize::cosine(h, h / 40.0, attempts);
        let recipe = Recipe {
            name: name.into(),
            method,
            preconditioner,
            momentum,
            step_size: Some(match attempts / 10 {
                0 => cosine,
                warm => cosine.warm_up(warm),
            }),
            adaptive: None,
        };
        let mut run = Run::new(recipe.build(self.gpu, field, self.theta)?);
        let (mut gradients, mut accepted) = (0, 0);
        while gradients + stages <= most {
            run.attempts(field, ((most - gradients) / stages).min(CHUNK))?;
            let now = run.reports.last().map_or(gradients, |report| report.evaluations);
            if now <= gradients {
                return Err(format!("attempts after {gradients} gradients took none").into());
            }
            gradients = now;
            accepted = run.optimizer.accepted();
        }
        let psnr = run.psnr(field)?;
        Ok(format!(
            "| {name} | `{preconditioner}` | {h} | {gradients} | {accepted} | {} | {} | {:.0} |\n",
            said(psnr).trim_end_matches(" dB"),
            above(psnr, self.bar).unwrap_or("–".into()),
            run.training.as_secs_f64(),
        ))
    }
}
