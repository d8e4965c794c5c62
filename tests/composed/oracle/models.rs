//! Losses and their gradients in f64, from the formulas of the models' documentation.

use super::batches::{Cut, key, uniform};

/// A loss that depends on a batch.
pub trait Model {
    /// L and ∇L at x on one batch, and how many samples that is the mean of. Where a
    /// rectifier stands within `kink` of its edge, its slope is that of the other side.
    fn gradient(&self, batch: u64, x: &[f64], kink: f64) -> Gradient;

    /// H v, for sources that multiply.
    fn product(&self, _batch: u64, _x: &[f64], _v: &[f64]) -> Vec<f64> {
        unreachable!("only a source of one's own multiplies")
    }
}

#[derive(Clone, Debug)]
pub struct Gradient {
    pub loss: f64,
    pub g: Vec<f64>,
    pub samples: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    Relu,
    Tanh,
    Gelu,
    Sine(f64),
}

impl Function {
    /// f(z) and f'(z).
    fn at(self, z: f64, kink: f64) -> [f64; 2] {
        match self {
            Self::Relu => {
                let right = (z > 0.0) != (z.abs() < kink);
                [z.max(0.0), f64::from(u8::from(right))]
            }
            Self::Tanh => [z.tanh(), 1.0 - z.tanh().powi(2)],
            Self::Gelu => {
                let c = (2.0 / std::f64::consts::PI).sqrt();
                let t = (c * (z + 0.044715 * z.powi(3))).tanh();
                let slope = c * (1.0 + 3.0 * 0.044715 * z * z);
                [0.5 * z * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * slope]
            }
            Self::Sine(w) => [(w * z).sin(), w * (w * z).cos()],
        }
    }
}

/// What the outputs are compared with.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Labels, by softmax and cross-entropy.
    Classes(Vec<usize>),
    /// Values of every sample, by the mean square.
    Values(Vec<Vec<f64>>),
}

/// Dense layers: where weights `[inputs, outputs]` and biases begin in x.
#[derive(Clone, Debug)]
pub struct Layers {
    pub widths: Vec<usize>,
    pub starts: Vec<[usize; 2]>,
    pub function: Function,
}

/// A row's loss, and its derivative by the outputs, to be divided by the rows.
fn judged(outputs: &[f64], sample: usize, wanted: &Wanted) -> (f64, Vec<f64>) {
    match wanted {
        Wanted::Classes(labels) => {
            let most = outputs.iter().copied().fold(f64::MIN, f64::max);
            let sum: f64 = outputs.iter().map(|z| (z - most).exp()).sum();
            let label = labels[sample];
            let slope =
                |(j, z): (usize, &f64)| (z - most).exp() / sum - if j == label { 1.0 } else { 0.0 };
            let slopes = outputs.iter().enumerate().map(slope).collect();
            (sum.ln() + most - outputs[label], slopes)
        }
        Wanted::Values(values) => {
            let n = outputs.len() as f64;
            let off: Vec<f64> = outputs.iter().zip(&values[sample]).map(|(y, t)| y - t).collect();
            (off.iter().map(|d| d * d).sum::<f64>() / n, off.iter().map(|d| 2.0 * d / n).collect())
        }
    }
}

