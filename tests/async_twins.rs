//! Everything that waits has a twin that does not: nothing blocks, no thread is spawned,
//! and the same bits come out.

mod host;

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use host::{Host, seen};
use kutta::batching::{Accumulated, PerStage};
use kutta::data::{Batches, Inputs, Samples, Targets};
use kutta::models::{Analytic, Mlp};
use kutta::{
    Adaptive, Error, Gpu, Ingredients, Method, Optimizer, ParamLayout, Params, Plan, Report,
    StepSize, optimizer,
};

/// Looks at a future until it is done, as a frame loop would; counts the looks, and wants
/// nobody to have waited meanwhile.
fn looked_at<T>(future: impl Future<Output = T>) -> (u64, T) {
    let (_, waits, value) = seen(|| {
        let mut future = pin!(future);
        let mut looks = 0;
        loop {
            looks += 1;
            let looked = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            if let Poll::Ready(value) = looked {
                return (looks, value);
            }
            std::thread::yield_now();
        }
    });
    assert_eq!(waits, 0, "something waited");
    value
}

fn adopted() -> (Host, Gpu) {
    let host = Host::open();
    let gpu = Gpu::adopt(host.device.clone(), host.queue.clone());
    (host, gpu)
}

fn optimizer(gpu: &Gpu, name: &str, n: usize) -> (Optimizer, Analytic) {
    let source = Analytic::rosenbrock(gpu, n).unwrap();
    let method: Method = name.parse().unwrap();
    let builder = match method.tableau().b_hat() {
        Some(_) => Optimizer::builder(method).adaptive(Adaptive::new(1e-4, 1e-7)),
        None => Optimizer::builder(method).step_size(StepSize::constant(2e-4)),
    };
    let start: Vec<f32> = (0..n).map(|i| if i % 2 == 0 { -1.2 } else { 1.0 }).collect();
    (builder.build(gpu, source.layout(), &start).unwrap(), source)
}

fn same(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let off = found.iter().zip(expected).position(|(a, b)| a.to_bits() != b.to_bits());
    assert!(
        off.is_none(),
        "{what}: element {off:?} differs: {:?}",
        off.map(|i| (found[i], expected[i]))
    );
}

fn told(reports: &[Report]) -> Vec<(u64, u32, Option<u32>)> {
    reports.iter().map(|r| (r.attempt, r.h.to_bits(), r.loss.map(f32::to_bits))).collect()
}

#[test]
fn twins_never_wait_and_give_the_same_bits() -> Result<(), Error> {
    let (host, gpu) = adopted();
    for name in ["rk4", "dp5", "rkc2"] {
        let (mut blocking, mut source) = optimizer(&gpu, name, 20_000);
        blocking.run(&mut source, 100)?;
        blocking.run_accepted(&mut source, 20)?;
        let t_end = blocking.time() + 0.01;
        blocking.run_until(&mut source, t_end)?;
        let measured = blocking.measure(&mut source)?;
        blocking.wait()?;
        let expected = told(&blocking.reports());

        let (mut twin, mut source) = optimizer(&gpu, name, 20_000);
        let (looks, result) = looked_at(twin.run_async(&mut source, 100));
        result?;
        let (more, result) = looked_at(twin.run_accepted_async(&mut source, 20));
        result?;
        println!("{name}: {looks} and {more} looks");
        assert!(more > 1, "{name}: 120 attempts, and nothing was ever pending");
        looked_at(twin.run_until_async(&mut source, t_end)).1?;
        assert_eq!(looked_at(twin.measure_async(&mut source)).1?.loss, measured.loss);
        looked_at(twin.wait_async()).1?;
        assert_eq!(told(&twin.reports()), expected, "{name}");

        let theta = blocking.params().read()?;
        same(&looked_at(twin.params().read_async()).1?, &theta, name);
        same(&looked_at(twin.params().tensor_async("theta")).1?, &theta, name);
        assert!(looked_at(twin.params().tensor_async("other")).1.is_err());
        let vector = twin.params().vector();
        same(&looked_at(vector.read_range_async(&gpu, 7..1001)).1?, &theta[7..1001], name);
        same(&vector.read_range(&gpu, 19_990..50_000)?, &theta[19_990..], name);
        same(&vector.read_range(&gpu, 30_000..50_000)?, &[], name);
    }
    host.keeps_its_handler();
    Ok(())
}

