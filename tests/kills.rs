//! A training that is killed again and again, and goes on from its checkpoints to the
//! bits of one that never was. `scripts/kills.sh N` asks for N kills; without it there
//! are a few.
#![cfg(unix)] // Elsewhere no process can be killed without notice.

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{gpu, noise};
use kutta::checkpoint::{Checkpoint, Checkpoints, Every};
use kutta::data::{Batches, Inputs, Samples, Targets};
use kutta::models::Mlp;
use kutta::optimizer::Builder;
use kutta::{
    Adaptive, Method, Momentum, Optimizer, Preconditioner, Rounding, StepSize, Storage, Stored,
};

const FOLDER: &str = "KUTTA_KILLS_FOLDER";
const RECIPE: &str = "KUTTA_KILLS_RECIPE";

/// Long enough to be killed several times.
const ATTEMPTS: u64 = 400;
const EVERY: u64 = 10;

fn network() -> Mlp {
    let n = 200;
    let inputs = Inputs::F32(noise(16 * n, 5));
    let targets = Targets::Labels { labels: (0..n).map(|i| (i % 5) as u8).collect(), classes: 5 };
    let samples = Samples::new(inputs, 16, targets).unwrap();
    Mlp::classifier(gpu(), &[16, 24, 5], Batches::new(samples, 16).unwrap().seed(11)).unwrap()
}

/// One for each kind of state.
fn recipe(number: usize) -> Builder {
    let builder = |name: &str| Optimizer::builder(name.parse::<Method>().unwrap());
    let adam = |builder: Builder| {
        builder.preconditioner(Preconditioner::adam(0.99, 1e-4)).momentum(Momentum::ema(0.9))
    };
    let half = Stored::all(Storage::Bf16).rounding(Rounding::Stochastic);
    match number % RECIPES {
        0 => adam(builder("rk4").step_size(StepSize::cosine(0.02, 0.001, 300))),
        1 => adam(builder("bs3").adaptive(Adaptive::new(1e-2, 1e-3))).storage(half).average(0.9),
        _ => builder("rkc2").step_size(StepSize::constant(0.3)).momentum(Momentum::heavy_ball(0.5)),
    }
}

const RECIPES: usize = 3;

/// Trains to the end from wherever the folder has come to.
fn train(folder: &Path, number: usize) {
    let mut mlp = network();
    let mut saving = Checkpoints::new(folder).unwrap().every(Every::Steps(EVERY)).keep(3);
    let mut optimizer = match saving.newest().unwrap() {
        Some(found) => {
            assert!(found.passed_over.is_empty(), "{:?}", found.passed_over);
            println!("from {}", found.checkpoint.attempts());
            found.checkpoint.resume(gpu()).unwrap()
        }
        None => recipe(number).build(gpu(), mlp.layout(), &mlp.initial(7)).unwrap(),
    };
    let made =
        saving.files().unwrap().last().map_or(0, |file| Checkpoint::open(file).unwrap().attempts());
    saving.run(&mut optimizer, &mut mlp, ATTEMPTS - made).unwrap();
    saving.finish(&mut optimizer).unwrap();
}

#[test]
#[ignore = "the process that is killed"]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let number = std::env::var(RECIPE).unwrap().parse().unwrap();
    train(Path::new(&folder), number);
}

fn spawn(folder: &Path, number: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .env(RECIPE, number.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn end(folder: &Path) -> Checkpoint {
    let mut saving = Checkpoints::new(folder).unwrap();
    let found = saving.newest().unwrap().unwrap();
    assert_eq!(found.checkpoint.attempts(), ATTEMPTS);
    found.checkpoint
}

/// Uniform in [0, 1), by the clock of the day: no two runs are killed alike.
struct Moments(u64);

impl Moments {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[test]
fn killed_at_random_moments_it_ends_with_the_same_bits() {
    let kills: u32 = std::env::var("KUTTA_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let mut moments = Moments(now.as_nanos() as u64 | 1);
    let (mut killed, mut trainings, mut restarts) = (0, 0, 0);
    // Where the kills fell: before any file was there, and while one was being written.
    let (mut early, mut torn) = (0, 0);
    // Undisturbed, and how long that takes, with the start of the process.
    let mut undisturbed = Vec::new();
    for number in 0.. {
        if killed >= kills {
            break;
        }
        if undisturbed.len() < RECIPES {
            let straight = tempfile::tempdir().unwrap();
            let begun = Instant::now();
            let status = spawn(straight.path(), number).wait().unwrap();
            assert!(status.success(), "undisturbed: {status}");
            undisturbed.push((end(straight.path()), begun.elapsed()));
        }
        let (expected, whole) = &undisturbed[number % RECIPES];
        let folder = tempfile::tempdir().unwrap();
        loop {
            let mut child = spawn(folder.path(), number);
            let moment = whole.mul_f64(moments.next());
            if killed < kills {
                let deadline = Instant::now() + moment;
                while Instant::now() < deadline && child.try_wait().unwrap().is_none() {
                    std::thread::sleep(Duration::from_micros(200));
                }
            }
            let ended = match killed < kills {
                true => child.try_wait().unwrap(),
                false => Some(child.wait().unwrap()),
            };
            if let Some(status) = ended {
                assert!(status.success(), "a restart does not go on: {status}");
                break;
            }
            // SIGKILL.
            child.kill().unwrap();
            let status = child.wait().unwrap();
            if status.success() {
                break;
            }
            killed += 1;
            restarts += 1;
            if killed % 20 == 0 {
                println!("{killed} kills, {trainings} trainings to their end");
            }
            let names: Vec<String> = std::fs::read_dir(folder.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            torn += u32::from(names.iter().any(|name| name.ends_with(".kutta-part")));
            let files: Vec<_> = names.iter().filter(|n| n.ends_with(".safetensors")).collect();
            early += u32::from(files.is_empty());
            for file in files {
                // Under its name there is a whole file, whenever the process ended.
                Checkpoint::open(folder.path().join(file)).unwrap();
            }
        }
        let found = end(folder.path());
        let differing = found.tensors_differing(expected);
        // The host may have known of another submit when the last file was written.
        let fine = |name: &String| name == "kutta.settled";
        assert!(differing.iter().all(fine), "{}: {differing:?}", expected.method());
        trainings += 1;
    }
    println!(
        "{killed} kills ({early} before the first checkpoint, {torn} while one was being \
         written), {restarts} of {killed} restarts from a whole checkpoint or the start; \
         {trainings} trainings of {ATTEMPTS} attempts ended with the bits of undisturbed ones, on {}",
        gpu().info().name
    );
}
