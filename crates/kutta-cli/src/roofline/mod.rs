//! How fast kutta's kernels move words, beside ceilings, bare kernels and rivals:
//! docs/roofline.md.
//!
//! ```sh
//! cargo run --release -p kutta-cli -- roofline
//! cargo run --release -p kutta-cli -- roofline --quick
//! cargo run --release -p kutta-cli -- roofline --json run.json --svg run.svg --against rivals.json
//! cargo run --release -p kutta-cli -- roofline --training --json steps.json
//! cargo run --release -p kutta-cli -- roofline --training --predict
//! ```

mod bars;
mod clock;
mod machine;
mod picture;
mod protocol;
mod schema;
mod statistics;
mod table;
mod training;

use std::error::Error;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use kutta::device::GpuOptions;
use kutta::{
    Adaptive, Gpu, Ingredients, Method, Momentum, Preconditioner, SpectralRadius, Storage, Stored,
    wgpu,
};

use self::machine::Machine;
use self::protocol::{Config, Session, Wanted};
use self::schema::{Protocol, Run, SCHEMA, VERSION};
use crate::plot::canvas;
use kutta_cli::notice::Notice;
use kutta_cli::output::{self, Output, Outputs};

/// Times every kernel and whole steps on vectors of several sizes, without a
/// gradient source; or training steps with one
#[derive(Debug, Parser)]
pub struct Args {
    /// Methods by name; without them a few that differ
    #[arg(long, value_delimiter = ',')]
    methods: Vec<String>,
    /// With nothing, with an error estimate, or with Adam's two and an estimate where
    /// there is one
    #[arg(long, value_delimiter = ',')]
    ingredients: Vec<Part>,
    /// How gradients are stored: f32, f16, bf16
    #[arg(long, value_delimiter = ',', default_value = "f32,f16")]
    storage: Vec<Storage>,
    /// Numbers of parameters, such as 1e6; without them decades, as many as fit
    #[arg(long, value_delimiter = ',', value_parser = size)]
    sizes: Vec<usize>,
    /// Samples of everything, 20 or more
    #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u32).range(20..=10_000))]
    samples: u32,
    /// Seconds that one sample may take: 10 or 100 steps that take longer are left out
    #[arg(long, default_value_t = 0.2, value_parser = seconds)]
    budget: f64,
    /// The last-level cache, where the system does not tell it
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    cache: Option<u64>,
    /// Memory for buffers, where the system does not tell it
    #[arg(long, value_name = "GIB", value_parser = seconds)]
    memory: Option<f64>,
    /// Two sizes and two methods, or two training cases: within a minute on two cores
    #[arg(long)]
    quick: bool,
    /// Times training steps, gradients included, of networks with their batches
    #[arg(long, conflicts_with_all = ["methods", "ingredients", "sizes", "cache", "memory", "from"])]
    training: bool,
    /// Training cases by name; without them all, but for those that take minutes on a
    /// software adapter
    #[arg(long, value_delimiter = ',', requires = "training")]
    cases: Vec<String>,
    /// Measures nothing, and tells what training steps are predicted to take on a large GPU
    #[arg(long, requires = "training", conflicts_with_all = ["quick", "json", "svg", "against"])]
    predict: bool,
    /// Seconds that the samples of a training case may take: fewer are taken then, three or more
    #[arg(long, default_value_t = 60.0, value_parser = seconds, requires = "training")]
    limit: f64,
    /// Writes the run
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draws it: FILE, and beside it a .png
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Another run, or a rival's, to be drawn with this one
    #[arg(long, value_name = "FILE")]
    against: Vec<PathBuf>,
    /// Measures nothing and takes the run of a file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["quick", "json", "sizes", "methods"])]
    from: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    Plain,
    Error,
    Full,
}

/// `1e6` or `1000000`.
fn size(text: &str) -> Result<usize, String> {
    let value: f64 = text.trim().parse().map_err(|_| format!("`{text}` is not a number"))?;
    let most = u32::MAX;
    if value.fract() != 0.0 || !(1.0..=f64::from(most)).contains(&value) {
        return Err(format!("{value} is not a whole number from 1 to {most}"));
    }
    Ok(value as usize)
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(value) if value > 0.0 && value.is_finite() => Ok(value),
        _ => Err(format!("`{text}` is not a positive number")),
    }
}

