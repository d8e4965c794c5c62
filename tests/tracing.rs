//! Spans that say what the host spends its time on.

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use common::{gpu, noise};
use kutta::models::Analytic;
use kutta::reference::Problem;
use kutta::{Method, Optimizer, StepSize};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Counts spans by name.
#[derive(Clone, Default)]
struct Count(Arc<Mutex<BTreeMap<&'static str, u32>>>);

impl Subscriber for Count {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("kutta")
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        *self.0.lock().unwrap().entry(span.metadata().name()).or_default() += 1;
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn what_the_host_does_has_spans() {
    let mut source = Analytic::new(gpu(), &Problem::Quartic, 64).unwrap();
    let layout = source.layout().clone();
    let count = Count::default();
    tracing::subscriber::with_default(count.clone(), || {
        let mut optimizer = Optimizer::builder(Method::heun())
            .step_size(StepSize::constant(0.1))
            .attempts_per_submit(10)
            .build(gpu(), &layout, &noise(64, 1))
            .unwrap();
        optimizer.run(&mut source, 35).unwrap();
        optimizer.wait().unwrap();
    });
    let spans = count.0.lock().unwrap();
    assert_eq!(spans["build"], 1);
    assert_eq!((spans["submit"], spans["record"]), (4, 4));
    // Four submits, and two that `wait` adds.
    assert_eq!(spans["wait"], 6);
    assert!(spans["pipeline"] > 0);
}
