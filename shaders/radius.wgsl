// w ← D ⊙ (w − k₁), partials = ‖w‖, the root of Σ (z − θ) w; START: w ← ±1 if there is no w, partials = ‖θ‖
// Moves w twice, k₁, z, θ and the state's; one word at the start.
// Recorded for each iteration of the power method for the spectral radius of D·H.
//: use control finite moments put_roots
override START: bool = false;
// k₁ goes into the state first.
override UPDATE: bool = false;

override SUMS: u32 = select(2u, 1u, START);

struct Radius {
    // Partial sums of one kind.
    bank: u32,
    // Elements of the vector before this chunk.
    offset: u32,
    unused_0: u32,
    unused_1: u32,
    chunk: Chunk,
}

@group(0) @binding(0) var<uniform> control: Control;
@group(0) @binding(1) var<uniform> radius: Radius;
@group(0) @binding(2) var<uniform> moments: Moments;
@group(0) @binding(3) var<storage, read_write> vector: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> partials: Partials;
@group(0) @binding(5) var<storage, read_write> second: array<Second>;
@group(0) @binding(6) var<storage, read> theta: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read> first: array<First>;
@group(0) @binding(8) var<storage, read> beside: array<vec4<f32>>;

// ±1 by a hash of the index (Wang's).
fn sign_of(index: u32) -> f32 {
    var x = (index ^ 61u) ^ (index >> 16u);
    x *= 9u;
    x ^= x >> 4u;
    x *= 0x27d4eb2du;
    x ^= x >> 15u;
    return select(-1.0, 1.0, (x & 1u) == 1u);
}

fn signs(index: u32) -> vec4<f32> {
    return vec4<f32>(
        sign_of(index),
        sign_of(index + 1u),
        sign_of(index + 2u),
        sign_of(index + 3u),
    );
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let chunk = radius.chunk;
    let mine = run_of(chunk, workgroup.x, lane);
    let span = Span(workgroup.x, chunk.span, chunk.first);
    let half = control.parity ^ 1u;
    let elements = chunk.elements;
    let by = moments;
    let bias = control.second_scale;
    let zero = zero_of(chunk);
    var bad = ALL_FINITE;
    var squares: ScaledSum;
    var products: ScaledSum;
    for (var i = mine.first; i < mine.end; i += RUN) {
        let at = parameters_only(theta[i], i, elements);
        if START {
            add_products(&squares, at, at, zero);
            if control.has_vector == 0u {
                vector[i] = parameters_only(signs(radius.offset + 4u * i), i, elements);
            }
        } else {
            let k = parameters_only(wide_first(first[i]), i, elements);
            var d = vec4<f32>(1.0);
            if STATE {
                var state: State;
                if UPDATE {
                    let g = control.clip * k;
                    state = updated(load_second(i, span, half ^ 1u), g, by);
                    state = kept_second(i, span, half, state);
                    bad = first_not_finite(bad, i, magnitude_bits(select(g * g, g, PRECONDITIONER == NO_PRECONDITIONER)));
                } else {
                    state = load_second(i, span, half);
                }
                d = diagonal(1.0, state, bias, by.epsilon);
            }
            let w = d * (parameters_only(vector[i], i, elements) - k);
            vector[i] = w;
            add_products(&squares, w, w, zero);
            add_products(&products, parameters_only(beside[i], i, elements) - at, w, zero);
        }
    }
    if UPDATE && bad != ALL_FINITE {
        blame_place(1u, chunk.first + bad);
    }
    var next = chunk;
    next.first_partial += radius.bank;
    let roots = vec3<f32>(root_of(squares), root_of(products), 0.0);
    put_roots(next, radius.bank, workgroup.x, lane, roots);
}
