//! The window: training, drawing and controls in one encoder on one device.

mod panels;
mod session;
mod ui;

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use egui_wgpu::{Renderer, RendererOptions, ScreenDescriptor};
use kutta::{Gpu, wgpu};
use wgpu::CurrentSurfaceTexture;
use winit::application::ApplicationHandler;
use winit::dpi::{LogicalSize, PhysicalSize};
use winit::event::{ElementState, KeyEvent, WindowEvent};
use winit::event_loop::{ActiveEventLoop, ControlFlow, EventLoop};
use winit::keyboard::{Key, NamedKey};
use winit::window::{Window, WindowId};

use crate::cli::Args;
use crate::headless;
use crate::picture::Picture;
use crate::recipe::WARM_UP;
use kutta_cli::output::{Output, Outputs};
use panels::Panels;
use session::{Choice, METHODS, Session};

type Fault = Box<dyn Error>;

/// h, unless the command line says another.
const STEP_SIZE: f64 = 0.005;

/// Opens the window and comes back when it is closed. An image that cannot be fitted is
/// said, and the one before it stays.
pub fn run(args: &Args) -> Result<(), Fault> {
    let screenshot = match &args.screenshot {
        Some(path) => Some(place(&mut Outputs::default(), path)?),
        None => None,
    };
    let event_loop = EventLoop::new()
        .map_err(|e| format!("no window can be opened ({e}); --headless needs none"))?;
    event_loop.set_control_flow(ControlFlow::Poll);
    let mut app = App { args, screenshot, view: None, fault: None };
    event_loop.run_app(&mut app)?;
    app.fault.map_or(Ok(()), Err)
}

/// A file in a folder that is made if it is missing.
fn place(outputs: &mut Outputs, path: &Path) -> Result<Output, Fault> {
    match (path.parent().filter(|folder| *folder != Path::new("")), path.file_name()) {
        (Some(folder), Some(name)) => outputs.folder("--screenshot", folder)?.file(name),
        _ => outputs.file("--screenshot", path),
    }
}

struct App<'a> {
    args: &'a Args,
    screenshot: Option<Output>,
    view: Option<View>,
    fault: Option<Fault>,
}

impl App<'_> {
    fn close(&mut self, event_loop: &ActiveEventLoop, result: Result<(), Fault>) {
        self.fault = result.err();
        event_loop.exit();
    }
}

impl ApplicationHandler for App<'_> {
    fn resumed(&mut self, event_loop: &ActiveEventLoop) {
        if self.view.is_some() {
            return;
        }
        match View::new(event_loop, self.args) {
            Ok(view) => self.view = Some(view),
            Err(fault) => self.close(event_loop, Err(fault)),
        }
    }

    fn window_event(&mut self, event_loop: &ActiveEventLoop, _: WindowId, event: WindowEvent) {
        let Some(view) = &mut self.view else { return };
        let taken = view.input.on_window_event(&view.window, &event).consumed;
        match event {
            WindowEvent::CloseRequested => self.close(event_loop, Ok(())),
            WindowEvent::Resized(size) => view.resize(size),
            WindowEvent::DroppedFile(path) => view.open(self.args, &path),
            WindowEvent::KeyboardInput {
                event: KeyEvent { logical_key, state: ElementState::Pressed, .. },
                ..
            } if !taken && !view.key(&logical_key) => self.close(event_loop, Ok(())),
            WindowEvent::RedrawRequested => {
                let last = self.args.close_after.is_some_and(|n| view.frames + 1 >= n);
                let screenshot = self.screenshot.as_ref().filter(|_| last);
                match view.frame(screenshot) {
                    Err(fault) => self.close(event_loop, Err(fault)),
                    Ok(()) if last => {
                        say!("closed after {} frames", view.frames);
                        self.close(event_loop, Ok(()));
                    }
                    Ok(()) => view.window.request_redraw(),
                }
            }
            _ => {}
        }
    }
}

struct View {
    window: Arc<Window>,
    surface: wgpu::Surface<'static>,
    config: wgpu::SurfaceConfiguration,
    gpu: Gpu,
    egui: egui::Context,
    input: egui_winit::State,
    renderer: Renderer,
    /// Of the image.
    name: String,
    session: Session,
    panels: Panels,
    frames: u64,
    start: Instant,
}

