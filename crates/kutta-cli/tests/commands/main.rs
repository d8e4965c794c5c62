//! `kutta` and `neural-image` as people run them, in the root of a checkout.

mod faults_of_use;
mod flow;
mod own_methods;
mod roofline;
mod train;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Images and methods that make trouble.
const FAULTS: &str = "tests/data/faults";

/// A method of one's own.
const BUTCHER5: &str = "examples/butcher5.json";

/// A path in the checkout.
fn path(inside: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(inside)
}

/// A command of `kutta`; or `neural_image`, the program of the package beside it.
fn command(name: &str) -> Command {
    let kutta = Path::new(env!("CARGO_BIN_EXE_kutta"));
    let mut command = match name {
        "neural_image" => {
            let beside = format!("neural-image{}", std::env::consts::EXE_SUFFIX);
            Command::new(kutta.with_file_name(beside))
        }
        _ => {
            let mut command = Command::new(kutta);
            command.arg(name);
            command
        }
    };
    command.current_dir(path(""));
    command
}

fn run(name: &str, options: &[&str]) -> Output {
    let output = command(name).args(options).output();
    output.expect("the programs are built first: cargo build --release --workspace")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn string(path: &Path) -> &str {
    path.to_str().unwrap()
}
