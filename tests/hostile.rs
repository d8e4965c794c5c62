//! Hostile input: damaged checkpoints are refused whatever is damaged, nothing panics,
//! and nothing allocates more than a file holds. No adapter is needed.

#[path = "../fuzz/fuzz_targets/bodies.rs"]
mod bodies;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;

use kutta::checkpoint::{Checkpoint, CheckpointError};
use kutta::{Error, Optimizer, StepSize};
use sha2::{Digest, Sha256};

/// Notes the largest allocation that a thread asks for.
struct Noting;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

fn note(size: usize) {
    // A thread that ends has no place to note it in any more.
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(size)));
}

// SAFETY: every call goes on to the system's allocator as it is.
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static NOTING: Noting = Noting;

fn largest<T>(calls: impl FnOnce() -> T) -> (T, usize) {
    LARGEST.set(0);
    let made = calls();
    (made, LARGEST.get())
}

const WHOLE: &[u8] = include_bytes!("data/checkpoint-0.1.0.safetensors");

/// Refused as damaged, with a reason, and without a large allocation.
fn check_refused(bytes: Vec<u8>, what: &str) {
    let length = bytes.len();
    let (found, largest) = largest(|| Checkpoint::from_bytes(bytes));
    let Err(Error::Checkpoint(CheckpointError::Damaged { fault, .. })) = found else {
        panic!("{what}: {found:?}");
    };
    let named = ["no safetensors file: ", "SHA-256", "no tensor `kutta.sha256`"];
    assert!(named.iter().any(|words| fault.contains(words)), "{what}: {fault}");
    // An error's own text may be longer than a few bytes are.
    assert!(largest <= length.max(1024), "{what}: {largest} bytes for a file of {length}");
}

#[test]
fn a_whole_file_is_read_without_an_allocation_beyond_its_size() {
    let (read, largest) = largest(|| Checkpoint::from_bytes(WHOLE.to_vec()));
    read.unwrap();
    assert!(largest <= WHOLE.len(), "{largest}");
}

#[test]
fn any_byte_that_is_not_as_it_was_is_refused() {
    for at in 0..WHOLE.len() {
        for flip in [0x01, 0x20, 0x80, 0xff] {
            let mut bytes = WHOLE.to_vec();
            bytes[at] ^= flip;
            check_refused(bytes, &format!("byte {at} ^ {flip:#x}"));
        }
    }
}

#[test]
fn a_file_that_is_cut_anywhere_or_longer_is_refused() {
    for length in 0..WHOLE.len() {
        check_refused(WHOLE[..length].to_vec(), &format!("cut at {length}"));
    }
    for more in [1, 32, 1000] {
        let bytes = [WHOLE, &vec![0; more]].concat();
        check_refused(bytes, &format!("{more} bytes more"));
    }
}

#[test]
fn headers_that_claim_the_world_cost_nothing() {
    for claimed in [1 << 20, 1 << 26, 1 << 40, u64::MAX, u64::MAX - 7] {
        let mut bytes = WHOLE.to_vec();
        bytes[..8].copy_from_slice(&claimed.to_le_bytes());
        check_refused(bytes, &format!("a header of {claimed}"));
    }
}

/// The file with another text in its header, and a hash that fits.
fn forged(from: &str, to: &str) -> Vec<u8> {
    let header = u64::from_le_bytes(WHOLE[..8].try_into().unwrap()) as usize;
    let text = std::str::from_utf8(&WHOLE[8..8 + header]).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    let text = text.replacen(from, to, 1);
    let data = &WHOLE[8 + header..WHOLE.len() - 32];
    let mut bytes = [&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), data].concat();
    let hash = Sha256::digest(&bytes);
    bytes.extend_from_slice(&hash);
    bytes
}

/// Whole files whose content nobody should resume from.
#[test]
fn forged_files_are_refused_by_what_is_wrong_with_them() {
    Checkpoint::from_bytes(forged("\"note.seed\":\"7\"", "\"note.seed\":\"8\"")).unwrap();
    for (from, to, words) in [
        ("\"kutta.format\":\"1\"", "\"kutta.format\":\"2\"", "format 2"),
        ("\"kutta.format\":\"1\"", "\"kutta.format\":\"x\"", "format `x`"),
        ("\"kutta.format\":\"1\",", "", "`kutta.format`"),
        ("\"kutta.control\":\"h alive", "\"kutta.control\":\"alive h", "words alive h"),
        ("\\\"counts\\\"", "\\\"count\\\"", "kutta.host"),
        ("\\\"attempts\\\":20", "\\\"attempts\\\":21", "does not count"),
        ("\\\"shape\\\":[3,6]", "\\\"shape\\\":[6,3000]", "layer0.weight"),
        ("\\\"shape\\\":[3,6]", "\\\"shape\\\":[9223372036854775807,3]", "layer0.weight"),
        ("\\\"name\\\":\\\"layer0.bias\\\"", "\\\"name\\\":\\\"layer0.weight\\\"", "twice"),
        ("\\\"name\\\":\\\"layer0.bias\\\"", "\\\"name\\\":\\\"layer9.bias\\\"", "layer9.bias"),
        ("\\\"beta\\\":0.9", "\\\"beta\\\":nine", "kutta.options"),
        (
            "\\\"momentum\\\":{\\\"average\\\":{\\\"beta\\\":0.9}}",
            "\\\"momentum\\\":\\\"none\\\"",
            "`kutta.momentum.layer0.bias` is neither",
        ),
        ("\\\"momentum\\\":\\\"bf16\\\"", "\\\"momentum\\\":\\\"f32\\\"", "kutta.momentum.layer0"),
        ("\\\"average\\\":0.9", "\\\"average\\\":null", "`kutta.average.layer0.bias` is neither"),
    ] {
        let bytes = forged(from, to);
        let length = bytes.len();
        let (found, largest) = largest(|| Checkpoint::from_bytes(bytes));
        let message = found.map(|_| ()).unwrap_err().to_string();
        assert!(message.contains(words), "{from} -> {to}: {message:?} lacks {words:?}");
        assert!(largest <= length, "{from} -> {to}: {largest} bytes for {length}");
    }
}

