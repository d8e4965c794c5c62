//! Faults planted on purpose: each is told as an error, and none changes any state.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;

use common::{Failing, gpu, noise};
use kutta::checkpoint::{Checkpoint, Checkpoints, Every};
use kutta::error::{GpuError, OptimizerError};
use kutta::models::Analytic;
use kutta::reference::Problem;
use kutta::{
    Adaptive, Error, Evaluation, Gpu, GradientSource, Method, Momentum, Optimizer, ParamLayout,
    Preconditioner, SourceError, StepSize,
};

const N: usize = 500;

fn quartic() -> Analytic {
    Analytic::new(gpu(), &Problem::Quartic, N).unwrap()
}

/// Every kind of attempt: fixed, adaptive, of registers, of stages that vary.
fn optimizers() -> Vec<Optimizer> {
    let start = noise(N, 4);
    let layout = ParamLayout::flat(N).unwrap();
    let builder = |name: &str| {
        Optimizer::builder(name.parse::<Method>().unwrap())
            .preconditioner(Preconditioner::adam(0.99, 1e-3))
            .momentum(Momentum::heavy_ball(0.9))
            .average(0.9)
    };
    let h = StepSize::constant(0.02);
    [
        builder("euler").step_size(h.clone()),
        builder("rk4").step_size(h.clone()),
        builder("dp5").adaptive(Adaptive::new(1e-3, 1e-4)),
        builder("rdpk3sp35").step_size(h),
        builder("rkc2").step_size(StepSize::constant(0.5)),
    ]
    .into_iter()
    .map(|builder| builder.build(gpu(), &layout, &start).unwrap())
    .collect()
}

fn whole(optimizer: &mut Optimizer) -> Checkpoint {
    Checkpoint::from_bytes(optimizer.snapshot().unwrap().to_bytes().unwrap()).unwrap()
}

/// Records nothing, panics or fails from some evaluation on; else as the inner one.
struct Faulty {
    inner: Analytic,
    good: u32,
    fault: Fault,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Error,
    Panic,
    Nothing,
    /// After work of its own was recorded.
    LatePanic,
}

impl GradientSource for Faulty {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        if self.good > 0 {
            self.good -= 1;
            return self.inner.evaluate(at);
        }
        match self.fault {
            Fault::Error => Err(SourceError::new("the disk with the batches is gone")),
            Fault::Panic => panic!("planted"),
            Fault::Nothing => Ok(()),
            Fault::LatePanic => {
                self.inner.evaluate(at)?;
                panic!("planted")
            }
        }
    }
}

/// Says nothing of panics that are planted.
fn quiet() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&"planted") {
                usual(info);
            }
        }));
    });
}

#[test]
fn a_faulty_source_changes_no_state_whenever_it_fails() {
    quiet();
    for fault in [Fault::Error, Fault::Panic, Fault::Nothing, Fault::LatePanic] {
        for good in [0, 1, 2, 5] {
            for (mut optimizer, mut other) in optimizers().into_iter().zip(optimizers()) {
                let what = format!("{}, {fault:?} after {good}", optimizer.plan().method());
                optimizer.run(&mut quartic(), 7).unwrap();
                other.run(&mut quartic(), 7).unwrap();
                let before = whole(&mut optimizer);
                let mut faulty = Faulty { inner: quartic(), good, fault };
                // One attempt: what was whole before the fault would count, too.
                let result = catch_unwind(AssertUnwindSafe(|| optimizer.run(&mut faulty, 1)));
                let per_attempt = u64::from(optimizer.plan().evaluations());
                if u64::from(good) >= per_attempt {
                    continue;
                }
                match (fault, result) {
                    (Fault::Panic | Fault::LatePanic, Err(_)) => {}
                    (Fault::Error, Ok(Err(Error::Source(error)))) => {
                        assert!(error.to_string().contains("the disk"), "{what}: {error}");
                    }
                    (Fault::Nothing, Ok(Err(error @ Error::Source(_)))) => {
                        assert!(error.to_string().contains("recorded nothing"), "{what}: {error}");
                    }
                    (_, result) => panic!("{what}: {result:?}"),
                }
                let after = whole(&mut optimizer);
                let differing = after.tensors_differing(&before);
                // Of what the submit before the last left, the host may know by now.
                assert!(
                    differing.iter().all(|name| name == "kutta.settled"),
                    "{what}: {differing:?}"
                );
                assert_eq!(after.attempts(), before.attempts(), "{what}");
                // It goes on as one that never saw the fault.
                optimizer.run(&mut quartic(), 9).unwrap();
                other.run(&mut quartic(), 9).unwrap();
                assert_eq!(
                    whole(&mut optimizer).tensors_differing(&whole(&mut other)),
                    Vec::<String>::new(),
                    "{what}"
                );
            }
        }
    }
}