impl Layers {
    /// Adds one row's part to `g`; gives its loss and the derivative by its inputs, both to
    /// be divided by the rows as `share` says.
    fn row(
        &self,
        x: &[f64],
        inputs: &[f64],
        (sample, wanted): (usize, &Wanted),
        (share, kink): (f64, f64),
        g: &mut [f64],
    ) -> (f64, Vec<f64>) {
        let last = self.starts.len() - 1;
        let mut activations = vec![inputs.to_vec()];
        let mut slopes = Vec::new();
        for (layer, &[weight, bias]) in self.starts.iter().enumerate() {
            let before = &activations[layer];
            let width = self.widths[layer + 1];
            let z = |j: usize| {
                let sum = before.iter().enumerate().map(|(i, a)| x[weight + i * width + j] * a);
                x[bias + j] + sum.sum::<f64>()
            };
            let both = (0..width).map(z).map(|z| match layer == last {
                true => [z, 1.0],
                false => self.function.at(z, kink),
            });
            let (a, slope): (Vec<f64>, Vec<f64>) = both.map(|[a, s]| (a, s)).unzip();
            activations.push(a);
            slopes.push(slope);
        }
        let (loss, by_output) = judged(&activations[last + 1], sample, wanted);
        let mut back: Vec<f64> = by_output.iter().map(|d| d * share).collect();
        for (layer, &[weight, bias]) in self.starts.iter().enumerate().rev() {
            let width = self.widths[layer + 1];
            let dz: Vec<f64> = back.iter().zip(&slopes[layer]).map(|(d, s)| d * s).collect();
            back = vec![0.0; self.widths[layer]];
            for (i, a) in activations[layer].iter().enumerate() {
                for (j, d) in dz.iter().enumerate() {
                    g[weight + i * width + j] += a * d;
                    back[i] += x[weight + i * width + j] * d;
                }
            }
            for (j, d) in dz.iter().enumerate() {
                g[bias + j] += d;
            }
        }
        (loss * share, back)
    }
}

/// Layers over a set of samples.
#[derive(Clone, Debug)]
pub struct Perceptron {
    pub layers: Layers,
    pub inputs: Vec<Vec<f64>>,
    pub wanted: Wanted,
    pub cut: Cut,
}

impl Model for Perceptron {
    fn gradient(&self, batch: u64, x: &[f64], kink: f64) -> Gradient {
        let samples = self.cut.samples(batch);
        let share = 1.0 / samples.len() as f64;
        let mut g = vec![0.0; x.len()];
        let mut loss = 0.0;
        for &i in &samples {
            let wanted = (i, &self.wanted);
            loss += self.layers.row(x, &self.inputs[i], wanted, (share, kink), &mut g).0;
        }
        Gradient { loss, g, samples: samples.len() as f64 }
    }
}

/// How a point becomes the layers' inputs.
#[derive(Clone, Debug)]
pub enum Features {
    Coordinates,
    Waves(Vec<Vec<f64>>),
    /// Levels of a hash grid: cells a side, entries, where the table begins.
    Grid {
        levels: Vec<[usize; 3]>,
        features: usize,
    },
}

/// Frequencies from N(0, σ²), by Marsaglia's polar method over keys 1, 2, … of the seed.
pub fn gaussian(waves: usize, sigma: f64, seed: u64) -> Vec<Vec<f64>> {
    let mut number = 0;
    let mut unit = || {
        number += 1;
        (f64::from(key(seed, number)) + 0.5) / 2f64.powi(31) - 1.0
    };
    let mut normal = || loop {
        let (x, y) = (unit(), unit());
        let s = x * x + y * y;
        if s > 0.0 && s < 1.0 {
            return x * (-2.0 * s.ln() / s).sqrt();
        }
    };
    // The device is given f32.
    let mut drawn = || f64::from((sigma * normal()) as f32);
    (0..waves).map(|_| vec![drawn(), drawn()]).collect()
}

/// ½, 1, 2, … along each axis.
pub fn octaves(octaves: i32) -> Vec<Vec<f64>> {
    let along = |axis: usize| {
        (0..octaves).map(move |o| {
            let mut row = vec![0.0; 2];
            row[axis] = 2f64.powi(o - 1);
            row
        })
    };
    (0..2).flat_map(along).collect()
}

/// Where the rows of a batch lie.
#[derive(Clone, Debug)]
pub enum Rows {
    Texels(Cut),
    Anywhere { rows: usize, seed: u64 },
}

/// A coordinate network over an image.
#[derive(Clone, Debug)]
pub struct Field {
    pub layers: Layers,
    pub features: Features,
    pub rows: Rows,
    pub extent: [usize; 2],
    pub texels: Vec<Vec<f64>>,
}

