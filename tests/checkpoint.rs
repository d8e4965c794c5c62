//! Checkpoints: training that goes on from a file makes the bits of one that never
//! stopped, and the file is what its description says.

mod common;

use std::time::Duration;

use common::{adding, default_limits_gpu, gpu, noise};
use kutta::batching::PerStage;
use kutta::checkpoint::{Checkpoint, Checkpoints, Every};
use kutta::data::{Batches, Idx, Inputs, Samples, Targets};
use kutta::models::{Activation, Analytic, Mlp};
use kutta::optimizer::Builder;
use kutta::reference::Problem;
use kutta::{
    Adaptive, Controller, Gpu, GradientSource, Group, Guard, Init, Method, Momentum, Optimizer,
    Pace, ParamLayout, Preconditioner, Rounding, StepSize, Storage, Stored, Verdict,
};

fn builder(method: &str) -> Builder {
    Optimizer::builder(method.parse::<Method>().unwrap())
}

fn quartic(n: usize) -> Analytic {
    Analytic::new(gpu(), &Problem::Quartic, n).unwrap()
}

/// A network on invented samples, in five batches that the device shuffles.
fn network(gpu: &Gpu) -> Mlp {
    let n = 40;
    let inputs = Inputs::F32(noise(3 * n, 5));
    let targets = Targets::Labels { labels: (0..n).map(|i| (i % 4) as u8).collect(), classes: 4 };
    let samples = Samples::new(inputs, 3, targets).unwrap();
    let batches = Batches::new(samples, 8).unwrap().seed(11);
    Mlp::builder(&[3, 6, 4]).activation(Activation::Tanh).build(gpu, batches).unwrap()
}

fn bits(theta: &[f32]) -> Vec<u32> {
    theta.iter().map(|x| x.to_bits()).collect()
}

/// Runs in two parts, with and without a file in between, and compares all that a file
/// holds: θ, state, control block, what the host knows.
fn check_exact<S: GradientSource>(
    what: &str,
    build: impl Fn() -> (Optimizer, S),
    source: impl Fn() -> S,
    (n, m): (u64, u64),
) {
    let whole = |mut optimizer: Optimizer| optimizer.snapshot().unwrap().to_bytes().unwrap();
    let (mut straight, mut batches) = build();
    straight.run(&mut batches, n).unwrap();
    straight.run(&mut batches, m).unwrap();
    let theta = bits(&straight.params().read().unwrap());
    let straight = whole(straight);

    let (mut saved, mut batches) = build();
    saved.run(&mut batches, n).unwrap();
    let file = saved.snapshot().unwrap().to_bytes().unwrap();
    // Saving changes nothing.
    saved.run(&mut batches, m).unwrap();
    assert_eq!(bits(&saved.params().read().unwrap()), theta, "{what}: saved and went on");
    drop((saved, batches));

    let checkpoint = Checkpoint::from_bytes(file).unwrap();
    assert_eq!(checkpoint.attempts(), n, "{what}");
    let mut resumed = checkpoint.resume(gpu()).unwrap();
    assert_eq!(bits(&resumed.params().read().unwrap()), bits(&checkpoint.theta()), "{what}");
    resumed.run(&mut source(), m).unwrap();
    assert_eq!(bits(&resumed.params().read().unwrap()), theta, "{what}: resumed");
    // All of it: state, control block, what the host knows.
    let file = resumed.snapshot().unwrap().to_bytes().unwrap();
    assert!(file == straight, "{what}: θ is the same, and something else is not");
    resumed.wait().unwrap();
    let reports = resumed.reports();
    assert_eq!(reports.first().map(|r| r.attempt), Some(n), "{what}");
    assert_eq!(reports.last().map(|r| r.attempt), Some(n + m - 1), "{what}");
}

