//! Saves an optimizer in the middle of a run and goes on from the file: to the same bits as
//! a run that never stopped.
//!
//! ```sh
//! cargo run --release --example checkpoint_resume
//! ```

use kutta::optimizer::Builder;
use kutta::{Gpu, Method, Momentum, Optimizer, Preconditioner, StepSize, models::Analytic};

/// Euler with Adam's two: Adam.
fn adam() -> Builder {
    Optimizer::builder(Method::euler())
        .preconditioner(Preconditioner::adam(0.999, 1e-8))
        .momentum(Momentum::ema(0.9))
        .step_size(StepSize::constant(0.01))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let gpu = Gpu::new()?;
    let mut rosenbrock = Analytic::rosenbrock(&gpu, 2)?;
    let mut whole = adam().build(&gpu, rosenbrock.layout(), &[-1.2, 1.0])?;
    whole.run(&mut rosenbrock, 2_000)?;

    let file = std::env::temp_dir().join(format!("kutta-{}.safetensors", std::process::id()));
    let mut first = adam().build(&gpu, rosenbrock.layout(), &[-1.2, 1.0])?;
    first.run(&mut rosenbrock, 1_000)?;
    first.save(&file)?;
    drop(first);
    let mut second = Optimizer::resume(&gpu, &file)?;
    second.run(&mut rosenbrock, 1_000)?;
    std::fs::remove_file(&file)?;

    let [whole, parts] = [whole.params().read()?, second.params().read()?];
    println!("in one run {whole:?}, in two {parts:?}");
    assert_eq!(whole, parts);
    Ok(())
}
