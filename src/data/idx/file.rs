//! One IDX file: a magic number (two zero bytes, element type, number of
//! dimensions), the dimensions as big-endian u32, then the elements. Format:
//! LeCun, Cortes, Burges, "The MNIST database of handwritten digits".

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use super::gzip::Members;
use crate::data::DataError;

const UNSIGNED_BYTE: u8 = 0x08;

/// An array of bytes with N dimensions.
#[derive(Debug)]
pub(super) struct Array<const N: usize> {
    pub dimensions: [usize; N],
    pub bytes: Vec<u8>,
}

impl<const N: usize> Array<N> {
    /// Reads a file that is plain or, as its first bytes tell, gzip. Memory
    /// grows with what the file holds, not with what its header claims.
    pub(super) fn read(path: &Path, file: impl Read) -> Result<Self, DataError> {
        let mut file = BufReader::new(file);
        let start = file.fill_buf().map_err(|e| read_error(path, false, 0, &e))?;
        if start.starts_with(&[0x1f, 0x8b]) {
            Self::parse(path, true, Members::new(file))
        } else {
            Self::parse(path, false, file)
        }
    }

    fn parse(path: &Path, gzip: bool, mut content: impl Read) -> Result<Self, DataError> {
        let header = 4 + 4 * N as u64;
        let mut read = |length: u64, before: u64| {
            let mut bytes = Vec::new();
            match content.by_ref().take(length).read_to_end(&mut bytes) {
                Ok(_) => Ok(bytes),
                Err(e) => Err(read_error(path, gzip, before + bytes.len() as u64, &e)),
            }
        };

        let magic = read(4, 0)?;
        if let Ok(bytes) = <[u8; 4]>::try_from(magic.as_slice()) {
            check_magic(path, bytes, N as u8)?;
        }
        let mut words = read(header - 4, magic.len() as u64)?;
        if magic.len() as u64 + (words.len() as u64) < header {
            return Err(DataError::Truncated {
                file: path.into(),
                expected: header,
                found: (magic.len() + words.len()) as u64,
                what: format!("the header of {N} dimensions alone"),
            });
        }

        let mut dimensions = [0u32; N];
        for (dimension, word) in dimensions.iter_mut().zip(words.chunks_exact(4)) {
            *dimension = word.iter().fold(0, |value, &byte| value << 8 | u32::from(byte));
        }
        let overflow =
            || DataError::Dimensions { file: path.into(), dimensions: dimensions.to_vec() };
        let length = dimensions
            .iter()
            .try_fold(1u64, |a, &b| a.checked_mul(u64::from(b)))
            .filter(|&length| isize::try_from(length).is_ok())
            .ok_or_else(overflow)?;

        words.clear();
        // One byte more than promised shows whether the file goes on, and
        // makes gzip check its sum.
        let mut bytes = read(length + 1, header)?;
        let list: Vec<_> = dimensions.iter().map(u32::to_string).collect();
        let what = format!("a header of {header} and {} elements", list.join(" x "));
        let (expected, found) = (header + length, header + bytes.len() as u64);
        if found < expected {
            return Err(DataError::Truncated { file: path.into(), expected, found, what });
        }
        if found > expected {
            return Err(DataError::Trailing { file: path.into(), expected, what });
        }
        bytes.shrink_to_fit();
        Ok(Self { dimensions: dimensions.map(|d| d as usize), bytes })
    }
}

fn check_magic(path: &Path, bytes: [u8; 4], dimensions: u8) -> Result<(), DataError> {
    let [zero, zero2, element, found_dimensions] = bytes;
    let found = u32::from_be_bytes(bytes);
    let expected = u32::from_be_bytes([0, 0, UNSIGNED_BYTE, dimensions]);
    // The other types of the format: i8, i16, i32, f32, f64.
    let other_type = [0x09, 0x0b, 0x0c, 0x0d, 0x0e].contains(&element);
    if [zero, zero2] == [0, 0] && other_type && found_dimensions == dimensions {
        return Err(DataError::ElementType { file: path.into(), found: element, magic: found });
    }
    if found != expected {
        return Err(DataError::Magic { file: path.into(), expected, found, dimensions });
    }
    Ok(())
}

fn read_error(path: &Path, gzip: bool, after: u64, error: &io::Error) -> DataError {
    let (file, reason) = (path.into(), error.to_string());
    // What the operating system reports has its code; what the decoder finds
    // has none.
    if gzip && error.raw_os_error().is_none() {
        DataError::Gzip { file, after, reason }
    } else {
        DataError::Read { file, after, reason }
    }
}
