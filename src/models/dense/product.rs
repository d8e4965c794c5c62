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
//! product costs. Rows are padded to whole vec4 ([`quads`]).

use super::kernels::behind;
use super::options::{Activation, Products};
use crate::gpu::kernel::{Access, Constants, Formats, Kernel, wgsl_struct};
use crate::gpu::traversal::fold;
use crate::gpu::{Gpu, Pipeline};

const PRODUCT_WGSL: &str = include_str!("../../../shaders/shared/product.wgsl");
const REGISTER_WGSL: &str = include_str!("../../../shaders/shared/product_register.wgsl");
const WORKGROUP_WGSL: &str = include_str!("../../../shaders/shared/product_workgroup.wgsl");
/// `kutta_sin` and `kutta_cos`.
pub const SINE_WGSL: &str = include_str!("../../../shaders/shared/sine.wgsl");
const ACTIVATION_WGSL: &str = include_str!("../../../shaders/shared/activation.wgsl");
const FORWARD_WGSL: &str = include_str!("../../../shaders/dense_forward.wgsl");
const INPUT_WGSL: &str = include_str!("../../../shaders/dense_input_gradient.wgsl");
const WEIGHT_WGSL: &str = include_str!("../../../shaders/dense_weight_gradient.wgsl");
const RAGGED_WGSL: &str = include_str!("../../../shaders/dense_weight_gradient_ragged.wgsl");

wgsl_struct! {
    /// Shape of one product; `shaders/shared/product.wgsl` has its twin.
    pub struct Product {
        pub steps: u32,
        pub rows: u32,
        pub columns: u32,
        pub left_stride: u32,
        pub right_stride: u32,
        pub tiles_across: u32,
        pub tiles: u32,
        pub row_stride: u32,
        pub column_stride: u32,
    }
}

/// vec4 that hold n elements.
pub const fn quads(n: usize) -> usize {
    n.div_ceil(4)
}

/// Which product of a layer, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Adds the bias, applies the activation, keeps its slope.
    Forward(Option<Activation>),
    /// Multiplies with the slope of the layer's input, if that came out of an activation.
    InputGradient { sloped: bool },
    /// Of a layer whose outputs are a multiple of 4.
    WeightGradient,
    /// Of any other layer.
    WeightGradientRagged,
}

/// How a product is computed, on one adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Register,
    Workgroup,
}

impl Method {
    pub fn choose(products: Products, gpu: &Gpu) -> Self {
        match products {
            Products::Register => Method::Register,
            Products::Workgroup => Method::Workgroup,
            Products::Auto if gpu.is_software() => Method::Register,
            Products::Auto => Method::Workgroup,
        }
    }

    /// Rows and columns of a tile, and tiles computed by one workgroup.
    fn tile(self) -> (usize, usize, usize) {
        match self {
            Method::Register => (32, 16, 8),
            Method::Workgroup => (64, 64, 1),
        }
    }
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
        }
    }

    /// The uniform of this product and the workgroups it takes.
    pub fn tiled(&self, method: Method) -> (Product, [u32; 3]) {
        let (tile_rows, tile_columns, tiles_per_group) = method.tile();
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
        };
        (product, fold(tiles.div_ceil(tiles_per_group)))
    }
}

impl Kind {
    pub fn pipeline(self, gpu: &Gpu, method: Method) -> Pipeline {
        gpu.pipeline(&self.kernel(method), &self.constants())
    }

    /// Of a product that writes a gradient stored so, behind so many vec4s of its binding.
    pub fn pipeline_into(
        self,
        gpu: &Gpu,
        method: Method,
        formats: &Formats,
        first: usize,
    ) -> Pipeline {
        gpu.variant(&self.kernel(method), formats, &behind(first))
    }

    fn constants(self) -> Constants {
        match self {
            Kind::Forward(activation) => {
                let code = f64::from(Activation::code(activation));
                vec![("ACTIVATION", code), ("OMEGA", f64::from(Activation::omega(activation)))]
            }
            Kind::InputGradient { sloped } => vec![("SLOPED", f64::from(u8::from(sloped)))],
            _ => vec![],
        }
    }

    fn kernel(self, method: Method) -> Kernel {
        use Method::{Register, Workgroup};
        match (self, method) {
            (Kind::Forward(_), Register) => FORWARD_REGISTER,
            (Kind::Forward(_), Workgroup) => FORWARD_WORKGROUP,
            (Kind::InputGradient { .. }, Register) => INPUT_REGISTER,
            (Kind::InputGradient { .. }, Workgroup) => INPUT_WORKGROUP,
            (Kind::WeightGradient, Register) => WEIGHT_REGISTER,
            (Kind::WeightGradient, Workgroup) => WEIGHT_WORKGROUP,
            (Kind::WeightGradientRagged, Register) => RAGGED_REGISTER,
            (Kind::WeightGradientRagged, Workgroup) => RAGGED_WORKGROUP,
        }
    }
}

