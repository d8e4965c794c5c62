//! Tells `kutta roofline` which wgpu it is built with: the lock file says.

use std::path::Path;
use std::{env, fs};

fn main() {
    let package = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let lock = Path::new(&package)
        .ancestors()
        .map(|folder| folder.join("Cargo.lock"))
        .find(|lock| lock.is_file());
    let text = lock.as_ref().and_then(|lock| fs::read_to_string(lock).ok()).unwrap_or_default();
    let after = text.split("name = \"wgpu\"\nversion = \"").nth(1);
    let version = after.and_then(|rest| rest.split('"').next()).unwrap_or("30");
    println!("cargo::rustc-env=KUTTA_WGPU_VERSION={version}");
    println!("cargo::rerun-if-changed=build.rs");
    if let Some(lock) = lock {
        println!("cargo::rerun-if-changed={}", lock.display());
    }
}
