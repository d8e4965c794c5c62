// The losses of a row, and their gradients: by `output`, `store_gradient`, `width`, and the
// bindings `rows` and `targets`, which come before. Each gives the loss, and 1 if the
// largest output is the label's.
//: use batch

// Of mean squares: 0: targets are labels, one-hot; 1: targets are f32 values.
override DENSE: u32 = 0u;

// Labels are bytes, four to a word.
fn label_of(row: u32) -> u32 {
    let sample = rows.samples[row];
    return (targets[sample / 4u] >> (sample % 4u * 8u)) & 255u;
}

// The first of the largest outputs, and its value.
struct Largest {
    index: u32,
    value: f32,
}

fn largest(row: u32) -> Largest {
    var best = Largest(0u, output(row, 0u));
    for (var j = 1u; j < width(); j++) {
        let z = output(row, j);
        if (z > best.value) {
            best = Largest(j, z);
        }
    }
    return best;
}

fn cross_entropy(row: u32) -> vec2<f32> {
    let label = label_of(row);
    let best = largest(row);
    var sum = 0.0;
    for (var j = 0u; j < width(); j++) {
        sum += exp(output(row, j) - best.value);
    }
    // Before the gradient may take its place.
    let loss = log(sum) + best.value - output(row, label);
    let weight = 1.0 / f32(rows.present);
    for (var j = 0u; j < width(); j++) {
        let p = exp(output(row, j) - best.value) / sum;
        store_gradient(row, j, (p - f32(j == label)) * weight);
    }
    return vec2<f32>(loss, f32(best.index == label));
}

fn target_of(row: u32, j: u32, label: u32) -> f32 {
    if (DENSE == 0u) {
        return f32(j == label);
    }
    return bitcast<f32>(targets[rows.samples[row] * shape.outputs + j]);
}

fn mean_square(row: u32) -> vec2<f32> {
    var label = 0u;
    var right = 0.0;
    if (DENSE == 0u) {
        label = label_of(row);
        right = f32(largest(row).index == label);
    }
    let outputs_inverse = 1.0 / f32(shape.outputs);
    let weight = 2.0 * outputs_inverse / f32(rows.present);
    var sum = 0.0;
    for (var j = 0u; j < width(); j++) {
        let difference = output(row, j) - target_of(row, j, label);
        sum += difference * difference;
        store_gradient(row, j, difference * weight);
    }
    return vec2<f32>(sum * outputs_inverse, right);
}
