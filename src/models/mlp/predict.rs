//! What a gradient is predicted to take.

use super::MlpBuilder;
use super::gather::GATHER_BYTES;
use crate::error::Error;
use crate::layout::ParamLayout;
use crate::models::dense::tail_form::LARGE_GPU_BYTES;
use crate::models::dense::{check_widths, layers, predict};
use crate::models::{ModelError, PredictedDispatch, Prediction};

/// Samples of a batch that are told apart in one dispatch.
const MOST_SAMPLES: usize = 65_535 << 6;

impl MlpBuilder {
    /// Predicts, without a device, what the dispatches of a gradient take on a large GPU, of
    /// batches of so many samples whose inputs are bytes.
    ///
    /// # Errors
    /// Widths that make no network; no samples; layers that
    /// [`Products::Fused`](crate::models::Products::Fused) cannot do;
    /// [`Products::Register`](crate::models::Products::Register), which is for software adapters.
    pub fn predicted(&self, batch: usize) -> Result<Prediction, Error> {
        self.predicted_within(batch, LARGE_GPU_BYTES)
    }

    /// The same on a GPU with so much workgroup memory.
    pub(in crate::models) fn predicted_within(
        &self,
        batch: usize,
        bytes: u32,
    ) -> Result<Prediction, Error> {
        let Self { widths, activation, loss, products } = self;
        check_widths(widths, *activation)?;
        if batch == 0 || batch > MOST_SAMPLES {
            return Err(ModelError::Rows { rows: batch, most: MOST_SAMPLES }.into());
        }
        let layout = layers(ParamLayout::builder(), widths, *activation).build()?;
        let method = predict::method(*products, widths)?;
        let need = predict::training(widths, *activation, method, false, bytes);
        // A byte is read, and written by feature and by sample.
        let time = predict::READS + predict::gathered(9 * batch * widths[0]);
        let gather = PredictedDispatch::new(GATHER_BYTES.name, String::new(), time);
        let draw = vec![predict::batch_rows(), gather];
        let sizes = (layout.parameters(), layout.len());
        Ok(Prediction::new(draw, predict::gradient(need, *loss, batch), sizes))
    }
}
