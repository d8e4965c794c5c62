//! Loss and accuracy of a classifier or regressor on a data set.

use super::gather::gather;
use super::resident::Resident;
use super::{Mlp, check_data_widths};
use crate::device::vector::Vector;
use crate::device::waiting::Waiting;
use crate::error::Error;
use crate::models::dense::{Evaluated, Rows};

/// Samples that an evaluation puts through the network at a time.
const SAMPLES: usize = 1024;

impl Mlp {
    /// Loss and accuracy of `params` (for instance
    /// [`optimizer.params()`](crate::Optimizer::params)) on a data set. Waits
    /// for everything submitted before.
    ///
    /// # Errors
    /// Parameters of another length, data of other widths, a device that is
    /// lost or too small.
    pub fn evaluate<'a>(
        &mut self,
        params: impl Into<&'a Vector>,
        data: &Resident,
    ) -> Result<Evaluated, Error> {
        pollster::block_on(self.evaluate_with(params.into(), data, Waiting::Blocks))
    }

    /// Evaluates as [`Mlp::evaluate`] does, without blocking.
    ///
    /// # Errors
    /// As [`Mlp::evaluate`].
    pub async fn evaluate_async<'a>(
        &mut self,
        params: impl Into<&'a Vector>,
        data: &Resident,
    ) -> Result<Evaluated, Error> {
        self.evaluate_with(params.into(), data, Waiting::Yields).await
    }

    async fn evaluate_with(
        &mut self,
        params: &Vector,
        data: &Resident,
        waiting: Waiting,
    ) -> Result<Evaluated, Error> {
        self.network.check_params(params.len())?;
        check_data_widths(&self.network, data.width(), data.outputs(), data.dense)?;
        let samples = SAMPLES.min(data.len());
        let workspace = match self.evaluation.take() {
            Some(workspace) if workspace.samples == samples => workspace,
            _ => self.network.workspace(samples, false)?,
        };
        let rows = Rows { count: data.len(), targets: &data.targets, dense: data.dense };
        let evaluated =
            self.network.evaluate(params, rows, &workspace, waiting, |steps, schedule, control| {
                gather(steps, schedule, control, data);
            });
        let evaluated = evaluated.await;
        self.evaluation = Some(workspace);
        evaluated
    }
}
