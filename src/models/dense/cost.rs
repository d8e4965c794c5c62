//! What a large GPU costs whatever runs there: fitted to `docs/results/forms-h100.txt`.

/// A dispatch that depends on the one before.
pub const DISPATCH: f64 = 1.83;
/// Multiprocessors of a large GPU: what the model takes every GPU for.
pub const PROCESSORS: f64 = 132.0;
/// Bytes that are read or written in a microsecond.
pub const MOVED: f64 = 2.18e6;

/// About the longest of several times. Smoothly: where two are alike, they get in each other's
/// way.
pub fn together(times: &[f64]) -> f64 {
    const SHARPNESS: f64 = 1.9;
    times.iter().map(|t| t.powf(SHARPNESS)).sum::<f64>().powf(1.0 / SHARPNESS)
}