/// Where the run goes.
struct Files {
    json: Option<Output>,
    /// SVG and PNG.
    pictures: Option<(Output, Output)>,
}

impl Files {
    fn new(outputs: &mut Outputs, args: &Args) -> Result<Self, Box<dyn Error>> {
        let json = args.json.as_deref().map(|path| outputs.file("--json", path)).transpose()?;
        let pictures = match &args.svg {
            None => None,
            Some(path) => {
                let png = path.with_extension("png");
                Some((outputs.file("--svg", path)?, outputs.file("--svg, its PNG,", &png)?))
            }
        };
        Ok(Self { json, pictures })
    }

    /// What there is of a run, which grows with every case. The file is never half of one.
    fn keep(&self, run: &Run) {
        if let Some(json) = &self.json {
            json.put(run.text());
        }
    }
}

pub fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    if args.predict {
        return training::predict(&args.cases);
    }
    // What is wrong with a file is said before an hour is spent.
    let others = args.against.iter().map(|path| Run::load(path)).collect::<Result<Vec<_>, _>>()?;
    let from = args.from.as_deref().map(Run::load).transpose()?;
    let steps = match args.training {
        true => {
            let amount = (args.samples, args.limit, args.quick);
            Some(training::Wanted::new(&args.cases, amount)?)
        }
        false => None,
    };
    let wanted = if from.is_none() && steps.is_none() { wanted(args)? } else { Vec::new() };
    let mut outputs = Outputs::default();
    let files = Files::new(&mut outputs, args)?;
    let own = match (from, steps) {
        (Some(run), _) => {
            output::print(table::head(&run) + &table::rest(&run));
            run
        }
        (None, Some(steps)) => trained(args, &steps, &files)?,
        (None, None) => measured(args, &wanted, &files)?,
    };
    files.keep(&own);
    let runs: Vec<Run> = std::iter::once(own).chain(others).collect();
    if args.from.is_some() || runs.len() > 1 {
        output::print(training::all(&runs.iter().collect::<Vec<_>>()));
    }
    if let Some((svg, png)) = &files.pictures {
        let (svg_bytes, png_bytes) = if runs[0].training.is_empty() {
            let figure = picture::Figure::new(&runs)?;
            (canvas::to_svg(&figure), canvas::to_png(&figure))
        } else {
            let figure = training::Figure::new(&runs)?;
            (canvas::to_svg(&figure), canvas::to_png(&figure))
        };
        svg.put_made(svg_bytes);
        png.put_made(png_bytes);
    }
    outputs.list();
    Ok(())
}

/// With timestamps, if the device has them.
fn device() -> Result<Gpu, Box<dyn Error>> {
    let features = wgpu::Features::TIMESTAMP_QUERY;
    let wanted = GpuOptions { features, ..GpuOptions::default() };
    Ok(Gpu::with_options(&wanted).or_else(|_| Gpu::new())?)
}

/// A run with nothing in it yet.
fn begun(args: &Args, gpu: &Gpu) -> Run {
    Run {
        schema: SCHEMA.into(),
        version: VERSION,
        source: format!("kutta {}", env!("CARGO_PKG_VERSION")),
        date: machine::date(),
        command: command(std::env::args().skip(1)),
        protocol: Protocol {
            samples: args.samples,
            timestamps: gpu.device().features().contains(wgpu::Features::TIMESTAMP_QUERY),
            discarded_timestamps: 0,
        },
        machine: Machine::of(gpu, args.cache.map(|mib| mib << 20)),
        measurements: Vec::new(),
        fusion: Vec::new(),
        recording: Vec::new(),
        checks: Vec::new(),
        training: Vec::new(),
        skipped: Vec::new(),
    }
}