impl View {
    fn new(event_loop: &ActiveEventLoop, args: &Args) -> Result<Self, Fault> {
        let attributes = Window::default_attributes()
            .with_title("kutta: neural image")
            .with_inner_size(LogicalSize::new(1180.0, 680.0));
        let window = Arc::new(event_loop.create_window(attributes)?);
        let display = Box::new(event_loop.owned_display_handle());
        let mut descriptor = wgpu::InstanceDescriptor::new_with_display_handle_from_env(display);
        descriptor.backends = kutta::device::backends_asked_for()?;
        let instance = wgpu::Instance::new(descriptor);
        let surface = instance.create_surface(window.clone())?;
        let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            compatible_surface: Some(&surface),
            ..Default::default()
        }))?;
        // WebGPU's default limits and no features: kutta wants no more.
        let (device, queue) = pollster::block_on(adapter.request_device(&Default::default()))?;
        let gpu = Gpu::adopt(device.clone(), queue);

        let size = window.inner_size();
        let mut config = surface
            .get_default_config(&adapter, size.width.max(1), size.height.max(1))
            .ok_or("the adapter cannot draw on this window")?;
        // The image's values are encoded for the screen already, as egui's colours are.
        config.format = config.format.remove_srgb_suffix();
        surface.configure(&device, &config);

        let egui = egui::Context::default();
        egui.set_theme(egui::Theme::Dark);
        let input = egui_winit::State::new(
            egui.clone(),
            egui::ViewportId::ROOT,
            &window,
            None,
            None,
            Some(device.limits().max_texture_dimension_2d as usize),
        );
        let renderer = Renderer::new(&device, config.format, RendererOptions::default());
        let picture = Picture::included(args.most)?;
        let session = session_of(&gpu, args, &picture)?;
        say!("{} on {}", session.choice.method, gpu.info().name);
        let panels = panels_of(&gpu, config.format, &session);
        window.request_redraw();
        let mut view = Self {
            window,
            surface,
            config,
            gpu,
            egui,
            input,
            renderer,
            name: picture.name,
            session,
            panels,
            frames: 0,
            start: Instant::now(),
        };
        if let Some(path) = &args.image {
            view.open(args, path);
        }
        Ok(view)
    }

    /// Begins with another image, if it is one.
    fn open(&mut self, args: &Args, path: &Path) {
        let opened = Picture::open(path, args.most).map_err(Fault::from);
        let opened = opened.and_then(|p| Ok((session_of(&self.gpu, args, &p)?, p)));
        match opened {
            Ok((session, picture)) => {
                say!("fits {}", path.display());
                self.panels = panels_of(&self.gpu, self.config.format, &session);
                (self.session, self.name) = (session, picture.name);
                self.session.fault = picture.note;
            }
            Err(fault) => {
                say!("error: {fault}");
                self.session.fault = Some(fault.to_string());
            }
        }
    }

    fn resize(&mut self, size: PhysicalSize<u32>) {
        if size.width > 0 && size.height > 0 {
            (self.config.width, self.config.height) = (size.width, size.height);
            self.surface.configure(self.gpu.device(), &self.config);
        }
    }

    /// False for the key that closes.
    fn key(&mut self, key: &Key) -> bool {
        match key {
            Key::Named(NamedKey::Escape) => return false,
            Key::Named(NamedKey::Space) => {
                self.session.paused = !self.session.paused;
                say!("{}", if self.session.paused { "paused" } else { "going on" });
            }
            Key::Character(c) if c == "r" => {
                self.session.restart();
                say!("restarted");
            }
            Key::Character(c) => {
                let index = c.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
                if let Some(method) = index.and_then(|i| METHODS.get(i)) {
                    self.session.choice.method = (*method).to_owned();
                    say!("method {method}");
                }
            }
            _ => {}
        }
        true
    }

    /// Trains, draws, and shows.
    fn frame(&mut self, screenshot: Option<&Output>) -> Result<(), Fault> {
        let (texture, suboptimal) = match self.surface.get_current_texture() {
            CurrentSurfaceTexture::Success(texture) => (texture, false),
            CurrentSurfaceTexture::Suboptimal(texture) => (texture, true),
            CurrentSurfaceTexture::Outdated => {
                self.surface.configure(self.gpu.device(), &self.config);
                return Ok(());
            }
            CurrentSurfaceTexture::Timeout | CurrentSurfaceTexture::Occluded => return Ok(()),
            CurrentSurfaceTexture::Lost => return Err("the window's surface was lost".into()),
            CurrentSurfaceTexture::Validation => return Err("the surface is misconfigured".into()),
        };
        let raw = self.input.take_egui_input(&self.window);
        let mut places = Vec::new();
        let output = self.egui.run_ui(raw, |ui| {
            places = ui::draw(ui, &mut self.session, &self.name);
        });
        self.input.handle_platform_output(&self.window, output.platform_output);
        let points = output.pixels_per_point;
        let jobs = self.egui.tessellate(output.shapes, points);
        let screen = ScreenDescriptor {
            size_in_pixels: [self.config.width, self.config.height],
            pixels_per_point: points,
        };

        let (device, queue) = (self.gpu.device().clone(), self.gpu.queue().clone());
        let mut encoder = device.create_command_encoder(&Default::default());
        if self.session.record(&mut encoder)? {
            self.panels = panels_of(&self.gpu, self.config.format, &self.session);
        }
        for (id, deltas) in &output.textures_delta.set {
            for delta in deltas {
                self.renderer.update_texture(&device, &queue, *id, delta);
            }
        }
        self.renderer.update_buffers(&device, &queue, &mut encoder, &jobs, &screen);
        let places: Vec<[f32; 4]> = places
            .iter()
            .map(|r| [r.left(), r.top(), r.width(), r.height()].map(|x| x * points))
            .collect();
        let view = texture.texture.create_view(&Default::default());
        self.draw(&mut encoder, &view, &jobs, &screen, &places);
        let shot = screenshot.map(|file| {
            let shot = Shot::new(&device, &self.config);
            self.draw(&mut encoder, &shot.view(), &jobs, &screen, &places);
            shot.copy(&mut encoder);
            (file, shot)
        });
        queue.submit([encoder.finish()]);
        queue.present(texture);
        for id in &output.textures_delta.free {
            self.renderer.free_texture(id);
        }
        self.frames += 1;
        self.session.collect();
        if let Some((file, shot)) = shot {
            file.put_made(shot.png(&device));
            let seconds = self.start.elapsed().as_secs_f64();
            say!("{:.1} frames a second; {}", self.frames as f64 / seconds, file.path().display());
        }
        if suboptimal {
            self.surface.configure(&device, &self.config);
        }
        Ok(())
    }

    fn draw(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        view: &wgpu::TextureView,
        jobs: &[egui::ClippedPrimitive],
        screen: &ScreenDescriptor,
        places: &[[f32; 4]],
    ) {
        let fill = egui::Rgba::from(self.egui.global_style().visuals.panel_fill.to_opaque());
        let [r, g, b, _] = fill.to_srgba_unmultiplied().map(|x| f64::from(x) / 255.0);
        let mut pass = encoder
            .begin_render_pass(&wgpu::RenderPassDescriptor {
                label: Some("window"),
                color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                    view,
                    depth_slice: None,
                    resolve_target: None,
                    ops: wgpu::Operations {
                        load: wgpu::LoadOp::Clear(wgpu::Color { r, g, b, a: 1.0 }),
                        store: wgpu::StoreOp::Store,
                    },
                })],
                ..Default::default()
            })
            .forget_lifetime();
        self.panels.draw(&mut pass, places);
        let [width, height] = screen.size_in_pixels.map(|n| n as f32);
        pass.set_viewport(0.0, 0.0, width, height, 0.0, 1.0);
        self.renderer.render(&mut pass, jobs, screen);
    }
}

