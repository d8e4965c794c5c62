//! One case: driven on the device, and computed again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use kutta::{Gpu, Report, Verdict};

use crate::drive::{self, FAILS, Trace};
use crate::oracle::{Choice, Fed, Oracle, Seen, Shaking, Told};
use crate::recipe::{Case, Factor as F};
use crate::setup::Source;

#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub attempts: usize,
    pub refused: usize,
    /// How far θ was off, relative to max(1, ‖θ‖), and in units of what was allowed.
    pub error: f64,
    pub off: f64,
    /// It took many oracles to judge it.
    pub doubtful: bool,
    /// The attempt from which roundings alone may carry θ further than any bound may be.
    pub silent: Option<u64>,
    /// Reported numbers of which that is so, and all that were looked at.
    pub mute: usize,
    pub numbers: usize,
}

/// How many times as far off as the furthest of the shaken oracles, whose numbers are rounded
/// as a device's are, a device may be.
const SPREAD: f64 = 4.0;
/// How many those are. A device is one more drawing: were deviations normal, one number in 250
/// would be off by more than 4 times the furthest of 4, and one in 2·10⁷ by more than 4 times
/// the furthest of 24. The former is a doubt and no fault: with few a case is let off, and
/// what they doubt is followed again with many.
const FEW: usize = 4;
const MANY: usize = 24;

/// No bound is wider, whatever its oracles make of it: θ within this, relative to
/// max(1, ‖θ‖); what is reported within this share of itself. Where roundings alone may
/// move it further, there is nothing to compare with.
const WIDEST: f64 = 1e-2;
const WIDEST_REPORT: f64 = 0.1;
/// Where θ may be off by this, nothing is in proportion to roundings any more, and what some
/// made of it says not how far others may go: what comes after is not compared.
const LOST: f64 = 0.1;

/// How many numbers were looked at, and of how many roundings make anything.
#[derive(Clone, Copy, Debug, Default)]
struct Looked {
    numbers: usize,
    mute: usize,
}

/// What narrow storages may be off by at most, relative to max(1, ‖θ‖).
fn base(case: &Case) -> f64 {
    match case.get(F::Stored) {
        "f32" => 1e-5,
        // Eight times as fine as bf16.
        "f32:gradients=f16" | "f16" => 1.25e-4,
        _ => 1e-3,
    }
}

/// What of a number the device may lack, from what shaken oracles make of it.
struct Band {
    value: f64,
    spread: f64,
}

impl Band {
    fn of(seen: &[Seen], what: impl Fn(&Seen) -> f64) -> Self {
        let value = what(&seen[0]);
        let off = seen[1..].iter().map(|s| (what(s) - value).abs());
        Self { value, spread: SPREAD * off.fold(0.0, f64::max) }
    }

    fn check(
        &self,
        looked: &mut Looked,
        name: &str,
        found: f64,
        [relative, absolute]: [f64; 2],
    ) -> Result<(), String> {
        let Self { value, spread } = *self;
        let allowed = spread + relative * value.abs() + absolute;
        let widest = relative.max(WIDEST_REPORT) * value.abs() + absolute;
        looked.numbers += 1;
        match within((found - value).abs(), allowed, widest) {
            Within::Bound => Ok(()),
            Within::Roundings => {
                looked.mute += 1;
                Ok(())
            }
            Within::Neither => {
                Err(format!("{name} is {found:e}, and {value:e} by the formulas (± {allowed:.1e})"))
            }
        }
    }
}

/// Where a deviation lies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Within {
    Bound,
    /// Beyond what a bound may be at most, and not beyond what roundings may do.
    Roundings,
    Neither,
}

fn within(off: f64, bound: f64, widest: f64) -> Within {
    // NaN is near nothing.
    match () {
        () if off <= bound.min(widest) => Within::Bound,
        () if off <= bound => Within::Roundings,
        () => Within::Neither,
    }
}

/// A device for so many cases: it keeps every pipeline that it was asked for.
const CASES_PER_DEVICE: u32 = 100;

fn device() -> Gpu {
    static DEVICE: Mutex<Option<(Gpu, u32)>> = Mutex::new(None);
    let mut device = DEVICE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (gpu, cases) = match device.take() {
        Some((gpu, cases)) if cases < CASES_PER_DEVICE => (gpu, cases + 1),
        _ => (Gpu::new().expect("the tests need an adapter"), 1),
    };
    *device = Some((gpu.clone(), cases));
    gpu
}

/// Runs a case; what is wrong with it, if something is.
pub fn check(case: &Case) -> Result<Outcome, String> {
    match catch_unwind(AssertUnwindSafe(|| compare(case))) {
        Ok(outcome) => outcome,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            Err(text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("panicked").to_owned())
        }
    }
}