#[test]
fn resuming_is_exact_for_every_kind_of_method_and_ingredient() {
    let adam = |b: Builder| {
        b.preconditioner(Preconditioner::adam(0.99, 1e-6)).momentum(Momentum::ema(0.9))
    };
    let h = StepSize::constant(0.05);
    let dp5 = |adaptive| builder("dp5").adaptive(adaptive);
    let half = |storage| Stored::all(storage).rounding(Rounding::Stochastic);
    let recipes: Vec<(&str, Builder)> = vec![
        ("euler", builder("euler").step_size(h.clone())),
        ("adam", adam(builder("euler").step_size(h.clone()))),
        ("rk4", builder("rk4").step_size(StepSize::cosine(0.3, 0.01, 40).warm_up(5))),
        (
            "everything",
            adam(builder("rk4").step_size(h.clone()))
                .weight_decay(0.01)
                .l2(0.02)
                .clip(3.0)
                .average(0.9),
        ),
        ("amsgrad, f16", {
            let amsgrad = Preconditioner::amsgrad(0.99, 1e-4);
            adam(builder("heun").step_size(h.clone()))
                .preconditioner(amsgrad)
                .storage(half(Storage::F16))
        }),
        ("bf16", adam(builder("rk4").step_size(h.clone())).storage(half(Storage::Bf16))),
        ("dp5", dp5(Adaptive::new(1e-3, 1e-5))),
        (
            "dp5, everything in bf16",
            adam(dp5(Adaptive::new(1e-2, 1e-3).controller(Controller::pid())))
                .step_size(StepSize::constant(2.0))
                .clip(1.0)
                .average(0.5)
                .storage(half(Storage::Bf16)),
        ),
        ("bs3", builder("bs3").adaptive(Adaptive::new(1e-4, 1e-6).controller(Controller::Pi))),
        (
            "williamson3",
            builder("williamson3").step_size(h.clone()).momentum(Momentum::nesterov(0.8)),
        ),
        (
            "two registers",
            builder("williamson3").step_size(h.clone()).guard(Guard::Off).source(&adding(true)),
        ),
        ("rdpk3sp35", builder("rdpk3sp35").adaptive(Adaptive::new(1e-3, 1e-5))),
        ("rkc2:stages=5", builder("rkc2:stages=5").step_size(StepSize::constant(0.8))),
        ("rkc2", builder("rkc2").step_size(StepSize::constant(4.0))),
        ("rkc2, adaptive", builder("rkc2").adaptive(Adaptive::new(1e-3, 1e-4))),
        (
            "rkl2",
            builder("rkl2")
                .step_size(StepSize::constant(3.0))
                .preconditioner(Preconditioner::adagrad(0.1)),
        ),
        ("dal", builder("heun").step_size(StepSize::rescaled_dal(0.2, 1.0))),
        ("dal by stages", {
            let from = kutta::ingredients::Curvature::Stages;
            builder("rk4").step_size(StepSize::dal(1.0).with_curvature(from))
        }),
        ("sgd-g2", builder("euler").step_size(StepSize::sgd_g2(0.05, 0.9))),
        ("polyak", builder("rk4").step_size(StepSize::polyak(0.4))),
        ("stable", builder("rk4").step_size(StepSize::stable(0.9, 0.7))),
    ];
    let n = 300;
    let start = noise(n, 3);
    for (what, recipe) in recipes {
        let build = || {
            let source = quartic(n);
            (recipe.clone().build(gpu(), source.layout(), &start).unwrap(), source)
        };
        check_exact(what, build, || quartic(n), (37, 41));
    }
}

#[test]
fn a_network_goes_on_in_the_middle_of_an_epoch() {
    let groups = [Group::default(), Group::default().rate(0.5).decay(0.0)];
    let layout = || {
        let grouped: [&[&str]; 2] =
            [&["layer0.weight", "layer1.weight"], &["layer0.bias", "layer1.bias"]];
        network(gpu()).layout().clone().regrouped(&grouped).unwrap()
    };
    let adam = |b: Builder| {
        b.preconditioner(Preconditioner::adam(0.99, 1e-4))
            .momentum(Momentum::ema(0.9))
            .weight_decay(0.1)
            .groups(&groups)
    };
    let stochastic = Stored::all(Storage::Bf16).rounding(Rounding::Stochastic);
    let h = StepSize::constant(0.02);
    for (what, recipe) in [
        ("rk4", adam(builder("rk4").step_size(h.clone())).storage(stochastic)),
        ("dp5", adam(builder("dp5").adaptive(Adaptive::new(1e-2, 1e-3)))),
        (
            "dp5, waiting",
            builder("dp5").adaptive(Adaptive::new(1e-2, 1e-3)).pace(Pace::Wait).groups(&groups),
        ),
        ("rkc2", builder("rkc2").step_size(StepSize::constant(0.5)).groups(&groups)),
    ] {
        let build = || {
            let mlp = network(gpu());
            (recipe.clone().build(gpu(), &layout(), &mlp.initial(7)).unwrap(), mlp)
        };
        // Five batches make an epoch.
        check_exact(what, build, || network(gpu()), (33, 29));
    }
}