impl Field {
    fn centre(&self, texel: usize) -> [f64; 2] {
        let [w, h] = self.extent;
        [((texel % w) as f64 + 0.5) / w as f64, ((texel / w) as f64 + 0.5) / h as f64]
    }

    /// Linear between centres of texels; the rim's half texel is the rim's.
    fn interpolated(&self, point: [f64; 2]) -> Vec<f64> {
        let place = |axis: usize| {
            let n = self.extent[axis];
            let p = (point[axis] * n as f64 - 0.5).clamp(0.0, (n - 1) as f64);
            let low = (p as usize).min(n - 1);
            (low, (low + 1).min(n - 1), p - low as f64)
        };
        let ((x0, x1, fx), (y0, y1, fy)) = (place(0), place(1));
        let texel = |x: usize, y: usize| &self.texels[y * self.extent[0] + x];
        let of = |c: usize| {
            let low = texel(x0, y0)[c] * (1.0 - fx) + texel(x1, y0)[c] * fx;
            let high = texel(x0, y1)[c] * (1.0 - fx) + texel(x1, y1)[c] * fx;
            low * (1.0 - fy) + high * fy
        };
        (0..self.texels[0].len()).map(of).collect()
    }

    /// The corners of a point in a level: element of the entry, and weight.
    fn corners(
        [cells, entries, first]: [usize; 3],
        point: [f64; 2],
        features: usize,
    ) -> Vec<(usize, f64)> {
        let dense = (cells + 1) * (cells + 1) <= entries;
        let scaled = point.map(|p| p.clamp(0.0, 1.0) * cells as f64);
        let cell = scaled.map(|s| (s as usize).min(cells - 1));
        let along = [scaled[0] - cell[0] as f64, scaled[1] - cell[1] as f64];
        let corner = |beyond: [usize; 2]| {
            let vertex = [cell[0] + beyond[0], cell[1] + beyond[1]];
            let entry = if dense {
                vertex[1] * (cells + 1) + vertex[0]
            } else {
                let hash = vertex[0] as u32 ^ (vertex[1] as u32).wrapping_mul(2_654_435_761);
                hash as usize % entries
            };
            let weight = |axis: usize| match beyond[axis] {
                1 => along[axis],
                _ => 1.0 - along[axis],
            };
            (first + entry * features, weight(0) * weight(1))
        };
        [[0, 0], [1, 0], [0, 1], [1, 1]].map(corner).to_vec()
    }

    fn inputs(&self, x: &[f64], point: [f64; 2]) -> Vec<f64> {
        match &self.features {
            Features::Coordinates => point.iter().map(|p| 2.0 * p - 1.0).collect(),
            Features::Waves(rows) => {
                let turn =
                    |b: &Vec<f64>| 2.0 * std::f64::consts::PI * (b[0] * point[0] + b[1] * point[1]);
                let cosines = rows.iter().map(|b| turn(b).cos());
                cosines.chain(rows.iter().map(|b| turn(b).sin())).collect()
            }
            Features::Grid { levels, features } => {
                let of = |level: &[usize; 3]| {
                    let corners = Self::corners(*level, point, *features);
                    (0..*features).map(move |f| corners.iter().map(|(at, w)| w * x[at + f]).sum())
                };
                levels.iter().flat_map(of).collect()
            }
        }
    }
}

