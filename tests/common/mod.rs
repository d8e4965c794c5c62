//! What the device tests share: one device per test binary, and sources that
//! misbehave on purpose.
#![allow(dead_code)] // Each test binary uses its own part.

use std::sync::OnceLock;

use kutta::device::{Access, Kernel};
use kutta::device::{GpuOptions, LimitsWanted};
use kutta::source::CONTROL_WGSL;
use kutta::{Evaluation, Gpu, GradientSource, Method, Purpose, SourceError, Storage};

pub fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| Gpu::new().expect("the tests need an adapter"))
}

/// A device with the limits that WebGPU promises everywhere, and no features.
pub fn default_limits_gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| {
        let options = GpuOptions { limits: LimitsWanted::WebGpuDefaults, ..GpuOptions::default() };
        Gpu::with_options(&options).expect("the tests need an adapter")
    })
}

/// Every named method, the stabilised ones with the stages of their tableaus.
pub fn methods() -> Vec<Method> {
    let fixed = |method: Method| {
        let stages = method.stages() as u32;
        method.with_stages(stages).expect("a method has the stages that it shows")
    };
    Method::all().into_iter().map(fixed).collect()
}

/// A source of such abilities, for builders to ask: it evaluates nothing.
#[derive(Clone, Copy, Default)]
pub struct Able {
    pub adds: bool,
    pub narrow: bool,
    pub checks: u32,
}

pub fn adding(adds: bool) -> Able {
    Able { adds, ..Able::default() }
}

pub fn writing(narrow: bool) -> Able {
    Able { narrow, ..Able::default() }
}

impl GradientSource for Able {
    fn evaluate(&mut self, _: &mut Evaluation<'_>) -> Result<(), SourceError> {
        Err(SourceError::new("it has abilities and no gradients"))
    }

    fn adds(&self) -> bool {
        self.adds
    }

    fn checks(&self) -> u32 {
        self.checks
    }

    fn writes(&self, storage: Storage) -> bool {
        self.narrow || storage == Storage::F32
    }
}

/// max |a − b| / max(1, max |b|).
pub fn relative(a: &[f32], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let scale = b.iter().fold(1.0, |m: f64, x| m.max(x.abs()));
    let difference = |(x, y): (&f32, &f64)| {
        let d = (f64::from(*x) - y).abs();
        if d.is_nan() { f64::INFINITY } else { d }
    };
    a.iter().zip(b).map(difference).fold(0.0, f64::max) / scale
}

/// Values in (−1, 1) that repeat.
pub fn noise(n: usize, seed: u64) -> Vec<f32> {
    let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

const POISON: Kernel = Kernel {
    name: "poison",
    text: &[
        CONTROL_WGSL,
        "struct Where { attempt: u32, element: u32, bits: u32, loss: u32 }
        @group(0) @binding(0) var<uniform> control: Control;
        @group(0) @binding(1) var<uniform> place: Where;
        @group(0) @binding(2) var<storage, read_write> gradient: array<u32>;
        @group(0) @binding(3) var<storage, read_write> loss: array<u32>;
        @compute @workgroup_size(1) fn main() {
            if control.attempts != place.attempt { return; }
            if place.loss == 1u { loss[0] = place.bits; } else { gradient[place.element] = place.bits; }
        }",
    ],
    bindings: &[
        ("control", Access::Uniform),
        ("place", Access::Uniform),
        ("gradient", Access::Write),
        ("loss", Access::Write),
    ],
    vectors: &[],
    structs: &[],
};

/// Passes an inner source's gradient on, but plants a number in one attempt.
pub struct Planted<S> {
    pub inner: S,
    pub attempt: u32,
    pub stage: u32,
    pub element: u32,
    pub value: f32,
    /// Plants in the loss instead of the gradient.
    pub in_loss: bool,
}

impl<S: GradientSource> GradientSource for Planted<S> {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        self.inner.evaluate(at)?;
        if at.purpose() != Purpose::Stage(self.stage) {
            return Ok(());
        }
        let bits = self.value.to_bits();
        plant(at, [self.attempt, self.element, bits, u32::from(self.in_loss)])
    }
}

/// Writes bits over one word of the gradient, or over the loss, if the attempt has a number:
/// attempt, word, bits, whether it is the loss.
pub fn plant(at: &mut Evaluation<'_>, values: [u32; 4]) -> Result<(), SourceError> {
    let gpu = at.gpu().clone();
    let pipeline = gpu.pipeline(&POISON, &vec![]);
    let usage = kutta::wgpu::BufferUsages::UNIFORM | kutta::wgpu::BufferUsages::COPY_DST;
    let place = gpu.buffer("place", 16, usage).map_err(SourceError::new)?;
    gpu.queue().write_buffer(&place, 0, bytemuck::cast_slice(&values));
    let bind_group = pipeline.bind(
        &gpu,
        &[
            at.control().as_entire_binding(),
            place.as_entire_binding(),
            at.gradient().buffer().as_entire_binding(),
            at.loss().as_entire_binding(),
        ],
    );
    let pass = at.pass();
    pass.set_pipeline(pipeline.pipeline());
    pass.set_bind_group(0, &bind_group, &[]);
    pass.dispatch_workgroups(1, 1, 1);
    Ok(())
}

/// Passes an inner source on until told to fail.
pub struct Failing<S> {
    pub inner: S,
    /// Evaluations that still succeed.
    pub good: u32,
}

impl<S: GradientSource> GradientSource for Failing<S> {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        if self.good == 0 {
            return Err(SourceError::new("the disk with the batches is gone"));
        }
        self.good -= 1;
        self.inner.evaluate(at)
    }
}

/// An inner source that claims to submit by itself.
pub struct Submitting<S>(pub S);

impl<S: GradientSource> GradientSource for Submitting<S> {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        self.0.evaluate(at)
    }

    fn submits(&self) -> bool {
        true
    }
}

const BOWL: Kernel = Kernel {
    name: "bowl",
    text: &["@group(0) @binding(0) var<storage, read> v: array<f32>;
        @group(0) @binding(1) var<storage, read_write> product: array<f32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            if id.x < arrayLength(&product) { product[id.x] = 4.0 * v[id.x]; }
        }"],
    bindings: &[("v", Access::Read), ("product", Access::Write)],
    vectors: &[],
    structs: &[],
};

/// Gives 4 θ, and 4 v for products, of up to 128 parameters. No loss: that may be beyond f32.
pub struct Bowl;

impl GradientSource for Bowl {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        let pipeline = at.gpu().pipeline(&BOWL, &vec![]);
        let from = at.direction().unwrap_or(at.point()).buffer();
        assert_eq!(at.direction().is_some(), at.purpose() == Purpose::Product);
        let resources = [from.as_entire_binding(), at.gradient().buffer().as_entire_binding()];
        let bind_group = pipeline.bind(at.gpu(), &resources);
        let pass = at.pass();
        pass.set_pipeline(pipeline.pipeline());
        pass.set_bind_group(0, &bind_group, &[]);
        pass.dispatch_workgroups(2, 1, 1);
        Ok(())
    }

    fn products(&self) -> bool {
        true
    }
}