const fn kernel(
    name: &'static str,
    text: &'static [&'static str],
    bindings: &'static [(&'static str, Access)],
) -> Kernel {
    Kernel { name, text, bindings, vectors: &[], structs: &[Product::LAYOUT] }
}

/// A kernel that writes gradients in any storage.
const fn any_storage(kernel: Kernel) -> Kernel {
    Kernel { vectors: &["gradient"], ..kernel }
}

const FORWARD_BINDINGS: &[(&str, Access)] = &[
    ("product", Access::Uniform),
    ("left", Access::Read),
    ("right", Access::Read),
    ("bias", Access::Read),
    ("by_feature", Access::Write),
    ("by_sample", Access::Write),
    ("slope", Access::Write),
];
const INPUT_BINDINGS: &[(&str, Access)] = &[
    ("product", Access::Uniform),
    ("left", Access::Read),
    ("right", Access::Read),
    ("slope", Access::Read),
    ("by_feature", Access::Write),
    ("by_sample", Access::Write),
];
const WEIGHT_BINDINGS: &[(&str, Access)] = &[
    ("product", Access::Uniform),
    ("left", Access::Read),
    ("right", Access::Read),
    ("gradient", Access::Write),
];

/// Forward product in registers.
pub const FORWARD_REGISTER: Kernel = kernel(
    "dense_forward.register",
    &[PRODUCT_WGSL, SINE_WGSL, ACTIVATION_WGSL, FORWARD_WGSL, REGISTER_WGSL],
    FORWARD_BINDINGS,
);
/// Forward product through workgroup memory.
pub const FORWARD_WORKGROUP: Kernel = kernel(
    "dense_forward.workgroup",
    &[PRODUCT_WGSL, SINE_WGSL, ACTIVATION_WGSL, FORWARD_WGSL, WORKGROUP_WGSL],
    FORWARD_BINDINGS,
);
/// Input gradient in registers.
pub const INPUT_REGISTER: Kernel = kernel(
    "dense_input_gradient.register",
    &[PRODUCT_WGSL, INPUT_WGSL, REGISTER_WGSL],
    INPUT_BINDINGS,
);
/// Input gradient through workgroup memory.
pub const INPUT_WORKGROUP: Kernel = kernel(
    "dense_input_gradient.workgroup",
    &[PRODUCT_WGSL, INPUT_WGSL, WORKGROUP_WGSL],
    INPUT_BINDINGS,
);
/// Weight gradient in registers.
pub const WEIGHT_REGISTER: Kernel = any_storage(kernel(
    "dense_weight_gradient.register",
    &[PRODUCT_WGSL, WEIGHT_WGSL, REGISTER_WGSL],
    WEIGHT_BINDINGS,
));
/// Weight gradient through workgroup memory.
pub const WEIGHT_WORKGROUP: Kernel = any_storage(kernel(
    "dense_weight_gradient.workgroup",
    &[PRODUCT_WGSL, WEIGHT_WGSL, WORKGROUP_WGSL],
    WEIGHT_BINDINGS,
));
/// Weight gradient of any width, in registers.
pub const RAGGED_REGISTER: Kernel = kernel(
    "dense_weight_gradient_ragged.register",
    &[PRODUCT_WGSL, RAGGED_WGSL, REGISTER_WGSL],
    WEIGHT_BINDINGS,
);
/// Weight gradient of any width, through workgroup memory.
pub const RAGGED_WORKGROUP: Kernel = kernel(
    "dense_weight_gradient_ragged.workgroup",
    &[PRODUCT_WGSL, RAGGED_WGSL, WORKGROUP_WGSL],
    WEIGHT_BINDINGS,
);

/// Kernels of this file with the override sets they are used with.
#[cfg(test)]
pub fn kernels() -> Vec<(Kernel, Vec<Constants>)> {
    use Activation::{Gelu, Relu, Sine, Tanh};
    let sine = Sine { omega: 30.0 };
    let forward: Vec<Constants> = [None, Some(Relu), Some(Tanh), Some(Gelu), Some(sine)]
        .map(|activation| Kind::Forward(activation).constants())
        .to_vec();
    let mut all = Vec::new();
    for method in [Method::Register, Method::Workgroup] {
        all.push((Kind::Forward(None).kernel(method), forward.clone()));
        let input = [true, false].map(|sloped| Kind::InputGradient { sloped });
        all.push((input[0].kernel(method), input.map(Kind::constants).to_vec()));
        all.push((Kind::WeightGradient.kernel(method), [0, 16].map(behind).to_vec()));
        all.push((Kind::WeightGradientRagged.kernel(method), vec![vec![]]));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_ragged_shapes() {
        let (product, groups) = Shape::forward(784, 10, 65).tiled(Method::Register);
        assert_eq!((product.tiles_across, product.tiles, groups), (5, 5, [1, 1, 1]));
        let (product, groups) = Shape::weight_gradient(784, 128, 64).tiled(Method::Workgroup);
        assert_eq!((product.tiles_across, product.tiles, groups), (2, 26, [26, 1, 1]));
    }
}
