//! Which samples a batch holds: the order of an epoch as its description has it, written
//! again.

/// Wellons' `lowbias32`.
fn mix(x: u32) -> u32 {
    let x = (x ^ x >> 16).wrapping_mul(0x7feb352d);
    let x = (x ^ x >> 15).wrapping_mul(0x846ca68b);
    x ^ x >> 16
}

const GOLDEN: u32 = 0x9e3779b9;

/// The key of an epoch, or of whatever else is counted.
pub fn key(seed: u64, number: u32) -> u32 {
    let folded = mix(mix((seed as u32).wrapping_add(GOLDEN)) ^ (seed >> 32) as u32);
    mix(folded.wrapping_add(GOLDEN.wrapping_mul(number)))
}

/// 24 bits in [0, 1), by key and counter.
pub fn uniform(key: u32, counter: u32) -> f64 {
    f64::from(mix(mix(counter.wrapping_add(GOLDEN)) ^ key) >> 8) / f64::from(1 << 24)
}

/// The whole order of an epoch: a Feistel network of eight rounds on pairs of half words,
/// which is walked until it is inside.
fn order(count: u32, key: u32) -> Vec<u32> {
    let mut half = 1;
    while (1u64 << (2 * half)) < u64::from(count) {
        half += 1;
    }
    let mask = (1u32 << half) - 1;
    let once = |x: u32| {
        let (mut l, mut r) = (x >> half, x & mask);
        for round in 1..=8u32 {
            let f = mix(r ^ key.wrapping_add(GOLDEN.wrapping_mul(round)));
            (l, r) = (r, l ^ (f & mask));
        }
        l << half | r
    };
    let inside = |start: u32| {
        let mut x = once(start);
        while x >= count {
            x = once(x);
        }
        x
    };
    (0..count).map(inside).collect()
}

/// How a set of samples is cut into batches.
#[derive(Clone, Debug)]
pub struct Cut {
    pub count: usize,
    pub size: usize,
    pub shuffled: bool,
    pub seed: u64,
}

impl Cut {
    /// The samples of batch `number`, counted over all epochs.
    pub fn samples(&self, number: u64) -> Vec<usize> {
        let per_epoch = self.count.div_ceil(self.size) as u64;
        let (epoch, within) = (number / per_epoch, (number % per_epoch) as usize);
        let order: Vec<u32> = match self.shuffled && self.count > 1 {
            true => order(self.count as u32, key(self.seed, epoch as u32)),
            false => (0..self.count as u32).collect(),
        };
        let end = self.count.min((within + 1) * self.size);
        order[within * self.size..end].iter().map(|&i| i as usize).collect()
    }
}