impl Model for Field {
    fn gradient(&self, batch: u64, x: &[f64], kink: f64) -> Gradient {
        let rows: Vec<([f64; 2], Vec<f64>)> = match &self.rows {
            Rows::Texels(cut) => {
                let row = |i: usize| (self.centre(i), self.texels[i].clone());
                cut.samples(batch).into_iter().map(row).collect()
            }
            Rows::Anywhere { rows, seed } => {
                let key = key(*seed, batch as u32);
                let row = |i: u32| {
                    let point = [uniform(key, 4 * i), uniform(key, 4 * i + 1)];
                    (point, self.interpolated(point))
                };
                (0..*rows as u32).map(row).collect()
            }
        };
        let share = 1.0 / rows.len() as f64;
        let mut g = vec![0.0; x.len()];
        let mut loss = 0.0;
        for (point, wanted) in &rows {
            let wanted = Wanted::Values(vec![wanted.clone()]);
            let inputs = self.inputs(x, *point);
            let row = self.layers.row(x, &inputs, (0, &wanted), (share, kink), &mut g);
            loss += row.0;
            if let Features::Grid { levels, features } = &self.features {
                for (l, level) in levels.iter().enumerate() {
                    for (at, w) in Self::corners(*level, *point, *features) {
                        (0..*features).for_each(|f| g[at + f] += w * row.1[l * features + f]);
                    }
                }
            }
        }
        Gradient { loss, g, samples: rows.len() as f64 }
    }
}

/// Problems with a formula, which know no batches.
#[derive(Clone, Debug)]
pub enum Formula {
    /// ½ Σ λ x²
    Quadratic(Vec<f64>),
    /// ¼ Σ x⁴
    Quartic,
    /// Σ (1 − a)² + 100 (b − a²)² over pairs
    Rosenbrock,
}

impl Model for Formula {
    fn gradient(&self, _: u64, x: &[f64], _: f64) -> Gradient {
        let (loss, g) = match self {
            Self::Quadratic(eigenvalues) => {
                let g: Vec<f64> = eigenvalues.iter().zip(x).map(|(l, x)| l * x).collect();
                (0.5 * g.iter().zip(x).map(|(g, x)| g * x).sum::<f64>(), g)
            }
            Self::Quartic => {
                let fourth = x.iter().map(|x| x.powi(4)).sum::<f64>();
                (0.25 * fourth, x.iter().map(|x| x.powi(3)).collect())
            }
            Self::Rosenbrock => {
                let of = |p: &[f64]| {
                    let (u, v) = (1.0 - p[0], p[1] - p[0] * p[0]);
                    (u * u + 100.0 * v * v, [-2.0 * u - 400.0 * p[0] * v, 200.0 * v])
                };
                let parts: Vec<_> = x.chunks(2).map(of).collect();
                (parts.iter().map(|p| p.0).sum(), parts.iter().flat_map(|p| p.1).collect())
            }
        };
        Gradient { loss, g, samples: 1.0 }
    }
}

/// Of a source that these tests bring themselves; with s = batch mod 7 (0 where there is
/// one batch) and weights w:
///
/// L = Σ w ((1 + s/4) x²/2 − s x/8) + x⁴/8
#[derive(Clone, Debug)]
pub struct Own {
    pub weights: Vec<f64>,
    pub one: bool,
}

impl Own {
    fn s(&self, batch: u64) -> f64 {
        if self.one { 0.0 } else { (batch % 7) as f64 }
    }
}

impl Model for Own {
    fn gradient(&self, batch: u64, x: &[f64], _: f64) -> Gradient {
        let s = self.s(batch);
        let both = self.weights.iter().zip(x).map(|(w, x)| {
            let loss = w * ((1.0 + 0.25 * s) * x * x / 2.0 - s * x / 8.0) + x.powi(4) / 8.0;
            (loss, w * ((1.0 + 0.25 * s) * x - s / 8.0) + x.powi(3) / 2.0)
        });
        let (losses, g): (Vec<f64>, Vec<f64>) = both.unzip();
        Gradient { loss: losses.iter().sum(), g, samples: 1.0 }
    }

    fn product(&self, batch: u64, x: &[f64], v: &[f64]) -> Vec<f64> {
        let s = self.s(batch);
        let slope = |w: f64, x: f64| w * (1.0 + 0.25 * s) + 1.5 * x * x;
        self.weights.iter().zip(x).zip(v).map(|((w, x), v)| slope(*w, *x) * v).collect()
    }
}