#[test]
fn a_panic_in_a_chunk_takes_the_whole_chunk_back() {
    quiet();
    for (mut optimizer, mut other) in optimizers().into_iter().zip(optimizers()) {
        let mut faulty = Faulty { inner: quartic(), good: 40, fault: Fault::LatePanic };
        let result = catch_unwind(AssertUnwindSafe(|| optimizer.run(&mut faulty, 300)));
        assert!(result.is_err());
        optimizer.wait().unwrap();
        let made = whole(&mut optimizer).attempts();
        assert!(made < 300 && optimizer.accepted() <= made);
        if optimizer.plan().method().starts_with("rkc2") {
            // How many stages it takes depends on where its submits end.
            optimizer.run(&mut quartic(), 9).unwrap();
            continue;
        }
        other.run(&mut quartic(), made).unwrap();
        let differing = whole(&mut optimizer).tensors_differing(&whole(&mut other));
        let fine = |name: &String| name == "kutta.control" || name == "kutta.settled";
        assert!(differing.iter().all(fine), "{}: {differing:?}", optimizer.plan().method());
    }
}

#[test]
fn a_lost_device_is_an_error_everywhere() {
    let gpu = Gpu::new().unwrap();
    let source = || Analytic::new(&gpu, &Problem::Quartic, N);
    let mut quartic = source().unwrap();
    let layout = quartic.layout().clone();
    let samples = kutta::data::Samples::new(
        kutta::data::Inputs::F32(noise(40, 1)),
        4,
        kutta::data::Targets::Labels { labels: vec![1; 10], classes: 3 },
    );
    let batches = kutta::data::Batches::new(samples.unwrap(), 5).unwrap();
    let network = || kutta::models::Mlp::classifier(&gpu, &[4, 8, 3], batches.clone());
    let mut mlp = network().unwrap();
    let builder = || {
        Optimizer::builder(Method::rk4())
            .step_size(StepSize::constant(0.1))
            .momentum(Momentum::heavy_ball(0.9))
    };
    let folder = tempfile::tempdir().unwrap();
    let mut optimizer = builder().build(&gpu, &layout, &noise(N, 4)).unwrap();
    let mut saving = Checkpoints::new(folder.path()).unwrap().every(Every::Steps(5));
    saving.run(&mut optimizer, &mut quartic, 20).unwrap();
    saving.finish(&mut optimizer).unwrap();
    let files = saving.files().unwrap();
    let under_way = optimizer.snapshot().unwrap();
    gpu.device().destroy();
    // What had arrived may still be told, or not; nothing panics, nothing waits for ever.
    let _ = under_way.write(folder.path().join("under-way.safetensors"));
    drop(under_way);
    let is_lost = |error: Error| {
        assert!(matches!(error, Error::Gpu(GpuError::DeviceLost { .. })), "{error}");
        assert!(error.to_string().contains("lost"), "{error}");
    };
    let _ = optimizer.run(&mut quartic, 3);
    is_lost(optimizer.wait().unwrap_err());
    is_lost(optimizer.params().read().map(drop).unwrap_err());
    is_lost(optimizer.measure(&mut quartic).map(drop).unwrap_err());
    is_lost(optimizer.save(folder.path().join("lost.safetensors")).unwrap_err());
    assert!(!folder.path().join("lost.safetensors").exists());
    let _ = optimizer.reports();
    let _ = saving.finish(&mut optimizer);
    drop(optimizer);
    // Models whose bind groups were not yet made, and new ones.
    if let Ok(mut late) = builder().build(&gpu, mlp.layout(), &mlp.initial(1)) {
        let _ = late.run(&mut mlp, 1);
        is_lost(late.wait().unwrap_err());
    }
    let _ = network();
    let _ = source();
    // Building on it is an error too, at the latest when somebody waits.
    if let Ok(mut late) = builder().build(&gpu, &layout, &noise(N, 4)) {
        let _ = late.run(&mut quartic, 1);
        is_lost(late.wait().unwrap_err());
    }
    drop(saving);

    // What was saved goes on with a new device.
    let mut saving = Checkpoints::new(folder.path()).unwrap();
    assert_eq!(saving.files().unwrap(), files);
    let found = saving.newest().unwrap().unwrap();
    let other = self::gpu();
    let mut resumed = found.checkpoint.resume(other).unwrap();
    resumed.run(&mut self::quartic(), 20).unwrap();
    let mut straight = builder().build(other, &layout, &noise(N, 4)).unwrap();
    straight.run(&mut self::quartic(), 40).unwrap();
    assert_eq!(resumed.params().read().unwrap(), straight.params().read().unwrap());
}

