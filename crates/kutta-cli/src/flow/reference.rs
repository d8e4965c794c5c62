//! The same in f64 on the CPU, by the textbook's formulas.

use std::error::Error;

use kutta::ingredients::History;
use kutta::reference::textbook;
use kutta::tableau::Stages;
use kutta::{Method, Plan};

use super::progress::Progress;
use super::rows::{Row, Table};
use super::{Flow, Options};

/// # Errors
/// A method whose number of stages somebody else must choose.
pub fn check(method: &Method) -> Result<(), String> {
    match method {
        Method::Stabilised(stabilised) if !matches!(stabilised.stages(), Stages::Fixed(_)) => {
            Err(format!("--reference chooses no stages: {method}:stages=8"))
        }
        _ => Ok(()),
    }
}

/// # Errors
/// An attempt that leads nowhere, or no first step. The rows before it are written.
pub fn run(
    options: &Options,
    flow: &Flow,
    mut progress: Progress<'_>,
    table: &mut Table,
) -> Result<(), Box<dyn Error>> {
    let Flow { problem, ingredients, .. } = flow;
    let plan = Plan::with_ingredients(&flow.method, ingredients, Default::default())?;
    let theta: Vec<f64> = flow.start.iter().map(|&x| f64::from(x)).collect();
    let mut trainer = textbook::Trainer::new(flow.method.tableau(), *ingredients, &theta);
    let mut gradient = |_: usize, x: &[f64]| problem.gradient(x);
    let row = |h, accepted, error: f64, theta: &[f64]| Row {
        h,
        accepted,
        loss: problem.loss(theta),
        grad_norm: problem.gradient(theta).iter().map(|g| g * g).sum::<f64>().sqrt(),
        error,
        theta: theta.to_vec(),
    };
    table.put(&row(0.0, true, 0.0, &theta));
    // The device's constant h is an f32, so the oracle takes that very number.
    let at = |n: u64| options.step_size.as_ref().map(|step_size| step_size.at(n));
    let mut h = at(0).unwrap_or_else(|| trainer.first_step(&mut gradient));
    if ingredients.rule.is_none() && !(h > 0.0 && h.is_finite()) {
        let words = "no first step was found: it came out as";
        return Err(format!("{words} {h:?}; give one by --step-size, or another --theta0").into());
    }
    let (mut time, mut accepted, mut history) = (0.0, 0, History::default());
    let end = options.t_end.unwrap_or(f64::INFINITY);
    for attempt in 0u64.. {
        // Less than this is left of rounding alone.
        let over = end - time <= 1e-9 * h && end - time <= 1e-9 * end;
        if over || options.steps == Some(attempt) || table.is_closed() {
            break;
        }
        if ingredients.rule.is_some() {
            h = trainer.choose(problem.loss(trainer.theta()), &mut gradient).0;
        } else if ingredients.adaptive.is_none() {
            h = at(accepted).unwrap_or(h);
        }
        let now = h.min(end - time);
        let before = trainer.clone();
        let error = trainer.attempt(now, &mut gradient)?;
        // As the device judges: what is not finite never reaches θ.
        let finite = trainer.theta().iter().all(|x| x.is_finite());
        let fine = error <= 1.0 && finite;
        if !finite {
            trainer = before;
        }
        let row = row(now, fine, error, trainer.theta());
        table.put(&row);
        if fine {
            time += now;
            accepted += 1;
        }
        progress.take(&row, time)?;
        if let Some(adaptive) = &ingredients.adaptive {
            h = now * adaptive.factor(plan.error_order(), error, &mut history);
        }
    }
    Ok(())
}
