use kutta::{Gpu, Method, Optimizer, StepSize, data::Idx, models::Mlp};
use std::time::Instant;
fn main() -> Result<(), kutta::Error> {
    let gpu = Gpu::new()?;
    let data = Idx::open("data/mnist")?;
    let t = Instant::now();
    let mut mlp = Mlp::classifier(&gpu, &[784, 128, 10], data.train(64)?)?;
    let mut opt = Optimizer::builder(Method::rk4()).step_size(StepSize::constant(0.5)).build(&gpu, mlp.layout(), &mlp.initial(7))?;
    opt.run(&mut mlp, 1)?; opt.wait()?;
    println!("setup and first step {:.2} s", t.elapsed().as_secs_f64());
    let test = mlp.upload(&data.test())?;
    for _ in 0..std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(1) {
        let t = Instant::now();
        opt.run(&mut mlp, 938)?; opt.wait()?;
        let e = t.elapsed().as_secs_f64();
        let t = Instant::now();
        let r = mlp.evaluate(opt.params().vector(), &test)?;
        println!("epoch {e:.2} s = {:.3} ms per gradient; evaluate {:.3} s {r:?}", e / 938.0 / 4.0 * 1e3, t.elapsed().as_secs_f64());
    }
    Ok(())
}
