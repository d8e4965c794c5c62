// A combination, over the part of a workgroup. Wants the bindings `combine`, those of its
// vectors, and a `control`.
//: use control traversal finite
//: if partials
//: use put_roots
//: end
//: if state
//: use moments
//: end
override TIMES_H: bool = true;
override AFTER: bool = false;
// The distance of a probe takes the place of h.
override PROBE: bool = false;
// Bit n: nobody has looked yet whether input n, a gradient, is finite; and UPDATE does not.
override CHECK: u32 = 0u;
// 1 + the input whose norm is taken on the way; 0 for none.
override NORM: u32 = 0u;
// k₁ goes into the state first.
override UPDATE: bool = false;

struct Combine {
    // Weight of gradient j in output o at [4 o + j / 4][j % 4].
    weights: array<vec4<f32>, 64>,
    // Of the points.
    points: vec4<f32>,
    // The first stage whose gradient this kernel checks; 0 if it checks none.
    stage: u32,
    unused_0: u32,
    unused_1: u32,
    unused_2: u32,
    chunk: Chunk,
}

fn combine_group(workgroup: u32, lane: u32) {
    let chunk = combine.chunk;
    let mine = run_of(chunk, workgroup, lane);
    // After the verdict the control block is already the next attempt's.
    var h = select(control.h * control.clip, control.applied_h * control.applied_clip, AFTER);
    if PROBE {
        h = control.probe;
    }
    if !TIMES_H {
        h = 1.0;
    }
    // Read once: what is written could be the weights, for all a compiler knows.
    //: for o in outputs
    //: for j in terms{o}
    let w{o}_{j} = combine.weights[4 * {o} + {place{o}[j]} / 4][{place{o}[j]} % 4];
    //: end
    //: end
    //: for p in points
    let v{p} = combine.points[{p}];
    //: end
    //: if state
    let half = select(control.parity ^ 1u, control.parity, AFTER);
    let bias = select(control.second_scale, control.applied_second_scale, AFTER);
    let by = moments;
    let span = Span(workgroup, chunk.span, chunk.first);
    let clip = control.clip;
    //: end
    var bad = ALL_FINITE;
    //: if partials
    let zero = zero_of(chunk);
    var squares: ScaledSum;
    //: end
    for (var i = mine.first; i < mine.end; i += RUN) {
        // Outputs may take the place of inputs: all is read before anything is written.
        //: for n in inputs
        let x{n} = {inputs[n]};
        //: end
        //: if partials
        //: for n in inputs
        if (CHECK & (1u << {n}u)) != 0u || NORM == {n}u + 1u {
            let inside = parameters_only(x{n}, i, chunk.elements);
            if (CHECK & (1u << {n}u)) != 0u {
                bad = first_not_finite(bad, i, magnitude_bits(inside));
            }
            if NORM == {n}u + 1u {
                add_products(&squares, inside, inside, zero);
            }
        }
        //: end
        //: end
        var step = vec4<f32>(h);
        //: if state
        var state = load_second(i, span, select(half, half ^ 1u, UPDATE));
        //: for f in first
        if UPDATE {
            // The clip is the attempt's own: what is updated is not yet judged.
            let g = clip * parameters_only({first[f]}, i, chunk.elements);
            state = kept_second(i, span, half, updated(state, g, by));
            bad = first_not_finite(bad, i, magnitude_bits(select(g * g, g, PRECONDITIONER == NO_PRECONDITIONER)));
        }
        //: end
        step = diagonal(h, state, bias, by.epsilon);
        //: end
        var points = vec4<f32>();
        //: for p in points
        points += v{p} * ({points[p]} - x0);
        //: end
        //: for o in outputs
        var sum{o} = vec4<f32>();
        //: for j in terms{o}
        sum{o} += w{o}_{j} * {terms{o}[j]};
        //: end
        {outputs[o]}[i] = select(sum{o}, {bases[o]} + (points - step * sum{o}), {based[o]});
        //: end
    }
    //: if partials
    if (UPDATE || CHECK != 0u) && bad != ALL_FINITE {
        blame_place(combine.stage, chunk.first + bad);
    }
    if NORM != 0u {
        put_roots(chunk, 0u, workgroup, lane, vec3<f32>(root_of(squares), 0.0, 0.0));
    }
    //: end
}
