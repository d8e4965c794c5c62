//! Parts of data sets.

use std::ops::Range;

use kutta::Error;
use kutta::data::{Inputs, Samples, Targets};

/// Those samples of a labelled set of bytes that stand in the range, as far as it has them;
/// of other sets, all.
///
/// # Errors
/// A part without samples.
pub fn part(samples: &Samples, range: Range<usize>) -> Result<Samples, Error> {
    let (Inputs::Bytes(inputs), Targets::Labels { labels, classes }) =
        (samples.inputs(), samples.targets())
    else {
        return Ok(samples.clone());
    };
    let (end, width) = (range.end.min(samples.len()), samples.width());
    let range = range.start.min(end)..end;
    let inputs = Inputs::Bytes(inputs[range.start * width..range.end * width].to_vec());
    let targets = Targets::Labels { labels: labels[range].to_vec(), classes: *classes };
    Ok(Samples::new(inputs, width, targets)?)
}