/// Training steps.
fn trained(args: &Args, wanted: &training::Wanted, files: &Files) -> Result<Run, Box<dyn Error>> {
    let notice = Notice::of_kernels();
    let gpu = device()?;
    drop(notice);
    let mut run = begun(args, &gpu);
    output::print(table::head(&run));
    wanted.measure(&gpu, &mut run, |run| files.keep(run));
    output::print(table::rest(&run));
    if run.training.is_empty() {
        return Err("nothing was measured: all of it was skipped, for the reasons above".into());
    }
    Ok(run)
}

fn measured(args: &Args, wanted: &[Wanted], files: &Files) -> Result<Run, Box<dyn Error>> {
    let notice = Notice::of_kernels();
    let gpu = device()?;
    drop(notice);
    let run = begun(args, &gpu);
    let memory = match args.memory {
        Some(gib) => Some((gib * f64::from(1 << 30)) as u64),
        // A fifth is left to the rest of the machine.
        None if gpu.is_software() => gpu.available_memory().map(|bytes| bytes / 5 * 4),
        None => None,
    };
    let config = Config {
        samples: args.samples as usize,
        budget: if args.quick { args.budget.min(0.1) } else { args.budget },
        least: if args.quick { 2e-4 } else { 1e-2 },
        memory,
        cache: run.machine.cache_bytes,
    };
    output::print(table::head(&run));
    let mut session = Session::new(&gpu, config, run);
    // What is measured is kept at once: whoever interrupts this has all but the case under way.
    let mut said = |run: &Run, first| {
        output::print(table::case(run, first));
        files.keep(run);
    };
    for n in sizes(args, gpu.is_software()) {
        let notice = Notice::new(format!("measuring vectors of {n}, kernels compiled first"));
        let measured = session.measure(wanted, n, &mut said);
        drop(notice);
        // What was measured before is as good as it was.
        if let Err(error) = measured {
            output::fault(format_args!("n = {n}: {error}"));
            break;
        }
        files.keep(&session.run);
    }
    if let Err(error) = session.recording(wanted) {
        output::fault(error);
    }
    let run = session.run;
    output::print(table::rest(&run));
    if run.measurements.is_empty() {
        return Err("nothing was measured: all of it was skipped, for the reasons above".into());
    }
    Ok(run)
}

/// What makes these figures again.
fn command(arguments: impl Iterator<Item = String>) -> String {
    let program = ["cargo run --release -p kutta-cli --".to_owned()];
    program.into_iter().chain(arguments).collect::<Vec<_>>().join(" ")
}

/// Decades; on a software adapter only those that take minutes.
fn sizes(args: &Args, software: bool) -> Vec<usize> {
    let last = match (args.quick, software) {
        _ if !args.sizes.is_empty() => return args.sizes.clone(),
        (true, _) => 5,
        (false, true) => 7,
        (false, false) => 9,
    };
    (4..=last).map(|decade| 10usize.pow(decade)).collect()
}

/// # Errors
/// A value that is there twice: it would be measured twice.
fn once<T: PartialEq>(option: &str, values: &[T]) -> Result<(), Box<dyn Error>> {
    match (1..values.len()).find(|&i| values[..i].contains(&values[i])) {
        None => Ok(()),
        Some(i) => Err(output::usage(format!(
            "value {} of {option} is there already; name each once",
            i + 1
        ))),
    }
}

