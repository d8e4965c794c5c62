//! Kernel speed against bare hand-written kernels of the same reads and
//! writes, and fused against unfused, in one run. Timing wants a quiet
//! machine, so these run by their own command:
//!
//! ```sh
//! cargo test --release --lib throughput -- --ignored --nocapture --test-threads=1
//! ```

use std::time::Instant;

use crate::bench::{Bench, Work};
use crate::device::Gpu;
use crate::format::Storage;
use crate::ingredients::{Adaptive, Ingredients, Momentum, Preconditioner, SpectralRadius, Stored};
use crate::method::Method;
use crate::plan::{Fusion, Options};

const N: usize = 1 << 22;
const SAMPLES: usize = 41;

/// Seconds for the dispatches, four times over in one submit.
fn time(gpu: &Gpu, begin: &Work, work: &Work) -> f64 {
    const TIMES: u32 = 4;
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        begin.record(&mut pass);
        (0..TIMES).for_each(|_| work.record(&mut pass));
    }
    let start = Instant::now();
    gpu.queue().submit([encoder.finish()]);
    gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
    start.elapsed().as_secs_f64() / f64::from(TIMES)
}

/// Time of `b` over that of `a`: the median of pairs taken in turns, so that a
/// machine that slows down slows both.
fn ratio(a: impl Fn() -> f64, b: impl Fn() -> f64) -> f64 {
    const WARM_UP: usize = 4;
    let pair = |_| {
        let own = a();
        b() / own
    };
    let mut ratios: Vec<f64> = (0..SAMPLES + WARM_UP).map(pair).skip(WARM_UP).collect();
    ratios.sort_by(f64::total_cmp);
    ratios[SAMPLES / 2]
}

fn plain() -> Ingredients {
    // No power iteration has run that h could be bounded by.
    Ingredients { radius: SpectralRadius::Given(1e-3), ..Ingredients::default() }
}

/// Second moment, momentum, and an error estimate where there is a pair.
fn full(method: &Method) -> Ingredients {
    let adaptive = method.tableau().b_hat().map(|_| Adaptive::new(1e-3, 1e-6));
    let preconditioner = Preconditioner::adam(0.999, 1e-8);
    Ingredients { preconditioner, momentum: Momentum::ema(0.9), adaptive, ..plain() }
}

#[test]
#[ignore = "timing: needs a quiet machine"]
fn throughput_of_each_kernel_is_that_of_a_bare_one() {
    let gpu = Gpu::new().unwrap();
    println!("{}, n = {N}", gpu.info().name);
    let mut slow = Vec::new();
    let none = Work::default();
    for method in Method::all() {
        for (name, ingredients) in [("plain", plain()), ("full", full(&method))] {
            let bench = Bench::new(&gpu, &method, &ingredients, Options::default(), N, 1).unwrap();
            bench.check().unwrap();
            for (i, kernel) in bench.kernels().iter().enumerate() {
                bench.refill();
                let of = |work| time(&gpu, &none, work);
                let part = ratio(|| of(bench.own(0, i)), || of(bench.bare(0, i)));
                println!("{method:17} {name:5} {:25} {part:.3} of bare", kernel.label);
                if part < 0.95 && kernel.writes > 0 && name == "plain" {
                    slow.push(format!("{method}: {}: {part:.3}", kernel.label));
                }
            }
        }
    }
    assert!(slow.is_empty(), "below 0.95 of a bare kernel: {slow:#?}");
}

#[test]
#[ignore = "timing: needs a quiet machine"]
fn throughput_of_fused_steps_beats_unfused() {
    let gpu = Gpu::new().unwrap();
    for method in Method::all() {
        let bench = |fusion| {
            let options = Options { fusion, ..Options::default() };
            Bench::new(&gpu, &method, &plain(), options, N, 1).unwrap()
        };
        let [fused, unfused] = [Fusion::Full, Fusion::None].map(bench);
        let of = |bench: &Bench| {
            bench.refill();
            time(&gpu, bench.begin(0), bench.step(0))
        };
        let ratio = ratio(|| of(&fused), || of(&unfused));
        let [own, other] = [&fused, &unfused].map(|bench| bench.plan().words_guarded());
        let predicted = other as f64 / own as f64;
        println!("{method:17} unfused / fused = {ratio:.2}, words predict {predicted:.2}");
        if method == Method::rk4() {
            assert!(ratio >= 1.3, "RK4: {ratio:.3}");
        }
    }
}

/// Seconds that the host spends on so many attempts; the device is waited for
/// outside of them.
fn recording(gpu: &Gpu, record: impl FnOnce(&mut wgpu::CommandEncoder)) -> f64 {
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let start = Instant::now();
    record(&mut encoder);
    let recorded = encoder.finish();
    let seconds = start.elapsed().as_secs_f64();
    gpu.queue().submit([recorded]);
    gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
    seconds
}

#[test]
#[ignore = "timing: needs a quiet machine"]
fn throughput_of_recording_is_that_of_a_plain_loop() {
    const ATTEMPTS: u32 = 32;
    let gpu = Gpu::new().unwrap();
    for name in ["euler", "rk4", "dp5"] {
        let method: Method = name.parse().unwrap();
        for ingredients in [plain(), full(&method)] {
            let bench =
                Bench::new(&gpu, &method, &ingredients, Options::default(), 4096, 1).unwrap();
            let own = || recording(&gpu, |encoder| bench.record(encoder, ATTEMPTS).unwrap());
            let by_hand = || recording(&gpu, |encoder| bench.record_by_hand(encoder, ATTEMPTS));
            let ratio = ratio(by_hand, own);
            println!("{name}, {} dispatches: {ratio:.3} of a loop", bench.step(0).dispatches());
            assert!(ratio <= 1.3, "{name}: {ratio:.3}");
        }
    }
}

#[test]
#[ignore = "timing: needs a quiet machine"]
fn throughput_of_narrow_gradients_is_nearly_that_of_their_bytes() {
    const N: usize = 1 << 24;
    let gpu = Gpu::new().unwrap();
    println!("{}, n = {N}", gpu.info().name);
    for name in ["rk4", "dp5"] {
        let method: Method = name.parse().unwrap();
        let of = |gradients| {
            let stored = Stored { gradients, ..Stored::default() };
            let options = Options { writes_narrow: true, ..Options::default() };
            let ingredients = Ingredients { stored, ..plain() };
            Bench::new(&gpu, &method, &ingredients, options, N, 1).unwrap()
        };
        let timed = |bench: &Bench| {
            bench.refill();
            time(&gpu, bench.begin(0), bench.step(0))
        };
        let wide = of(Storage::F32);
        for storage in [Storage::F16, Storage::Bf16] {
            let narrow = of(storage);
            narrow.check().unwrap();
            let ratio = ratio(|| timed(&wide), || timed(&narrow));
            let bytes = |bench: &Bench| bench.plan().bytes_guarded() as f64;
            let predicted = bytes(&narrow) / bytes(&wide);
            println!("{name:9} {storage:4} / f32 = {ratio:.3}, bytes predict {predicted:.3}");
            if method == Method::rk4() {
                assert!(ratio <= 0.85, "RK4 with {storage}: {ratio:.3}");
            }
        }
    }
}
