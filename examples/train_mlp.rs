//! Trains a network on the handwritten digits of `data/mnist` for two epochs, with RK4.
//!
//! ```sh
//! cargo run --release --example train_mlp
//! ```

use kutta::{Gpu, Method, Optimizer, StepSize, data::Idx, models::Mlp};

fn main() -> Result<(), kutta::Error> {
    let gpu = Gpu::new()?;
    let data = Idx::open("data/mnist")?;
    let mut mlp = Mlp::classifier(&gpu, &[784, 128, 10], data.train(64)?)?;
    let test = mlp.upload(&data.test())?;
    let mut optimizer = Optimizer::builder(Method::rk4())
        .step_size(StepSize::constant(0.5))
        .build(&gpu, mlp.layout(), &mlp.initial(7))?;
    for epoch in 1..=2 {
        // 60,000 samples in batches of 64.
        optimizer.run(&mut mlp, 938)?;
        let tested = mlp.evaluate(optimizer.params(), &test)?;
        let accuracy = 100.0 * tested.accuracy.unwrap_or(0.0);
        println!("epoch {epoch}: test loss {:.4}, accuracy {accuracy:.2} %", tested.loss);
    }
    Ok(())
}
