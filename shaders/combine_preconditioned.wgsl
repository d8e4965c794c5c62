// dst = base + Σ wᵢ (pointᵢ − base) − h D ⊙ Σ aⱼ kⱼ
// Moves a word for each distinct input and one for dst, and the state's; UPDATE writes its other half.
// Recorded in place of `combine` where there is a preconditioner.

// k₁ goes into the state first.
override UPDATE: bool = false;

@group(0) @binding(0) var<uniform> control: Control;
@group(0) @binding(1) var<uniform> combine: Combine;
@group(0) @binding(2) var<uniform> moments: Moments;
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> partials: Partials;
@group(0) @binding(5) var<storage, read_write> second: array<Second>;
@group(0) @binding(6) var<storage, read> x0: array<X0>;
@group(0) @binding(7) var<storage, read> x1: array<X1>;
@group(0) @binding(8) var<storage, read> x2: array<X2>;
@group(0) @binding(9) var<storage, read> x3: array<X3>;
@group(0) @binding(10) var<storage, read> x4: array<X4>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    if ADVANCE && control.accept == 0u {
        return;
    }
    let mine = run_of(combine.chunk, workgroup.x, lane);
    // After the verdict the control block is already the next attempt's.
    var h = select(control.h * control.clip, control.applied_h * control.applied_clip, ADVANCE);
    if PROBE {
        h = control.probe;
    }
    let bias = select(control.second_scale, control.applied_second_scale, ADVANCE);
    let half = select(control.parity ^ 1u, control.parity, ADVANCE);
    let span = combine.chunk.span;
    var sums: Sums;
    for (var i = mine.first; i < mine.end; i += RUN) {
        sums.points = vec4<f32>();
        sums.gradients = vec4<f32>();
        if IN_PLACE {
            sums.base = dst[i];
        }
        take(&sums, 0u, wide_x0(x0[i]), i);
        if INPUTS > 1u {
            take(&sums, 1u, wide_x1(x1[i]), i);
        }
        if INPUTS > 2u {
            take(&sums, 2u, wide_x2(x2[i]), i);
        }
        if INPUTS > 3u {
            take(&sums, 3u, wide_x3(x3[i]), i);
        }
        if INPUTS > 4u {
            take(&sums, 4u, wide_x4(x4[i]), i);
        }
        var state: State;
        if UPDATE {
            // The clip is the attempt's own: what is updated is not yet judged.
            let g = control.clip * sums.first;
            state = updated(load_second(i, span, half ^ 1u), g);
            state = kept_second(i, combine.chunk, half, state);
            sums.largest = max(sums.largest, magnitude_bits(g * g));
        } else {
            state = load_second(i, span, half);
        }
        let d = diagonal(state, bias);
        dst[i] = sums.base + (sums.points - h * (d * sums.gradients));
    }
    if (UPDATE || CHECK != 0u) && not_finite(sums.largest) {
        blame_stage(combine.stage);
    }
    if NORM != 0u {
        put_partial(combine.chunk, workgroup.x, lane, sums.squares);
    }
}
