//! The training behind the window: everything is recorded into the window's encoder.

use std::time::{Duration, Instant};

use kutta::models::{Inference, NeuralField};
use kutta::{Error, Gpu, Method, Momentum, Optimizer, Preconditioner, StepSize, wgpu};

use crate::picture::decibels;
use crate::recipe::{Recipe, WARM_UP};

/// What a frame should take.
const FRAME: Duration = Duration::from_millis(40);
/// Most attempts recorded in a frame.
const MOST_ATTEMPTS: f64 = 64.0;
/// Points of the curve before every other one is left out.
const MOST_POINTS: usize = 2000;

pub const METHODS: [&str; 6] = ["euler", "heun", "rk4", "dp5", "rkc2:stages=5", "rock2:stages=5"];

/// What can be chosen while it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// A name, or a file.
    pub method: String,
    pub preconditioner: Preconditioner,
    pub momentum: Momentum,
    pub h: f64,
}

impl Choice {
    fn recipe(&self) -> Result<Recipe, Error> {
        Ok(Recipe {
            name: self.method.clone(),
            method: Method::load(&self.method)?,
            preconditioner: self.preconditioner,
            momentum: self.momentum,
            step_size: Some(warmed(self.h)),
            adaptive: None,
        })
    }
}

/// A preconditioner of no experience takes what it has not met yet for flat.
fn warmed(h: f64) -> StepSize {
    StepSize::constant(h as f32).warm_up(WARM_UP)
}

/// A field under training.
pub struct Session {
    gpu: Gpu,
    field: NeuralField,
    optimizer: Optimizer,
    inference: Inference,
    seed: u64,
    /// What is in use, and what the controls say.
    used: Choice,
    pub choice: Choice,
    pub paused: bool,
    /// Why the last choice could not be used.
    pub fault: Option<String>,
    /// (gradients, decibels of a batch), and where the method was changed.
    pub curve: Vec<[f64; 2]>,
    pub changes: Vec<f64>,
    stride: u64,
    gradients: u64,
    before: u64,
    smooth: Option<f64>,
    pub attempts: f64,
    part: usize,
    /// The reconstruction is in another buffer since the last frame.
    renewed: bool,
    last: Option<Instant>,
}

impl Session {
    pub fn new(gpu: &Gpu, field: NeuralField, choice: Choice, seed: u64) -> Result<Self, Error> {
        let optimizer = choice.recipe()?.build(gpu, &field, &field.initial(seed))?;
        let inference = field.inference(optimizer.params(), field.extent())?;
        Ok(Self {
            gpu: gpu.clone(),
            field,
            optimizer,
            inference,
            seed,
            used: choice.clone(),
            choice,
            paused: false,
            fault: None,
            curve: Vec::new(),
            changes: Vec::new(),
            stride: 1,
            gradients: 0,
            before: 0,
            smooth: None,
            attempts: 1.0,
            part: 0,
            renewed: false,
            last: None,
        })
    }

    pub fn field(&self) -> &NeuralField {
        &self.field
    }

    pub fn inference(&self) -> &Inference {
        &self.inference
    }

    /// Gradients so far, over all methods.
    pub fn gradients(&self) -> u64 {
        self.before + self.gradients
    }

    /// Decibels of the newest batches.
    pub fn decibels(&self) -> Option<f64> {
        self.smooth.map(decibels)
    }

    /// Another start.
    pub fn restart(&mut self) {
        let theta = self.field.initial(self.seed);
        match self.used.recipe().and_then(|r| r.build(&self.gpu, &self.field, &theta)) {
            Ok(optimizer) => {
                self.optimizer = optimizer;
                self.renew_inference();
                self.curve.clear();
                self.changes.clear();
                (self.gradients, self.before, self.stride, self.smooth) = (0, 0, 1, None);
            }
            Err(error) => self.fault = Some(error.to_string()),
        }
    }

    fn renew_inference(&mut self) {
        match self.field.inference(self.optimizer.params(), self.field.extent()) {
            Ok(inference) => (self.inference, self.renewed) = (inference, true),
            Err(error) => self.fault = Some(error.to_string()),
        }
    }

    /// Takes what the controls say.
    fn apply(&mut self, encoder: &mut wgpu::CommandEncoder) {
        if self.choice == self.used {
            return;
        }
        let only_h = Choice { h: self.used.h, ..self.choice.clone() } == self.used;
        if only_h {
            let result = self.optimizer.set_step_size(&warmed(self.choice.h));
            self.fault = result.err().map(|e| e.to_string());
            self.used = self.choice.clone();
            return;
        }
        let theta = self.field.initial(self.seed);
        match self.choice.recipe().and_then(|r| r.build(&self.gpu, &self.field, &theta)) {
            Ok(optimizer) => {
                // θ stays on the device: the new optimizer goes on from where the old one was.
                let (from, to) = (self.optimizer.params().buffer(), optimizer.params().buffer());
                encoder.copy_buffer_to_buffer(from, 0, to, 0, from.size());
                self.optimizer = optimizer;
                self.before += self.gradients;
                self.gradients = 0;
                self.changes.push(self.before as f64);
                self.used = self.choice.clone();
                self.fault = None;
                self.renew_inference();
            }
            Err(error) => {
                self.fault = Some(error.to_string());
                self.choice = self.used.clone();
            }
        }
    }

    /// Records a frame's attempts, and a part of the reconstruction. True if the buffer of
    /// the reconstruction is another one.
    pub fn record(&mut self, encoder: &mut wgpu::CommandEncoder) -> Result<bool, Error> {
        let now = Instant::now();
        if let Some(last) = self.last.replace(now) {
            // Never far on one measurement: a frame may have compiled something.
            let fitting = FRAME.as_secs_f64() / (now - last).as_secs_f64().max(1e-3);
            self.attempts = (self.attempts * fitting.clamp(0.7, 1.2)).clamp(1.0, MOST_ATTEMPTS);
        }
        self.apply(encoder);
        let renewed = std::mem::take(&mut self.renewed);
        if !self.paused {
            for _ in 0..self.attempts as u32 {
                self.optimizer.record(encoder, &mut self.field)?;
            }
        }
        let mut pass = encoder.begin_compute_pass(&Default::default());
        if renewed {
            self.inference.record(&mut pass);
        } else {
            // As much of the image as there are attempts; all of it where they are cheap.
            let parts = (self.attempts as usize).min(self.inference.parts());
            for part in self.part..self.part + parts {
                self.inference.record_part(&mut pass, part);
            }
            self.part = (self.part + parts) % self.inference.parts();
        }
        Ok(renewed)
    }

    /// Takes in what has arrived. Never waits.
    pub fn collect(&mut self) {
        for report in self.optimizer.reports() {
            self.gradients = report.evaluations;
            let Some(loss) = report.loss.map(f64::from).filter(|l| l.is_finite() && *l > 0.0)
            else {
                continue;
            };
            let smooth = self.smooth.map_or(loss, |s| s + 0.1 * (loss - s));
            self.smooth = Some(smooth);
            if report.attempt % self.stride == 0 {
                self.curve.push([self.gradients() as f64, decibels(smooth)]);
            }
        }
        if self.curve.len() > MOST_POINTS {
            let mut i = 0;
            self.curve.retain(|_| {
                i += 1;
                i % 2 == 0
            });
            self.stride *= 2;
        }
    }
}
