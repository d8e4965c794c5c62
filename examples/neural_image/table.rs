//! Several optimizers from one start, each with as many gradients, as a table.

use std::error::Error;
use std::fmt::Write as _;
use std::time::SystemTime;

use kutta::{Gpu, Method, Momentum, Preconditioner, StepSize};

use crate::cli::Args;
use crate::headless::{Run, field};
use crate::picture::{Picture, above, said};
use crate::recipe::Recipe;

/// Attempts between looks at how far it has come.
const CHUNK: u64 = 20;

/// Name, method, preconditioner, momentum, largest h.
type Row = (&'static str, &'static str, Preconditioner, Momentum, f64);

fn rows() -> [Row; 5] {
    let adam = |eps| Preconditioner::adam(0.99, eps);
    let average = Momentum::average(0.9);
    [
        ("Adam (Euler)", "euler", adam(1e-8), average, 0.03),
        ("Heun + Adam's D and average", "heun", adam(1e-6), average, 0.04),
        ("RK4 + Adam's D and average", "rk4", adam(1e-5), average, 0.04),
        ("RKC2, 4 stages, + Adam's D and average", "rkc2:stages=4", adam(1e-5), average, 0.04),
        ("RKC2, 8 stages", "rkc2:stages=8", Preconditioner::none(), Momentum::none(), 20.0),
    ]
}

/// Trains with all of them, prints the table and writes it to `args.out`.
pub fn run(gpu: &Gpu, args: &Args, picture: &Picture) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(&args.out)?;
    let mut field = field(gpu, args, picture)?;
    let theta = field.initial(args.seed);
    let parameters = field.layout().parameters();
    let (bar, small) = picture.bicubic(parameters);
    let [width, height] = picture.extent();
    let mut text = String::new();
    let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    writeln!(
        text,
        "`cargo run --release --example neural_image -- {command}`, {}, {}.\n\n\
         `{}`, {width} x {height}; {}, hidden widths {:?}, {}: {parameters} parameters. \
         Batches of {} texels, seed {}. Bicubic from {} x {} texels, as many values: \
         {}.\n\n\
         | optimizer | D | h | gradients | steps | PSNR, dB | to bicubic, dB | training, s |\n\
         |---|---|---|---|---|---|---|---|",
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
    )?;
    print!("{text}");
    for (name, method, preconditioner, momentum, h) in rows() {
        let method: Method = method.parse()?;
        let stages = method.stages() as u64;
        let attempts = args.evaluations / stages;
        let warm = (attempts / 10) as u32;
        let recipe = Recipe {
            name: name.into(),
            method,
            preconditioner,
            momentum,
            step_size: Some(StepSize::cosine(h, h / 40.0, attempts as u32).warm_up(warm)),
            adaptive: None,
        };
        let mut run = Run::new(recipe.build(gpu, &field, &theta)?);
        let (mut gradients, mut accepted) = (0, 0);
        while gradients + stages <= args.evaluations {
            let left = (args.evaluations - gradients) / stages;
            run.attempts(&mut field, left.min(CHUNK))?;
            gradients = run.reports.last().map_or(gradients, |report| report.evaluations);
            accepted = run.optimizer.accepted();
        }
        let psnr = run.psnr(&mut field)?;
        let row = format!(
            "| {name} | `{preconditioner}` | {h} | {gradients} | {accepted} | {} | {} | {:.0} |",
            said(psnr).trim_end_matches(" dB"),
            above(psnr, bar).unwrap_or("–".into()),
            run.training.as_secs_f64(),
        );
        println!("{row}");
        writeln!(text, "{row}")?;
    }
    std::fs::write(args.out.join("neural_image.md"), text)?;
    Ok(())
}
