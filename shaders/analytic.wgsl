// g = ∇L(θ), partials of L(θ), for the problem that PROBLEM names
// Moves two words, three with eigenvalues: θ, g, λ.
// Recorded by models::Analytic for every evaluation.
//
//   quadratic    ½ Σ λ x²
//   rosenbrock   Σ over pairs (1 − a)² + 100 (b − a²)²
//   quartic      Σ x⁴ / 4
//   himmelblau   (a² + b − 11)² + (a + b² − 7)²
//   beale        (3/2 − a + ab)² + (9/4 − a + ab²)² + (21/8 − a + ab³)²
//: use workgroup_sum problems check_gradient
override PROBLEM: u32 = 0u;
// g is added to what is there: a word more.
override ADDS: bool = false;

@group(0) @binding(0) var<uniform> chunk: Chunk;
@group(0) @binding(1) var<storage, read> theta: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> gradient: array<Gradient>;
@group(0) @binding(3) var<storage, read> eigenvalues: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> sums: array<f32>;
@group(0) @binding(5) var<storage, read_write> checks: Checks;

// The loss of one pair, then its two derivatives.
fn pair(a: f32, b: f32) -> vec3<f32> {
    if PROBLEM == ROSENBROCK {
        let u = 1.0 - a;
        let v = b - a * a;
        return vec3<f32>(u * u + 100.0 * v * v, -2.0 * u - 400.0 * a * v, 200.0 * v);
    }
    if PROBLEM == HIMMELBLAU {
        let u = a * a + b - 11.0;
        let v = a + b * b - 7.0;
        return vec3<f32>(u * u + v * v, 4.0 * a * u + 2.0 * v, 2.0 * u + 4.0 * b * v);
    }
    let b2 = b * b;
    let b3 = b2 * b;
    let u = 1.5 - a + a * b;
    let v = 2.25 - a + a * b2;
    let w = 2.625 - a + a * b3;
    return vec3<f32>(
        u * u + v * v + w * w,
        2.0 * (u * (b - 1.0) + v * (b2 - 1.0) + w * (b3 - 1.0)),
        2.0 * a * (u + 2.0 * b * v + 3.0 * b2 * w),
    );
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let mine = run_of(chunk, workgroup.x, lane);
    var loss = vec4<f32>();
    var seen: Seen;
    for (var i = mine.first; i < mine.end; i += RUN) {
        let x = theta[i];
        var g: vec4<f32>;
        var l: vec4<f32>;
        if PROBLEM == QUADRATIC {
            g = eigenvalues[i] * x;
            l = 0.5 * x * g;
        } else if PROBLEM == QUARTIC {
            g = x * x * x;
            l = 0.25 * x * g;
        } else {
            let first = pair(x.x, x.y);
            let second = pair(x.z, x.w);
            g = vec4<f32>(first.yz, second.yz);
            l = vec4<f32>(first.x, 0.0, second.x, 0.0);
        }
        g = parameters_only(g, i, chunk.elements);
        if ADDS {
            g += wide_gradient(gradient[i]);
        }
        let stored = narrow_gradient(g);
        gradient[i] = stored;
        look(&seen, wide_gradient(stored), chunk.first + i);
        loss += parameters_only(l, i, chunk.elements);
    }
    let own = (loss.x + loss.y) + (loss.z + loss.w);
    if LANE_PARTIALS {
        sums[chunk.first_partial + workgroup.x * LANES + lane] = own;
    } else {
        let sum = workgroup_sum(lane, own);
        if lane == 0u {
            sums[chunk.first_partial + workgroup.x] = sum;
        }
    }
    leave_walked(&seen, chunk, workgroup.x, lane);
}
