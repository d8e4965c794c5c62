//! Problems with a formula, on the device: their own twin in f64 is
//! [`reference::Problem`](crate::reference::Problem).

use super::ModelError;
use crate::codes::problem;
use crate::device::kernel::{Access, Constants, Kernel, flag, wgsl_struct};
use crate::device::library::shader;
use crate::device::traversal::{Chunk, Traversal};
use crate::device::vector::Vector;
use crate::device::{Gpu, Pipeline};
use crate::error::Error;
use crate::format::Storage;
use crate::layout::ParamLayout;
use crate::models::{BindCache, written};
use crate::reference::Problem;
use crate::source::{self, BatchesFrom, Check, Evaluation, GradientSource, SourceError};

wgsl_struct! {
    struct AddLoss {
        count: u32,
        unused_0: u32,
        unused_1: u32,
        unused_2: u32,
    }
}

const GRADIENT: Kernel = Kernel {
    name: "analytic",
    text: shader!("analytic"),
    bindings: &[
        ("chunk", Access::Uniform),
        ("theta", Access::Read),
        ("gradient", Access::Write),
        ("eigenvalues", Access::Read),
        ("sums", Access::Write),
        ("checks", Access::Write),
    ],
    vectors: &["gradient"],
    structs: &[Chunk::LAYOUT],
};

const ADD_LOSS: Kernel = Kernel {
    name: "add_loss",
    text: shader!("add_loss"),
    bindings: &[("add", Access::Uniform), ("sums", Access::Read), ("loss", Access::Write)],
    vectors: &[],
    structs: &[AddLoss::LAYOUT],
};

/// Kernels of this file with the override sets they are used with.
#[cfg(test)]
pub(crate) fn kernels() -> Vec<(Kernel, Vec<Constants>)> {
    let gradients = [true, false]
        .into_iter()
        .flat_map(|software| {
            [false, true].into_iter().flat_map(move |adds| {
                let walk = Traversal::new(2, software);
                let checks = [None, Some(Check { norm: true, squares: adds })];
                let sets = (0..5).zip(checks.into_iter().cycle());
                sets.map(move |(problem, check)| gradient_constants(problem, adds, check, &walk))
            })
        })
        .collect();
    vec![(GRADIENT, gradients), (ADD_LOSS, vec![vec![]])]
}

fn gradient_constants(
    problem: u32,
    adds: bool,
    check: Option<Check>,
    walk: &Traversal,
) -> Constants {
    let mut constants = walk.sum_constants();
    constants.extend(source::check_constants(check));
    constants.extend([("PROBLEM", f64::from(problem)), ("ADDS", flag(adds))]);
    constants
}

fn number(given: &Problem) -> u32 {
    match given {
        Problem::Quadratic { .. } => problem::QUADRATIC,
        Problem::Rosenbrock => problem::ROSENBROCK,
        Problem::Quartic => problem::QUARTIC,
        Problem::Himmelblau => problem::HIMMELBLAU,
        Problem::Beale => problem::BEALE,
    }
}

/// A [`Problem`] as a gradient source on the device.
///
/// ```no_run
/// use kutta::{Gpu, models::Analytic, reference::Problem};
/// let gpu = Gpu::new()?;
/// let quadratic = Analytic::new(&gpu, &Problem::quadratic(&[1.0, 100.0])?, 2)?;
/// assert_eq!(quadratic.layout().len(), 2);
/// # Ok::<(), kutta::Error>(())
/// ```
#[derive(Debug)]
pub struct Analytic {
    gpu: Gpu,
    layout: ParamLayout,
    walk: Traversal,
    most: usize,
    problem: u32,
    add_loss: Pipeline,
    eigenvalues: Option<Vector>,
    uniforms: wgpu::Buffer,
    stride: u64,
    sums: wgpu::Buffer,
    cache: BindCache<Vec<(Pipeline, wgpu::BindGroup, u32)>>,
}

impl Analytic {
    /// The problem in n dimensions.
    ///
    /// # Errors
    /// A dimension the problem does not have, or a device too small.
    pub fn new(gpu: &Gpu, problem: &Problem, n: usize) -> Result<Self, Error> {
        problem.check_dimension(n)?;
        let layout = ParamLayout::flat(n)?;
        let walk = Traversal::new(n, gpu.is_software());
        gpu.check_limits("the problem", 4 * walk.least_chunk().max(walk.partials()) as u64)?;
        let eigenvalues = match problem {
            Problem::Quadratic { eigenvalues } => {
                let values: Vec<f32> = eigenvalues.iter().map(|&x| x as f32).collect();
                Some(Vector::from_slice(gpu, "eigenvalues", &values)?)
            }
            _ => None,
        };
        let most = gpu.binding_elements();

        use wgpu::BufferUsages as Usage;
        let stride = u64::from(gpu.limits().min_uniform_buffer_offset_alignment);
        let chunks: Vec<Chunk> = walk.chunks(most).map(|(_, chunk, _)| chunk).collect();
        let size = (chunks.len() as u64 + 1) * stride;
        let uniforms = gpu.buffer("chunks", size, Usage::UNIFORM | Usage::COPY_DST)?;
        let add = AddLoss { count: walk.partials() as u32, ..AddLoss::default() };
        let mut bytes = vec![0; size as usize];
        let mut put = |slot: usize, value: &[u8]| {
            let offset = slot * stride as usize;
            bytes[offset..offset + value.len()].copy_from_slice(value);
        };
        put(0, bytemuck::bytes_of(&add));
        for (i, chunk) in chunks.iter().enumerate() {
            put(i + 1, bytemuck::bytes_of(chunk));
        }
        gpu.upload(&uniforms, &bytes)?;
        Ok(Self {
            gpu: gpu.clone(),
            problem: number(problem),
            add_loss: gpu.pipeline(&ADD_LOSS, &vec![]),
            sums: gpu.buffer("partial losses", 4 * walk.partials() as u64, Usage::STORAGE)?,
            cache: BindCache::default(),
            layout,
            walk,
            most,
            eigenvalues,
            uniforms,
            stride,
        })
    }

