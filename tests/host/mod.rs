//! An app that owns a device, as the tests of embedding need one; and what it sees of
//! wgpu: submits and waits, by wgpu's own log, of each thread by itself.
#![allow(dead_code)] // Each test binary uses its own part.

#[path = "../drawing/mod.rs"]
mod drawing;

use std::cell::Cell;
use std::sync::{Arc, Mutex, Once};

use drawing::Drawing;
use kutta::wgpu;

thread_local! {
    static SUBMITS: Cell<u64> = const { Cell::new(0) };
    static WAITS: Cell<u64> = const { Cell::new(0) };
}

struct Watching;

impl log::Log for Watching {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target().starts_with("wgpu_core::device")
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        if record.args().as_str() == Some("Queue::submit") {
            SUBMITS.set(SUBMITS.get() + 1);
        } else if record.target() == "wgpu_core::device::resource"
            && record.args().to_string().starts_with("Device::maintain: waiting")
        {
            WAITS.set(WAITS.get() + 1);
        }
    }

    fn flush(&self) {}
}

/// Submits and waits of this thread during `work`, by anybody.
pub fn seen<T>(work: impl FnOnce() -> T) -> (u64, u64, T) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Watching).expect("no other logger");
        log::set_max_level(log::LevelFilter::Trace);
    });
    let before = (SUBMITS.get(), WAITS.get());
    let value = work();
    (SUBMITS.get() - before.0, WAITS.get() - before.1, value)
}

/// Width and height of what the host draws.
pub const SIDE: u32 = 32;
pub const PIXELS: usize = (SIDE * SIDE) as usize;

pub struct Host {
    pub instance: wgpu::Instance,
    pub adapter: wgpu::Adapter,
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    errors: Arc<Mutex<Vec<String>>>,
}

impl Host {
    /// WebGPU's default limits, no features, and an error handler.
    pub fn open() -> Self {
        Self::open_with(wgpu::Limits::default(), wgpu::Features::empty())
    }

    pub fn open_with(limits: wgpu::Limits, features: wgpu::Features) -> Self {
        let descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
        let instance = wgpu::Instance::new(descriptor);
        Self::open_on(instance, limits, features)
    }

    pub fn open_on(
        instance: wgpu::Instance,
        required_limits: wgpu::Limits,
        required_features: wgpu::Features,
    ) -> Self {
        let adapter = pollster::block_on(instance.request_adapter(&Default::default())).unwrap();
        let descriptor =
            wgpu::DeviceDescriptor { required_limits, required_features, ..Default::default() };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
        let errors: Arc<Mutex<Vec<String>>> = Arc::default();
        let into = errors.clone();
        let handler = move |error: wgpu::Error| into.lock().unwrap().push(error.to_string());
        device.on_uncaptured_error(Arc::new(handler));
        Self { instance, adapter, device, queue, errors }
    }

    /// What the host's handler got since the last call.
    pub fn errors(&self) -> Vec<String> {
        std::mem::take(&mut *self.errors.lock().unwrap())
    }

    /// An error of the host's own arrives at the host's own handler.
    pub fn keeps_its_handler(&self) {
        assert_eq!(self.errors(), Vec::<String>::new());
        let _ = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("the host's mistake"),
            size: 4,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::MAP_WRITE,
            mapped_at_creation: false,
        });
        let errors = self.errors();
        assert!(errors.len() == 1 && errors[0].contains("the host's mistake"), "{errors:?}");
    }

    pub fn encoder(&self) -> wgpu::CommandEncoder {
        self.device.create_command_encoder(&Default::default())
    }

    pub fn submit(&self, encoder: wgpu::CommandEncoder) {
        self.queue.submit([encoder.finish()]);
    }

    pub fn poll(&self) {
        self.device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    }

    /// The bytes of a buffer, by the host's own means.
    pub fn read(&self, buffer: &wgpu::Buffer) -> Vec<u8> {
        let size = buffer.size();
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("the host's copy"),
            size,
            usage,
            mapped_at_creation: false,
        });
        let mut encoder = self.encoder();
        encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, size);
        encoder.map_buffer_on_submit(&staging, wgpu::MapMode::Read, .., |mapped| mapped.unwrap());
        self.submit(encoder);
        self.poll();
        staging.slice(..).get_mapped_range().unwrap().to_vec()
    }
}

/// Draws a vector: red θ, green 1 − θ, blue θ².
pub struct Canvas {
    drawing: Drawing,
    pub pixels: wgpu::Buffer,
}

impl Canvas {
    pub fn new(host: &Host, theta: &wgpu::Buffer) -> Self {
        let fragment = "@group(0) @binding(0) var<storage, read> theta: array<f32>;
             @fragment fn colour(@builtin(position) at: vec4<f32>) -> @location(0) vec4<f32> {
                 let x = theta[u32(at.y) * 32 + u32(at.x)];
                 return vec4(x, 1.0 - x, x * x, 1.0);
             }";
        let format = wgpu::TextureFormat::Rgba8Unorm;
        let drawing = Drawing::new(&host.device, fragment, theta, [SIDE, SIDE], format);
        let pixels = host.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("pixels"),
            size: u64::from(256 * SIDE),
            usage: wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Self { drawing, pixels }
    }

    /// A render pass of the host, and a copy of what it drew.
    pub fn draw(&self, encoder: &mut wgpu::CommandEncoder) {
        self.drawing.record(encoder, &self.pixels, 256);
    }

    /// Whether what was drawn last is `theta`, to 1/255.
    pub fn check(&self, host: &Host, theta: &[f64], what: &str) {
        let pixels = host.read(&self.pixels);
        let mut seen = 0;
        for (i, &x) in theta.iter().enumerate() {
            let at = i / SIDE as usize * 256 + i % SIDE as usize * 4;
            let wanted = [x, 1.0 - x, x * x, 1.0];
            for (&found, wanted) in pixels[at..at + 4].iter().zip(wanted) {
                let wanted = 255.0 * wanted.clamp(0.0, 1.0);
                let off = (f64::from(found) - wanted).abs();
                assert!(off <= 1.0, "{what}: pixel {i} is {found}, not {wanted}");
            }
            seen += 1;
        }
        assert_eq!(seen, PIXELS);
    }
}
