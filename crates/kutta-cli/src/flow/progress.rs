//! The proof that a run ends: attempts that lead nowhere are errors, with numbers and
//! what to do.

use kutta::ingredients::Rule;

use super::rows::Row;
use super::{Flow, Options};

/// Refused attempts in a row that are enough.
const MOST: u32 = 100;

/// Watches a run.
pub struct Progress<'a> {
    options: &'a Options,
    flow: &'a Flow,
    time: f64,
    attempts: u64,
    refused: u32,
}

impl<'a> Progress<'a> {
    pub fn new(options: &'a Options, flow: &'a Flow) -> Self {
        Self { options, flow, time: 0.0, attempts: 0, refused: 0 }
    }

    /// Takes in an attempt that led to a row and to a time.
    ///
    /// # Errors
    /// A hundred refused attempts in a row; or an accepted one that moved nothing, where a
    /// time is to be reached or the error chooses h.
    pub fn take(&mut self, row: &Row, time: f64) -> Result<(), String> {
        self.attempts += 1;
        if !row.accepted {
            self.refused += 1;
            return if self.refused < MOST { Ok(()) } else { Err(self.refusals(row)) };
        }
        self.refused = 0;
        let stands = row.h == 0.0 || time == self.time;
        let matters = self.options.t_end.is_some() || self.options.adaptive.is_some();
        if stands && matters {
            return Err(self.standstill(row));
        }
        self.time = time;
        Ok(())
    }

    fn refusals(&self, row: &Row) -> String {
        let Row { h, loss, grad_norm, error, .. } = row;
        let rule = self.flow.ingredients.rule;
        let (error, advice) = if !(loss.is_finite() && grad_norm.is_finite()) {
            let advice = match self.time > 0.0 {
                true => format!("the steps before overflowed: {}", smaller(rule)),
                false => "L or ∇L is no finite number there: begin nearer, by --theta0".into(),
            };
            (String::new(), advice)
        } else if *grad_norm == 0.0 {
            (String::new(), "∇L is zero there: begin elsewhere, by --theta0".into())
        } else if self.options.adaptive.is_some() {
            let found = format!(" and an error of {error:?} times the tolerance");
            let advice = match error.is_finite() {
                true => "raise rtol or atol, or take a smaller first h by --step-size",
                false => "take a smaller first h by --step-size",
            };
            (found, advice.into())
        } else {
            (String::new(), smaller(rule))
        };
        format!(
            "{MOST} attempts in a row got nowhere at t = {:?}, from L = {loss:?}, the last with \
             h = {h:?}{error}; {advice}",
            self.time
        )
    }

    fn standstill(&self, row: &Row) -> String {
        let goal = match self.options.t_end {
            Some(t_end) => format!(", and --t-end {t_end} is out of reach"),
            None => String::new(),
        };
        let schedule = self.options.step_size.as_ref().is_some_and(|h| !h.is_constant());
        let advice = match (self.flow.ingredients.rule, self.options.adaptive.is_some()) {
            (Some(_), _) => {
                "the rule gives no longer one here: begin elsewhere, by --theta0, or \
                             take another --step-size"
            }
            (None, true) => "give --step-size a first h, and atol more than 0",
            (None, false) if schedule => {
                "the schedule gets no further: let it fall more slowly, let it end in a constant, \
                 or ask for an earlier time"
            }
            (None, false) => "take a larger --step-size, or ask for an earlier time",
        };
        format!(
            "the step of h = {:?} at t = {:?}, attempt {}, moves nothing{goal}; {advice}",
            row.h, self.time, self.attempts
        )
    }
}

/// How a step size gets smaller.
fn smaller(rule: Option<Rule>) -> String {
    match rule {
        Some(Rule::Polyak { h_max }) => format!("bound h below {h_max}: polyak:h-max=…"),
        Some(Rule::Dal { h_max, .. }) => format!("bound h: dal:h-max=…, below {h_max}"),
        Some(Rule::Stable { h_max, .. }) => format!("bound h: stable:h-max=…, below {h_max}"),
        Some(Rule::RescaledDal { c, .. }) => format!("take a c below {c}: rescaled-dal:c=…"),
        Some(Rule::SgdG2 { h, .. }) => format!("begin with h below {h}: sgd-g2:h=…"),
        _ => "take a smaller --step-size".into(),
    }
}
