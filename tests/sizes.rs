//! Sizes up to what the device holds: the estimate of memory against what is allocated,
//! refusals before anything is, and vectors longer than a binding.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use common::{adding, default_limits_gpu, gpu, writing};
use kutta::device::{GpuOptions, LimitsWanted};
use kutta::error::OptimizerError;
use kutta::models::Analytic;
use kutta::optimizer::Builder;
use kutta::plan::Options;
use kutta::reference::{Problem, Replay};
use kutta::{
    Adaptive, Ending, Error, Fusion, Gpu, Group, Guard, Method, Momentum, Optimizer, ParamLayout,
    Plan, Preconditioner, SpectralRadius, StepSize, Storage, Stored, wgpu,
};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

fn builder(method: &str) -> Builder {
    let method: Method = method.parse().unwrap();
    Optimizer::builder(method)
        .step_size(StepSize::constant(0.1))
        .spectral_radius(SpectralRadius::Given(1.0))
}

/// Live allocations on a device and their bytes, with no upload on its way; `None` where
/// the backend cannot tell.
fn allocated(gpu: &Gpu) -> Option<(usize, u64)> {
    gpu.queue().submit([]);
    gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
    let report = gpu.device().generate_allocator_report()?;
    Some((report.allocations.len(), report.total_allocated_bytes))
}

/// Counts buffers that are asked for, also those that are soon given back.
#[derive(Clone, Default)]
struct Buffers(Arc<AtomicU32>);