/// The cases asked for, or some that differ.
fn wanted(args: &Args) -> Result<Vec<Wanted>, Box<dyn Error>> {
    once("--methods", &args.methods)?;
    once("--ingredients", &args.ingredients)?;
    once("--storage", &args.storage)?;
    once("--sizes", &args.sizes)?;
    const USUAL: [(&str, Part); 6] = [
        ("euler", Part::Full),
        ("heun", Part::Plain),
        ("rk4", Part::Plain),
        ("rk4", Part::Full),
        ("dp5", Part::Error),
        ("tsit5", Part::Error),
    ];
    const QUICK: [(&str, Part); 2] = [("euler", Part::Full), ("rk4", Part::Plain)];
    let asked = |part: &Part| args.ingredients.is_empty() || args.ingredients.contains(part);
    let usual = if args.quick { &QUICK[..] } else { &USUAL[..] };
    let mut all = Vec::new();
    if args.methods.is_empty() {
        for (name, part) in usual.iter().filter(|(_, part)| asked(part)) {
            all.extend(case(&Method::load(name).map_err(output::usage)?, *part));
        }
    }
    for name in &args.methods {
        let method = Method::load(name).map_err(output::usage)?;
        let parts = [Part::Plain, Part::Error, Part::Full];
        all.extend(parts.iter().filter(|part| asked(part)).filter_map(|part| case(&method, *part)));
    }
    let stored = |wanted: &Wanted, gradients: Storage| {
        let stored = Stored { gradients, ..Stored::default() };
        let ingredients = Ingredients { stored, ..wanted.ingredients };
        Wanted { ingredients, method: wanted.method.clone(), storage: gradients, ..*wanted }
    };
    let all: Vec<Wanted> = all
        .iter()
        .flat_map(|wanted| args.storage.iter().map(move |&storage| stored(wanted, storage)))
        .collect();
    if all.is_empty() {
        return Err(output::usage(
            "none of these methods has these ingredients: `error` wants an embedded pair, and \
             without --methods there are those of --help",
        ));
    }
    Ok(all)
}

/// `None` where there is no pair to estimate an error with.
fn case(method: &Method, part: Part) -> Option<Wanted> {
    // No power iteration has run that h could be bounded by.
    let plain = Ingredients { radius: SpectralRadius::Given(1e-3), ..Ingredients::default() };
    let adaptive = method.tableau().b_hat().map(|_| Adaptive::new(1e-3, 1e-6));
    let (name, ingredients) = match part {
        Part::Plain => ("plain", plain),
        Part::Error => ("error", Ingredients { adaptive: Some(adaptive?), ..plain }),
        Part::Full => {
            let preconditioner = Preconditioner::adam(0.999, 1e-8);
            let momentum = Momentum::ema(0.9);
            ("full", Ingredients { preconditioner, momentum, adaptive, ..plain })
        }
    };
    Some(Wanted { method: method.clone(), ingredients, name, storage: Storage::F32 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_and_positive() {
        assert_eq!((size("1e6"), size(" 4096 ")), (Ok(1_000_000), Ok(4096)));
        for bad in ["", "x", "0", "-1", "1.5", "1e10", "inf", "NaN"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        for bad in ["", "0", "-1", "inf", "NaN"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    fn names(arguments: &[&str]) -> Vec<String> {
        let all = [&["roofline", "--storage", "f32"], arguments].concat();
        let wanted = wanted(&Args::parse_from(all)).unwrap();
        wanted.iter().map(|case| format!("{} {}", case.method, case.name)).collect()
    }

    #[test]
    fn cases_follow_the_options() {
        assert_eq!(names(&["--quick"]), ["euler full", "rk4 plain"]);
        assert_eq!(
            names(&["--methods", "rk4,dp5"]),
            ["rk4 plain", "rk4 full", "dp5 plain", "dp5 error", "dp5 full"]
        );
        assert_eq!(names(&["--ingredients", "error"]), ["dp5 error", "tsit5 error"]);
        let args = Args::parse_from(["roofline", "--methods", "heun", "--ingredients", "plain"]);
        let both: Vec<Storage> = wanted(&args).unwrap().iter().map(|case| case.storage).collect();
        assert_eq!(both, [Storage::F32, Storage::F16]);
        let none = Args::parse_from(["roofline", "--methods", "rk4", "--ingredients", "error"]);
        assert!(wanted(&none).is_err());
        let unknown = Args::parse_from(["roofline", "--methods", "rk5"]);
        assert!(wanted(&unknown).unwrap_err().to_string().contains("rk5"));
    }

    #[test]
    fn decades_end_where_minutes_do() {
        let sizes = |arguments: &[&str], software| {
            sizes(&Args::parse_from([&["roofline"], arguments].concat()), software)
        };
        assert_eq!(sizes(&["--quick"], true), [10_000, 100_000]);
        assert_eq!(sizes(&[], true).last(), Some(&10_000_000));
        assert_eq!(sizes(&[], false).last(), Some(&1_000_000_000));
        assert_eq!(sizes(&["--sizes", "77,1e3"], true), [77, 1000]);
    }
}
