// e = drift (θ − θ') + h D ⊙ Σ d k, partials = ‖e / (atol + rtol·max(|θ|, |θ'|))‖; MAKES: θ' = θ − h D ⊙ Σ b k, or as a finish
// Moves a word for each gradient, one for θ, one for θ', one of state, and two for m where this is the finish.
// Recorded before the verdict of methods with an embedded pair.
//: use control finite moments momentum put_roots
override MAKES: u32 = 0u;
// The second weights make an error too: partials of the next bank = ‖e₂ / …‖.
override TWO: bool = false;

override SUMS: u32 = select(1u, 2u, TWO);

const LEAST = 1e-30;

struct Estimate {
    // d and b of gradient j at [j / 4][j % 4].
    errors: array<vec4<f32>, 4>,
    steps: array<vec4<f32>, 4>,
    // The last one: a candidate that is not finite is its fault.
    stage: u32,
    rtol: f32,
    atol: f32,
    drift: f32,
    // Partial sums of one kind.
    bank: u32,
    unused_0: u32,
    unused_1: u32,
    unused_2: u32,
    chunk: Chunk,
}

@group(0) @binding(0) var<uniform> control: Control;
@group(0) @binding(1) var<uniform> estimate: Estimate;
@group(0) @binding(2) var<uniform> moments: Moments;
//: for b in bindings
@group(0) @binding({numbers[b]}) {bindings[b]};
//: end

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let chunk = estimate.chunk;
    let mine = run_of(chunk, workgroup.x, lane);
    let h = control.h * control.clip;
    var step: Step;
    step.h = control.h;
    step.mean_scale = control.mean_scale;
    step.old_mean = control.parity;
    step.new_mean = control.parity ^ 1u;
    step.by = moments;
    step.span = Span(workgroup.x, chunk.span, chunk.first);
    let clip = control.clip;
    let half = control.parity ^ 1u;
    let bias = control.second_scale;
    let atol = estimate.atol;
    let rtol = estimate.rtol;
    let drift = estimate.drift;
    var bad = ALL_FINITE;
    let zero = zero_of(chunk);
    var squares: ScaledSum;
    var others: ScaledSum;
    // Read once: what is written could be the weights, for all a compiler knows.
    //: for j in terms
    let error{j} = estimate.errors[{j} / 4][{j} % 4];
    let step{j} = estimate.steps[{j} / 4][{j} % 4];
    //: end
    for (var i = mine.first; i < mine.end; i += RUN) {
        var e = vec4<f32>();
        var g = vec4<f32>();
        //: for j in terms
        let k{j} = {terms[j]};
        e += error{j} * k{j};
        g += step{j} * k{j};
        //: end
        var d = vec4<f32>(1.0);
        var group = vec2<f32>(1.0);
        //: if state
        let state = load_second(i, step.span, half);
        d = diagonal(1.0, state, bias, step.by.epsilon);
        group = state.group;
        //: end
        let at = theta[i];
        var next: vec4<f32>;
        if MAKES == NOTHING {
            next = candidate[i];
        } else {
            if MAKES == FINISH {
                next = stepped(at, clip * g, d, group, i, step);
            } else {
                next = at - h * (d * g);
            }
            candidate[i] = next;
        }
        e = h * (d * e) + drift * (at - next);
        next = parameters_only(next, i, chunk.elements);
        bad = first_not_finite(bad, i, magnitude_bits(next));
        // With atol = 0, an element at zero has no scale, and no error either.
        let scale = max(atol + rtol * max(abs(at), abs(next)), vec4<f32>(LEAST));
        let error = parameters_only(e / scale, i, chunk.elements);
        add_products(&squares, error, error, zero);
        if TWO {
            let other = parameters_only(h * (d * g) / scale, i, chunk.elements);
            add_products(&others, other, other, zero);
        }
    }
    if bad != ALL_FINITE {
        blame_stage(estimate.stage);
    }
    let roots = vec3<f32>(root_of(squares), root_of(others), 0.0);
    put_roots(chunk, estimate.bank, workgroup.x, lane, roots);
}