#[test]
fn too_little_memory_is_told_before_anything_is_taken() {
    let start = noise(N, 4);
    let builder = || Optimizer::builder(Method::rk4()).step_size(StepSize::constant(0.1));
    let layout = ParamLayout::flat(N).unwrap();
    let mut optimizer = builder().build(gpu(), &layout, &start).unwrap();
    optimizer.run(&mut quartic(), 3).unwrap();
    let checkpoint = whole(&mut optimizer);
    let too_small = |error: Error| match error {
        Error::Optimizer(OptimizerError::MemoryTooSmall { needed, available: 1000, .. }) => {
            assert!(needed > 20 * N as u64);
        }
        other => panic!("{other}"),
    };
    too_small(builder().memory(1000).build(gpu(), &layout, &start).map(drop).unwrap_err());
    let resumed = checkpoint.builder().memory(1000).resume(gpu(), &checkpoint);
    too_small(resumed.map(drop).unwrap_err());
    // The same file resumes where there is memory.
    assert_eq!(checkpoint.resume(gpu()).unwrap().params().read().unwrap(), checkpoint.theta());
}

/// This very test binary, once more, under the limits that `limit` sets in a shell.
#[cfg(unix)]
fn child(name: &str, limit: &str, folder: &Path) -> std::process::Output {
    let own = std::env::current_exe().unwrap();
    let command = format!("{limit}; exec \"$0\" --exact {name} --ignored --nocapture");
    let mut shell = Command::new("sh");
    shell.args(["-c", &command]).arg(own).env("KUTTA_FAULTS", folder);
    shell.output().unwrap()
}

#[cfg(unix)]
fn check_child(output: &std::process::Output) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success(), "{:?}\n{text}", output.status);
    assert!(text.contains("1 passed"), "{text}");
}

/// A disk that takes no more, by the largest file that a process may write.
#[cfg(unix)]
#[test]
fn a_full_disk_is_told_and_leaves_the_last_file_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    // `ulimit -f` counts 512 bytes; without the trap the signal would end the process.
    let limit = "trap '' XFSZ; ulimit -f 40";
    check_child(&child("child_with_a_full_disk", limit, folder.path()));
}

#[cfg(unix)]
#[test]
#[ignore = "run by a_full_disk_is_told_and_leaves_the_last_file_as_it_was"]
fn child_with_a_full_disk() {
    let Some(folder) = std::env::var_os("KUTTA_FAULTS") else { return };
    let path = Path::new(&folder).join("last.safetensors");
    let builder = || Optimizer::builder(Method::rk4()).step_size(StepSize::constant(0.1));
    // 500 parameters fit below 20 kB, 20,000 do not.
    let mut small = builder().build(gpu(), quartic().layout(), &noise(N, 4)).unwrap();
    small.save(&path).unwrap();
    let before = std::fs::read(&path).unwrap();
    let n = 20_000;
    let mut source = Analytic::new(gpu(), &Problem::Quartic, n).unwrap();
    let mut large = builder().build(gpu(), source.layout(), &noise(n, 4)).unwrap();
    large.run(&mut source, 3).unwrap();
    let theta = large.params().read().unwrap();
    let error = large.save(&path).unwrap_err().to_string();
    assert!(error.contains("last.safetensors` cannot be written: "), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "something is left behind");
    // It trains on, and says at the next save that there is no room.
    assert_eq!(large.params().read().unwrap(), theta);
    let mut saving = Checkpoints::new(&folder).unwrap().every(Every::Steps(2));
    let error = saving.run(&mut large, &mut source, 50).unwrap_err().to_string();
    assert!(error.contains("cannot be written: "), "{error}");
    large.run(&mut source, 3).unwrap();
    large.wait().unwrap();
    let _ = saving.finish(&mut large);
}

