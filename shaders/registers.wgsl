// r' = Σ w (r, y − θ, q, k, x), q' = Σ w (q, r, r', k), y' = base + Σ w (y − θ, r') − h D ⊙ Σ w (r, k, r', q')
// Moves a word for each vector read and one for each written, and the state's.
// Recorded for the stages of methods that pass registers on; AFTER: after the verdict.
//: use control finite moments put_roots
override BASED: bool = true;
override READS_POINT: bool = false;
override READS_REGISTER: bool = false;
override WRITES_REGISTER: bool = false;
override READS_SUM: bool = false;
override WRITES_SUM: bool = false;
override READS_GRADIENT: bool = true;
override READS_EXTRA: bool = false;
override WRITES_POINT: bool = true;
// θ is what is written, and y another vector.
override TO_THETA: bool = false;
// Recorded after the verdict.
override AFTER: bool = false;
// The register holds k already.
override ADDED: bool = false;
// The register is in units of θ: −h D ⊙ Σ w (k, x) goes there, and not to y'.
override SLOPED: bool = false;
override CHECK: bool = false;
override NORM: bool = false;
// Bit i: weight i is not zero; in the order of Registers.
override WEIGHTS: u32 = 0x3fffu;
// k is k₁ and goes into the state first.
override UPDATE: bool = false;

const SUMS = 1u;

struct Registers {
    // Of r': r, y − θ, q, k.
    kept: vec4<f32>,
    // Of q': q, r, r', k.
    sum: vec4<f32>,
    // Of y', times −h D: r, k, r', q'.
    slope: vec4<f32>,
    // Of y': y − θ, r'.
    point: vec2<f32>,
    // Of r': x.
    extra: f32,
    // k's, where nobody has checked it before.
    stage: u32,
    chunk: Chunk,
}

@group(0) @binding(0) var<uniform> control: Control;
@group(0) @binding(1) var<uniform> registers: Registers;
@group(0) @binding(2) var<uniform> moments: Moments;
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> kept: array<Kept>;
@group(0) @binding(5) var<storage, read_write> sum: array<Sum>;
@group(0) @binding(6) var<storage, read_write> partials: Partials;
@group(0) @binding(7) var<storage, read_write> second: array<Second>;
// θ, or y where TO_THETA.
@group(0) @binding(8) var<storage, read> other: array<vec4<f32>>;
@group(0) @binding(9) var<storage, read> gradient: array<Gradient>;
@group(0) @binding(10) var<storage, read> extra: array<Extra>;

fn weighs(i: u32) -> bool {
    return (WEIGHTS & (1u << i)) != 0u;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    if AFTER && control.accept == 0u {
        return;
    }
    // θ as the working point moves as long as time goes on.
    if TO_THETA && !AFTER && control.alive == 0u {
        return;
    }
    let chunk = registers.chunk;
    let mine = run_of(chunk, workgroup.x, lane);
    // After the verdict the control block is already the next attempt's.
    let h = select(control.h * control.clip, control.applied_h * control.applied_clip, AFTER);
    let bias = select(control.second_scale, control.applied_second_scale, AFTER);
    let half = select(control.parity ^ 1u, control.parity, AFTER);
    let span = Span(workgroup.x, chunk.span, chunk.first);
    let by = moments;
    var bad = ALL_FINITE;
    let zero = zero_of(chunk);
    var squares: ScaledSum;
    for (var i = mine.first; i < mine.end; i += RUN) {
        var theta = vec4<f32>();
        var y = vec4<f32>();
        if BASED {
            if TO_THETA {
                theta = dst[i];
            } else {
                theta = other[i];
            }
        }
        if READS_POINT {
            if TO_THETA && BASED {
                y = other[i];
            } else if TO_THETA && AFTER {
                y = other[i];
            } else {
                y = dst[i];
            }
        }
        var r = vec4<f32>();
        if READS_REGISTER {
            r = wide_kept(kept[i]);
        }
        var q = vec4<f32>();
        if READS_SUM {
            q = wide_sum(sum[i]);
        }
        var k = vec4<f32>();
        if READS_GRADIENT {
            k = wide_gradient(gradient[i]);
        }
        var newest = k;
        if ADDED {
            newest = r;
        }
        if CHECK || NORM || UPDATE {
            newest = parameters_only(newest, i, chunk.elements);
        }
        if CHECK {
            bad = first_not_finite(bad, i, magnitude_bits(newest));
        }
        if NORM {
            add_products(&squares, newest, newest, zero);
        }
        var moved = vec4<f32>();
        if BASED && READS_POINT {
            moved = y - theta;
        }
        var d = vec4<f32>(1.0);
        if STATE && WRITES_POINT {
            var state: State;
            if UPDATE {
                let g = control.clip * newest;
                state = updated(load_second(i, span, half ^ 1u), g, by);
                state = kept_second(i, span, half, state);
                bad = first_not_finite(bad, i, magnitude_bits(select(g * g, g, PRECONDITIONER == NO_PRECONDITIONER)));
            } else {
                state = load_second(i, span, half);
            }
            d = diagonal(1.0, state, bias, by.epsilon);
        }
        var own = vec4<f32>();
        if READS_EXTRA {
            own = registers.extra * wide_extra(extra[i]);
        }
        var next = vec4<f32>();
        if weighs(0u) {
            next = registers.kept.x * r;
        }
        if weighs(1u) {
            next += registers.kept.y * moved;
        }
        if weighs(2u) {
            next += registers.kept.z * q;
        }
        if SLOPED {
            next -= h * (d * (own + registers.slope.y * k));
        } else if weighs(3u) {
            next += own + registers.kept.w * k;
        }
        if WRITES_REGISTER {
            kept[i] = narrow_kept(next);
        }
        var next_sum = vec4<f32>();
        if weighs(4u) {
            next_sum = registers.sum.x * q;
        }
        if weighs(5u) {
            next_sum += registers.sum.y * r;
        }
        if weighs(6u) {
            next_sum += registers.sum.z * next;
        }
        if weighs(7u) {
            next_sum += registers.sum.w * k;
        }
        if WRITES_SUM {
            sum[i] = narrow_sum(next_sum);
        }
        if WRITES_POINT {
            var offset = vec4<f32>();
            if weighs(12u) {
                offset = registers.point.x * moved;
            }
            if weighs(13u) {
                offset += registers.point.y * next;
            }
            if !SLOPED {
                var slope = vec4<f32>();
                if weighs(8u) {
                    slope = registers.slope.x * r;
                }
                if weighs(9u) {
                    slope += registers.slope.y * k;
                }
                if weighs(10u) {
                    slope += registers.slope.z * next;
                }
                if weighs(11u) {
                    slope += registers.slope.w * next_sum;
                }
                offset -= h * (d * slope);
            }
            if BASED {
                dst[i] = theta + offset;
            } else {
                dst[i] = y + offset;
            }
        }
    }
    if (UPDATE || CHECK) && bad != ALL_FINITE {
        blame_place(registers.stage, chunk.first + bad);
    }
    if NORM {
        put_roots(chunk, 0u, workgroup.x, lane, vec3<f32>(root_of(squares), 0.0, 0.0));
    }
}
