//! Properties of random optimizers: the device agrees with the oracle, whatever is fused
//! or cut into chunks agrees with what is not, and whatever resumes makes the bits of what
//! ran through.

#[path = "common/cases.rs"]
mod cases;
mod common;

use cases::Case;
use common::{gpu, relative};
use kutta::checkpoint::Checkpoint;
use kutta::{Fusion, Optimizer, Report, Verdict};
use proptest::prelude::*;

/// Enough for a suite; `PROPTEST_CASES` asks for more.
fn few(cases: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(cases),
        failure_persistence: None,
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    }
}

const ATTEMPTS: u64 = 6;

fn trained(case: &Case) -> (Vec<f32>, Vec<Report>) {
    let mut optimizer = case.build();
    optimizer.run(&mut case.source(), ATTEMPTS).unwrap();
    optimizer.wait().unwrap();
    (optimizer.params().read().unwrap(), optimizer.reports())
}

fn wide(theta: &[f32]) -> Vec<f64> {
    theta.iter().map(|&x| f64::from(x)).collect()
}

/// The textbook's θ with the device's own h and verdicts; those must be its own, unless
/// an error is so near to the limit that rounding decides, or beyond the range of f32.
fn book(case: &Case, reports: &[Report]) -> Result<Vec<f64>, TestCaseError> {
    let (theta, errors) = case.book(&wide(&case.start()), reports);
    for (report, error) in reports.iter().zip(errors) {
        let accepted = report.verdict == Verdict::Accepted;
        if let Some(own) = report.error.filter(|_| case.ingredients.adaptive.is_some()) {
            let decided = own.is_finite() && (error - 1.0).abs() >= 1e-3;
            let agrees = accepted == (error <= 1.0) || !decided;
            prop_assert!(agrees, "the error is {}: {:?}", error, report);
        } else {
            prop_assert!(accepted, "{:?}", report);
        }
    }
    Ok(theta)
}

proptest! {
    #![proptest_config(few(24))]

    #[test]
    fn the_device_is_the_oracle(case in cases::case()) {
        let (theta, reports) = trained(&case);
        prop_assert_eq!(reports.len() as u64, ATTEMPTS);
        let error = relative(&theta, &book(&case, &reports)?);
        prop_assert!(error <= 1e-5, "off by {:e}", error);
        let layout = case.layout();
        for (i, x) in theta.iter().enumerate() {
            prop_assert!(layout.locate(i).is_some() || x.to_bits() == 0, "padding at {}", i);
        }
    }
}

proptest! {
    #![proptest_config(few(16))]

    #[test]
    fn fused_is_unfused_and_chunks_change_no_bit(case in cases::case()) {
        let (theta, _) = trained(&case);
        let with = |fusion, chunk| trained(&Case { fusion, chunk, ..case.clone() });
        let (whole, _) = with(case.fusion, usize::MAX);
        prop_assert!(whole == theta, "chunks of {} elements change bits", case.chunk);
        for fusion in [Fusion::None, Fusion::Stage, Fusion::Full] {
            let (other, others) = with(fusion, case.chunk);
            // Where an error is rounding, so is the h that follows from it: each form goes
            // its own way then, and must go it right.
            let own = book(&case, &others)?;
            let expected = match case.ingredients.adaptive {
                None => wide(&theta),
                Some(_) => own,
            };
            let error = relative(&other, &expected);
            prop_assert!(error <= 1e-5, "{:?} is off by {:e}", fusion, error);
        }
    }
}

fn bytes(optimizer: &mut Optimizer) -> Vec<u8> {
    optimizer.snapshot().unwrap().to_bytes().unwrap()
}

proptest! {
    #![proptest_config(few(20))]

    #[test]
    fn resuming_makes_the_bits_of_one_that_ran_through(
        case in cases::any_case(), n in 1u64..40, m in 1u64..20,
    ) {
        let Ok(mut straight) = case.builder().build(gpu(), &case.layout(), &case.start()) else {
            // Some methods have no form with some rule: no state to keep.
            return Ok(());
        };
        straight.run(&mut case.source(), n).unwrap();
        let file = bytes(&mut straight);
        straight.run(&mut case.source(), m).unwrap();
        let mut resumed = Checkpoint::from_bytes(file).unwrap().resume(gpu()).unwrap();
        resumed.run(&mut case.source(), m).unwrap();
        let [straight, resumed] = [&mut straight, &mut resumed].map(bytes);
        if straight != resumed {
            let [a, b] = [straight, resumed].map(|file| Checkpoint::from_bytes(file).unwrap());
            prop_assert!(false, "they differ in {:?}", a.tensors_differing(&b));
        }
    }
}
