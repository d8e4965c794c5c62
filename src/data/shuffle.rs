//! The order of samples within an epoch, without a permutation in memory: a
//! keyed bijection of `0..count`, in Rust and in WGSL with the same bits.
//!
//! A Feistel network permutes the numbers of the next even count of bits;
//! results that are not below `count` go through it again ("cycle walking",
//! Black and Rogaway 2002) until they are, which keeps it a bijection.

/// The WGSL twin: `shuffle_index(position, count, key)` and
/// `epoch_key(seed_low, seed_high, epoch)`, all `u32`.
pub const SHUFFLE_WGSL: &str = include_str!("../../shaders/shared/shuffle.wgsl");

const GOLDEN: u32 = 0x9e37_79b9;

/// Chris Wellons' `lowbias32` (hash-prospector, 2018): a bijection of 32 bits
/// in which each input bit flips each output bit with probability close to ½.
fn mix(mut x: u32) -> u32 {
    x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// The key of an epoch: for one seed, different for each of the 2³² epochs.
pub fn epoch_key(seed: u64, epoch: u32) -> u32 {
    let (low, high) = (seed as u32, (seed >> 32) as u32);
    let seed = mix(mix(low.wrapping_add(GOLDEN)) ^ high);
    mix(seed.wrapping_add(epoch.wrapping_mul(GOLDEN)))
}

/// The sample at a position of the epoch with that key.
///
/// `position` is taken modulo `count`; a `count` of 0 gives 0.
///
/// ```
/// use kutta::data::shuffle::{epoch_key, index};
/// let key = epoch_key(7, 0);
/// let mut order: Vec<u32> = (0..10).map(|position| index(position, 10, key)).collect();
/// order.sort();
/// assert_eq!(order, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
/// ```
pub fn index(position: u32, count: u32, key: u32) -> u32 {
    if count <= 1 {
        return 0;
    }
    let bits = 32 - (count - 1).leading_zeros();
    let half = bits.div_ceil(2);
    let mask = (1u32 << half) - 1;
    // 2^(2 half) - count points lie outside, so one more step is surely
    // inside. Fewer than 4 are taken on average.
    let outside = (mask << half | mask) - count + 1;
    let mut x = position % count;
    for _ in 0..=outside {
        let (mut left, mut right) = (x >> half, x & mask);
        let mut round_key = key;
        // Luby and Rackoff 1988 need four rounds. With halves of two bits, six
        // still favour some places by a per cent or two; eight do not.
        for _ in 0..8 {
            round_key = round_key.wrapping_add(GOLDEN);
            (left, right) = (right, left ^ (mix(right ^ round_key) & mask));
        }
        x = left << half | right;
        if x < count {
            break;
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(count: u32, key: u32) -> Vec<u32> {
        (0..count).map(|position| index(position, count, key)).collect()
    }

    fn assert_bijective(count: u32, key: u32) {
        let mut seen = vec![false; count as usize];
        for x in order(count, key) {
            assert!(x < count, "{x} of {count}, key {key:#x}");
            assert!(!seen[x as usize], "{x} twice of {count}, key {key:#x}");
            seen[x as usize] = true;
        }
    }

    #[test]
    fn bijective_for_every_small_count() {
        for count in 1..=600 {
            for key in [0, 1, u32::MAX, epoch_key(1, 2)] {
                assert_bijective(count, key);
            }
        }
    }

    #[test]
    fn bijective_for_large_counts() {
        for count in [60_000, 65_535, 65_536, 65_537, 1 << 20, (1 << 20) + 1] {
            assert_bijective(count, epoch_key(3, count));
        }
    }

    /// Beyond what can be enumerated in a test: a walk of every count ends
    /// inside, and neighbours do not collide.
    #[test]
    fn huge_counts_stay_inside() {
        for count in [(1 << 30) + 1, 1 << 31, u32::MAX] {
            let key = epoch_key(9, count);
            let mut some: Vec<_> = (0..4096).map(|i| index(count - 1 - i, count, key)).collect();
            assert!(some.iter().all(|&x| x < count));
            some.sort_unstable();
            some.dedup();
            assert_eq!(some.len(), 4096, "count {count}");
        }
    }

    #[test]
    fn odd_arguments_are_harmless() {
        assert_eq!(index(5, 0, 3), 0);
        assert_eq!(index(5, 1, 3), 0);
        assert_eq!(index(13, 10, 3), index(3, 10, 3));
    }

    #[test]
    fn epoch_keys_differ() {
        let mut keys: Vec<_> = (0..10_000).map(|epoch| epoch_key(42, epoch)).collect();
        keys.extend((1..10_000).map(|seed| epoch_key(42 + (seed << 32), 0)));
        keys.sort_unstable();
        let before = keys.len();
        keys.dedup();
        // Epochs of one seed never collide; 20,000 keys of several seeds
        // would by chance 0.05 times.
        assert!(before - keys.len() <= 1);
    }

    /// A random permutation has one fixed point on average, and the mean
    /// distance of neighbours is (n + 1) / 3 with a deviation of about
    /// 0.24 n / √n.
    #[test]
    fn order_is_not_the_identity_in_disguise() {
        let n = 60_000u32;
        for epoch in 0..8 {
            let order = order(n, epoch_key(7, epoch));
            let fixed = (0..n).filter(|&i| order[i as usize] == i).count();
            assert!(fixed <= 8, "{fixed} fixed points");
            let distance: u64 =
                order.windows(2).map(|pair| u64::from(pair[0].abs_diff(pair[1]))).sum();
            let mean = distance as f64 / f64::from(n - 1);
            let deviation = 0.24 * f64::from(n).sqrt();
            assert!((mean - f64::from(n + 1) / 3.0).abs() < 5.0 * deviation, "mean {mean}");
            let rising = order.windows(2).filter(|pair| pair[0] < pair[1]).count() as f64;
            // Rises of a random permutation: n/2 with a variance of n/12.
            assert!((rising - f64::from(n) / 2.0).abs() < 5.0 * (f64::from(n) / 12.0).sqrt());
        }
    }

    #[test]
    fn epochs_are_not_alike() {
        let n = 60_000u32;
        let first = order(n, epoch_key(7, 0));
        for (seed, epoch) in [(7, 1), (7, 2), (8, 0), (7 << 32, 0)] {
            let other = order(n, epoch_key(seed, epoch));
            let same = first.iter().zip(&other).filter(|(a, b)| a == b).count();
            assert!(same <= 8, "{same} samples at the same place");
            let shared = first[..6000].iter().filter(|x| other[..6000].contains(x)).count();
            // Hypergeometric: 600 with a deviation of 22.
            assert!(shared.abs_diff(600) < 110, "the first tenths share {shared} samples");
        }
    }

    /// Each sample comes to each place equally often, over keys.
    #[test]
    fn places_are_uniform_over_keys() {
        for count in [2u32, 3, 5, 7, 10, 16, 17, 37] {
            let keys = 4000 * count;
            let n = count as usize;
            let mut hits = vec![0u32; n * n];
            for key in 0..keys {
                for position in 0..count {
                    let x = index(position, count, epoch_key(11, key));
                    hits[position as usize * n + x as usize] += 1;
                }
            }
            let square = |h: &u32| (f64::from(*h) - 4000.0).powi(2) / 4000.0;
            let chi: f64 = hits.iter().map(square).sum();
            let freedom = ((count - 1) * (count - 1)) as f64;
            let bound = freedom + 5.0 * (2.0 * freedom).sqrt() + 10.0;
            assert!(chi < bound, "count {count}: chi² {chi:.1}, bound {bound:.1}");
        }
    }
}
