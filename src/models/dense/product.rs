//! The matrix products of a dense layer, all three in one form:
//! out\[p, q\] = Σ_t left\[t, p\] · right\[t, q\], t outermost in both operands.
//!
//! | product | t | p | q | left | right |
//! |---|---|---|---|---|---|
//! | forward | input feature | output feature | sample | W | x by feature |
//! | input gradient | output feature | input feature | sample | Wᵀ | dz by feature |
//! | weight gradient | sample | input feature | output feature | x by sample | dz by sample |
//!
//! So activations and their gradients are kept twice, by feature and by
//! sample; whoever computes them writes both, for a fraction of what a
//! product costs. Rows are padded to whole vec4 ([`quads`]). On a software adapter W is
//! packed and transposed by kernels of its own; the forms for GPUs read it as it lies, and
//! leave weight gradients as partial sums.

use super::form::{Choice, Form};
use super::kernels::behind;
use super::options::Activation;
use super::product_kernels::*;
use crate::codes::wgsl;
use crate::device::kernel::{Access, Constants, Formats, Kernel, flag, wgsl_struct};
use crate::device::library::shader;
#[cfg(test)]
use crate::device::matrix::Unit;
use crate::device::traversal::fold;
use crate::device::{Gpu, Pipeline};
#[cfg(test)]
use crate::source::{Check, check_constants};

/// Layers whose partial sums one dispatch adds up.
pub const MOST_LAYERS: usize = 16;

wgsl_struct! {
    /// The place of a layer's partial sums, and the place where their sums go;
    /// `shaders/dense_gradient.wgsl` says what is what.
    pub struct LayerSums {
        pub rows: u32,
        pub columns: u32,
        pub first: u32,
        pub chunk_stride: u32,
        pub chunks: u32,
        pub parts: u32,
        pub weight: u32,
        pub bias: u32,
        pub group: u32,
        pub unused0: u32,
        pub unused1: u32,
        pub unused2: u32,
    }
}

wgsl_struct! {
    /// The way that the partial sums of several layers take.
    pub struct GradientSums {
        pub layers: u32,
        pub losses: u32,
        pub place: u32,
        pub slot: u32,
        pub layer: [LayerSums; MOST_LAYERS],
    }
}

/// vec4 that hold n elements.
pub const fn quads(n: usize) -> usize {
    n.div_ceil(4)
}

/// The kind of a layer's product, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Adds the bias, applies the activation, keeps its slope.
    Forward(Option<Activation>),
    /// Multiplies with the slope of the layer's input, if that came out of an activation.
    InputGradient { sloped: bool },
    /// Straight into the gradient, of a layer whose outputs are a multiple of 4.
    WeightGradient,
    /// The weight gradient of any other layer.
    WeightGradientRagged,
    /// Partial sums of the weights' gradient and the bias's.
    WeightPartials,
}

/// Extents of a product, and where its elements lie; strides in vec4 except
/// where [`Kind::WeightGradientRagged`] writes single elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub steps: usize,
    pub rows: usize,
    pub columns: usize,
    pub left_stride: usize,
    pub right_stride: usize,
    pub row_stride: usize,
    pub column_stride: usize,
    /// Elements that are written, of a chunk.
    pub outputs: usize,
}

impl Shape {
    /// a = f(W x + b) for `samples` samples.
    pub fn forward(inputs: usize, outputs: usize, samples: usize) -> Self {
        Self {
            steps: inputs,
            rows: outputs,
            columns: samples,
            left_stride: quads(outputs),
            right_stride: quads(samples),
            row_stride: quads(samples),
            column_stride: quads(outputs),
            outputs: 3 * outputs * samples,
        }
    }

    /// dx = Wᵀ dz.
    pub fn input_gradient(inputs: usize, outputs: usize, samples: usize) -> Self {
        Self {
            steps: outputs,
            rows: inputs,
            columns: samples,
            left_stride: quads(inputs),
            right_stride: quads(samples),
            row_stride: quads(samples),
            column_stride: quads(inputs),
            outputs: 2 * inputs * samples,
        }
    }

