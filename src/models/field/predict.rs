//! What a field's gradient is predicted to take.

use super::builder::Shape;
use super::encoding::Encoding;
use super::kernels::{GRADIENT, GRID, MAXIMUM, POINTS, SCATTER, WAVES};
use super::{FieldBuilder, Target};
use crate::error::Error;
use crate::models::dense::tail_form::LARGE_GPU_BYTES;
use crate::models::dense::{Loss, predict};
use crate::models::{PredictedDispatch, Prediction};

/// Microseconds of a feature of a corner of a cell at a level, of one row; and of the same in
/// the scatter, where rows meet. Fitted to the two grids of
/// `docs/results/training-products-h100.txt`, as the other numbers here.
const CORNER: f64 = 5.36e-6;
const SCATTERED: f64 = 2.56e-5;

impl FieldBuilder {
    /// Predicts, without a device, what the dispatches of a gradient take on a large GPU.
    ///
    /// # Errors
    /// As [`FieldBuilder::build`], as far as no device is needed; layers that
    /// [`Products::Fused`](crate::models::Products::Fused) cannot do;
    /// [`Products::Register`](crate::models::Products::Register), which is for software adapters.
    pub fn predicted(&self, target: &Target) -> Result<Prediction, Error> {
        self.predicted_within(target, LARGE_GPU_BYTES)
    }

    /// The same on a GPU with so much workgroup memory.
    pub(in crate::models) fn predicted_within(
        &self,
        target: &Target,
        bytes: u32,
    ) -> Result<Prediction, Error> {
        let Shape { widths, layout, first, rows } = self.shape(target)?;
        let dimensions = target.dimensions();
        let method = predict::method(self.products, &widths)?;
        let need = predict::training(&widths, self.activation, method, first > 0, bytes);
        let mut draw = vec![predict::batch_rows(), points(rows)];
        let mut gradient = Vec::new();
        let layers = predict::gradient(need, Loss::MeanSquare, rows);
        let sizes = (layout.parameters(), layout.len());
        let Encoding::HashGrid(grid) = self.encoding else {
            // By feature and by sample.
            let time = predict::READS + predict::moved(8 * rows * widths[0]);
            draw.push(PredictedDispatch::new(WAVES.name, String::new(), time));
            return Ok(Prediction::new(draw, layers, sizes));
        };
        let (levels, features) = (grid.levels as usize, grid.features as usize);
        let corners = (rows * levels * features) << dimensions;
        let form = |corners: usize| format!("{corners} features of corners");
        let dispatch = PredictedDispatch::new;
        let time = 2.25 + CORNER * corners as f64;
        gradient.push(dispatch(GRID.name, form(corners), time));
        gradient.extend(layers);
        let each = rows * features;
        gradient.push(dispatch(MAXIMUM.name, String::new(), 3.7 + 5.5e-5 * each as f64));
        let time = 13.3 + SCATTERED * corners as f64;
        gradient.push(dispatch(SCATTER.name, form(corners), time));
        let entries = layout.tensors()[..first].iter().map(|tensor| tensor.len()).sum::<usize>();
        gradient.push(dispatch(GRADIENT.name, String::new(), 2.4 + 2.2e-6 * entries as f64));
        Ok(Prediction::new(draw, gradient, sizes))
    }
}

fn points(rows: usize) -> PredictedDispatch {
    PredictedDispatch::new(POINTS.name, String::new(), 2.45 + predict::moved(16 * rows))
}