fn compare(case: &Case) -> Result<Outcome, String> {
    let (gpu, layout) = (device(), case.layout());
    let mut sources = [0, 1].map(|which| case.source(&gpu, &layout, which));
    let mut outcome = Outcome::default();
    for trace in drive::drive(case, &gpu, &layout, &mut sources) {
        let mut of = follow(case, &layout, &sources, &trace, FEW);
        if !of.as_ref().is_ok_and(|of| of.silent.is_none()) {
            of = follow(case, &layout, &sources, &trace, MANY);
            outcome.doubtful = true;
        }
        outcome.take(of?);
    }
    Ok(outcome)
}

impl Outcome {
    /// Of another trace of the same case.
    fn take(&mut self, other: Self) {
        self.attempts += other.attempts;
        self.refused += other.refused;
        self.error = self.error.max(other.error);
        self.off = self.off.max(other.off);
        self.silent = self.silent.into_iter().chain(other.silent).min();
        self.mute += other.mute;
        self.numbers += other.numbers;
    }
}

fn follow(
    case: &Case,
    layout: &kutta::ParamLayout,
    sources: &[Source],
    trace: &Trace,
    shaken: usize,
) -> Result<Outcome, String> {
    let mut outcome = Outcome::default();
    let mut lost_from = None;
    let spec = case.spec(layout);
    let start: Vec<f64> = trace.start.iter().map(|&x| f64::from(x)).collect();
    // Every fourth takes rectifiers at their edge for beyond it.
    let shaking = |i: usize| Shaking::new(i as u64, if i.is_multiple_of(4) { 3e-6 } else { 0.0 });
    let mut oracles = vec![Oracle::new(&spec, &start, None)];
    oracles.extend((1..=shaken).map(|i| Oracle::new(&spec, &start, Some(shaking(i)))));
    for segment in &trace.segments {
        if segment.chosen {
            oracles.iter_mut().for_each(|oracle| oracle.choose(case.choice(true).1));
        }
        let fed = Fed { model: &*sources[segment.source].model, wrap: segment.wrap };
        for report in &segment.reports {
            let lost = lost(case, report)?;
            let told = Told {
                h: f64::from(report.h),
                accepted: report.verdict == Verdict::Accepted,
                stages: report.stages,
                radius: report.spectral_radius.map(f64::from),
                error: report.error.map(f64::from),
                end: segment.end,
                lost,
            };
            if lost_from.is_none() && SPREAD * spread(&oracles, |o| &o.theta) > LOST {
                lost_from = Some(report.attempt);
            }
            let seen: Vec<_> = oracles.iter_mut().map(|o| o.attempt(&fed, told)).collect();
            let judged = match lost.is_some() || lost_from.is_some() {
                true => placed(report, &seen),
                false => judge(case, report, &seen),
            };
            let looked = judged.map_err(|e| format!("attempt {}: {e}", report.attempt))?;
            outcome.numbers += looked.numbers;
            outcome.mute += looked.mute;
            outcome.attempts += 1;
            outcome.refused += usize::from(report.verdict == Verdict::Refused);
        }
    }
    // What was in encoders that were dropped was never made.
    if !case.is(F::Drive, &["dropped"]) && trace.asked != trace.reported {
        let Trace { asked, reported, .. } = trace;
        return Err(format!("{reported} gradients reported, {asked} asked of the source"));
    }
    near(case, "theta", &trace.theta, &oracles, |o| &o.theta, &mut outcome, lost_from)?;
    if let Some(average) = &trace.average {
        near(case, "the average", average, &oracles, |o| &o.average, &mut outcome, lost_from)?;
    }
    Ok(outcome)
}

/// Relative to max(1, ‖x‖) in the maximum norm.
fn apart(exact: &[f64], found: impl Iterator<Item = f64>) -> f64 {
    let size = exact.iter().fold(1.0, |m: f64, x| m.max(x.abs()));
    exact.iter().zip(found).map(|(x, y)| (y - x).abs()).fold(0.0, f64::max) / size
}

/// How far the furthest of shaken oracles is off.
fn spread(oracles: &[Oracle], what: fn(&Oracle) -> &Vec<f64>) -> f64 {
    let off = |o| apart(what(&oracles[0]), what(o).iter().copied());
    oracles[1..].iter().map(off).fold(0.0, f64::max)
}