    /// dW = xᵀ dz.
    pub fn weight_gradient(inputs: usize, outputs: usize, samples: usize) -> Self {
        let whole = outputs.is_multiple_of(4);
        Self {
            steps: samples,
            rows: inputs,
            columns: outputs,
            left_stride: quads(inputs),
            right_stride: quads(outputs),
            row_stride: if whole { outputs / 4 } else { outputs },
            column_stride: 0,
            outputs: (inputs + 1) * 4 * quads(outputs),
        }
    }

    /// Makes a product whose left operand is W itself, of so many outputs.
    pub fn of_weights(self, outputs: usize) -> Self {
        let whole = outputs.is_multiple_of(4);
        Self { left_stride: if whole { outputs / 4 } else { outputs }, ..self }
    }

    /// dW as partial sums, rows padded to whole vec4.
    pub fn weight_partials(inputs: usize, outputs: usize, samples: usize) -> Self {
        let row_stride = quads(outputs);
        Self { row_stride, ..Self::weight_gradient(inputs, outputs, samples) }
    }

    /// The uniform of this product and the workgroups it takes.
    pub fn tiled(&self, choice: Choice) -> (Product, [u32; 3]) {
        let (tile_rows, tile_columns, tiles_per_group) = choice.form.tile();
        let across = self.columns.div_ceil(tile_columns);
        let tiles = self.rows.div_ceil(tile_rows) * across;
        let product = Product {
            steps: self.steps as u32,
            rows: self.rows as u32,
            columns: self.columns as u32,
            left_stride: self.left_stride as u32,
            right_stride: self.right_stride as u32,
            tiles_across: across as u32,
            tiles: tiles as u32,
            row_stride: self.row_stride as u32,
            column_stride: self.column_stride as u32,
            chunks: choice.chunks as u32,
            chunk_steps: choice.chunk_steps as u32,
            output_first: 0,
            chunk_stride: ((self.rows + 1) * self.row_stride) as u32,
            ..Product::default()
        };
        (product, fold((tiles * choice.chunks).div_ceil(tiles_per_group)))
    }
}

impl Kind {
    /// `whole`: W's rows are whole vec4.
    pub fn pipeline(self, gpu: &Gpu, form: Form, whole: bool) -> Pipeline {
        gpu.pipeline(&self.kernel(form, whole), &self.constants(form))
    }

    /// Gives the pipeline of a product that writes a gradient stored so, behind so many
    /// vec4s of its binding.
    pub fn pipeline_into(self, gpu: &Gpu, formats: &Formats, first: usize) -> Pipeline {
        gpu.variant(&self.kernel(Form::Register, true), formats, &behind(first))
    }

    fn constants(self, form: Form) -> Constants {
        let mut constants = match self {
            Kind::Forward(activation) => {
                let code = f64::from(Activation::code(activation));
                vec![("ACTIVATION", code), ("OMEGA", f64::from(Activation::omega(activation)))]
            }
            Kind::InputGradient { sloped } => vec![("SLOPED", flag(sloped))],
            _ => vec![],
        };
        match form {
            Form::Matrix(_, rows) => constants.push(("ROWS", rows as f64)),
            _ => constants.extend(form.side().map(|side| ("SIDE", side as f64))),
        }
        if form != Form::Register {
            match self {
                Kind::InputGradient { .. } => constants.push(("TURNED", 1.0)),
                Kind::WeightPartials => constants.push(("RIDES", 1.0)),
                _ => {}
            }
        }
        constants
    }

