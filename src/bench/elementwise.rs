//! Kernels that do as little as can be done with what they read and write.

use std::collections::HashMap;
use std::fmt::Write;

use super::touches::Touch;
use super::work::{Launch, Work};
use crate::device::Gpu;
use crate::device::kernel::packing;
use crate::device::traversal::Traversal;
use crate::device::vector::Vector;
use crate::format::Storage;
use crate::kernels::interleaved;
use crate::layout::ALIGNMENT;
use crate::plan::Plan;
use crate::state::State;

/// Invocations of a workgroup.
const LANES: usize = 256;
/// WebGPU's `max_compute_workgroups_per_dimension`.
const MOST_GROUPS: usize = 65_535;

/// The function that an element-wise kernel makes of its inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// The largest: as little as can be done, and nothing that grows.
    Largest,
    Sum,
    /// The largest, or 2 if that is less: for what is read again and again.
    Bounded,
}

/// Makes kernels that walk buffers in vec4s and do as little as can be done.
pub(super) struct Elementwise {
    pub(super) gpu: Gpu,
    pub(super) walk: Traversal,
    /// Elements of one vector that a binding may hold.
    most: usize,
    pipelines: HashMap<String, wgpu::ComputePipeline>,
}

/// The most elements of which buffers of several vectors fit in a binding too.
pub(super) fn most_elements(gpu: &Gpu, plan: &Plan) -> usize {
    gpu.binding_elements() / interleaved::widest(plan)
}

impl Elementwise {
    pub(super) fn new(gpu: &Gpu, walk: Traversal, most: usize) -> Self {
        Self { gpu: gpu.clone(), walk, most, pipelines: HashMap::new() }
    }

    pub(super) fn work(&mut self, touches: Vec<Touch<'_>>, value: Value, state: &State) -> Work {
        self.dispatches(touches, value, &state.spare[0])
    }

    /// A kernel that writes nothing could write to `elsewhere`, but never does.
    pub(super) fn dispatches(
        &mut self,
        touches: Vec<Touch<'_>>,
        value: Value,
        elsewhere: &Vector,
    ) -> Work {
        let mut launches = Vec::new();
        for (range, _, _) in self.walk.chunks(self.most) {
            let padded = range.end.next_multiple_of(self.walk.least_chunk()) - range.start;
            let vec4s = range.len().div_ceil(4);
            // Enough bytes in flight for a kernel of few streams on a large GPU.
            let each = if self.gpu.is_software() { 1 } else { 4 };
            let text = text(&touches, value, vec4s, padded / 4, each);
            let bound = touches.iter().map(|touch| {
                let at = |i: usize| touch.first + i * touch.width;
                let end = if touch.width == 1 { range.end } else { range.start + padded };
                touch.vector.binding(at(range.start)..at(end))
            });
            let writes = touches.iter().any(|touch| !touch.writes.is_empty());
            let spare = (!writes).then(|| elsewhere.binding(0..ALIGNMENT));
            let entries: Vec<_> = (0..)
                .zip(bound.chain(spare))
                .map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource })
                .collect();
            let gpu = &self.gpu;
            let pipeline =
                self.pipelines.entry(text).or_insert_with_key(|text| compile(gpu, text)).clone();
            let bind_group = gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("bare"),
                layout: &pipeline.get_bind_group_layout(0),
                entries: &entries,
            });
            let groups = vec4s.div_ceil(LANES * each);
            let x = groups.min(MOST_GROUPS);
            let groups = [x as u32, groups.div_ceil(x) as u32, 1];
            launches.push(Launch { pipeline, bind_group, groups });
        }
        Work { launches }
    }
}

/// WGSL of a kernel over so many vec4s of each vector, `each` an invocation; those of
/// one buffer lie `stride` apart.
fn text(touches: &[Touch], value: Value, vec4s: usize, stride: usize, each: usize) -> String {
    let mut text = String::new();
    for storage in [Storage::F16, Storage::Bf16] {
        if touches.iter().any(|touch| touch.vector.storage() == storage) {
            text += &packing(storage);
        }
    }
    let mut declare = |i: usize, access: &str, storage: Storage| {
        let four = if storage.is_narrow() { "vec2<u32>" } else { "vec4<f32>" };
        let _ =
            writeln!(text, "@group(0) @binding({i}) var<storage, {access}> x{i}: array<{four}>;");
    };
    for (i, touch) in touches.iter().enumerate() {
        let access = if touch.writes.is_empty() { "read" } else { "read_write" };
        declare(i, access, touch.vector.storage());
    }
    let element = |i: usize, part: usize| match part {
        0 => format!("x{i}[i]"),
        part => format!("x{i}[i + {}u]", part * stride),
    };
    // What is stored narrow is unpacked and packed here too.
    let packed = |direction: &str, storage: Storage, value: String| match storage {
        Storage::F32 => value,
        storage => format!("{direction}_{storage}({value})"),
    };
    let (mut reads, mut puts) = (Vec::new(), String::new());
    for (i, touch) in touches.iter().enumerate() {
        let storage = touch.vector.storage();
        reads.extend(touch.reads.iter().map(|&part| packed("from", storage, element(i, part))));
        for &part in &touch.writes {
            let _ = write!(puts, "{} = {}; ", element(i, part), packed("to", storage, "s".into()));
        }
    }
    let made = reads.into_iter().reduce(|a, b| match value {
        Value::Largest | Value::Bounded => format!("max({a}, {b})"),
        Value::Sum => format!("{a} + {b}"),
    });
    let made = made.unwrap_or_else(|| "vec4<f32>(1.0)".into());
    let made = match value {
        Value::Bounded => format!("min({made}, vec4<f32>(2.0))"),
        Value::Largest | Value::Sum => made,
    };
    let body = if puts.is_empty() {
        declare(touches.len(), "read_write", Storage::F32);
        // A kernel that only reads must keep what it read: no value is this one.
        let spare = touches.len();
        format!("let s = {made}; if all(s == vec4<f32>(123.0)) {{ x{spare}[0] = s; }}")
    } else {
        format!("let s = {made}; {puts}")
    };
    let _ = write!(
        text,
        "@compute @workgroup_size({LANES})
        fn main(
            @builtin(workgroup_id) workgroup: vec3<u32>,
            @builtin(num_workgroups) grid: vec3<u32>,
            @builtin(local_invocation_index) lane: u32,
        ) {{
            let first = (workgroup.y * grid.x + workgroup.x) * {}u + lane;",
        LANES * each
    );
    for part in 0..each {
        let _ =
            write!(text, "\n{{ let i = first + {}u; if i < {vec4s}u {{ {body} }} }}", part * LANES);
    }
    text + "\n}"
}

/// A kernel that is its text alone, with the bindings that this names.
pub(crate) fn compile(gpu: &Gpu, text: &str) -> wgpu::ComputePipeline {
    let module = gpu.device().create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("bare"),
        source: wgpu::ShaderSource::Wgsl(text.into()),
    });
    gpu.device().create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("bare"),
        layout: None,
        module: &module,
        entry_point: None,
        compilation_options: Default::default(),
        cache: None,
    })
}
