//! What each target does with some bytes: shared with `tests/hostile.rs`, which replays
//! the corpora.
#![allow(dead_code)] // Each target uses its own.

use kutta::checkpoint::Checkpoint;
use kutta::data::Idx;
use kutta::{
    Adaptive, Method, Momentum, Preconditioner, SpectralRadius, StepSize, Stored, Tableau,
};
use sha2::{Digest, Sha256};

/// The bytes as they are, and with a SHA-256 that fits them: what is behind the hash must
/// stand by itself.
pub fn checkpoint(bytes: &[u8]) {
    read(bytes.to_vec());
    if let Some(last) = bytes.len().checked_sub(32) {
        let mut forged = bytes.to_vec();
        let hash = Sha256::digest(&forged[..last]);
        forged[last..].copy_from_slice(&hash);
        read(forged);
    }
}

fn read(bytes: Vec<u8>) {
    let length = bytes.len();
    match Checkpoint::from_bytes(bytes) {
        Ok(checkpoint) => {
            assert_eq!(checkpoint.len(), length);
            assert!(checkpoint.theta().iter().all(|x| x.is_finite()));
            for tensor in checkpoint.layout().tensors() {
                assert_eq!(checkpoint.tensor(tensor.name()).unwrap().len(), tensor.len());
            }
            let _ = checkpoint.builder();
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Four files, after the lengths of the first three in two bytes each.
pub fn idx(bytes: &[u8]) {
    let Some((lengths, mut rest)) = bytes.split_at_checked(6) else { return };
    let mut files = [&[][..]; 4];
    for (i, file) in files.iter_mut().enumerate() {
        let length = match lengths.get(2 * i..2 * i + 2) {
            Some(length) => usize::from(u16::from_le_bytes([length[0], length[1]])),
            None => rest.len(),
        };
        (*file, rest) = rest.split_at(length.min(rest.len()));
    }
    match Idx::from_bytes(files) {
        Ok(data) => {
            let [height, width] = data.image_shape();
            assert_eq!(data.train_samples().width(), height * width);
            assert!(data.classes() <= 256 && !data.test().is_empty());
            let _ = data.train(1).unwrap();
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// What is read is written and read again to the same bits.
pub fn tableau(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Tableau::from_json(text) {
        Ok(tableau) => assert_eq!(Tableau::from_json(&tableau.to_json()).unwrap(), tableau),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Names of methods and ingredients.
pub fn method(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match text.parse::<Method>() {
        Ok(method) => assert_eq!(method.to_string().parse::<Method>().unwrap(), method),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(made) = text.parse::<Preconditioner>() {
        made.check().unwrap();
        assert_eq!(made.to_string().parse::<Preconditioner>().unwrap(), made);
    }
    if let Ok(made) = text.parse::<Momentum>() {
        made.check().unwrap();
        assert_eq!(made.to_string().parse::<Momentum>().unwrap(), made);
    }
    if let Ok(made) = text.parse::<StepSize>() {
        made.check().unwrap();
        assert!(made.at(0).is_finite() && made.at(u64::MAX).is_finite());
    }
    if let Ok(made) = text.parse::<Adaptive>() {
        made.check().unwrap();
    }
    if let Ok(made) = text.parse::<Stored>() {
        assert_eq!(made.to_string().parse::<Stored>().unwrap(), made);
    }
    if let Ok(made) = text.parse::<SpectralRadius>() {
        assert_eq!(made.to_string().parse::<SpectralRadius>().unwrap(), made);
    }
}