fn session_of(gpu: &Gpu, args: &Args, picture: &Picture) -> Result<Session, Fault> {
    let choice = Choice {
        method: args.method.clone(),
        preconditioner: args.preconditioner,
        momentum: args.momentum,
        h: args.step_size.as_ref().map_or(STEP_SIZE, |h| h.at(u64::from(WARM_UP))),
    };
    Ok(Session::new(gpu, headless::field(gpu, args, picture)?, choice, args.seed)?)
}

fn panels_of(gpu: &Gpu, format: wgpu::TextureFormat, session: &Session) -> Panels {
    let field = session.field();
    let extent = [field.extent()[0], field.extent()[1]];
    Panels::new(gpu.device(), format, extent, field.target(), session.inference().buffer())
}

/// A copy of the window's last frame.
struct Shot {
    texture: wgpu::Texture,
    buffer: wgpu::Buffer,
    stride: u32,
}

impl Shot {
    fn new(device: &wgpu::Device, config: &wgpu::SurfaceConfiguration) -> Self {
        let size =
            wgpu::Extent3d { width: config.width, height: config.height, depth_or_array_layers: 1 };
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("screenshot"),
            size,
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: config.format,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        let stride = (4 * config.width).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("screenshot"),
            size: u64::from(stride) * u64::from(config.height),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Self { texture, buffer, stride }
    }

    fn view(&self) -> wgpu::TextureView {
        self.texture.create_view(&Default::default())
    }

    fn copy(&self, encoder: &mut wgpu::CommandEncoder) {
        let layout = wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: Some(self.stride),
            rows_per_image: None,
        };
        encoder.copy_texture_to_buffer(
            self.texture.as_image_copy(),
            wgpu::TexelCopyBufferInfo { buffer: &self.buffer, layout },
            self.texture.size(),
        );
    }

    fn png(&self, device: &wgpu::Device) -> Result<Vec<u8>, Fault> {
        self.buffer.slice(..).map_async(wgpu::MapMode::Read, |_| {});
        device.poll(wgpu::PollType::wait_indefinitely())?;
        let mapped = self.buffer.slice(..).get_mapped_range()?;
        let bgra = self.texture.format() == wgpu::TextureFormat::Bgra8Unorm;
        let (width, height) = (self.texture.width(), self.texture.height());
        let image = image::RgbImage::from_fn(width, height, |x, y| {
            let at = (y * self.stride + 4 * x) as usize;
            let [a, b, c] = [mapped[at], mapped[at + 1], mapped[at + 2]];
            image::Rgb(if bgra { [c, b, a] } else { [a, b, c] })
        });
        let mut file = std::io::Cursor::new(Vec::new());
        image.write_to(&mut file, image::ImageFormat::Png)?;
        Ok(file.into_inner())
    }
}
