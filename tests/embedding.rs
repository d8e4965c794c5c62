//! kutta inside somebody's app: the host's device, encoder, frame and error handler.

mod host;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use host::{Canvas, Host, PIXELS, seen};
use kutta::models::Analytic;
use kutta::reference::{Problem, textbook};
use kutta::{Gpu, Method, Optimizer, ParamLayout, Report, StepSize, Tableau, wgpu};

thread_local! {
    /// Bytes that this thread has allocated and not freed.
    static LIVE: Cell<i64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is done by the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller keeps to the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: the caller keeps to the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn count(bytes: i64) {
    // A thread that ends may still free and allocate.
    let _ = LIVE.try_with(|live| live.set(live.get() + bytes));
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// θ_i in (0, 1), each another.
fn start() -> Vec<f32> {
    (0..PIXELS).map(|i| (i as f32 + 0.5) / PIXELS as f32).collect()
}

const H: f32 = 0.125;

fn quartic(gpu: &Gpu) -> (Optimizer, Analytic) {
    let source = Analytic::new(gpu, &Problem::Quartic, PIXELS).unwrap();
    let optimizer = Optimizer::builder(Method::rk4())
        .step_size(StepSize::constant(H))
        .build(gpu, source.layout(), &start())
        .unwrap();
    (optimizer, source)
}

/// θ after so many steps, by the textbook in f64.
fn expected(steps: usize) -> Vec<f64> {
    let mut theta: Vec<f64> = start().into_iter().map(f64::from).collect();
    let tableau: Tableau = Method::rk4().tableau().clone();
    for _ in 0..steps {
        let mut gradient = |_: usize, x: &[f64]| Problem::Quartic.gradient(x);
        theta = textbook::step(&tableau, f64::from(H), &theta, &mut gradient).unwrap().theta;
    }
    theta
}

fn attempts(reports: &[Report]) -> Vec<u64> {
    reports.iter().map(|report| report.attempt).collect()
}

#[test]
fn a_host_draws_what_is_learned_between_and_nothing_is_submitted_but_by_it() {
    let host = Host::open();
    assert_eq!(host.device.limits(), wgpu::Limits::default());
    assert!(host.device.features().is_empty());
    let gpu = Gpu::adopt_from(&host.adapter, host.device.clone(), host.queue.clone()).unwrap();
    let (mut optimizer, mut source) = quartic(&gpu);
    let canvases: Vec<_> =
        (0..3).map(|_| Canvas::new(&host, optimizer.params().buffer())).collect();

    let (submits, waits, encoder) = seen(|| {
        let mut encoder = host.encoder();
        canvases[0].draw(&mut encoder);
        optimizer.record(&mut encoder, &mut source).unwrap();
        optimizer.record(&mut encoder, &mut source).unwrap();
        canvases[1].draw(&mut encoder);
        optimizer.record_many(&mut encoder, &mut source, 6).unwrap();
        canvases[2].draw(&mut encoder);
        assert!(optimizer.reports().is_empty());
        encoder
    });
    assert_eq!((submits, waits), (0, 0), "kutta submitted or waited");
    // The count counts: this one is the host's.
    assert_eq!(seen(|| host.submit(encoder)).0, 1);
    assert_eq!(seen(|| host.poll()).1, 1);

    for (canvas, steps) in canvases.iter().zip([0, 2, 8]) {
        canvas.check(&host, &expected(steps), &format!("after {steps} steps"));
    }
    assert_eq!(attempts(&optimizer.reports()), (0..8).collect::<Vec<_>>());
    host.keeps_its_handler();
}

#[test]
fn the_host_decides_when_things_run_and_reports_come_with_its_polls() {
    let host = Host::open();
    let gpu = Gpu::adopt(host.device.clone(), host.queue.clone());
    let (mut optimizer, mut source) = quartic(&gpu);
    let mut encoder = host.encoder();
    optimizer.record_many(&mut encoder, &mut source, 3).unwrap();
    let theta = |optimizer: &Optimizer| -> Vec<f32> {
        bytemuck::pod_collect_to_vec(&host.read(optimizer.params().buffer()))
    };
    // The host's own read is a submit and a wait; what is recorded did not run.
    assert_eq!(theta(&optimizer), start());
    let index = host.queue.submit([encoder.finish()]);
    // Done on the device for long, but nobody polled.
    std::thread::sleep(Duration::from_millis(300));
    assert!(optimizer.reports().is_empty(), "kutta polled the host's device");
    let wait = wgpu::PollType::Wait { submission_index: Some(index), timeout: None };
    host.device.poll(wait).unwrap();
    assert_eq!(attempts(&optimizer.reports()), [0, 1, 2]);
    assert_ne!(theta(&optimizer), start());
    host.keeps_its_handler();
}

#[test]
fn a_thousand_frames_take_no_memory_and_wait_for_nothing() {
    let host = Host::open();
    let gpu = Gpu::adopt(host.device.clone(), host.queue.clone());
    let (mut optimizer, mut source) = quartic(&gpu);
    let canvas = Canvas::new(&host, optimizer.params().buffer());
    let mut reports = 0;
    let mut frames = |n: u32| {
        for _ in 0..n {
            let mut encoder = host.encoder();
            optimizer.record(&mut encoder, &mut source).unwrap();
            canvas.draw(&mut encoder);
            optimizer.record(&mut encoder, &mut source).unwrap();
            host.submit(encoder);
            // A host that is not held up by a display has to hold itself up.
            host.poll();
            reports += optimizer.reports().len();
        }
    };
    frames(100);
    let report = || {
        let report = host.device.generate_allocator_report();
        report.map(|report| (report.allocations.len(), report.total_allocated_bytes))
    };
    let before = (LIVE.get(), report());
    let (submits, waits, ()) = seen(|| frames(1000));
    let after = (LIVE.get(), report());
    assert_eq!((submits, waits), (1000, 1000), "those of the host");
    println!("{} bytes of the host, {:?} of the device", after.0 - before.0, after.1);
    assert_eq!(before.1, after.1);
    // Four bytes a frame would show.
    assert!(after.0 - before.0 < 4000, "{} bytes more", after.0 - before.0);
    assert_eq!(reports, 2200);
    assert_eq!(optimizer.dropped_reports(), 0);
    host.keeps_its_handler();
}

#[test]
fn memory_that_stays_is_counted() {
    let before = LIVE.get();
    let kept = std::hint::black_box(vec![1u8; 5000]);
    assert!(LIVE.get() - before >= 5000);
    drop(kept);
    assert!(LIVE.get() - before < 5000);
}

#[test]
fn encoders_that_are_dropped_leave_no_trace() {
    let host = Host::open();
    let gpu = Gpu::adopt(host.device.clone(), host.queue.clone());
    let eigenvalues: Vec<f64> = (1..=64).map(|i| f64::from(i) * 4.0).collect();
    let problem = Problem::quadratic(&eigenvalues).unwrap();
    // Methods whose first attempt has an opening, and whose host counts attempts.
    for (name, adaptive) in [("rk4", false), ("dp5", true), ("rkc2", false), ("rkc2", true)] {
        let method: Method = name.parse().unwrap();
        let trained = |drops: bool| {
            let mut source = Analytic::new(&gpu, &problem, 64).unwrap();
            let mut builder = Optimizer::builder(method.clone());
            builder = match adaptive {
                true => builder.adaptive(kutta::Adaptive::new(1e-3, 1e-6)),
                // What rkc2 needs stages for falls to what it needs none for.
                false if name == "rkc2" => builder.step_size(StepSize::cosine(0.2, 0.001, 50)),
                false => builder.step_size(StepSize::cosine(0.004, 0.001, 50)),
            };
            let mut optimizer = builder.build(&gpu, source.layout(), &[1.0; 64]).unwrap();
            for frame in 0..12 {
                for _ in 0..if drops { frame } else { 0 } {
                    let mut encoder = host.encoder();
                    optimizer.record_many(&mut encoder, &mut source, 3).unwrap();
                }
                let mut encoder = host.encoder();
                optimizer.record_many(&mut encoder, &mut source, 2).unwrap();
                host.submit(encoder);
                host.poll();
            }
            optimizer.run(&mut source, 20).unwrap();
            optimizer.wait().unwrap();
            let reports = optimizer.reports();
            let numbers = attempts(&reports);
            let h: Vec<u32> = reports.iter().map(|report| report.h.to_bits()).collect();
            let stages: Vec<u32> = reports.iter().map(|report| report.stages).collect();
            (optimizer.params().read().unwrap(), h, stages, numbers)
        };
        let (plain, dropped) = (trained(false), trained(true));
        assert_eq!(plain.3, (0..44).collect::<Vec<_>>(), "{name}");
        if name == "rkc2" {
            // Dropped renewals of ρ are made up for, which moves the last bits of ρ.
            assert_eq!(plain.3, dropped.3);
            assert_eq!(plain.2, dropped.2, "{name}, adaptive: {adaptive}: stages");
            let near = |a: &f32, b: &f32| (a - b).abs() <= 1e-4 * a.abs().max(1e-3);
            let all = plain.0.iter().zip(&dropped.0).all(|(a, b)| near(a, b));
            assert!(all, "{name}, adaptive: {adaptive}: {:?} {:?}", plain.0, dropped.0);
        } else {
            assert_eq!(plain, dropped, "{name}, adaptive: {adaptive}");
        }
    }
    host.keeps_its_handler();
}

/// Frames of a host that hands in no times.
fn in_frames(host: &Host, budget: Duration, frames: u32) -> (Vec<u32>, u64) {
    let gpu = Gpu::adopt(host.device.clone(), host.queue.clone());
    let (mut optimizer, mut source) = quartic(&gpu);
    let mut all = Vec::new();
    let (submits, waits, ()) = seen(|| {
        for _ in 0..frames {
            let mut encoder = host.encoder();
            all.push(optimizer.record_for(&mut encoder, &mut source, budget).unwrap());
            host.submit(encoder);
            host.poll();
        }
    });
    assert_eq!((submits, waits), (u64::from(frames), u64::from(frames)), "those of the host");
    optimizer.wait().unwrap();
    let reports = optimizer.reports().len() as u64 + optimizer.dropped_reports();
    host.keeps_its_handler();
    (all, reports)
}

#[test]
fn a_budget_is_filled_by_timestamps() {
    let features = wgpu::Features::TIMESTAMP_QUERY;
    let host = Host::open_with(wgpu::Limits::default(), features & supported());
    let (all, reports) = in_frames(&host, Duration::from_millis(200), 14);
    println!("{all:?}");
    assert_eq!(all[0], 1);
    assert_eq!(reports, all.iter().map(|n| u64::from(*n)).sum::<u64>());
    if host.device.features().is_empty() {
        assert!(all.iter().all(|n| *n == 1), "nothing tells the time");
        return;
    }
    // An attempt of a thousand parameters takes some 0.5 ms on a software adapter, and
    // other tests may take most of the machine.
    assert!(all[10..].iter().all(|n| *n >= 8), "{all:?}");
    // In a hundredth of the time, fewer.
    let (fewer, _) = in_frames(&host, Duration::from_millis(2), 14);
    println!("{fewer:?}");
    let sum = |all: &[u32]| all[10..].iter().sum::<u32>();
    assert!(sum(&fewer) < sum(&all), "{fewer:?} {all:?}");
    // A budget far below one attempt has one now and then.
    let (rare, _) = in_frames(&host, Duration::from_nanos(50), 60);
    println!("{rare:?}");
    assert!(rare.iter().all(|n| *n <= 1) && rare[10..].iter().sum::<u32>() <= 10, "{rare:?}");
    assert!(rare[10..].iter().sum::<u32>() >= 2, "{rare:?}");
}

fn supported() -> wgpu::Features {
    Gpu::new().unwrap();
    Host::open().adapter.features()
}

#[test]
fn without_timestamps_a_frame_has_one_attempt_until_the_host_hands_in_its_times() {
    let host = Host::open();
    let (all, reports) = in_frames(&host, Duration::from_millis(4), 10);
    assert_eq!((all, reports), (vec![1; 10], 10));

    // Frames that take 2 ms and half of one for each attempt, of 12: twenty fit.
    let gpu = Gpu::adopt(host.device.clone(), host.queue.clone());
    let (mut optimizer, mut source) = quartic(&gpu);
    let mut all = Vec::new();
    for _ in 0..150 {
        let mut encoder = host.encoder();
        // Recording itself may take longer than that on a busy machine.
        let budget = Duration::from_millis(12);
        let n = optimizer.record_for(&mut encoder, &mut source, budget).unwrap();
        host.submit(encoder);
        optimizer.frame_took(Duration::from_micros(2000 + 500 * u64::from(n)));
        all.push(n);
    }
    assert_eq!(all[0], 1);
    let late: f64 = all[60..].iter().map(|n| f64::from(*n)).sum::<f64>() / 90.0;
    assert!((14.0..=24.0).contains(&late) && all.iter().all(|n| *n <= 26), "{late}: {all:?}");
    let mut encoder = host.encoder();
    assert_eq!(optimizer.record_for(&mut encoder, &mut source, Duration::ZERO).unwrap(), 0);
    let error = optimizer.record_many(&mut encoder, &mut source, 1025).unwrap_err().to_string();
    assert!(error.contains("1025") && error.contains("1024"), "{error}");
    host.poll();
    host.keeps_its_handler();
}

#[test]
fn requirements_are_told_before_and_after() {
    let host = Host::open();
    let gpu = Gpu::adopt(host.device.clone(), host.queue.clone());
    let layout = ParamLayout::flat(PIXELS).unwrap();
    let builder = Optimizer::builder(Method::rk4()).step_size(StepSize::constant(H));
    let needs = builder.requirements(&gpu, &layout).unwrap();
    assert!(needs.features.is_empty() && needs.storage_buffers <= 8);
    assert_eq!(builder.build(&gpu, &layout, &start()).unwrap().requirements(), needs);
    // What θ is there for: drawing and copying.
    let (optimizer, _) = quartic(&gpu);
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
    assert!(optimizer.params().buffer().usage().contains(usage));
}

#[test]
fn the_shortest_embedding_runs_and_is_short() {
    let source = include_str!("../examples/adopt_device.rs");
    assert!(source.lines().count() < 80);
    // Cargo builds the examples before it runs the tests: target/<profile>/examples
    // lies beside target/<profile>/deps, where this test is.
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push(format!("examples/adopt_device{}", std::env::consts::EXE_SUFFIX));
    let output = std::process::Command::new(path).output();
    let output =
        output.expect("`cargo test` alone builds the example; with --test it wants --examples too");
    let (told, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    assert!(told.contains("verdict: Accepted"), "{told}");
}
