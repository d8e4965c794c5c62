//! Encodings turn a point into the inputs of a field's layers.

use super::kernels::{GridLevel, MOST_LEVELS};
use crate::models::ModelError;

/// Most features of an entry: as many as a kernel keeps.
const MOST_FEATURES: u32 = 8;

/// An encoding turns a point p of \[0, 1\]ᵈ into the inputs of the layers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Encoding {
    /// 2p − 1: for layers of sines.
    Coordinates,
    /// cos 2πb·p and sin 2πb·p for `waves` frequencies b drawn from N(0, σ²) in each
    /// axis, fixed for good: Tancik et al. 2020. σ is about half the finest detail's
    /// frequency, in periods per side.
    Gaussian { waves: u32, sigma: f32, seed: u64 },
    /// cos 2πb·p and sin 2πb·p for b = ½, 1, 2, …, 2^(octaves − 2) along each axis by
    /// itself: Mildenhall et al. 2020.
    Octaves { octaves: u32 },
    /// Trained features at the vertices of several lattices, interpolated linearly.
    HashGrid(HashGrid),
}

/// A multi-resolution hash grid: Müller, Evans, Schied, Keller 2022.
///
/// Level l has N = ⌊coarsest · growthˡ⌋ cells a side. Where its (N + 1)ᵈ vertices are no
/// more than 2^`log2_table` each has an entry of its own; else they share a table of that
/// many by a spatial hash. Entries begin uniform in ±10⁻⁴.
///
/// The gradient of an entry is a sum over the rows and corners that met it, in integers:
/// on a scale 2ᵏ ≥ 2²⁸ / (rows · max |dx|), with dx the gradient by the level's features.
/// Each term is off by at most 2⁻ᵏ/2, so by rows · max |dx| / 2²⁹; no sum can overflow;
/// and the same terms give the same bits in any order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HashGrid {
    /// 1 to 32.
    pub levels: u32,
    /// Numbers in an entry, 1 to 8.
    pub features: u32,
    /// log₂ of the entries of a level, at most: 1 to 24.
    pub log2_table: u32,
    /// Cells a side of level 0.
    pub coarsest: u32,
    /// Factor from one level's cells a side to the next's, at least 1.
    pub growth: f32,
}

impl Default for HashGrid {
    /// 8 levels of 2 features in tables of 2¹², from 8 cells a side on, growth 1.6.
    fn default() -> Self {
        Self { levels: 8, features: 2, log2_table: 12, coarsest: 8, growth: 1.6 }
    }
}

fn check(what: &'static str, found: f64, (least, most): (f64, f64)) -> Result<(), ModelError> {
    if found >= least && found <= most {
        return Ok(());
    }
    Err(ModelError::Encoding { what, found, least, most })
}

impl HashGrid {
    /// Cells a side of every level: below 2²⁰, beyond which f32 loses the place in a cell.
    pub fn resolutions(&self) -> Result<Vec<u32>, ModelError> {
        check("levels of a hash grid", self.levels.into(), (1.0, MOST_LEVELS as f64))?;
        check("features of a hash grid", self.features.into(), (1.0, MOST_FEATURES.into()))?;
        check("log2_table of a hash grid", self.log2_table.into(), (1.0, 24.0))?;
        check("coarsest of a hash grid", self.coarsest.into(), (1.0, 1048576.0))?;
        check("growth of a hash grid", self.growth.into(), (1.0, 1048576.0))?;
        let side = |level| f64::from(self.coarsest) * f64::from(self.growth).powi(level as i32);
        let finest = side(self.levels - 1);
        check("cells a side of a hash grid's finest level", finest, (1.0, 1048576.0))?;
        Ok((0..self.levels).map(|level| side(level) as u32).collect())
    }

    /// The levels in `dimensions` dimensions, each at the element that `first` says.
    pub(super) fn levels(&self, dimensions: usize) -> Result<Vec<GridLevel>, ModelError> {
        let table = 1u64 << self.log2_table.min(24);
        let level = |resolution: u32| {
            let vertices = (u64::from(resolution) + 1).pow(dimensions as u32);
            let dense = vertices <= table;
            let entries = if dense { vertices } else { table } as u32;
            GridLevel { resolution, first: 0, entries, dense: dense.into() }
        };
        Ok(self.resolutions()?.into_iter().map(level).collect())
    }
}

impl Encoding {
    /// Refuses what no kernel can do.
    pub(super) fn check(&self) -> Result<(), ModelError> {
        match self {
            Encoding::Coordinates => Ok(()),
            Encoding::Gaussian { waves, sigma, .. } => {
                check("waves of an encoding", (*waves).into(), (1.0, 4096.0))?;
                check("sigma of an encoding", (*sigma).into(), (f32::MIN_POSITIVE.into(), 1e4))
            }
            Encoding::Octaves { octaves } => {
                check("octaves of an encoding", (*octaves).into(), (1.0, 16.0))
            }
            Encoding::HashGrid(grid) => grid.resolutions().map(|_| ()),
        }
    }

    /// Inputs of the first layer.
    pub fn features(&self, dimensions: usize) -> usize {
        match self {
            Encoding::Coordinates => dimensions,
            Encoding::Gaussian { waves, .. } => 2 * *waves as usize,
            Encoding::Octaves { octaves } => 2 * *octaves as usize * dimensions,
            Encoding::HashGrid(grid) => (grid.levels * grid.features) as usize,
        }
    }

    /// The frequencies of waves, one in each row.
    pub(super) fn frequencies(&self, dimensions: usize) -> Vec<[f32; 4]> {
        match *self {
            Encoding::Gaussian { waves, sigma, seed } => {
                let mut normal = Normal::new(seed);
                let mut row = || {
                    let mut row = [0.0; 4];
                    row[..dimensions].fill_with(|| (f64::from(sigma) * normal.next()) as f32);
                    row
                };
                (0..waves).map(|_| row()).collect()
            }
            Encoding::Octaves { octaves } => (0..dimensions)
                .flat_map(|axis| {
                    (0..octaves as i32).map(move |octave| {
                        let mut row = [0.0; 4];
                        row[axis] = 2f32.powi(octave - 1);
                        row
                    })
                })
                .collect(),
            Encoding::Coordinates | Encoding::HashGrid(_) => Vec::new(),
        }
    }
}

/// Normal numbers by Marsaglia's polar method.
struct Normal {
    state: u32,
    seed: u64,
}

impl Normal {
    fn new(seed: u64) -> Self {
        Self { state: 0, seed }
    }

    /// Uniform in (−1, 1).
    fn unit(&mut self) -> f64 {
        self.state += 1;
        let key = crate::data::shuffle::epoch_key(self.seed, self.state);
        (f64::from(key) + 0.5) / 2f64.powi(31) - 1.0
    }

    fn next(&mut self) -> f64 {
        loop {
            let (x, y) = (self.unit(), self.unit());
            let s = x * x + y * y;
            if s > 0.0 && s < 1.0 {
                return x * (-2.0 * s.ln() / s).sqrt();
            }
        }
    }
}
