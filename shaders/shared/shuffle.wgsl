// A keyed bijection of 0..count: which sample stands at a position of an epoch.
// Feistel network on the next even number of bits, walked along its cycle until
// it is back below count; moves no memory. Rust twin: src/data/shuffle.rs.

// Chris Wellons' `lowbias32` (hash-prospector, 2018): a bijection of 32 bits in
// which each input bit flips each output bit with probability close to 1/2.
fn shuffle_mix(word: u32) -> u32 {
    var x = word;
    x = (x ^ (x >> 16u)) * 0x7feb352du;
    x = (x ^ (x >> 15u)) * 0x846ca68bu;
    return x ^ (x >> 16u);
}

// The key of an epoch: different for each epoch of a seed.
fn epoch_key(seed_low: u32, seed_high: u32, epoch: u32) -> u32 {
    let seed = shuffle_mix(shuffle_mix(seed_low + 0x9e3779b9u) ^ seed_high);
    return shuffle_mix(seed + epoch * 0x9e3779b9u);
}

// position is taken modulo count; a count of 0 gives 0.
fn shuffle_index(position: u32, count: u32, key: u32) -> u32 {
    if (count <= 1u) {
        return 0u;
    }
    let bits = 32u - countLeadingZeros(count - 1u);
    let half = (bits + 1u) / 2u;
    let mask = (1u << half) - 1u;
    // 2^(2 half) - count points lie outside, so one more step is surely inside.
    // Fewer than 4 are taken on average.
    let outside = ((mask << half) | mask) - count + 1u;
    var x = position % count;
    for (var step = 0u; step <= outside; step++) {
        var left = x >> half;
        var right = x & mask;
        var round_key = key;
        // Luby and Rackoff 1988 need four rounds. With halves of two bits, six
        // still favour some places by a per cent or two; eight do not.
        for (var round = 0u; round < 8u; round++) {
            round_key += 0x9e3779b9u;
            let mixed = left ^ (shuffle_mix(right ^ round_key) & mask);
            left = right;
            right = mixed;
        }
        x = (left << half) | right;
        if (x < count) {
            break;
        }
    }
    return x;
}