    /// Rosenbrock's function in n dimensions, n even.
    ///
    /// # Errors
    /// As [`Analytic::new`].
    pub fn rosenbrock(gpu: &Gpu, n: usize) -> Result<Self, Error> {
        Self::new(gpu, &Problem::Rosenbrock, n)
    }

    /// Names the problem's coordinates by the tensors of another layout, which
    /// parameter groups want.
    ///
    /// ```
    /// use kutta::{Gpu, Init, ParamLayout, models::Analytic, reference::Problem};
    /// let gpu = Gpu::new()?;
    /// let layout = ParamLayout::builder()
    ///     .tensor("body", &[64], Init::Zeros)
    ///     .tensor("head", &[6], Init::Zeros)
    ///     .build()?;
    /// let quartic = Analytic::new(&gpu, &Problem::Quartic, 70)?.with_layout(&layout)?;
    /// assert_eq!(quartic.layout().tensors().len(), 2);
    /// # Ok::<(), kutta::Error>(())
    /// ```
    ///
    /// # Errors
    /// A layout of another length; one with padding between tensors for a problem whose
    /// gradient is not zero at zero, for it would move the padding.
    pub fn with_layout(self, layout: &ParamLayout) -> Result<Self, Error> {
        layout.check_len(self.layout.len())?;
        let still = matches!(self.problem, problem::QUADRATIC | problem::QUARTIC);
        if !still && layout.parameters() != layout.len() {
            return Err(ModelError::Padded.into());
        }
        Ok(Self { layout: layout.clone(), ..self })
    }

    /// One tensor `theta`, unless [`Analytic::with_layout`] gave others.
    pub fn layout(&self) -> &ParamLayout {
        &self.layout
    }
}

impl GradientSource for Analytic {
    fn batches(&self) -> BatchesFrom {
        BatchesFrom::One
    }

    fn adds(&self) -> bool {
        true
    }

    fn writes(&self, _: Storage) -> bool {
        true
    }

    fn checks(&self) -> u32 {
        self.walk.partials() as u32
    }

    fn gpu(&self) -> Option<&Gpu> {
        Some(&self.gpu)
    }

    fn layout(&self) -> Option<&ParamLayout> {
        Some(&self.layout)
    }

    fn keeps_padding(&self) -> bool {
        true
    }

    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        let n = self.layout.len();
        if at.point().len() != n {
            return Err(format!("{} parameters for a problem of {n}", at.point().len()).into());
        }
        let Self {
            problem, walk, most, add_loss, eigenvalues, uniforms, stride, sums, cache, ..
        } = self;
        let uniform = |slot: u64| {
            wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: uniforms,
                offset: slot * *stride,
                size: wgpu::BufferSize::new(16),
            })
        };
        let recorded = cache.get(at.key(), || {
            let walk = if at.storage().is_narrow() { walk.for_halves() } else { *walk };
            let constants = gradient_constants(*problem, at.adds(), at.check(), &walk);
            let gradient = at.gpu().variant(&GRADIENT, &written(at.gradient()), &constants);
            let mut recorded = Vec::new();
            for (slot, (range, _, groups)) in (1..).zip(walk.chunks(*most)) {
                // Problems without eigenvalues bind θ once more and never read it.
                let lambda = eigenvalues.as_ref().unwrap_or(at.point());
                let resources = [
                    uniform(slot),
                    at.point().binding(range.clone()),
                    at.gradient().binding(range.clone()),
                    lambda.binding(range),
                    sums.as_entire_binding(),
                    at.checks().as_entire_binding(),
                ];
                recorded.push((gradient.clone(), gradient.bind(at.gpu(), &resources), groups));
            }
            let resources = [uniform(0), sums.as_entire_binding(), at.loss().as_entire_binding()];
            recorded.push((add_loss.clone(), add_loss.bind(at.gpu(), &resources), 1));
            recorded
        });
        for (pipeline, bind_group, groups) in recorded {
            at.commands.dispatch(pipeline, bind_group, [*groups, 1, 1]);
        }
        Ok(())
    }
}
