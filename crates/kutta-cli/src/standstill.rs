//! Steps that are accepted and move nothing.

use kutta::{Report, Verdict};

/// # Errors
/// An accepted attempt of h = 0: a run of such steps would look like a training and be
/// none.
pub fn check<'r>(reports: impl IntoIterator<Item = &'r Report>) -> Result<(), String> {
    let stands = |report: &&Report| report.verdict == Verdict::Accepted && report.h == 0.0;
    match reports.into_iter().find(stands) {
        None => Ok(()),
        Some(Report { attempt, time, .. }) => Err(format!(
            "attempt {attempt} at t = {time:e} was a step of h = 0, which moves nothing; give \
             --step-size a first h, or --adaptive an atol above 0"
        )),
    }
}

#[cfg(test)]
mod tests {
    use kutta::models::Analytic;
    use kutta::reference::Problem;
    use kutta::{Gpu, Method, Optimizer, StepSize};

    use super::*;

    #[test]
    fn an_accepted_step_of_nothing_is_an_error_and_a_refused_one_is_none() {
        let gpu = Gpu::new().unwrap();
        let mut source = Analytic::new(&gpu, &Problem::Quartic, 8).unwrap();
        let mut optimizer = Optimizer::builder(Method::rk4())
            .step_size(StepSize::constant(0.1))
            .build(&gpu, source.layout(), &[0.5; 8])
            .unwrap();
        optimizer.run(&mut source, 3).unwrap();
        optimizer.wait().unwrap();
        let mut reports = optimizer.reports();
        assert_eq!((reports.len(), check(&reports)), (3, Ok(())));
        reports[1].h = 0.0;
        let error = check(&reports).unwrap_err();
        let time = format!("attempt 1 at t = {:e} ", reports[1].time);
        assert!(error.contains(&time) && error.contains("--step-size"), "{error}");
        reports[1].verdict = Verdict::Refused;
        assert_eq!(check(&reports), Ok(()));
    }
}