/// The stage that failed in this attempt, with the verdict that belongs to that.
fn lost(case: &Case, report: &Report) -> Result<Option<u32>, String> {
    let Report { attempt, verdict, .. } = *report;
    let Some(stage) = case.fails().filter(|_| attempt == u64::from(FAILS)) else {
        return match verdict {
            Verdict::Skipped { .. } => {
                Err(format!("attempt {attempt} was skipped, with nothing that is not finite"))
            }
            _ => Ok(None),
        };
    };
    match verdict {
        Verdict::Skipped { stage: found } if found == stage => Ok(Some(stage)),
        Verdict::Refused if case.is_adaptive() && stage > 1 => Ok(Some(stage)),
        // The last gradient of the attempt before stood for the first; there was no second.
        Verdict::Accepted | Verdict::Refused if stage == 1 && case.has_one_batch() => Ok(None),
        Verdict::Accepted if report.stages < stage => Ok(None),
        _ => Err(format!("{verdict:?} with a stage {stage} that is not finite")),
    }
}

/// What was reported of an attempt against what should have been, whatever its gradients: no
/// matter of roundings.
fn placed(report: &Report, seen: &[Seen]) -> Result<Looked, String> {
    let exact = &seen[0];
    if report.batch != exact.batch {
        return Err(format!("its batch is {}, not {}", report.batch, exact.batch));
    }
    if (report.time - exact.time).abs() > 2e-6 * exact.time {
        return Err(format!("its time is {}, not {}", report.time, exact.time));
    }
    Ok(Looked::default())
}

/// What was reported of an attempt against what should have been.
fn judge(case: &Case, report: &Report, seen: &[Seen]) -> Result<Looked, String> {
    let mut looked = placed(report, seen)?;
    let exact = &seen[0];
    let base = base(case);
    let mut check = |name: &str, what: fn(&Seen) -> f64, found: f32, by: [f64; 2]| {
        Band::of(seen, what).check(&mut looked, name, f64::from(found), by)
    };
    check("h", |s| s.h, report.h, [1e-5, 0.0])?;
    if let Some(loss) = report.loss {
        // Where θ may be off by `base`, L may by ‖∇L‖₁ times that.
        let absolute = base * (0.1 + exact.norm * (exact.parameters as f64).sqrt());
        check("the loss", |s| s.loss, loss, [base, absolute])?;
    }
    if let Some(norm) = report.grad_norm.filter(|_| case.is(F::Decay, &["none", "weight"])) {
        // Of what was stored, at a θ that may be off by `base`.
        let by = match base == 1e-5 {
            true => [base, 1e-6],
            false => [10.0 * base, base * (exact.parameters as f64).sqrt()],
        };
        check("the norm", |s| s.norm, norm, by)?;
    }
    if let Some(curvature) = report.curvature {
        check("the curvature", |s| s.curvature, curvature, [1e-4, 0.0])?;
    }
    if let Some(error) = report.error {
        // A quarter of an ulp of θ's, in units of the tolerance.
        let Choice::Adaptive(by) = case.choice(false).1 else { return Err("an error".into()) };
        let ulp = 0.25 / f64::from(1 << 24) / by.atol;
        // Differences of narrow gradients are mostly rounding.
        let relative = if base == 1e-5 { 1e-4 } else { 50.0 * base };
        check("the error", |s| s.error, error, [relative, ulp])?;
        let accepted = report.verdict == Verdict::Accepted;
        if accepted != (error <= 1.0) {
            return Err(format!("{:?} with an error of {error}", report.verdict));
        }
    }
    // Across the edges of rectifiers differences of gradients are not curvature.
    let smooth = case.is_analytic() || case.is_own() || !case.is(F::Activation, &["relu"]);
    let radius = report.spectral_radius.filter(|_| smooth).map(f64::from);
    if let (Some(found), Some(rho)) = (radius, exact.radius) {
        // Twelve iterations come from below, and may not be there yet.
        if !(found > 0.5 * rho && found < 1.05 * rho) {
            return Err(format!("the spectral radius is {found}, and {rho} by the formulas"));
        }
    }
    Ok(looked)
}

fn near(
    case: &Case,
    name: &str,
    found: &[f32],
    oracles: &[Oracle],
    what: fn(&Oracle) -> &Vec<f64>,
    outcome: &mut Outcome,
    lost_from: Option<u64>,
) -> Result<(), String> {
    if found.iter().any(|x| !x.is_finite()) {
        return Err(format!("{name} is not finite"));
    }
    let allowed = f64::max(base(case), SPREAD * spread(oracles, what));
    let error = apart(what(&oracles[0]), found.iter().map(|&x| f64::from(x)));
    outcome.error = outcome.error.max(error);
    outcome.off = outcome.off.max(error / allowed);
    let from = lost_from.unwrap_or(outcome.attempts as u64);
    match within(error, allowed, WIDEST) {
        Within::Bound => Ok(()),
        Within::Neither if allowed <= LOST && lost_from.is_none() => {
            Err(format!("{name} is off by {error:.2e}, and may be by {allowed:.1e}"))
        }
        _ => {
            outcome.silent.get_or_insert(from);
            Ok(())
        }
    }
}