fn network(gpu: &Gpu) -> Mlp {
    let inputs = (0..400).map(|i| (i % 7) as f32 / 7.0).collect();
    let labels = (0..100).map(|i| (i % 3) as u8).collect();
    let targets = Targets::Labels { labels, classes: 3 };
    let samples = Samples::new(Inputs::F32(inputs), 4, targets).unwrap();
    Mlp::classifier(gpu, &[4, 8, 3], Batches::new(samples, 10).unwrap()).unwrap()
}

#[test]
fn a_network_is_evaluated_without_waiting() -> Result<(), Error> {
    let (host, gpu) = adopted();
    let mut mlp = network(&gpu);
    let data = mlp.upload(&{
        let targets = Targets::Labels { labels: vec![0, 1, 2], classes: 3 };
        Samples::new(Inputs::F32(vec![0.5; 12]), 4, targets)?
    })?;
    let optimizer = Optimizer::builder(Method::euler()).step_size(StepSize::constant(0.1)).build(
        &gpu,
        mlp.layout(),
        &mlp.initial(1),
    )?;
    let blocking = mlp.evaluate(optimizer.params(), &data)?;
    assert_eq!(looked_at(mlp.evaluate_async(optimizer.params(), &data)).1?, blocking);
    host.keeps_its_handler();
    Ok(())
}

#[test]
fn a_future_that_is_dropped_in_the_middle_leaves_an_optimizer_that_goes_on() -> Result<(), Error> {
    let (host, gpu) = adopted();
    for name in ["rk4", "dp5", "rkc2"] {
        for looks in [1, 2, 5] {
            let (mut optimizer, mut source) = optimizer(&gpu, name, 20_000);
            let glance = |future: &mut dyn FnMut(&mut Context<'_>) -> bool| {
                (0..looks).any(|_| future(&mut Context::from_waker(Waker::noop())))
            };
            {
                let mut future = pin!(optimizer.run_until_async(&mut source, 1e-3));
                glance(&mut |cx| future.as_mut().poll(cx).is_ready());
            }
            {
                let mut future = pin!(optimizer.run_accepted_async(&mut source, 3));
                glance(&mut |cx| future.as_mut().poll(cx).is_ready());
            }
            // No goal of before holds it back.
            optimizer.wait()?;
            let before = optimizer.accepted();
            let mut encoder = host.encoder();
            optimizer.record_many(&mut encoder, &mut source, 20)?;
            host.submit(encoder);
            optimizer.run(&mut source, 20)?;
            optimizer.wait()?;
            let accepted = optimizer.accepted() - before;
            assert!((30..=40).contains(&accepted), "{name}: {accepted} of 40 attempts");
        }
    }
    host.keeps_its_handler();
    Ok(())
}

const fn shared<T: Send + Sync>() {}
const fn sent<T: Send>(_: &T) {}

const _: () = {
    shared::<Gpu>();
    shared::<Optimizer>();
    shared::<optimizer::Builder>();
    shared::<optimizer::Requirements>();
    shared::<Params<'static>>();
    shared::<Plan>();
    shared::<Method>();
    shared::<ParamLayout>();
    shared::<Ingredients>();
    shared::<Report>();
    shared::<kutta::Profile>();
    shared::<Error>();
    shared::<Analytic>();
    shared::<Mlp>();
    shared::<PerStage<Mlp>>();
    shared::<Accumulated<Mlp>>();
    shared::<Batches>();
};

#[test]
fn futures_can_be_sent() {
    let (_host, gpu) = adopted();
    let (mut optimizer, mut source) = optimizer(&gpu, "rk4", 2);
    sent(&optimizer.run_async(&mut source, 1));
    sent(&optimizer.run_accepted_async(&mut source, 1));
    sent(&optimizer.run_until_async(&mut source, 1.0));
    sent(&optimizer.measure_async(&mut source));
    sent(&optimizer.profile_async(&mut source, 1));
    sent(&optimizer.wait_async());
    sent(&optimizer.params().read_async());
    sent(&Gpu::new_async());
    // And so everything can be done in a thread of the host's own.
    std::thread::spawn(move || {
        pollster::block_on(optimizer.run_async(&mut source, 50)).unwrap();
        optimizer.wait().unwrap();
        assert_eq!(optimizer.accepted(), 50);
    })
    .join()
    .unwrap();
}
