// The end of a step, over the part of a workgroup. Wants the bindings `finish`, `moments`,
// those of its vectors, and a `control`.
//: use control traversal moments momentum
// k₁ goes into the state first: with one stage, where nothing did so before.
override UPDATE: bool = false;
// Before the verdict: what is written does not count yet.
override BEFORE: bool = false;

struct Finish {
    // Weight of gradient j at [j / 4][j % 4].
    weights: array<vec4<f32>, 4>,
    chunk: Chunk,
}

fn finish_group(workgroup: u32, lane: u32) {
    let chunk = finish.chunk;
    let mine = run_of(chunk, workgroup, lane);
    // After the verdict the control block is already the next attempt's, and the
    // attempt's half the current one.
    let half = select(control.parity, control.parity ^ 1u, BEFORE);
    let clip = select(control.applied_clip, control.clip, BEFORE);
    var step: Step;
    step.h = select(control.applied_h, control.h, BEFORE);
    step.mean_scale = select(control.applied_mean_scale, control.mean_scale, BEFORE);
    step.old_mean = select(0u, control.parity, MEAN_HALVES == 2u);
    step.new_mean = select(0u, half, MEAN_HALVES == 2u);
    // Read once: what is written could be the weights, for all a compiler knows.
    step.by = moments;
    step.span = Span(workgroup, chunk.span, chunk.first);
    //: for j in terms
    let w{j} = finish.weights[{j} / 4][{j} % 4];
    //: end
    //: if state
    let bias = select(control.applied_second_scale, control.second_scale, BEFORE);
    let at = select(0u, half, HALVES == 2u);
    // Of two halves the accepted one is the other, in attempts that renew no ρ.
    let old = select(at, at ^ 1u, UPDATE && HALVES == 2u);
    //: end
    for (var i = mine.first; i < mine.end; i += RUN) {
        var g = vec4<f32>();
        //: for j in terms
        g += w{j} * {terms[j]};
        //: end
        g *= clip;
        var d = vec4<f32>(1.0);
        var group = vec2<f32>(1.0);
        //: if state
        var state = load_second(i, step.span, old);
        if UPDATE {
            state = kept_second(i, step.span, at, updated(state, g, step.by));
        }
        d = diagonal(1.0, state, bias, step.by.epsilon);
        group = state.group;
        //: end
        //: for t in theta
        dst[i] = stepped({theta[t]}, g, d, group, i, step);
        //: end
    }
}
