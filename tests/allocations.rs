//! What recording costs: no more allocations than the same dispatches in a plain
//! loop, and no memory of the device beyond what an optimizer was built with.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use kutta::bench::Bench;
use kutta::plan::Options;
use kutta::{
    Adaptive, Evaluation, Gpu, GradientSource, Ingredients, Init, Method, Momentum, Optimizer,
    ParamLayout, Preconditioner, SourceError, StepSize, wgpu,
};

thread_local! {
    /// Allocations of this thread; other tests have threads of their own.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is done by the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps to the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps to the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps to the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn count() {
    // A thread that ends may still free and allocate.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = COUNT.get();
    work();
    COUNT.get() - before
}

/// Everything at once.
fn everything() -> Ingredients {
    Ingredients {
        preconditioner: Preconditioner::adam(0.999, 1e-8),
        momentum: Momentum::ema(0.9),
        adaptive: Some(Adaptive::new(1e-3, 1e-6)),
        l2: 0.1,
        average: Some(0.9),
        clip: Some(1.0),
        ..Ingredients::default()
    }
}

/// Leaves gradients as they are.
struct Silent;

impl GradientSource for Silent {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        at.pass();
        Ok(())
    }
}

#[test]
fn the_allocator_counts() {
    assert_eq!(allocations(|| ()), 0);
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1u8; 100]))), 1);
}

#[test]
fn recording_allocates_no_more_than_a_plain_loop() {
    const ATTEMPTS: u32 = 32;
    let gpu = Gpu::new().unwrap();
    for (method, ingredients) in [
        (Method::euler(), Ingredients::default()),
        (Method::rk4(), Ingredients::default()),
        ("dp5".parse().unwrap(), everything()),
    ] {
        let bench = Bench::new(&gpu, &method, &ingredients, Options::default(), 4096, 1).unwrap();
        let encoder = || gpu.device().create_command_encoder(&Default::default());
        let finish = |encoder: wgpu::CommandEncoder| {
            gpu.queue().submit([encoder.finish()]);
            gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
        };
        let recorded = || {
            let mut encoder = encoder();
            let count = allocations(|| bench.record(&mut encoder, ATTEMPTS).unwrap());
            finish(encoder);
            count
        };
        let by_hand = || {
            let mut encoder = encoder();
            let count = allocations(|| bench.record_by_hand(&mut encoder, ATTEMPTS));
            finish(encoder);
            count
        };
        // wgpu keeps what the first encoders allocated for the next.
        recorded();
        by_hand();
        let (own, plain) = (recorded(), by_hand());
        println!("{method}: {own} allocations, {plain} by hand");
        assert!(plain > 0 && own <= plain, "{method}: {own} allocations, {plain} by hand");
    }
}

/// Allocations by which so many more attempts in one `record` differ.
#[test]
fn an_optimizer_allocates_for_an_attempt_what_a_plain_loop_does() {
    const N: usize = 4096;
    let gpu = Gpu::new().unwrap();
    let layout = ParamLayout::builder().tensor("theta", &[N], Init::Zeros).build().unwrap();
    let optimizer = |per_submit| {
        Optimizer::builder(Method::rk4())
            .step_size(StepSize::constant(0.1))
            .attempts_per_submit(per_submit)
            .build(&gpu, &layout, &[0.5; N])
            .unwrap()
    };
    let bench = Bench::new(&gpu, &Method::rk4(), &Ingredients::default(), Options::default(), N, 1)
        .unwrap();
    let own = |per_submit: u32| {
        let mut optimizer = optimizer(per_submit);
        optimizer.run(&mut Silent, u64::from(per_submit)).unwrap();
        optimizer.wait().unwrap();
        let count = allocations(|| optimizer.run(&mut Silent, u64::from(per_submit)).unwrap());
        optimizer.wait().unwrap();
        count
    };
    let by_hand = |attempts| {
        let run = || {
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            bench.record_by_hand(&mut encoder, attempts);
            gpu.queue().submit([encoder.finish()]);
            gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
        };
        run();
        allocations(run)
    };
    let more = [own(192) - own(64), by_hand(192) - by_hand(64)];
    println!("128 attempts more: {} allocations, {} by hand", more[0], more[1]);
    assert!(more[0] <= more[1], "128 attempts more: {} allocations, {} by hand", more[0], more[1]);
}

#[test]
fn a_thousand_attempts_take_no_memory_of_the_device() {
    const N: usize = 20_000;
    let gpu = Gpu::new().unwrap();
    // A backend that cannot tell has nothing to be tested.
    let report = || {
        let report = gpu.device().generate_allocator_report()?;
        Some((report.allocations.len(), report.total_allocated_bytes))
    };
    let layout = ParamLayout::builder().tensor("theta", &[N], Init::Zeros).build().unwrap();
    for ingredients in [Ingredients::default(), everything()] {
        let Ingredients { adaptive, .. } = ingredients;
        let method: Method = "dp5".parse().unwrap();
        let mut optimizer = Optimizer::builder(method)
            .step_size(StepSize::constant(1e-3))
            .ingredients(ingredients)
            .build(&gpu, &layout, &vec![0.5; N])
            .unwrap();
        let mut run = |attempts| {
            optimizer.run(&mut Silent, attempts).unwrap();
            optimizer.wait().unwrap();
            assert!(!optimizer.reports().is_empty());
        };
        // Some submits, until all copies of the ring were on their way once.
        run(200);
        let Some(before) = report() else { return };
        assert!(before.1 >= 4 * 7 * N as u64, "{before:?}");
        run(1000);
        let after = report().unwrap();
        assert_eq!(before, after, "adaptive: {}", adaptive.is_some());
    }
}
