//! The attempts on the device, θ read back after each.

use std::error::Error;

use kutta::models::Analytic;
use kutta::{Gpu, Optimizer, Verdict};

use super::progress::Progress;
use super::rows::{Row, Table};
use super::{Flow, Options};
use kutta_cli::notice::Notice;

/// # Errors
/// Of the device; or an attempt that leads nowhere. The rows before it are written.
pub fn run(
    options: &Options,
    flow: &Flow,
    mut progress: Progress<'_>,
    table: &mut Table,
) -> Result<(), Box<dyn Error>> {
    let mut notice = Some(Notice::of_kernels());
    let gpu = Gpu::new()?;
    let start = &flow.start;
    let mut source = Analytic::new(&gpu, &flow.problem, start.len())?;
    let mut optimizer =
        flow.builder(options).source(&source).build(&gpu, source.layout(), start)?;
    if let Some(t_end) = options.t_end {
        optimizer.set_end(Some(t_end))?;
    }
    // A measurement gives L and ‖∇L‖ at the θ that the attempt before it left.
    let look = |optimizer: &mut Optimizer, source: &mut Analytic, row: &mut Row| {
        let here = optimizer.measure(source)?;
        row.loss = here.loss.map_or(f64::NAN, f64::from);
        row.grad_norm = here.grad_norm.map_or(f64::NAN, f64::from);
        row.theta = optimizer.params().read()?.into_iter().map(f64::from).collect();
        Ok::<_, kutta::Error>(())
    };
    let theta = Vec::new();
    let mut row = Row { h: 0.0, accepted: true, loss: 0.0, grad_norm: 0.0, error: 0.0, theta };
    look(&mut optimizer, &mut source, &mut row)?;
    table.put(&row);
    for attempt in 0u64.. {
        if options.steps == Some(attempt) || table.is_closed() {
            break;
        }
        optimizer.step(&mut source)?;
        let ended = optimizer.wait();
        // At the end of time an attempt is a no-op and reports nothing.
        let Some(report) = optimizer.reports().pop() else {
            ended?;
            break;
        };
        notice = None;
        (row.h, row.accepted) = (f64::from(report.h), report.verdict == Verdict::Accepted);
        row.error = report.error.map_or(0.0, f64::from);
        if ended.is_ok() {
            look(&mut optimizer, &mut source, &mut row)?;
        }
        // An attempt that ends the run was refused: θ is what it was.
        table.put(&row);
        ended?;
        progress.take(&row, optimizer.time())?;
    }
    drop(notice);
    Ok(())
}
