// u = D ⊙ (a − b) or D ⊙ a; partials = ‖u‖ and the root of what OTHER says
// Moves a word for each of a and b, the state's, and one for θ where SCALED.
// Recorded before the stages where h follows from gradients.
//: use control finite moments put_roots
override DIFFERENCE: bool = false;
override OTHER: u32 = 0u;
// a goes into the state first.
override UPDATE: bool = false;

const SUMS = 2u;

const LEAST = 1e-30;

struct Dots {
    rtol: f32,
    atol: f32,
    // Partial sums of one kind.
    bank: u32,
    unused: u32,
    chunk: Chunk,
}

@group(0) @binding(0) var<uniform> control: Control;
@group(0) @binding(1) var<uniform> dots: Dots;
@group(0) @binding(2) var<uniform> moments: Moments;
@group(0) @binding(3) var<storage, read_write> partials: Partials;
@group(0) @binding(4) var<storage, read_write> second: array<Second>;
@group(0) @binding(5) var<storage, read> theta: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> a: array<A>;
@group(0) @binding(7) var<storage, read> b: array<B>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let chunk = dots.chunk;
    let mine = run_of(chunk, workgroup.x, lane);
    let half = control.parity ^ 1u;
    let span = Span(workgroup.x, chunk.span, chunk.first);
    let by = moments;
    let bias = control.second_scale;
    let zero = zero_of(chunk);
    var squares: ScaledSum;
    var others: ScaledSum;
    for (var i = mine.first; i < mine.end; i += RUN) {
        let first = parameters_only(wide_a(a[i]), i, chunk.elements);
        var difference = first;
        var base = vec4<f32>();
        if DIFFERENCE {
            base = parameters_only(wide_b(b[i]), i, chunk.elements);
            difference = first - base;
        }
        var d = vec4<f32>(1.0);
        if STATE {
            var state: State;
            if UPDATE {
                state = updated(load_second(i, span, half ^ 1u), control.clip * first, by);
                state = kept_second(i, span, half, state);
            } else {
                state = load_second(i, span, half);
            }
            d = diagonal(1.0, state, bias, by.epsilon);
        }
        var u = d * difference;
        if OTHER == RAW_PRODUCT {
            add_products(&others, first, u, zero);
        } else if OTHER == PRODUCT {
            add_products(&others, u, d * base, zero);
        } else if OTHER == SECOND {
            let v = d * base;
            add_products(&others, v, v, zero);
        } else {
            let at = parameters_only(theta[i], i, chunk.elements);
            let scale = max(dots.atol + dots.rtol * abs(at), vec4<f32>(LEAST));
            u = u / scale;
            add_products(&others, at / scale, at / scale, zero);
        }
        add_products(&squares, u, u, zero);
    }
    let roots = vec3<f32>(root_of(squares), root_of(others), 0.0);
    put_roots(chunk, dots.bank, workgroup.x, lane, roots);
}
