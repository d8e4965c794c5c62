//! A source of one's own, as a user would write it.

use std::collections::HashMap;

use kutta::device::Vector;
use kutta::device::{Access, Kernel};
use kutta::source::CONTROL_WGSL;
use kutta::source::{BatchTicket, EvaluationKey};
use kutta::{
    BatchesFrom, Error, Evaluation, Gpu, GradientSource, ParamLayout, Purpose, SourceError, wgpu,
};

use crate::recipe::{Case, Factor as F};

const PICK: Kernel = Kernel {
    name: "pick",
    text: &[
        CONTROL_WGSL,
        "@group(0) @binding(0) var<uniform> control: Control;
        @group(0) @binding(1) var<storage, read_write> picked: array<f32>;
        @compute @workgroup_size(1) fn main() { picked[0] = f32(control.batch % 7u); }",
    ],
    bindings: &[("control", Access::Uniform), ("picked", Access::Write)],
    vectors: &[],
    structs: &[],
};

const GRADIENT: Kernel = Kernel {
    name: "own",
    text: &["
        @group(0) @binding(0) var<storage, read> picked: array<f32>;
        @group(0) @binding(1) var<storage, read> weights: array<f32>;
        @group(0) @binding(2) var<storage, read> point: array<f32>;
        @group(0) @binding(3) var<storage, read_write> gradient: array<f32>;
        @group(0) @binding(4) var<storage, read_write> loss: array<f32>;
        var<workgroup> sums: array<f32, 64>;
        @compute @workgroup_size(64)
        fn main(@builtin(local_invocation_index) lane: u32) {
            let s = picked[0];
            var sum = 0.0;
            for (var i = lane; i < arrayLength(&gradient); i += 64u) {
                let x = point[i];
                let w = weights[i];
                gradient[i] = w * ((1.0 + 0.25 * s) * x - 0.125 * s) + 0.5 * x * x * x;
                sum += w * ((0.5 + 0.125 * s) * x * x - 0.125 * s * x) + 0.125 * x * x * x * x;
            }
            sums[lane] = sum;
            workgroupBarrier();
            if lane == 0u {
                for (var i = 1u; i < 64u; i++) { sum += sums[i]; }
                loss[0] = sum;
            }
        }"],
    bindings: &[
        ("picked", Access::Read),
        ("weights", Access::Read),
        ("point", Access::Read),
        ("gradient", Access::Write),
        ("loss", Access::Write),
    ],
    vectors: &[],
    structs: &[],
};

const PRODUCT: Kernel = Kernel {
    name: "own_product",
    text: &["
        @group(0) @binding(0) var<storage, read> picked: array<f32>;
        @group(0) @binding(1) var<storage, read> weights: array<f32>;
        @group(0) @binding(2) var<storage, read> point: array<f32>;
        @group(0) @binding(3) var<storage, read> direction: array<f32>;
        @group(0) @binding(4) var<storage, read_write> gradient: array<f32>;
        @compute @workgroup_size(64)
        fn main(@builtin(local_invocation_index) lane: u32) {
            let slope = 1.0 + 0.25 * picked[0];
            for (var i = lane; i < arrayLength(&gradient); i += 64u) {
                gradient[i] = (weights[i] * slope + 1.5 * point[i] * point[i]) * direction[i];
            }
        }"],
    bindings: &[
        ("picked", Access::Read),
        ("weights", Access::Read),
        ("point", Access::Read),
        ("direction", Access::Read),
        ("gradient", Access::Write),
    ],
    vectors: &[],
    structs: &[],
};

/// L = Σ w ((1 + s/4) x²/2 − s x/8) + x⁴/8 with s = batch mod 7, or 0 where there is one
/// batch.
pub struct Own {
    layout: ParamLayout,
    /// Weights, zero in padding.
    values: Vec<f32>,
    weights: Vector,
    picked: wgpu::Buffer,
    /// Where the host draws: s of every batch, as it is told the number.
    drawn: Option<[wgpu::Buffer; 7]>,
    one: bool,
    /// Picks a batch where the ticket changes, and binds once for every key.
    caches: bool,
    last: Option<BatchTicket>,
    bound: HashMap<EvaluationKey, [wgpu::BindGroup; 2]>,
}

impl Own {
    pub fn new(gpu: &Gpu, layout: &ParamLayout, case: &Case, which: u64) -> Result<Self, Error> {
        // What it writes into padding is nobody's.
        let of = |i: usize| [1.0, 1.25, 0.5, 1.75, 1.5][(i + which as usize) % 5];
        let all: Vec<f32> = (0..layout.len()).map(of).collect();
        let inside = |(i, w): (usize, &f32)| if layout.locate(i).is_some() { *w } else { 0.0 };
        let values = all.iter().enumerate().map(inside).collect();
        // New buffers are zero: the s of whoever has one batch.
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
        let picked = gpu.buffer("picked", 4, usage)?;
        let drawn = |s: usize| {
            let buffer = gpu.buffer("drawn", 4, usage)?;
            gpu.queue().write_buffer(&buffer, 0, &(s as f32).to_le_bytes());
            Ok(buffer)
        };
        let drawn = (0..7).map(drawn).collect::<Result<Vec<_>, Error>>()?;
        let host = case.is(F::Source, &["own-host"]);
        Ok(Self {
            drawn: host.then(|| drawn.try_into().unwrap()),
            weights: Vector::from_slice(gpu, "weights", &all)?,
            layout: layout.clone(),
            values,
            picked,
            one: case.is(F::Batches, &["whole"]),
            caches: case.is(F::Source, &["own-cached"]),
            last: None,
            bound: HashMap::new(),
        })
    }

    pub fn weights(&self) -> &[f32] {
        &self.values
    }

    fn groups(&self, at: &Evaluation<'_>) -> [wgpu::BindGroup; 2] {
        let gpu = at.gpu();
        let from = match (&self.drawn, at.batch()) {
            (Some(drawn), Some(batch)) => &drawn[(batch % 7) as usize],
            _ => &self.picked,
        };
        let picked = || from.as_entire_binding();
        let weights = self.weights.buffer().as_entire_binding();
        let point = at.point().buffer().as_entire_binding();
        let gradient = at.gradient().buffer().as_entire_binding();
        let work = match at.direction() {
            Some(direction) => {
                let direction = direction.buffer().as_entire_binding();
                let resources = [picked(), weights, point, direction, gradient];
                gpu.pipeline(&PRODUCT, &vec![]).bind(gpu, &resources)
            }
            None => {
                let resources = [picked(), weights, point, gradient, at.loss().as_entire_binding()];
                gpu.pipeline(&GRADIENT, &vec![]).bind(gpu, &resources)
            }
        };
        let pick = gpu.pipeline(&PICK, &vec![]);
        let to = self.picked.as_entire_binding();
        [pick.bind(gpu, &[at.control().as_entire_binding(), to]), work]
    }
}

impl GradientSource for Own {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        if self.drawn.is_some() && at.batch().is_none() {
            return Err(SourceError::new("the host does not know the batch"));
        }
        let groups = match self.caches {
            false => self.groups(at),
            true => match self.bound.get(&at.key()) {
                Some(groups) => groups.clone(),
                None => {
                    let groups = self.groups(at);
                    self.bound.insert(at.key(), groups.clone());
                    groups
                }
            },
        };
        let ticket = at.ticket();
        let kernel = if at.purpose() == Purpose::Product { &PRODUCT } else { &GRADIENT };
        let [pick, work] = [&PICK, kernel].map(|kernel| at.gpu().pipeline(kernel, &vec![]));
        let pass = at.pass();
        if !self.one && self.drawn.is_none() && !(self.caches && self.last == Some(ticket)) {
            pass.set_pipeline(pick.pipeline());
            pass.set_bind_group(0, &groups[0], &[]);
            pass.dispatch_workgroups(1, 1, 1);
            self.last = Some(ticket);
        }
        pass.set_pipeline(work.pipeline());
        pass.set_bind_group(0, &groups[1], &[]);
        pass.dispatch_workgroups(1, 1, 1);
        Ok(())
    }

    fn batches(&self) -> BatchesFrom {
        match self.drawn {
            Some(_) => BatchesFrom::Host,
            None if self.one => BatchesFrom::One,
            None => BatchesFrom::Device,
        }
    }

    fn products(&self) -> bool {
        true
    }

    fn layout(&self) -> Option<&ParamLayout> {
        Some(&self.layout)
    }
}
