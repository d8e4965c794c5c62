//! A Runge-Kutta method of one's own: its order and its limit of stability are computed from
//! the coefficients, and it runs like every other. `examples/butcher5.json` is one in a file,
//! for `Method::load` and for `--method` of the commands.
//!
//! ```sh
//! cargo run --release --example own_tableau
//! ```

use kutta::{Findings, Gpu, Method, Optimizer, StepSize, Tableau, models::Analytic};

fn main() -> Result<(), kutta::Error> {
    // Kutta's third-order method.
    let rows = [vec![], vec![0.5], vec![-1.0, 2.0]];
    let tableau = Tableau::new("mine", &rows, &[1.0 / 6.0, 2.0 / 3.0, 1.0 / 6.0], None)?;
    let method = Method::from(tableau);
    print!("{}", Findings::of(&method)?);

    let gpu = Gpu::new()?;
    let mut rosenbrock = Analytic::rosenbrock(&gpu, 2)?;
    let mut optimizer = Optimizer::builder(method).step_size(StepSize::constant(2e-3)).build(
        &gpu,
        rosenbrock.layout(),
        &[-1.2, 1.0],
    )?;
    optimizer.run(&mut rosenbrock, 5_000)?;
    println!("theta = {:?} at t = {}", optimizer.params().read()?, optimizer.time());
    Ok(())
}