/// No more memory than there is already: the driver's own allocations fail.
#[cfg(target_os = "linux")]
#[test]
fn memory_that_runs_out_is_an_error() {
    if Command::new("prlimit").arg("--version").output().is_err() {
        println!("skipped: there is no `prlimit`");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    check_child(&child("child_without_memory", "true", folder.path()));
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "run by memory_that_runs_out_is_an_error"]
fn child_without_memory() {
    let Some(folder) = std::env::var_os("KUTTA_FAULTS") else { return };
    if !gpu().is_software() {
        return; // Its memory is not the process's.
    }
    let n = 12_000_000;
    let layout = ParamLayout::flat(n).unwrap();
    let builder =
        || Optimizer::builder(Method::euler()).step_size(StepSize::constant(0.1)).memory(u64::MAX);
    let start = vec![0.5; n];
    let path = Path::new(&folder).join("large.safetensors");
    builder().build(gpu(), &layout, &start).unwrap().save(&path).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    gpu().device().poll(kutta::wgpu::PollType::wait_indefinitely()).unwrap();
    // Room for one vector more, of the two and the staging memory that there must be.
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let size: u64 = size.trim().trim_end_matches(" kB").trim().parse().unwrap();
    let limit = size * 1024 + 4 * n as u64 + (24 << 20);
    let own = std::process::id().to_string();
    let set = Command::new("prlimit").args(["--pid", &own, &format!("--as={limit}")]).status();
    assert!(set.unwrap().success());
    let with_momentum = builder().momentum(Momentum::heavy_ball(0.9)).average(0.9);
    let error = with_momentum.build(gpu(), &layout, &start).map(drop).unwrap_err();
    assert!(matches!(error, Error::Gpu(GpuError::OutOfMemory { .. })), "{error}");
    // wgpu may have given the device up by then.
    match checkpoint.resume(gpu()).map(drop).unwrap_err() {
        Error::Gpu(GpuError::OutOfMemory { .. } | GpuError::DeviceLost { .. }) => {}
        other => panic!("{other}"),
    }
}

#[test]
fn a_folder_that_cannot_be_written_to_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "no folder").unwrap();
    let mut optimizer = optimizers().remove(1);
    optimizer.run(&mut quartic(), 3).unwrap();
    let before = whole(&mut optimizer);
    for path in [file.join("x.safetensors"), folder.path().join("none/x.safetensors")] {
        let error = optimizer.save(&path).unwrap_err().to_string();
        let named = format!("`{}` cannot be written: ", path.display());
        assert!(error.starts_with(&named), "{error}");
    }
    let error = Checkpoints::new(&file).unwrap_err().to_string();
    assert!(error.contains("cannot be made") || error.contains("cannot be read"), "{error}");
    assert_eq!(whole(&mut optimizer).tensors_differing(&before), Vec::<String>::new());
    read_only(&mut optimizer, &before);
}

/// Where this user may mount something: a file system that is read only.
#[cfg(target_os = "linux")]
fn read_only(optimizer: &mut Optimizer, before: &Checkpoint) {
    let folder = tempfile::tempdir().unwrap();
    let mounted = |options: &str| {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder.path());
        mount.output().is_ok_and(|output| output.status.success())
    };
    if !mounted("size=64k") {
        println!("skipped: this user cannot mount a file system that is read only, or full");
        return;
    }
    let path = folder.path().join("x.safetensors");
    optimizer.save(&path).unwrap();
    // A disk that is full in earnest.
    std::fs::write(folder.path().join("rest"), vec![1; 60 << 10]).unwrap_err();
    let full = optimizer.save(folder.path().join("y.safetensors"));
    let remounted = mounted("remount,ro");
    let error = optimizer.save(&path);
    let kept = Checkpoint::open(&path);
    let names = std::fs::read_dir(folder.path()).unwrap().count();
    let gone = Command::new("umount").arg(folder.path()).status();
    assert!(gone.unwrap().success() && remounted);
    let full = full.unwrap_err().to_string();
    assert!(full.contains("No space left"), "{full}");
    let error = error.unwrap_err().to_string();
    assert!(error.contains("Read-only file system"), "{error}");
    assert_eq!(kept.unwrap().tensors_differing(before), Vec::<String>::new());
    assert_eq!(names, 2, "something is left behind");
}

#[cfg(not(target_os = "linux"))]
fn read_only(_: &mut Optimizer, _: &Checkpoint) {}

#[test]
fn measuring_with_a_faulty_source_changes_nothing() {
    for mut optimizer in optimizers() {
        optimizer.run(&mut quartic(), 4).unwrap();
        let before = whole(&mut optimizer);
        let mut failing = Failing { inner: quartic(), good: 0 };
        let error = optimizer.measure(&mut failing).unwrap_err().to_string();
        assert!(error.contains("the disk with the batches"), "{error}");
        let after = whole(&mut optimizer);
        assert_eq!(after.attempts(), before.attempts());
        let fine = |name: &String| name == "kutta.settled";
        let differing = after.tensors_differing(&before);
        assert!(differing.iter().all(fine), "{differing:?}");
    }
}
