//! The content of a gzip file (RFC 1952).

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// Reads the members of a gzip file one after the other. Zero bytes behind the last
/// one are what blocks of a tape or of a disk image are filled up with: they are no
/// content, as for `gzip` itself.
pub(super) struct Members<R> {
    /// The member that is read; none at the end.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    pub(super) fn new(file: R) -> Self {
        Self { member: Some(GzDecoder::new(file)) }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(bytes)?;
            if read > 0 || bytes.is_empty() {
                return Ok(read);
            }
            self.member = match self.member.take().map(GzDecoder::into_inner) {
                Some(rest) => next(rest)?,
                None => None,
            };
        }
        Ok(0)
    }
}

/// The member behind one that has ended, if there is another.
fn next<R: BufRead>(mut rest: R) -> io::Result<Option<GzDecoder<R>>> {
    let mut padding = 0;
    loop {
        let bytes = rest.fill_buf()?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
        if zeros < bytes.len() {
            break;
        }
        padding += zeros as u64;
        rest.consume(zeros);
    }
    let zeros = rest.fill_buf()?.iter().take_while(|&&byte| byte == 0).count() as u64;
    if padding + zeros > 0 {
        let words = format!("after {} zero bytes that fill it up it goes on", padding + zeros);
        return Err(io::Error::new(io::ErrorKind::InvalidData, words));
    }
    Ok(Some(GzDecoder::new(rest)))
}
