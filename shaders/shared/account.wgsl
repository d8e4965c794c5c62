// What the micro-batches of a gradient come to so far. A micro-batch of n samples weighs
// w = n/unit, so that equal ones weigh 1 each and their sum rounds no more than it must.
//: use record
struct Account {
    // Samples of the first micro-batch that had any; 0 before it.
    unit: f32,
    // Σ w, Σ n, Σ w L, and Σ w where there was a loss.
    weight: f32,
    samples: f32,
    loss: f32,
    loss_weight: f32,
}

// Micro-batches whose source does not count its samples weigh alike.
fn samples_of(bits: u32) -> f32 {
    return select(bitcast<f32>(bits), 1.0, bits == NO_LOSS);
}

// With one more micro-batch; one without samples changes nothing, whatever its loss.
fn taken(before: Account, samples: u32, loss: u32) -> Account {
    let n = samples_of(samples);
    if n == 0.0 {
        return before;
    }
    var after = before;
    after.unit = select(before.unit, n, before.unit == 0.0);
    let weight = n / after.unit;
    after.weight += weight;
    after.samples += n;
    if loss != NO_LOSS {
        after.loss += weight * bitcast<f32>(loss);
        after.loss_weight += weight;
    }
    return after;
}
