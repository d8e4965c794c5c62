//! The options of a field.

use super::encode::Encoder;
use super::encoding::Encoding;
use super::points::{Batch, Surroundings, schedule};
use super::{NeuralField, Points, Target};
use crate::device::Gpu;
use crate::device::vector::Vector;
use crate::error::Error;
use crate::layout::{Init, ParamLayout};
use crate::models::dense::{
    Activation, Loss, Method, Network, Products, check_binding, check_widths, layers, storage,
};
use crate::models::{BindCache, ModelError};

/// The bound of a hash grid's entries, uniform at the beginning, after Müller et al.
const ENTRY_BOUND: f32 = 1e-4;

/// Builds a [`NeuralField`].
#[derive(Clone, Debug)]
#[must_use]
pub struct FieldBuilder {
    pub(super) encoding: Encoding,
    hidden: Vec<usize>,
    pub(super) activation: Activation,
    pub(super) points: Points,
    pub(super) products: Products,
    seed: u64,
}

impl FieldBuilder {
    pub(super) fn new(encoding: Encoding) -> Self {
        Self {
            encoding,
            hidden: vec![64, 64],
            activation: Activation::default(),
            points: Points::default(),
            products: Products::default(),
            seed: 0,
        }
    }

    /// Widths of the hidden layers; two of 64 unless told otherwise.
    pub fn hidden(self, widths: &[usize]) -> Self {
        Self { hidden: widths.into(), ..self }
    }

    /// The function between layers; ReLU unless told otherwise.
    pub fn activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    /// Chooses where the rows of a batch lie; 4,096 texels unless told otherwise.
    pub fn points(self, points: Points) -> Self {
        Self { points, ..self }
    }

    /// Chooses how matrix products are computed; by the kind of adapter unless told otherwise.
    pub fn products(self, products: Products) -> Self {
        Self { products, ..self }
    }

    /// Equal seeds draw equal batches; 0 unless told otherwise.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Uploads the target and makes the field.
    ///
    /// # Errors
    /// Sizes of the encoding that no kernel can do; a hidden layer of no width; an ω that
    /// is no frequency; layers that [`Products::Fused`] cannot do; [`Products::Matrix`] on a device without; a batch of none, or of more
    /// texels than there are; anything too large for one binding of this device, with both
    /// numbers.
    pub fn build(self, gpu: &Gpu, target: &Target) -> Result<NeuralField, Error> {
        gpu.check_limits("the field", 0)?;
        let Shape { widths, layout, first, rows } = self.shape(target)?;
        let Self { encoding, activation, points, products, seed, .. } = self;
        let dimensions = target.dimensions();
        let grid = layout.tensors()[..first].last().map_or(0, |tensor| tensor.range().end);
        check_binding(gpu, "a hash grid", Vector::bytes(grid))?;
        let (method, note) = Method::choose(products, gpu)?;
        let network = Network {
            gpu: gpu.clone(),
            widths,
            activation,
            loss: Loss::MeanSquare,
            method,
            note,
            layout,
            first,
            trained_inputs: first > 0,
        };
        network.check_room(rows, true)?;
        let anywhere = matches!(points, Points::Anywhere(_));
        let texel_bytes = 4 * target.values().len() as u64;
        let mut needs = vec![("texels of a target", texel_bytes)];
        needs.extend(Batch::buffers(rows, target.channels(), anywhere));
        for (what, bytes) in needs {
            check_binding(gpu, what, bytes)?;
        }
        let texels = storage(gpu, "texels of a target", texel_bytes)?;
        gpu.upload(&texels, bytemuck::cast_slice(target.values()))?;
        let surroundings =
            Surroundings { extent: target.extent().into(), channels: target.channels(), texels };
        let encoder = Encoder::new(gpu, encoding, dimensions, &network.layout)?;
        let batch = Batch::new(&network, rows, true, anywhere)?;
        Ok(NeuralField {
            schedule: schedule(points, target.texels(), rows, seed),
            network,
            encoding,
            encoder,
            surroundings,
            points,
            seed,
            batch,
            evaluation: None,
            drawn: None,
            dispatches: None,
            cache: BindCache::default(),
        })
    }

    /// What follows from the options and the target, without a device.
    pub(super) fn shape(&self, target: &Target) -> Result<Shape, Error> {
        let Self { encoding, hidden, activation, points, .. } = self;
        let dimensions = target.dimensions();
        encoding.check()?;
        let mut widths = vec![encoding.features(dimensions)];
        widths.extend(hidden);
        widths.push(target.channels());
        check_widths(&widths, *activation)?;
        let rows = points.rows(target.texels())?;

        let mut layout = ParamLayout::builder();
        let mut first = 0;
        if let Encoding::HashGrid(grid) = encoding {
            for (level, shape) in grid.levels(dimensions)?.into_iter().enumerate() {
                let shape = [shape.entries as usize, grid.features as usize];
                let init = Init::Uniform { bound: ENTRY_BOUND };
                layout = layout.tensor(format!("grid.level{level}"), &shape, init);
                first += 1;
            }
        }
        let layout = layers(layout, &widths, *activation).build()?;
        Ok(Shape { widths, layout, first, rows })
    }
}

/// The sizes of a field.
pub(super) struct Shape {
    /// From the encoding's features to the channels.
    pub widths: Vec<usize>,
    pub layout: ParamLayout,
    /// Tensors before those of the layers.
    pub first: usize,
    /// Rows of a batch.
    pub rows: usize,
}

impl Points {
    /// Rows of a batch over this many texels.
    fn rows(self, texels: usize) -> Result<usize, ModelError> {
        // So that rows times corners of a cell stay far below 2³¹.
        // A workgroup does 256 rows, and there are 65,535 of them.
        const MOST: usize = 65_535 << 8;
        let (rows, most) = match self {
            Points::Texels(rows) => (rows, texels.min(MOST)),
            Points::Anywhere(rows) => (rows, MOST),
            Points::All => (texels, MOST),
        };
        if rows == 0 || rows > most {
            return Err(ModelError::Rows { rows, most });
        }
        Ok(rows)
    }
}
