//! The interface of `kutta flow` that other tools read.

use std::process::Output;

use super::command;

const ROSENBROCK: &[&str] = &["--problem", "rosenbrock", "--theta0", "-1.2,1.0"];

fn flow(problem: &[&str], options: &[&str]) -> Output {
    command("flow").args(problem).args(options).output().unwrap()
}

/// Header and rows of a CSV that must have been written.
fn rows(problem: &[&str], options: &[&str]) -> (String, Vec<Vec<String>>) {
    let output = flow(problem, options);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{options:?}: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines();
    let header = lines.next().unwrap().to_owned();
    (header, lines.map(|line| line.split(',').map(str::to_owned).collect()).collect())
}

fn column(rows: &[Vec<String>], i: usize) -> Vec<f64> {
    rows.iter().map(|row| row[i].parse().unwrap()).collect()
}

#[test]
fn one_row_for_the_start_and_one_for_each_attempt() {
    let (header, rows) = rows(ROSENBROCK, &["--step-size", "0.001", "--steps", "7"]);
    assert_eq!(header, "step,h,accepted,loss,grad_norm,error,theta_0,theta_1");
    assert_eq!(column(&rows, 0), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    assert_eq!(rows[0][1..3], ["0.0", "1"], "the start has no h");
    assert!(rows[1..].iter().all(|row| row[1..3] == ["0.001", "1"]));
    assert_eq!((column(&rows, 6)[0] as f32, column(&rows, 7)[0] as f32), (-1.2, 1.0));
    // L(−1.2, 1) = 24.2, and ‖∇L‖ = |(−215.6, −88)|.
    assert!((column(&rows, 3)[0] - 24.2).abs() < 1e-4, "{:?}", rows[0]);
    assert!((column(&rows, 4)[0] - 215.6f64.hypot(88.0)).abs() < 1e-2, "{:?}", rows[0]);
    for cell in rows.iter().flat_map(|row| row[1..2].iter().chain(&row[3..])) {
        let number: f32 = cell.parse().unwrap();
        assert_eq!(format!("{number:?}"), *cell, "reads back to the same f32");
    }
}

#[test]
fn a_time_is_reached_exactly_by_a_shorter_last_step() {
    for extra in [&[][..], &["--reference"]] {
        let options = [&["--step-size", "0.3", "--t-end", "1.0"], extra].concat();
        let (_, rows) = rows(&["--problem", "quadratic", "--eigenvalues", "1,2"], &options);
        let h = column(&rows, 1);
        assert_eq!(h.len(), 5);
        assert!((h[1..].iter().sum::<f64>() - 1.0).abs() < 1e-7, "{h:?}");
        assert!((h[4] - 0.1).abs() < 1e-6 && h[1..4].iter().all(|h| (h - 0.3).abs() < 1e-7));
    }
}

#[test]
fn device_and_reference_agree() {
    let problems: [&[&str]; 3] = [
        ROSENBROCK,
        &["--problem", "himmelblau", "--theta0", "0.5,0.5"],
        &["--problem", "quadratic", "--eigenvalues", "1,10,100", "--theta0", "1,-1,0.5"],
    ];
    for problem in problems {
        for extra in [
            &["--method", "heun"][..],
            &["--method", "rk4", "--preconditioner", "adagrad_rescaled"],
            &["--momentum", "heavy-ball:0.9", "--weight-decay", "0.01"],
            &["--method", "euler", "--preconditioner", "adam:eps=1e-6", "--momentum", "ema:0.9"],
        ] {
            let options = [&["--step-size", "0.001", "--steps", "50"], extra].concat();
            let (header, device) = rows(problem, &options);
            let (same, oracle) = rows(problem, &[&options[..], &["--reference"]].concat());
            assert_eq!((&header, device.len()), (&same, oracle.len()));
            for i in 6..header.split(',').count() {
                for (a, b) in column(&device, i).into_iter().zip(column(&oracle, i)) {
                    assert!((a - b).abs() < 1e-5 * b.abs().max(1.0), "{problem:?}: {a}, {b}");
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_is_refused_with_the_reason() {
    let length = ["--step-size", "0.1", "--steps", "3"];
    let faults: [(&[&str], &[&str], &str); 8] = [
        (ROSENBROCK, &["--preconditioner", "adamw", "--step-size=1", "--steps=1"], "amsgrad"),
        (ROSENBROCK, &["--weight-decay=-1", "--step-size=1", "--steps=1"], "-1"),
        (ROSENBROCK, &["--method", "rk5", "--step-size", "0.1", "--steps", "1"], "ssprk33"),
        (ROSENBROCK, &["--step-size=-0.1", "--steps", "1"], "-0.1"),
        (ROSENBROCK, &["--step-size", "0.1"], "--steps"),
        (ROSENBROCK, &["--step-size", "0.1", "--t-end", "-2"], "-2"),
        (&["--problem", "rosenbrock", "--theta0", "1,2,3"], &length, "3"),
        (&["--problem", "himmelblau", "--eigenvalues", "1,2"], &length, "quadratic"),
    ];
    for (problem, options, words) in faults {
        let output = flow(problem, options);
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{options:?} went through");
        assert!(message.contains(words), "{message:?} lacks {words:?}");
    }
}

/// What the device refuses, the reference refuses in the same words.
#[test]
fn device_and_reference_refuse_alike() {
    let h = ["--step-size", "0.001"];
    let adaptive = ["--method", "dp5", "--adaptive", "rtol=1e-3"];
    let schedule = ["--step-size", "cosine:from=1,to=0.1,steps=4", "--steps", "3"];
    let (time, steps) = (|t: &'static str| [h, ["--t-end", t]].concat(), ["--steps", "3"]);
    for (problem, options, words) in [
        (ROSENBROCK, time("-1"), "-1.0"),
        (ROSENBROCK, time("0"), "0.0"),
        (ROSENBROCK, time("NaN"), "NaN"),
        (ROSENBROCK, time("inf"), "inf"),
        (ROSENBROCK, time("-inf"), "-inf"),
        (ROSENBROCK, vec!["--step-size=1e-30", "--t-end=1e9"], "more than can be counted"),
        (&["--problem=rosenbrock", "--theta0=NaN,1"], [h, steps].concat(), "theta0"),
        (&["--problem=rosenbrock", "--theta0=1,-inf"], [h, steps].concat(), "-inf"),
        (ROSENBROCK, [&adaptive[..], &schedule].concat(), "schedule"),
    ] {
        let of = |extra: &[&str]| {
            let output = flow(problem, &[&options[..], extra].concat());
            assert_eq!(output.status.code(), Some(2), "{options:?} {extra:?}");
            assert!(output.stdout.is_empty(), "{options:?} {extra:?}");
            String::from_utf8(output.stderr).unwrap()
        };
        let (device, reference) = (of(&[]), of(&["--reference"]));
        assert!(device.contains(words), "{options:?}: {device:?} lacks {words:?}");
        assert_eq!(device, reference, "{options:?}");
    }
}

/// Rows and the error of a run that cannot reach its end.
fn ends(problem: &[&str], options: &[&str]) -> (Vec<Vec<String>>, String) {
    let output = flow(problem, options);
    assert_eq!(output.status.code(), Some(1), "{options:?}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let rows = text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect());
    (rows.collect(), String::from_utf8(output.stderr).unwrap())
}

/// Σ h of an exponential from 0.01, a tenth every five steps: 0.01/(1 − 10^(−1/5)).
#[test]
fn a_time_that_a_schedule_never_reaches_is_an_error() {
    let reach = 0.01 / (1.0 - 10f64.powf(-0.2));
    let schedule = ["--step-size", "exponential:h=0.01,rate=0.1,every=5", "--t-end", "100"];
    for extra in [&[][..], &["--reference"]] {
        let options = [&["--method", "euler"], &schedule[..], extra].concat();
        let (rows, said) = ends(&["--problem", "quadratic"], &options);
        let sum: f64 = column(&rows, 1).iter().sum();
        assert!((sum / reach - 1.0).abs() < 1e-6, "{sum}, not {reach}");
        assert!(rows.len() > 30, "{}", rows.len());
        for word in ["t = 0.027097", "--t-end 100", "schedule"] {
            assert!(said.contains(word), "{said:?} lacks {word:?}");
        }
    }
}

/// With atol = 0 an element at zero has no scale: an answer, or an error with numbers.
#[test]
fn an_adaptive_run_from_a_zero_without_atol_ends() {
    let problem = ["--problem", "himmelblau", "--theta0", "0,1"];
    let options = ["--method", "dp5", "--adaptive", "rtol=1e-3,atol=0", "--t-end", "0.1"];
    // θ(0.1), by 40,000 steps of RK4 in another program's f64.
    let exact = [2.43168563375903, 2.43995036607662];
    for extra in [&[][..], &["--reference"]] {
        let output = flow(&problem, &[&options[..], extra].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        match output.status.code() {
            Some(0) => {
                let text = String::from_utf8(output.stdout).unwrap();
                let line = text.lines().last().unwrap();
                let last: Vec<f64> = line.split(',').map(|cell| cell.parse().unwrap()).collect();
                assert!((last[6] - exact[0]).hypot(last[7] - exact[1]) < 3e-3, "{last:?}");
            }
            Some(1) => assert!(said.contains("h") && said.contains("atol"), "{said}"),
            code => panic!("{code:?}: {said}"),
        }
    }
}

/// What overflows leaves its rows and the advice that fits.
#[test]
fn a_run_that_leads_nowhere_says_what_to_do() {
    let far = &["--problem", "rosenbrock", "--theta0", "1e20,1e20"][..];
    let dp5: &[&str] = &["--method", "dp5", "--adaptive", "rtol=1e-3", "--steps", "1000"];
    let long: &[&str] = &["--step-size", "1", "--steps", "1000"];
    for (problem, options, right, wrong) in [
        (far, dp5, "--theta0", "polyak"),
        (ROSENBROCK, long, "smaller --step-size", "polyak"),
        (ROSENBROCK, &[long, &["--reference"]].concat(), "smaller --step-size", "polyak"),
    ] {
        let (rows, said) = ends(problem, options);
        assert!(rows.len() > 100, "{options:?}: {} rows", rows.len());
        assert!(said.contains("100 attempts") && said.contains(right), "{options:?}: {said}");
        assert!(!said.contains(wrong), "{options:?}: {said}");
    }
}

#[test]
fn adaptive_runs_agree_with_the_reference() {
    for method in ["heun-euler", "bs3", "dp5"] {
        let options = [
            &["--method", method, "--step-size", "0.01", "--t-end", "0.5"][..],
            &["--adaptive", "rtol=1e-3,atol=1e-5,controller=pi"],
        ]
        .concat();
        // Some errors are a thousandth of the tolerance and less: 1e-6 of θ, of which rounding
        // in f32 is some per cent, and more with θ in sums. h goes with a root of them.
        let (_, device) = rows(ROSENBROCK, &[&options[..], &["--theta-free"]].concat());
        let (_, reference) = rows(ROSENBROCK, &[&options[..], &["--reference"]].concat());
        assert_eq!(column(&device, 2), column(&reference, 2), "{method}: accepted");
        assert!(column(&device, 2).contains(&0.0), "{method}: the first h is too long");
        for (h, exact) in column(&device, 1).iter().zip(column(&reference, 1)) {
            assert!((h - exact).abs() <= 3e-2 * exact, "{method}: h {h}, not {exact}");
        }
        for i in [6, 7] {
            let (found, exact) = (column(&device, i), column(&reference, i));
            let (found, exact) = (found.last().unwrap(), exact.last().unwrap());
            assert!((found - exact).abs() < 1e-4, "{method}: {found}, not {exact}");
        }
    }
    let output = flow(ROSENBROCK, &["--step-size", "0.1", "--steps", "1", "--adaptive", "rtol=1"]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && message.contains("dp5"), "{message}");
}

#[test]
fn rules_agree_with_the_reference() {
    let quadratic = ["--problem", "quadratic", "--eigenvalues", "1,10,100", "--theta0", "1,-1,0.5"];
    for step_size in [
        "rescaled-dal:c=0.1,p=1,from=probe",
        "rescaled-dal:c=0.1,p=1,from=stages",
        "dal:p=1,from=probe",
        "polyak",
        "sgd-g2:h=0.01,beta=0.9",
    ] {
        for recipe in [&[][..], &["--preconditioner", "adagrad_rescaled", "--clip", "1.0"]] {
            let options =
                [&["--method", "heun", "--step-size", step_size, "--steps", "8"][..], recipe]
                    .concat();
            let (_, device) = rows(&quadratic, &options);
            let (_, reference) = rows(&quadratic, &[&options[..], &["--reference"]].concat());
            for (h, exact) in column(&device, 1).iter().zip(column(&reference, 1)) {
                assert!((h - exact).abs() <= 5e-3 * exact, "{options:?}: h {h}, not {exact}");
            }
            for i in 6..9 {
                for (found, exact) in column(&device, i).iter().zip(column(&reference, i)) {
                    let near = (found - exact).abs() < 2e-3 * exact.abs().max(1.0);
                    assert!(near, "{options:?}: {found}, not {exact}");
                }
            }
        }
    }
}

#[test]
fn an_adaptive_run_finds_its_first_step() {
    let options = ["--method", "dp5", "--adaptive", "rtol=1e-3,atol=1e-6", "--t-end", "1.0"];
    let (_, device) = rows(ROSENBROCK, &options);
    let (_, reference) = rows(ROSENBROCK, &[&options[..], &["--reference"]].concat());
    let (h, exact) = (column(&device, 1)[1], column(&reference, 1)[1]);
    assert!(h > 0.0 && (h / exact - 1.0).abs() < 1e-3, "{h}, not {exact}");
    let steps = (device.len() as f64, reference.len() as f64);
    assert!((steps.0 / steps.1 - 1.0).abs() < 0.05, "{steps:?}");
    let output = flow(ROSENBROCK, &["--steps", "3"]);
    assert!(!output.status.success());
}

/// Of eigenvalues 1, 10 and 100, h ρ decides.
#[test]
fn stabilised_methods_take_their_steps_by_the_spectral_radius() {
    let quadratic = ["--problem", "quadratic", "--eigenvalues", "1,10,100", "--theta0", "1,-1,0.5"];
    let stable = ["--step-size", "stable:fraction=0.5,h-max=10", "--steps", "5"];
    for method in ["rk4", "rdpk3sp35", "rkcd:stages=8", "rkc2:stages=8", "rock2:stages=8"] {
        let run = |extra: &[&str]| {
            let options = [&["--method", method][..], &stable, extra].concat();
            rows(&quadratic, &options).1
        };
        let reference = run(&["--spectral-radius", "100", "--reference"]);
        let given = run(&["--spectral-radius", "100"]);
        // The reference goes to where |R| = 1; where damped methods stop, which is a
        // little before, is how far they are stable for sure.
        for (found, exact) in column(&given, 1).iter().zip(column(&reference, 1)).skip(1) {
            assert!((0.98..1.0 + 1e-5).contains(&(found / exact)), "{method}: {found}, {exact}");
        }
        // An estimate is enlarged by 1.2, and is at most the radius before.
        let estimated = column(&run(&[]), 1)[1];
        let ratio = estimated * 1.2 / column(&given, 1)[1];
        assert!((1.0 - 1e-5..1.02).contains(&ratio), "{method}: {ratio}");
    }
    // A given h is cut to what the stages bear, or the stages suffice for it.
    let h = |method: &str| {
        let options = ["--method", method, "--step-size", "1", "--steps", "3"];
        column(&rows(&quadratic, &[&options[..], &["--spectral-radius", "100"]].concat()).1, 1)[3]
    };
    assert!((h("rkc2:stages=4") - 0.0987).abs() < 1e-3, "{}", h("rkc2:stages=4"));
    assert_eq!(h("rkc2"), 1.0);
    for (options, words) in [
        (["--method=rkc2", "--spectral-radius=-3", "--step-size=1", "--steps=1"], "-3"),
        (["--method=rkc2", "--reference", "--step-size=1", "--steps=1"], "stages=8"),
    ] {
        let output = flow(&quadratic, &options);
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && message.contains(words), "{message}");
    }
}

#[test]
fn what_is_finite_is_clipped() {
    let problem = ["--problem=quadratic", "--eigenvalues=1e25,1", "--theta0=1e-5,2"];
    let options = ["--method=euler", "--step-size=0.1", "--clip=1", "--steps=2"];
    let (_, rows) = rows(&problem, &options);
    assert_eq!(column(&rows, 2), [1.0, 1.0, 1.0], "all accepted");
    let norm = column(&rows, 4);
    assert!(norm.iter().any(|norm| (norm / 1e20 - 1.0).abs() < 1e-6), "{norm:?}");
}