    pub fn kernel(self, form: Form, whole: bool) -> Kernel {
        use Form::{Matrix, Register, Sliced, Workgroup};
        match (self, form, whole) {
            (Kind::Forward(_), Register, _) => FORWARD_REGISTER,
            (Kind::Forward(_), Sliced(_), true) => FORWARD_SLICED,
            (Kind::Forward(_), Sliced(_), false) => FORWARD_SLICED_ELEMENTS,
            (Kind::Forward(_), Workgroup(_), true) => FORWARD_WORKGROUP,
            (Kind::Forward(_), Workgroup(_), false) => FORWARD_WORKGROUP_ELEMENTS,
            (Kind::Forward(_), Matrix(unit, _), whole) => forward_by_unit(unit, whole),
            (Kind::InputGradient { .. }, Register, _) => INPUT_REGISTER,
            (Kind::InputGradient { .. }, Sliced(_), true) => INPUT_SLICED,
            (Kind::InputGradient { .. }, Sliced(_), false) => INPUT_SLICED_ELEMENTS,
            (Kind::InputGradient { .. }, Workgroup(_), true) => INPUT_WORKGROUP,
            (Kind::InputGradient { .. }, Workgroup(_), false) => INPUT_WORKGROUP_ELEMENTS,
            (Kind::InputGradient { .. }, Matrix(unit, _), whole) => input_by_unit(unit, whole),
            (Kind::WeightGradient, ..) => WEIGHT_REGISTER,
            (Kind::WeightGradientRagged, ..) => RAGGED_REGISTER,
            (Kind::WeightPartials, Workgroup(_), _) => PARTIALS_WORKGROUP,
            (Kind::WeightPartials, Matrix(unit, _), _) => partials_by_unit(unit),
            (Kind::WeightPartials, ..) => PARTIALS_SLICED,
        }
    }
}

/// Partial sums of several layers added up, and the mean loss.
pub const GRADIENT: Kernel = Kernel {
    name: "dense_gradient",
    text: shader!("dense_gradient", numbers: wgsl!(MOST = MOST_LAYERS as u32)),
    bindings: &[
        ("shape", Access::Uniform),
        ("rows", Access::Read),
        ("row_loss", Access::Read),
        ("partials", Access::Read),
        ("gradient", Access::Write),
        ("loss", Access::Write),
        ("samples", Access::Write),
        ("checks", Access::Write),
    ],
    vectors: &["gradient"],
    structs: &[GradientSums::LAYOUT, LayerSums::LAYOUT],
};

/// Kernels of this file with the override sets they are used with.
#[cfg(test)]
pub fn kernels() -> Vec<(Kernel, Vec<Constants>)> {
    use Activation::{Gelu, Relu, Sine, Tanh};
    let sine = Sine { omega: 30.0 };
    let forward = [None, Some(Relu), Some(Tanh), Some(Gelu), Some(sine)].map(Kind::Forward);
    let input = [true, false].map(|sloped| Kind::InputGradient { sloped });
    let mut all = vec![
        (WEIGHT_REGISTER, [0, 16].map(behind).to_vec()),
        (RAGGED_REGISTER, vec![vec![]]),
        (GRADIENT, [None, Some(Check { norm: true, squares: true })].map(check_constants).to_vec()),
    ];
    let mut add = |kinds: &[Kind], forms: &[Form], whole| {
        let sets = kinds.iter().flat_map(|kind| forms.iter().map(|form| kind.constants(*form)));
        all.push((kinds[0].kernel(forms[0], whole), sets.collect()));
    };
    add(&forward, &[Form::Register], true);
    add(&input, &[Form::Register], true);
    for forms in [[2, 4, 8].map(Form::Sliced), [4, 8, 16].map(Form::Workgroup)] {
        add(&[Kind::WeightPartials], &forms, true);
        for whole in [true, false] {
            add(&forward, &forms, whole);
            add(&input, &forms, whole);
        }
    }
    for unit in [Unit::Half, Unit::Full, Unit::Emulated] {
        let forms = Form::of_unit(unit);
        add(&[Kind::WeightPartials], forms, true);
        for whole in [true, false] {
            add(&forward, forms, whole);
            add(&input, forms, whole);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_ragged_shapes() {
        let (product, groups) =
            Shape::forward(784, 10, 65).tiled(Choice::whole(Form::Register, 784));
        assert_eq!((product.tiles_across, product.tiles, groups), (5, 5, [1, 1, 1]));
        let (product, groups) =
            Shape::weight_gradient(784, 128, 64).tiled(Choice::whole(Form::Workgroup(8), 64));
        assert_eq!((product.tiles_across, product.tiles, groups), (2, 26, [26, 1, 1]));
    }
}