#[test]
fn mnist_goes_on_on_another_device() {
    let data = Idx::open("data/mnist").unwrap();
    let mlp =
        |gpu: &Gpu| Mlp::classifier(gpu, &[784, 16, 10], data.train(32).unwrap().seed(3)).unwrap();
    let mut source = mlp(gpu());
    let build = |mlp: &Mlp| {
        builder("rk4")
            .step_size(StepSize::constant(0.05))
            .preconditioner(Preconditioner::adam(0.999, 1e-4))
            .momentum(Momentum::heavy_ball(0.9))
            .build(gpu(), mlp.layout(), &mlp.initial(1))
            .unwrap()
    };
    let mut straight = build(&source);
    straight.run(&mut source, 40).unwrap();
    let file = straight.snapshot().unwrap().to_bytes().unwrap();
    straight.run(&mut source, 40).unwrap();
    let expected = bits(&straight.params().read().unwrap());

    // Nothing is left of the first process but the file.
    let gpu = Gpu::new().unwrap();
    let mut resumed = Checkpoint::from_bytes(file.clone()).unwrap().resume(&gpu).unwrap();
    resumed.run(&mut mlp(&gpu), 40).unwrap();
    assert_eq!(bits(&resumed.params().read().unwrap()), expected);

    // With other limits: the state is loaded bit by bit, and comes out again.
    let other = default_limits_gpu();
    let checkpoint = Checkpoint::from_bytes(file).unwrap();
    let mut there = checkpoint.resume(other).unwrap();
    let again = Checkpoint::from_bytes(there.snapshot().unwrap().to_bytes().unwrap()).unwrap();
    assert_eq!(again.tensors_differing(&checkpoint), Vec::<String>::new());
    there.run(&mut mlp(other), 1).unwrap();
    let moved = Checkpoint::from_bytes(there.snapshot().unwrap().to_bytes().unwrap()).unwrap();
    let differing = moved.tensors_differing(&checkpoint);
    assert!(differing.iter().any(|name| name == "kutta.second.layer0.bias"), "{differing:?}");
}

#[test]
fn a_snapshot_is_of_its_point_of_the_queue() {
    let start = noise(200, 4);
    let mut source = quartic(200);
    let mut optimizer = builder("rk4")
        .step_size(StepSize::constant(0.1))
        .build(gpu(), source.layout(), &start)
        .unwrap();
    optimizer.run(&mut source, 10).unwrap();
    let then = optimizer.params().read().unwrap();
    let snapshot = optimizer.snapshot().unwrap().note("seed", "4");
    optimizer.run(&mut source, 70).unwrap();
    let checkpoint = Checkpoint::from_bytes(snapshot.to_bytes().unwrap()).unwrap();
    assert_eq!(checkpoint.theta(), then);
    assert_eq!((checkpoint.attempts(), checkpoint.accepted(), checkpoint.batch()), (10, 10, 10));
    assert_eq!(checkpoint.evaluations(), 40);
    assert_eq!((checkpoint.note("seed"), checkpoint.note("other")), (Some("4"), None));
    assert_eq!(checkpoint.version(), env!("CARGO_PKG_VERSION"));
    let adapter: serde_json::Value = serde_json::from_str(checkpoint.adapter()).unwrap();
    assert_eq!(adapter["name"], gpu().info().name);
    assert_eq!(checkpoint.method(), &Method::rk4());
    assert!((checkpoint.time() - 10.0 * f64::from(0.1f32)).abs() < 1e-6);
}

#[test]
fn options_may_change_and_the_state_goes_on() {
    let start = noise(100, 4);
    let mut source = quartic(100);
    let layout = source.layout().clone();
    let mut optimizer = builder("rk4")
        .step_size(StepSize::constant(0.1))
        .momentum(Momentum::heavy_ball(0.9))
        .build(gpu(), &layout, &start)
        .unwrap();
    optimizer.run(&mut source, 10).unwrap();
    optimizer.set_step_size(&StepSize::constant(0.05)).unwrap();
    let file = optimizer.snapshot().unwrap().to_bytes().unwrap();
    let checkpoint = Checkpoint::from_bytes(file).unwrap();

    // The step size as it was set last.
    let mut resumed = checkpoint.resume(gpu()).unwrap();
    resumed.run(&mut source, 1).unwrap();
    resumed.wait().unwrap();
    assert_eq!(resumed.reports()[0].h, 0.05);

    // Another one, and another method: θ, m and the counters are those of the file.
    let adaptive = checkpoint.builder().step_size(StepSize::constant(0.02));
    let mut resumed = adaptive.resume(gpu(), &checkpoint).unwrap();
    resumed.run(&mut source, 1).unwrap();
    resumed.wait().unwrap();
    let report = resumed.reports().remove(0);
    assert_eq!((report.h, report.attempt, report.accepted), (0.02, 10, 11));

    let other = builder("dp5")
        .adaptive(Adaptive::new(1e-3, 1e-5))
        .momentum(Momentum::heavy_ball(0.8))
        .resume(gpu(), &checkpoint);
    let mut resumed = other.unwrap();
    assert_eq!(resumed.params().read().unwrap(), checkpoint.theta());
    let again = Checkpoint::from_bytes(resumed.snapshot().unwrap().to_bytes().unwrap()).unwrap();
    assert_eq!(again.tensors_differing(&checkpoint), Vec::<String>::new());
    resumed.run(&mut source, 20).unwrap();
    resumed.wait().unwrap();
    let reports = resumed.reports();
    assert!(reports[0].h > 0.0 && reports.last().unwrap().accepted > 15, "{reports:?}");

    // State that the file does not have.
    for (builder, words) in [
        (builder("rk4").momentum(Momentum::ema(0.9)), "ema:0.9"),
        (builder("rk4"), "no state"),
        (builder("rk4").momentum(Momentum::heavy_ball(0.9)).average(0.9), "an average"),
        (
            builder("rk4").momentum(Momentum::heavy_ball(0.9)).storage(Stored::all(Storage::F16)),
            "heavy-ball:0.9` as f16",
        ),
    ] {
        let refused = builder.step_size(StepSize::constant(0.1)).resume(gpu(), &checkpoint);
        let message = refused.unwrap_err().to_string();
        assert!(message.contains(words) && message.contains("heavy-ball:0.9` as f32"), "{message}");
    }
}