impl Subscriber for Buffers {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("kutta") && metadata.name() == "buffer"
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        self.0.fetch_add(1, Ordering::Relaxed);
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// What came of building, and for how many buffers the device was asked.
fn built(builder: Builder, gpu: &Gpu, theta: &[f32]) -> (Result<Optimizer, Error>, u32) {
    let layout = ParamLayout::flat(theta.len()).unwrap();
    let count = Buffers::default();
    let build = || builder.build(gpu, &layout, theta);
    let result = tracing::subscriber::with_default(count.clone(), build);
    (result, count.0.load(Ordering::Relaxed))
}

/// Held by every test that takes gigabytes, so that what one finds is left stays so.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A device of a test's own, on which no other test allocates.
fn own(limits: LimitsWanted) -> Gpu {
    Gpu::with_options(&GpuOptions { limits, ..GpuOptions::default() }).unwrap()
}

#[test]
fn the_estimate_is_what_is_allocated() {
    let n = 1_000_003;
    let everything = builder("dp5")
        .preconditioner(Preconditioner::amsgrad(0.9, 1e-6))
        .momentum(Momentum::ema(0.9))
        .adaptive(Adaptive::new(1e-3, 1e-6))
        .l2(0.1)
        .average(0.9)
        .groups(&[Group::default()]);
    let builders = [
        builder("euler"),
        builder("rk4"),
        builder("verner8"),
        builder("williamson3").guard(Guard::Off).source(&adding(true)),
        builder("rkc2:stages=5").spectral_radius(SpectralRadius::Estimated),
        builder("rk4").elements_per_binding(4096),
        builder("bs3").storage(Stored::all(Storage::F16)).source(&writing(true)),
        everything.clone(),
        everything.storage(Stored::all(Storage::Bf16)),
    ];
    let layout = ParamLayout::flat(n).unwrap();
    let start = vec![0.5; n];
    for limits in [LimitsWanted::Adapter, LimitsWanted::WebGpuDefaults] {
        let gpu = own(limits);
        for builder in &builders {
            let Some((_, before)) = allocated(&gpu) else { return };
            let needs = builder.requirements(&gpu, &layout).unwrap();
            let optimizer = builder.clone().build(&gpu, &layout, &start).unwrap();
            let found = allocated(&gpu).unwrap().1 - before;
            let off = (needs.bytes as f64 - found as f64).abs() / found as f64;
            let name = optimizer.plan().method();
            assert!(off < 0.01, "{name}: {} bytes, and {found} are allocated", needs.bytes);
            // No other part of it can be missing than what is small.
            assert!(needs.bytes >= n as u64 * optimizer.plan().resident_bytes() as u64);
            assert!(needs.largest_binding <= gpu.limits().max_storage_buffer_binding_size);
            assert!(needs.storage_buffers <= gpu.limits().max_storage_buffers_per_shader_stage);
            assert_eq!(needs.features, wgpu::Features::empty());
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_allocated() {
    let gpu = own(LimitsWanted::WebGpuDefaults);
    let before = allocated(&gpu);
    // 272 MB where a buffer has 256 MiB.
    let n = 68_000_000;
    let (result, buffers) = built(builder("euler"), &gpu, &vec![0.5; n]);
    let error = result.unwrap_err();
    let text = error.to_string();
    for number in ["272000000", "268435456", "67108864"] {
        assert!(text.contains(number), "{number} is not in: {text}");
    }
    assert!(matches!(error, Error::Optimizer(OptimizerError::BufferTooLarge { .. })), "{text}");
    assert_eq!((buffers, allocated(&gpu)), (0, before));

    let n = 1_000_000;
    let layout = ParamLayout::flat(n).unwrap();
    let needs = builder("rk4").requirements(&gpu, &layout).unwrap().bytes;
    let (result, buffers) = built(builder("rk4").memory(needs - 1), &gpu, &vec![0.5; n]);
    let error = result.unwrap_err();
    let text = error.to_string();
    for number in [needs, needs - 1] {
        assert!(text.contains(&number.to_string()), "{number} is not in: {text}");
    }
    assert!(matches!(error, Error::Optimizer(OptimizerError::MemoryTooSmall { .. })), "{text}");
    assert_eq!((buffers, allocated(&gpu)), (0, before));
    let (result, buffers) = built(builder("rk4").memory(needs), &gpu, &vec![0.5; n]);
    assert!(result.is_ok() && buffers > 5, "{buffers} buffers, {result:?}");
}

#[test]
fn an_end_in_one_dispatch_that_there_cannot_be_is_refused() {
    let refused = |method: &str, gpu: &Gpu, n: usize| {
        let builder = builder(method).ending(Ending::Fused);
        let layout = ParamLayout::flat(n).unwrap();
        builder.build(gpu, &layout, &vec![0.5; n]).unwrap_err().to_string()
    };
    let long = refused("rk4", gpu(), 40_000);
    assert!(long.contains("40000") && long.contains("32768"), "{long}");
    // Its last register is θ' or nothing.
    let none = refused("williamson3", gpu(), 100);
    assert!(none.contains("`williamson3`") && none.contains("Ending::Automatic"), "{none}");
    // Six of the verdict's, and θ, y₃, y₄, k₁ and k₄, the last as the guard's too.
    let few = refused("rk4", default_limits_gpu(), 100);
    assert!(few.contains("max_storage_buffers_per_shader_stage of at least 12"), "{few}");
    // By itself it is passed over where there is no room.
    let layout = ParamLayout::flat(100).unwrap();
    let built = builder("rk4").build(default_limits_gpu(), &layout, &[0.5; 100]);
    assert!(built.is_ok());
}

/// Of a software adapter the memory is the system's.
#[test]
fn more_than_the_system_has_is_refused() {
    let _alone = alone();
    let gpu = own(LimitsWanted::Adapter);
    let Some(available) = gpu.available_memory() else {
        println!("skipped: what memory this device has is not known");
        return;
    };
    // Whole blocks of 64: the longest vector, of 2 GiB at most.
    let n = (gpu.limits().max_buffer_size.min(1 << 31) / 256 * 64) as usize;
    let layout = ParamLayout::flat(n).unwrap();
    let greedy = builder("verner8").fusion(Fusion::None).average(0.9);
    let needed = greedy.requirements(&gpu, &layout).unwrap().bytes;
    if needed <= available {
        println!("skipped: {available} bytes are enough for {needed}");
        return;
    }
    let before = allocated(&gpu);
    // Zeros that are only read take no memory of their own.
    let (result, buffers) = built(greedy, &gpu, &vec![0.0; n]);
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Optimizer(OptimizerError::MemoryTooSmall { .. })), "{error}");
    assert_eq!((buffers, allocated(&gpu)), (0, before));
}

const PATTERN: [f32; 5] = [1.0, -0.5, 0.25, 0.75, -1.0];

/// The pattern, whose length has no factor with that of any chunk, so that no chunk
/// looks like another.
fn pattern(n: usize) -> Vec<f32> {
    PATTERN.iter().copied().cycle().take(n).collect()
}

/// Why the test cannot be run, if it cannot: `host` bytes are needed beside the optimizer's.
fn missing(gpu: &Gpu, builder: &Builder, n: usize, host: u64) -> Option<String> {
    let needs = builder.requirements(gpu, &ParamLayout::flat(n).unwrap()).unwrap();
    let limit = gpu.limits().max_buffer_size;
    if needs.largest_buffer > limit {
        return Some(format!("buffers of {} bytes, at most {limit}", needs.largest_buffer));
    }
    let (needed, available) = (needs.bytes + host, gpu.available_memory()?);
    (needed > available / 10 * 9).then(|| format!("{needed} bytes, and {available} are left"))
}

/// θ of the pattern after two attempts of h = 0.1, in f64.
fn replayed(plan: &Plan) -> Vec<f64> {
    let wide: Vec<f64> = PATTERN.iter().map(|&x| f64::from(x)).collect();
    let mut replay = Replay::new(plan, &wide);
    for _ in 0..2 {
        replay.attempt(f64::from(0.1f32), &mut |_, x| Problem::Quartic.gradient(x)).unwrap();
    }
    replay.theta().to_vec()
}

#[test]
fn forty_million_parameters_with_gradients_of_sixteen_bits() {
    let n = 40_000_003;
    let _alone = alone();
    let gpu = default_limits_gpu();
    assert!(n / 2 > gpu.binding_elements() / 2, "the point of this size");
    let stored = Stored { gradients: Storage::F16, ..Stored::default() };
    let builder = builder("heun").storage(stored).source(&writing(true));
    if let Some(why) = missing(gpu, &builder, n, 16 * n as u64) {
        println!("skipped: {why}");
        return;
    }
    let mut source = Analytic::new(gpu, &Problem::Quartic, n).unwrap();
    let mut optimizer = builder.build(gpu, source.layout(), &pattern(n)).unwrap();
    let expected = replayed(&Plan::new(&Method::heun(), Options::default()).unwrap());
    optimizer.run(&mut source, 2).unwrap();
    let found = optimizer.params().read().unwrap();
    // Two steps of h times gradients of at most 1, off by 2⁻¹¹ of themselves, and a little
    // for the second stage's point.
    let most = 2.0 * 0.1 * Storage::F16.unit_roundoff() * 1.5;
    for (i, x) in found.iter().enumerate() {
        let off = (f64::from(*x) - expected[i % 5]).abs();
        assert!(off < most, "element {i}: {x} is not {}", expected[i % 5]);
    }
}

/// A second moment and a momentum in two halves each, which share a binding, so that chunks
/// are half as long; against a vector of two patterns, bit for bit.
fn all_at_once(gpu: &Gpu, n: usize, stored: Stored) {
    let _alone = alone();
    let h = 0.1;
    // Every error is below such tolerances, and h at its most: the same at every size.
    let builder = || {
        builder("bs3")
            .preconditioner(Preconditioner::adam(0.9, 0.1))
            .momentum(Momentum::ema(0.5))
            .adaptive(Adaptive::new(1e9, 1e9).bounds(1e-9, h))
            .storage(stored)
    };
    if let Some(why) = missing(gpu, &builder(), n, 16 * n as u64) {
        println!("skipped: {why}");
        return;
    }
    let trained = |n| {
        let mut source = Analytic::new(gpu, &Problem::Quartic, n).unwrap();
        let mut optimizer = builder().build(gpu, source.layout(), &pattern(n)).unwrap();
        optimizer.run(&mut source, 2).unwrap();
        optimizer.wait().unwrap();
        let errors: Vec<f32> = optimizer.reports().iter().map(|r| r.error.unwrap()).collect();
        (optimizer.params().read().unwrap(), errors)
    };
    let (few, few_errors) = trained(10);
    assert!(few.iter().zip(pattern(10)).all(|(x, start)| (x - start).abs() > 1e-3), "{few:?}");
    let (many, errors) = trained(n);
    for (i, x) in many.iter().enumerate() {
        assert!(x.to_bits() == few[i % 10].to_bits(), "element {i}: {x} is not {}", few[i % 10]);
    }
    assert_eq!(errors.len(), 2);
    for (found, expected) in errors.iter().zip(few_errors) {
        assert!((found - expected).abs() < 1e-4 * expected, "error {found}, not {expected}");
    }
}

#[test]
fn forty_million_parameters_with_all_ingredients() {
    all_at_once(gpu(), 40_000_003, Stored::default());
}

#[test]
fn forty_million_parameters_with_all_ingredients_in_sixteen_bits_under_default_limits() {
    all_at_once(default_limits_gpu(), 40_000_003, Stored::all(Storage::Bf16));
}

#[test]
fn two_hundred_million_parameters() {
    let n = 200_000_003;
    let _alone = alone();
    let gpu = gpu();
    let builder = builder("williamson3").guard(Guard::Off).source(&adding(true));
    if let Some(why) = missing(gpu, &builder, n, 12 * n as u64) {
        println!("skipped: {why}");
        return;
    }
    let mut source = Analytic::new(gpu, &Problem::Quartic, n).unwrap();
    let mut optimizer = builder.build(gpu, source.layout(), &pattern(n)).unwrap();
    assert_eq!(optimizer.plan().slots(), 2);
    let expected = replayed(optimizer.plan());
    optimizer.run(&mut source, 2).unwrap();
    optimizer.wait().unwrap();
    let found = optimizer.params().read().unwrap();
    assert_eq!(found.len(), n);
    for (i, x) in found.iter().enumerate() {
        let off = (f64::from(*x) - expected[i % 5]).abs();
        assert!(off < 1e-6, "element {i}: {x} is not {}", expected[i % 5]);
    }
}
