//! `kutta` as people run it, in the root of a checkout.

mod faults_of_use;
mod flow;
mod hashes;
mod own_methods;
mod profile;
mod roofline;
mod study;
mod train;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Data and methods that make trouble.
const FAULTS: &str = "tests/data/faults";

/// A method of one's own.
const BUTCHER5: &str = "examples/butcher5.json";

/// A path in the checkout.
fn path(inside: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(inside)
}

/// `kutta` with a command.
fn command(name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kutta"));
    command.current_dir(path("")).arg(name);
    command
}

fn run(name: &str, options: &[&str]) -> Output {
    command(name).args(options).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn string(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_program_says_what_it_is() {
    let kutta = |options: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_kutta")).args(options).output().unwrap()
    };
    // Without a command it has nothing to do, and says what it could.
    let alone = kutta(&[]);
    let help = kutta(&["--help"]);
    assert_eq!((alone.status.code(), help.status.code()), (Some(2), Some(0)));
    for said in [text(&alone.stderr), text(&help.stdout)] {
        let names = "train flow compare race study methods profile roofline hashes adapters";
        for name in names.split(' ') {
            assert!(said.contains(&format!("\n  {name} ")), "{name} is not in {said}");
        }
    }
    let version = kutta(&["--version"]);
    assert_eq!(text(&version.stdout), concat!("kutta ", env!("CARGO_PKG_VERSION"), "\n"));
    assert_eq!(kutta(&["fly"]).status.code(), Some(2));
}

/// A folder of IDX files with so many images of 2 × 2, others for another seed, and 16 to
/// test with.
fn idx(samples: u8, seed: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (part, n) in [("train", samples), ("t10k", 16)] {
        let count = [0, 0, 0, n];
        let images = [&[0, 0, 8, 3][..], &count, &[0, 0, 0, 2, 0, 0, 0, 2]].concat();
        let pixels = (0..4 * u32::from(n)).map(|i| ((i + seed) * 37 % 251) as u8);
        let images: Vec<u8> = images.into_iter().chain(pixels).collect();
        let labels: Vec<u8> =
            [0, 0, 8, 1].into_iter().chain(count).chain((0..n).map(|i| i % 10)).collect();
        fs::write(folder.path().join(format!("{part}-images-idx3-ubyte")), images).unwrap();
        fs::write(folder.path().join(format!("{part}-labels-idx1-ubyte")), labels).unwrap();
    }
    folder
}