#[test]
fn pythons_safetensors_opens_theta_by_name_and_shape() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.safetensors");
    let mut mlp = network(gpu());
    let mut optimizer = builder("rk4")
        .step_size(StepSize::constant(0.1))
        .momentum(Momentum::heavy_ball(0.9))
        .storage(Stored::all(Storage::Bf16))
        .average(0.9)
        .build(gpu(), mlp.layout(), &mlp.initial(7))
        .unwrap();
    optimizer.run(&mut mlp, 9).unwrap();
    optimizer.save(&path).unwrap();
    let theta = optimizer.params();
    for tensor in optimizer.layout().tensors() {
        let checkpoint = Checkpoint::open(&path).unwrap();
        assert_eq!(checkpoint.tensor(tensor.name()).unwrap(), theta.tensor(tensor.name()).unwrap());
    }

    // As any other program in Rust would.
    let bytes = std::fs::read(&path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let weight = tensors.tensor("layer0.weight").unwrap();
    assert_eq!((weight.shape(), weight.dtype()), (&[3, 6][..], safetensors::Dtype::F32));
    let dtype = tensors.tensor("kutta.momentum.layer1.bias").unwrap().dtype();
    assert_eq!(dtype, safetensors::Dtype::BF16);

    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/read_checkpoint.py");
    let python = std::env::var("KUTTA_PYTHON").unwrap_or("python3".into());
    let output = std::process::Command::new(&python).arg(script).arg(&path).output();
    let output = match output {
        Ok(output) if output.status.code() != Some(3) => output,
        _ => {
            println!("skipped: `{python}` has no safetensors; pip install safetensors numpy");
            return;
        }
    };
    let text = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{stderr}");
    // As the documentation says, of a file with bf16 in it.
    let docs = include_str!("../docs/checkpoint.md");
    let example = docs.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let example = example.replace("run/attempt-000000001000.safetensors", path.to_str().unwrap());
    let example = format!("{example}\nassert weight.shape == (3, 6), weight.shape");
    let output = std::process::Command::new(&python).args(["-c", &example]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // name, shape, and the bits of the first and last element.
    let mut seen = 0;
    for tensor in optimizer.layout().tensors() {
        let values = theta.tensor(tensor.name()).unwrap();
        let shape: Vec<String> = tensor.shape().iter().map(ToString::to_string).collect();
        let (first, last) = (values[0].to_bits(), values[values.len() - 1].to_bits());
        let line = format!("{} {} F32 {first:08x} {last:08x}", tensor.name(), shape.join("x"));
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        seen += 1;
    }
    assert_eq!(seen, 4);
}

#[test]
fn a_folder_keeps_the_newest_few_and_finds_the_newest_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let start = noise(100, 4);
    let build = || {
        builder("rk4")
            .step_size(StepSize::constant(0.1))
            .build(gpu(), quartic(100).layout(), &start)
            .unwrap()
    };
    let checkpoints = || {
        let made = Checkpoints::new(folder.path()).unwrap();
        made.every(Every::Steps(10)).keep(3).note("seed", "4")
    };
    assert!(checkpoints().newest().unwrap().is_none());
    let names = || -> Vec<String> {
        let entries = std::fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let at = |n: u64| format!("attempt-{n:012}.safetensors");
    let mut saving = checkpoints();
    let mut optimizer = build();
    saving.run(&mut optimizer, &mut quartic(100), 57).unwrap();
    saving.finish(&mut optimizer).unwrap();
    assert_eq!(names(), [at(40), at(50), at(57)]);
    // Nothing is newer than the last.
    assert_eq!(saving.finish(&mut optimizer).unwrap(), Vec::<std::path::PathBuf>::new());
    drop(saving);

    // It resumes, on the multiples of the interval, with the bits of one that ran through.
    let mut straight = build();
    straight.run(&mut quartic(100), 83).unwrap();
    let mut saving = checkpoints();
    let found = saving.newest().unwrap().unwrap();
    assert!(found.passed_over.is_empty());
    assert_eq!((found.checkpoint.attempts(), found.checkpoint.note("seed")), (57, Some("4")));
    let mut resumed = found.checkpoint.resume(gpu()).unwrap();
    saving.run(&mut resumed, &mut quartic(100), 83 - 57).unwrap();
    drop(saving);
    assert_eq!(bits(&resumed.params().read().unwrap()), bits(&straight.params().read().unwrap()));
    assert_eq!(names(), [at(60), at(70), at(80)]);

    // A damaged newest one is passed over, says what is wrong, and never comes back.
    let newest = folder.path().join(at(80));
    let mut bytes = std::fs::read(&newest).unwrap();
    // Of the data, just before the hash: what comes before is text with the adapter's name.
    let last = bytes.len() - 40;
    bytes[last] ^= 4;
    std::fs::write(&newest, &bytes).unwrap();
    std::fs::write(folder.path().join(format!(".{}.1-1.kutta-part", at(90))), "part").unwrap();
    let mut saving = checkpoints().keep(1);
    let found = saving.newest().unwrap().unwrap();
    assert_eq!((found.checkpoint.attempts(), found.passed_over.len()), (70, 1));
    let (path, error) = &found.passed_over[0];
    assert!(*path == newest && error.to_string().contains("SHA-256"), "{error}");
    assert_eq!(names(), [at(60), at(70), format!("{}.damaged", at(80))]);
    let mut resumed = found.checkpoint.resume(gpu()).unwrap();
    saving.run(&mut resumed, &mut quartic(100), 5).unwrap();
    saving.finish(&mut resumed).unwrap();
    assert_eq!(names(), [at(75), format!("{}.damaged", at(80))]);
    drop(saving);

    // None that is whole: an error with what is wrong, each time, and no training anew over
    // it.
    std::fs::write(folder.path().join(at(75)), &bytes[..100]).unwrap();
    std::fs::write(folder.path().join(at(74)), "").unwrap();
    for _ in 0..2 {
        let error = checkpoints().newest().unwrap_err().to_string();
        for part in ["no whole checkpoint", "000000000074", "000000000075", "another folder"] {
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(names(), [at(74), at(75), format!("{}.damaged", at(80))]);
    }
    // Nor over what was set aside for a whole one that somebody took away.
    for n in [74, 75] {
        std::fs::remove_file(folder.path().join(at(n))).unwrap();
    }
    let error = checkpoints().newest().unwrap_err().to_string();
    assert!(error.contains("000000000080") && error.contains("was damaged"), "{error}");
}

/// A file that is not what its name says is passed over, and stays.
#[test]
fn a_folder_goes_by_what_is_in_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = |n: u64| folder.path().join(format!("attempt-{n:012}.safetensors"));
    let mut optimizer = builder("rk4")
        .step_size(StepSize::constant(0.1))
        .build(gpu(), quartic(10).layout(), &[1.0; 10])
        .unwrap();
    let checkpoints = || Checkpoints::new(folder.path()).unwrap();
    checkpoints().finish(&mut optimizer).unwrap();
    std::fs::copy(at(0), at(7)).unwrap();
    let found = checkpoints().newest().unwrap().unwrap();
    assert_eq!((found.checkpoint.attempts(), found.passed_over.len()), (0, 1));
    let error = found.passed_over[0].1.to_string();
    assert!(error.contains("as if 7 attempts") && error.contains("000000000007"), "{error}");
    // It may be whole for somebody else: neither rotation nor a file of its name takes it.
    let mut saving = checkpoints().every(Every::Steps(7)).keep(1);
    let mut resumed = saving.newest().unwrap().unwrap().checkpoint.resume(gpu()).unwrap();
    saving.run(&mut resumed, &mut quartic(10), 6).unwrap();
    saving.finish(&mut resumed).unwrap();
    assert_eq!(Checkpoint::open(at(7)).unwrap().attempts(), 0);
    saving.run(&mut resumed, &mut quartic(10), 2).unwrap();
    saving.finish(&mut resumed).unwrap();
    let aside = std::path::PathBuf::from(format!("{}.passed-over", at(7).display()));
    assert_eq!(Checkpoint::open(aside).unwrap().attempts(), 0);
    assert_eq!(saving.files().unwrap(), [at(8)]);
    // One set aside before is not replaced by the next one of this name.
    for text in ["first", "second"] {
        std::fs::write(at(9), text).unwrap();
        checkpoints().newest().unwrap();
    }
    for (name, text) in [("damaged", "first"), ("2.damaged", "second")] {
        let aside = std::path::PathBuf::from(format!("{}.{name}", at(9).display()));
        assert_eq!(std::fs::read_to_string(aside).unwrap(), text);
    }
    #[cfg(unix)]
    {
        assert!(std::process::Command::new("mkfifo").arg(at(11)).status().unwrap().success());
        let found = checkpoints().newest().unwrap().unwrap();
        let error = found.passed_over[0].1.to_string();
        assert!(error.contains("a named pipe"), "{error}");
    }
}

/// Whoever asks for a file gets it, or the reason why there is none; and again.
#[test]
fn a_failed_write_is_told_until_there_is_a_file() {
    let parent = tempfile::tempdir().unwrap();
    let [folder, elsewhere] = ["run", "elsewhere"].map(|name| parent.path().join(name));
    let mut optimizer = builder("rk4")
        .step_size(StepSize::constant(0.1))
        .build(gpu(), quartic(100).layout(), &noise(100, 4))
        .unwrap();
    let mut saving = Checkpoints::new(&folder).unwrap().every(Every::Steps(10));
    saving.run(&mut optimizer, &mut quartic(100), 10).unwrap();
    // A file in the folder's place: that stops root, too.
    std::fs::rename(&folder, &elsewhere).unwrap();
    std::fs::write(&folder, "").unwrap();
    for _ in 0..3 {
        let error = saving.finish(&mut optimizer).unwrap_err().to_string();
        assert!(error.contains("000000000010") && error.contains("is no folder"), "{error}");
    }
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&elsewhere, &folder).unwrap();
    let written = saving.finish(&mut optimizer).unwrap();
    assert_eq!(written, [folder.join("attempt-000000000010.safetensors")]);
    assert_eq!(Checkpoint::open(&written[0]).unwrap().attempts(), 10);
    assert_eq!(saving.finish(&mut optimizer).unwrap(), Vec::<std::path::PathBuf>::new());

    // One before it that failed matters no more.
    saving.run(&mut optimizer, &mut quartic(100), 10).unwrap();
    std::fs::rename(&folder, &elsewhere).unwrap();
    std::fs::write(&folder, "").unwrap();
    let again = saving.run(&mut optimizer, &mut quartic(100), 10);
    assert!(again.unwrap_err().to_string().contains("is no folder"));
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&elsewhere, &folder).unwrap();
    let written = saving.finish(&mut optimizer).unwrap();
    assert_eq!(written, [folder.join("attempt-000000000030.safetensors")]);
}

