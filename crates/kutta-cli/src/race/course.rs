//! A problem, those who try it, and how each of them fares.

use kutta::{Error, Ingredients, Method, Optimizer, StepSize, Verdict};

use kutta_cli::{output, standstill};

/// What ends a setting before its time.
pub type Fault = Box<dyn std::error::Error>;

/// A method with the settings it is tried with, likely ones first.
pub struct Contender {
    pub name: String,
    pub settings: Vec<Setting>,
}

#[derive(Clone)]
pub struct Setting {
    pub name: String,
    pub method: Method,
    pub ingredients: Ingredients,
    /// Estimated where there is none, which only adaptive steps can do without.
    pub step_size: Option<StepSize>,
}

/// Gradients so far, and the loss there.
pub type Point = (u64, f64);

pub trait Course {
    fn contenders(&self) -> Vec<Contender>;
    /// The loss to reach.
    fn target(&self) -> f64;
    /// Gradients of one setting, at most.
    fn most(&self) -> u64;
    fn build(&self, setting: &Setting) -> Result<Optimizer, Error>;
    /// Some attempts, of which the first comes after `spent` gradients: losses on
    /// the way, and the gradients spent in the end.
    fn run(&mut self, optimizer: &mut Optimizer, spent: u64) -> Result<(Vec<Point>, u64), Fault>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Reached,
    NotReached,
    /// Another setting of the method had been faster.
    Slower,
    Diverged,
    /// By an error, which was said.
    Failed,
}

impl End {
    pub fn name(self) -> &'static str {
        match self {
            Self::Reached => "reached",
            Self::NotReached => "not reached",
            Self::Slower => "slower",
            Self::Diverged => "diverged",
            Self::Failed => "failed",
        }
    }
}

pub struct Outcome {
    pub setting: String,
    pub end: End,
    pub reached: Option<u64>,
    pub spent: u64,
    /// In the end.
    pub loss: f64,
    pub curve: Vec<Point>,
}

impl Outcome {
    pub fn said(&self) -> String {
        match self.end {
            End::Reached => self.setting.clone(),
            end => format!("{} ({} after {})", self.setting, end.name(), self.spent),
        }
    }
}

/// All settings of a contender.
pub struct Best {
    pub name: String,
    pub outcomes: Vec<Outcome>,
    winner: usize,
}

impl Best {
    pub fn winner(&self) -> &Outcome {
        &self.outcomes[self.winner]
    }
}

/// Losses this many times the first are those of a run that has left.
const FAR: f64 = 1e3;

/// One setting, until it has reached the loss, or has taken `most` gradients. What ends it
/// early is said: the others go on.
fn try_one(course: &mut impl Course, setting: &Setting, most: u64) -> Outcome {
    let (mut curve, mut spent): (Vec<Point>, _) = (Vec::new(), 0);
    let outcome = |end, reached, spent, curve: Vec<Point>| {
        let loss = curve.last().map_or(f64::NAN, |point| point.1);
        Outcome { setting: setting.name.clone(), end, reached, spent, loss, curve }
    };
    let failed = |error: Fault, spent, curve| {
        output::fault(format_args!("{}, {}: {error}", setting.method, setting.name));
        outcome(End::Failed, None, spent, curve)
    };
    let mut optimizer = match course.build(setting) {
        Ok(optimizer) => optimizer,
        Err(error) => return failed(error.into(), spent, curve),
    };
    loop {
        let (points, now) = match course.run(&mut optimizer, spent) {
            Ok((points, now)) if now > spent => (points, now),
            Ok(_) => return failed("attempts took no gradients".into(), spent, curve),
            Err(error) => return failed(error, spent, curve),
        };
        for (count, loss) in points {
            curve.push((count, loss));
            if loss <= course.target() {
                return outcome(End::Reached, Some(count), count, curve);
            }
            if loss.is_nan() || loss > FAR * curve[0].1 {
                return outcome(End::Diverged, None, count, curve);
            }
        }
        spent = now;
        if spent >= most {
            let end = if most < course.most() { End::Slower } else { End::NotReached };
            return outcome(end, None, spent, curve);
        }
    }
}

/// Tries one setting after the other, each no longer than the best so far took.
pub fn best(course: &mut impl Course, contender: Contender) -> Best {
    let mut outcomes: Vec<Outcome> = Vec::new();
    let mut most = course.most();
    for setting in &contender.settings {
        let outcome = try_one(course, setting, most);
        most = outcome.reached.unwrap_or(most).min(most);
        outcomes.push(outcome);
    }
    let rank =
        |o: &Outcome| (o.reached.unwrap_or(u64::MAX), matches!(o.end, End::Diverged | End::Failed));
    let order = |a: &Outcome, b: &Outcome| rank(a).cmp(&rank(b)).then(a.loss.total_cmp(&b.loss));
    let winner = (0..outcomes.len()).min_by(|&i, &j| order(&outcomes[i], &outcomes[j]));
    Best { name: contender.name, winner: winner.unwrap_or_default(), outcomes }
}

/// The losses that reports tell of, each with the gradients spent before.
///
/// # Errors
/// Steps that move nothing.
pub fn reported(optimizer: &mut Optimizer, mut spent: u64) -> Result<(Vec<Point>, u64), Fault> {
    let mut points = Vec::new();
    let reports = optimizer.reports();
    standstill::check(&reports)?;
    for report in reports {
        let whole = report.verdict == Verdict::Accepted || report.verdict == Verdict::Refused;
        let loss = report.loss.map_or(f64::NAN, f64::from);
        points.push((spent, if whole { loss } else { f64::NAN }));
        spent = report.evaluations;
    }
    Ok((points, spent))
}

/// About so many points, first and last among them, evenly spread by their place.
pub fn thinned(curve: &[Point], most: usize) -> Vec<Point> {
    let count = curve.len().min(most);
    (0..count).map(|i| curve[i * (curve.len() - 1) / count.saturating_sub(1).max(1)]).collect()
}