/// Whole files whose tensors are declared otherwise than they were written: as many bytes,
/// another meaning. A reader that goes by bytes alone would take them.
#[test]
fn tensors_declared_otherwise_are_refused_by_name() {
    let weight = |of: &str, shape: &str| {
        let offsets = if of.is_empty() { "[0,72]" } else { "[208,280]" };
        format!(r#""{of}layer0.weight":{{"data_offsets":{offsets},"dtype":"F32","shape":{shape}}}"#)
    };
    let control = r#""kutta.control":{"data_offsets":[416,592],"dtype":"U32","shape":[44]}"#;
    let bias = r#""layer0.bias":{"data_offsets":[72,96],"dtype":"F32","shape":[6]}"#;
    let momentum = r#"{"data_offsets":[592,628],"dtype":"BF16","shape":[3,6]}"#;
    let twice = format!("{},{bias}", bias.replace("[6]", "[2,3]"));
    for (from, to, words) in [
        (&*weight("", "[3,6]"), &*weight("", "[6,3]"), &["`layer0.weight`", "[6, 3]"][..]),
        (&weight("", "[3,6]"), &weight("", "[18]"), &["`layer0.weight`", "[18]"]),
        (&weight("", "[3,6]"), &weight("", "[1,3,6]"), &["`layer0.weight`", "[1, 3, 6]"]),
        (
            &weight("kutta.average.", "[3,6]"),
            &weight("kutta.average.", "[6,3]"),
            &["`kutta.average.layer0.weight`", "[6, 3]"],
        ),
        (momentum, &momentum.replace("[3,6]", "[6,3]"), &["`kutta.momentum.layer0.weight`"]),
        (momentum, &momentum.replace("BF16", "F16"), &["`kutta.momentum.layer0.weight`", "F16"]),
        (bias, &bias.replace("F32", "U32"), &["`layer0.bias`", "U32"]),
        (control, &control.replace("[44]", "[4,11]"), &["`kutta.control`", "[4, 11]"]),
        (control, &control.replace("U32", "F32"), &["`kutta.control`", "F32"]),
        (bias, &bias.replace("layer0.bias", "kutta.eigenvector"), &["layer0.bias"]),
        (bias, &twice, &["`layer0.bias` is there twice"]),
        (
            r#""note.seed":"7""#,
            r#""note.seed":"7","note.seed":"8""#,
            &["`note.seed` is there twice"],
        ),
        (r#""note.seed":"7""#, r#""kutta.more":"7""#, &["`kutta.more`", "unknown"]),
        (r#""note.seed":"7""#, r#""seed":"7""#, &["`seed`", "unknown"]),
        (r#"\"opens\":true"#, r#"\"opens\":true,\"opens\":false"#, &["kutta.host", "twice"]),
        (r#"\"name\": \"dp5\""#, r#"\"name\": \"a\", \"name\": \"dp5\""#, &["options", "twice"]),
    ] {
        let found = Checkpoint::from_bytes(forged(from, to));
        let message = found.map(|_| ()).unwrap_err().to_string();
        for part in words {
            assert!(message.contains(part), "{to}: {message:?} lacks {part:?}");
        }
    }
    let hash = Checkpoint::from_bytes(forged("\"shape\":[32]", "\"shape\":[4,8]"));
    assert!(hash.unwrap_err().to_string().contains("kutta.sha256"));
}

/// Options that can be read and cannot be built with: that is said before a device is
/// asked for anything, so a builder alone shows it.
#[test]
fn options_out_of_range_are_read_and_refused_by_the_builder() {
    let bytes =
        forged("{\\\"average\\\":{\\\"beta\\\":0.9}}", "{\\\"average\\\":{\\\"beta\\\":1.5}}");
    let checkpoint = Checkpoint::from_bytes(bytes).unwrap();
    assert!(format!("{:?}", checkpoint.builder()).contains("beta: 1.5"));
    let fine = Optimizer::builder(checkpoint.method().clone()).step_size(StepSize::constant(1.0));
    assert!(!format!("{fine:?}").is_empty());
}

#[test]
fn the_corpora_are_replayed() {
    type Body = fn(&[u8]);
    let targets: [(&str, Body, usize); 4] = [
        ("checkpoint", bodies::checkpoint, 4),
        ("idx", bodies::idx, 10),
        ("tableau", bodies::tableau, 10),
        ("method", bodies::method, 20),
    ];
    for (target, body, least) in targets {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let mut seen = 0;
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            body(&bytes);
            // Neighbours of what is kept, for a start.
            for at in (0..bytes.len()).step_by(1 + bytes.len() / 40) {
                let mut near = bytes.clone();
                near[at] ^= 1 << (at % 8);
                body(&near);
                body(&bytes[..at]);
            }
            seen += 1;
        }
        assert!(seen >= least, "{target}: {seen} inputs");
    }
}