#[test]
fn by_the_clock_and_while_training_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut mlp = network(gpu());
    let mut optimizer = builder("rk4")
        .step_size(StepSize::constant(0.1))
        .build(gpu(), mlp.layout(), &mlp.initial(7))
        .unwrap();
    let mut saving = Checkpoints::new(folder.path())
        .unwrap()
        .every(Every::Time(Duration::from_millis(1)))
        .keep(1000);
    saving.run(&mut optimizer, &mut mlp, 200).unwrap();
    saving.finish(&mut optimizer).unwrap();
    let files = saving.files().unwrap();
    assert!(files.len() > 1, "{files:?}");
    for file in &files {
        let checkpoint = Checkpoint::open(file).unwrap();
        assert!(
            checkpoint.attempts() == 200 || checkpoint.attempts().is_multiple_of(32),
            "{file:?}"
        );
    }
}

/// Links are followed, and what is no regular file is refused by name.
#[cfg(unix)]
#[test]
fn saving_replaces_nothing_but_a_regular_file() {
    use std::os::unix::fs::{FileTypeExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut optimizer = builder("rk4")
        .step_size(StepSize::constant(0.1))
        .build(gpu(), quartic(10).layout(), &[1.0; 10])
        .unwrap();
    std::fs::create_dir(at("elsewhere")).unwrap();
    std::fs::write(at("elsewhere/old"), "before").unwrap();
    for name in ["old", "new"] {
        symlink(format!("elsewhere/{name}"), at(name)).unwrap();
        optimizer.save(at(name)).unwrap();
        assert!(std::fs::symlink_metadata(at(name)).unwrap().is_symlink());
        assert_eq!(Checkpoint::open(at("elsewhere").join(name)).unwrap().attempts(), 0);
    }
    let fifo = at("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    symlink("/dev/null", at("device")).unwrap();
    for (name, words) in [
        ("fifo", "a named pipe"),
        ("device", "`/dev/null`, which is a device"),
        ("elsewhere", "a folder"),
        ("missing/file", "there is no folder"),
    ] {
        let message = optimizer.save(at(name)).unwrap_err().to_string();
        assert!(message.contains(words) && message.contains(name), "{message}");
    }
    assert!(std::fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());
    assert!(std::fs::symlink_metadata(at("device")).unwrap().is_symlink());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 5);
}

#[test]
fn names_of_the_format_are_refused() {
    for name in ["kutta.control", "__metadata__", "kutta.mine"] {
        let layout = ParamLayout::builder().tensor(name, &[4], Init::Zeros).build().unwrap();
        let mut optimizer = builder("euler")
            .step_size(StepSize::constant(0.1))
            .build(gpu(), &layout, &[1.0; 4])
            .unwrap();
        let message = optimizer.snapshot().unwrap_err().to_string();
        assert!(message.contains(name) && message.contains("another name"), "{message}");
    }
}

/// A step size, a rule and an end of time that were set after the build.
#[test]
fn what_was_set_later_goes_on_too() {
    let n = 300;
    let start = noise(n, 3);
    let source = || quartic(n);
    let build = |b: Builder| b.build(gpu(), source().layout(), &start).unwrap();
    for adaptive in [false, true] {
        let make = || match adaptive {
            true => build(builder("dp5").adaptive(Adaptive::new(1e-3, 1e-5))),
            false => build(builder("rk4").step_size(StepSize::rescaled_dal(0.1, 1.0))),
        };
        let change = |optimizer: &mut Optimizer| {
            let h =
                if adaptive { StepSize::constant(0.3) } else { StepSize::rescaled_dal(0.2, 1.0) };
            optimizer.set_step_size(&h).unwrap();
            optimizer.set_end(Some(optimizer.time() + 2.0)).unwrap();
        };
        let mut straight = make();
        straight.run(&mut source(), 9).unwrap();
        straight.wait().unwrap();
        change(&mut straight);
        let file = straight.snapshot().unwrap().to_bytes().unwrap();
        straight.run(&mut source(), 60).unwrap();
        let mut resumed = Checkpoint::from_bytes(file).unwrap().resume(gpu()).unwrap();
        resumed.run(&mut source(), 60).unwrap();
        assert_eq!(
            bits(&straight.params().read().unwrap()),
            bits(&resumed.params().read().unwrap()),
        );
        straight.wait().unwrap();
        resumed.wait().unwrap();
        assert_eq!(straight.time(), resumed.time());
    }
}

/// The cursor of stages is in the file, and what was drawn before it can be counted.
#[test]
fn batches_of_stages_go_on_after_a_file() {
    let per_stage = || PerStage::new(gpu(), network(gpu())).unwrap();
    for (name, adaptive, draws) in [("rk4", false, 4), ("bs3", true, 4), ("rkc2", false, 0)] {
        let build = || {
            let source = network(gpu());
            let step_size = StepSize::constant(if adaptive { 4.0 } else { 0.2 });
            let mut builder = builder(name).step_size(step_size);
            if adaptive {
                builder = builder.adaptive(Adaptive::new(1e-2, 1e-2));
            }
            let optimizer = builder.build(gpu(), source.layout(), &source.initial(7)).unwrap();
            (optimizer, PerStage::new(gpu(), source).unwrap())
        };
        check_exact(name, build, per_stage, (7, 6));
        let (mut optimizer, mut source) = build();
        optimizer.run(&mut source, 7).unwrap();
        let file = optimizer.snapshot().unwrap().to_bytes().unwrap();
        optimizer.wait().unwrap();
        // Refused attempts drew what their next try drew again.
        let mut end = 0;
        for report in optimizer.reports() {
            let drawn = source.drawn(report.draws);
            assert_eq!(drawn.start, end, "{name}");
            assert!(draws == 0 || drawn.end == end + draws, "{name}: {drawn:?}");
            if report.verdict == Verdict::Accepted {
                end = drawn.end;
            }
        }
        let checkpoint = Checkpoint::from_bytes(file).unwrap();
        assert_eq!(source.drawn(checkpoint.draws()), 0..end, "{name}");
        // Five batches of eight samples an epoch.
        assert_eq!(source.inner_mut().samples_in(0..end), 8 * end);
    }
}

/// Versions whose files are kept.
const RELEASED: &[&str] = &["0.1.0"];

/// What runs on any adapter while another version of kutta wrote the file.
#[test]
fn a_checkpoint_of_each_released_version_is_read() {
    let file = |version: &str| format!("tests/data/checkpoint-{version}.safetensors");
    for &version in RELEASED {
        let checkpoint = Checkpoint::open(file(version)).unwrap();
        assert_eq!(checkpoint.version(), version);
        // Six of them were refused, and their batches drawn again.
        assert_eq!((checkpoint.attempts(), checkpoint.batch()), (20, 14));
        assert_eq!(checkpoint.draws().batches, 0..14);
        assert_eq!(checkpoint.note("seed"), Some("7"));
        assert_eq!(checkpoint.method(), &"dp5".parse::<Method>().unwrap());
        let shapes: Vec<_> = checkpoint.layout().tensors().iter().map(|t| t.shape()).collect();
        assert_eq!(shapes, [&[3, 6][..], &[6], &[6, 4], &[4]]);
        // The first weights, as they were read when the file was written.
        let first: Vec<u32> = bits(&checkpoint.tensor("layer0.weight").unwrap()[..3]);
        assert_eq!(first, FIRST_WEIGHTS);
        let mut resumed = checkpoint.resume(gpu()).unwrap();
        let mut mlp = network(gpu());
        let before = resumed.measure(&mut mlp).unwrap();
        // The file knows of no stages' batches: seven to each of the fourteen.
        assert_eq!(before.draws, kutta::Draws { batches: 14..15, stages: 98..99 });
        let before = before.loss.unwrap();
        resumed.run(&mut mlp, 200).unwrap();
        let after = resumed.measure(&mut mlp).unwrap().loss.unwrap();
        assert!(after < before, "{after} is not below {before}");
    }
}

const FIRST_WEIGHTS: [u32; 3] = [3184537691, 3205821402, 1071084495];

/// Writes the file of this version: `cargo test --release --test checkpoint -- --ignored`.
#[test]
#[ignore = "writes tests/data/checkpoint-VERSION.safetensors"]
fn write_the_checkpoint_of_this_version() {
    let mut mlp = network(gpu());
    let stored = Stored { second: Storage::F16, momentum: Storage::Bf16, ..Stored::default() };
    let mut optimizer = builder("dp5")
        .adaptive(Adaptive::new(1e-2, 1e-3))
        .preconditioner(Preconditioner::amsgrad(0.99, 1e-4))
        .momentum(Momentum::ema(0.9))
        .average(0.9)
        .clip(10.0)
        .storage(stored.rounding(Rounding::Stochastic))
        .build(gpu(), mlp.layout(), &mlp.initial(7))
        .unwrap();
    optimizer.run(&mut mlp, 20).unwrap();
    let path = format!("tests/data/checkpoint-{}.safetensors", env!("CARGO_PKG_VERSION"));
    optimizer.snapshot().unwrap().note("seed", "7").write(&path).unwrap();
    let weights = Checkpoint::open(&path).unwrap().tensor("layer0.weight").unwrap();
    println!("{path}: {:?}", bits(&weights[..3]));
}

/// `cargo test --release --test checkpoint -- --ignored write_the_corpus`
#[test]
#[ignore = "writes fuzz/corpus/checkpoint"]
fn write_the_corpus() {
    let h = StepSize::constant(0.05);
    let n = 10;
    for (name, recipe) in [
        ("euler", builder("euler").step_size(h.clone())),
        ("low_storage", builder("williamson3").step_size(h.clone()).average(0.9)),
        ("stabilised", builder("rkc2").step_size(StepSize::constant(2.0))),
        ("rule", builder("rk4").step_size(StepSize::rescaled_dal(0.1, 1.0)).clip(1.0)),
        (
            "narrow",
            builder("bs3")
                .adaptive(Adaptive::new(1e-2, 1e-3))
                .preconditioner(Preconditioner::adam(0.9, 1e-4))
                .momentum(Momentum::nesterov(0.9))
                .storage(Stored::all(Storage::F16)),
        ),
    ] {
        let mut source = quartic(n);
        let mut optimizer = recipe.build(gpu(), source.layout(), &noise(n, 3)).unwrap();
        optimizer.run(&mut source, 5).unwrap();
        optimizer.save(format!("fuzz/corpus/checkpoint/{name}")).unwrap();
    }
}
